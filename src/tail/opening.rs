//! Opening the file of a tail: the one that is there, if nothing in it is wanted, or a new one.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::layout::{
    CHUNK_ENTRY_BYTES, CHUNK_TABLE, DELETIONS, FILE_HEADER_BYTES, FILE_VERSION, IS_REPLACED, OPENINGS, chunk_position,
    decode_chunk_entry, decode_file_header, encode_file_header,
};
use super::pool::PoolState;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};

/// A tail file, and what is known of it.
pub(super) struct Opened {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) state: PoolState,
    /// Where in the file slots begin that nobody gets.
    pub(super) kept: HashSet<u64>,
}

impl Opened {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Opened {
        Opened { file, state: PoolState::default(), kept: HashSet::new() }
    }
}

/// The file as it is, and its chunks; `None` if it is not there, not whole, or has a second name.
pub(super) fn open_cleared(disk: &dyn Disk, path: &Path) -> Result<Option<Opened>> {
    let file = match disk.open(path, Open::Write) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    if file.is_shared() {
        // Of a backup, say. Nothing in it is wanted, so a new one does as well as a copy.
        return Ok(None);
    }
    let size = file.size_when_opened();
    let mut header = vec![0; FILE_HEADER_BYTES];
    let read = file.read_at(&mut header, 0).map_err(|e| Error::io("read", path, e))?;
    if read < FILE_HEADER_BYTES || decode_file_header(&header) != Some(FILE_VERSION) {
        return Ok(None);
    }
    let mut state = PoolState::default();
    let (_, table) = header.split_at(CHUNK_TABLE);
    for (chunk, entry) in table.chunks_exact(CHUNK_ENTRY_BYTES).enumerate() {
        let Some(class) = decode_chunk_entry(chunk, entry) else { break };
        if chunk_position(chunk + 1) > size {
            break;
        }
        if let Some(unmapped) = state.unmapped.get_mut(class as usize) {
            unmapped.push(chunk);
        }
        state.chunks = chunk + 1;
    }
    Ok(Some(Opened { file, state, kept: HashSet::new() }))
}

/// Puts an empty tail, synced, in the place of what is there, so that after a crash the old one or the new one is there: a tail
/// that is missing is lost. A new file and not the old one cut: whoever in this process still looks at a map of that would be
/// killed by a signal. The caller syncs the directory.
pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>> {
    let new = path.with_extension("new");
    let create = || -> std::io::Result<Arc<dyn DiskFile>> {
        match disk.remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.open(&new, Open::CreateNew)?;
        let mut header = vec![0; FILE_HEADER_BYTES];
        header.iter_mut().zip(encode_file_header()).for_each(|(to, from)| *to = from);
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        let count = (disk.random() as u64).to_be_bytes();
        for at in [OPENINGS, DELETIONS] {
            header.iter_mut().skip(at).zip(count).for_each(|(to, from)| *to = from);
        }
        file.write_at(&header, 0)?;
        file.sync()?;
        say_replaced(disk, path);
        disk.rename(&new, path)?;
        Ok(file)
    };
    create().map_err(|e| {
        // On a full disk its bytes are wanted elsewhere; if it stays, the next opening replaces it.
        _ = disk.remove_file(&new);
        Error::io("create", path, e)
    })
}

/// Says in a file, for processes that read along, that another one is about to take its place. Where it cannot be said they see it a
/// little later.
fn say_replaced(disk: &dyn Disk, path: &Path) {
    if let Ok(file) = disk.open(path, Open::Write)
        && is_header_whole(&*file)
    {
        _ = file.write_at(&1_u64.to_be_bytes(), IS_REPLACED as u64);
    }
}

fn is_header_whole(file: &dyn DiskFile) -> bool {
    let mut header = [0; IS_REPLACED + 8];
    let read = file.read_at(&mut header, 0);
    read.is_ok_and(|read| read == header.len()) && decode_file_header(&header) == Some(FILE_VERSION)
}
