//! How a producer sends.

use std::fmt;
use std::sync::Arc;

use super::partitioner::{DefaultPartitioner, Partitioner};
use crate::config_key::unknown;
use crate::error::Result;
use crate::partition::durability::{DURABILITY, Durability};

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

    /// Takes a setting as text. There is one: `ottla.durability`, for [`durability`](ProducerConfig::durability), with the values
    /// that [`Durability`] shows.
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
            _ => Err(unknown(key, &[DURABILITY])),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.durability.map_or(Ok(()), Durability::validate)
    }

    pub(super) fn partitioner_or_default(self, random: u128) -> Arc<dyn Partitioner> {
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        self.partitioner.unwrap_or_else(|| Arc::new(DefaultPartitioner::new(random as u64)))
    }
}

impl fmt::Debug for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerConfig").field("durability", &self.durability).finish_non_exhaustive()
    }
}
