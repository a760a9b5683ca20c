//! An earlier backup, of which a new one links what has not changed since.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::backup_report::{BackupReport, not_a_backup};
use crate::broker::catalog::Catalog;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log_id::LogId;
use crate::partition::manifest::{Manifest, ManifestSegment};
use crate::topic_partition::TopicPartition;

/// An earlier backup.
pub(super) struct Base {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// What is noted in it, by topic id and partition.
    noted: HashMap<(u128, u32), Vec<ManifestSegment>>,
}

impl Base {
    /// Reads what is in the backup `dir`.
    ///
    /// # Errors
    /// [`Error::NotABackup`](crate::Error::NotABackup), [`Error::Unfinished`](crate::Error::Unfinished),
    /// [`Error::Corrupt`](crate::Error::Corrupt); those of the disk.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Base> {
        let dir = &disk.resolve(dir).map_err(|e| Error::io("find", dir, e))?;
        if BackupReport::load(&**disk, dir)?.is_none() {
            return Err(not_a_backup(dir));
        }
        let catalog = Catalog::open_read_only(Arc::clone(disk), dir)?;
        let mut noted = HashMap::new();
        for (name, entry) in catalog.live_topics() {
            for partition in 0..entry.config.partitions {
                let log = LogId { topic_id: entry.topic_id, partition };
                let partition_dir = dir.join(TopicPartition::new(Arc::clone(name), partition).to_string());
                if let Some(loaded) = Manifest::load(&**disk, &partition_dir, log)? {
                    noted.insert((entry.topic_id, partition), loaded.manifest.segments);
                }
            }
        }
        Ok(Base { disk: Arc::clone(disk), dir: dir.clone(), noted })
    }

    /// Where the files of this very segment are, if it is there. Neither its name nor its size tells, but its checksum; what has lost its
    /// size since is not taken.
    pub(super) fn dir_of(
        &self,
        topic_id: u128,
        partition: &TopicPartition,
        wanted: &ManifestSegment,
    ) -> Option<PathBuf> {
        let noted = self.noted.get(&(topic_id, partition.partition()))?;
        let at = noted.binary_search_by_key(&wanted.sealed.base_offset, |noted| noted.sealed.base_offset).ok()?;
        noted.get(at).filter(|found| found.has_files_of(wanted))?;
        let dir = self.dir.join(partition.to_string());
        wanted.sealed.has_size_in(&*self.disk, &dir).ok()?.then_some(dir)
    }
}
