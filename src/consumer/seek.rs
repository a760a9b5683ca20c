//! Where a consumer goes on: moving its positions, and resting.

use std::sync::Arc;

use super::Consumer;
use super::start::{Start, check_offset};
use crate::error::Result;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// The log start.
    Earliest,
    /// The end: only what becomes visible from now on.
    Latest,
    /// This offset, from the log start to the log end.
    Offset(u64),
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
    /// What the group has committed, or else what the reset policy says.
    Committed,
}

impl Consumer {
    /// Goes to another place in a partition; the next poll reads from there.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) for an offset outside the log, [`Error::NotAssigned`](crate::Error::NotAssigned) if the consumer does not read that
    /// partition; by time, [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Io`](crate::Error::Io). The position is unchanged then.
    pub fn seek(&mut self, partition: &TopicPartition, to: SeekTo) -> Result<()> {
        self.check_usable()?;
        self.store.check_open()?;
        let mut start = Start { membership: &self.membership, config: &self.config, counts: &mut self.counts };
        let position = self.positions.get_mut(partition)?;
        let log = Arc::clone(position.log());
        let offset = match to {
            SeekTo::Earliest => log.log_start_offset(),
            SeekTo::Latest => log.visible_end(),
            SeekTo::Offset(offset) => check_offset(&log, offset)?,
            SeekTo::Time(t) => log.offset_for_time(t.as_millis())?.unwrap_or_else(|| log.visible_end()),
            SeekTo::Committed => {
                start.begin(position)?;
                self.positions.reactivate(partition);
                return Ok(());
            }
        };
        position.go_to(offset, None);
        self.positions.reactivate(partition);
        Ok(())
    }

    /// Returns nothing from these partitions until [`resume`](Consumer::resume).
    ///
    /// # Errors
    /// [`Error::NotAssigned`](crate::Error::NotAssigned) if the consumer does not read one of them; those before it are paused.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Returns records from these partitions again.
    ///
    /// # Errors
    /// [`Error::NotAssigned`](crate::Error::NotAssigned) if the consumer does not read one of them; those before it are resumed.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) -> Result<()> {
        for partition in partitions {
            self.positions.get_mut(partition)?.is_paused = is_paused;
            if !is_paused {
                self.positions.reactivate(partition);
            }
        }
        Ok(())
    }
}
