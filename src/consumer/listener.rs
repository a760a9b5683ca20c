//! What an application is told when partitions come and go.

use std::fmt;
use std::sync::Arc;

use super::Consumer;
use crate::error::Result;
use crate::topic_partition::TopicPartition;

/// Is told which partitions a consumer gets and loses; set by
/// [`ConsumerConfig::rebalance_listener`](crate::ConsumerConfig::rebalance_listener).
///
/// Called inside [`poll`](Consumer::poll) (and inside `close`, `unsubscribe` and what else gives partitions up), on the
/// consumer's thread, with no lock held. It may commit, seek and pause, or close the consumer through its
/// [`handle`](Consumer::handle); polling and subscribing return [`Error::InvalidState`](crate::Error::InvalidState) there. If it
/// fails or panics, the poll returns that, and the rebalance goes on. To return an error of your own, wrap it with
/// [`Error::other`](crate::Error::other).
///
/// A closure `Fn(&mut Consumer, Rebalance) -> Result<()>` is a listener, too.
///
/// # Examples
/// ```
/// use ottla::{Consumer, ConsumerConfig, Rebalance};
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// let config = ConsumerConfig::new("billing").topics(["orders"]).rebalance_listener(
///     |consumer: &mut Consumer, event: Rebalance<'_>| match event {
///         Rebalance::Revoked(_) => consumer.commit(),
///         _ => Ok(()),
///     },
/// );
/// let consumer = broker.consumer_with(config)?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[doc(alias = "ConsumerRebalanceListener")]
pub trait RebalanceListener: Send + Sync {
    /// The consumer is about to give up these partitions: now is the time to commit. By default does nothing.
    ///
    /// # Errors
    /// The poll returns the error; the partitions are given up all the same.
    fn on_partitions_revoked(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These partitions are the consumer's from now on: now is the time to seek. By default does nothing.
    ///
    /// # Errors
    /// The poll returns the error; the partitions stay.
    fn on_partitions_assigned(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These partitions went to others before the consumer gave them up: it polled too late, or was replaced, or the offsets were
    /// reset. They cannot be committed any more. By default calls
    /// [`on_partitions_revoked`](RebalanceListener::on_partitions_revoked), as in Kafka.
    ///
    /// # Errors
    /// The poll returns the error.
    fn on_partitions_lost(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.on_partitions_revoked(consumer, partitions)
    }
}

/// What a closure that is a [`RebalanceListener`] is told.
///
/// # Examples
/// ```
/// use ottla::{Consumer, ConsumerConfig, Rebalance};
/// let config = ConsumerConfig::new("billing").topics(["orders"]).rebalance_listener(
///     |consumer: &mut Consumer, event: Rebalance<'_>| {
///         println!("{event}"); // assigned: orders-0, orders-1
///         if let Rebalance::Revoked(_) = event { consumer.commit() } else { Ok(()) }
///     },
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rebalance<'p> {
    /// The consumer is about to give these up.
    Revoked(&'p [TopicPartition]),
    /// These are the consumer's from now on.
    Assigned(&'p [TopicPartition]),
    /// These have already gone to others.
    Lost(&'p [TopicPartition]),
}

/// What happens, and to which partitions: `revoked: orders-0, orders-1`.
impl fmt::Display for Rebalance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, partitions) = match self {
            Rebalance::Revoked(partitions) => ("revoked", partitions),
            Rebalance::Assigned(partitions) => ("assigned", partitions),
            Rebalance::Lost(partitions) => ("lost", partitions),
        };
        write!(f, "{what}:")?;
        let mut before = " ";
        for partition in *partitions {
            write!(f, "{before}{partition}")?;
            before = ", ";
        }
        Ok(())
    }
}

impl<F> RebalanceListener for F
where
    F: Fn(&mut Consumer, Rebalance<'_>) -> Result<()> + Send + Sync,
{
    fn on_partitions_revoked(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self(consumer, Rebalance::Revoked(partitions))
    }

    fn on_partitions_assigned(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self(consumer, Rebalance::Assigned(partitions))
    }

    fn on_partitions_lost(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self(consumer, Rebalance::Lost(partitions))
    }
}

/// A listener that a configuration holds.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<dyn RebalanceListener>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RebalanceListener")
    }
}
