//! [`DirectoryOffer`]: what a source has at one point, for its replica, said without its files.

use std::path::PathBuf;
use std::sync::Arc;

use crate::broker::catalog::{CatalogEntry, DirectoryIdentity};
use crate::broker::copying::{DirectoryContents, SourceLog};
use crate::partition::log_id::LogId;
use crate::partition::log_offer::LogOffer;
use crate::segment::Segment;
use crate::topic_partition::TopicPartition;

/// What a source has at one point.
#[derive(Debug)]
pub(super) struct DirectoryOffer {
    pub(super) identity: DirectoryIdentity,
    /// By name.
    pub(super) topics: Vec<(Arc<str>, CatalogEntry)>,
    /// Of these topics, ascending by their ids.
    pub(super) logs: Vec<OfferedLog>,
    /// By the wall clock.
    pub(super) taken_ms: i64,
}

/// A log of it.
#[derive(Debug)]
pub(super) struct OfferedLog {
    pub(super) id: LogId,
    pub(super) partition: TopicPartition,
    pub(super) has: LogOffer,
}

/// Where the files of a log are that is offered.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) dir: PathBuf,
    /// The segments that are not noted, ascending.
    pub(super) unnoted: Vec<Arc<Segment>>,
}

impl DirectoryOffer {
    /// What is offered of a directory, and for each of its logs, in the same order, where its files are.
    pub(super) fn of(contents: DirectoryContents) -> (DirectoryOffer, Vec<LogFiles>) {
        let DirectoryContents { identity, topics, mut logs, taken_ms } = contents;
        // A topic may have come or gone while the logs were looked at: a later round has the rest.
        logs.retain(|log| {
            let has_it = |(_, entry): &(Arc<str>, CatalogEntry)| {
                entry.topic_id == log.topic_id && log.partition.partition() < entry.config.partitions
            };
            topics.iter().any(has_it)
        });
        logs.sort_unstable_by_key(|log| (log.topic_id, log.partition.partition()));
        let (logs, files) = logs.into_iter().map(offer_log).unzip();
        (DirectoryOffer { identity, topics, logs, taken_ms }, files)
    }

    /// Whether every partition of every topic is among the logs.
    pub(super) fn has_all_logs(&self) -> bool {
        let partitions: u64 = self.topics.iter().map(|(_, entry)| u64::from(entry.config.partitions)).sum();
        partitions == self.logs.len() as u64
    }
}

fn offer_log(log: SourceLog) -> (OfferedLog, LogFiles) {
    let SourceLog { partition, topic_id, dir, contents } = log;
    let id = LogId { topic_id, partition: partition.partition() };
    let (has, unnoted) = contents.into_offer();
    (OfferedLog { id, partition, has }, LogFiles { dir, unnoted })
}
