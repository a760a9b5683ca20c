//! Files of segments as they are read, and put on the medium.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, Open, create_anew, remove_if_there};
use crate::error::{Error, Result};
use crate::segment::FileSum;

/// Read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Who is shown the bytes of a file, piece by piece.
pub(super) type TakeBytes<'t> = &'t mut dyn FnMut(&[u8]) -> Result<()>;

/// A file that is written from its beginning to its end. Until then there is none.
pub(super) struct NewFile<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl<'d> NewFile<'d> {
    /// One that is to be there, in the place of another one perhaps.
    pub(super) fn at(disk: &'d dyn Disk, path: PathBuf) -> NewFile<'d> {
        NewFile { disk, path, file: None, crc: crc32fast::Hasher::new(), bytes: 0 }
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.begin()?;
        let written = self.file.as_ref().map_or(Ok(()), |file| file.write_at(chunk, self.bytes));
        written.map_err(|source| Error::io("write", &self.path, source))?;
        self.crc.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Ends it, and returns what was written. When this returns it survives a power cut, but for its name.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn finish(mut self) -> Result<FileSum> {
        self.begin()?;
        let synced = self.file.as_ref().map_or(Ok(()), |file| file.sync());
        synced.map_err(|source| Error::io("sync", &self.path, source))?;
        Ok(FileSum { bytes: self.bytes, crc32: self.crc.finalize() })
    }

    /// Leaves nothing of it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn give_up(self) -> Result<()> {
        if self.file.is_some() { remove_if_there(self.disk, &self.path) } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<()> {
        if self.file.is_none() {
            let created = create_anew(self.disk, &self.path);
            self.file = Some(created.map_err(|source| Error::io("create", &self.path, source))?);
        }
        Ok(())
    }
}

/// Shows the bytes of a file; whether it is there.
///
/// # Errors
/// The disk's; those of `take`.
pub(super) fn read_file(disk: &dyn Disk, path: &Path, take: TakeBytes<'_>) -> Result<bool> {
    let file = match disk.open(path, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|source| Error::io("open", path, source))?,
    };
    read_all(&*file, path, u64::MAX, take).map(|_| true)
}

/// Size and checksum of a file. When this returns it survives a power cut as it is.
///
/// # Errors
/// The disk's.
pub(super) fn sum_of(disk: &dyn Disk, path: &Path) -> Result<FileSum> {
    let file = disk.open(path, Open::Write).map_err(|source| Error::io("open", path, source))?;
    let (mut crc, mut bytes) = (crc32fast::Hasher::new(), 0);
    read_all(&*file, path, u64::MAX, &mut |chunk| {
        crc.update(chunk);
        // A sync of it may have failed: the system tells that once, and a later sync carries only what is written again. One with a second
        // name was linked, from where it is known to be synced.
        let written = if file.is_shared() { Ok(()) } else { file.write_at(chunk, bytes) };
        written.map_err(|source| Error::io("write", path, source))?;
        bytes += chunk.len() as u64;
        Ok(())
    })?;
    let sum = FileSum { bytes, crc32: crc.finalize() };
    file.sync().map_err(|source| Error::io("sync", path, source))?;
    Ok(sum)
}

/// Size and checksum of the first bytes of a file, so many at most.
///
/// # Errors
/// The disk's.
pub(super) fn sum_up_to(file: &dyn DiskFile, path: &Path, bytes_max: u64) -> Result<FileSum> {
    let mut crc = crc32fast::Hasher::new();
    let bytes = read_all(file, path, bytes_max, &mut |chunk| {
        crc.update(chunk);
        Ok(())
    })?;
    Ok(FileSum { bytes, crc32: crc.finalize() })
}

fn read_all(file: &dyn DiskFile, path: &Path, bytes_max: u64, take: TakeBytes<'_>) -> Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let wanted = usize::try_from(bytes_max - bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let read = file.read_at(buffer, bytes).map_err(|source| Error::io("read", path, source))?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(bytes);
        }
        take(chunk)?;
        bytes += read as u64;
    }
}
