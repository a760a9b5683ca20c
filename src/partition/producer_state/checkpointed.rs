//! What a checkpoint notes of producers.

use super::gathering::SegmentProducers;
use super::snapshot;
use crate::segment::{ProducerFiles, Segment, SegmentDir};

/// What is known of the producers of a log, to be noted with its segments.
#[derive(Debug, Default)]
pub(in crate::partition) struct CheckpointProducers {
    /// Whether there are any at the end of the segments.
    are_any: bool,
    /// Of segments that have ended, and are in no manifest.
    ended: Vec<SegmentProducers>,
    /// At which offset the snapshot is that the recovery point speaks of, and the files there, if this process has written them.
    at_point: Option<(u64, Option<ProducerFiles>)>,
}

impl CheckpointProducers {
    /// Takes over what the recovery point says which was found, and which is at `offset`. Whether the files are right it does not know.
    pub(in crate::partition) fn begin_from(&mut self, offset: u64, files: ProducerFiles) {
        self.at_point = has_snapshot(files).then_some((offset, None));
    }

    /// Takes over what there is by now: whether there `are_any`, and the segments that have `ended` since the last time.
    pub(in crate::partition) fn update(&mut self, are_any: bool, ended: Vec<SegmentProducers>) {
        self.are_any = are_any;
        self.ended.extend(ended);
    }

    /// Writes the files of a segment that has ended. A log without producers has none.
    pub(in crate::partition) fn store(&mut self, dir: &SegmentDir, segment: &Segment) -> ProducerFiles {
        let base_offset = segment.base_offset();
        let files = match self.ended.iter().find(|ended| ended.base_offset == base_offset) {
            Some(ended) => ended.store(dir, segment, segment.next_offset()),
            None if segment.has_producers() => ProducerFiles {
                transaction_index: Some(ProducerFiles::UNKNOWN),
                snapshot: Some(ProducerFiles::UNKNOWN),
            },
            None => ProducerFiles::default(),
        };
        self.leave_point(dir, segment, segment.next_offset());
        files
    }

    /// Writes the files of the active segment, of which this is what there `is` below `offset`; where that is not known, it is something
    /// that only the log tells.
    pub(in crate::partition) fn store_at(
        &mut self,
        dir: &SegmentDir,
        active: &Segment,
        offset: u64,
        is: Option<&SegmentProducers>,
    ) -> ProducerFiles {
        let Some(is) = is.filter(|is| is.base_offset == active.base_offset()) else { return self.unknown_in(active) };
        match self.at_point {
            Some((at, Some(files))) if at == offset => files,
            _ => {
                let files = is.store(dir, active, offset);
                self.leave_point(dir, active, offset);
                self.at_point = has_snapshot(files).then_some((offset, Some(files)));
                files
            }
        }
    }

    /// Removes the snapshot that the recovery point speaks of, if it is within this segment and below `offset`: the next point is at
    /// another one.
    fn leave_point(&mut self, dir: &SegmentDir, segment: &Segment, offset: u64) {
        if let Some((at, _)) = self.at_point.take_if(|(at, _)| segment.base_offset() < *at && *at < offset) {
            // It does no harm where that fails: what is not noted is not looked at.
            _ = dir.files.disk().remove_file(&snapshot::path(dir, at));
        }
    }

    /// The segments below `offset` are in the manifest.
    pub(in crate::partition) fn are_noted(&mut self, offset: u64) {
        self.ended.retain(|ended| offset <= ended.base_offset);
    }

    /// What is noted of a segment that may still grow: whether there is anything that only the log tells.
    fn unknown_in(&self, segment: &Segment) -> ProducerFiles {
        let are_any = self.are_any || segment.has_producers();
        ProducerFiles { transaction_index: None, snapshot: are_any.then_some(ProducerFiles::UNKNOWN) }
    }
}

/// Whether there is a snapshot among these files.
fn has_snapshot(files: ProducerFiles) -> bool {
    files.snapshot.is_some_and(|sum| sum != ProducerFiles::UNKNOWN)
}
