//! What opening one partition found and did, as data.

use std::fmt;
use std::path::PathBuf;

use super::broken::Refusal;
use crate::error::{Corruption, Error};
use crate::events::{Event, PartitionRecovered};
use crate::topic_partition::TopicPartition;

/// What opening one partition found and did. Partitions that were as expected have none.
///
/// # Examples
/// ```
/// let broker = ottla::Broker::temporary()?;
/// assert!(broker.recovery_report().partitions().is_empty());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionRecovery {
    pub(super) partition: TopicPartition,
    pub(super) scanned_batches: u64,
    pub(super) salvaged_records: u64,
    pub(super) unsealed_records: u64,
    pub(super) dropped_batches: u64,
    pub(super) torn_batches: u64,
    pub(super) cut_bytes: u64,
    pub(super) unkept_bytes: u64,
    pub(super) leader_epoch_raised: bool,
    /// Whether something speaks for it that un-synced records were lost.
    pub(super) may_have_lost: bool,
    pub(super) rebuilt: Vec<PathBuf>,
    pub(super) quarantined: Vec<PathBuf>,
    pub(super) shared_files: Vec<PathBuf>,
    pub(super) damage: Vec<Corruption>,
    pub(super) refused: Option<Refusal>,
}

impl PartitionRecovery {
    pub(super) fn new(partition: TopicPartition) -> PartitionRecovery {
        PartitionRecovery {
            partition,
            scanned_batches: 0,
            salvaged_records: 0,
            unsealed_records: 0,
            dropped_batches: 0,
            torn_batches: 0,
            cut_bytes: 0,
            unkept_bytes: 0,
            leader_epoch_raised: false,
            may_have_lost: false,
            rebuilt: Vec::new(),
            quarantined: Vec::new(),
            shared_files: Vec::new(),
            damage: Vec::new(),
            refused: None,
        }
    }

    /// What was found where nothing is repaired.
    pub(crate) fn of_damage(partition: TopicPartition, damage: Vec<Corruption>) -> PartitionRecovery {
        PartitionRecovery { damage, ..PartitionRecovery::new(partition) }
    }

    /// That the operating system refused what is needed to know anything of it.
    pub(crate) fn of_refusal(partition: TopicPartition, refusal: Refusal) -> PartitionRecovery {
        PartitionRecovery { refused: Some(refusal), ..PartitionRecovery::new(partition) }
    }

    /// Which partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Batches above the recovery point that were read and found good.
    #[must_use]
    pub fn scanned_batches(&self) -> u64 {
        self.scanned_batches
    }

    /// Records that were taken from the tail into a segment.
    #[must_use]
    pub fn salvaged_records(&self) -> u64 {
        self.salvaged_records
    }

    /// Records that stay in the tail because the disk is too full to take them into a segment. They are durable, and are read from
    /// there. Until there is room, every send to the partition gets [`Error::DiskFull`](crate::Error::DiskFull).
    #[must_use]
    pub fn unsealed_records(&self) -> u64 {
        self.unsealed_records
    }

    /// Open batches of the tail that did not continue the log, because what came before them was never synced.
    #[must_use]
    pub fn dropped_batches(&self) -> u64 {
        self.dropped_batches
    }

    /// Open batches of the tail that were taken only in part, because the rest is not what was published: after a power cut
    /// what was not synced, otherwise damage.
    #[must_use]
    pub fn torn_batches(&self) -> u64 {
        self.torn_batches
    }

    /// Bytes behind the end of the log that were cut off: a torn batch, or zeros.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// The part of the [`cut_bytes`](PartitionRecovery::cut_bytes) of which no copy was kept, because the disk was full.
    #[must_use]
    pub fn unkept_bytes(&self) -> u64 {
        self.unkept_bytes
    }

    /// Whether the [leader epoch](crate::guide::concepts#leader-epochs) was raised, as it is after every unclean end. If records
    /// were lost that were not synced, offsets behind the log's end will mean other records. By itself it is nothing to worry
    /// about.
    #[must_use]
    pub fn leader_epoch_raised(&self) -> bool {
        self.leader_epoch_raised
    }

