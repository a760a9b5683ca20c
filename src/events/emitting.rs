//! What a subscriber gets of each event: name, target, level, message and fields. `src/guide/events.md` has them as a table, which a
//! test compares with this file. They are public: whoever filters by them is to go on doing so with the next release.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Event, PartitionRecovered};
use crate::error::Corruption;

/// A warning, unless all is well.
macro_rules! warn_unless {
    ($is_well:expr, $($event:tt)+) => {
        if $is_well { info!($($event)+) } else { warn!($($event)+) }
    };
}

/// A warning of damage.
macro_rules! warn_of {
    ($damage:expr, name: $name:literal, target: $target:literal, $message:literal) => {{
        let Corruption { partition, path, file_position, offsets, reason } = $damage;
        warn!(
            name: $name,
            target: $target,
            partition = partition.as_ref().map(tracing::field::display),
            path = %path.display(),
            file_position,
            first_offset = offsets.as_ref().map(|offsets| offsets.start),
            end_offset = offsets.as_ref().map(|offsets| offsets.end),
            reason,
            $message
        );
    }};
}

impl Event {
    /// Gives the event to the subscriber of this thread.
    #[allow(clippy::too_many_lines, reason = "one arm for each kind")]
    pub(super) fn emit(self) {
        match self {
            Event::BrokerOpened {
                dir,
                mode,
                last_writer,
                is_clean,
                topics,
                partitions,
                recovered_partitions,
                salvaged_records,
                cut_bytes,
                damages,
                duration,
            } => warn_unless!(
                is_clean,
                name: "broker_opened",
                target: "ottla::broker",
                dir = %dir.display(),
                mode,
                last_writer,
                topics,
                partitions,
                recovered_partitions,
                salvaged_records,
                cut_bytes,
                damages,
                duration_ms = as_ms(duration),
                "broker opened"
            ),
            Event::BrokerClosed { dir, reason, duration } => warn_unless!(
                reason.is_none(),
                name: "broker_closed",
                target: "ottla::broker",
                dir = %dir.display(),
                duration_ms = as_ms(duration),
                reason,
                "broker closed"
            ),
            Event::EventsLost { count } => {
                warn!(name: "events_lost", target: "ottla::broker", count, "events lost, since too many waited");
            }
            Event::PartitionRecovered(recovered) => {
                let PartitionRecovered {
                    partition,
                    is_clean,
                    scanned_batches,
                    salvaged_records,
                    unsealed_records,
                    dropped_batches,
                    torn_batches,
                    cut_bytes,
                    unkept_bytes,
                    leader_epoch_raised,
                    rebuilt,
                    quarantined,
                    reason,
                } = *recovered;
                warn_unless!(
                    is_clean,
                    name: "partition_recovered",
                    target: "ottla::recovery",
                    partition = %partition,
                    scanned_batches,
                    salvaged_records,
                    unsealed_records,
                    dropped_batches,
                    torn_batches,
                    cut_bytes,
                    unkept_bytes,
                    leader_epoch_raised,
                    rebuilt = ?rebuilt,
                    quarantined = ?quarantined,
                    reason,
                    "partition recovered"
                );
            }
            Event::DamageFound { damage } => {
                warn_of!(damage, name: "damage_found", target: "ottla::recovery", "damage found while opening");
            }
            Event::TransactionsSettled { committed, aborted } => info!(
                name: "transactions_settled",
                target: "ottla::recovery",
                committed,
                aborted,
                "transactions of an earlier process ended"
            ),
            Event::DamageMet { damage } => {
                warn_of!(damage, name: "damage_met", target: "ottla::log", "damage met while reading");
            }
            Event::IndexesRebuilt { partition, path } => info!(
                name: "indexes_rebuilt",
                target: "ottla::log",
                partition = %partition,
                path = %path.display(),
                "indexes of a segment made anew"
            ),
            Event::SegmentRolled { partition, base_offset, bytes } => debug!(
                name: "segment_rolled",
                target: "ottla::log",
                partition = %partition,
                base_offset,
                bytes,
                "segment rolled"
            ),
            Event::RecordsDeleted { partition, by, offsets, segments, bytes } => debug!(
                name: "records_deleted",
                target: "ottla::log",
                partition = %partition,
                by = %by,
                first_offset = offsets.start,
                log_start_offset = offsets.end,
                segments,
                bytes,
                "records deleted"
            ),
            Event::ReplicaMissed { partition, offsets } => warn!(
                name: "replica_missed",
                target: "ottla::log",
                partition = %partition,
                first_offset = offsets.start,
                end_offset = offsets.end,
                "a replica never had records, since they were deleted before it came for them"
            ),
            Event::ReplicaFailed { path, reason, is_dropped } => error!(
                name: "replica_failed",
                target: "ottla::log",
                path = %path.display(),
                reason,
                is_dropped,
                "the replica has failed"
            ),
            Event::ReplicaRecovered { path } => info!(
                name: "replica_recovered",
                target: "ottla::log",
                path = %path.display(),
                "the replica has caught up again"
            ),
            Event::PartitionPoisoned { partition, reason } => error!(
                name: "partition_poisoned",
                target: "ottla::log",
                partition = %partition,
                reason,
                "partition refuses writes until the broker is opened again"
            ),
            Event::TailFailed { path, reason } => error!(
                name: "tail_failed",
                target: "ottla::log",
                path = %path.display(),
                reason,
                "all partitions of a tail refuse writes until the broker is opened again"
            ),
            Event::SlowSync { path, duration } => warn!(
                name: "slow_sync",
                target: "ottla::log",
                path = %path.display(),
                duration_ms = as_ms(duration),
                "slow sync"
            ),
            Event::Compacted { partition, passes, records_removed, tombstones_removed, end_offset, duration } => {
                debug!(
                    name: "compacted",
                    target: "ottla::compaction",
                    partition = %partition,
                    passes,
                    records_removed,
                    tombstones_removed,
                    end_offset,
                    duration_ms = as_ms(duration),
                    "partition compacted"
                );
            }
            Event::CompactionFailed { partition, reason } => warn!(
                name: "compaction_failed",
                target: "ottla::compaction",
                partition = %partition,
                reason,
                "compaction failed"
            ),
            Event::MaintenanceFailed { work, reason } => {
                warn!(name: "maintenance_failed", target: "ottla::maintenance", work, reason, "maintenance failed");
            }
            Event::MaintenanceRecovered { work } => {
                info!(name: "maintenance_recovered", target: "ottla::maintenance", work, "maintenance works again");
            }
            Event::TopicCreated { topic, config } => {
                info!(name: "topic_created", target: "ottla::topic", topic, config, "topic created");
            }
            Event::TopicAltered { topic, config } => {
                info!(name: "topic_altered", target: "ottla::topic", topic, config, "topic altered");
            }
            Event::TopicDeleted { topic } => {
                info!(name: "topic_deleted", target: "ottla::topic", topic, "topic deleted");
            }
            Event::GroupRebalanced { group, generation, members } => info!(
                name: "group_rebalanced",
                target: "ottla::group",
                group,
                generation,
                members,
                "group rebalanced"
            ),
            Event::MemberFenced { group, member_id, reason } => warn!(
                name: "member_fenced",
                target: "ottla::group",
                group,
                member_id,
                reason,
                "member put out of its group"
            ),
            Event::PositionReset { group, partition, from, to } => warn!(
                name: "position_reset",
                target: "ottla::group",
                group,
                partition = %partition,
                from,
                to,
                "position was not in the log any more"
            ),
            Event::PositionTruncated { group, partition, from, to } => warn!(
                name: "position_truncated",
                target: "ottla::group",
                group,
                partition = %partition,
                from,
                to,
                "a power cut took records that the group had read"
            ),
            Event::DamageSkipped { group, partition, offsets } => warn!(
                name: "damage_skipped",
                target: "ottla::group",
                group,
                partition = %partition,
                first_offset = offsets.start,
                end_offset = offsets.end,
                "damage skipped"
            ),
            Event::ProducerFenced { transactional_id, reason } => warn!(
                name: "producer_fenced",
                target: "ottla::transaction",
                transactional_id,
                reason,
                "transactional producer fenced"
            ),
            Event::TransactionAborted { transactional_id, partitions, reason } => warn!(
                name: "transaction_aborted",
                target: "ottla::transaction",
                transactional_id,
                partitions,
                reason,
                "transaction aborted"
            ),
        }
    }
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
