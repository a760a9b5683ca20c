//! A second copy of a data directory, made while it is written, and what becomes of it.
//!
//! A backup has one point for all partitions, groups and transactions:
//! ```text
//! make the target, which says that it is unfinished
//!   ─→ copy ahead: what is there, while all goes on                              log_backup
//!   ─→ the point: for a moment nobody appends, notes, swaps or deletes           partition/log/copying
//!   ─→ bring over what came since; what would take long is kept under second names
//!   ─→ copy that; write catalog, manifests, and the report                       broker/backup_report
//!   ─→ the target says no more that it is unfinished
//! ```
//! The result is a closed data directory of which all is sealed. It has no tails: what was in those at the point is in its segments.

mod base;
mod cut;
mod cut_transactions;
mod log_backup;
pub(crate) mod losses;
mod making;
pub(crate) mod moving_back;
mod options;
mod restore;
mod restore_options;
mod restore_report;
mod source_log;
mod transfer;

use std::path::Path;

use self::making::Backup;
use self::restore::Restore;
use crate::broker::backup_report::BackupReport;
use crate::broker::{Admin, Broker};
use crate::error::Result;

pub use losses::TornTransaction;
pub use options::{BackupOptions, BackupProgress};
pub use restore_options::RestoreOptions;
pub use restore_report::RestoreReport;

impl Admin<'_> {
    /// Makes a backup in the directory `target`, which is made, or empty. Sends and reads go on.
    ///
    /// It has everything that was there at one moment, in all partitions, groups and transactions, and nothing that came later. Files that do not
    /// change any more are linked, which takes no room, if the target is on the same file system; otherwise they are copied.
    ///
    /// Open a backup [read-only](crate::Broker::open_read_only), to look at it or to [`verify`](Admin::verify) it, byte by byte, against
    /// the report that is kept in it. To go on from it, [restore](crate::Broker::restore) it into a directory of its own. (Opened for
    /// writing it is a restored directory itself, and no backup any more.) To remove it, remove its directory: what others share with
    /// it stays.
    ///
    /// # Errors
    /// [`Error::TargetNotEmpty`](crate::Error::TargetNotEmpty), [`Error::Unfinished`](crate::Error::Unfinished),
    /// [`Error::InsideDataDirectory`](crate::Error::InsideDataDirectory);
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed); why a partition cannot be written or read,
    /// [`Error::Poisoned`](crate::Error::Poisoned) or [`Error::Corrupt`](crate::Error::Corrupt), say;
    /// [`Error::DiskFull`](crate::Error::DiskFull); those of the system. What was made is removed then.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let backup = dir.path().join("monday");
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// println!("{}", broker.admin().backup(&backup)?);
    /// let copy = ottla::Broker::open_read_only(&backup)?;
    /// assert_eq!(copy.topic("orders")?.partition(0)?.log_end_offset(), 1);
    /// assert!(copy.admin().verify()?.is_clean());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(target, &BackupOptions::new())
    }

    /// The same, as the options say.
    ///
    /// # Errors
    /// Those of [`backup`](Admin::backup); [`Error::NotABackup`](crate::Error::NotABackup) for the base;
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a limit of 0;
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    ///
    /// # Examples
    /// ```
    /// use ottla::BackupOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (monday, tuesday) = (dir.path().join("monday"), dir.path().join("tuesday"));
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.admin().backup(&monday)?;
    /// broker.admin().backup_with(&tuesday, &BackupOptions::new().base(&monday))?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn backup_with(&self, target: impl AsRef<Path>, options: &BackupOptions<'_>) -> Result<BackupReport> {
        let store = &self.broker().store;
        store.check_writable("make a backup")?;
        Backup::begin(store, target.as_ref(), options)?.make()
    }
}

impl Broker {
    /// Restores a backup into the directory `target`, which is made, or empty. Open it then as any other.
    ///
    /// It is another directory than the source of the backup, and its leader epochs are above all that the source has given out: who
    /// remembers an offset of the source with its leader epoch, and seeks to it where the log went on otherwise, gets
    /// [`Error::LogTruncated`](crate::Error::LogTruncated), and not another record. Transactions that were open are ended.
    ///
    /// Until this has returned the target cannot be opened. If it fails, what it made is removed; if the process ends, the target says that it
    /// is [unfinished](crate::Error::Unfinished).
    ///
    /// # Errors
    /// [`Error::NotABackup`](crate::Error::NotABackup), [`Error::Unfinished`](crate::Error::Unfinished),
    /// [`Error::TargetNotEmpty`](crate::Error::TargetNotEmpty), [`Error::InsideDataDirectory`](crate::Error::InsideDataDirectory);
    /// [`Error::Corrupt`](crate::Error::Corrupt) for what is missing in the backup, or has lost its
    /// size, as far as it is needed (what a file holds is not read: [`verify`](Admin::verify) does that);
    /// [`Error::DiskFull`](crate::Error::DiskFull); those of the system.
    ///
    /// # Examples
    /// ```
    /// use ottla::Broker;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (monday, restored) = (dir.path().join("monday"), dir.path().join("restored"));
    /// # let broker = Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// broker.admin().backup(&monday)?;
    /// Broker::restore(&monday, &restored)?;
    /// assert_eq!(Broker::open(&restored)?.topic("orders")?.partition(0)?.log_end_offset(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn restore(backup: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<RestoreReport> {
        Broker::restore_with(backup, target, &RestoreOptions::new())
    }

    /// The same as of a time, or to given offsets.
    ///
    /// Groups that have committed what is left out are moved back to where the partition ends. A transaction of which a marker is
    /// left in one partition ends in all of them as that says, and every other that was open there is aborted.
    ///
    /// # Errors
    /// Those of [`restore`](Broker::restore); [`Error::UnknownTopic`](crate::Error::UnknownTopic),
    /// [`Error::UnknownPartition`](crate::Error::UnknownPartition), [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) for
    /// offsets; [`Error::NotADataDirectory`](crate::Error::NotADataDirectory) for what leader epochs are to be above;
    /// [`Error::CodecUnavailable`](crate::Error::CodecUnavailable) where a batch has to be read.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, RestoreOptions, Timestamp};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (monday, restored) = (dir.path().join("monday"), dir.path().join("restored"));
    /// # let broker = Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # broker.admin().backup(&monday)?;
    /// let noon: Timestamp = "2026-11-29T12:00:00Z".parse()?;
    /// println!("{}", Broker::restore_with(&monday, &restored, &RestoreOptions::new().to_time(noon))?);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn restore_with(
        backup: impl AsRef<Path>,
        target: impl AsRef<Path>,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        Restore::begin(backup.as_ref(), target.as_ref(), options)?.make()
    }
}
