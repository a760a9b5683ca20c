//! One record; the same bytes are taken for integers of variable length and for a control record, too, and decide what is unusual about
//! records that are read in both ways.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    capped(64 * data.len() + 4096, || {
        ottla::fuzzing::record(data);
        ottla::fuzzing::varints(data);
        ottla::fuzzing::control(data);
    });
    // Their values alone have up to 8 KiB, whatever the bytes.
    capped(1 << 20, || ottla::fuzzing::unusual_records(data));
}
