//! A transaction whose outcome is fixed, and whose markers are being written.

use std::ops::Range;
use std::sync::Arc;

use super::holder::{Holder, Sent, SentTo};
use super::state_records::Covered;
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::format::ProducerIdAndEpoch;
use crate::partition::log::Log;
use crate::partition::log_id::LogId;
use crate::topic_partition::TopicPartition;

/// A transaction whose outcome is fixed. Whoever comes by may write its markers, however late: a log takes one.
#[derive(Debug)]
pub(super) struct Decided {
    /// Whose it is, with the epoch that the markers get.
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) is_commit: bool,
    pub(super) sent: Sent,
    /// Where the decision is, if it is to be durable before there are markers. The markers of such a commit are durable before another
    /// decision takes its place.
    pub(super) awaited: Option<Range<u64>>,
    /// When it was decided, by the wall clock: the time of all its markers.
    pub(super) ended_ms: i64,
    /// The coordinator's epoch.
    pub(super) coordinator_epoch: i32,
    pub(super) holder: Arc<Holder>,
}

impl Decided {
    /// Writes the markers, and has the groups take what was staged for them. Readers see the outcome also where one cannot be written.
    /// What the producer has sent since, in its next transaction, lies behind the end of this one in each log, and is left alone.
    pub(super) fn write_markers(&self) -> Result<()> {
        let Decided { producer, is_commit, sent, coordinator_epoch, ended_ms, .. } = self;
        let lost = usize::from(planted(Canary::LoseMarker));
        let mut result = Ok(());
        for sent in sent.logs.values().skip(lost) {
            let end = sent.offsets.end;
            match sent.log.end_transaction_below(end, *producer, *is_commit, *coordinator_epoch, *ended_ms) {
                // The topic was deleted, and its part of the transaction with it.
                Ok(_) | Err(Error::Closed { .. }) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        for (groups, group) in &sent.groups {
            let id = &self.holder.transactional_id;
            result = result.and(groups.end_transaction(group, id, *is_commit, |log| sent.end_in(log)));
        }
        result
    }
}

impl Sent {
    /// The partitions, in order, as the decision names them.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.logs.values().map(|sent| sent.log.partition().clone()).collect()
    }

    /// What the decision is about in each log.
    pub(super) fn covered(&self) -> Vec<Covered> {
        let covered = |sent: &SentTo| Covered {
            topic_id: sent.log.topic_id(),
            partition: sent.log.partition().partition(),
            offsets: sent.offsets.clone(),
        };
        self.logs.values().map(covered).collect()
    }

    /// What all that it has sent to a log lies below.
    pub(super) fn end_in(&self, log: LogId) -> u64 {
        self.logs.get(&log).map_or(0, |sent| sent.offsets.end)
    }

    /// The logs, and up to where each is to be durable.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Arc<Log>, u64)> {
        self.logs.values().map(|sent| (Arc::clone(&sent.log), sent.offsets.end))
    }
}
