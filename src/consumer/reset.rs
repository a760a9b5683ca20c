//! Where to go on where the committed offset does not say.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::topic_partition::TopicPartition;

/// Where to begin in a partition without a committed offset, or with one that is no longer in the log.
///
/// A consumer falls behind the log start when retention or [`delete_records`](crate::Admin::delete_records) was faster than it was.
/// What was deleted can no longer be read by anybody. `Earliest` and `Latest` go on, and say so:
/// [`reset_count`](crate::Consumer::reset_count) and [`passed_over_count`](crate::Consumer::passed_over_count) count it, and
/// [`on_position_reset`](crate::ConsumerConfig::on_position_reset) is told which offsets it did not read. The committed offset stays
/// where it is until the consumer commits. `Error` stops there until somebody has decided.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::{ConsumerConfig, OffsetReset};
/// # let broker = ottla::Broker::temporary()?;
/// let orders = broker.topic("orders")?;
/// orders.produce("customer-1", "before")?;
/// let config = ConsumerConfig::new("news").topics(["orders"]).offset_reset(OffsetReset::Latest);
/// let mut consumer = broker.consumer_with(config)?;
/// assert!(consumer.poll(Duration::ZERO)?.is_empty());
/// orders.produce("customer-1", "after")?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
/// # Ok::<_, ottla::Error>(())
/// ```
///
/// With `Error`, the program decides what to do about records that it missed:
/// ```
/// use std::time::Duration;
/// use ottla::{ConsumerConfig, Error, OffsetReset, SeekTo, TopicPartition};
/// # let broker = ottla::Broker::temporary()?;
/// # let orders = broker.topic("orders")?;
/// # for value in ["a", "b", "c"] { orders.produce("customer-1", value)?; }
/// let config = ConsumerConfig::new("billing").topics(["orders"]).offset_reset(OffsetReset::Error);
/// let mut consumer = broker.consumer_with(config)?;
/// # let partition = TopicPartition::new("orders", 0);
/// # assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::NoCommittedOffset { .. })));
/// # consumer.seek(&partition, SeekTo::Earliest)?;
/// # broker.admin().delete_records(&[(partition.clone(), 2)])?;
/// let records = match consumer.poll(Duration::from_secs(1)) {
///     Err(Error::OffsetOutOfRange { partition, requested, log_start_offset, .. }) => {
///         eprintln!("{partition}: {requested}..{log_start_offset} were deleted before they were billed");
///         consumer.seek(&partition, SeekTo::Earliest)?;
///         consumer.poll(Duration::from_secs(1))?
///     }
///     polled => polled?,
/// };
/// assert_eq!(records.len(), 1);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetReset {
    /// At the log start: the default. Nothing is missed that is still there.
    #[default]
    Earliest,
    /// At the log end: only what is sent from now on. Whoever fell behind the log start also passes over what is still there.
    Latest,
    /// Nowhere: until `seek` says where, `poll` returns [`Error::NoCommittedOffset`](crate::Error::NoCommittedOffset), or
    /// [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) if there is one that is not in the log.
    Error,
}

/// What to do if a power cut took records that the group had already read. It can happen with any durability but
/// [`Durability::Always`](crate::Durability::Always).
///
/// # Examples
/// ```
/// use ottla::{ConsumerConfig, TruncationReset};
/// let config = ConsumerConfig::new("billing").topics(["orders"]).truncation_reset(TruncationReset::Continue);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TruncationReset {
    /// `poll` returns [`Error::LogTruncated`](crate::Error::LogTruncated) until `seek` says where to go on: the default.
    #[default]
    Error,
    /// Go on with the first record that came after the cut, and count it in
    /// [`truncation_count`](crate::Consumer::truncation_count). No record that is there is missed.
    Continue,
}

/// As Kafka's `auto.offset.reset` takes it: `earliest`, `latest`, `none`.
impl fmt::Display for OffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OffsetReset::Earliest => "earliest",
            OffsetReset::Latest => "latest",
            OffsetReset::Error => "none",
        })
    }
}

impl fmt::Display for TruncationReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TruncationReset::Error => "error",
            TruncationReset::Continue => "continue",
        })
    }
}

/// A consumer went on elsewhere, as its position was no longer in the log; what
/// [`ConsumerConfig::on_position_reset`](crate::ConsumerConfig::on_position_reset) is told.
///
/// # Examples
/// ```
/// use ottla::ConsumerConfig;
/// let config = ConsumerConfig::new("billing")
///     .topics(["orders"])
///     .on_position_reset(|reset| eprintln!("{reset}: not read {:?}", reset.passed_over()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionReset {
    pub(super) partition: TopicPartition,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl PositionReset {
    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The position before: the offset of the record that was to be read next.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Where the consumer goes on.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.to
    }

    /// The offsets that this consumer does not read, the end not included. Records of them may be there still, if the policy is
    /// [`OffsetReset::Latest`]. Empty if it went back.
    #[must_use]
    pub fn passed_over(&self) -> Range<u64> {
        self.from..self.to.max(self.from)
    }
}

/// `orders-0: position 5 reset to 50`.
impl fmt::Display for PositionReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: position {} reset to {}", self.partition, self.from, self.to)
    }
}

/// The application's code that is told of resets.
#[derive(Clone)]
pub(super) struct PositionResetHook(pub(super) Arc<dyn Fn(&PositionReset) + Send + Sync>);

impl PositionResetHook {
    pub(super) fn call(&self, reset: &PositionReset) {
        // A panic was reported by the panic hook, and takes no record away from the poll that happens to be here.
        _ = catch_unwind(AssertUnwindSafe(|| (self.0)(reset)));
    }
}

impl fmt::Debug for PositionResetHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PositionResetHook")
    }
}
