//! What a topic may set, and how that is written down.
//!
//! As text every setting has Kafka's property name, or one of ours that begins with `ottla.`. The catalog keeps a topic's
//! settings as such pairs of text, so that a later version can add some; what is not there has its default.
//!
//! ```text
//! byte  size  field           one setting; settings follow one another to the end of the bytes; integers big-endian
//!    0     1  flags           1: who does not know it may ignore it
//!    1     2  key_bytes
//!    3     -  key             UTF-8
//!    -     2  value_bytes
//!    -     -  value           UTF-8
//! ```
//! Not checksummed here: the file that they are a part of is. A setting that is not known and may be ignored is kept, byte for
//! byte, when the settings are written again; one that may not be ignored is refused.

use std::time::Duration;

use crate::config_key::{
    DURATION_MS_MAX, check_duration_ms, check_duration_or_zero_ms, check_range, invalid, parse_duration_ms,
    parse_number, unknown,
};
use crate::error::{Error, Result};
use crate::format::{Compression, Invalid, Reader};
use crate::partition::cleanup_policy::{CLEANUP_POLICY, CleanupPolicy};
use crate::partition::compaction::config::DirtyRatio;
use crate::partition::durability::{DURABILITY, Durability};
use crate::partition::timestamp_type::{TIMESTAMP_TYPE, TimestampType};
use crate::segment::SegmentConfig;

pub(crate) const PARTITIONS: &str = "num.partitions";
pub(crate) const SEGMENT_BYTES: &str = "segment.bytes";
const SEGMENT_MS: &str = "segment.ms";
const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
const SEGMENT_INDEX_BYTES: &str = "segment.index.bytes";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const COMPRESSION: &str = "compression.type";
/// No setting of users: it follows from others.
const LARGEST_MESSAGE_BYTES: &str = "ottla.max.message.bytes.ever";
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const RETAIN_FOR_GROUPS: &str = "ottla.retain.for.groups";
const RETAIN_FOR_BYTES: &str = "ottla.retain.for.bytes";
const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";
const DELETE_RETENTION_MS: &str = "delete.retention.ms";
const MIN_CLEANABLE_DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";

pub(crate) const KEYS: [&str; 18] = [
    PARTITIONS,
    SEGMENT_BYTES,
    SEGMENT_MS,
    INDEX_INTERVAL_BYTES,
    SEGMENT_INDEX_BYTES,
    MAX_MESSAGE_BYTES,
    COMPRESSION,
    TIMESTAMP_TYPE,
    RETENTION_MS,
    RETENTION_BYTES,
    RETAIN_FOR_GROUPS,
    RETAIN_FOR_BYTES,
    CLEANUP_POLICY,
    MIN_COMPACTION_LAG_MS,
    MAX_COMPACTION_LAG_MS,
    DELETE_RETENTION_MS,
    MIN_CLEANABLE_DIRTY_RATIO,
    DURABILITY,
];

/// Flag of a setting: a version that does not know it may go on without.
const MAY_BE_IGNORED: u8 = 1;

/// Why settings, or what they are a part of, are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They make no sense.
    Invalid(Invalid),
    /// A later version has written what must not be ignored.
    Newer,
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Refusal {
        Refusal::Invalid(invalid)
    }
}

/// The largest number of partitions that one topic may have.
pub(crate) const PARTITIONS_MAX: u32 = 100_000;
/// Sizes and positions in a segment are signed 32-bit numbers in Kafka's indexes.
const SIZE_MAX: u32 = i32::MAX as u32;
/// Small enough for tests to roll; Kafka's own minimum is 1 MiB.
pub(crate) const SEGMENT_BYTES_MIN: u32 = 1024;
/// Two entries of the time index, of which one is kept free for the last.
const SEGMENT_INDEX_BYTES_MIN: u32 = 24;
/// What the names of groups that protect may have together, as text, in bytes.
const GROUPS_BYTES_MAX: usize = 16 << 10;
/// A batch of one record with neither key nor value.
const MAX_MESSAGE_BYTES_MIN: u32 = 68;

