//! `sticky`: balanced first, and then as few moves as possible.

#![allow(clippy::indexing_slicing, reason = "the indexes are those of the claims")]

mod unequal;

use std::collections::VecDeque;

use super::claims::{Claims, Shares};
use super::{Assignment, AssignmentRequest, Assignor};

/// Leaves each member the partitions that it had, as far as the balance allows.
///
/// If all members want the same topics, their numbers of partitions differ by at most one. Otherwise a partition goes to the
/// member with the fewest partitions among those that want it, until no single move would improve the balance.
///
/// # Examples
/// ```
/// use ottla::{AssignmentRequest, Assignor, GroupMember, StickyAssignor, TopicPartition};
/// let orders = |n| TopicPartition::new("orders", n);
/// let members = [GroupMember::new("a", ["orders"]).with_owned(1, [orders(0), orders(1)]), GroupMember::new("b", ["orders"])];
/// let assignment = StickyAssignor.assign(&AssignmentRequest::new([("orders", 2)], members));
/// assert_eq!(assignment.partitions_of("a").len(), 1);
/// assert_eq!(assignment.partitions_of("b").len(), 1);
/// ```
#[doc(alias = "org.apache.kafka.clients.consumer.StickyAssignor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        let claims = Claims::new(request);
        claims.assignment(target(&claims), |_, _| true)
    }
}

/// What every member is to have in the end.
pub(super) fn target(claims: &Claims<'_>) -> Shares {
    if claims.are_subscriptions_equal() { equal(claims) } else { unequal::target(claims) }
}

/// The target where every member may get every partition.
fn equal(claims: &Claims<'_>) -> Shares {
    let mut shares = claims.owned();
    let Some(min) = claims.partitions().len().checked_div(shares.len()) else { return shares };
    let mut max_places = claims.partitions().len() % shares.len();

    for share in &mut shares {
        let has_place = share.len() > min && max_places > 0;
        max_places -= usize::from(has_place);
        share.truncate(min + usize::from(has_place));
    }
    let mut is_kept = vec![false; claims.partitions().len()];
    shares.iter().flatten().for_each(|partition| is_kept[*partition] = true);

    // There are as many left as it takes to bring all to the minimum and to fill the places above it.
    let by_id = claims.members_by_id();
    let mut below: VecDeque<_> = by_id.iter().copied().filter(|member| shares[*member].len() < min).collect();
    let mut at_min: VecDeque<_> = by_id.iter().copied().filter(|member| shares[*member].len() == min).collect();
    for partition in (0..is_kept.len()).filter(|partition| !is_kept[*partition]) {
        let Some(member) = below.pop_front().or_else(|| at_min.pop_front()) else { break };
        shares[member].push(partition);
        match shares[member].len() {
            len if len < min => below.push_back(member),
            len if len == min => at_min.push_back(member),
            _ => {}
        }
    }
    shares
}
