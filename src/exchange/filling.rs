//! Taking over the logs of a topic that was surveyed.

use super::group_offsets::GroupOffsets;
use super::import_report::{ImportedOffset, ImportedPartition, ImportedTopic};
use super::log_reading::SegmentReading;
use super::survey::{LogSurvey, SurveyedSegment};
use crate::broker::filling::{Filling, NotFillable};
use crate::broker::store::Store;
use crate::error::{Result, SendOutcome};
use crate::group::committed_offset::CommittedOffset;
use crate::partition::config::TopicConfig;
use crate::partition::log_copy::{LogBounds, LogCopy};
use crate::topic_partition::TopicPartition;

use std::collections::BTreeMap;
use std::path::Path;

use super::broker_dir::BrokerDir;
use crate::partition::partition_metadata;

/// A topic that can be imported.
#[derive(Debug)]
pub(super) struct TopicSurvey {
    pub(super) name: String,
    pub(super) config: TopicConfig,
    /// By number, without those that are not there.
    pub(super) logs: BTreeMap<u32, LogSurvey>,
    /// What groups have committed, within the bounds of the logs.
    pub(super) offsets: Vec<TopicOffset>,
}

/// A committed offset that is to be taken over.
#[derive(Debug, Clone)]
pub(super) struct TopicOffset {
    pub(super) reported: ImportedOffset,
    pub(super) committed: CommittedOffset,
}

impl TopicSurvey {
    /// What the groups have committed for the topic.
    pub(super) fn offsets_of(
        source: &BrokerDir,
        logs: &BTreeMap<u32, LogSurvey>,
        topic: &str,
        groups: &GroupOffsets,
    ) -> Vec<TopicOffset> {
        let dirs = source.partitions(topic);
        let id_of = |dir: &Path| partition_metadata::load(&*source.disk, dir).ok().flatten();
        let mut found = Vec::new();
        for (group, partition, said) in groups.of_topic(topic) {
            let number = partition.partition();
            let (Some(log), Some(dir)) = (logs.get(&number), dirs.get(&number)) else { continue };
            // It may be of an earlier topic of the same name.
            let is_of_another = said.topic_id.is_some_and(|id| id_of(dir).is_some_and(|own| own != id));
            if is_of_another || group.is_empty() {
                continue;
            }
            let offset = said.offset.min(log.next_offset);
            let knows = |epoch: &i32| log.epochs.truncated_to(offset, *epoch, log.next_offset).is_none();
            let leader_epoch = said.leader_epoch.filter(|_| offset == said.offset).filter(knows);
            found.push(TopicOffset {
                reported: ImportedOffset {
                    group: group.to_owned(),
                    partition: partition.clone(),
                    offset,
                    committed_offset: said.offset,
                },
                committed: CommittedOffset::new(offset)
                    .with_metadata(said.metadata.clone())
                    .with_leader_epoch(leader_epoch),
            });
        }
        found
    }

    /// Takes the topic over: all of it, or nothing.
    ///
    /// # Errors
    /// What keeps it from being filled; damage that has come since the survey, and what the disk says.
    pub(super) fn fill(&self, store: &Store, source: &BrokerDir) -> Result<ImportedTopic, NotFillable> {
        if let Some(budget) = store.disk_budget() {
            budget.make_room(self.logs.values().map(LogSurvey::bytes).sum())?;
        }
        let filling = store.begin_filling(&self.name, &self.config)?;
        let now_ms = store.now_ms().max(0);
        let mut partitions = Vec::new();
        for number in 0..self.config.partitions {
            match self.logs.get(&number) {
                Some(survey) => {
                    copy(store, source, filling.log(number), survey, now_ms)?;
                    partitions.push(ImportedPartition::new(survey));
                }
                // Its log is empty, and begins at 0.
                None => partitions.push(ImportedPartition::missing(TopicPartition::new(self.name.as_str(), number))),
            }
        }
        if let Err(error) = self.commit_offsets(store, &filling, now_ms) {
            if matches!(error.outcome(), SendOutcome::Unknown | SendOutcome::Partly) {
                filling.leave();
            }
            return Err(error.into());
        }
        filling.finish()?;
        let offsets = self.offsets.iter().map(|offset| offset.reported.clone()).collect();
        Ok(ImportedTopic { name: self.name.clone(), partitions, offsets })
    }

    /// Commits the offsets, which are void as long as there is no topic of the id.
    fn commit_offsets(&self, store: &Store, filling: &Filling<'_>, now_ms: i64) -> Result<()> {
        let mut by_group: BTreeMap<&str, Vec<(TopicPartition, CommittedOffset)>> = BTreeMap::new();
        for TopicOffset { reported, committed } in &self.offsets {
            let stamped = committed.clone().stamped(filling.topic_id(), now_ms);
            by_group.entry(reported.group.as_str()).or_default().push((reported.partition.clone(), stamped));
        }
        if by_group.is_empty() {
            return Ok(());
        }
        let coordinator = store.coordinator()?;
        by_group
            .into_iter()
            .try_for_each(|(group, offsets)| coordinator.reset(group, &offsets, || Ok(()), store.monotonic()))
    }
}

/// Makes the log of one partition.
fn copy(store: &Store, source: &BrokerDir, mut copy: LogCopy, survey: &LogSurvey, now_ms: i64) -> Result<()> {
    for segment in &survey.segments {
        copy_segment(store, source, &mut copy, survey, segment)?;
    }
    let markers = survey.transactions.abort_markers(survey.next_offset, survey.last_leader_epoch, now_ms);
    for (header, marker) in &markers {
        let base_offset = segment_for(&copy, survey, header.base_offset(), marker.len() as u64);
        copy.append(base_offset, marker, header)?;
    }
    let bounds = LogBounds {
        log_start_offset: survey.log_start_offset,
        next_offset: survey.end_offset(),
        clean_offset: 0,
        epochs: survey.epochs.clone(),
    };
    copy.finish(&bounds).map(drop)
}

fn copy_segment(
    store: &Store,
    source: &BrokerDir,
    copy: &mut LogCopy,
    survey: &LogSurvey,
    segment: &SurveyedSegment,
) -> Result<()> {
    let base_offset = segment.base_offset;
    let reading = SegmentReading::open(&*source.disk, &segment.file, &survey.partition)?.up_to(segment.bytes);
    let end = reading.read(base_offset, &mut |header, batch| {
        store.check_open()?;
        copy.append(base_offset, batch, header)
    })?;
    if (end.bytes, end.next_offset) != (segment.bytes, segment.batches_end) {
        return Err(reading.corrupt(end.bytes, "it changed while it was imported; stop the broker first"));
    }
    copy.end_segment_at(base_offset, segment.next_offset);
    Ok(())
}

/// The segment that a marker at this offset goes into: the last one, if it fits there.
fn segment_for(copy: &LogCopy, survey: &LogSurvey, offset: u64, bytes: u64) -> u64 {
    let last = survey.segments.last().map(|segment| segment.base_offset);
    let fits = |base_offset: &u64| {
        let written = copy.written_to(*base_offset).map_or(0, |(bytes, _)| bytes);
        let is_near = offset.checked_sub(*base_offset).is_some_and(|relative| i32::try_from(relative).is_ok());
        is_near && i32::try_from(written.saturating_add(bytes)).is_ok()
    };
    last.filter(fits).unwrap_or(offset)
}
