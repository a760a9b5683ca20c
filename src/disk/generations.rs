//! A small file that is replaced as a whole, in two generations: the newer one that is intact counts.
//!
//! ```text
//! byte  size  field             one frame, big-endian; the file is two of them: the previous generation, then the newest
//!    0     8  magic             what the file is for; the caller's
//!    8     4  version           of the payload's format; the caller's
//!   12     8  generation        from 1, one more with each store
//!   20     4  payload_bytes     at most 16 MiB
//!   24     n  payload
//! 24+n     4  crc32             CRC-32 of all before
//! ```
//! A first store writes its frame twice, so that a whole file always ends with the second of two frames; where it does not,
//! something newer may be lost, and [`Loaded::fell_back`] says so.
//!
//! A store writes another file, syncs it, renames it over the old one and syncs the directory: after a crash at any point
//! the old file or the new one is there, whole. The second generation is for media that lose bytes later. One writer at a
//! time; nothing here knows what the payload means.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Disk, Open, create_anew, remove_if_there};
use crate::error::{Error, Result};

const MAGIC: usize = 0;
const MAGIC_BYTES: usize = 8;
const VERSION: usize = MAGIC + MAGIC_BYTES;
const GENERATION: usize = VERSION + size_of::<u32>();
const PAYLOAD_BYTES: usize = GENERATION + size_of::<u64>();
const PAYLOAD: usize = PAYLOAD_BYTES + size_of::<u32>();
const CRC_BYTES: usize = size_of::<u32>();
const _: () = assert!(PAYLOAD == 24);

const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const FILE_BYTES_MAX: u64 = 2 * (PAYLOAD + PAYLOAD_BYTES_MAX + CRC_BYTES) as u64;

/// Damaged frames that are looked at before giving up: a hostile file could otherwise have us sum up its bytes for ever.
const DAMAGED_FRAMES_MAX: usize = 16;

/// What marks a file as of one kind, and the formats of it that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The first eight bytes of each frame.
    pub(crate) magic: [u8; 8],
    /// The oldest version that is read.
    pub(crate) oldest: u32,
    /// The version that is written, and the newest that is read.
    pub(crate) version: u32,
}

/// The generation that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// What was stored.
    pub(crate) payload: Vec<u8>,
    /// The version that it was stored with.
    pub(crate) version: u32,
    /// From 1, one more with each store.
    pub(crate) generation: u64,
    /// Whether what follows it in the file is damaged or missing, so that a newer generation may have been lost.
    pub(crate) fell_back: bool,
}

/// Reads the newest intact generation, or `None` if there is no file.
///
/// # Errors
/// [`Error::UnsupportedVersion`] if a version wrote it that is not read, [`Error::Corrupt`] if no generation is intact, or the disk's.
pub(crate) fn load(disk: &dyn Disk, path: &Path, kind: Kind) -> Result<Option<Loaded>> {
    let Some(bytes) = read_file(disk, path)? else { return Ok(None) };
    let Some((frame, fell_back)) = newest(&bytes, kind) else {
        // The frame may be of a layout that is not ours to understand, with a checksum elsewhere.
        match version_at_start(&bytes, kind) {
            Some(found) if found > kind.version => check_version(path, kind, found)?,
            _ => {}
        }
        return Err(Error::corrupt_file(path, 0, "neither generation is intact"));
    };
    check_version(path, kind, frame.version)?;
    let (version, generation) = (frame.version, frame.generation);
    Ok(Some(Loaded { payload: frame.payload.to_vec(), version, generation, fell_back }))
}

/// Whether both generations are intact and there is nothing else in the file; also if there is none.
///
/// # Errors
/// As [`load`].
pub(crate) fn is_whole(disk: &dyn Disk, path: &Path, kind: Kind) -> Result<bool> {
    let Some(bytes) = read_file(disk, path)? else { return Ok(true) };
    let behind = |bytes: &[u8]| decode(bytes, kind.magic).and_then(|frame| Some(bytes.get(frame.length..)?.to_vec()));
    Ok(behind(&bytes).and_then(|rest| behind(&rest)).is_some_and(|rest| rest.is_empty()))
}

