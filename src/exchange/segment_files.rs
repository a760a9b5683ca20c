//! Which files of a partition directory are the log, as a broker has it after its start.
//!
//! ```text
//! …log              a segment
//! …log.deleted      was one
//! …log.cleaned      a copy under way: worthless, and so is every .swap from there on, since the copy was not whole
//! …log.swap         a copy that is whole: takes the place of all segments from the first such base to the last such end
//! ```
//! Nothing is changed: the files stay what they are, and are read under the names that they have.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::Result;
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::topic_partition::TopicPartition;

use super::log_reading::SegmentReading;

/// A log file that is part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) base_offset: u64,
    pub(super) path: PathBuf,
}

/// The log files of the partition whose directory is `dir`, by their base offsets.
///
/// # Errors
/// The disk's.
pub(super) fn segment_files(disk: &dyn Disk, dir: &Path, partition: &TopicPartition) -> Result<Vec<SegmentFile>> {
    let names = file_name::list(disk, dir)?;
    let in_stage = |stage: Stage| names.iter().filter(move |name| name.stage == stage);
    let logs = |stage| in_stage(stage).filter(|name| name.kind == FileKind::Log);
    let file = |name: &FileName| SegmentFile { base_offset: name.base_offset, path: name.path(dir) };
    // Any kind of file tells of a copy that was not whole.
    let first_cleaned = in_stage(Stage::Cleaned).map(|name| name.base_offset).min();
    let swaps: Vec<SegmentFile> =
        logs(Stage::Swap).filter(|name| first_cleaned.is_none_or(|first| name.base_offset < first)).map(file).collect();
    let mut files: Vec<SegmentFile> = logs(Stage::Live).map(file).collect();
    if let (Some(first), Some(last)) = (swaps.first(), swaps.last()) {
        let replaced = first.base_offset..end_of(disk, last, partition)?;
        files.retain(|file| !replaced.contains(&file.base_offset));
        files.extend(swaps);
        files.sort_by_key(|file| file.base_offset);
    }
    Ok(files)
}

/// The offset after the last batch of a segment.
fn end_of(disk: &dyn Disk, file: &SegmentFile, partition: &TopicPartition) -> Result<u64> {
    let segment = SegmentReading::open(disk, file, partition)?;
    Ok(segment.read(file.base_offset, &mut |_, _| Ok(()))?.next_offset)
}
