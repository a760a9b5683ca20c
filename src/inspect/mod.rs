//! Feature `cli`: looking at single files of a log, whoever wrote them: this crate or Kafka, now or long ago, whole or damaged.
//!
//! No broker is needed, and no lock is taken. [`file()`] walks through one file from its start and shows what is in it, piece by piece;
//! what does not hold is shown as a [`Problem`], with its place, and the walk goes on behind it where it can. The bytes may be
//! anything. Memory is bounded by the largest batch, or for the small files by 32 MiB.
//!
//! | file | shown as |
//! |---|---|
//! | `.log` | [`Item::Batch`], and [`Item::Record`] if they are wanted |
//! | `.index`, `.timeindex`, `.txnindex` | [`Item::OffsetEntry`], [`Item::TimeEntry`], [`Item::AbortedTransaction`]; compared with the log beside them |
//! | `.snapshot` | [`Item::Producer`] |
//! | `leader-epoch-checkpoint`, `partition.metadata` | [`Item::LeaderEpoch`], [`Item::TopicId`] |
//! | `manifest`, `recovery-point` | [`Item::Manifest`] and [`Item::Segment`], [`Item::RecoveryPoint`] |
//! | `catalog` | [`Item::Directory`] and [`Item::Topic`] |
//! | `tail`, `tail-always` | [`Item::OpenBatch`] |
//!
//! # Examples
//! ```
//! use std::ops::ControlFlow;
//! use ottla::inspect::{self, Item, Options};
//! # let dir = tempfile::tempdir().unwrap();
//! let broker = ottla::Broker::open(dir.path())?;
//! broker.topic("orders")?.produce("customer-1", "2 coffees")?;
//! broker.close()?;
//! let log = dir.path().join("orders-0/00000000000000000000.log");
//! inspect::file(&log, &Options::new().records(true), &mut |item| {
//!     match item {
//!         Item::Batch(batch) => assert_eq!((batch.base_offset, batch.record_count), (0, 1)),
//!         Item::Record(record) => assert_eq!(record.value, Some(&b"2 coffees"[..])),
//!         Item::Problem(problem) => eprintln!("at byte {}: {}", problem.file_position, problem.reason),
//!         _ => {}
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<_, ottla::Error>(())
//! ```

mod decoded;
mod index_files;
mod item;
mod log_file;
mod small_files;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use decoded::{Decoded, Decoder, GroupValue, MemberValue, OffsetValue, TransactionValue};
pub use item::{
    AbortedTransaction, Batch, Directory, Item, LeaderEpoch, Manifest, OffsetEntry, OpenBatch, Problem, Producer,
    Record, RecoveryPoint, Segment, TimeEntry, Topic, TopicId,
};

use crate::disk::os::OsDisk;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::segment::file_name::{self, FileName};

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileKind {
    /// Batches of records: `.log`.
    Log,
    /// Offset → file position: `.index`.
    OffsetIndex,
    /// Timestamp → offset: `.timeindex`.
    TimeIndex,
    /// Aborted transactions: `.txnindex`.
    TransactionIndex,
    /// What is known of producers: `.snapshot`.
    ProducerSnapshot,
    /// Where leader epochs begin: `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// The id of the topic: `partition.metadata`.
    PartitionMetadata,
    /// Which sealed segments there must be: `manifest`.
    Manifest,
    /// Up to where the log is synced: `recovery-point`.
    RecoveryPoint,
    /// Which topics there are: `catalog`.
    Catalog,
    /// Open batches: `tail` and `tail-always`.
    Tail,
}

impl FileKind {
    /// The kind of the file at `path`, by its name alone; `None` if no file of a log is called so. What recovery has set aside, and
    /// what compaction was writing or about to remove, is of the kind that it was or was to be.
    ///
    /// # Examples
    /// ```
    /// use ottla::inspect::FileKind;
    /// assert_eq!(FileKind::of("orders-0/00000000000000000042.timeindex"), Some(FileKind::TimeIndex));
    /// assert_eq!(FileKind::of("00000000000000000042.log.8192.quarantine"), Some(FileKind::Log));
    /// assert_eq!(FileKind::of("notes.txt"), None);
    /// ```
    #[must_use]
    pub fn of(path: impl AsRef<Path>) -> Option<FileKind> {
        let name = path.as_ref().file_name()?;
        if let Some(name) = FileName::parse(name) {
            return Some(match name.kind {
                file_name::FileKind::Log => FileKind::Log,
                file_name::FileKind::OffsetIndex => FileKind::OffsetIndex,
                file_name::FileKind::TimeIndex => FileKind::TimeIndex,
                file_name::FileKind::TransactionIndex => FileKind::TransactionIndex,
                file_name::FileKind::ProducerSnapshot => FileKind::ProducerSnapshot,
            });
        }
        match name.to_str()? {
            "leader-epoch-checkpoint" => Some(FileKind::LeaderEpochs),
            "partition.metadata" => Some(FileKind::PartitionMetadata),
            "manifest" | "manifest.damaged" => Some(FileKind::Manifest),
            "recovery-point" => Some(FileKind::RecoveryPoint),
            "catalog" => Some(FileKind::Catalog),
            "tail" | "tail-always" => Some(FileKind::Tail),
            _ => None,
        }
    }
}

