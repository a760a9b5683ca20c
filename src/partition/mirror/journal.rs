//! The journal of a replica: what the group commit has made durable since the replica caught up last.
//!
//! ```text
//! mirror-0, mirror-1    blocks, one after the other, as in block.rs; what follows the last one of the generation does not count
//! ```
//! Generation n is in `mirror-0` if n is even, and else in `mirror-1`. The file `replica` says from which generation on they count: that
//! one and the next, which is begun before the replica catches up. Both files are written in full when they are made, and only
//! overwritten then, for as long as what comes has room: to sync that is cheap.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{self, BLOCK_HEADER_BYTES, MirrorEntry};
use crate::disk::{Disk, DiskFile, Open, create_anew, remove_if_there};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::partition::config::Refusal;

/// What a file has room for when it is made, and by how much it grows.
const ROOM_BYTES: usize = 256 << 10;

const NAMES: [&str; 2] = ["mirror-0", "mirror-1"];

fn path_of(dir: &Path, generation: u64) -> PathBuf {
    let [even, odd] = NAMES;
    dir.join(if generation.is_multiple_of(2) { even } else { odd })
}

/// Removes the journal of the replica in `dir`, if there is one. When this returns it does not come back after a power cut.
///
/// # Errors
/// The disk's.
pub(crate) fn remove(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let paths = NAMES.map(|name| dir.join(name));
    if paths
        .iter()
        .all(|path| matches!(disk.open(path, Open::Read), Err(error) if error.kind() == io::ErrorKind::NotFound))
    {
        return Ok(());
    }
    paths.iter().try_for_each(|path| remove_if_there(disk, path))?;
    disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))
}

/// One of the files, to be written.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    room_bytes: u64,
}

impl JournalFile {
    /// Makes that of this generation anew. The directory is not synced.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, generation: u64) -> Result<JournalFile> {
        let path = path_of(dir, generation);
        let file = create_anew(disk, &path).map_err(|source| Error::io("create", &path, source))?;
        let mut journal = JournalFile { file, path, room_bytes: 0 };
        journal.make_room(ROOM_BYTES as u64)?;
        journal.sync()?;
        Ok(journal)
    }

    fn make_room(&mut self, bytes: u64) -> Result<()> {
        while self.room_bytes < bytes {
            let written = self.file.write_zeros(ROOM_BYTES, self.room_bytes);
            written.map_err(|source| self.error("write", source))?;
            self.room_bytes += ROOM_BYTES as u64;
        }
        Ok(())
    }

    /// Writes a block at a byte of the file.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&mut self, block: &[u8], position: u64) -> Result<()> {
        self.make_room(position + block.len() as u64)?;
        self.file.write_at(block, position).map_err(|source| self.error("write", source))
    }

    /// Makes what was written survive a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|source| self.error("sync", source))
    }

    /// Whether it is still the file that has its name. Where that cannot be known, it is.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.is_at(&self.path).unwrap_or(true)
    }

    #[cold]
    fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::io(action, &self.path, source)
    }
}

/// Where the block is that [`visit`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockNumber(u64);

/// Shows what stands in the journal of the replica in `dir` that counts from `generation` on, block by block: the entries, and the number
/// of the block that each is in. Whether a block was synced cannot be told of the last one.
///
/// # Errors
/// [`Error::Corrupt`] if a block is whole and yet makes no sense; the disk's; those of `visit`.
pub(crate) fn visit(
    disk: &dyn Disk,
    dir: &Path,
    generation: u64,
    visit: &mut dyn FnMut(BlockNumber, MirrorEntry<'_>) -> Result<()>,
) -> Result<()> {
    let mut number = 0;
    for generation in [generation, generation.saturating_add(1)] {
        let path = path_of(dir, generation);
        let file = match disk.open(&path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|source| Error::io("open", &path, source))?,
        };
        let mut position = 0;
        while let Some(payload) =
            read_block(&*file, position, generation).map_err(|source| Error::io("read", &path, source))?
        {
            number += 1;
            let mut visit_entry =
                |entry: MirrorEntry<'_>| visit(BlockNumber(number), entry).map_err(NotVisited::Failed);
            block::visit_entries(&payload, &mut visit_entry).map_err(|error| error.at(&path, position))?;
            position += (BLOCK_HEADER_BYTES + payload.len()) as u64;
        }
    }
    Ok(())
}

/// The payload of the block at a byte of the file, if one of this generation is there.
fn read_block(file: &dyn DiskFile, position: u64, generation: u64) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    if file.read_at(&mut header, position)? < BLOCK_HEADER_BYTES {
        return Ok(None);
    }
    let Some(bytes) = block::payload_bytes(&header, generation) else { return Ok(None) };
    let begin = position + BLOCK_HEADER_BYTES as u64;
    if file.size_when_opened() < begin.saturating_add(bytes.into()) {
        return Ok(None);
    }
    let mut payload = vec![0; bytes as usize];
    let read = file.read_at(&mut payload, begin)?;
    Ok((read == payload.len() && block::is_whole(&header, generation, &payload)).then_some(payload))
}

enum NotVisited {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for NotVisited {
    fn from(refusal: Refusal) -> NotVisited {
        NotVisited::Refused(refusal)
    }
}

impl NotVisited {
    #[cold]
    fn at(self, path: &Path, position: u64) -> Error {
        let reason = match self {
            NotVisited::Failed(error) => return error,
            NotVisited::Refused(Refusal::Invalid(Invalid::Malformed(reason))) => reason,
            NotVisited::Refused(Refusal::Invalid(Invalid::Codec(_))) => "a block of the journal is compressed",
            NotVisited::Refused(Refusal::Newer) => "a newer version has written it",
        };
        Error::corrupt_file(path, position, reason)
    }
}