/// Replaces the file by one that holds the generation that counted so far and `payload`, and returns the new generation.
///
/// # Errors
/// As [`load`], as damage and other formats are not overwritten: whoever wants to begin anew moves the file away first.
/// Otherwise the disk's: then the old file or the new one is there, whole. A payload above 16 MiB is an [`Error::Io`].
pub(crate) fn store(disk: &dyn Disk, path: &Path, kind: Kind, payload: &[u8]) -> Result<u64> {
    check_size(path, payload)?;
    let previous = load(disk, path, kind)?;
    let generation = previous.as_ref().map_or(0, |previous| previous.generation).saturating_add(1);
    let newest = encode(kind.magic, kind.version, generation, payload);
    let mut bytes = match previous {
        Some(previous) => encode(kind.magic, previous.version, previous.generation, &previous.payload),
        None => newest.clone(),
    };
    bytes.extend_from_slice(&newest);
    replace_file(disk, path, &bytes)?;
    Ok(generation)
}

fn check_size(path: &Path, payload: &[u8]) -> Result<()> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        let reason = io::Error::new(ErrorKind::InvalidInput, "the content is larger than 16 MiB");
        return Err(Error::io("write", path, reason));
    }
    Ok(())
}

/// The same for what is of no use once it was replaced: the new generation is written twice, and the one before goes.
///
/// # Errors
/// Those of [`store`].
pub(crate) fn store_twice(disk: &dyn Disk, path: &Path, kind: Kind, payload: &[u8]) -> Result<()> {
    check_size(path, payload)?;
    let generation = load(disk, path, kind)?.map_or(0, |previous| previous.generation).saturating_add(1);
    replace_file(disk, path, &encode(kind.magic, kind.version, generation, payload).repeat(2))
}

/// What tells a payload from any other.
pub(crate) fn checksum(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

/// Puts a payload beside the file, to [take its place](take_next) later. When this returns it survives a power cut.
///
/// # Errors
/// Those of [`store`].
pub(crate) fn store_next(disk: &dyn Disk, path: &Path, kind: Kind, payload: &[u8]) -> Result<()> {
    let next = next_to(path);
    remove_if_there(disk, &next)?;
    store(disk, &next, kind, payload).map(drop)
}

/// Has what waits beside the file take its place, if its payload has this checksum, and else removes it. The caller syncs the
/// directory.
///
/// # Errors
/// Those of [`load`].
pub(crate) fn take_next(disk: &dyn Disk, path: &Path, kind: Kind, checksum_of_next: u32) -> Result<()> {
    let next = next_to(path);
    let waiting = match load(disk, &next, kind) {
        Err(Error::Corrupt(_)) => None,
        found => found?,
    };
    match waiting {
        Some(waiting) if checksum(&waiting.payload) == checksum_of_next => {
            disk.rename(&next, path).map_err(|source| Error::io("rename", &next, source))
        }
        _ => remove_if_there(disk, &next),
    }
}

fn next_to(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".next");
    name.into()
}

/// [`store`] for a disk without room: writes the payload over the generation that counted so far, and then makes the one before
/// unreadable. A crash in between leaves that one, as if the newest had been lost, or the payload. The next [`store`] puts the file in
/// order again.
///
/// # Errors
/// [`Error::DiskFull`] and nothing is touched, if that needs room, too: where the payload is longer than the one that counted, the
/// file has a second name, or the file system writes overwritten blocks elsewhere; also if a generation may be lost. The disk's:
/// then any of the three may count.
pub(crate) fn store_in_place(disk: &dyn Disk, path: &Path, kind: Kind, payload: &[u8]) -> Result<()> {
    let no_room = || Error::DiskFull { action: "replace", path: path.to_owned() };
    let bytes = read_file(disk, path)?.ok_or_else(no_room)?;
    let (newest, _) = newest(&bytes, kind).filter(|(_, fell_back)| !fell_back).ok_or_else(no_room)?;
    let frame = encode(kind.magic, kind.version, newest.generation.saturating_add(1), payload);
    let file = disk.open(path, Open::Write).map_err(|error| Error::io("open", path, error))?;
    if newest.length < frame.len() || file.is_shared() || !file.overwrites_in_place() {
        return Err(no_room());
    }
    let position = bytes.len() - newest.length;
    let overwrite = || {
        file.write_at(&frame, position as u64)?;
        file.set_size((position + frame.len()) as u64)?;
        file.sync()?;
        file.write_at(&[0; MAGIC_BYTES], 0)?;
        file.sync()
    };
    overwrite().map_err(|error| Error::io("write", path, error))
}

/// A frame whose checksum is right.
struct Frame<'b> {
    version: u32,
    generation: u64,
    payload: &'b [u8],
    /// Bytes from the magic to the checksum, both included.
    length: usize,
}

