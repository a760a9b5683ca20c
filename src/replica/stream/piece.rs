//! What a piece of a reply is: the bytes by which its frame is compared with the one that is expected.
//!
//! ```text
//! byte  size  field             big-endian
//!    0     1  what              1 a log file, 2 a file that was made from it, 3 batches
//!    1    16  topic_id          ┐ whose it is
//!   17     4  partition         ┘
//!   21     8  base_offset       of the segment; in the name of the file
//!   29     1  detail            of a log file: 1 it is not sent, as it has come before; of the other files: the kind,
//!                               1 offset index, 2 time index, 3 transaction index, 4 producer snapshot; else 0
//!   30     8  file_position     ┐ of batches: where they begin
//!   38     8  first_offset      ┘
//!   46     8  end_offset        of batches: where they end
//! ```
//! Nobody reads these fields: both ends know what comes next, and the frame says whether they agree.

use crate::partition::log_id::LogId;
use crate::replica::steps::{BatchRun, IsHere};
use crate::segment::file_name::{FileKind, FileName};

const LOG_FILE: u8 = 1;
const CACHE: u8 = 2;
const BATCHES: u8 = 3;

/// The size of it.
pub(super) const PIECE_BYTES: usize = 54;

/// What has become of a piece: the one byte of its end.
pub(super) const IS_WHOLE: u8 = 1;
pub(super) const IS_MISSING: u8 = 0;

/// A log file, or that it is not sent.
pub(super) fn log_file(log: LogId, base_offset: u64, is_here: IsHere) -> Vec<u8> {
    encode(LOG_FILE, log, base_offset, u8::from(is_here), [0; 3])
}

/// A file that was made from a log file.
pub(super) fn cache(log: LogId, name: FileName) -> Vec<u8> {
    let kind = match name.kind {
        FileKind::Log => 0,
        FileKind::OffsetIndex => 1,
        FileKind::TimeIndex => 2,
        FileKind::TransactionIndex => 3,
        FileKind::ProducerSnapshot => 4,
    };
    encode(CACHE, log, name.base_offset, kind, [0; 3])
}

/// Batches of a segment.
pub(super) fn batches(log: LogId, run: &BatchRun) -> Vec<u8> {
    encode(BATCHES, log, run.base_offset, 0, [run.file_position, run.first_offset, run.end_offset])
}

fn encode(what: u8, log: LogId, base_offset: u64, detail: u8, numbers: [u64; 3]) -> Vec<u8> {
    let mut bytes = vec![what];
    bytes.extend(log.topic_id.to_be_bytes());
    bytes.extend(log.partition.to_be_bytes());
    bytes.extend(base_offset.to_be_bytes());
    bytes.push(detail);
    bytes.extend(numbers.into_iter().flat_map(u64::to_be_bytes));
    debug_assert_eq!(bytes.len(), PIECE_BYTES);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_version_1_stay() {
        let log = LogId { topic_id: 7, partition: 3 };
        let run = BatchRun { base_offset: 5, file_position: 6, first_offset: 8, end_offset: 9, may_skip: false };
        let number = |number: u64| number.to_be_bytes().to_vec();
        let expected = [&[3][..], &7_u128.to_be_bytes(), &[0, 0, 0, 3], &number(5), &[0], &number(6), &number(8)];
        assert_eq!(batches(log, &run), [expected.concat(), number(9)].concat());
        assert_eq!(log_file(log, 5, true)[29], 1);
        assert_eq!(cache(log, FileName::live(5, FileKind::ProducerSnapshot))[29], 4);
    }
}
