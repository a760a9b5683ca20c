//! The events, as plain values. What a subscriber gets of each is in `emitting`.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Corruption;
use crate::topic_partition::TopicPartition;

/// Something that is worth a line.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody reads what is never made"))]
pub(crate) enum Event {
    /// A directory was opened. What was found in it comes before this.
    BrokerOpened {
        dir: PathBuf,
        mode: String,
        last_writer: &'static str,
        is_clean: bool,
        topics: usize,
        partitions: usize,
        recovered_partitions: usize,
        salvaged_records: u64,
        cut_bytes: u64,
        damages: usize,
        duration: Duration,
    },
    /// A broker was closed; the reason why what it left is to be recovered, if so.
    BrokerClosed {
        dir: PathBuf,
        reason: Option<String>,
        duration: Duration,
    },
    /// More happened than was told.
    EventsLost {
        count: u64,
    },
    /// What opening found and did in a partition.
    PartitionRecovered(Box<PartitionRecovered>),
    /// Damage that opening found.
    DamageFound {
        damage: Corruption,
    },
    /// Transactions of an earlier process were ended.
    TransactionsSettled {
        committed: usize,
        aborted: usize,
    },
    /// Damage that a read met.
    DamageMet {
        damage: Corruption,
    },
    /// The index files of a segment were not what was noted of them.
    IndexesRebuilt {
        partition: TopicPartition,
        path: PathBuf,
    },
    /// A new segment was begun.
    SegmentRolled {
        partition: TopicPartition,
        base_offset: u64,
        bytes: u64,
    },
    /// A log begins later.
    RecordsDeleted {
        partition: TopicPartition,
        by: DeletedBy,
        offsets: Range<u64>,
        segments: usize,
        bytes: u64,
    },
    /// A replica came too late for what the source had deleted.
    ReplicaMissed {
        partition: TopicPartition,
        offsets: Range<u64>,
    },
    /// The replica of a broker has failed, and sends are refused until it has caught up, or it was given up.
    ReplicaFailed {
        path: PathBuf,
        reason: String,
        is_dropped: bool,
    },
    /// It has caught up.
    ReplicaRecovered {
        path: PathBuf,
    },
    /// A partition refuses writes from now on.
    PartitionPoisoned {
        partition: TopicPartition,
        reason: String,
    },
    /// So does everything that is written to a tail.
    TailFailed {
        path: PathBuf,
        reason: String,
    },
    /// A sync took long.
    SlowSync {
        path: PathBuf,
        duration: Duration,
    },
    /// A log was compacted.
    Compacted {
        partition: TopicPartition,
        passes: u32,
        records_removed: u64,
        tombstones_removed: u64,
        end_offset: u64,
        duration: Duration,
    },
    /// A log could not be compacted.
    CompactionFailed {
        partition: TopicPartition,
        reason: String,
    },
    /// A kind of maintenance failed, for another reason than before.
    MaintenanceFailed {
        work: String,
        reason: String,
    },
    /// It does not any more.
    MaintenanceRecovered {
        work: String,
    },
    TopicCreated {
        topic: String,
        config: String,
    },
    TopicAltered {
        topic: String,
        config: String,
    },
    TopicDeleted {
        topic: String,
    },
    /// A group is in another generation.
    GroupRebalanced {
        group: String,
        generation: i32,
        members: usize,
    },
    /// A member was put out of its group.
    MemberFenced {
        group: String,
        member_id: String,
        reason: &'static str,
    },
    /// A consumer's position was not in the log any more.
    PositionReset {
        group: String,
        partition: TopicPartition,
        from: u64,
        to: u64,
    },
    /// A power cut had taken what a group had read, and the consumer goes on behind it.
    PositionTruncated {
        group: String,
        partition: TopicPartition,
        from: u64,
        to: u64,
    },
    /// A consumer went on behind damage.
    DamageSkipped {
        group: String,
        partition: TopicPartition,
        offsets: Range<u64>,
    },
    /// A transactional producer may not go on.
    ProducerFenced {
        transactional_id: String,
        reason: String,
    },
    /// Its transaction was aborted, and not by itself.
    TransactionAborted {
        transactional_id: String,
        partitions: usize,
        reason: String,
    },
}

/// What opening found and did in a partition.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody reads what is never made"))]
pub(crate) struct PartitionRecovered {
    pub(crate) partition: TopicPartition,
    pub(crate) is_clean: bool,
    pub(crate) scanned_batches: u64,
    pub(crate) salvaged_records: u64,
    pub(crate) unsealed_records: u64,
    pub(crate) dropped_batches: u64,
    pub(crate) torn_batches: u64,
    pub(crate) cut_bytes: u64,
    pub(crate) unkept_bytes: u64,
    pub(crate) leader_epoch_raised: bool,
    pub(crate) rebuilt: Vec<PathBuf>,
    pub(crate) quarantined: Vec<PathBuf>,
    pub(crate) reason: Option<String>,
}

/// By which rule records were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeletedBy {
    Retention,
    Budget,
    DeleteRecords,
}

impl fmt::Display for DeletedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeletedBy::Retention => "retention",
            DeletedBy::Budget => "disk budget",
            DeletedBy::DeleteRecords => "delete_records",
        })
    }
}
