//! `cooperative-sticky`: the result of `sticky`, reached without anybody giving up what it keeps.

use super::claims::{Claims, Partition};
use super::{Assignment, AssignmentRequest, Assignor, RebalanceProtocol, sticky};

/// Divides as [`StickyAssignor`](super::StickyAssignor) does, but leaves out each partition that another member still owns. That
/// member gives it up when it sees the result, and the next round assigns it.
///
/// Members go on reading the partitions that they keep while the group rebalances.
///
/// # Examples
/// ```
/// use ottla::{AssignmentRequest, Assignor, GroupMember, CooperativeStickyAssignor, TopicPartition};
/// let orders = |n| TopicPartition::new("orders", n);
/// let members = [GroupMember::new("a", ["orders"]).with_owned(1, [orders(0), orders(1)]), GroupMember::new("b", ["orders"])];
/// let assignment = CooperativeStickyAssignor.assign(&AssignmentRequest::new([("orders", 2)], members));
/// assert_eq!(assignment.partitions_of("a").len(), 1);
/// assert!(assignment.partitions_of("b").is_empty(), "it gets its partition once `a` has given it up");
/// ```
#[doc(alias = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        let claims = Claims::new(request);
        claims.assignment(sticky::target(&claims), Partition::is_free_for)
    }
}
