//! One record as a consumer sees it: a view into the batch that holds it, and an owned copy.

use std::iter::FusedIterator;
use std::{fmt, slice, str};

use super::fetched::{Fetched, FetchedBatch};
use super::record_address::RecordAddress;
use super::timestamp::Timestamp;
use crate::error::{Error, Result};
use crate::format::shown::shown;
use crate::format::{Header, Headers};
use crate::topic_partition::TopicPartition;

/// A record in a [`ConsumerRecords`](super::ConsumerRecords): a small `Copy` view, nothing of the record itself is copied.
///
/// A key or value that is `None` is Kafka's null, which is not the same as an empty one; a null value is a tombstone.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// topic.produce("customer-1", "2 coffees")?;
/// let records = topic.partition(0)?.read(0, 1024)?;
/// let record = records.iter().next().unwrap();
/// assert_eq!((record.offset(), record.key(), record.value_str()?), (0, Some(&b"customer-1"[..]), "2 coffees"));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct ConsumerRecord<'r> {
    /// What it was read with.
    pub(super) fetched: &'r Fetched,
    /// What its deltas count from.
    pub(super) batch: &'r FetchedBatch,
    pub(super) offset_delta: i32,
    pub(super) timestamp_delta: i64,
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
    pub(super) headers: Headers<'r>,
}

impl<'r> ConsumerRecord<'r> {
    /// The name of the topic that the record was read from.
    #[must_use]
    pub fn topic(&self) -> &'r str {
        self.topic_partition().topic()
    }

    /// The number of the partition that the record was read from.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.topic_partition().partition()
    }

    /// Topic and partition in one.
    #[must_use]
    pub fn topic_partition(&self) -> &'r TopicPartition {
        &self.fetched.partition
    }

    /// Tells the topic from an earlier or later one of its name.
    pub(super) fn topic_id(&self) -> u128 {
        self.fetched.topic_id
    }

    /// The record's place in its partition; no other record ever has it.
    #[must_use]
    #[inline]
    pub fn offset(&self) -> u64 {
        self.batch.base_offset.wrapping_add_signed(i64::from(self.offset_delta))
    }

    /// Where the record stands, to be shown: `orders-0@10`.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # let mut consumer = broker.consumer("billing", ["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     println!("{}: {}", record.address(), record.value_str()?); // orders-0@0: 2 coffees
    /// #   assert_eq!(record.address().to_string(), "orders-0@0");
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn address(&self) -> RecordAddress<'r> {
        RecordAddress::new(self.topic_partition(), self.offset())
    }

    /// The time that the sender gave, or else the time of the append.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp_ms())
    }

    fn timestamp_ms(&self) -> i64 {
        self.batch.append_time.unwrap_or_else(|| self.batch.base_timestamp.wrapping_add(self.timestamp_delta))
    }

    /// The [leader epoch](crate::guide::concepts#leader-epochs) in which the record was appended. It rises after every unclean end.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.batch.leader_epoch
    }

    /// The key, or `None` if it is null.
    #[must_use]
    pub fn key(&self) -> Option<&'r [u8]> {
        self.key
    }

    /// The value, or `None` if it is null: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'r [u8]> {
        self.value
    }

    /// The key as text; a null key is `""`.
    ///
    /// # Errors
    /// [`Error::NotText`] if it is not UTF-8.
    pub fn key_str(&self) -> Result<&'r str> {
        self.text(self.key)
    }

    /// The value as text; a null value is `""`.
    ///
    /// # Errors
    /// [`Error::NotText`] if it is not UTF-8.
    pub fn value_str(&self) -> Result<&'r str> {
        self.text(self.value)
    }

    fn text(&self, bytes: Option<&'r [u8]>) -> Result<&'r str> {
        text(bytes, self.topic_partition(), self.offset())
    }

    /// The last header of this name; for all of them, iterate over [`headers`](ConsumerRecord::headers).
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// partition.append(&ProducerRecord::new().header("attempt", "1").header("attempt", "2"))?;
    /// let records = partition.read(0, 1024)?;
    /// let record = records.iter().next().unwrap();
    /// assert_eq!(record.header("attempt").unwrap().value_str()?, "2");
    /// assert!(record.header("trace").is_none());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "lastHeader")]
    pub fn header(&self, name: &str) -> Option<Header<'r>> {
        self.headers.get(name)
    }

    /// The headers in the order in which they were added; names may repeat.
    #[must_use]
    pub fn headers(&self) -> Headers<'r> {
        self.headers
    }

    /// Copies the record, so that it no longer borrows from the batch.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let mut kept = Vec::new();
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     kept.push(record.detach()); // Goes on living when the poll's result is gone.
    /// }
    /// assert_eq!(kept[0].value_str()?, "2 coffees");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn detach(&self) -> OwnedRecord {
        OwnedRecord {
            topic_id: self.fetched.topic_id,
            partition: self.fetched.partition.clone(),
            offset: self.offset(),
            timestamp: self.timestamp_ms(),
            leader_epoch: self.leader_epoch(),
            key: self.key.map(Vec::from),
            value: self.value.map(Vec::from),
            headers: self.headers.iter().map(|h| (h.key().to_owned(), h.value().map(Vec::from))).collect(),
        }
    }
}

