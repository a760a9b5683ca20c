//! What opening a data directory found and did, as data.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Corruption;
use crate::partition::recovery_report::PartitionRecovery;
use crate::transaction::Settled;

/// What opening found, and what it did about it.
///
/// # Examples
/// ```
/// let broker = ottla::Broker::temporary()?;
/// assert!(broker.recovery_report().is_clean());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    pub(super) last_writer: LastWriter,
    pub(super) catalog_fell_back: bool,
    pub(super) writes_tail_by_calls: bool,
    pub(super) lost_tails: Vec<Corruption>,
    pub(super) shared_tails: Vec<PathBuf>,
    pub(super) partitions: Vec<PartitionRecovery>,
    pub(super) unknown_directories: Vec<PathBuf>,
    pub(super) skipped: Vec<Corruption>,
    pub(super) unfinished_deletes: Vec<String>,
    pub(super) settled: Settled,
}

/// How the last writer of a directory ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LastWriter {
    /// It did not close the broker.
    #[default]
    Stopped,
    /// It has not closed the broker, and may be at work: nobody asked for its lock.
    MayBeAtWork,
    /// It closed the broker, or there was none.
    Closed,
}

impl LastWriter {
    /// In a word, for subscribers.
    pub(super) fn name(self) -> &'static str {
        match self {
            LastWriter::Stopped => "stopped",
            LastWriter::MayBeAtWork => "may be at work",
            LastWriter::Closed => "closed",
        }
    }
}

impl RecoveryReport {
    /// Whether there was nothing to repair or report: the last writer had closed the broker (or the directory was new, or
    /// [may be open](RecoveryReport::may_be_open_for_writing)), and nothing was missing or damaged. [Second names](RecoveryReport::shared_files) are no damage, nor is what is put off until there
    /// is room on the disk: [deletions](RecoveryReport::unfinished_deletes), and
    /// [records that stay in the tail](PartitionRecovery::unsealed_records).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.last_writer != LastWriter::Stopped
            && !self.catalog_fell_back
            && self.lost_tails.is_empty()
            && self.unknown_directories.is_empty()
            && self.skipped.is_empty()
            && self.partitions.iter().all(PartitionRecovery::is_clean)
    }

    /// Whether the last writer had closed the broker, or there was none. False if the broker is open read-only while another process
    /// writes; see [`may_be_open_for_writing`](RecoveryReport::may_be_open_for_writing).
    #[must_use]
    pub fn was_clean_shutdown(&self) -> bool {
        self.last_writer == LastWriter::Closed
    }

    /// Whether this broker is open read-only, and a process either has the directory open for writing or was killed since the machine
    /// was started. Which of the two cannot be told without getting in the way of who opens the directory for writing next.
    /// Either way every record whose send returned is there.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let writer = ottla::Broker::open(dir.path())?;
    /// let reader = ottla::Broker::open_read_only(dir.path())?;
    /// let report = reader.recovery_report();
    /// assert!(report.may_be_open_for_writing() && report.is_clean());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn may_be_open_for_writing(&self) -> bool {
        self.last_writer == LastWriter::MayBeAtWork
    }

    /// Whether the newest state of the catalog was damaged and the one before was taken: the last topic created or deleted
    /// may be missing or be back.
    #[must_use]
    pub fn catalog_fell_back(&self) -> bool {
        self.catalog_fell_back
    }

    /// Whether this broker writes its tail by system calls, two for each send, because the file system is not known to overwrite
    /// in place: only ext2, ext3, ext4 and tmpfs on Linux are. Elsewhere (btrfs, XFS, ZFS, overlay and whatever is not known) a
    /// store through a map could meet a full disk, which would end the process with a signal. The promises are the same, and a
    /// send takes some microseconds more.
    #[must_use]
    pub fn writes_tail_by_calls(&self) -> bool {
        self.writes_tail_by_calls
    }

    /// What was found in each partition that was not as expected.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionRecovery] {
        &self.partitions
    }

    /// Files that are written in place and were found to have a second name: a hard link, as a backup by `cp -al` leaves them.
    /// Each gets bytes of its own before it is written, so that what the other name stands for stays as it is. The lock file, and
    /// files that are replaced whenever they change, are not among them.
    pub fn shared_files(&self) -> impl Iterator<Item = &Path> {
        let segments = self.partitions.iter().flat_map(PartitionRecovery::shared_files);
        self.shared_tails.iter().chain(segments).map(PathBuf::as_path)
    }

    /// Everything that was synced once and cannot be read any more. Of a partition that the operating system refuses nothing is known:
    /// [`PartitionRecovery::failure`] tells of that.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.lost_tails.iter().chain(self.partitions.iter().flat_map(PartitionRecovery::damage))
    }

    /// What was passed over when the groups were read back, with
    /// [`RecoveryMode::SkipCorrupt`](crate::RecoveryMode::SkipCorrupt): commits that cannot be read any more.
    #[must_use]
    pub fn skipped(&self) -> &[Corruption] {
        &self.skipped
    }

    /// Topics that were deleted and of which something is left, since the disk is full (what groups have committed for them, say) or
    /// the operating system refuses a directory or file of theirs. They are gone for everybody, and their names are free once an
    /// opening could finish.
    #[must_use]
    pub fn unfinished_deletes(&self) -> &[String] {
        &self.unfinished_deletes
    }

    /// How many transactions of the last writer were decided and are committed now, counted in each partition: their records are all
    /// there.
    #[must_use]
    pub fn committed_transactions(&self) -> usize {
        self.settled.committed
    }

    /// How many transactions of the last writer were open and are aborted now, counted in each partition: nobody sees anything of
    /// them.
    #[must_use]
    pub fn aborted_transactions(&self) -> usize {
        self.settled.aborted
    }

    /// Partition directories that belong to no topic: left alone, since nothing proves that they may go.
    #[must_use]
    pub fn unknown_directories(&self) -> &[PathBuf] {
        &self.unknown_directories
    }
}

/// For a log: what there is to tell, a line each.
impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.last_writer {
            LastWriter::Closed => "after a clean shutdown",
            LastWriter::MayBeAtWork => {
                "a process has the directory open for writing, or was killed; its records are there"
            }
            LastWriter::Stopped => "after an unclean stop",
        })?;
        if self.writes_tail_by_calls {
            f.write_str(
                "\nthe tail is written by system calls, since the file system may write overwritten blocks elsewhere",
            )?;
        }
        if self.catalog_fell_back {
            f.write_str("\nthe newest state of the catalog was damaged, and the one before was taken")?;
        }
        self.lost_tails.iter().try_for_each(|damage| write!(f, "\nlost: {damage}"))?;
        let mut shared = self.shared_tails.iter();
        shared
            .try_for_each(|path| write!(f, "\nhas a second name, replaced before it is written: {}", path.display()))?;
        self.partitions.iter().try_for_each(|partition| write!(f, "\n{partition}"))?;
        self.skipped.iter().try_for_each(|damage| write!(f, "\npassed over: {damage}"))?;
        let Settled { committed, aborted } = self.settled;
        if 0 < committed + aborted {
            write!(
                f,
                "\ntransactions that stood open, counted in each partition: {committed} committed, {aborted} aborted"
            )?;
        }
        let mut unfinished = self.unfinished_deletes.iter();
        unfinished.try_for_each(|name| {
            write!(f, "\ndeleted, and not yet removed, as the disk is full or refuses it: {name}")
        })?;
        let mut unknown = self.unknown_directories.iter();
        unknown.try_for_each(|dir| write!(f, "\nof no topic, left alone: {}", dir.display()))
    }
}
