//! The target of the sticky assignors where members want different topics.

#![allow(clippy::indexing_slicing, reason = "the indexes are those of the claims")]

use crate::group::assignor::claims::{Claims, Partition, Shares};

/// A division of the partitions on its way to balance.
#[derive(Debug)]
struct Balance<'a> {
    claims: &'a Claims<'a>,
    /// By partition.
    owner: Vec<Option<usize>>,
    /// By member: how many partitions it has.
    load: Vec<usize>,
}

/// What every member is to have in the end: first all that is still valid, then each remaining partition where there are the
/// fewest, then single moves while one makes it better.
pub(super) fn target(claims: &Claims<'_>) -> Shares {
    let owner: Vec<_> = claims.partitions().iter().map(Partition::owner).collect();
    let remaining: Vec<_> = (0..owner.len()).filter(|partition| owner[*partition].is_none()).collect();
    let mut load = vec![0; claims.member_count()];
    owner.iter().flatten().for_each(|member| load[*member] += 1);

    let mut balance = Balance { claims, owner, load };
    for partition in &remaining {
        if let Some(member) = balance.least_loaded(*partition) {
            balance.give(*partition, member);
        }
    }
    // What moves anyway is moved first, and what has an owner only if that was not enough.
    balance.improve(&remaining);
    balance.improve(&(0..balance.owner.len()).collect::<Vec<_>>());
    balance.shares()
}

impl Balance<'_> {
    /// Of the members that may get `partition`, the one that has the fewest.
    fn least_loaded(&self, partition: usize) -> Option<usize> {
        let subscribers = self.claims.partitions()[partition].subscribers.iter().copied();
        subscribers.min_by_key(|member| self.load[*member])
    }

    fn give(&mut self, partition: usize, member: usize) {
        if let Some(from) = self.owner[partition].replace(member) {
            self.load[from] -= 1;
        }
        self.load[member] += 1;
    }

    /// Moves single ones of `partitions` until no move of one makes it better. Every move makes the sum of the squares of the
    /// loads smaller, so there is an end.
    fn improve(&mut self, partitions: &[usize]) {
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            for partition in partitions {
                if let Some(member) = self.better_owner(*partition) {
                    self.give(*partition, member);
                    has_moved = true;
                }
            }
        }
    }

    /// A member that would still have fewer than the owner of `partition` has now; if it can be, one that had it before.
    fn better_owner(&self, partition: usize) -> Option<usize> {
        let from = self.owner[partition]?;
        let is_better = |member: &usize| self.load[*member] + 1 < self.load[from];
        let previous = self.claims.partitions()[partition].previous_owners().find(is_better);
        previous.or_else(|| self.least_loaded(partition).filter(is_better))
    }

    fn shares(&self) -> Shares {
        let mut shares = vec![Vec::new(); self.load.len()];
        for (partition, owner) in self.owner.iter().enumerate() {
            if let Some(owner) = owner {
                shares[*owner].push(partition);
            }
        }
        shares
    }
}
