//! Setting aside what recovery takes out of a log, instead of throwing it away.
//!
//! The files stay in the partition's directory under names that Kafka and this crate pass over: a whole segment is renamed, a
//! cut-off end is copied into `<base offset>.log.<file position>.quarantine`. All of it together is bounded; the oldest go
//! first.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, Open, create_anew};
use crate::error::{Error, Result};
use crate::segment::file_name::{self, FileKind, FileName, Stage};

/// Bytes that are kept per partition; at least the newest file stays.
const BYTES_MAX: u64 = 64 << 20;

const CHUNK_BYTES: usize = 256 << 10;

/// What became of bytes that are about to be cut off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CutOff {
    /// They are in this file.
    Kept(PathBuf),
    /// They are nothing but zeros.
    Zeros,
    /// The disk is full.
    NoRoom,
}

/// Copies what the log file of `base_offset` has from `file_position` on. The copy is synced, its name is not.
pub(super) fn keep_cut_off(disk: &dyn Disk, dir: &Path, base_offset: u64, file_position: u64) -> Result<CutOff> {
    let from = FileName::live(base_offset, FileKind::Log);
    let to = from.in_stage(Stage::CutOff(file_position)).path(dir);
    let copy = || -> std::io::Result<bool> {
        let source = disk.open(&from.path(dir), Open::Read)?;
        let end = source.size_when_opened().min(file_position.saturating_add(BYTES_MAX));
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut target = None;
        let mut position = file_position;
        while position < end {
            let read = source.read_at(&mut buffer, position)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            if target.is_none() && chunk.iter().any(|&byte| byte != 0) {
                target = Some(create_anew(disk, &to)?);
            }
            if let Some(target) = &target {
                target.write_at(chunk, position - file_position)?;
            }
            position += read as u64;
        }
        target.as_ref().map_or(Ok(()), |target| target.sync())?;
        Ok(target.is_some())
    };
    match copy().map_err(|e| Error::io("set aside", &to, e)) {
        Ok(true) => Ok(CutOff::Kept(to)),
        Ok(false) => Ok(CutOff::Zeros),
        // A log must open on a full disk: what nobody was promised is then cut without a copy.
        Err(Error::DiskFull { .. }) => {
            _ = disk.remove_file(&to);
            Ok(CutOff::NoRoom)
        }
        Err(error) => Err(error),
    }
}

/// Takes all files of a base offset out of the log.
pub(super) fn set_aside(disk: &dyn Disk, dir: &Path, base_offset: u64) -> Result<PathBuf> {
    file_name::move_files(disk, dir, base_offset, Stage::Live, Stage::Quarantined)?;
    Ok(FileName::live(base_offset, FileKind::Log).in_stage(Stage::Quarantined).path(dir))
}

/// Removes the files of the lowest offsets until what is kept is within bounds.
pub(super) fn trim(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let mut kept = Vec::new();
    for name in file_name::list(disk, dir)? {
        if matches!(name.stage, Stage::Quarantined | Stage::CutOff(_)) {
            let path = name.path(dir);
            let size = disk.open(&path, Open::Read).map(|file| file.size_when_opened());
            kept.push((path.clone(), size.map_err(|e| Error::io("size", &path, e))?));
        }
    }
    let mut bytes: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
    kept.pop();
    for (path, size) in kept {
        if bytes <= BYTES_MAX {
            break;
        }
        disk.remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        bytes -= size;
    }
    Ok(())
}