/// Bytes of the record at this address as text; null is `""`.
fn text<'b>(bytes: Option<&'b [u8]>, partition: &TopicPartition, offset: u64) -> Result<&'b str> {
    str::from_utf8(bytes.unwrap_or_default()).map_err(|_| Error::NotText { partition: partition.clone(), offset })
}

/// In short: address, time, and of key and value the first 64 bytes, as text where they are text.
impl fmt::Debug for ConsumerRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("ConsumerRecord");
        shape
            .field("at", &self.address())
            .field("timestamp", &format_args!("{}", self.timestamp()))
            .field("key", &shown(self.key))
            .field("value", &shown(self.value));
        if !self.headers.is_empty() {
            shape.field("headers", &self.headers);
        }
        shape.finish()
    }
}

/// A record that owns its bytes. Two are equal if they stand at the same address and say the same.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// topic.produce("k", "v")?;
/// let owned = topic.partition(0)?.iter_from(0).next().unwrap()?;
/// assert_eq!(owned.value(), Some(&b"v"[..]));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct OwnedRecord {
    topic_id: u128,
    partition: TopicPartition,
    offset: u64,
    timestamp: i64,
    leader_epoch: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// The name of the topic that the record was read from.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// The number of the partition that the record was read from.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition in one.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Tells the topic from an earlier or later one of its name.
    pub(super) fn topic_id(&self) -> u128 {
        self.topic_id
    }

    /// The record's place in its partition.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the record stands, to be shown: `orders-0@10`.
    #[must_use]
    pub fn address(&self) -> RecordAddress<'_> {
        RecordAddress::new(&self.partition, self.offset)
    }

    /// The time that the sender gave, or else the time of the append.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp)
    }

    /// The [leader epoch](crate::guide::concepts#leader-epochs) in which the record was appended. It rises after every unclean end.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The key, or `None` if it is null.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value, or `None` if it is null: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The key as text; a null key is `""`.
    ///
    /// # Errors
    /// [`Error::NotText`] if it is not UTF-8.
    pub fn key_str(&self) -> Result<&str> {
        text(self.key(), &self.partition, self.offset)
    }

    /// The value as text; a null value is `""`.
    ///
    /// # Errors
    /// [`Error::NotText`] if it is not UTF-8.
    pub fn value_str(&self) -> Result<&str> {
        text(self.value(), &self.partition, self.offset)
    }

    /// Takes the value out of the record, without a copy; `None` if it is null.
    #[must_use]
    pub fn into_value(self) -> Option<Vec<u8>> {
        self.value
    }

    /// The last header of this name; for all of them, iterate over [`headers`](OwnedRecord::headers).
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// partition.append(&ProducerRecord::new().header("attempt", "1").header("attempt", "2"))?;
    /// let record = partition.get(0)?.unwrap();
    /// assert_eq!(record.header("attempt").unwrap().value_str()?, "2");
    /// assert!(record.header("trace").is_none());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "lastHeader")]
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.headers().filter(|header| header.key() == name).last()
    }

    /// The headers in the order in which they were added.
    #[must_use]
    pub fn headers(&self) -> OwnedHeadersIter<'_> {
        OwnedHeadersIter { headers: self.headers.iter() }
    }
}

/// Iterates over the headers of an [`OwnedRecord`]; made by [`OwnedRecord::headers`].
#[derive(Debug, Clone)]
pub struct OwnedHeadersIter<'r> {
    headers: slice::Iter<'r, (String, Option<Vec<u8>>)>,
}

impl<'r> Iterator for OwnedHeadersIter<'r> {
    type Item = Header<'r>;

    fn next(&mut self) -> Option<Header<'r>> {
        let (key, value) = self.headers.next()?;
        Some(value.as_ref().map_or(Header::null(key), |value| Header::new(key, value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.headers.size_hint()
    }
}

impl ExactSizeIterator for OwnedHeadersIter<'_> {}
impl FusedIterator for OwnedHeadersIter<'_> {}

impl PartialEq for OwnedRecord {
    fn eq(&self, other: &OwnedRecord) -> bool {
        (&self.partition, self.offset, self.timestamp, self.leader_epoch)
            == (&other.partition, other.offset, other.timestamp, other.leader_epoch)
            && (&self.key, &self.value, &self.headers) == (&other.key, &other.value, &other.headers)
    }
}

impl Eq for OwnedRecord {}

/// In short: address, time, and of key and value the first 64 bytes, as text where they are text.
#[allow(clippy::missing_fields_in_debug, reason = "as a `ConsumerRecord` is shown")]
impl fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("OwnedRecord");
        shape
            .field("at", &self.address())
            .field("timestamp", &format_args!("{}", self.timestamp()))
            .field("key", &shown(self.key()))
            .field("value", &shown(self.value()));
        if !self.headers.is_empty() {
            shape.field("headers", &self.headers().collect::<Vec<_>>());
        }
        shape.finish()
    }
}