fn encode(magic: [u8; 8], version: u32, generation: u64, payload: &[u8]) -> Vec<u8> {
    // Checked by the caller: 16 MiB at most.
    let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(PAYLOAD + payload.len() + CRC_BYTES);
    frame.extend_from_slice(&magic);
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&generation.to_be_bytes());
    frame.extend_from_slice(&payload_bytes.to_be_bytes());
    frame.extend_from_slice(payload);
    let crc = crc32fast::hash(&frame);
    frame.extend_from_slice(&crc.to_be_bytes());
    frame
}

/// Reads the frame at the start of `bytes`, which may go on behind it.
fn decode(bytes: &[u8], magic: [u8; 8]) -> Option<Frame<'_>> {
    let (found, rest) = bytes.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (payload_bytes, rest) = rest.split_first_chunk()?;
    let payload_bytes = usize::try_from(u32::from_be_bytes(*payload_bytes)).ok()?;
    let (payload, rest) = rest.split_at_checked(payload_bytes)?;
    let (crc, _) = rest.split_first_chunk()?;
    let checked_bytes = PAYLOAD + payload_bytes;
    let is_intact = *found == magic && crc32fast::hash(bytes.get(..checked_bytes)?) == u32::from_be_bytes(*crc);
    is_intact.then(|| Frame {
        version: u32::from_be_bytes(*version),
        generation: u64::from_be_bytes(*generation),
        payload,
        length: checked_bytes + CRC_BYTES,
    })
}

/// The intact frame of the highest generation, and whether something may have been lost behind it.
///
/// Frames are found by their magic and not by the length of the one before, which may be what is damaged.
fn newest(bytes: &[u8], kind: Kind) -> Option<(Frame<'_>, bool)> {
    let mut newest: Option<(Frame<'_>, usize)> = None;
    let (mut position, mut damaged_frames) = (0, 0);
    while damaged_frames < DAMAGED_FRAMES_MAX {
        let rest = bytes.get(position..).unwrap_or_default();
        let Some(skipped) = rest.windows(kind.magic.len()).position(|window| window == kind.magic) else {
            break;
        };
        position += skipped;
        let Some(frame) = bytes.get(position..).and_then(|rest| decode(rest, kind.magic)) else {
            damaged_frames += 1;
            position += 1;
            continue;
        };
        let start = position;
        position += frame.length;
        if newest.as_ref().is_none_or(|(best, _)| best.generation <= frame.generation) {
            newest = Some((frame, start));
        }
    }
    newest.map(|(frame, start)| {
        let is_second_and_last = start > 0 && start + frame.length == bytes.len();
        (frame, !is_second_and_last)
    })
}

fn version_at_start(bytes: &[u8], kind: Kind) -> Option<u32> {
    let version = bytes.strip_prefix(&kind.magic)?.first_chunk()?;
    Some(u32::from_be_bytes(*version))
}

fn check_version(path: &Path, kind: Kind, found: u32) -> Result<()> {
    if !(kind.oldest..=kind.version).contains(&found) {
        return Err(Error::UnsupportedVersion { path: path.to_owned(), found, supported: kind.version });
    }
    Ok(())
}

/// Reads a small file as a whole, or `None` if it is not there.
///
/// # Errors
/// [`Error::Corrupt`] if it is larger than a file of generations can be, or the disk's.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match disk.open(path, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| Error::io("open", path, error))?,
    };
    let size = file.size_when_opened();
    if size > FILE_BYTES_MAX {
        return Err(Error::corrupt_file(path, FILE_BYTES_MAX, "the file is larger than two generations can be"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0).map_err(|error| Error::io("read", path, error))?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Puts `bytes` in the place of the file, whole or not at all, so that it survives a power cut.
///
/// # Errors
/// The disk's: then the old file or the new one is there, whole.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_path(path);
    let result = write_synced(disk, &temporary, bytes)
        .map_err(|error| Error::io("write", &temporary, error))
        .and_then(|()| disk.rename(&temporary, path).map_err(|error| Error::io("rename", &temporary, error)));
    if result.is_err() {
        // On a full disk its bytes are wanted elsewhere; if it stays, the next store removes it.
        _ = disk.remove_file(&temporary);
        return result;
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = create_anew(disk, path)?;
    file.write_at(bytes, 0)?;
    // Before the rename: a name without its bytes is worse than no name.
    file.sync()
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
