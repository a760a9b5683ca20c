//! Where a consumer goes on: moving its positions, and resting.

use std::fmt;

use std::ops::Range;

use super::Consumer;
use super::cursor::{Cursor, check_offset};
use crate::error::{Corruption, Error, Result};
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// Where to go on reading.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::{SeekTo, TopicPartition};
/// # let broker = ottla::Broker::temporary()?;
/// # let topic = broker.topic("orders")?;
/// # for n in 0..3 { topic.produce("k", n.to_string())?; }
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// let orders_0 = TopicPartition::new("orders", 0);
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
/// consumer.seek(&orders_0, SeekTo::Offset(1))?; // Once more from the second record on.
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 2);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// The log start.
    Earliest,
    /// The end: only what becomes visible from now on.
    Latest,
    /// This offset, from the log start to the log end.
    Offset(u64),
    /// This offset, which was remembered with the leader epoch of the record before it: for applications that keep offsets in a database of
    /// their own. If the log went on otherwise since, after a power cut or because the directory was restored from a copy, the offset
    /// does not stand for the same record any more, and the seek fails.
    OffsetAndEpoch {
        /// The offset to read next, from the log start to the log end.
        offset: u64,
        /// The [leader epoch](crate::guide::concepts#leader-epochs) of the record before it, as
        /// [`ConsumerRecord::leader_epoch`](crate::ConsumerRecord::leader_epoch) says.
        leader_epoch: i32,
    },
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
    /// What the group has committed, or else what the reset policy says. While a transaction is being committed that has it in it, the
    /// next poll goes there, once that is over.
    Committed,
}

impl fmt::Display for SeekTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeekTo::Earliest => f.write_str("earliest"),
            SeekTo::Latest => f.write_str("latest"),
            SeekTo::Offset(offset) => write!(f, "offset {offset}"),
            SeekTo::OffsetAndEpoch { offset, leader_epoch } => write!(f, "offset {offset} of epoch {leader_epoch}"),
            SeekTo::Time(time) => write!(f, "time {time}"),
            SeekTo::Committed => f.write_str("committed"),
        }
    }
}

impl Consumer {
    /// Goes to another place in a partition; the next poll reads from there.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] for an offset outside the log, [`Error::LogTruncated`] for one that is of another epoch, whatever the
    /// consumer does about committed offsets of that kind; [`Error::NotAssigned`] if the consumer does not read that
    /// partition; [`Error::Corrupt`] and [`Error::Io`] if the log cannot be looked at, or by time not be read. The position is
    /// unchanged then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{SeekTo, Timestamp, TopicPartition};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let yesterday: Timestamp = "2026-11-29T00:00:00Z".parse()?;
    /// consumer.seek(&TopicPartition::new("orders", 0), SeekTo::Time(yesterday))?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn seek(&mut self, partition: &TopicPartition, to: SeekTo) -> Result<()> {
        self.check_usable()?;
        self.store.check_open()?;
        let mut cursor = self.cursor(partition)?;
        let log = cursor.position.log();
        if to != SeekTo::Committed {
            // What is not known of a log is said to be 0, which is no place to go to.
            log.check_whole()?;
        }
        let offset = match to {
            SeekTo::Earliest => log.log_start_offset(),
            SeekTo::Latest => cursor.position.end(),
            SeekTo::Offset(offset) => check_offset(cursor.position, offset)?,
            SeekTo::OffsetAndEpoch { offset, leader_epoch } => {
                if let Some(truncated_to) = log.truncated_to(offset, leader_epoch) {
                    let partition = partition.clone();
                    return Err(Error::LogTruncated { partition, requested: offset, truncated_to });
                }
                let offset = check_offset(cursor.position, offset)?;
                cursor.position.go_to(offset, Some(leader_epoch));
                cursor.position.begun_at = Some(offset);
                self.positions.reactivate(partition);
                return Ok(());
            }
            SeekTo::Time(t) => cursor.position.offset_for_time(t.as_millis())?.unwrap_or_else(|| cursor.position.end()),
            SeekTo::Committed => {
                cursor.position.begun_at = None;
                // If it is not decided yet, the next poll goes there.
                cursor.begin()?;
                self.positions.reactivate(partition);
                return Ok(());
            }
        };
        cursor.position.go_to(offset, None);
        cursor.position.begun_at = Some(offset);
        self.positions.reactivate(partition);
        Ok(())
    }

    /// Goes back, in every partition, to what the group has committed: what was read since then is read again. So a program goes on
    /// after its transaction was aborted. Where the group has committed nothing, to where this consumer began or was last sent by
    /// [`seek`](Consumer::seek). The next poll goes there, and says so if it cannot.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Fenced`]: nothing was changed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # for n in 0..3 { topic.produce("k", n.to_string())?; }
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// // What was to be done with them has failed: once more.
    /// consumer.seek_to_committed()?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn seek_to_committed(&mut self) -> Result<()> {
        self.check_usable()?;
        self.store.check_open()?;
        self.ahead = None;
        for partition in self.assignment() {
            self.positions.get_mut(&partition)?.forget();
            self.positions.reactivate(&partition);
        }
        Ok(())
    }

    /// Goes on behind damage that [`poll`](Consumer::poll) has reported, and returns the offsets that it skips. Their records are
    /// not read, and the next commit covers them.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read that partition; the damage itself, as
    /// [`Error::Corrupt`], if it is not where the next poll reads. The position is unchanged then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::Error;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// # let mut consumer = broker.consumer("billing", ["orders"])?;
    /// match consumer.poll(Duration::ZERO) {
    ///     Ok(records) => println!("{} records", records.len()),
    ///     Err(Error::Corrupt(damage)) => {
    ///         let lost = consumer.skip_corrupt(&damage)?;
    ///         eprintln!("{damage}; going on without {} records, at {}", lost.end - lost.start, lost.end);
    ///     }
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn skip_corrupt(&mut self, damage: &Corruption) -> Result<Range<u64>> {
        self.check_usable()?;
        self.store.check_open()?;
        let Some(partition) = &damage.partition else { return Err(Error::Corrupt(Box::new(damage.clone()))) };
        let skipped = self.cursor(partition)?.skip(damage)?;
        self.positions.reactivate(partition);
        Ok(skipped)
    }

    /// The position in `partition`, to be moved by hand.
    fn cursor(&mut self, partition: &TopicPartition) -> Result<Cursor<'_>> {
        Ok(Cursor {
            position: self.positions.get_mut(partition)?,
            membership: &self.membership,
            offset_reset: self.config.offset_reset,
            truncation_reset: self.config.truncation_reset,
            position_reset_hook: self.config.position_reset_hook.as_ref(),
            counts: &mut self.counts,
            skips_corrupt: false,
        })
    }

    /// Stops returning records from these partitions until [`resume`](Consumer::resume).
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read one of them; those before it are paused.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let all = consumer.assignment();
    /// consumer.pause(&all)?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty()); // It is still a member, and keeps its partitions.
    /// consumer.resume(&all)?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Returns records from these partitions again.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read one of them; those before it are resumed.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) -> Result<()> {
        self.store.check_not_forked()?;
        for partition in partitions {
            self.positions.get_mut(partition)?.is_paused = is_paused;
            if !is_paused {
                self.positions.reactivate(partition);
            }
        }
        Ok(())
    }
}
