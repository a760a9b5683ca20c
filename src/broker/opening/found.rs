//! What is found in a data directory, before anything in it is changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::catalog::{self, Catalog, CatalogEntry};
use crate::broker::partition_dir;
use crate::disk::{Disk, Open};
use crate::error::{Corruption, Error, Result};
use crate::parallel;
use crate::partition::log_id::LogId;
use crate::partition::recovery::{LoadedState, Shutdown};
use crate::partition::recovery_mode::RecoveryMode;
use crate::tail::{self, Salvaged, TAIL_NAMES, TailContents, examine};
use crate::topic_partition::TopicPartition;

/// Refuses what another version wrote, before a byte of it is changed: also the mark of a clean shutdown has to stay. Returns what
/// the small files of each partition say, in the order of the topics, or why its directory is not to be looked into.
pub(super) fn check_versions(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<Result<LoadedState>>> {
    for name in TAIL_NAMES {
        _ = tail::check_version(disk, &dir.join(name))?;
    }
    let others = partition_dir::other_names(disk, dir)?;
    let partitions = catalog
        .live_topics()
        .flat_map(|(name, entry)| partitions_of_topic(name, entry).map(|partition| (entry.topic_id, partition)));
    let load = |(topic_id, partition): (u128, TopicPartition)| {
        partition_dir::check_no_link(dir, &partition, &others)?;
        let log = LogId { topic_id, partition: partition.partition() };
        LoadedState::load(disk, &partition_dir::path_of(dir, &partition), log)
    };
    let only_damage = |loaded| match loaded {
        loaded @ (Ok(_) | Err(Error::Corrupt(_))) => Ok(loaded),
        Err(error) => Err(error),
    };
    parallel::for_all(partitions.collect(), load).into_iter().map(only_damage).collect()
}

/// Refuses a catalog whose newest state is damaged, if the one before it does not know of partitions that are there: to go on
/// from that would be to lose them in silence.
pub(super) fn check_catalog(disk: &dyn Disk, dir: &Path, catalog: &Catalog, mode: RecoveryMode) -> Result<()> {
    if !catalog.fell_back() || mode == RecoveryMode::SkipCorrupt {
        return Ok(());
    }
    let reason = if !unknown_directories(disk, dir, catalog)?.is_empty() {
        "the newest state of the catalog is damaged, and the one before does not know of all partitions that are there; \
         restore it from a backup, or open with RecoveryMode::SkipCorrupt"
    } else if mode == RecoveryMode::Strict {
        "a generation of the catalog is damaged or missing"
    } else {
        return Ok(());
    };
    Err(Error::corrupt_file(&dir.join(catalog::FILE_NAME), 0, reason))
}

/// Directories that look like partitions' and are of no topic.
pub(super) fn unknown_directories(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<PathBuf>> {
    let given_up = catalog.being_deleted().chain(catalog.being_filled());
    let given_up = given_up.flat_map(|(name, entry)| partitions_of_topic(name, entry));
    let known = partitions_of(catalog).chain(given_up).map(|partition| partition_dir::path_of(dir, &partition));
    partition_dir::unknown(disk, dir, &known.collect())
}

/// Tails that should be there and are not. They are made with the directory, before the first topic, and replaced as a whole.
pub(super) fn lost_tails(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<Corruption>> {
    let mut lost = Vec::new();
    for path in TAIL_NAMES.map(|name| dir.join(name)) {
        if partitions_of(catalog).next().is_some() && !tail::check_version(disk, &path)? {
            let reason = "the tail is missing or damaged: what was not in segments yet may be lost";
            lost.push(Corruption { partition: None, path, file_position: 0, offsets: None, reason });
        }
    }
    Ok(lost)
}

/// Tails with a second name. To open them puts files of their own in their place.
pub(super) fn shared_tails(disk: &dyn Disk, dir: &Path) -> Vec<PathBuf> {
    let is_shared = |path: &PathBuf| disk.open(path, Open::Read).is_ok_and(|file| file.is_shared());
    TAIL_NAMES.map(|name| dir.join(name)).into_iter().filter(is_shared).collect()
}

/// The partitions of all topics that can be used.
pub(super) fn partitions_of(catalog: &Catalog) -> impl Iterator<Item = TopicPartition> {
    catalog.live_topics().flat_map(|(name, entry)| partitions_of_topic(name, entry))
}

fn partitions_of_topic(name: &Arc<str>, entry: &CatalogEntry) -> impl Iterator<Item = TopicPartition> {
    (0..entry.config.partitions).map(|number| TopicPartition::new(Arc::clone(name), number))
}

/// Batches by topic id and partition.
pub(super) type Batches = HashMap<(u128, u32), Vec<Salvaged>>;

/// The batches that the tails hold, and what is damaged of the tails.
pub(super) fn salvage_tails(
    disk: &dyn Disk,
    dir: &Path,
    catalog: &Catalog,
    shutdown: Shutdown,
) -> Result<(Batches, Vec<Corruption>)> {
    let mut by_partition = Batches::new();
    let mut lost = lost_tails(disk, dir, catalog)?;
    for name in TAIL_NAMES {
        let path = dir.join(name);
        let TailContents { batches, damage } = examine(disk, &path, shutdown == Shutdown::Killed)?;
        for mut batch in batches {
            batch.tail_name = name;
            by_partition.entry((batch.identity.topic_id, batch.identity.partition)).or_default().push(batch);
        }
        let corruption = |(file_position, reason)| {
            let path = path.clone();
            Corruption { partition: None, path, file_position, offsets: None, reason }
        };
        lost.extend(damage.into_iter().map(corruption));
    }
    Ok((by_partition, lost))
}
