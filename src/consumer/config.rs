//! How a consumer reads.

use crate::config_key::{check_range, invalid, parse_number, unknown};
use crate::error::Result;

const GROUP_ID: &str = "group.id";
const AUTO_OFFSET_RESET: &str = "auto.offset.reset";
const MAX_POLL_RECORDS: &str = "max.poll.records";
const FETCH_MAX_BYTES: &str = "fetch.max.bytes";

/// Group names are keys of records, with Kafka's length field.
const GROUP_BYTES: std::ops::RangeInclusive<usize> = 1..=32_767;

/// Where to begin in a partition without a committed offset, or with one that is no longer in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetReset {
    /// At the log start: the default. Nothing is missed.
    #[default]
    Earliest,
    /// At the log end: only what is sent from now on.
    Latest,
    /// Nowhere: `poll` returns [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) until `seek` says where.
    Error,
}

/// The settings of a consumer.
///
/// # Examples
/// ```
/// use ottla::{ConsumerConfig, OffsetReset};
/// # let broker = ottla::Broker::temporary()?;
/// let config = ConsumerConfig::new("billing").topics(["orders"]).offset_reset(OffsetReset::Latest).max_poll_records(100);
/// let consumer = broker.consumer_with(config)?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerConfig {
    pub(super) group: String,
    pub(super) topics: Vec<String>,
    pub(super) offset_reset: OffsetReset,
    pub(super) max_poll_records: u32,
    pub(super) fetch_max_bytes: u32,
}

impl ConsumerConfig {
    /// The default settings, for a member of `group`: 1 to 32,767 bytes.
    #[doc(alias = "group.id")]
    pub fn new(group: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig {
            group: group.into(),
            topics: Vec::new(),
            offset_reset: OffsetReset::Earliest,
            max_poll_records: 500,
            fetch_max_bytes: 1 << 20,
        }
    }

    /// The topics whose partitions the consumer reads. One that does not exist yet is read once it does. Default: none; call
    /// [`Consumer::assign`](crate::Consumer::assign) then.
    pub fn topics<S: Into<String>>(mut self, topics: impl IntoIterator<Item = S>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Where to begin without a committed offset that is in the log. Default: [`OffsetReset::Earliest`] (Kafka's: latest).
    #[doc(alias = "auto.offset.reset")]
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// How many records one poll returns at most. Default: 500; from 1.
    #[doc(alias = "max.poll.records")]
    pub fn max_poll_records(mut self, records: u32) -> Self {
        self.max_poll_records = records;
        self
    }

    /// How many bytes of records one poll returns at most; one record is returned even if it is larger. Default: 1 MiB; from 1.
    #[doc(alias = "fetch.max.bytes")]
    pub fn fetch_max_bytes(mut self, bytes: u32) -> Self {
        self.fetch_max_bytes = bytes;
        self
    }

    /// Takes a setting as text, by Kafka's property name.
    ///
    /// # Errors
    /// [`Error::UnknownConfig`](crate::Error::UnknownConfig) with the nearest known name,
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig).
    ///
    /// # Examples
    /// ```
    /// let config = ottla::ConsumerConfig::new("billing").set("auto.offset.reset", "latest")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        match key {
            GROUP_ID => value.clone_into(&mut self.group),
            AUTO_OFFSET_RESET => self.offset_reset = parse_reset(value)?,
            MAX_POLL_RECORDS => self.max_poll_records = parse_number(MAX_POLL_RECORDS, value)?,
            FETCH_MAX_BYTES => self.fetch_max_bytes = parse_number(FETCH_MAX_BYTES, value)?,
            _ => return Err(unknown(key, &[GROUP_ID, AUTO_OFFSET_RESET, MAX_POLL_RECORDS, FETCH_MAX_BYTES])),
        }
        Ok(self)
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !GROUP_BYTES.contains(&self.group.len()) {
            let value = format!("{} bytes", self.group.len());
            return Err(invalid(GROUP_ID, value, "a group's name has 1 to 32767 bytes"));
        }
        check_range(MAX_POLL_RECORDS, self.max_poll_records, 1..=u32::MAX)?;
        check_range(FETCH_MAX_BYTES, self.fetch_max_bytes, 1..=u32::MAX)
    }
}

fn parse_reset(value: &str) -> Result<OffsetReset> {
    match value.trim() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        "none" => Ok(OffsetReset::Error),
        _ => Err(invalid(AUTO_OFFSET_RESET, value, "expected earliest, latest or none")),
    }
}
