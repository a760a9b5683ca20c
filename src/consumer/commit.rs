//! What a consumer commits, and when.

use std::time::Duration;

use super::Consumer;
use super::cursor::check_offset;
use super::position::Position;
use crate::error::{Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::partition::PartitionSource;
use crate::record::ReadRecord;
use crate::topic_partition::TopicPartition;

impl Consumer {
    /// Commits the position in every partition: everything that [`poll`](Consumer::poll) has returned, and each record that
    /// [`next_record`](Consumer::next_record) or [`iter`](Consumer::iter) has handed out, but none that they have only read ahead.
    /// Returns when the commit is as durable as the broker's default demands.
    ///
    /// # Errors
    /// [`Error::CommitRefused`](crate::Error::CommitRefused) and
    /// [`Error::RebalanceInProgress`](crate::Error::RebalanceInProgress) if a partition went to another member already,
    /// [`Error::Fenced`](crate::Error::Fenced); [`Error::DiskFull`](crate::Error::DiskFull), [`Error::Io`](crate::Error::Io),
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Closed`](crate::Error::Closed): what was committed before is
    /// unchanged. [`Error::NotDurable`](crate::Error::NotDurable): committed, and a power cut may still take it back.
    /// [`Error::InDoubt`](crate::Error::InDoubt), [`Error::PartlySent`](crate::Error::PartlySent): unchanged until the broker is
    /// reopened, and then perhaps, or in part, committed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     println!("{}", record.value_str()?);
    /// }
    /// consumer.commit()?; // Whoever reads on for the group begins behind these records.
    /// # assert_eq!(broker.admin().describe_group("billing")?.total_lag(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn commit(&mut self) -> Result<()> {
        self.check_usable()?;
        self.commit_positions(None)?;
        // Even where there was nothing new: what the group has is not what this consumer has read any more.
        match self.positions.iter().next() {
            Some(position) => self.membership.check_not_put_out(position.partition()),
            None => Ok(()),
        }
    }

    /// Commits `record`, in either of its two forms, and all before it in its partition; nothing in other partitions.
    ///
    /// # Errors
    /// As [`commit`](Consumer::commit); [`Error::NotAssigned`](crate::Error::NotAssigned) if the consumer does not read that
    /// partition.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # for n in 0..3 { topic.produce("k", n.to_string())?; }
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     println!("{}", record.value_str()?);
    ///     consumer.commit_through(&record)?;
    /// }
    /// # assert_eq!(consumer.committed(&ottla::TopicPartition::new("orders", 0))?.unwrap().offset(), 3);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn commit_through(&mut self, record: &impl ReadRecord) -> Result<()> {
        self.check_usable()?;
        let partition = record.topic_partition();
        if self.positions.get_mut(partition)?.log().topic_id() != record.topic_id() {
            return Err(Error::CommitRefused {
                group: self.group().to_owned(),
                partition: partition.clone(),
                reason: "the record is of an earlier topic of this name; commit one of the present topic",
            });
        }
        let committed = CommittedOffset::new(record.offset() + 1).with_leader_epoch(Some(record.leader_epoch()));
        self.commit_all(vec![(partition.clone(), committed)])
    }

    /// Commits these offsets. Each is the offset of the next record to read, and may carry some text of the application's own.
    ///
    /// # Errors
    /// As [`commit`](Consumer::commit); [`Error::NotAssigned`](crate::Error::NotAssigned) if the consumer does not read one of
    /// the partitions, [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) for an offset outside the log,
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for metadata of more than 32,767 bytes. Nothing was committed then.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{CommittedOffset, TopicPartition};
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// let orders = TopicPartition::new("orders", 0);
    /// consumer.commit_offsets(&[(orders.clone(), CommittedOffset::new(1).with_metadata("invoice 17"))])?;
    /// assert_eq!(consumer.committed(&orders)?.unwrap().metadata(), "invoice 17");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) -> Result<()> {
        self.check_usable()?;
        for (partition, committed) in offsets {
            check_offset(self.positions.get_mut(partition)?, committed.offset())?;
        }
        self.commit_all(offsets.to_vec())
    }

    /// Commits the positions that have moved since they were committed, in all partitions or in some.
    pub(super) fn commit_positions(&mut self, only: Option<&[TopicPartition]>) -> Result<()> {
        let to_commit = |position: &Position| Some((position.partition().clone(), position.to_commit()?));
        let offsets = match only {
            None => self.positions.in_order().into_iter().filter_map(to_commit).collect(),
            Some(only) => only.iter().filter_map(|tp| self.positions.get(tp)).filter_map(to_commit).collect(),
        };
        self.commit_all(offsets)
    }

    fn commit_all(&mut self, mut offsets: Vec<(TopicPartition, CommittedOffset)>) -> Result<()> {
        self.store.check_open()?;
        let now_ms = self.store.now_ms();
        for (partition, committed) in &mut offsets {
            let log = self.positions.get_mut(partition)?.log();
            *committed = committed.clone().stamped(log.topic_id(), now_ms);
        }
        if offsets.is_empty() {
            return Ok(());
        }
        let log = |partition| self.positions.get(partition).map(Position::log);
        let check_present =
            || offsets.iter().filter_map(|(partition, _)| log(partition)).try_for_each(PartitionSource::check_open);
        self.membership.commit(&offsets, check_present, self.store.monotonic())?;
        for (partition, committed) in &offsets {
            if let Ok(position) = self.positions.get_mut(partition) {
                position.committed = Some(committed.offset());
            }
        }
        Ok(())
    }

    /// Commits if it is time for that. If it fails, the next time comes after another interval, so that what cannot be
    /// committed can still be read.
    pub(super) fn auto_commit_if_due(&mut self) -> Result<()> {
        if !self.config.auto_commit {
            return Ok(());
        }
        let now = self.store.monotonic();
        let next = now.saturating_add(self.config.auto_commit_interval);
        if *self.auto_commit_due.get_or_insert(next) > now {
            return Ok(());
        }
        self.auto_commit_due = Some(next);
        self.commit_positions(None)
    }

    /// When a poll that waits has something to do, whatever happens elsewhere.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.group_due.into_iter().chain(self.auto_commit_due).min()
    }
}
