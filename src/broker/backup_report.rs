//! What a backup holds, as it was when it was made: the text file `backup-report` in it.
//!
//! ```text
//! ottla-backup 1
//! directory <id>                                              of the source: 32 hexadecimal digits
//! taken <ms>                                                  when its point was, by the wall clock since 1970 UTC
//! lasted <ms>                                                 how long it took to make it
//! partition <log start offset> <log end offset> <name>        at the point; one line each, by name
//! file <bytes> <CRC-32> linked|copied <path>                  of each file but this one; by path, relative to the backup
//! end <CRC-32>                                                of all lines before
//! ```
//! Numbers are decimal, checksums have 8 hexadecimal digits. Names and paths come last in their lines, as they are.
//!
//! While the file is there the directory is a backup, and is verified against it byte by byte. Who opens it for writing
//! has gone back to it: that removes the file.

use std::fmt::{self, Write};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// The file's name within the backup.
pub(crate) const FILE_NAME: &str = "backup-report";
const HEAD: &str = "ottla-backup 1";

const CHUNK_BYTES: usize = 256 * 1024;

/// No report is larger: it would have millions of files.
const REPORT_BYTES_MAX: u64 = 1 << 30;

/// What [`Admin::backup`](crate::Admin::backup) made, and what was in it. It is kept in the backup, and read by
/// [`BackupReport::read`].
///
/// # Examples
/// ```
/// use ottla::{BackupReport, TopicPartition};
/// # let dir = tempfile::tempdir().unwrap();
/// # let backup = dir.path().join("monday");
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let report = broker.admin().backup(&backup)?;
/// assert_eq!(report.offsets(&TopicPartition::new("orders", 0)), Some(0..1));
/// assert_eq!(BackupReport::read(&backup)?, report);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    pub(crate) directory_id: u128,
    pub(crate) taken_ms: i64,
    pub(crate) lasted_ms: u64,
    /// By partition.
    pub(crate) partitions: Vec<(TopicPartition, Range<u64>)>,
    /// By path.
    pub(crate) files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupFile {
    /// Relative to the backup.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) crc32: u32,
    /// Whether it is the source's, or that of an earlier backup, under a second name.
    pub(crate) is_linked: bool,
}

impl BackupReport {
    /// Reads the report that is kept in the backup `dir`.
    ///
    /// # Errors
    /// [`Error::NotABackup`] if there is none, [`Error::Unfinished`], [`Error::Corrupt`]; those of the system.
    pub fn read(dir: impl AsRef<Path>) -> Result<BackupReport> {
        BackupReport::load(&crate::disk::os::OsDisk::new(), dir.as_ref())?.ok_or_else(|| not_a_backup(dir.as_ref()))
    }

    /// When its point was: it holds what was there then, and nothing that came later.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        Timestamp::from_millis(self.taken_ms)
    }

    /// How long it took to make it.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.lasted_ms)
    }

    /// The partitions in it, those of internal topics among them, in ascending order.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().map(|(partition, _)| partition)
    }

    /// The offsets that a partition had at the point: its log start offset, and one above its last offset. `None` if it is not in the
    /// backup.
    #[must_use]
    pub fn offsets(&self, partition: &TopicPartition) -> Option<Range<u64>> {
        let found = self.partitions.iter().find(|(name, _)| name == partition);
        found.map(|(_, offsets)| offsets.clone())
    }

    /// How many files it has.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// How many bytes its files have that it shares with the source or with an earlier backup.
    #[must_use]
    pub fn bytes_linked(&self) -> u64 {
        self.bytes_of(true)
    }

    /// How many bytes its other files have.
    #[must_use]
    pub fn bytes_copied(&self) -> u64 {
        self.bytes_of(false)
    }

    fn bytes_of(&self, is_linked: bool) -> u64 {
        let files = self.files.iter().filter(|file| file.is_linked == is_linked);
        // Whoever wrote it.
        files.fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Reads the report in a directory; `None` if there is none.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<BackupReport>> {
        super::unfinished_mark::check(disk, dir)?;
        let path = dir.join(FILE_NAME);
        let read = read_whole(disk, &path).map_err(|e| match e.kind() {
            ErrorKind::FileTooLarge => {
                Error::corrupt_file(&path, REPORT_BYTES_MAX, "it is larger than a report of a backup can be")
            }
            _ => Error::io("read", &path, e),
        });
        let Some(bytes) = read? else { return Ok(None) };
        let parsed = std::str::from_utf8(&bytes).ok().and_then(BackupReport::parse);
        parsed.map(Some).ok_or_else(|| Error::corrupt_file(&path, 0, "not a report of a backup, or changed since"))
    }

    /// Writes it into the backup. When this returns its content survives a power cut, but not yet its name.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NAME);
        let write = || {
            let file = disk.open(&path, Open::CreateNew)?;
            file.write_at(self.print().as_bytes(), 0)?;
            file.sync()
        };
        write().map_err(|e| Error::io("write", &path, e))
    }

    fn print(&self) -> String {
        let mut text = format!("{HEAD}\ndirectory {:032x}\n", self.directory_id);
        // Writing to a string cannot fail.
        _ = writeln!(text, "taken {}\nlasted {}", self.taken_ms, self.lasted_ms);
        for (partition, offsets) in &self.partitions {
            _ = writeln!(text, "partition {} {} {partition}", offsets.start, offsets.end);
        }
        for file in &self.files {
            let how = if file.is_linked { LINKED } else { COPIED };
            _ = writeln!(text, "file {} {:08x} {how} {}", file.bytes, file.crc32, file.path.display());
        }
        let crc32 = crc32fast::hash(text.as_bytes());
        _ = writeln!(text, "end {crc32:08x}");
        text
    }

    /// Reads the text of the file; `None` if it is not what was written.
    fn parse(text: &str) -> Option<BackupReport> {
        let end = text.trim_end_matches('\n').rfind('\n')? + 1;
        let (body, last) = text.split_at_checked(end)?;
        if last.strip_prefix("end ")?.strip_suffix('\n')? != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let mut report = BackupReport {
            directory_id: u128::from_str_radix(lines.next()?.strip_prefix("directory ")?, 16).ok()?,
            taken_ms: lines.next()?.strip_prefix("taken ")?.parse().ok()?,
            lasted_ms: lines.next()?.strip_prefix("lasted ")?.parse().ok()?,
            partitions: Vec::new(),
            files: Vec::new(),
        };
        for line in lines {
            match line.split_once(' ')? {
                ("partition", rest) => report.partitions.push(parse_partition(rest)?),
                ("file", rest) => report.files.push(parse_file(rest)?),
                _ => return None,
            }
        }
        Some(report)
    }
}

