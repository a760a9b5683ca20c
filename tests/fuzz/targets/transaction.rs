//! A record of `__transaction_state`, key or value.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    capped(256 * data.len() + 4096, || ottla::fuzzing::transaction_records(data));
}