/// What is to be shown of a file.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    records: bool,
    decoder: Option<Decoder>,
    max_bytes: Option<u64>,
    is_apart: bool,
}

impl Options {
    /// Batches without their records, indexes against the log.
    pub fn new() -> Options {
        Options::default()
    }

    /// Whether the records of each batch are shown behind it. Default: false.
    pub fn records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    /// How keys and values are read that a coordinator wrote. Default: not at all; markers always are.
    pub fn decoder(mut self, decoder: impl Into<Option<Decoder>>) -> Self {
        self.decoder = decoder.into();
        self
    }

    /// How many bytes of a `.log` file are looked at; a batch that ends behind them is not shown. Default: all.
    pub fn max_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_bytes = bytes.into();
        self
    }

    /// Whether an index is looked at alone, without the log. Default: false.
    pub fn apart(mut self, apart: bool) -> Self {
        self.is_apart = apart;
        self
    }
}

/// Who is shown what is found; [`ControlFlow::Break`] ends the walk.
type Visit<'v> = dyn FnMut(Item<'_>) -> ControlFlow<()> + 'v;

/// Shows what is in the file at `path`, from its start on, until that ends or `visit` returns [`ControlFlow::Break`].
///
/// A file that a process is writing is shown as it is at that moment, of which the last batch may be there in part.
///
/// # Errors
/// [`Error::Io`] if there is no such file, it may not be read, or no file of a log has such a name. What is wrong in the file is no
/// error, but an [`Item::Problem`].
///
/// # Examples
/// As [above](self#examples).
pub fn file(path: &Path, options: &Options, visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>) -> Result<()> {
    let disk = OsDisk::new();
    let path = disk.resolve(path).map_err(|source| Error::io("open", path, source))?;
    let Some(kind) = FileKind::of(&path) else {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "no file of a log has such a name");
        return Err(Error::io("inspect", &path, source));
    };
    let file = disk.open(&path, Open::Read).map_err(|source| Error::io("open", &path, source))?;
    let inspected = Inspected { disk: &disk, name: path.file_name().and_then(FileName::parse), path, file, options };
    let walk = match kind {
        FileKind::Log => log_file::show,
        FileKind::OffsetIndex => index_files::show_offsets,
        FileKind::TimeIndex => index_files::show_times,
        FileKind::TransactionIndex => index_files::show_aborted,
        FileKind::ProducerSnapshot => small_files::show_producers,
        FileKind::LeaderEpochs => small_files::show_epochs,
        FileKind::PartitionMetadata => small_files::show_topic_id,
        FileKind::Manifest => small_files::show_manifest,
        FileKind::RecoveryPoint => small_files::show_recovery_point,
        FileKind::Catalog => small_files::show_catalog,
        FileKind::Tail => small_files::show_tail,
    };
    // Whether it was broken off makes no difference here.
    _ = walk(&inspected, visit);
    Ok(())
}

/// The file that is looked at.
struct Inspected<'i> {
    disk: &'i dyn Disk,
    path: PathBuf,
    /// If it is one that has a base offset in its name.
    name: Option<FileName>,
    file: Arc<dyn DiskFile>,
    options: &'i Options,
}

impl Inspected<'_> {
    /// The base offset in the name.
    fn base_offset(&self) -> u64 {
        self.name.map_or(0, |name| name.base_offset)
    }

    /// The log file beside an index, if that is to be compared with it.
    fn log(&self) -> std::io::Result<Option<Arc<dyn DiskFile>>> {
        let (Some(name), Some(dir), false) = (self.name, self.path.parent(), self.options.is_apart) else {
            return Ok(None);
        };
        let log = FileName { kind: file_name::FileKind::Log, ..name };
        self.disk.open(&log.path(dir), Open::Read).map(Some)
    }
}

/// Shows that something does not hold.
fn problem(visit: &mut Visit<'_>, file_position: u64, reason: impl Into<String>) -> ControlFlow<()> {
    visit(Item::Problem(Problem { file_position, reason: reason.into() }))
}
