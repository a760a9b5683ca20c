//! [`BackupOptions`]: how a backup is made.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::transfer::TransferOptions;

/// How [`Admin::backup_with`](crate::Admin::backup_with) makes a backup.
///
/// # Examples
/// ```
/// use std::ops::ControlFlow;
/// use ottla::BackupOptions;
/// # let dir = tempfile::tempdir().unwrap();
/// # let (monday, tuesday) = (dir.path().join("monday"), dir.path().join("tuesday"));
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// broker.admin().backup(&monday)?;
/// broker.topic("orders")?.produce("customer-2", "1 tea")?;
/// let show = |progress: &ottla::BackupProgress| {
///     println!("{} of {} bytes", progress.bytes_done(), progress.bytes_total());
///     ControlFlow::Continue(())
/// };
/// let options = BackupOptions::new().base(&monday).bytes_per_second(50 << 20).on_progress(&show);
/// println!("{}", broker.admin().backup_with(&tuesday, &options)?);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct BackupOptions<'o> {
    pub(super) base: Option<PathBuf>,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) copies: bool,
    pub(super) on_progress: Option<OnProgress<'o>>,
}

/// Who is told how far it is, and says whether it is to go on.
pub(super) type OnProgress<'o> = &'o (dyn Fn(&BackupProgress) -> ControlFlow<()> + Sync);

/// How far a backup is.
///
/// Which bytes there are is only known at its point. So the total may grow, and there may be less to do than it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupProgress {
    pub(super) bytes_done: u64,
    pub(super) bytes_total: u64,
}

impl BackupProgress {
    /// How many bytes of log files were linked or copied.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done
    }

    /// How many bytes of log files there are to be linked or copied, as far as it is known.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }
}

impl<'o> BackupOptions<'o> {
    /// No base, as fast as it goes, and hard links wherever they can be made.
    pub fn new() -> BackupOptions<'o> {
        BackupOptions::default()
    }

    /// An earlier backup of the same directory: what it holds already is linked from there, where it cannot be linked from the source. It
    /// is not changed, and can be removed later: the new backup keeps what it shares with it. Default: none.
    pub fn base(mut self, earlier_backup: impl AsRef<Path>) -> Self {
        self.base = Some(earlier_backup.as_ref().to_owned());
        self
    }

    /// How many bytes are copied in a second at most, but for those that came in last, which are few; at least 1. Links cost nothing.
    /// Default: as many as the disks can.
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Whether every byte is copied, although files could be linked: a backup on the same disk that shares no block with its source.
    /// Default: false.
    pub fn copy_all(mut self, copies: bool) -> Self {
        self.copies = copies;
        self
    }

    /// Who is told how far it is, in the thread that makes the backup: after every segment, and with a limit also within one, again and again. Who
    /// returns
    /// [`ControlFlow::Break`] cancels it: what was made is removed, and [`Error::Cancelled`](crate::Error::Cancelled) returned.
    /// Default: nobody.
    pub fn on_progress(mut self, on_progress: &'o (dyn Fn(&BackupProgress) -> ControlFlow<()> + Sync)) -> Self {
        self.on_progress = Some(on_progress);
        self
    }
}

impl<'o> BackupOptions<'o> {
    pub(super) fn transfer(&self) -> TransferOptions<'o> {
        let BackupOptions { bytes_per_second, copies, on_progress, .. } = *self;
        TransferOptions { what: "backup", bytes_per_second, copies, on_progress }
    }
}

impl fmt::Debug for BackupOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupOptions")
            .field("base", &self.base)
            .field("bytes_per_second", &self.bytes_per_second)
            .field("copy_all", &self.copies)
            .finish_non_exhaustive()
    }
}
