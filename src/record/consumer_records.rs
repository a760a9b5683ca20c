//! What one poll or read returned: batches that keep alive what they point at, and an iterator over their records.

use std::slice;

use super::consumer_record::ConsumerRecord;
use crate::disk::SharedBytes;
use crate::format::Record;
use crate::topic_partition::TopicPartition;

/// Records of one or more partitions, in offset order within each.
///
/// It owns what it points at (a map of the segment, or a copy of the tail), so it may be kept, sent to another thread, and
/// outlive consumer and broker.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// for n in 0..3 { topic.produce("k", n.to_string())?; }
/// let records = topic.partition(0)?.read(1, 1024)?;
/// assert_eq!(records.len(), 2);
/// let values: Vec<_> = records.iter().map(|record| record.value_str().unwrap()).collect();
/// assert_eq!(values, ["1", "2"]);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ConsumerRecords {
    fetches: Vec<Fetched>,
    record_count: usize,
}

impl ConsumerRecords {
    pub(crate) fn push(&mut self, fetched: Fetched) {
        self.record_count += fetched.record_count;
        self.fetches.push(fetched);
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record_count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// The records, partition by partition, by offset within each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            fetches: self.fetches.iter(),
            fetched: None,
            batches: [].iter(),
            batch: None,
            bytes: &[],
            remaining: self.record_count,
        }
    }

    /// The partitions that have records here, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.fetches.iter().filter(|fetched| fetched.record_count > 0).map(|fetched| &fetched.partition)
    }

    /// The offset with which a reader goes on in `partition`; `None` if nothing was read there. It may lie above the last
    /// record's offset + 1, where the log has offsets without records.
    #[must_use]
    pub fn next_offset(&self, partition: &TopicPartition) -> Option<u64> {
        self.fetches.iter().filter(|fetched| fetched.partition == *partition).map(|fetched| fetched.next_offset).max()
    }
}

/// What was read from one partition.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) partition: TopicPartition,
    /// Tells the topic from an earlier or later one of its name.
    pub(crate) topic_id: u128,
    pub(crate) batches: Vec<FetchedBatch>,
    pub(crate) record_count: usize,
    /// Where to go on: behind the last record, and behind whatever holds none.
    pub(crate) next_offset: u64,
    /// The same place in the open batch, if reading ended in it.
    pub(crate) tail: Option<TailPosition>,
}

/// A place between two records of an open batch. It lets the next read begin there rather than walk through the batch, and is
/// of no use, and no harm, once that batch is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailPosition {
    /// The first offset of the batch, which tells it from others.
    pub(crate) base_offset: u64,
    /// The offset of the next record.
    pub(crate) next_offset: u64,
    /// Where that record begins, in bytes from the first one.
    pub(crate) records_bytes: usize,
}

/// Whole, checked records of one batch, and what their deltas count from.
#[derive(Debug, Clone)]
pub(crate) struct FetchedBatch {
    pub(crate) records: SharedBytes,
    pub(crate) base_offset: u64,
    pub(crate) base_timestamp: i64,
    /// The timestamp of every record, if the log stamped them and not their senders.
    pub(crate) append_time: Option<i64>,
    pub(crate) leader_epoch: i32,
}

impl<'r> IntoIterator for &'r ConsumerRecords {
    type Item = ConsumerRecord<'r>;
    type IntoIter = Iter<'r>;

    fn into_iter(self) -> Iter<'r> {
        self.iter()
    }
}

/// Iterates over the records of a [`ConsumerRecords`].
#[derive(Debug, Clone)]
pub struct Iter<'r> {
    fetches: slice::Iter<'r, Fetched>,
    fetched: Option<&'r Fetched>,
    batches: slice::Iter<'r, FetchedBatch>,
    batch: Option<&'r FetchedBatch>,
    bytes: &'r [u8],
    remaining: usize,
}

impl<'r> Iter<'r> {
    /// Steps to the next batch that has records.
    fn next_batch(&mut self) -> Option<&'r FetchedBatch> {
        loop {
            if let Some(batch) = self.batches.next() {
                self.bytes = &batch.records;
                self.batch = Some(batch);
                return Some(batch);
            }
            let fetched = self.fetches.next()?;
            self.fetched = Some(fetched);
            self.batches = fetched.batches.iter();
        }
    }
}

impl<'r> Iterator for Iter<'r> {
    type Item = ConsumerRecord<'r>;

    #[inline]
    fn next(&mut self) -> Option<ConsumerRecord<'r>> {
        while self.bytes.is_empty() {
            self.next_batch()?;
        }
        let (batch, fetched) = (self.batch?, self.fetched?);
        // The bytes were checked when they were fetched, so this ends the iteration only if memory itself is damaged.
        let (record, consumed) = Record::decode(self.bytes).ok()?;
        self.bytes = self.bytes.get(consumed..)?;
        self.remaining = self.remaining.saturating_sub(1);
        Some(ConsumerRecord {
            fetched,
            offset: batch.base_offset.wrapping_add_signed(i64::from(record.offset_delta)),
            timestamp: batch.append_time.unwrap_or_else(|| batch.base_timestamp.wrapping_add(record.timestamp_delta)),
            leader_epoch: batch.leader_epoch,
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}
