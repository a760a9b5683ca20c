//! Taking over the open batches of a process that did not close its broker.
//!
//! After a kill the page cache is whole: bytes and running CRC of every slot agree up to `published`, and all of it is taken.
//! After a power cut the kernel may have written any of the file's sectors: then a slot holds what its newest commit entry that
//! agrees with the bytes covers.
//!
//! What else a slot held cannot be told. Its identity and its size bound which offsets that were, so that they are not given out
//! again. Where not even an identity is left, in a chunk that the table names and the file does not have, say, the file is
//! damaged, and that is all that is known: any log whose batches belong into it may have had one there. To leave out as many
//! offsets in each of them as a slot has room for would make most of them unreadable at their ends for nothing, the committed
//! offsets of all groups among them. The leader epoch, which rises after every unclean end, tells a position that is beyond an
//! end from one that is not. Nothing here is written; [`Tail::open`](super::Tail::open) clears the file afterwards, or all of
//! it but what found no room elsewhere.

use std::path::Path;

use super::layout::{
    BATCH, CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, CHUNKS_MAX, COMMIT, COMMIT_BYTES, FILE_HEADER_BYTES,
    FILE_VERSION, Identity, PUBLISHED, Published, RECORDS, SlotClass, chunk_position, decode_chunk_entry,
    decode_commit, decode_file_header,
};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::format::crc32c;

/// What a slot still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Salvaged {
    pub(crate) identity: Identity,
    /// The file that it was in; empty where that is not known.
    pub(crate) tail_name: &'static str,
    /// Where the slot begins in the file.
    pub(super) position: u64,
    pub(super) class: SlotClass,
    /// Which use of the slot it is.
    pub(super) generation: u64,
    /// The sequence of the newest commit entry that agrees with the bytes; 0 if there is none.
    pub(super) held_sequence: u64,
    /// Whole records, in Kafka's encoding.
    pub(crate) records: Vec<u8>,
    /// So many of these bytes are proven to have been synced.
    pub(crate) durable_bytes: usize,
    /// More had been published, but the bytes are not the ones that were.
    pub(crate) torn: bool,
    /// More had been synced, but the bytes are not the ones that were.
    pub(crate) lost_synced: bool,
    /// Behind these records there were at most so many more.
    pub(crate) lost_records_max: u64,
}

impl Salvaged {
    /// Whole records of a batch that came another way than out of a slot.
    pub(crate) fn of(identity: Identity, class: SlotClass, generation: u64, records: Vec<u8>) -> Salvaged {
        Salvaged {
            identity,
            tail_name: "",
            position: 0,
            class,
            generation,
            held_sequence: 0,
            durable_bytes: records.len(),
            records,
            torn: false,
            lost_synced: false,
            lost_records_max: 0,
        }
    }
}

#[cfg(feature = "cli")]
impl Salvaged {
    /// The byte of the file where its slot begins.
    pub(crate) fn file_position(&self) -> u64 {
        self.position
    }
}

/// What a tail file holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The slots of which something can be told, in no order.
    pub(crate) batches: Vec<Salvaged>,
    /// Places in the file where there was something of which nothing can be told, and why.
    pub(crate) damage: Vec<(u64, &'static str)>,
}

/// No record is encoded in fewer bytes.
const RECORD_BYTES_MIN: usize = 7;

/// Everything that the tail file at `path` holds; nothing if there is no such file. `is_whole` says that the machine went on, so
/// that every sector is as it was last written.
///
/// # Errors
/// [`Error::UnsupportedVersion`] for a file of another version, [`Error::Io`].
pub(crate) fn examine(disk: &dyn Disk, path: &Path, is_whole: bool) -> Result<Contents> {
    let mut contents = Contents::default();
    if planted(Canary::DropOpenBatch) {
        return Ok(contents);
    }
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(contents),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let header = read_header(&*file, path)?;
    if header.len() < FILE_HEADER_BYTES && decode_file_header(&header).is_some() {
        contents.damage.push((header.len() as u64, "the tail ends within its table of chunks"));
    }
    let size = file.size_when_opened();
    let mut chunk_bytes = vec![0; CHUNK_BYTES];
    for chunk in 0..CHUNKS_MAX {
        let position = chunk_position(chunk);
        let entry_at = CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES;
        let entry = header.get(entry_at..entry_at + CHUNK_ENTRY_BYTES).unwrap_or_default();
        let is_unused = entry.iter().all(|byte| *byte == 0);
        if is_unused && size <= position {
            continue;
        }
        // Chunks are added in order, each synced before its entry: after a power cut a last one without an entry holds whatever the
        // medium had there before.
        let behind = header.get(entry_at..).unwrap_or_default();
        if !is_whole && behind.iter().all(|byte| *byte == 0) {
            break;
        }
        let class = decode_chunk_entry(chunk, entry);
        let read = file.read_at(&mut chunk_bytes, position).map_err(|e| Error::io("read", path, e))?;
        let found = contents.batches.len();
        if let Some(bytes) = chunk_bytes.get(..read) {
            salvage_chunk(class, (position, is_whole), bytes, &mut contents);
        }
        // An entry is written after its chunk, and both are synced: what it speaks of was there.
        if class.is_some() && read < CHUNK_BYTES {
            contents.damage.push((position + read as u64, "a chunk of the tail is cut short"));
        }
        // The chunk is all zeros until its entry is synced: where it still is, the entry may have been written by half.
        let is_in_use = chunk_bytes.iter().take(read).any(|byte| *byte != 0);
        if class.is_none() && (!is_unused && is_in_use || contents.batches.len() > found) {
            contents.damage.push((entry_at as u64, "an entry of the tail's table of chunks is damaged"));
        }
    }
    Ok(contents)
}

