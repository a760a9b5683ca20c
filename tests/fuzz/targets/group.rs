//! A record of `__consumer_offsets`, key or value of any kind.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    capped(256 * data.len() + 4096, || ottla::fuzzing::group_records(data));
}
