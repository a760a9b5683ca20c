//! A log file, walked through: a byte with how many offsets are known to have been there and whether some may be missing,
//! then the file.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let Some((&known, bytes)) = data.split_first() else { return };
    capped(16 * bytes.len() + (1 << 16), || ottla::fuzzing::log_walk(bytes, u64::from(known >> 1), known & 1 == 1));
}
