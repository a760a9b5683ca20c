//! What one poll or read returned: batches that keep alive what they point at, and an iterator over their records.

use std::{fmt, slice};

use super::consumer_record::ConsumerRecord;
use super::fetched::{Fetched, FetchedBatch, Fetches};
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
#[derive(Clone, Default)]
pub struct ConsumerRecords {
    fetches: Fetches,
    record_count: usize,
}

impl From<Fetched> for ConsumerRecords {
    fn from(fetched: Fetched) -> ConsumerRecords {
        let record_count = fetched.record_count;
        ConsumerRecords { fetches: Fetches::One(fetched), record_count }
    }
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
        Iter::over(self.fetches.as_slice(), self.record_count)
    }

    /// The records of one partition, by offset; none if it has none here.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # for name in ["orders", "payments"] { broker.topic(name)?.produce("customer-1", name)?; }
    /// let mut consumer = broker.consumer("billing", ["orders", "payments"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// for partition in records.partitions() {
    ///     for record in records.records(partition) {
    ///         println!("{partition}: {}", record.value_str()?);
    ///     }
    ///     let last = records.records(partition).last().unwrap();
    ///     consumer.commit_through(&last)?;
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn records(&self, partition: &TopicPartition) -> Iter<'_> {
        // A poll reads each partition once.
        let found = self.fetches.as_slice().iter().find(|fetched| fetched.partition == *partition);
        Iter::over(found.map(slice::from_ref).unwrap_or_default(), found.map_or(0, |fetched| fetched.record_count))
    }

    /// The partitions that have records here, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.fetches.as_slice().iter().filter(|fetched| fetched.record_count > 0).map(|fetched| &fetched.partition)
    }

    /// The offset with which a reader goes on in `partition`; `None` if nothing was read there. It may lie above the last
    /// record's offset + 1, where the log has offsets without records.
    #[must_use]
    pub fn next_offset(&self, partition: &TopicPartition) -> Option<u64> {
        self.fetches
            .as_slice()
            .iter()
            .filter(|fetched| fetched.partition == *partition)
            .map(|fetched| fetched.next_offset)
            .max()
    }
}

impl<'r> IntoIterator for &'r ConsumerRecords {
    type Item = ConsumerRecord<'r>;
    type IntoIter = Iter<'r>;

    fn into_iter(self) -> Iter<'r> {
        self.iter()
    }
}

/// In short: how many records, and where.
#[allow(clippy::missing_fields_in_debug, reason = "the records themselves are a long story")]
impl fmt::Debug for ConsumerRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("ConsumerRecords");
        shape.field("len", &self.record_count);
        let partitions = self.partitions().map(ToString::to_string).collect::<Vec<_>>();
        shape.field("partitions", &format_args!("[{}]", partitions.join(", "))).finish()
    }
}

/// Iterates over the records of a [`ConsumerRecords`].
#[derive(Clone)]
pub struct Iter<'r> {
    batches: Batches<'r>,
    /// What is left of the batch under way.
    bytes: &'r [u8],
    remaining: usize,
}

impl<'r> Iter<'r> {
    fn over(fetches: &'r [Fetched], record_count: usize) -> Iter<'r> {
        let batches = Batches { fetches: fetches.iter(), of_fetch: [].iter(), current: None };
        Iter { batches, bytes: &[], remaining: record_count }
    }
}

/// In short: how many are left.
impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecordsIter").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// The batches of a [`ConsumerRecords`] that are under way or ahead.
#[derive(Clone)]
struct Batches<'r> {
    fetches: slice::Iter<'r, Fetched>,
    of_fetch: slice::Iter<'r, FetchedBatch>,
    /// The batch under way, and what it was read with.
    current: Option<(&'r Fetched, &'r FetchedBatch)>,
}

impl<'r> Batches<'r> {
    /// Steps to the next batch that has records, and returns these.
    ///
    /// By value: if there were a reference to it, the iterator would have to lie in memory for the whole of the loop of the
    /// application, and each record would wait for where the one before was stored to end (0.45 of summing the bytes alone, 0.51
    /// like this).
    #[cold]
    #[inline(never)]
    fn next(mut self) -> Option<(Batches<'r>, &'r [u8])> {
        let mut fetched = self.current.map(|(fetched, _)| fetched);
        loop {
            if let Some((fetched, batch)) = fetched.zip(self.of_fetch.next()) {
                let bytes: &[u8] = &batch.records;
                if !bytes.is_empty() {
                    self.current = Some((fetched, batch));
                    return Some((self, bytes));
                }
            } else {
                let next = self.fetches.next()?;
                self.of_fetch = next.batches.iter();
                fetched = Some(next);
            }
        }
    }
}

impl<'r> Iterator for Iter<'r> {
    type Item = ConsumerRecord<'r>;

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "20 ns a record as a call, 12 as a part of the loop")]
    fn next(&mut self) -> Option<ConsumerRecord<'r>> {
        if self.bytes.is_empty() {
            (self.batches, self.bytes) = self.batches.clone().next()?;
        }
        let (fetched, batch) = self.batches.current?;
        // The bytes were checked when they were fetched, so this ends the iteration only if memory itself is damaged.
        let (record, consumed) = Record::decode(self.bytes).ok()?;
        self.bytes = self.bytes.get(consumed..)?;
        self.remaining = self.remaining.saturating_sub(1);
        Some(ConsumerRecord {
            fetched,
            batch,
            offset_delta: record.offset_delta,
            timestamp_delta: record.timestamp_delta,
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}
