//! Which batches of a log belong to transactions that never happened.

use std::sync::Arc;

use crate::segment::AbortedTransaction;

/// The aborted transactions of a log, for who reads in it.
#[derive(Debug, Clone, Default)]
pub(in crate::partition) struct AbortedTransactions {
    /// By producer and then by offset. Those of one producer do not overlap: each ends before the next one begins.
    older: Arc<[AbortedTransaction]>,
    /// The same of those that were added since. They are few, so that to add one more does not copy all.
    recent: Arc<[AbortedTransaction]>,
}

/// So many are added before they are looked at together with the older ones.
const RECENT_MAX: usize = 64;

impl AbortedTransactions {
    /// Those of all segments, in any order; `None` if there is none.
    pub(in crate::partition) fn new(mut entries: Vec<AbortedTransaction>) -> Option<Arc<AbortedTransactions>> {
        entries.sort_unstable_by_key(key);
        (!entries.is_empty()).then(|| Arc::new(AbortedTransactions { older: entries.into(), recent: Arc::default() }))
    }

    /// The same and one more.
    pub(in crate::partition) fn with(&self, entry: AbortedTransaction) -> AbortedTransactions {
        let at = self.recent.partition_point(|other| key(other) < key(&entry));
        let (before, behind) = self.recent.split_at_checked(at).unwrap_or_default();
        let recent: Vec<_> = before.iter().chain([&entry]).chain(behind).copied().collect();
        // So many that to copy all costs each of them no more than their square root.
        if recent.len() < RECENT_MAX || recent.len().saturating_mul(recent.len()) < self.older.len() {
            return AbortedTransactions { older: Arc::clone(&self.older), recent: recent.into() };
        }
        let mut older: Vec<_> = self.older.iter().copied().chain(recent).collect();
        older.sort_by_key(key);
        AbortedTransactions { older: older.into(), recent: Arc::default() }
    }

    /// Those that end at or behind `offset`; `None` if there is none.
    pub(in crate::partition) fn from_offset(self: &Arc<Self>, offset: u64) -> Option<Arc<AbortedTransactions>> {
        let is_left = |entry: &&AbortedTransaction| offset <= entry.last_offset;
        let all = || self.older.iter().chain(&*self.recent);
        if all().all(|entry| is_left(&entry)) {
            return Some(Arc::clone(self));
        }
        AbortedTransactions::new(all().filter(is_left).copied().collect())
    }

    /// Whether a transactional data batch of this producer, which begins at `base_offset`, was aborted.
    pub(in crate::partition) fn contains(&self, producer_id: i64, base_offset: u64) -> bool {
        [&self.older, &self.recent].into_iter().any(|entries| {
            let at = entries.partition_point(|entry| key(entry) < (producer_id, base_offset));
            let entry = entries.get(at).filter(|entry| entry.producer_id == producer_id);
            entry.is_some_and(|entry| entry.first_offset <= base_offset)
        })
    }

    /// The transaction that the marker at this offset aborted, if that had data.
    pub(in crate::partition) fn ended_by(&self, producer_id: i64, offset: u64) -> Option<AbortedTransaction> {
        [&self.older, &self.recent].into_iter().find_map(|entries| {
            let at = entries.binary_search_by_key(&(producer_id, offset), key).ok()?;
            entries.get(at).copied()
        })
    }
}

fn key(entry: &AbortedTransaction) -> (i64, u64) {
    (entry.producer_id, entry.last_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(producer_id: i64, first_offset: u64, last_offset: u64) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset: first_offset }
    }

    #[test]
    fn a_batch_is_aborted_within_a_transaction_of_its_producer() {
        let at_first = vec![entry(2, 3, 9), entry(1, 5, 7), entry(1, 12, 20), entry(2, 0, 1)];
        let all = AbortedTransactions::new(at_first.clone()).unwrap();
        let added = at_first.into_iter().fold(AbortedTransactions::default(), |aborted, entry| aborted.with(entry));
        for aborted in [&*all, &added] {
            let of = |producer_id| (0..22).filter(|&offset| aborted.contains(producer_id, offset)).collect::<Vec<_>>();
            assert_eq!(of(1), [5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
            assert_eq!(of(2), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
            assert!(of(0).is_empty() && of(3).is_empty());
            assert_eq!(aborted.ended_by(1, 20), Some(entry(1, 12, 20)));
            assert_eq!((aborted.ended_by(1, 9), aborted.ended_by(2, 20)), (None, None));
        }
        assert!(AbortedTransactions::new(Vec::new()).is_none());
    }

    #[test]
    fn what_was_added_is_there_whether_or_not_it_was_merged() {
        let mut aborted = AbortedTransactions::default();
        let producer_of = |n: u64| (n * 7 % 13).cast_signed();
        for n in 0..2000 {
            let producer_id = producer_of(n);
            aborted = aborted.with(entry(producer_id, 10 * n, 10 * n + 5));
            assert!(aborted.recent.len() < RECENT_MAX);
            for n in [0, n / 2, n] {
                let producer_id = producer_of(n);
                assert!(aborted.contains(producer_id, 10 * n) && aborted.contains(producer_id, 10 * n + 5));
                assert!(!aborted.contains(producer_id, 10 * n + 6) && !aborted.contains(producer_id + 1, 10 * n));
                assert!(aborted.ended_by(producer_id, 10 * n + 5).is_some());
            }
        }
        let all = Arc::new(aborted);
        assert!(Arc::ptr_eq(&all.from_offset(5).unwrap(), &all), "all of them end there or behind");
        let left = all.from_offset(10_006).unwrap();
        assert_eq!(left.older.len() + left.recent.len(), 999);
        assert!(all.from_offset(20_000).is_none());
    }
}
