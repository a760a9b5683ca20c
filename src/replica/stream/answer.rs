//! [`ReplicaAnswer`]: what a target has acknowledged, and got.

use std::fmt;

use super::request::Request;
use crate::error::count;
use crate::replica::offer::DirectoryOffer;
use crate::replica::report::ReplicaLag;
use crate::topic_partition::TopicPartition;

/// What the other end of a [`ReplicaStream`](crate::ReplicaStream) had when it asked, and was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaAnswer {
    acknowledged: Vec<(TopicPartition, u64)>,
    lag: ReplicaLag,
    bytes: u64,
}

impl ReplicaAnswer {
    pub(super) fn new(request: &Request, offer: &DirectoryOffer, bytes: u64) -> ReplicaAnswer {
        let mut acknowledged = Vec::new();
        for topic in &request.topics {
            let logs = request.logs.values().filter(|held| held.state.log.topic_id == topic.topic_id);
            acknowledged.extend(logs.map(|held| {
                (TopicPartition::new(topic.name.clone(), held.state.log.partition), held.state.next_offset)
            }));
        }
        acknowledged.sort_unstable();
        let behind = offer.logs.iter().map(|offered| {
            let end = request.logs.get(&offered.id).map_or(0, |held| held.state.next_offset);
            (offered.partition.clone(), offered.has.seen.1.saturating_sub(end))
        });
        let mut partitions: Vec<_> = behind.filter(|(_, behind)| 0 < *behind).collect();
        partitions.sort_unstable();
        let lag = ReplicaLag { partitions, taken_ms: Some(request.taken_ms).filter(|ms| 0 <= *ms) };
        ReplicaAnswer { acknowledged, lag, bytes }
    }

    /// What the replica had when it asked, by partition: all below this offset survives a power cut there.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&TopicPartition, u64)> {
        self.acknowledged.iter().map(|(partition, offset)| (partition, *offset))
    }

    /// How far the replica was behind when it asked. What it was sent then is only known to have come once it asks again.
    #[must_use]
    pub fn lag(&self) -> &ReplicaLag {
        &self.lag
    }

    /// Bytes of log files that were sent.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for ReplicaAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = count(self.acknowledged.len(), "partition");
        write!(f, "{partitions} known, {} offsets behind, {} bytes sent", self.lag.offsets(), self.bytes)
    }
}
