//! Where to go on where the committed offset does not say.

use std::fmt;

/// Where to begin in a partition without a committed offset, or with one that is no longer in the log.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetReset {
    /// At the log start: the default. Nothing is missed.
    #[default]
    Earliest,
    /// At the log end: only what is sent from now on.
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
