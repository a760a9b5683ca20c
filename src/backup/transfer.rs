//! Bringing one file to another place: under a second name where that can be, and else as a copy.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{BackupProgress, OnProgress};
use crate::disk::throttle::Throttle;
use crate::disk::{Disk, Open, remove_if_there};
use crate::error::{Error, Result};
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};

/// Copied between two looks at the clock, where that bounds it.
const CHUNK_BYTES: usize = 1 << 20;

/// How files are brought to one target.
#[derive(Clone, Copy)]
pub(super) struct TransferOptions<'o> {
    /// What it is for, as an error names it.
    pub(super) what: &'static str,
    pub(super) bytes_per_second: Option<u64>,
    /// Whether nothing is linked.
    pub(super) copies: bool,
    pub(super) on_progress: Option<OnProgress<'o>>,
}

/// Files that are brought to one target.
pub(super) struct Transfer<'o> {
    disk: Arc<dyn Disk>,
    options: TransferOptions<'o>,
    throttle: Throttle,
    /// Directories from which a link to the target was refused. A base may lie on the target's file system where the source does not.
    without_links: HashSet<PathBuf>,
    /// Files that were linked.
    linked: HashSet<PathBuf>,
    progress: BackupProgress,
    is_cancelled: bool,
    /// Whether others wait for what is brought now: then nothing is spread over time, and nobody is told.
    is_at_point: bool,
}

impl<'o> Transfer<'o> {
    pub(super) fn new(disk: &Arc<dyn Disk>, options: TransferOptions<'o>) -> Transfer<'o> {
        Transfer {
            disk: Arc::clone(disk),
            options,
            throttle: Throttle::new(options.bytes_per_second),
            without_links: HashSet::new(),
            linked: HashSet::new(),
            progress: BackupProgress::default(),
            is_cancelled: false,
            is_at_point: false,
        }
    }

    /// Says whether logs are held for what is brought from now on.
    pub(super) fn set_at_point(&mut self, is_at_point: bool) {
        self.is_at_point = is_at_point;
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Whether the file of the target was linked.
    pub(super) fn is_linked(&self, path: &Path) -> bool {
        self.linked.contains(path)
    }

    /// There are so many bytes more to be brought over.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.progress.bytes_total += bytes;
    }

    /// So many of them are, or need not be.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn advance(&mut self, bytes: u64) -> Result<()> {
        self.progress = self.with(bytes);
        self.is_cancelled |= self.options.on_progress.is_some_and(|tell| tell(&self.progress).is_break());
        if self.is_cancelled { Err(self.cancelled()) } else { Ok(()) }
    }

    /// How far it is once so many bytes more are done.
    fn with(&self, bytes: u64) -> BackupProgress {
        let bytes_done = self.progress.bytes_done + bytes;
        BackupProgress { bytes_done, bytes_total: self.progress.bytes_total.max(bytes_done) }
    }

    fn cancelled(&self) -> Error {
        Error::Cancelled { what: self.options.what }
    }

    /// Waits for the time that so many bytes take which were copied, and tells again and again how far it is, which is `within` bytes of
    /// what is not [done](Transfer::advance) yet.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn spend(&mut self, bytes: u64, within: u64) -> Result<()> {
        if self.is_at_point || self.options.bytes_per_second.is_none() {
            return Ok(());
        }
        let (tell, progress) = (self.options.on_progress, self.with(within));
        let goes_on = || tell.is_none_or(|tell| tell(&progress).is_continue());
        self.is_cancelled |= !self.throttle.spend(bytes, &*self.disk, &goes_on);
        if self.is_cancelled { Err(self.cancelled()) } else { Ok(()) }
    }

    /// Links the files of a segment that are in the directory `from`; whether that could be done, and the log file is among them.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn link_segment(&mut self, noted: &ManifestSegment, from: &Path, to: &Path) -> Result<bool> {
        self.bring(noted, to, |transfer, name| transfer.link(&name.path(from), &name.path(to)))
    }

    /// Copies the files of a segment that are in the directory `from`; whether the log file is among them.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn copy_segment(&mut self, noted: &ManifestSegment, from: &Path, to: &Path) -> Result<bool> {
        self.bring(noted, to, |transfer, name| {
            // The log file comes first, and only its bytes count.
            let within = (name.kind != FileKind::Log).then_some(noted.sealed.log_bytes);
            transfer.copy(&name.path(from), &name.path(to), within).map(|()| true)
        })
    }

    fn bring(
        &mut self,
        noted: &ManifestSegment,
        to: &Path,
        mut bring_file: impl FnMut(&mut Transfer<'o>, FileName) -> io::Result<bool>,
    ) -> Result<bool> {
        for name in noted.files() {
            match bring_file(self, name) {
                Ok(true) => {}
                Ok(false) => {
                    self.remove_segment(noted, to)?;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if name.kind == FileKind::Log {
                        self.remove_segment(noted, to)?;
                        return Ok(false);
                    }
                    // All others are caches, and made anew where they are missing.
                }
                Err(_) if self.is_cancelled => return Err(self.cancelled()),
                Err(error) => return Err(Error::io("copy", &name.path(to), error)),
            }
        }
        Ok(true)
    }

    fn remove_segment(&mut self, noted: &ManifestSegment, dir: &Path) -> Result<()> {
        noted.files().into_iter().try_for_each(|name| self.remove(&name.path(dir)))
    }

    /// Gives a file a second name. `false` if that cannot be, whatever the reason.
    ///
    /// # Errors
    /// That the file is not there.
    fn link(&mut self, from: &Path, to: &Path) -> io::Result<bool> {
        let dir = from.parent().unwrap_or(from);
        if self.options.copies || self.without_links.contains(dir) {
            return Ok(false);
        }
        match self.disk.hard_link(from, to) {
            Ok(()) => {
                self.linked.insert(to.to_owned());
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
            // On another file system, or on one that has no links. A file with too many names is no reason to try no other.
            Err(error) => {
                if error.kind() != ErrorKind::TooManyLinks {
                    self.without_links.insert(dir.to_owned());
                }
                Ok(false)
            }
        }
    }

    /// Makes a copy of the file that survives a power cut, but for its name. How far it is meanwhile is what is copied, unless `within`
    /// says so.
    ///
    /// # Errors
    /// The disk's, and [`ErrorKind::NotFound`] among them if it is the file that is not there.
    fn copy(&mut self, from: &Path, to: &Path, within: Option<u64>) -> io::Result<()> {
        self.linked.remove(to);
        if self.options.bytes_per_second.is_none() || self.is_at_point {
            return self.disk.copy_file(from, to)?.sync();
        }
        let source = self.disk.open(from, Open::Read)?;
        let copy = self.disk.open(to, Open::CreateNew)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut position = 0;
        loop {
            let read = source.read_at(&mut buffer, position)?;
            if read == 0 {
                return copy.sync();
            }
            copy.write_at(buffer.get(..read).unwrap_or_default(), position)?;
            position += read as u64;
            self.spend(read as u64, within.unwrap_or(position)).map_err(|_| ErrorKind::Interrupted)?;
        }
    }

    /// Removes a file of the target that is to be made anew; it need not be there.
    fn remove(&mut self, path: &Path) -> Result<()> {
        self.linked.remove(path);
        remove_if_there(&*self.disk, path)
    }
}
