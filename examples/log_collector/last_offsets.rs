//! Up to which offset a stream has lines, so that nobody looks for the lines of one of which all are gone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ottla::Partition;

use crate::Result;
use crate::bookmark::Bookmark;
use crate::journal::{LineHeaders, PARTITIONS, READ_BYTES, read_from};

/// Of each partition what was read so far. It is read once, and only if somebody asks.
#[derive(Debug, Default)]
pub(crate) struct LastOffsets {
    partitions: [Mutex<Known>; PARTITIONS],
}

#[derive(Debug, Default)]
struct Known {
    next_offset: u64,
    by_stream: HashMap<u64, u64>,
}

impl LastOffsets {
    /// Whether `stream` has lines in its partition, this one, that are kept.
    pub(crate) fn has_lines(&self, stream: u64, index: usize, partition: &Partition) -> Result<bool> {
        let known = self.partitions.get(index).ok_or("a partition that is not there")?;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { next_offset, by_stream } = &mut *known;
        *next_offset = read_from(partition, *next_offset, READ_BYTES, |records| {
            for record in records {
                if let Some(bytes) = LineHeaders::of(&record).bookmark {
                    let bookmark = Bookmark::decode(bytes).ok_or("a line has a bookmark of another form")?;
                    by_stream.insert(bookmark.stream, record.offset());
                }
            }
            Ok(true)
        })?;
        Ok(by_stream.get(&stream).is_some_and(|last| partition.log_start_offset() <= *last))
    }
}
