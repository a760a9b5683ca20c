//! A record on its way in: written straight into the open batch, from wherever its bytes are.
//!
//! Building one allocates nothing, unless a header is added to a borrowed list, or headers are copied from a record that was
//! read. What is given by reference is borrowed, and what is given by value is kept.

use std::borrow::Cow;
use std::fmt;

use super::consumer_record::{ConsumerRecord, OwnedRecord};
use super::into_record::{IntoHeaders, IntoRecordBytes};
use super::record_headers::RecordHeaders;
use crate::format::shown::shown;
use crate::format::{HeaderList, KeptHeader};
use crate::record::{Header, Timestamp};

/// A record to be sent: where to, and what.
///
/// What is not set is absent: no key lets the partitioner choose freely, no value makes a *tombstone* (which deletes its
/// key in a compacted topic), no timestamp means the time of the append. Absent and empty are different things, and stay so.
///
/// Keys, values, and the values of headers are taken by reference, and then borrowed, or by value, and then kept: bytes or text, or
/// an `Option` of them.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
///
/// let order = ProducerRecord::to("orders").key("customer-1").value("2 coffees").header("trace", "af7651916cd43dd8");
/// let number = 42_u64.to_be_bytes();
/// let raw = ProducerRecord::to("orders").key(&number).value(&[0, 1, 2]);
/// let owned = ProducerRecord::to("orders").value(format!("{} coffees", 1 + 1));
/// let tombstone = ProducerRecord::to("orders").key("customer-1");
///
/// assert_eq!(order.get_key(), Some(b"customer-1".as_slice()));
/// assert_eq!(owned.get_value(), order.get_value());
/// assert!(tombstone.get_value().is_none());
/// ```
///
/// A record that was read can be sent on as it is:
/// ```
/// use std::time::Duration;
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// # broker.topic("orders-retry")?;
/// let producer = broker.producer();
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     producer.send(ProducerRecord::from(&record).topic("orders-retry").header("attempt", "2"))?;
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "a record does nothing until it is sent"]
pub struct ProducerRecord<'a> {
    topic: Option<&'a str>,
    partition: Option<u32>,
    timestamp: Option<Timestamp>,
    key: Option<Cow<'a, [u8]>>,
    value: Option<Cow<'a, [u8]>>,
    headers: RecordHeaders<'a>,
}

impl<'a> ProducerRecord<'a> {
    /// A record that names no topic, with neither key nor value yet: for [`Partition::append`](crate::Partition::append) and
    /// [`send_batch`](crate::Producer::send_batch), which know the topic.
    #[inline]
    pub const fn new() -> ProducerRecord<'a> {
        ProducerRecord {
            topic: None,
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: RecordHeaders::none(),
        }
    }

    /// A record for `topic`, with neither key nor value yet.
    #[inline]
    pub const fn to(topic: &'a str) -> ProducerRecord<'a> {
        let mut record = ProducerRecord::new();
        record.topic = Some(topic);
        record
    }

    /// Sets the topic, in place of another one if there is one.
    #[inline]
    pub fn topic(mut self, topic: &'a str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Sets the key: records of the same key go to the same partition, and compaction keeps the last of them. `None` takes it
    /// away.
    #[inline]
    pub fn key(mut self, key: impl IntoRecordBytes<'a>) -> Self {
        self.key = key.into_record_bytes();
        self
    }

    /// Sets the value. Without one the record is a tombstone. `None` takes it away.
    #[inline]
    pub fn value(mut self, value: impl IntoRecordBytes<'a>) -> Self {
        self.value = value.into_record_bytes();
        self
    }

    /// Adds a header behind those already there. Keys may repeat; who reads finds the last one by
    /// [`header`](crate::ConsumerRecord::header). The value is taken in every form that one of a record is: by reference, by value, or
    /// as an `Option`, of which `None` is a header without a value.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// fn retried(attempt: u32) -> ProducerRecord<'static> {
    ///     ProducerRecord::to("orders-retry").header("attempt", attempt.to_string()).header("by", "billing")
    /// }
    /// let headers: Vec<_> = retried(2).get_headers().map(|header| header.value_str().unwrap().to_owned()).collect();
    /// assert_eq!(headers, ["2", "billing"]);
    /// ```
    pub fn header(mut self, key: &'a str, value: impl IntoRecordBytes<'a>) -> Self {
        self.headers.push(KeptHeader::new(key, value.into_record_bytes()));
        self
    }

    /// Adds a header that has a key and no value, which is not the same as an empty one.
    pub fn null_header(mut self, key: &'a str) -> Self {
        self.headers.push(KeptHeader::new(key, None));
        self
    }

    /// Sets all headers at once, in place of those already there. A slice is borrowed, and nothing is allocated then; those of a
    /// record that was read become a list.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Header, ProducerRecord};
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// partition.append(&ProducerRecord::new().headers(&[Header::new("trace", "af7651916cd43dd8")]))?;
    /// let records = partition.read(0, 1024)?;
    /// let read = records.iter().next().unwrap();
    /// let answer = ProducerRecord::to("answers").headers(read.headers());
    /// assert_eq!(answer.get_headers().len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[inline]
    pub fn headers(mut self, headers: impl IntoHeaders<'a>) -> Self {
        self.headers = RecordHeaders::from(headers.into_headers());
        self
    }

    /// Sets the partition, from 0; the partitioner is then not asked.
    #[inline]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp. Default: the time of the append. It counts for nothing in a topic of
    /// [`TimestampType::LogAppendTime`](crate::TimestampType::LogAppendTime).
    ///
    /// # Examples
    /// ```
    /// use ottla::{ProducerRecord, Timestamp};
    /// let measured: Timestamp = "2026-11-29T12:00:00Z".parse()?;
    /// let record = ProducerRecord::to("metrics").value("21.5").timestamp(measured);
    /// assert_eq!(record.get_timestamp(), Some(measured));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[inline]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The topic's name, if one was set.
    #[must_use]
    #[inline]
    pub fn get_topic(&self) -> Option<&'a str> {
        self.topic
    }

    /// The partition, if it was chosen.
    #[must_use]
    #[inline]
    pub fn get_partition(&self) -> Option<u32> {
        self.partition
    }

    /// The timestamp, if it was set.
    #[must_use]
    #[inline]
    pub fn get_timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The key, if there is one.
    #[must_use]
    #[inline]
    pub fn get_key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value; `None` for a tombstone.
    #[must_use]
    #[inline]
    pub fn get_value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The bytes of key, value and headers, without what says how long they are.
    #[inline]
    pub(crate) fn payload_bytes(&self) -> usize {
        let bytes_of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let payload_bytes = bytes_of(self.get_key()) + bytes_of(self.get_value());
        if self.headers.list().is_empty() {
            return payload_bytes;
        }
        let headers = self.get_headers().map(|header| header.key().len() + bytes_of(header.value()));
        payload_bytes + headers.sum::<usize>()
    }

    /// The headers, in the order in which they were added.
    #[must_use]
    #[inline]
    pub fn get_headers(&self) -> impl ExactSizeIterator<Item = Header<'_>> {
        self.headers.list().iter()
    }

    #[inline]
    pub(crate) fn header_list(&self) -> HeaderList<'_> {
        self.headers.list()
    }
}