/// What a topic may set: sizes, limits, compression, durability, and what becomes of old records.
///
/// Settings not mentioned have their defaults. Each has a method, and a key for [`set`](TopicConfig::set), which is Kafka's where
/// Kafka has the setting:
///
/// | key | in | default | bounds |
/// |---|---|---|---|
/// | `num.partitions` | partitions | 1 | 1 to 100,000; can be raised later |
/// | `segment.bytes` | bytes | 1073741824 | 1,024 to 2,147,483,647 |
/// | `segment.ms` | milliseconds | 604800000 | at least 1 |
/// | `index.interval.bytes` | bytes | 4096 | 0 to 2,147,483,647 |
/// | `segment.index.bytes` | bytes | 10485760 | 24 to 2,147,483,647 |
/// | `max.message.bytes` | bytes | 1048588 | 68 to 2,147,483,647 |
/// | `compression.type` | a name | none | `none`, `uncompressed`, `snappy`; with the feature of that name `gzip`, `lz4`, `zstd` |
/// | `message.timestamp.type` | a name | CreateTime | `CreateTime`, `LogAppendTime` |
/// | `retention.ms` | milliseconds | -1 | at least 1; `-1`: no limit |
/// | `retention.bytes` | bytes | -1 | at least 0; `-1`: no limit |
/// | `ottla.retain.for.groups` | names, with commas between them | -1 | `-1`: none |
/// | `ottla.retain.for.bytes` | bytes | -1 | at least 0; `-1`: only without groups |
/// | `cleanup.policy` | names | delete | `delete`, `compact`, `compact,delete` |
/// | `min.compaction.lag.ms` | milliseconds | 0 | at least 0, at most `max.compaction.lag.ms` |
/// | `max.compaction.lag.ms` | milliseconds | 9223372036854775807 | at least 1 |
/// | `delete.retention.ms` | milliseconds | 86400000 | at least 0 |
/// | `min.cleanable.dirty.ratio` | a part of 1 | 0.5 | 0 to 1 |
/// | `ottla.durability` | a name | the broker's | `always`, `os`, `interval:<ms>` |
///
/// With the feature `serde` a configuration is written as a map of its [`properties`](TopicConfig::properties), and what is read is
/// checked as by [`set`](TopicConfig::set) and for its bounds. `{:?}` shows what differs from the defaults.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::TopicConfig;
///
/// let config = TopicConfig::new().partitions(8).segment_ms(Duration::from_secs(3600));
/// let pasted = TopicConfig::new().set("num.partitions", "8")?.set("segment.ms", "3600000")?;
/// assert_eq!(config, pasted);
/// assert_eq!((config.get_partitions(), config.get_durability()), (8, None));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a configuration does nothing until a topic is created with it"]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_ms: Duration,
    pub(crate) index_interval_bytes: u32,
    pub(crate) segment_index_bytes: u32,
    pub(crate) max_message_bytes: u32,
    pub(crate) compression: Compression,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) cleanup_policy: CleanupPolicy,
    pub(crate) min_compaction_lag_ms: Duration,
    pub(crate) max_compaction_lag_ms: Duration,
    pub(crate) delete_retention_ms: Duration,
    pub(crate) min_cleanable_dirty_ratio: DirtyRatio,
    pub(crate) durability: Option<Durability>,
    pub(crate) retention_ms: Option<Duration>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retain_for_groups: Vec<String>,
    pub(crate) retain_for_bytes: Option<u64>,
    /// The largest that `max_message_bytes` ever was, if that is more: what was written then can still be read.
    pub(crate) largest_message_bytes: u32,
}

/// What the records of a compressed batch may expand to beyond twice the largest batch that the topic accepts, in bytes.
const EXPANSION_BYTES: usize = 16 << 20;

/// In whole milliseconds, as far as they fit.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<&TopicConfig> for SegmentConfig {
    fn from(config: &TopicConfig) -> SegmentConfig {
        SegmentConfig {
            segment_bytes: config.segment_bytes,
            index_interval_bytes: config.index_interval_bytes,
            index_bytes_max: config.segment_index_bytes,
            segment_ms: whole_ms(config.active_ms_max()),
            expanded_bytes_max: config.expanded_bytes_max(),
        }
    }
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig {
            partitions: 1,
            segment_bytes: 1 << 30,
            segment_ms: Duration::from_secs(7 * 24 * 3600),
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            max_message_bytes: 1_048_588,
            compression: Compression::None,
            timestamp_type: TimestampType::CreateTime,
            cleanup_policy: CleanupPolicy::Delete,
            min_compaction_lag_ms: Duration::ZERO,
            max_compaction_lag_ms: Duration::from_millis(DURATION_MS_MAX),
            delete_retention_ms: Duration::from_secs(24 * 3600),
            min_cleanable_dirty_ratio: DirtyRatio::HALF,
            durability: None,
            retention_ms: None,
            retention_bytes: None,
            retain_for_groups: Vec::new(),
            retain_for_bytes: None,
            largest_message_bytes: 0,
        }
    }
}

impl TopicConfig {
    /// The keys that [`set`](TopicConfig::set) takes, in the order of the [table above](TopicConfig).
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// assert!(TopicConfig::KEYS.contains(&"retention.ms"));
    /// ```
    pub const KEYS: &[&str] = &KEYS;

    /// The defaults.
    pub fn new() -> TopicConfig {
        TopicConfig::default()
    }

