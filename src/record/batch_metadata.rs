//! What sending a batch returns: where each of its records is now.

use std::fmt;
use std::iter::FusedIterator;

use crate::record::{RecordMetadata, Timestamp};
use crate::topic_partition::TopicPartition;

/// Where the records of a batch are, in the order in which they were given.
///
/// Iterates over a [`RecordMetadata`] for each. These are made on demand, so they take no memory until you ask for them.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// let records = ["a", "b"].map(|value| ProducerRecord::to("orders").value(value));
/// let sent = broker.producer().send_batch("orders", &records)?;
/// for (record, sent) in records.iter().zip(&sent) {
///     println!("{:?} is at {sent}", record.get_value());
/// }
/// assert_eq!(sent.get(1).unwrap().offset(), 1);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct BatchMetadata {
    records: Records,
}

#[derive(Clone)]
enum Records {
    /// All in a row, and all with the time of the append.
    InARow { topic_partition: TopicPartition, base_offset: u64, count: usize, timestamp: Timestamp },
    /// In several partitions, or with timestamps of their own.
    Each(Vec<RecordMetadata>),
}

impl BatchMetadata {
    /// `count` records in a row from `base_offset` on, all of one time.
    pub(crate) fn in_a_row(
        topic_partition: TopicPartition,
        base_offset: u64,
        count: usize,
        timestamp: Timestamp,
    ) -> BatchMetadata {
        BatchMetadata { records: Records::InARow { topic_partition, base_offset, count, timestamp } }
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.records {
            Records::InARow { count, .. } => *count,
            Records::Each(each) => each.len(),
        }
    }

    /// Whether there was no record in the batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the record is that was given at `index`, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<RecordMetadata> {
        match &self.records {
            Records::InARow { topic_partition, base_offset, count, timestamp } => {
                let offset = base_offset + index as u64;
                (index < *count).then(|| RecordMetadata::new(topic_partition.clone(), offset, *timestamp))
            }
            Records::Each(each) => each.get(index).cloned(),
        }
    }

    /// Where the first record is; `None` if there was none.
    #[must_use]
    pub fn first(&self) -> Option<RecordMetadata> {
        self.get(0)
    }

    /// Where the last record is; `None` if there was none.
    #[must_use]
    pub fn last(&self) -> Option<RecordMetadata> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Where each record is.
    #[must_use]
    pub fn iter(&self) -> BatchMetadataIter<'_> {
        BatchMetadataIter { batch: self, next: 0 }
    }
}

impl From<Vec<RecordMetadata>> for BatchMetadata {
    fn from(each: Vec<RecordMetadata>) -> BatchMetadata {
        BatchMetadata { records: Records::Each(each) }
    }
}

impl fmt::Debug for BatchMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'b> IntoIterator for &'b BatchMetadata {
    type Item = RecordMetadata;
    type IntoIter = BatchMetadataIter<'b>;

    fn into_iter(self) -> BatchMetadataIter<'b> {
        self.iter()
    }
}

/// Iterates over a [`BatchMetadata`]; made by [`BatchMetadata::iter`].
#[derive(Debug, Clone)]
pub struct BatchMetadataIter<'b> {
    batch: &'b BatchMetadata,
    next: usize,
}

impl Iterator for BatchMetadataIter<'_> {
    type Item = RecordMetadata;

    fn next(&mut self) -> Option<RecordMetadata> {
        let found = self.batch.get(self.next)?;
        self.next += 1;
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchMetadataIter<'_> {}
impl FusedIterator for BatchMetadataIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_answer_alike() {
        let orders = TopicPartition::new("orders", 3);
        let row = BatchMetadata::in_a_row(orders, 7, 3, Timestamp::from_millis(5));
        let each = BatchMetadata::from(row.iter().collect::<Vec<_>>());
        for batch in [&row, &each] {
            let shown: Vec<_> = batch.iter().map(|sent| sent.to_string()).collect();
            assert_eq!(shown, ["orders-3@7", "orders-3@8", "orders-3@9"]);
            assert_eq!((batch.len(), batch.is_empty(), batch.iter().len()), (3, false, 3));
            assert_eq!(batch.first().map(|sent| sent.offset()), Some(7));
            assert_eq!(batch.last().map(|sent| (sent.offset(), sent.timestamp().as_millis())), Some((9, 5)));
            assert_eq!(batch.get(3), None);
        }
        let none = BatchMetadata::from(Vec::new());
        assert_eq!((none.is_empty(), none.first(), none.last(), none.iter().next()), (true, None, None, None));
    }
}
