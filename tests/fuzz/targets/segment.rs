//! A segment, recovered and read: how many offsets are known to have been there, the sizes of its two index files in entries,
//! these files, and the log file.

use crate::allocation::capped;

/// What a reader may take, besides the files that are in memory here: twice the largest batch that brokers accept by default,
/// and 16 MiB.
const READER_BYTES_MAX: usize = (2 << 20) + (16 << 20);

pub(crate) fn run(data: &[u8]) {
    let [durable, offset_entries, time_entries, rest @ ..] = data else { return };
    let split = |rest: &[u8], bytes: usize| rest.len().min(bytes);
    let (offset_index, rest) = rest.split_at(split(rest, 8 * usize::from(offset_entries % 8)));
    let (time_index, log) = rest.split_at(split(rest, 12 * usize::from(time_entries % 8)));
    capped(READER_BYTES_MAX + (1 << 20), || {
        ottla::fuzzing::segment(log, offset_index, time_index, u64::from(*durable));
    });
}
