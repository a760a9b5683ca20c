//! Index files, of a log with as many offsets and bytes as the first two bytes say. Bit 7 of the first one makes it a transaction
//! index, bit 6 a producer snapshot, which has a right checksum with bit 7 of the second one.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let [offsets, log_bytes, bytes @ ..] = data else { return };
    let size = |byte: u8| 1 << (byte % 32);
    capped(16 * bytes.len() + (1 << 16), || match offsets >> 6 {
        0 => ottla::fuzzing::indexes(bytes, size(*offsets), size(*log_bytes)),
        1 => ottla::fuzzing::producer_snapshot(bytes, size(*offsets), log_bytes & 0x80 != 0),
        _ => ottla::fuzzing::transaction_index(bytes, size(*offsets)),
    });
}
