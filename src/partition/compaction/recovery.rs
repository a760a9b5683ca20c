//! What a crash during compaction leaves, brought to its end when the log is opened.
//!
//! The manifest decides (see `replacement`): a `.swap` file that is the one it speaks of takes its place; any other, and every
//! `.cleaned` file, and every copy that did not take its place, is removed. Then nothing is left of what was replaced but files whose offsets belong to a compacted segment
//! that is there, and those are removed. All of it can be interrupted and done again.

use std::io::ErrorKind;
use std::path::Path;

use super::super::manifest::{LoadedManifest, ManifestSegment};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::segment::file_name::{self, FileKind, FileName, Stage};

const CHUNK_BYTES: usize = 256 << 10;

/// Finishes or undoes what was under way, and returns the names that are there then. Without a manifest that can be relied on
/// nothing is touched.
pub(in crate::partition) fn settle(
    disk: &dyn Disk,
    dir: &Path,
    loaded: Option<&LoadedManifest>,
) -> Result<Vec<FileName>> {
    let names = file_name::list(disk, dir)?;
    if loaded.is_some_and(|loaded| loaded.fell_back) {
        return Ok(names);
    }
    let segments = loaded.map_or(&[][..], |loaded| &loaded.manifest.segments);
    let clean_offset = loaded.map_or(0, |loaded| loaded.manifest.clean_offset);
    let mut has_changed = false;
    for name in names.iter().filter(|name| matches!(name.stage, Stage::Cleaned | Stage::Swap | Stage::OwnCopy)) {
        let noted = segments.iter().find(|noted| noted.sealed.base_offset == name.base_offset);
        let path = name.path(dir);
        if name.stage == Stage::Swap && is_meant(disk, dir, name, noted)? {
            let live = name.in_stage(Stage::Live).path(dir);
            disk.rename(&path, &live).map_err(|source| Error::io("rename", &path, source))?;
        } else {
            disk.remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        has_changed = true;
    }
    for name in names.iter().filter(|name| name.stage == Stage::Live) {
        if is_replaced(disk, dir, name.base_offset, clean_offset, segments)? {
            let path = name.path(dir);
            disk.remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
            has_changed = true;
        }
    }
    if !has_changed {
        return Ok(names);
    }
    disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
    file_name::list(disk, dir)
}

/// Whether a `.swap` file is, byte by byte, one that the manifest speaks of.
fn is_meant(disk: &dyn Disk, dir: &Path, name: &FileName, noted: Option<&ManifestSegment>) -> Result<bool> {
    let Some(noted) = noted else { return Ok(false) };
    let crcs = noted.sealed.index_crcs;
    let expected = match name.kind {
        FileKind::Log => noted.log_crc32,
        FileKind::OffsetIndex => crcs.map(|crcs| crcs.offset_index.crc32),
        FileKind::TimeIndex => crcs.map(|crcs| crcs.time_index.crc32),
        FileKind::TransactionIndex => noted.producers.transaction_index.map(|sum| sum.crc32),
        FileKind::ProducerSnapshot => None,
    };
    let path = name.path(dir);
    let is_log_of_other_size = || -> std::io::Result<bool> {
        Ok(name.kind == FileKind::Log && disk.open(&path, Open::Read)?.size_when_opened() != noted.sealed.log_bytes)
    };
    let is_meant = || Ok(!is_log_of_other_size()? && Some(file_crc32(disk, &path)?) == expected);
    is_meant().map_err(|source: std::io::Error| Error::io("read", &path, source))
}

/// Whether the log file that was set aside for a segment is the one that the manifest speaks of.
pub(in crate::partition) fn is_set_aside(disk: &dyn Disk, dir: &Path, noted: &ManifestSegment) -> Result<bool> {
    let name = FileName::live(noted.sealed.base_offset, FileKind::Log).in_stage(Stage::Swap);
    match is_meant(disk, dir, &name, Some(noted)) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(false),
        found => found,
    }
}

fn file_crc32(disk: &dyn Disk, path: &Path) -> std::io::Result<u32> {
    let file = disk.open(path, Open::Read)?;
    let mut crc = crc32fast::Hasher::new();
    let (mut position, mut buffer) = (0, vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read_at(&mut buffer, position)?;
        if read == 0 {
            return Ok(crc.finalize());
        }
        crc.update(buffer.get(..read).unwrap_or_default());
        position += read as u64;
    }
}

/// Whether the offsets from `base_offset` on belong to a compacted segment of another name, which is there.
fn is_replaced(
    disk: &dyn Disk,
    dir: &Path,
    base_offset: u64,
    clean_offset: u64,
    segments: &[ManifestSegment],
) -> Result<bool> {
    if clean_offset <= base_offset {
        return Ok(false);
    }
    let before = segments.iter().rev().find(|noted| noted.sealed.base_offset <= base_offset);
    let Some(before) = before else { return Ok(false) };
    if before.sealed.base_offset == base_offset {
        return Ok(false);
    }
    let path = FileName::live(before.sealed.base_offset, FileKind::Log).path(dir);
    match disk.open(&path, Open::Read).map(|file| file.size_when_opened()) {
        Ok(size) => Ok(size == before.sealed.log_bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io("open", &path, source)),
    }
}
