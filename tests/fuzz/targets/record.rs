//! One record; the same bytes are taken for integers of variable length and for a control record, too.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    capped(64 * data.len() + 4096, || {
        ottla::fuzzing::record(data);
        ottla::fuzzing::varints(data);
        ottla::fuzzing::control(data);
    });
}
