//! Beginning a replica with what another directory on its disk has already: that of the old source, once its replica was promoted, or a
//! replica that has gone another way. So nobody has to bring once more what both have in common, and what only the other one has
//! stays there.

use std::path::Path;
use std::sync::Arc;

use super::target::Target;
use crate::broker::catalog::Catalog;
use crate::broker::copying::{DirectoryContents, SourceLog};
use crate::broker::partition_dir;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log_id::LogId;
use crate::partition::manifest::Manifest;
use crate::segment::file_name::{FileKind, FileName};
use crate::topic_partition::TopicPartition;

/// Gives a replica that was just begun the sealed segments of its source that the directory `base` has: as hard links, behind the ends of
/// its logs, where they are found when they are to come.
///
/// # Errors
/// [`Error::NotADataDirectory`], [`Error::Corrupt`] for the directory; the disk's.
pub(super) fn link(target: &mut Target, contents: &DirectoryContents, base: &Path) -> Result<()> {
    target.follow_topics(contents.identity, &contents.topics)?;
    let disk = Arc::clone(target.disk());
    let base = disk.resolve(base).map_err(|source| Error::io("open", base, source))?;
    let catalog = Catalog::open_read_only(Arc::clone(&disk), &base)?;
    if catalog.is_new() {
        let reason = "nothing was ever written there, so it is no base for a replica; check the path";
        return Err(Error::NotADataDirectory { path: base, reason });
    }
    for log in &contents.logs {
        // By the id: a topic of the same name may be another one.
        let topic = catalog.live_topics().find(|(_, entry)| entry.topic_id == log.topic_id);
        if let Some((name, _)) = topic {
            let partition = TopicPartition::new(Arc::clone(name), log.partition.partition());
            let to = partition_dir::path_of(target.dir(), &log.partition);
            link_log(&*disk, log, &partition_dir::path_of(&base, &partition), &to)?;
        }
    }
    target.resume()
}

fn link_log(disk: &dyn Disk, log: &SourceLog, from: &Path, to: &Path) -> Result<()> {
    let id = LogId { topic_id: log.topic_id, partition: log.partition.partition() };
    // What cannot be read is brought from the source.
    let Ok(Some(loaded)) = Manifest::load(disk, from, id) else { return Ok(()) };
    let mut known = loaded.manifest.segments;
    known.retain(|known| log.contents.noted.iter().any(|noted| noted.has_log_of(known)));
    for segment in &known {
        let name = FileName::live(segment.sealed.base_offset, FileKind::Log);
        // Where there are no links, so is what cannot be linked.
        _ = disk.hard_link(&name.path(from), &name.path(to));
    }
    disk.sync_dir(to).map_err(|source| Error::io("sync", to, source))
}
