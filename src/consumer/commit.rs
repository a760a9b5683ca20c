//! What a consumer commits, and when.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Consumer;
use super::cursor::check_offset;
use super::position::Position;
use crate::error::{Error, Result};
use crate::group::Offsets;
use crate::group::committed_offset::CommittedOffset;
use crate::partition::PartitionSource;
use crate::partition::log::Log;
use crate::record::{ProducerRecord, ReadRecord};
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
        // Even where there was nothing new.
        self.check_not_put_out()
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
        self.check_offsets(offsets)?;
        self.commit_all(offsets.to_vec())
    }

    /// Commits the positions that have moved since they were committed, in all partitions or in some.
    pub(super) fn commit_positions(&mut self, only: Option<&[TopicPartition]>) -> Result<()> {
        let positions = match only {
            None => self.positions.in_order(),
            Some(only) => only.iter().filter_map(|partition| self.positions.get(partition)).collect(),
        };
        self.commit_all(positions.into_iter().filter_map(to_commit).collect())
    }

    fn commit_all(&self, offsets: Offsets) -> Result<()> {
        self.store.check_open()?;
        let offsets = self.stamp(offsets)?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.membership.commit(&offsets, || self.check_present(&offsets), self.store.monotonic())?;
        self.note_committed(&offsets, |committed| Some(committed.offset()));
        Ok(())
    }

    /// Sends the positions that have moved since they were committed to the transaction of this transactional id, or these offsets in
    /// place of them: they are the group's once it commits. `append` appends their records in the transaction, in one piece, and
    /// returns their offsets. For callers that hold no lock.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the consumer commits by itself; as [`commit_offsets`](Consumer::commit_offsets) but for durability, and
    /// what `append` returns. If it has appended some of them before, the transaction is to be aborted.
    pub(crate) fn stage_offsets(
        &self,
        only: Option<&[(TopicPartition, CommittedOffset)]>,
        transactional_id: &Arc<str>,
        append: impl FnMut(&Arc<Log>, &[ProducerRecord<'_>]) -> Result<Range<u64>>,
    ) -> Result<()> {
        self.check_usable()?;
        self.store.check_open()?;
        if self.config.auto_commit {
            return Err(Error::InvalidState {
                reason: "the consumer commits by itself, in no transaction; leave auto_commit_interval out (enable.auto.commit)",
            });
        }
        let offsets = match only {
            Some(offsets) => self.check_offsets(offsets).map(|()| offsets.to_vec())?,
            None => self.positions.in_order().into_iter().filter_map(to_commit).collect(),
        };
        let offsets = self.stamp(offsets)?;
        if offsets.is_empty() {
            return self.check_not_put_out();
        }
        // Whether it commits or not: what the group has is not what this consumer knows of any more.
        self.note_committed(&offsets, |_| None);
        let check_present = || self.check_present(&offsets);
        self.membership.stage(transactional_id, &offsets, check_present, append, self.store.monotonic())
    }

    /// Fails if the coordinator has put this consumer out, so that what the group has is not what it has read any more.
    fn check_not_put_out(&self) -> Result<()> {
        match self.positions.iter().next() {
            Some(position) => self.membership.check_not_put_out(position.partition()),
            None => Ok(()),
        }
    }

    /// Fails if a partition is not read here, or an offset is not in its log.
    fn check_offsets(&self, offsets: &[(TopicPartition, CommittedOffset)]) -> Result<()> {
        offsets.iter().try_for_each(|(partition, committed)| {
            check_offset(self.positions.find(partition)?, committed.offset()).map(drop)
        })
    }

    /// These offsets as they are committed now.
    fn stamp(&self, offsets: Offsets) -> Result<Offsets> {
        let now_ms = self.store.now_ms();
        let stamp = |(partition, committed): (TopicPartition, CommittedOffset)| {
            let topic_id = self.positions.find(&partition)?.log().topic_id();
            Ok((partition, committed.stamped(topic_id, now_ms)))
        };
        offsets.into_iter().map(stamp).collect()
    }

    /// Fails if one of the topics was deleted.
    fn check_present(&self, offsets: &Offsets) -> Result<()> {
        let positions = offsets.iter().filter_map(|(partition, _)| self.positions.get(partition));
        positions.map(Position::log).try_for_each(PartitionSource::check_open)
    }

    /// Remembers what the group has committed by now, as far as that is known.
    fn note_committed(&self, offsets: &Offsets, known: impl Fn(&CommittedOffset) -> Option<u64>) {
        for (partition, committed) in offsets {
            if let Some(position) = self.positions.get(partition) {
                position.note_committed(known(committed));
            }
        }
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

/// Where a position is to be committed, and what; `None` if there is nothing new.
fn to_commit(position: &Position) -> Option<(TopicPartition, CommittedOffset)> {
    Some((position.partition().clone(), position.to_commit()?))
}
