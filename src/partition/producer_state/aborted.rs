//! Which batches of a log belong to transactions that never happened.

use crate::segment::AbortedTransaction;

/// The aborted transactions of a log, for who reads in it.
#[derive(Debug, Default)]
pub(in crate::partition) struct AbortedTransactions {
    /// By producer and then by offset. Those of one producer do not overlap: each ends before the next one begins.
    entries: Box<[AbortedTransaction]>,
}

impl AbortedTransactions {
    /// Those of all segments, in any order.
    pub(in crate::partition) fn new(mut entries: Vec<AbortedTransaction>) -> AbortedTransactions {
        entries.sort_unstable_by_key(key);
        AbortedTransactions { entries: entries.into() }
    }

    /// Whether a transactional data batch of this producer, which begins at `base_offset`, was aborted.
    pub(in crate::partition) fn contains(&self, producer_id: i64, base_offset: u64) -> bool {
        let at = self.entries.partition_point(|entry| key(entry) < (producer_id, base_offset));
        let entry = self.entries.get(at).filter(|entry| entry.producer_id == producer_id);
        entry.is_some_and(|entry| entry.first_offset <= base_offset)
    }

    /// The transaction that the marker at this offset aborted, if that had data.
    pub(in crate::partition) fn ended_by(&self, producer_id: i64, offset: u64) -> Option<AbortedTransaction> {
        let at = self.entries.binary_search_by_key(&(producer_id, offset), key).ok()?;
        self.entries.get(at).copied()
    }
}

fn key(entry: &AbortedTransaction) -> (i64, u64) {
    (entry.producer_id, entry.last_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_aborted_within_a_transaction_of_its_producer() {
        let entry = |producer_id, first_offset, last_offset| AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: first_offset,
        };
        let aborted = AbortedTransactions::new(vec![entry(2, 3, 9), entry(1, 5, 7), entry(1, 12, 20), entry(2, 0, 1)]);
        let of = |producer_id| (0..22).filter(|&offset| aborted.contains(producer_id, offset)).collect::<Vec<_>>();
        assert_eq!(of(1), [5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(of(2), [0, 1, 3, 4, 5, 6, 7, 8, 9]);
        assert!(of(0).is_empty() && of(3).is_empty());
        assert_eq!(aborted.ended_by(1, 20), Some(entry(1, 12, 20)));
        assert_eq!((aborted.ended_by(1, 9), aborted.ended_by(2, 20)), (None, None));
    }
}
