//! `cooperative-sticky`: the result of `sticky`, reached without anybody giving up what it keeps.

use super::claims::{Claims, Partition};
use super::{Assignment, AssignmentRequest, Assignor, RebalanceProtocol, sticky};

/// Divides as [`StickyAssignor`](super::StickyAssignor) does, but leaves out each partition that another member still owns. That
/// member gives it up when it sees the result, and the next round assigns it.
///
/// Members go on reading the partitions that they keep while the group rebalances.
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
