//! `range`: topic by topic, a run of consecutive partitions for each member.

use super::{Assignment, AssignmentRequest, Assignor, partitions_of_topic};

/// Gives each member of a topic a run of its partitions: of n partitions and c members, ⌊n/c⌋ each, and the first n mod c
/// members one more.
///
/// Topics with the same number of partitions are divided in the same way, so the records of one key in all of them come to one
/// member. With many small topics the first members get more than the last.
///
/// # Examples
/// ```
/// use ottla::{AssignmentRequest, Assignor, GroupMember, RangeAssignor, TopicPartition};
/// let members = ["a", "b"].map(|id| GroupMember::new(id, ["orders"]));
/// let assignment = RangeAssignor.assign(&AssignmentRequest::new([("orders", 3)], members));
/// assert_eq!(assignment.partitions_of("a"), [0, 1].map(|n| TopicPartition::new("orders", n)));
/// ```
#[doc(alias = "org.apache.kafka.clients.consumer.RangeAssignor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        let mut assignment = Assignment::new();
        for (topic, partition_count) in request.topics() {
            let subscriber_count = request.subscribers(topic).count();
            let Some(share) = (partition_count as usize).checked_div(subscriber_count) else { continue };
            let with_one_more = partition_count as usize % subscriber_count;
            let mut partitions = partitions_of_topic(topic, partition_count);
            for (position, member) in request.subscribers(topic).enumerate() {
                let count = share + usize::from(position < with_one_more);
                partitions.by_ref().take(count).for_each(|partition| assignment.assign(member.member_id(), partition));
            }
        }
        assignment
    }
}