/// The record as it was read: key, value, headers and timestamp, borrowed from what the poll returned. It names neither topic nor
/// partition: where it is to go is for [`topic`](ProducerRecord::topic) to say.
impl<'a> From<&ConsumerRecord<'a>> for ProducerRecord<'a> {
    fn from(record: &ConsumerRecord<'a>) -> ProducerRecord<'a> {
        let forwarded = ProducerRecord::new().key(record.key()).value(record.value()).headers(record.headers());
        forwarded.timestamp(record.timestamp())
    }
}

/// The record as it was read: key, value, headers and timestamp, borrowed. It names neither topic nor partition: where it is to
/// go is for [`topic`](ProducerRecord::topic) to say.
impl<'a> From<&'a OwnedRecord> for ProducerRecord<'a> {
    fn from(record: &'a OwnedRecord) -> ProducerRecord<'a> {
        let forwarded = ProducerRecord::new().key(record.key()).value(record.value()).headers(record.headers());
        forwarded.timestamp(record.timestamp())
    }
}

/// In short: of key and value the first 64 bytes, as text where they are text.
impl fmt::Debug for ProducerRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("ProducerRecord");
        self.topic.inspect(|topic| _ = shape.field("topic", topic));
        self.partition.inspect(|partition| _ = shape.field("partition", partition));
        self.timestamp.inspect(|timestamp| _ = shape.field("timestamp", &format_args!("{timestamp}")));
        shape.field("key", &shown(self.get_key())).field("value", &shown(self.get_value()));
        if !self.header_list().is_empty() {
            shape.field("headers", &self.headers);
        }
        shape.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_are_different() {
        let absent = ProducerRecord::to("t");
        assert_eq!((absent.get_key(), absent.get_value()), (None, None));
        let empty = ProducerRecord::to("t").key("").value(b"");
        assert_eq!((empty.get_key(), empty.get_value()), (Some([].as_slice()), Some([].as_slice())));
        assert_ne!(absent, empty);
    }

    #[test]
    fn headers_keep_their_order_and_repeat() {
        let owned = String::from("x");
        let record = ProducerRecord::to("t").header("a", &owned).null_header("a").header("b", &[1_u8]);
        let headers: Vec<_> = record.get_headers().map(|header| (header.key(), header.value())).collect();
        assert_eq!(headers, [("a", Some(b"x".as_slice())), ("a", None), ("b", Some([1].as_slice()))]);
    }

    /// More than lie in the list itself; and clones share a list until one of them is changed.
    #[test]
    fn many_headers_are_in_order_and_each_clone_has_its_own() {
        let keys = ["a", "b", "c", "d", "e", "f"];
        let record = keys.iter().fold(ProducerRecord::to("t"), |record, key| record.header(key, *key));
        let more = record.clone().null_header("g");
        let keys_of = |record: &ProducerRecord<'_>| {
            record.get_headers().map(|header| header.key().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys_of(&record), keys);
        assert_eq!((keys_of(&more).join(""), more.get_headers().len()), ("abcdefg".to_owned(), 7));
    }

    #[test]
    fn a_slice_of_headers_is_borrowed_and_can_be_added_to() {
        let shared = [Header::null("a")];
        let record = ProducerRecord::to("t").header("gone", "").headers(&shared);
        assert!(std::ptr::eq(record.header_list().views(), shared.as_slice()));
        assert_eq!(record.header("b", "").get_headers().len(), 2);
        assert_eq!(shared.len(), 1);
    }

    #[test]
    fn everything_set_is_there() {
        let record = ProducerRecord::to("t").key("k").value("v").partition(3).timestamp(Timestamp::from_millis(5));
        assert_eq!(record.get_topic(), Some("t"));
        assert_eq!(record.get_partition(), Some(3));
        assert_eq!(record.get_timestamp(), Some(Timestamp::from_millis(5)));
        assert_eq!(record.get_key(), Some(b"k".as_slice()));
        assert_eq!(record.get_value(), Some(b"v".as_slice()));
        assert_eq!(record.get_headers().len(), 0);
    }

    /// What is given by value outlives the place where it was made.
    fn owned() -> ProducerRecord<'static> {
        ProducerRecord::to("t").key(7_u32.to_be_bytes().to_vec()).value(format!("{} coffees", 2))
    }

    #[test]
    fn keys_and_values_are_taken_in_every_form_that_bytes_have() {
        let record = owned();
        assert_eq!(
            (record.get_key(), record.get_value()),
            (Some([0, 0, 0, 7].as_slice()), Some(b"2 coffees".as_slice()))
        );
        let (text, bytes, none) = (String::from("k"), vec![b'k'], None::<&str>);
        let slice = text.as_str();
        let with = |record: ProducerRecord<'_>| record.get_key().map(<[u8]>::to_vec);
        let new = || ProducerRecord::new();
        let forms = [
            with(new().key("k")),
            with(new().key(&text)),
            with(new().key(slice)),
            with(new().key(text.clone())),
            with(new().key(b"k")),
            with(new().key(&bytes)),
            with(new().key(bytes.clone())),
            with(new().key(bytes.as_slice())),
            with(new().key(bytes.clone().into_boxed_slice())),
            with(new().key(text.clone().into_boxed_str())),
            with(new().key(Cow::Borrowed("k"))),
            with(new().key(Cow::Borrowed(&bytes[..]))),
            with(new().key(Some("k"))),
            with(new().key(Some(bytes.clone()))),
        ];
        assert!(forms.iter().all(|form| form.as_deref() == Some(b"k")), "{forms:?}");
        assert_eq!(with(new().key("gone").key(none)), None);
    }

    #[test]
    fn what_is_given_by_reference_is_borrowed() {
        let value = vec![1; 100];
        let record = ProducerRecord::new().value(&value);
        assert!(std::ptr::eq(record.get_value().unwrap(), value.as_slice()));
    }

    #[test]
    fn headers_come_as_slices_arrays_and_lists() {
        let list = vec![Header::new("a", "1"), Header::null("b")];
        let array = [list[0], list[1]];
        let forms = [
            ProducerRecord::new().headers(&list),
            ProducerRecord::new().headers(&array),
            ProducerRecord::new().headers(&list[..]),
            ProducerRecord::new().headers(list.clone()),
        ];
        assert!(forms.iter().all(|record| record.get_headers().eq(list.iter().copied())));
    }

    #[test]
    fn headers_keep_what_they_are_given_by_value() {
        let make = |n: u32| ProducerRecord::to("t").header("a", "1").header("n", n.to_string()).null_header("b");
        let record = make(7).header("d", None::<&str>).header("c", b"x");
        let headers: Vec<_> = record.get_headers().map(|header| (header.key(), header.value())).collect();
        let (one, seven, x) = (Some(b"1".as_slice()), Some(b"7".as_slice()), Some(b"x".as_slice()));
        assert_eq!(headers, [("a", one), ("n", seven), ("b", None), ("d", None), ("c", x)]);
        assert_eq!(record.get_headers().len(), 5);
        assert_eq!(record.payload_bytes(), 8);
        let borrowed = ProducerRecord::to("t").header("a", "1").header("n", "7").null_header("b");
        assert_eq!(make(7), borrowed, "in whichever form they are");
        assert_ne!(make(8), borrowed);
        assert_eq!(format!("{:?}", make(7)), format!("{borrowed:?}"));
        let again = [Header::null("only")];
        assert_eq!(make(7).headers(&again).get_headers().len(), 1, "in place of those that were there");
    }

    #[test]
    fn is_shown_in_a_line() {
        let record = owned().partition(3).timestamp(Timestamp::from_millis(0)).null_header("h");
        let expected = "ProducerRecord { topic: \"t\", partition: 3, timestamp: 1970-01-01T00:00:00.000Z, \
                        key: b\"\\x00\\x00\\x00\\x07\", value: \"2 coffees\", headers: [h: null] }";
        assert_eq!(format!("{record:?}"), expected);
        assert_eq!(format!("{:?}", ProducerRecord::new()), "ProducerRecord { key: null, value: null }");
    }
}
