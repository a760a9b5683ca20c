//! `roundrobin`: all partitions dealt like cards.

use super::{Assignment, AssignmentRequest, Assignor, partitions_of_topic};

/// Deals out all partitions of all topics, by topic and then by number, to the members in turn. A member that is not subscribed to
/// a topic is left out.
///
/// The shares are even if all members want the same topics. When members come or go, most partitions move.
///
/// # Examples
/// ```
/// use ottla::{AssignmentRequest, Assignor, GroupMember, RoundRobinAssignor, TopicPartition};
/// let members = ["a", "b"].map(|id| GroupMember::new(id, ["orders"]));
/// let assignment = RoundRobinAssignor.assign(&AssignmentRequest::new([("orders", 3)], members));
/// assert_eq!(assignment.partitions_of("a"), [0, 2].map(|n| TopicPartition::new("orders", n)));
/// ```
#[doc(alias = "org.apache.kafka.clients.consumer.RoundRobinAssignor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        let mut assignment = Assignment::new();
        let mut circle = request.members().iter().cycle();
        for (topic, partition_count) in request.topics() {
            // In a circle without a subscriber the search would have no end.
            if request.subscribers(topic).next().is_none() {
                continue;
            }
            for partition in partitions_of_topic(topic, partition_count) {
                if let Some(member) = circle.find(|member| member.topics().contains(topic)) {
                    assignment.assign(member.member_id(), partition);
                }
            }
        }
        assignment
    }
}