/// Checks that no other version wrote the tail file at `path`; whether there is one that says that it is a tail. Changes
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
pub(super) fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Vec<u8>> {
    let mut header = vec![0; FILE_HEADER_BYTES];
    let read = file.read_at(&mut header, 0).map_err(|e| Error::io("read", path, e))?;
    header.truncate(read);
    match decode_file_header(&header).filter(|&version| version != FILE_VERSION) {
        Some(found) => Err(Error::UnsupportedVersion { path: path.to_owned(), found, supported: FILE_VERSION }),
        None => Ok(header),
    }
}

/// The slots of one chunk at a file position, of which the last one may be cut short. A chunk whose table entry is damaged has
/// the class whose slots say so themselves, the largest first, since a record may look like a small slot but never stands where
/// a larger one begins.
fn salvage_chunk(entry: Option<SlotClass>, (position, is_whole): (u64, bool), bytes: &[u8], contents: &mut Contents) {
    let classes = match entry {
        Some(class) => vec![class],
        None => SlotClass::ALL.into_iter().rev().collect(),
    };
    for class in classes {
        let before = contents.batches.len();
        for (slot, at) in bytes.chunks(class.slot_bytes()).zip((position..).step_by(class.slot_bytes())) {
            contents.batches.extend(salvage_slot(class, at, slot));
            if entry.is_some() && has_lost_identity(class, slot, is_whole) {
                contents.damage.push((at, "of an open batch in the tail nothing can be told but that there was one"));
            }
        }
        if contents.batches.len() > before {
            return;
        }
    }
}

/// Whether a slot was used, and does not say for what any more. Identity and `published` share a sector, and nothing is published
/// while an identity is being written. Where the file is whole, nothing but the two is written first.
fn has_lost_identity(class: SlotClass, slot: &[u8], is_whole: bool) -> bool {
    if Identity::decode(slot).is_some_and(|(_, stated, _)| stated == class) {
        return false;
    }
    let (identity, rest) = slot.split_at(slot.len().min(PUBLISHED));
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let published = rest.get(..size_of::<u64>()).unwrap_or_default();
    if is_zero(identity) { is_whole && !is_zero(rest) } else { !is_zero(published) }
}

/// What the slot that begins at byte `position` of the file still holds.
pub(super) fn salvage_slot(class: SlotClass, position: u64, slot: &[u8]) -> Option<Salvaged> {
    let (identity, stated, generation) = Identity::decode(slot)?;
    if stated != class {
        return None;
    }
    let records = slot.get(RECORDS..).unwrap_or_default();
    let published = slot.get(PUBLISHED..).and_then(<[u8]>::first_chunk).copied();
    let published = published.map(|word| Published::from_word(u64::from_be_bytes(word)));
    let mut commits: Vec<(u64, Published)> =
        COMMIT.iter().filter_map(|&at| decode_commit(slot.get(at..at + COMMIT_BYTES)?, generation)).collect();
    commits.sort_by_key(|(sequence, _)| *sequence);
    let newest = commits.last().map_or(0, |(sequence, _)| *sequence);
    commits.retain(|(_, commit)| holds(records, *commit) || planted(Canary::TakeTornCommit));
    let (held, durable_bytes) =
        commits.last().map_or((0, 0), |(sequence, commit)| (*sequence, commit.records_bytes as usize));
    let published = published.filter(|published| holds(records, *published));
    let taken = published.map_or(durable_bytes, |published| durable_bytes.max(published.records_bytes as usize));
    let records = records.get(..taken)?.to_vec();
    let torn = published.is_none();
    let lost_bytes = if torn { class.records_bytes_max().saturating_sub(taken) } else { 0 };
    (taken > 0 || torn).then_some(Salvaged {
        identity,
        tail_name: "",
        position,
        class,
        generation,
        held_sequence: held,
        records,
        durable_bytes,
        torn,
        // The sync that the newest entry was for may never have ended; the one before had, or it would not have been written.
        lost_synced: torn && held + 1 < newest,
        lost_records_max: (lost_bytes / RECORD_BYTES_MIN) as u64,
    })
}

pub(super) fn holds(records: &[u8], published: Published) -> bool {
    records.get(..published.records_bytes as usize).is_some_and(|bytes| crc32c(bytes) == published.records_crc)
}

const _: () = assert!(BATCH < RECORDS);
