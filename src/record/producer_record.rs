//! A record on its way in: borrows everything, and is written straight into the open batch.
//!
//! Building one allocates nothing, unless headers are added one by one; a ready slice of headers is borrowed too.

use std::borrow::Cow;

use crate::record::{Header, Timestamp};

/// A record to be sent: where to, and what.
///
/// What is not set is absent: no key lets the partitioner choose freely, no value makes a *tombstone* (which deletes its
/// key in a compacted topic), no timestamp means the time of the append. Absent and empty are different things, and stay so.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
///
/// let order = ProducerRecord::to("orders").key("customer-1").value("2 coffees").header("trace", "af7651916cd43dd8");
/// let number = 42_u64.to_be_bytes();
/// let raw = ProducerRecord::to("orders").key(&number).value(&[0, 1, 2]);
/// let tombstone = ProducerRecord::to("orders").key("customer-1");
///
/// assert_eq!(order.get_key(), Some(b"customer-1".as_slice()));
/// assert!(tombstone.get_value().is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a record does nothing until it is sent"]
pub struct ProducerRecord<'a> {
    topic: &'a str,
    partition: Option<u32>,
    timestamp: Option<Timestamp>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Cow<'a, [Header<'a>]>,
}

impl<'a> ProducerRecord<'a> {
    /// A record for `topic`, with neither key nor value yet.
    pub const fn to(topic: &'a str) -> ProducerRecord<'a> {
        let headers: &[Header<'a>] = &[];
        ProducerRecord {
            topic,
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Cow::Borrowed(headers),
        }
    }

    /// Sets the key: records of the same key go to the same partition, and compaction keeps the last of them.
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the value. Without one the record is a tombstone.
    pub fn value(mut self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Adds a header behind those already there. Keys may repeat.
    pub fn header(mut self, key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.to_mut().push(Header::new(key, value));
        self
    }

    /// Adds a header that has a key and no value, which is not the same as an empty one.
    pub fn null_header(mut self, key: &'a str) -> Self {
        self.headers.to_mut().push(Header::null(key));
        self
    }

    /// Sets all headers at once, in place of those already there. The slice is borrowed: nothing is allocated.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = Cow::Borrowed(headers);
        self
    }

    /// Sets the partition, from 0; the partitioner is then not asked.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp. Default: the time of the append.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The topic's name.
    #[must_use]
    pub fn get_topic(&self) -> &'a str {
        self.topic
    }

    /// The partition, if it was chosen.
    #[must_use]
    pub fn get_partition(&self) -> Option<u32> {
        self.partition
    }

    /// The timestamp, if it was set.
    #[must_use]
    pub fn get_timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The key, if there is one.
    #[must_use]
    pub fn get_key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` for a tombstone.
    #[must_use]
    pub fn get_value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The bytes of key, value and headers, without what says how long they are.
    #[inline]
    pub(crate) fn payload_bytes(&self) -> usize {
        let bytes_of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|header| header.key().len() + bytes_of(header.value()));
        bytes_of(self.key) + bytes_of(self.value) + headers.sum::<usize>()
    }

    /// The headers, in the order in which they were added.
    #[must_use]
    pub fn get_headers(&self) -> &[Header<'a>] {
        &self.headers
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
        let headers: Vec<_> = record.get_headers().iter().map(|header| (header.key(), header.value())).collect();
        assert_eq!(headers, [("a", Some(b"x".as_slice())), ("a", None), ("b", Some([1].as_slice()))]);
    }

    #[test]
    fn a_slice_of_headers_is_borrowed_and_can_be_added_to() {
        let shared = [Header::null("a")];
        let record = ProducerRecord::to("t").header("gone", "").headers(&shared);
        assert!(std::ptr::eq(record.get_headers(), shared.as_slice()));
        assert_eq!(record.header("b", "").get_headers().len(), 2);
        assert_eq!(shared.len(), 1);
    }

    #[test]
    fn everything_set_is_there() {
        let record = ProducerRecord::to("t").key("k").value("v").partition(3).timestamp(Timestamp::from_millis(5));
        assert_eq!(record.get_topic(), "t");
        assert_eq!(record.get_partition(), Some(3));
        assert_eq!(record.get_timestamp(), Some(Timestamp::from_millis(5)));
        assert_eq!(record.get_key(), Some(b"k".as_slice()));
        assert_eq!(record.get_value(), Some(b"v".as_slice()));
        assert!(record.get_headers().is_empty());
    }
}
