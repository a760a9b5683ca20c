//! Names of the files in a partition's directory: built and parsed here and nowhere else.
//!
//! ```text
//! 00000000000000000042.log              batches from offset 42 on
//! 00000000000000000042.index            offset index        }
//! 00000000000000000042.timeindex        time index          } caches of the log
//! 00000000000000000042.txnindex         aborted transactions }
//! 00000000000000000042.snapshot         producer state from everything below offset 42
//!   …  .cleaned  .swap  .deleted        Kafka's stages of a replacement, behind any of the above
//!   …  .own                             ours: a copy that was to take the place of a file with a second name
//!   …  .quarantine                      ours: a whole file that recovery took out of the log
//! 00000000000000000042.log.8192.quarantine    ours: what recovery cut off a log file at byte 8192
//! ```
//! A name that is none of these is left alone.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, own_copy, remove_if_there};
use crate::error::{Error, Result};

/// Digits of a base offset in a name; leading zeros make names sort like their offsets.
const OFFSET_DIGITS: usize = 20;

const QUARANTINE: &str = ".quarantine";

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    /// Batches.
    Log,
    /// Offset → file position.
    OffsetIndex,
    /// Timestamp → offset.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// Producer state.
    ProducerSnapshot,
}

impl FileKind {
    /// Every kind, the log first: in this order files are removed, so that a log never stays behind without what a scan of
    /// it alone cannot tell.
    pub(crate) const ALL: [FileKind; 5] = [
        FileKind::Log,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
        FileKind::TransactionIndex,
        FileKind::ProducerSnapshot,
    ];

    fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::OffsetIndex => ".index",
            FileKind::TimeIndex => ".timeindex",
            FileKind::TransactionIndex => ".txnindex",
            FileKind::ProducerSnapshot => ".snapshot",
        }
    }
}

/// Where a file is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// Part of the log.
    Live,
    /// Being written by compaction; worthless after a crash.
    Cleaned,
    /// Complete, about to replace what is live.
    Swap,
    /// To be removed.
    Deleted,
    /// A copy of a live file that was to take its place (see `disk/own_copy.rs`); worthless after a crash.
    OwnCopy,
    /// Taken out of the log by recovery, as a whole.
    Quarantined,
    /// The bytes that recovery cut off a live file at this file position.
    CutOff(u64),
}

/// A parsed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    /// The segment's first offset; of a producer snapshot the offset that it stands below.
    pub(crate) base_offset: u64,
    /// What the file holds.
    pub(crate) kind: FileKind,
    /// Where it is in its life.
    pub(crate) stage: Stage,
}

impl FileName {
    /// The name of a file that is part of the log.
    pub(crate) fn live(base_offset: u64, kind: FileKind) -> FileName {
        FileName { base_offset, kind, stage: Stage::Live }
    }

    /// The same file in another stage of its life.
    pub(crate) fn in_stage(self, stage: Stage) -> FileName {
        FileName { stage, ..self }
    }

    /// The file's path, given its directory.
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }

    /// Reads a name; `None` if it is not one of ours. Only what [`FileName`] itself would print is taken, so that two names
    /// never mean the same file.
    pub(crate) fn parse(name: &OsStr) -> Option<FileName> {
        let name = name.to_str()?;
        let (digits, rest) = name.split_at_checked(OFFSET_DIGITS)?;
        let base_offset = parse_decimal(digits)?;
        FileKind::ALL.into_iter().find_map(|kind| {
            let stage = parse_stage(rest.strip_prefix(kind.suffix())?)?;
            Some(FileName { base_offset, kind, stage })
        })
    }
}

fn parse_stage(rest: &str) -> Option<Stage> {
    Some(match rest {
        "" => Stage::Live,
        ".cleaned" => Stage::Cleaned,
        ".swap" => Stage::Swap,
        ".deleted" => Stage::Deleted,
        own_copy::SUFFIX => Stage::OwnCopy,
        QUARANTINE => Stage::Quarantined,
        _ => {
            let position = rest.strip_prefix('.')?.strip_suffix(QUARANTINE)?;
            let canonical = position == "0" || !position.starts_with('0');
            Stage::CutOff(parse_decimal(position).filter(|_| canonical)?)
        }
    })
}

