//! How a producer sends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::partitioner::{DefaultPartitioner, Partitioner};
use crate::config_key::{check_duration_ms, check_range, parse_duration_ms, unknown};
use crate::error::Result;
use crate::partition::durability::{DURABILITY, Durability};

const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
/// What a record of Kafka's schema can hold.
const TRANSACTION_TIMEOUT_MS_MAX: u128 = i32::MAX as u128;

/// The settings of a producer.
///
/// # Examples
/// ```
/// use ottla::{Durability, ProducerConfig, ProducerRecord};
///
/// let config = ProducerConfig::new()
///     .durability(Durability::Always)
///     .partitioner(|record: &ProducerRecord<'_>, count: u32| record.get_value().map_or(0, |v| v.len() as u32) % count);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct ProducerConfig {
    pub(super) durability: Option<Durability>,
    pub(super) transaction_timeout: Option<Duration>,
    partitioner: Option<Arc<dyn Partitioner>>,
}

impl ProducerConfig {
    /// The default settings.
    pub fn new() -> ProducerConfig {
        ProducerConfig::default()
    }

    /// What a send waits for, beyond what its topic demands: with [`Durability::Always`] it returns when the record survives a
    /// power cut, whatever the topic's durability. The stronger of the two holds. Default: the topic's.
    #[doc(alias = "acks")]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Who chooses the partition of a record that names none: a [`Partitioner`], or a closure that takes the record and the
    /// number of partitions. Not asked for topics of one partition. Default: [`DefaultPartitioner`].
    #[doc(alias = "partitioner.class")]
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// How long a transaction of a [transactional producer](crate::TransactionalProducer) may be open. Then it is aborted, and the producer
    /// fenced: what it would hold back otherwise, all that comes behind its records, is read on. Counted by the monotonic clock, in whole
    /// milliseconds. Default: 60 s; at most 2,147,483,647 ms. For other producers it means nothing.
    #[doc(alias = "transaction.timeout.ms")]
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = Some(timeout);
        self
    }

    /// Takes a setting as text: `ottla.durability` for [`durability`](ProducerConfig::durability), with the values that [`Durability`]
    /// shows, or `transaction.timeout.ms` for [`transaction_timeout`](ProducerConfig::transaction_timeout).
    ///
    /// # Errors
    /// [`Error::UnknownConfig`](crate::Error::UnknownConfig), [`Error::InvalidConfig`](crate::Error::InvalidConfig).
    ///
    /// # Examples
    /// ```
    /// let config = ottla::ProducerConfig::new().set("ottla.durability", "always")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn set(self, key: &str, value: &str) -> Result<Self> {
        match key {
            DURABILITY => Ok(self.durability(Durability::parse(value)?)),
            TRANSACTION_TIMEOUT => Ok(self.transaction_timeout(parse_duration_ms(TRANSACTION_TIMEOUT, value)?)),
            _ => Err(unknown(key, &[DURABILITY, TRANSACTION_TIMEOUT])),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.durability.map_or(Ok(()), Durability::validate)?;
        let Some(timeout) = self.transaction_timeout else { return Ok(()) };
        check_range(TRANSACTION_TIMEOUT, timeout.as_millis(), 1..=TRANSACTION_TIMEOUT_MS_MAX)?;
        check_duration_ms(TRANSACTION_TIMEOUT, timeout)
    }

    /// So long a transaction may be open.
    pub(super) fn transaction_timeout_or_default(&self) -> Duration {
        self.transaction_timeout.unwrap_or(Duration::from_secs(60))
    }

    pub(super) fn partitioner_or_default(self, random: u128) -> Arc<dyn Partitioner> {
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        self.partitioner.unwrap_or_else(|| Arc::new(DefaultPartitioner::new(random as u64)))
    }
}

impl fmt::Debug for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("ProducerConfig");
        shape.field("durability", &self.durability).field("transaction_timeout", &self.transaction_timeout);
        shape.finish_non_exhaustive()
    }
}