    /// Number of partitions. Default: 1; from 1 to 100,000. Can be raised later, never lowered.
    #[doc(alias = "num.partitions")]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = count;
        self
    }

    /// Size in bytes at which the active segment is closed and a new one begun. Default: 1 GiB; from 1 KiB to 2 GiB − 1.
    #[doc(alias = "segment.bytes")]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Age at which the active segment is closed and a new one begun, by the timestamps of its records. Default: 7 days; whole milliseconds,
    /// at least 1.
    #[doc(alias = "segment.ms")]
    pub fn segment_ms(mut self, age: Duration) -> Self {
        self.segment_ms = age;
        self
    }

    /// Bytes of log between two entries of the indexes. Default: 4096; from 0 (an entry per batch) to 2 GiB − 1.
    #[doc(alias = "index.interval.bytes")]
    pub fn index_interval_bytes(mut self, bytes: u32) -> Self {
        self.index_interval_bytes = bytes;
        self
    }

    /// Size in bytes that an index may reach; the segment is closed when one is full. Default: 10 MiB; from 24 to 2 GiB − 1.
    #[doc(alias = "segment.index.bytes")]
    pub fn segment_index_bytes(mut self, bytes: u32) -> Self {
        self.segment_index_bytes = bytes;
        self
    }

    /// Size in bytes that a batch may have, headers included; a larger record is refused. Default: 1,048,588, as in Kafka; from 68
    /// to 2 GiB − 1.
    #[doc(alias = "max.message.bytes")]
    pub fn max_message_bytes(mut self, bytes: u32) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How batches are compressed when they go into a segment. Default: not at all. All codecs but `Snappy` need the crate feature of their name.
    #[doc(alias = "compression.type")]
    pub fn compression(mut self, codec: Compression) -> Self {
        self.compression = codec;
        self
    }

    /// Whose time the timestamps of records are. Default: [`TimestampType::CreateTime`], the sender's.
    ///
    /// With [`TimestampType::LogAppendTime`] every record gets the time of its append, by the broker's clock, and what it was sent
    /// with counts for nothing: no timestamp is refused. [`RecordMetadata`](crate::RecordMetadata) and consumers show that time, and
    /// [`Partition::offset_for_time`](crate::Partition::offset_for_time), [`retention_ms`](TopicConfig::retention_ms) and
    /// [`segment_ms`](TopicConfig::segment_ms) go by it. Take it where you do not trust the clocks of those who send. Once it is
    /// altered, the next record is the first that obeys; those before keep their timestamps.
    ///
    /// Each record keeps a time of its own in the files, also within one batch, where Kafka gives all records of a batch the time of
    /// that batch. So their attribute bit for it is not set, and Kafka's tools show `CreateTime` beside the same timestamps.
    ///
    /// # Examples
    /// ```
    /// use ottla::{ProducerRecord, Timestamp, TimestampType, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.create_topic("clicks", TopicConfig::new().timestamp_type(TimestampType::LogAppendTime))?;
    /// let from_1970 = ProducerRecord::to("clicks").timestamp(Timestamp::from_millis(-1));
    /// let sent = broker.producer().send(from_1970)?;
    /// assert!(sent.timestamp() > Timestamp::from_millis(1_600_000_000_000));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "message.timestamp.type")]
    #[doc(alias = "log.message.timestamp.type")]
    pub fn timestamp_type(mut self, whose: TimestampType) -> Self {
        self.timestamp_type = whose;
        self
    }

    /// How long records are kept, in whole milliseconds, at least 1; `None`, the default, keeps them for ever. Set
    /// [`segment_ms`](TopicConfig::segment_ms), too: a record may stay for both together, and that is 7 days unless you say otherwise.
    ///
    /// Whole segments are deleted, the oldest first, once the newest timestamp in them is older than that. It counts as no
    /// earlier than when the segment was begun and no later than when the next one was. So a record from the future keeps nothing
    /// for ever, and old records that are sent today are kept as long as others. A segment that is not full is closed after
    /// `segment_ms`, also where nothing is sent any more.
    #[doc(alias = "retention.ms")]
    pub fn retention_ms(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.retention_ms = age.into();
        self
    }

    /// How many bytes of segments each partition keeps; `None`, the default, sets no bound.
    ///
    /// Whole segments are deleted, the oldest first, as long as at least so many bytes are left. So a partition takes at most this
    /// and one [segment](TopicConfig::segment_bytes), which holds at least one batch of up to 64 KiB, and besides the indexes, which
    /// are about 1/200 of it. The newest records, which are not in a segment yet, do not count. Set `segment_bytes`, too: it is 1 GiB unless
    /// you say otherwise. A writer that is faster than files are removed takes more until that has caught up;
    /// [`disk_budget`](crate::BrokerBuilder::disk_budget) bounds that.
    #[doc(alias = "retention.bytes")]
    pub fn retention_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.retention_bytes = bytes.into();
        self
    }

    /// Groups for which records are kept beyond the limits of time and size, per partition: what the slowest of them has not read, by
    /// the offset that it has committed, is not deleted by [`retention_ms`](TopicConfig::retention_ms) and
    /// [`retention_bytes`](TopicConfig::retention_bytes), as long as that is no more than `cap_bytes` of segments. Of more, the oldest
    /// segments go as if nobody needed them, and at least `cap_bytes` stay. A group that has committed nothing needs everything, also
    /// one that is not there yet. The cap counts the whole partition, so make it larger than `retention.bytes`. Default: none, as with
    /// an empty list, `[""; 0]`.
    ///
    /// [`Admin::health`](crate::Admin::health) says which group holds back what. A [disk budget](crate::BrokerBuilder::disk_budget)
    /// and [`Admin::delete_records`](crate::Admin::delete_records) delete whoever needs it. A name has at least one character and
    /// no comma; all together take no more than 16 KiB.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::TopicConfig;
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 3600);
    /// // A day, and longer if billing is behind, but no more than 10 GB for it.
    /// let config = TopicConfig::new().retention_ms(DAY).retain_for(["billing"], 10_000_000_000);
    /// assert_eq!(config.get_retain_for_groups(), ["billing"]);
    /// assert_eq!(config.get_retain_for_bytes(), Some(10_000_000_000));
    /// ```
    #[doc(alias = "ottla.retain.for.groups")]
    #[doc(alias = "ottla.retain.for.bytes")]
    pub fn retain_for<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>, cap_bytes: u64) -> Self {
        self.retain_for_groups = groups.into_iter().map(Into::into).collect();
        self.retain_for_bytes = Some(cap_bytes).filter(|_| !self.retain_for_groups.is_empty());
        self
    }

    /// What becomes of old records. Default: [`CleanupPolicy::Delete`]. A record without a key is refused where the policy has
    /// `compact`, and removed by the first pass of compaction if it was there before the policy was changed.
    ///
    /// # Examples
    /// ```
    /// use ottla::{CleanupPolicy, Error, ProducerRecord, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    /// let prices = broker.create_topic("prices", config)?;
    /// prices.produce("coffee", "3.20")?;
    /// prices.produce("coffee", "3.40")?; // the one that stays
    /// let producer = broker.producer();
    /// producer.send(ProducerRecord::to("prices").key("tea"))?; // a tombstone: there is no tea any more
    /// let refused = producer.send(ProducerRecord::to("prices").value("1.00"));
    /// assert!(matches!(refused, Err(Error::InvalidRecord { .. })));
    /// # Ok::<_, Error>(())
    /// ```
    #[doc(alias = "cleanup.policy")]
    pub fn cleanup_policy(mut self, policy: CleanupPolicy) -> Self {
        self.cleanup_policy = policy;
        self
    }

    /// How long compaction leaves a record alone: the age of a segment's youngest record from which it may be compacted. Default:
    /// 0; whole milliseconds, no more than [`max_compaction_lag_ms`](TopicConfig::max_compaction_lag_ms).
    #[doc(alias = "min.compaction.lag.ms")]
    pub fn min_compaction_lag_ms(mut self, lag: Duration) -> Self {
        self.min_compaction_lag_ms = lag;
        self
    }

    /// After which time a record is compacted, however little else there is to compact: the active segment is closed at this
    /// age, and compaction does not wait for the
    /// [`min_cleanable_dirty_ratio`](TopicConfig::min_cleanable_dirty_ratio). Default: 2<sup>63</sup> − 1 ms, never; whole
    /// milliseconds, at least 1.
    #[doc(alias = "max.compaction.lag.ms")]
    pub fn max_compaction_lag_ms(mut self, lag: Duration) -> Self {
        self.max_compaction_lag_ms = lag;
        self
    }

    /// How long compaction keeps a tombstone, from the first pass over it on: who reads from the beginning to the end within
    /// that time learns of every deletion. Default: 24 hours; whole milliseconds, from 0.
    #[doc(alias = "delete.retention.ms")]
    pub fn delete_retention_ms(mut self, time: Duration) -> Self {
        self.delete_retention_ms = time;
        self
    }

    /// Which part of a log, by bytes and without the active segment, must be new since the last pass of compaction for the next
    /// one. Default: 0.5; from 0 (as soon as a segment is closed) to 1.
    #[doc(alias = "min.cleanable.dirty.ratio")]
    pub fn min_cleanable_dirty_ratio(mut self, ratio: f64) -> Self {
        self.min_cleanable_dirty_ratio = DirtyRatio::new(ratio);
        self
    }

    /// What a record of this topic survives once its send has returned. Default: what the broker was opened with.
    ///
    /// It can be [altered](crate::Admin::alter_topic) while the topic is in use. The next send obeys. If it becomes
    /// [`Durability::Always`], the call returns once what was sent before is durable, too; a reader that has seen records which are not
    /// yet durable keeps its place.
    #[doc(alias = "ottla.durability")]
    #[doc(alias = "flush.messages")]
    #[doc(alias = "flush.ms")]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Sets a property by Kafka's name for it, for configuration that comes as text. The [table above](TopicConfig) has the keys, with
    /// units and defaults. `-1` is Kafka's way to say "no limit", for `retention.ms` and `retention.bytes`.
    ///
    /// # Errors
    /// [`Error::UnknownConfig`](crate::Error::UnknownConfig) with the nearest known key;
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) if `value` does not have its form. Bounds are checked when the topic
    /// is created or altered.
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// let config = TopicConfig::new().set("retention.ms", "86400000")?.set("retention.bytes", "-1")?;
    /// assert_eq!(format!("{config:?}"), "TopicConfig { retention.ms: 86400000 }");
    /// let error = config.set("retentoin.ms", "1").unwrap_err();
    /// assert_eq!(error.to_string(), r#"unknown configuration "retentoin.ms": did you mean "retention.ms"?"#);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        match key {
            PARTITIONS => self.partitions = parse_number(PARTITIONS, value)?,
            SEGMENT_BYTES => self.segment_bytes = parse_number(SEGMENT_BYTES, value)?,
            SEGMENT_MS => self.segment_ms = parse_duration_ms(SEGMENT_MS, value)?,
            INDEX_INTERVAL_BYTES => {
                self.index_interval_bytes = parse_number(INDEX_INTERVAL_BYTES, value)?;
            }
            SEGMENT_INDEX_BYTES => {
                self.segment_index_bytes = parse_number(SEGMENT_INDEX_BYTES, value)?;
            }
            MAX_MESSAGE_BYTES => self.max_message_bytes = parse_number(MAX_MESSAGE_BYTES, value)?,
            COMPRESSION => self.compression = parse_codec(value)?,
            TIMESTAMP_TYPE => self.timestamp_type = TimestampType::parse(value)?,
            CLEANUP_POLICY => self.cleanup_policy = CleanupPolicy::parse(value)?,
            MIN_COMPACTION_LAG_MS => self.min_compaction_lag_ms = parse_duration_ms(MIN_COMPACTION_LAG_MS, value)?,
            MAX_COMPACTION_LAG_MS => self.max_compaction_lag_ms = parse_duration_ms(MAX_COMPACTION_LAG_MS, value)?,
            DELETE_RETENTION_MS => self.delete_retention_ms = parse_duration_ms(DELETE_RETENTION_MS, value)?,
            MIN_CLEANABLE_DIRTY_RATIO => {
                let ratio = value.trim().parse();
                self.min_cleanable_dirty_ratio = ratio.map(DirtyRatio::new).map_err(|_| not_a_ratio(value))?;
            }
            DURABILITY => self.durability = Some(Durability::parse(value)?),
            RETENTION_MS => {
                self.retention_ms = unless_unlimited(value, |value| parse_duration_ms(RETENTION_MS, value))?;
            }
            RETAIN_FOR_GROUPS => {
                let names = |value: &str| Ok(value.split(',').map(|name| name.trim().to_owned()).collect());
                self.retain_for_groups = unless_unlimited(value, names)?.unwrap_or_default();
            }
            RETAIN_FOR_BYTES => {
                self.retain_for_bytes = unless_unlimited(value, |value| parse_number(RETAIN_FOR_BYTES, value))?;
            }
            RETENTION_BYTES => {
                self.retention_bytes = unless_unlimited(value, |value| parse_number(RETENTION_BYTES, value))?;
            }
            _ => return Err(unknown(key, &KEYS)),
        }
        Ok(self)
    }

    /// Every setting as text, under the key that [`set`](TopicConfig::set) takes and in the form that it takes, defaults included. The
    /// limits of retention and the durability are there only if they are set.
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// let config = TopicConfig::new().partitions(4);
    /// assert!(config.properties().contains(&("num.partitions", "4".to_owned())));
    /// let copy = config.properties().iter().try_fold(TopicConfig::new(), |copy, (key, value)| copy.set(key, value))?;
    /// assert_eq!(copy, config);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![
            (PARTITIONS, self.partitions.to_string()),
            (SEGMENT_BYTES, self.segment_bytes.to_string()),
            (SEGMENT_MS, self.segment_ms.as_millis().to_string()),
            (INDEX_INTERVAL_BYTES, self.index_interval_bytes.to_string()),
            (SEGMENT_INDEX_BYTES, self.segment_index_bytes.to_string()),
            (MAX_MESSAGE_BYTES, self.max_message_bytes.to_string()),
            (COMPRESSION, self.compression.name().to_owned()),
            (TIMESTAMP_TYPE, self.timestamp_type.to_string()),
            (CLEANUP_POLICY, self.cleanup_policy.to_string()),
            (MIN_COMPACTION_LAG_MS, self.min_compaction_lag_ms.as_millis().to_string()),
            (MAX_COMPACTION_LAG_MS, self.max_compaction_lag_ms.as_millis().to_string()),
            (DELETE_RETENTION_MS, self.delete_retention_ms.as_millis().to_string()),
            (MIN_CLEANABLE_DIRTY_RATIO, self.min_cleanable_dirty_ratio.get().to_string()),
        ];
        properties.extend(self.retention_ms.map(|age| (RETENTION_MS, age.as_millis().to_string())));
        properties.extend(self.retention_bytes.map(|bytes| (RETENTION_BYTES, bytes.to_string())));
        if !self.retain_for_groups.is_empty() {
            properties.push((RETAIN_FOR_GROUPS, self.retain_for_groups.join(",")));
        }
        properties.extend(self.retain_for_bytes.map(|bytes| (RETAIN_FOR_BYTES, bytes.to_string())));
        properties.extend(self.durability.map(|durability| (DURABILITY, durability.to_string())));
        properties
    }

    /// The first setting in which `other` differs: its key, what it is here, and what it is there.
    pub(crate) fn difference(&self, other: &TopicConfig) -> Option<(&'static str, String, String)> {
        let value = |config: &TopicConfig, key| {
            let found = config.properties().into_iter().find(|(name, _)| *name == key);
            let unset = match key {
                DURABILITY => "(as the broker)",
                RETAIN_FOR_GROUPS => "(none)",
                _ => "-1",
            };
            found.map_or_else(|| unset.to_owned(), |(_, value)| value)
        };
        let mut values = KEYS.into_iter().map(|key| (key, value(self, key), value(other, key)));
        values.find(|(_, here, there)| here != there)
    }

    /// The number of partitions.
    #[must_use]
    pub fn get_partitions(&self) -> u32 {
        self.partitions
    }

    /// The size in bytes at which the active segment is closed.
    #[must_use]
    pub fn get_segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// The age at which the active segment is closed, by the timestamps of its records.
    #[must_use]
    pub fn get_segment_ms(&self) -> Duration {
        self.segment_ms
    }

    /// Bytes of log between two entries of the indexes.
    #[must_use]
    pub fn get_index_interval_bytes(&self) -> u32 {
        self.index_interval_bytes
    }

    /// The size in bytes that an index may reach.
    #[must_use]
    pub fn get_segment_index_bytes(&self) -> u32 {
        self.segment_index_bytes
    }

    /// The size in bytes that a batch may have, headers included.
    #[must_use]
    pub fn get_max_message_bytes(&self) -> u32 {
        self.max_message_bytes
    }

    /// How batches are compressed when they go into a segment.
    #[must_use]
    pub fn get_compression(&self) -> Compression {
        self.compression
    }

    /// Whose time the timestamps of records are.
    #[must_use]
    pub fn get_timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// How long records are kept; `None` for ever.
    #[must_use]
    pub fn get_retention_ms(&self) -> Option<Duration> {
        self.retention_ms
    }

    /// How many bytes of segments each partition keeps; `None` for all.
    #[must_use]
    pub fn get_retention_bytes(&self) -> Option<u64> {
        self.retention_bytes
    }

    /// The groups for which records are kept beyond the limits.
    #[must_use]
    pub fn get_retain_for_groups(&self) -> &[String] {
        &self.retain_for_groups
    }

    /// How many bytes of segments each partition keeps for them; `None` without groups.
    #[must_use]
    pub fn get_retain_for_bytes(&self) -> Option<u64> {
        self.retain_for_bytes
    }

    /// What becomes of old records.
    #[must_use]
    pub fn get_cleanup_policy(&self) -> CleanupPolicy {
        self.cleanup_policy
    }

    /// How long compaction leaves a record alone.
    #[must_use]
    pub fn get_min_compaction_lag_ms(&self) -> Duration {
        self.min_compaction_lag_ms
    }

    /// After which time a record is compacted, however little else there is to compact.
    #[must_use]
    pub fn get_max_compaction_lag_ms(&self) -> Duration {
        self.max_compaction_lag_ms
    }

    /// How long compaction keeps a tombstone.
    #[must_use]
    pub fn get_delete_retention_ms(&self) -> Duration {
        self.delete_retention_ms
    }

    /// Which part of a log must be new since the last pass of compaction for the next one.
    #[must_use]
    pub fn get_min_cleanable_dirty_ratio(&self) -> f64 {
        self.min_cleanable_dirty_ratio.get()
    }

    /// The age at which the active segment is closed: that of the setting, or earlier where compaction is to get at its records.
    pub(crate) fn active_ms_max(&self) -> Duration {
        let is_compacted = self.cleanup_policy.has_compact();
        if is_compacted { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// What a send to this topic survives when it returns, if the topic says so itself.
    #[must_use]
    pub fn get_durability(&self) -> Option<Durability> {
        self.durability
    }

    /// The most bytes that the records of a compressed batch may expand to.
    pub(crate) fn expanded_bytes_max(&self) -> usize {
        2 * self.max_message_bytes.max(self.largest_message_bytes) as usize + EXPANSION_BYTES
    }

    /// The settings that were made and have no effect.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let has_delete = self.cleanup_policy.has_delete();
        let deletes = has_delete && self.has_retention();
        let settings = [
            (RETENTION_MS, self.retention_ms.is_some() && !has_delete),
            (RETENTION_BYTES, self.retention_bytes.is_some() && !has_delete),
            (RETAIN_FOR_GROUPS, !self.retain_for_groups.is_empty() && !deletes),
            (RETAIN_FOR_BYTES, self.retain_for_bytes.is_some() && !deletes),
        ];
        settings.into_iter().filter(|(_, has_none)| *has_none).map(|(key, _)| key).collect()
    }

    /// Whether old records go by themselves.
    pub(crate) fn has_retention(&self) -> bool {
        self.retention_ms.is_some() || self.retention_bytes.is_some()
    }

    fn check_bounds(&self) -> Result<()> {
        check_range(PARTITIONS, self.partitions, 1..=PARTITIONS_MAX)?;
        check_range(SEGMENT_BYTES, self.segment_bytes, SEGMENT_BYTES_MIN..=SIZE_MAX)?;
        check_duration_ms(SEGMENT_MS, self.segment_ms)?;
        check_range(INDEX_INTERVAL_BYTES, self.index_interval_bytes, 0..=SIZE_MAX)?;
        check_range(SEGMENT_INDEX_BYTES, self.segment_index_bytes, SEGMENT_INDEX_BYTES_MIN..=SIZE_MAX)?;
        check_range(MAX_MESSAGE_BYTES, self.max_message_bytes, MAX_MESSAGE_BYTES_MIN..=SIZE_MAX)?;
        self.retention_ms.map_or(Ok(()), |age| check_duration_ms(RETENTION_MS, age))?;
        if let Some(bytes) = self.retention_bytes {
            check_range(RETENTION_BYTES, bytes, 0..=i64::MAX as u64)?;
        }
        self.check_retain_for()?;
        self.check_compaction()?;
        self.durability.map_or(Ok(()), Durability::validate)
    }

    fn check_retain_for(&self) -> Result<()> {
        let is_invalid = |group: &&String| group.is_empty() || group.contains(',') || group.trim() != group.as_str();
        if let Some(group) = self.retain_for_groups.iter().find(is_invalid) {
            let reason = "the name of a group has at least one character, no comma, and no spaces around it";
            return Err(invalid(RETAIN_FOR_GROUPS, format!("{group:?}"), reason));
        }
        let bytes: usize = self.retain_for_groups.iter().map(|group| group.len() + 1).sum();
        if GROUPS_BYTES_MAX < bytes {
            let reason = format!("the names of all groups together may have {GROUPS_BYTES_MAX} bytes");
            return Err(invalid(RETAIN_FOR_GROUPS, format!("{bytes} bytes"), reason));
        }
        self.retain_for_bytes.map_or(Ok(()), |bytes| check_range(RETAIN_FOR_BYTES, bytes, 0..=i64::MAX as u64))
    }

    /// Refuses groups without a cap, and a cap without groups.
    fn check_retain_for_whole(&self) -> Result<()> {
        match (self.retain_for_groups.is_empty(), self.retain_for_bytes) {
            (true, Some(bytes)) => {
                let reason = format!("there is nobody to keep it for: set {RETAIN_FOR_GROUPS}, too");
                Err(invalid(RETAIN_FOR_BYTES, bytes, reason))
            }
            (false, None) => {
                let reason = format!("a group that stops reading would fill the disk: set {RETAIN_FOR_BYTES}, too");
                Err(invalid(RETAIN_FOR_GROUPS, self.retain_for_groups.join(","), reason))
            }
            _ => Ok(()),
        }
    }

    fn check_compaction(&self) -> Result<()> {
        let (min_lag, max_lag) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        check_duration_or_zero_ms(MIN_COMPACTION_LAG_MS, min_lag)?;
        check_duration_ms(MAX_COMPACTION_LAG_MS, max_lag)?;
        check_duration_or_zero_ms(DELETE_RETENTION_MS, self.delete_retention_ms)?;
        if max_lag < min_lag {
            let reason = format!("must be no more than {MAX_COMPACTION_LAG_MS}, which is {}", max_lag.as_millis());
            return Err(invalid(MIN_COMPACTION_LAG_MS, min_lag.as_millis(), reason));
        }
        let ratio = self.min_cleanable_dirty_ratio.get();
        if (0.0..=1.0).contains(&ratio) { Ok(()) } else { Err(not_a_ratio(&ratio.to_string())) }
    }

    /// Checks the bounds of every setting, that none contradicts another one, and that the codec is compiled in.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) with the key of the first setting that does not hold.
    pub(crate) fn validate(&self) -> Result<()> {
        self.check_bounds()?;
        self.check_retain_for_whole()?;
        if !self.compression.is_available() {
            let name = self.compression.name();
            return Err(invalid(COMPRESSION, name, format!("needs the crate feature {name}")));
        }
        Ok(())
    }

    /// Appends the settings to `out`, in the form at the head of this file.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let largest = Some(self.largest_message_bytes).filter(|&largest| self.max_message_bytes < largest);
        let largest = largest.map(|largest| (LARGEST_MESSAGE_BYTES, largest.to_string()));
        for (key, value) in self.properties().into_iter().chain(largest) {
            // Every version so far knows all of them.
            out.push(0);
            for text in [key, &value] {
                let bytes = u16::try_from(text.len()).expect("a setting is at most a few thousand bytes of text");
                out.extend_from_slice(&bytes.to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Reads what [`encode`](TopicConfig::encode) wrote, perhaps in another version; returns also the settings that are not
    /// known and may be ignored, as they are there. The bytes may be anything.
    ///
    /// # Errors
    /// What does not hold, or a setting of a later version that must not be ignored.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(TopicConfig, Vec<u8>), Refusal> {
        let mut reader = Reader::new(bytes);
        let (mut config, mut ignored) = (TopicConfig::new(), Vec::new());
        while !reader.is_empty() {
            let before = reader.rest();
            let flags = reader.u8()?;
            let (key, value) = (text(&mut reader)?, text(&mut reader)?);
            if flags & !MAY_BE_IGNORED != 0 {
                return Err(Refusal::Newer);
            }
            if key == LARGEST_MESSAGE_BYTES {
                let largest = parse_number(LARGEST_MESSAGE_BYTES, value).ok().filter(|&largest| largest <= SIZE_MAX);
                config.largest_message_bytes =
                    largest.ok_or(Invalid::Malformed("a topic's setting has a malformed value"))?;
                continue;
            }
            if !KEYS.contains(&key) {
                if flags & MAY_BE_IGNORED == 0 {
                    return Err(Refusal::Newer);
                }
                let setting_bytes = before.len() - reader.rest().len();
                ignored.extend_from_slice(before.get(..setting_bytes).unwrap_or_default());
                continue;
            }
            let set = config.set(key, value);
            config = set.map_err(|_| Invalid::Malformed("a topic's setting has a malformed value"))?;
        }
        // Not `validate`: a topic that compresses with a codec that is not compiled in here is no damage.
        config.check_bounds().map_err(|_| Invalid::Malformed("a topic's setting is out of bounds"))?;
        Ok((config, ignored))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for TopicConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.properties())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for TopicConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TopicConfig, D::Error> {
        use serde::de::Error;
        let properties = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        let set = |config: TopicConfig, (key, value): (&String, &String)| config.set(key, value);
        let config = properties.iter().try_fold(TopicConfig::new(), set).map_err(D::Error::custom)?;
        config.check_bounds().map_err(D::Error::custom)?;
        Ok(config)
    }
}

/// Kafka writes -1 for what has no limit.
fn unless_unlimited<T>(value: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    if value.trim() == "-1" {
        return Ok(None);
    }
    parse(value).map(Some).map_err(|error| match error {
        Error::InvalidConfig { key, value, reason } => invalid(key, value, format!("{reason}, or -1 for no limit")),
        other => other,
    })
}

fn not_a_ratio(value: &str) -> crate::error::Error {
    invalid(MIN_CLEANABLE_DIRTY_RATIO, value, "expected a number from 0 to 1")
}

/// Kafka calls the absence of compression `none` for producers and `uncompressed` for topics.
fn parse_codec(value: &str) -> Result<Compression> {
    let name = if value.trim() == "uncompressed" { "none" } else { value.trim() };
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let found = codecs.into_iter().find(|codec| codec.name() == name);
    found.ok_or_else(|| invalid(COMPRESSION, value, "expected none, uncompressed, gzip, snappy, lz4 or zstd"))
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Invalid> {
    let length = u16::from_be_bytes(reader.array()?);
    let text = reader.take(length.into())?;
    std::str::from_utf8(text).map_err(|_| Invalid::Malformed("a topic's settings are not UTF-8"))
}

mod shown;

#[cfg(test)]
mod tests;