    /// Files that were damaged or missing, and were or will be made anew from the log. They are caches, so nothing is lost.
    #[must_use]
    pub fn rebuilt(&self) -> &[PathBuf] {
        &self.rebuilt
    }

    /// Files with what was taken out of the log.
    #[must_use]
    pub fn quarantined(&self) -> &[PathBuf] {
        &self.quarantined
    }

    /// Segments that have a second name (a hard link, as a backup by `cp -al` leaves them), of those that are still written to.
    /// Each is copied before its first write, and what the other name stands for stays as it is.
    #[must_use]
    pub fn shared_files(&self) -> &[PathBuf] {
        &self.shared_files
    }

    /// What was synced once and cannot be read any more.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.damage.iter()
    }

    /// Why the partition is not served, if the operating system refused its directory or one of its files: an [`Error::Io`], as every
    /// call on it gets. It says nothing of what is there; once the cause is gone, open again.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.refused.as_ref().map(Refusal::error)
    }

    /// Whether nothing was lost or taken out, and the partition is served. Records of the tail that were sealed late are no loss, nor are those that could not
    /// be sealed for want of room, nor is a second name.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut_bytes == 0
            && self.dropped_batches == 0
            && self.torn_batches == 0
            && !self.may_have_lost
            && self.quarantined.is_empty()
            && self.damage.is_empty()
            && self.refused.is_none()
    }

    /// The same, for subscribers.
    pub(crate) fn recovered(&self) -> Event {
        Event::PartitionRecovered(Box::new(PartitionRecovered {
            partition: self.partition.clone(),
            is_clean: self.is_clean(),
            scanned_batches: self.scanned_batches,
            salvaged_records: self.salvaged_records,
            unsealed_records: self.unsealed_records,
            dropped_batches: self.dropped_batches,
            torn_batches: self.torn_batches,
            cut_bytes: self.cut_bytes,
            unkept_bytes: self.unkept_bytes,
            leader_epoch_raised: self.leader_epoch_raised,
            rebuilt: self.rebuilt.clone(),
            quarantined: self.quarantined.clone(),
            reason: self.refused.as_ref().map(Refusal::to_string),
        }))
    }

    pub(super) fn is_worth_telling(&self) -> bool {
        !self.is_clean()
            || self.salvaged_records > 0
            || self.unsealed_records > 0
            || self.scanned_batches > 0
            || !self.rebuilt.is_empty()
            || !self.shared_files.is_empty()
    }
}

/// One line on what was read and done, then one for each file and each piece of damage.
impl fmt::Display for PartitionRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartitionRecovery {
            partition,
            scanned_batches,
            salvaged_records,
            dropped_batches,
            torn_batches,
            cut_bytes,
            ..
        } = self;
        write!(
            f,
            "{partition}: scanned {scanned_batches} batches, salvaged {salvaged_records} records from the tail, \
             dropped {dropped_batches} batches, shortened {torn_batches}, cut {cut_bytes} bytes"
        )?;
        if self.unkept_bytes > 0 {
            write!(f, " ({} of them without a copy, since the disk is full)", self.unkept_bytes)?;
        }
        if self.unsealed_records > 0 {
            write!(f, ", left {} records in the tail, since the disk is full", self.unsealed_records)?;
        }
        if self.leader_epoch_raised {
            f.write_str(", raised the leader epoch")?;
        }
        self.rebuilt.iter().try_for_each(|path| write!(f, "\n  rebuilt: {}", path.display()))?;
        self.quarantined.iter().try_for_each(|path| write!(f, "\n  kept what was cut: {}", path.display()))?;
        let mut shared = self.shared_files.iter();
        shared
            .try_for_each(|path| write!(f, "\n  has a second name, copied before it is written: {}", path.display()))?;
        self.damage.iter().try_for_each(|damage| write!(f, "\n  lost: {damage}"))?;
        self.refused.iter().try_for_each(|refusal| write!(f, "\n  not served: {refusal}"))
    }
}