/// A number of digits only, within what a signed 64-bit offset can be.
fn parse_decimal(digits: &str) -> Option<u64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&number| i64::try_from(number).is_ok())
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0OFFSET_DIGITS$}{}", self.base_offset, self.kind.suffix())?;
        match self.stage {
            Stage::Live => Ok(()),
            Stage::Cleaned => f.write_str(".cleaned"),
            Stage::Swap => f.write_str(".swap"),
            Stage::Deleted => f.write_str(".deleted"),
            Stage::OwnCopy => f.write_str(own_copy::SUFFIX),
            Stage::Quarantined => f.write_str(QUARANTINE),
            Stage::CutOff(file_position) => write!(f, ".{file_position}{QUARANTINE}"),
        }
    }
}

/// Lists the files of ours in a partition's directory, in the order of base offset, kind and stage. Other names are left out.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be read.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<FileName>> {
    let entries = disk.list(dir).map_err(|source| Error::io("list", dir, source))?;
    let mut names: Vec<FileName> =
        entries.iter().filter(|entry| !entry.is_dir).filter_map(|entry| FileName::parse(&entry.name)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Removes the files of one base offset that are in `stage`. Those that are gone already are no error. The directory is not
/// synced.
///
/// # Errors
/// [`Error::Io`] if a file cannot be removed; the rest is left in place.
pub(crate) fn remove_files(disk: &dyn Disk, dir: &Path, base_offset: u64, stage: Stage) -> Result<()> {
    for kind in FileKind::ALL {
        remove_if_there(disk, &FileName { base_offset, kind, stage }.path(dir))?;
    }
    Ok(())
}

/// Moves the files of one base offset from one stage to another; kinds that are not there are skipped. The directory is not
/// synced. A crash in between leaves some of them moved: doing it again moves the rest.
///
/// # Errors
/// [`Error::Io`] if a file cannot be renamed; the rest is left as it is.
pub(crate) fn move_files(disk: &dyn Disk, dir: &Path, base_offset: u64, from: Stage, to: Stage) -> Result<()> {
    for kind in FileKind::ALL {
        let name = FileName { base_offset, kind, stage: from };
        let path = name.path(dir);
        absent_is_fine(disk.rename(&path, &name.in_stage(to).path(dir)))
            .map_err(|source| Error::io("rename", &path, source))?;
    }
    Ok(())
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages() -> impl Strategy<Value = Stage> {
        prop_oneof![
            Just(Stage::Live),
            Just(Stage::Cleaned),
            Just(Stage::Swap),
            Just(Stage::Deleted),
            Just(Stage::OwnCopy),
            Just(Stage::Quarantined),
            (0..=i64::MAX as u64).prop_map(Stage::CutOff),
        ]
    }

    proptest! {
        #[test]
        fn a_name_there_and_back_is_the_same(base_offset in 0..=i64::MAX as u64, kind in 0_usize..5, stage in stages()) {
            let name = FileName { base_offset, kind: FileKind::ALL[kind], stage };
            prop_assert_eq!(FileName::parse(OsStr::new(&name.to_string())), Some(name));
        }

        #[test]
        fn only_what_prints_the_same_is_parsed(text in "[0-9]{18,21}[.a-z0-9]{0,20}|\\PC*") {
            if let Some(name) = FileName::parse(OsStr::new(&text)) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn names_are_kafkas() {
        let name = FileName::live(42, FileKind::TimeIndex);
        assert_eq!(name.to_string(), "00000000000000000042.timeindex");
        assert_eq!(name.in_stage(Stage::Deleted).to_string(), "00000000000000000042.timeindex.deleted");
        assert_eq!(
            FileName::live(7, FileKind::Log).in_stage(Stage::CutOff(8192)).to_string(),
            "00000000000000000007.log.8192.quarantine"
        );
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in [
            "",
            "manifest",
            "00000000000000000000",
            "00000000000000000000.",
            "00000000000000000000.log.",
            "00000000000000000000.log.swap.swap",
            "00000000000000000000.log.+1.quarantine",
            "00000000000000000000.log.01.quarantine",
            "0000000000000000000.log",
            "000000000000000000000.log",
            "99999999999999999999.log",
            "+0000000000000000001.log",
            "0000000000000000000é.log",
        ] {
            assert_eq!(FileName::parse(OsStr::new(name)), None, "{name}");
        }
    }
}
