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
mod file_kind;
mod index_files;
mod inspected;
mod item;
mod log_file;
mod options;
mod small_files;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;

pub use decoded::{Decoded, Decoder, GroupValue, MemberValue, OffsetValue, TransactionValue};
pub use file_kind::FileKind;
pub use item::{
    AbortedTransaction, Batch, Directory, Item, LeaderEpoch, Manifest, OffsetEntry, OpenBatch, Problem, Producer,
    Record, RecoveryPoint, Segment, TimeEntry, Topic, TopicId,
};
pub use options::Options;

use inspected::Inspected;

use crate::disk::os::OsDisk;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::segment::file_name::FileName;

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
