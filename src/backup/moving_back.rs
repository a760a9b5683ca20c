//! Groups that have committed more than a copy has.

use std::ops::Range;

use crate::ResetTo;
use crate::broker::Broker;
use crate::error::Result;
use crate::group::committed_offset::CommittedOffset;
use crate::topic_partition::TopicPartition;

/// Moves groups back that have committed what is not there any more: behind the end of a partition, as `end_of` has it. Returns what they
/// had committed.
///
/// # Errors
/// Those of [`Admin::reset_offsets`](crate::Admin::reset_offsets).
pub(crate) fn move_groups_back(
    broker: &Broker,
    end_of: impl Fn(&TopicPartition) -> Option<u64>,
) -> Result<Vec<(String, TopicPartition, Range<u64>)>> {
    let (admin, mut moved) = (broker.admin(), Vec::new());
    for group in admin.list_groups()? {
        for found in admin.describe_group(&group)?.partitions() {
            let (partition, committed) = (found.topic_partition(), found.committed().map(CommittedOffset::offset));
            if let (Some(end), Some(committed)) = (end_of(partition), committed)
                && end < committed
            {
                let reset = admin.reset_offsets(&group).partition(partition.clone());
                reset.to(ResetTo::Offset(end)).execute()?;
                moved.push((group.clone(), partition.clone(), end..committed));
            }
        }
    }
    Ok(moved)
}
