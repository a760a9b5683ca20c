//! What a partition directory of a broker holds, found out by reading all of it, before anything is changed for its sake.

use std::path::{Path, PathBuf};

use super::import_report::TornEnd;
use super::log_reading::{SegmentReading, corrupt_here};
use super::open_transactions::OpenTransactions;
use super::segment_files::{SegmentFile, segment_files};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES, Invalid, check_readable, check_records, plain_records};
use crate::partition::config::TopicConfig;
use crate::partition::leader_epoch::LeaderEpochs;
use crate::segment::reason_of;
use crate::topic_partition::TopicPartition;

/// The most offsets that a segment may have.
const SEGMENT_OFFSETS_MAX: u64 = 1 << 31;

/// What is to be taken over of a partition.
#[derive(Debug, Clone)]
pub(super) struct LogSurvey {
    pub(super) partition: TopicPartition,
    /// Those that have batches at or above the log start.
    pub(super) segments: Vec<SurveyedSegment>,
    pub(super) log_start_offset: u64,
    /// Where it ends, without the markers that are to be appended.
    pub(super) next_offset: u64,
    pub(super) epochs: LeaderEpochs,
    /// Of the last batch; 0 without one.
    pub(super) last_leader_epoch: i32,
    pub(super) transactions: OpenTransactions,
    pub(super) torn: Option<TornEnd>,
    pub(super) batch_count: u64,
    pub(super) record_count: u64,
    pub(super) largest_batch_bytes: u32,
}

/// A segment that is to be taken over.
#[derive(Debug, Clone)]
pub(super) struct SurveyedSegment {
    pub(super) file: SegmentFile,
    /// Where it begins here: below its file, if nothing was left of those before.
    pub(super) base_offset: u64,
    /// As far as there are whole batches.
    pub(super) bytes: u64,
    /// The offset after its last batch.
    pub(super) batches_end: u64,
    /// Where it ends, which may lie above.
    pub(super) next_offset: u64,
}

impl LogSurvey {
    /// Reads the partition whose directory is `dir`. It begins at `log_start_offset` or later; what its batches expand to is bounded by
    /// `config`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for damage that is not at the end, [`Error::CannotImport`] for old formats, [`Error::CodecUnavailable`]; the
    /// disk's.
    pub(super) fn of(
        disk: &dyn Disk,
        dir: &Path,
        partition: &TopicPartition,
        log_start_offset: u64,
        config: &TopicConfig,
    ) -> Result<LogSurvey> {
        let files = segment_files(disk, dir, partition)?;
        let first = files.first().map_or(0, |file| file.base_offset);
        let mut surveying = Surveying {
            survey: LogSurvey::empty(partition, log_start_offset.max(first)),
            noted_epochs: LeaderEpochs::load(disk, dir)?.filter(|epochs| !epochs.entries().is_empty()),
            epochs: LeaderEpochs::default(),
            largest: config.largest_message_bytes,
            config: config.clone(),
            plain: Vec::new(),
        };
        for (index, file) in files.iter().enumerate() {
            let behind = files.get(index + 1);
            // Nothing of it can be at the log start or above.
            if behind.is_some_and(|behind| behind.base_offset <= surveying.survey.log_start_offset) {
                continue;
            }
            surveying.add(disk, file)?;
        }
        Ok(surveying.finish())
    }

    fn empty(partition: &TopicPartition, log_start_offset: u64) -> LogSurvey {
        LogSurvey {
            partition: partition.clone(),
            segments: Vec::new(),
            log_start_offset,
            next_offset: 0,
            epochs: LeaderEpochs::default(),
            last_leader_epoch: 0,
            transactions: OpenTransactions::default(),
            torn: None,
            batch_count: 0,
            record_count: 0,
            largest_batch_bytes: 0,
        }
    }

    /// Has the first segment begin where the log does, also if compaction has left empty files before it: a log here begins in its
    /// first segment. Where that would get too many offsets the log begins with it.
    fn begin_at_the_log_start(&mut self) {
        let Some(first) = self.segments.first_mut() else { return };
        if first.batches_end <= self.log_start_offset + SEGMENT_OFFSETS_MAX {
            first.base_offset = first.base_offset.min(self.log_start_offset);
        } else {
            self.log_start_offset = self.log_start_offset.max(first.base_offset);
        }
    }

    /// Where the log ends once its open transactions are aborted.
    pub(super) fn end_offset(&self) -> u64 {
        self.next_offset + self.transactions.count() as u64
    }

