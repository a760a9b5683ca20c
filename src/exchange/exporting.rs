//! Writing the log of one partition as a broker adopts it.
//!
//! ```text
//! <topic>-<n>/00000000000000000000.log   the batches of a segment, leader epoch 0, else byte by byte as they are
//!            /00000000000000000100.log   empty: only where the log ends, or begins, above its last batch
//! ```
//! A broker rebuilds all else. In a new topic its own leader epoch is 0, and followers pass over batches of a later one; bytes 12 to
//! 15 of a batch are outside its checksum.

use std::path::Path;

use super::export_report::ExportedPartition;
use super::log_reading::SegmentReading;
use super::segment_files::SegmentFile;
use super::target::Target;
use crate::disk::Disk;
use crate::error::Result;
use crate::format::batch::LEADER_EPOCH_START;
use crate::partition::log::copying::LogContents;
use crate::segment::file_name::{FileKind, FileName};
use crate::topic_partition::TopicPartition;

/// What is to be written of a log.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) partition: TopicPartition,
    pub(super) contents: LogContents,
}

/// A segment that is read.
struct Source {
    file: SegmentFile,
    bytes: u64,
    next_offset: u64,
}

impl Extract {
    /// Writes the log, whose files are in `dir`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where it is damaged; the disk's.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path, target: &mut Target) -> Result<ExportedPartition> {
        let bounds = &self.contents.bounds;
        let end = bounds.next_offset.min(self.contents.first_unmarked_offset).max(bounds.log_start_offset);
        let mut exported = ExportedPartition {
            partition: self.partition.clone(),
            offsets: bounds.log_start_offset..end,
            log_end_offset: bounds.next_offset,
            files: 0,
            bytes: 0,
            batch_count: 0,
            needs_log_start: false,
            largest_batch_bytes: 0,
        };
        let to = target.create_dir(&self.partition.to_string())?;
        let (mut reached, mut first) = (0, None);
        let start = bounds.log_start_offset;
        // What was deleted goes as soon as its file may.
        let is_wanted = |source: &Source| source.file.base_offset < end && start < source.next_offset;
        for source in self.sources(dir).into_iter().filter(is_wanted) {
            if let Some(next_offset) = self.write_segment(disk, &source, (reached, end), &to, target, &mut exported)? {
                reached = next_offset;
                first.get_or_insert(source.file.base_offset);
            }
        }
        if reached < end {
            let empty = target.file(FileName::live(end, FileKind::Log).path(&to))?;
            target.finish_file(empty)?;
            exported.files += 1;
        }
        exported.needs_log_start = first.map_or(0 < start, |first| first < start);
        target.sync_dir(&to)?;
        Ok(exported)
    }

    /// The segments, by their base offsets.
    fn sources(&self, dir: &Path) -> Vec<Source> {
        let source = |base_offset: u64, bytes: u64, next_offset: u64| {
            let path = FileName::live(base_offset, FileKind::Log).path(dir);
            Source { file: SegmentFile { base_offset, path }, bytes, next_offset }
        };
        let noted = self.contents.noted.iter().map(|noted| &noted.sealed);
        let noted = noted.map(|sealed| source(sealed.base_offset, sealed.log_bytes, sealed.next_offset));
        let unnoted = self.contents.unnoted.iter();
        let unnoted = unnoted.map(|segment| source(segment.base_offset(), segment.log_bytes(), segment.next_offset()));
        noted.chain(unnoted).collect()
    }

    /// Writes what a segment has between two offsets; returns the offset after its last batch, if there is one.
    fn write_segment(
        &self,
        disk: &dyn Disk,
        source: &Source,
        (reached, end): (u64, u64),
        to: &Path,
        target: &mut Target,
        exported: &mut ExportedPartition,
    ) -> Result<Option<u64>> {
        let reading = SegmentReading::open(disk, &source.file, &self.partition)?.up_to(source.bytes).before(end);
        let mut file = None;
        let mut batch_bytes = Vec::new();
        let read = reading.read(reached, &mut |header, batch| {
            batch_bytes.clear();
            batch_bytes.extend_from_slice(batch);
            if let Some(leader_epoch) = batch_bytes.get_mut(LEADER_EPOCH_START..LEADER_EPOCH_START + size_of::<i32>()) {
                leader_epoch.fill(0);
            }
            if file.is_none() {
                file = Some(target.file(FileName::live(source.file.base_offset, FileKind::Log).path(to))?);
            }
            exported.batch_count += 1;
            exported.largest_batch_bytes = exported.largest_batch_bytes.max(header.batch_bytes);
            file.as_mut().map_or(Ok(()), |file| file.write(&batch_bytes))
        })?;
        // Of what was written here nothing may be torn.
        let is_short = read.next_offset < end && read.bytes < source.bytes;
        if let Some((_, reason)) = read.torn {
            return Err(reading.corrupt(read.bytes, reason));
        }
        if is_short {
            return Err(reading.corrupt(read.bytes, "the log file ends before its last offsets"));
        }
        let Some(file) = file else { return Ok(None) };
        exported.bytes += target.finish_file(file)?;
        exported.files += 1;
        Ok(Some(read.next_offset))
    }
}
