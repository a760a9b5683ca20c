//! Taking over the open batches of a process that did not close its broker.
//!
//! After a kill the page cache is whole: bytes and running CRC of every slot agree up to `published`, and all of it is taken.
//! After a power cut the kernel may have written any of the file's sectors: then a slot holds what its newest commit entry that
//! agrees with the bytes covers. Nothing here is written; [`Tail::open`](super::Tail::open) clears the file afterwards.

use std::path::Path;

use super::layout::{
    BATCH, CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, COMMIT, COMMIT_BYTES, FILE_HEADER_BYTES, FILE_VERSION,
    Identity, PUBLISHED, Published, RECORDS, SlotClass, chunk_position, decode_chunk_entry, decode_commit,
    decode_file_header,
};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::format::crc32c;

/// What a slot still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Salvaged {
    pub(crate) identity: Identity,
    /// Whole records, in Kafka's encoding.
    pub(crate) records: Vec<u8>,
    /// So many of these bytes are proven to have been synced.
    pub(crate) durable_bytes: usize,
    /// More had been published, but the bytes are not the ones that were.
    pub(crate) torn: bool,
}

/// Everything that the tail file at `path` holds, in no order; nothing if there is no such file.
///
/// # Errors
/// [`Error::UnsupportedVersion`] for a newer file, [`Error::Io`].
pub(crate) fn salvage(disk: &dyn Disk, path: &Path) -> Result<Vec<Salvaged>> {
    if planted(Canary::DropOpenBatch) {
        return Ok(Vec::new());
    }
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let header = read_header(&*file, path)?;
    let size = file.size_when_opened();
    let mut chunk_bytes = vec![0; CHUNK_BYTES];
    let mut salvaged = Vec::new();
    for chunk in 0.. {
        if chunk_position(chunk + 1) > size {
            break;
        }
        let read = file.read_at(&mut chunk_bytes, chunk_position(chunk)).map_err(|e| Error::io("read", path, e))?;
        let Some(bytes) = chunk_bytes.get(..read) else { break };
        let entry_at = CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES;
        let entry = header.get(entry_at..).and_then(|rest| decode_chunk_entry(chunk, rest));
        salvage_chunk(entry, bytes, &mut salvaged);
    }
    Ok(salvaged)
}

/// Checks that no newer version wrote the tail file at `path`; whether there is one that says that it is a tail. Changes
/// nothing.
///
/// # Errors
/// [`Error::UnsupportedVersion`], [`Error::Io`].
pub(crate) fn check_version(disk: &dyn Disk, path: &Path) -> Result<bool> {
    match disk.open(path, Open::Read) {
        Ok(file) => Ok(decode_file_header(&read_header(&*file, path)?).is_some()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("open", path, e)),
    }
}

/// The bytes before the first chunk, or what there is of them.
fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Vec<u8>> {
    let mut header = vec![0; FILE_HEADER_BYTES];
    let read = file.read_at(&mut header, 0).map_err(|e| Error::io("read", path, e))?;
    header.truncate(read);
    match decode_file_header(&header).filter(|&version| version > FILE_VERSION) {
        Some(found) => Err(Error::UnsupportedVersion { path: path.to_owned(), found, supported: FILE_VERSION }),
        None => Ok(header),
    }
}

/// The slots of one chunk. A chunk whose table entry is damaged has the class whose slots say so themselves, the largest
/// first, since a record may look like a small slot but never stands where a larger one begins.
fn salvage_chunk(entry: Option<SlotClass>, bytes: &[u8], salvaged: &mut Vec<Salvaged>) {
    let classes = match entry {
        Some(class) => vec![class],
        None => SlotClass::ALL.into_iter().rev().collect(),
    };
    for class in classes {
        let before = salvaged.len();
        salvaged.extend(bytes.chunks_exact(class.slot_bytes()).filter_map(|slot| salvage_slot(class, slot)));
        if salvaged.len() > before {
            return;
        }
    }
}

pub(super) fn salvage_slot(class: SlotClass, slot: &[u8]) -> Option<Salvaged> {
    let (identity, stated, generation) = Identity::decode(slot)?;
    if stated != class {
        return None;
    }
    let records = slot.get(RECORDS..)?;
    let published = Published::from_word(u64::from_be_bytes(*slot.get(PUBLISHED..)?.first_chunk()?));
    let mut commits: Vec<(u64, Published)> = COMMIT
        .iter()
        .filter_map(|&at| decode_commit(slot.get(at..at + COMMIT_BYTES)?, generation))
        .filter(|(_, commit)| holds(records, *commit) || planted(Canary::TakeTornCommit))
        .collect();
    commits.sort_by_key(|(sequence, _)| *sequence);
    let durable_bytes = commits.last().map_or(0, |(_, commit)| commit.records_bytes as usize);
    let whole = holds(records, published);
    let taken = if whole { durable_bytes.max(published.records_bytes as usize) } else { durable_bytes };
    let records = records.get(..taken)?.to_vec();
    (taken > 0 || !whole).then_some(Salvaged { identity, records, durable_bytes, torn: !whole })
}

fn holds(records: &[u8], published: Published) -> bool {
    records.get(..published.records_bytes as usize).is_some_and(|bytes| crc32c(bytes) == published.records_crc)
}

const _: () = assert!(BATCH < RECORDS);