const LINKED: &str = "linked";
const COPIED: &str = "copied";

fn parse_partition(text: &str) -> Option<(TopicPartition, Range<u64>)> {
    let mut words = text.splitn(3, ' ');
    let (start, end): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (start <= end && i64::try_from(end).is_ok()).then_some(())?;
    Some((words.next()?.parse().ok()?, start..end))
}

fn parse_file(text: &str) -> Option<BackupFile> {
    let mut words = text.splitn(4, ' ');
    let bytes = words.next()?.parse().ok()?;
    let crc32 = u32::from_str_radix(words.next()?, 16).ok()?;
    let is_linked = match words.next()? {
        LINKED => true,
        COPIED => false,
        _ => return None,
    };
    let path = PathBuf::from(words.next()?);
    // Whoever wrote it: nothing outside of the backup is looked at.
    let is_below = path.components().count() > 0 && path.components().all(|part| matches!(part, Component::Normal(_)));
    is_below.then_some(())?;
    Some(BackupFile { path, bytes, crc32, is_linked })
}

pub(crate) fn not_a_backup(dir: &Path) -> Error {
    let reason =
        "there is no backup-report in it; give the directory of a backup that was not opened for writing since";
    Error::NotABackup { path: dir.to_owned(), reason }
}

impl BackupFile {
    /// What is wrong with the file in the backup `dir`, if anything is. All of its bytes are read, or only its size.
    pub(crate) fn check(&self, disk: &dyn Disk, dir: &Path, reads_bytes: bool) -> Option<&'static str> {
        let size = disk.open(&dir.join(&self.path), Open::Read).and_then(|file| file.size());
        match size {
            Err(_) => Some("a file of the backup is missing, or cannot be read"),
            Ok(size) if size != self.bytes => Some("a file of the backup does not have the size that it was made with"),
            Ok(_) if !reads_bytes => None,
            Ok(_) => match crc32_of(disk, &dir.join(&self.path)) {
                Err(_) => Some("a file of the backup cannot be read"),
                Ok((_, crc32)) if crc32 != self.crc32 => Some("a file of the backup is not what was written"),
                Ok(_) => None,
            },
        }
    }
}

/// The bytes of a report; `None` if it is not there.
fn read_whole(disk: &dyn Disk, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if REPORT_BYTES_MAX < file.size_when_opened() {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(file.size_when_opened()).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Size and CRC-32 of a file, which is read as a whole.
pub(crate) fn crc32_of(disk: &dyn Disk, path: &Path) -> std::io::Result<(u64, u32)> {
    let file = disk.open(path, Open::Read)?;
    let (mut crc, mut position) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(file.size()?).unwrap_or(usize::MAX)).max(1)];
    loop {
        let read = file.read_at(&mut buffer, position)?;
        if read == 0 {
            return Ok((position, crc.finalize()));
        }
        crc.update(buffer.get(..read).unwrap_or_default());
        position += read as u64;
    }
}

/// One line: what there is, and how it was made.
impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "backup of {} partitions at {}: {} files, {} bytes linked, {} bytes copied, in {:?}",
            self.partitions.len(),
            self.taken_at(),
            self.file_count(),
            self.bytes_linked(),
            self.bytes_copied(),
            self.duration(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BackupReport {
        let file = |path: &str, is_linked| BackupFile { path: path.into(), bytes: 12, crc32: 0xabc, is_linked };
        BackupReport {
            directory_id: 0x17,
            taken_ms: 1_700_000_000_000,
            lasted_ms: 25,
            partitions: vec![(TopicPartition::new("orders", 0), 3..9), (TopicPartition::new("orders", 1), 0..0)],
            files: vec![file("catalog", false), file("orders-0/00000000000000000003.log", true)],
        }
    }

    #[test]
    fn what_was_printed_is_parsed() {
        assert_eq!(BackupReport::parse(&report().print()), Some(report()));
        let empty = BackupReport { partitions: Vec::new(), files: Vec::new(), ..report() };
        assert_eq!(BackupReport::parse(&empty.print()), Some(empty));
    }

    #[test]
    fn a_report_that_was_changed_is_none() {
        let text = report().print();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(String::from_utf8(bytes).ok().and_then(|text| BackupReport::parse(&text)), None, "byte {at}");
            assert_eq!(BackupReport::parse(&text[..at]), None, "the first {at} bytes");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_makes_it_none() {
        for path in ["/etc/passwd", "../catalog", "orders-0/../../x", ""] {
            let mut planted = report();
            planted.files[0].path = path.into();
            assert_eq!(BackupReport::parse(&planted.print()), None, "{path:?}");
        }
    }
}