    /// What its segments take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// A survey under way.
struct Surveying {
    survey: LogSurvey,
    /// What the broker has noted, as long as no batch contradicts it.
    noted_epochs: Option<LeaderEpochs>,
    /// What the batches say.
    epochs: LeaderEpochs,
    config: TopicConfig,
    largest: u32,
    plain: Vec<u8>,
}

impl Surveying {
    /// Reads the next segment.
    fn add(&mut self, disk: &dyn Disk, file: &SegmentFile) -> Result<()> {
        let partition = self.survey.partition.clone();
        let reading = SegmentReading::open(disk, file, &partition)?;
        let expected = self.survey.next_offset;
        let end = reading.read(expected, &mut |header, batch| self.take(header, batch))?;
        match &self.survey.torn {
            // What comes behind a torn end is there only if nothing was written to it yet.
            Some(torn) if end.has_batches => return Err(damage_before_more(&partition, torn)),
            Some(_) => return Ok(()),
            None => {}
        }
        if let Some((bytes, reason)) = end.torn {
            self.survey.torn = Some(TornEnd { path: file.path.clone(), file_position: end.bytes, bytes, reason });
        }
        self.survey.next_offset = end.next_offset;
        if end.has_batches {
            self.survey.segments.push(SurveyedSegment {
                file: file.clone(),
                base_offset: file.base_offset,
                bytes: end.bytes,
                batches_end: end.next_offset,
                next_offset: end.next_offset,
            });
        }
        Ok(())
    }

    /// Takes in a batch, and checks all that a reader of it will.
    fn take(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let survey = &mut self.survey;
        self.largest = self.largest.max(header.batch_bytes);
        self.config.largest_message_bytes = self.largest;
        let invalid = |invalid| match invalid {
            Invalid::Codec(codec) => Error::CodecUnavailable {
                partition: survey.partition.clone(),
                offsets: header.base_offset()..header.next_offset(),
                codec: codec.name(),
            },
            malformed @ Invalid::Malformed(_) => corrupt_here(reason_of(malformed)),
        };
        check_readable(&header.start).map_err(invalid)?;
        let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
        let records =
            plain_records(header, stored, self.config.expanded_bytes_max(), &mut self.plain).map_err(invalid)?;
        check_records(header, records).map_err(invalid)?;
        survey.transactions.take(header, records).map_err(invalid)?;
        survey.batch_count += 1;
        survey.record_count += u64::from(header.record_count.unsigned_abs());
        survey.largest_batch_bytes = survey.largest_batch_bytes.max(header.batch_bytes);
        let leader_epoch = header.start.leader_epoch;
        survey.last_leader_epoch = leader_epoch.max(0);
        self.epochs.assign(leader_epoch, header.base_offset());
        let is_noted = |epochs: &LeaderEpochs| epochs.epoch_of(header.base_offset()) == Some(leader_epoch);
        // The broker forgets what lies below the log start.
        if survey.log_start_offset <= header.base_offset() && !self.noted_epochs.as_ref().is_none_or(is_noted) {
            self.noted_epochs = None;
        }
        Ok(())
    }

    fn finish(self) -> LogSurvey {
        let mut survey = self.survey;
        let start = survey.log_start_offset;
        if survey.next_offset <= start {
            // All that is left was deleted; of its transactions nobody hears any more.
            survey.next_offset = start;
            survey.segments.clear();
            survey.transactions = OpenTransactions::default();
            (survey.batch_count, survey.record_count) = (0, 0);
        }
        survey.segments.retain(|segment| start < segment.batches_end);
        survey.begin_at_the_log_start();
        // Offsets that compaction has left out between segments belong to the one before.
        let ends: Vec<u64> = survey.segments.iter().skip(1).map(|next| next.file.base_offset).collect();
        let end = survey.next_offset;
        for (segment, next) in survey.segments.iter_mut().zip(ends.into_iter().chain([end])) {
            segment.next_offset = next.min(segment.base_offset + SEGMENT_OFFSETS_MAX).max(segment.batches_end);
        }
        survey.epochs = self.noted_epochs.unwrap_or(self.epochs);
        // An epoch that begins at the end has no batch at the broker, which noted it after an unclean stop. The markers of what was open are
        // its first batches here.
        if survey.segments.is_empty() || 0 < survey.transactions.count() {
            survey.epochs.truncate_to(end + 1);
            survey.last_leader_epoch = survey.last_leader_epoch.max(survey.epochs.latest());
        } else {
            survey.epochs.truncate_to(end);
        }
        if !survey.segments.is_empty() && survey.epochs.entries().is_empty() {
            survey.epochs.assign(survey.last_leader_epoch, start);
        }
        survey
    }
}

fn damage_before_more(partition: &TopicPartition, torn: &TornEnd) -> Error {
    let (path, file_position, reason): (PathBuf, _, _) = (torn.path.clone(), torn.file_position, torn.reason);
    let damage =
        crate::error::Corruption { partition: Some(partition.clone()), path, file_position, offsets: None, reason };
    Error::Corrupt(Box::new(damage))
}
