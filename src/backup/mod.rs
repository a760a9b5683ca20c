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
mod log_backup;
mod making;
mod options;
mod transfer;

use std::path::Path;

use self::making::Backup;
use crate::broker::Admin;
use crate::broker::backup_report::BackupReport;
use crate::error::Result;

pub use options::{BackupOptions, BackupProgress};

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
    /// [`Error::TargetNotEmpty`](crate::Error::TargetNotEmpty), [`Error::Unfinished`](crate::Error::Unfinished);
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
