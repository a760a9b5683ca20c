//! Index files, of a log with as many offsets and bytes as the first two bytes say.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let [offsets, log_bytes, bytes @ ..] = data else { return };
    let size = |byte: u8| 1 << (byte % 32);
    capped(16 * bytes.len() + (1 << 16), || ottla::fuzzing::indexes(bytes, size(*offsets), size(*log_bytes)));
}
