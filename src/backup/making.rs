//! A backup under way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::base::Base;
use super::log_backup::LogBackup;
use super::options::BackupOptions;
use super::transfer::Transfer;
use crate::broker::backup_report::{BackupFile, BackupReport, crc32_of};
use crate::broker::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use crate::broker::store::Store;
use crate::broker::unfinished::UnfinishedDir;
use crate::broker::{partition_dir, shutdown, staging};
use crate::config_key::check_range;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::parallel;
use crate::partition::log::Log;
use crate::partition::log::copying::{LogContents, at_one_moment};
use crate::partition::log_copy::LogBounds;
use crate::partition::manifest::Manifest;
use crate::segment::file_name::{FileKind, FileName};
use crate::topic_partition::TopicPartition;

/// A backup under way.
pub(super) struct Backup<'s, 'o> {
    store: &'s Store,
    disk: Arc<dyn Disk>,
    transfer: Transfer<'o>,
    base: Option<Base>,
    target: UnfinishedDir,
    /// Where files wait to be copied. Removed when this is dropped.
    staging: staging::Staging,
    /// What is open in the target.
    files: Arc<OpenFiles>,
    /// By topic id and partition.
    logs: HashMap<(u128, u32), LogBackup>,
    began: Duration,
}

/// What is known of the directory as a whole at the point.
struct Point {
    identity: DirectoryIdentity,
    topics: Vec<(Arc<str>, CatalogEntry)>,
    taken_ms: i64,
}

/// A log that is whole in the target.
type FinishedLog = (TopicPartition, LogBounds, Manifest);

impl<'s, 'o> Backup<'s, 'o> {
    /// Makes the target.
    ///
    /// # Errors
    /// Those of [`Admin::backup_with`](crate::Admin::backup_with).
    pub(super) fn begin(store: &'s Store, target: &Path, options: &'o BackupOptions<'o>) -> Result<Backup<'s, 'o>> {
        if let Some(bytes) = options.bytes_per_second {
            check_range("bytes_per_second", bytes, 1..=u64::MAX)?;
        }
        let disk = Arc::clone(store.disk());
        let base = options.base.as_deref().map(|dir| Base::open(&disk, dir)).transpose()?;
        let target = UnfinishedDir::begin(Arc::clone(&disk), target)?;
        Ok(Backup {
            store,
            transfer: Transfer::new(&disk, options.transfer()),
            base,
            target,
            staging: staging::Staging::new(Arc::clone(&disk), store.dir()),
            files: OpenFiles::for_copies(&disk),
            logs: HashMap::new(),
            began: disk.monotonic(),
            disk,
        })
    }

    /// Makes the backup.
    ///
    /// # Errors
    /// Those of [`Admin::backup_with`](crate::Admin::backup_with).
    pub(super) fn make(mut self) -> Result<BackupReport> {
        self.copy_ahead()?;
        let point = self.fix_point()?;
        for log in self.logs.values_mut() {
            log.copy_staged(&mut self.transfer)?;
        }
        self.finish(point)
    }

    fn copy_ahead(&mut self) -> Result<()> {
        let logs = self.store.hold_topics(ACTION)?.logs();
        for log in &logs {
            if let Err(error) = log.prepare_copy() {
                self.unless_deleted(log, error)?;
            }
        }
        let contents: Vec<Option<LogContents>> = logs.iter().map(|log| contents_of(log)).collect();
        let bytes = |contents: &LogContents| -> u64 {
            let noted = contents.noted.iter().map(|noted| noted.sealed.log_bytes);
            noted.chain(contents.unnoted.iter().map(|segment| segment.log_bytes())).sum()
        };
        self.transfer.expect(contents.iter().flatten().map(bytes).sum());
        for (log, contents) in logs.iter().zip(contents) {
            let Some(contents) = contents else { continue };
            self.add_log(log)?;
            if let Some(copy) = self.logs.get_mut(&id_of(log)) {
                copy.copy_ahead(&contents, &mut self.transfer, self.base.as_ref())?;
            }
        }
        Ok(())
    }

    /// Passes an error on, unless the log's topic was deleted: then there is nothing of it to copy.
    fn unless_deleted(&self, log: &Log, error: Error) -> Result<()> {
        let is_there = self.store.topics()?.values().any(|topic| topic.topic_id == log.topic_id());
        if is_there { Err(error) } else { Ok(()) }
    }

    /// Makes the directory of a partition in the target.
    fn add_log(&mut self, log: &Log) -> Result<()> {
        if self.logs.contains_key(&id_of(log)) {
            return Ok(());
        }
        partition_dir::create(&*self.disk, self.target.path(), log.partition(), log.topic_id())?;
        let copy = LogBackup::new(log, self.target.path(), self.staging.path(), &self.files);
        self.logs.insert(id_of(log), copy);
        Ok(())
    }

    /// Fixes the point of all logs, and brings over what is needed of them before they go on.
    fn fix_point(&mut self) -> Result<Point> {
        let topics = self.store.hold_topics(ACTION)?;
        let logs = topics.logs();
        self.give_up_deleted(&logs)?;
        logs.iter().try_for_each(|log| self.add_log(log))?;
        let taken = at_one_moment(&logs)?;
        let taken_ms = self.disk.now_ms();
        self.transfer.set_at_point(true);
        for (log, (held, contents)) in logs.iter().zip(taken) {
            if let Some(copy) = self.logs.get_mut(&id_of(log)) {
                copy.take(contents, &mut self.transfer, self.base.as_ref())?;
            }
            // Before the next one: this log goes on.
            drop(held);
        }
        self.transfer.set_at_point(false);
        Ok(Point { identity: topics.identity(), topics: topics.entries(), taken_ms })
    }

    /// Removes what was copied of topics that are not there any more.
    fn give_up_deleted(&mut self, logs: &[Arc<Log>]) -> Result<()> {
        let is_there = |id: &(u128, u32)| logs.iter().any(|log| id_of(log) == *id);
        let gone: Vec<LogBackup> = self.logs.extract_if(|id, _| !is_there(id)).map(|(_, log)| log).collect();
        for log in gone {
            let dir = self.target.path().join(log.partition().to_string());
            drop(log);
            partition_dir::remove_all(&*self.disk, &dir).map_err(|e| Error::io("remove", &dir, e))?;
        }
        Ok(())
    }

    /// Writes down what there is, and has it count.
    fn finish(self, point: Point) -> Result<BackupReport> {
        let Backup { disk, target, transfer, logs, began, .. } = self;
        let finished = parallel::for_all(logs.into_values().collect(), LogBackup::finish);
        let mut finished: Vec<FinishedLog> = finished.into_iter().collect::<Result<_>>()?;
        finished.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let identity = point.identity;
        Catalog::create_copy(Arc::clone(&disk), target.path(), identity, point.topics)?;
        shutdown::mark_clean(&*disk, target.path())?;
        let files = list_files(&*disk, target.path(), &finished, &transfer)?;
        let lasted = disk.monotonic().saturating_sub(began);
        let report = BackupReport {
            directory_id: identity.id,
            taken_ms: point.taken_ms,
            lasted_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            partitions: finished.into_iter().map(|(partition, bounds, _)| (partition, bounds.offsets())).collect(),
            files,
        };
        report.store(&*disk, target.path())?;
        target.finish()?;
        Ok(report)
    }
}

const ACTION: &str = "make a backup";

fn id_of(log: &Log) -> (u128, u32) {
    (log.topic_id(), log.partition().partition())
}

/// What there is of a log now; `None` if it was deleted. What else is wrong with it shows at the point.
fn contents_of(log: &Log) -> Option<LogContents> {
    Some(log.hold_files().ok()?.contents())
}

/// All files of the target, with their checksums. Those of log files are known. All others are synced: at the source nobody depends on
/// caches, and the report speaks of them.
fn list_files(
    disk: &dyn Disk,
    target: &Path,
    logs: &[FinishedLog],
    transfer: &Transfer<'_>,
) -> Result<Vec<BackupFile>> {
    let mut known = HashMap::new();
    for (partition, _, manifest) in logs {
        let dir = target.join(partition.to_string());
        for noted in &manifest.segments {
            let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(&dir);
            known.insert(path, (noted.sealed.log_bytes, noted.log_crc32));
        }
    }
    let mut paths = Vec::new();
    add_paths(disk, target, &mut paths)?;
    paths.sort_unstable();
    let file_of = |path: PathBuf| {
        let (bytes, crc32) = match known.get(&path) {
            Some((bytes, Some(crc32))) => (*bytes, *crc32),
            _ => sync_and_sum(disk, &path)?,
        };
        let is_linked = transfer.is_linked(&path);
        let relative = path.strip_prefix(target).unwrap_or(&path).to_owned();
        Ok(BackupFile { path: relative, bytes, crc32, is_linked })
    };
    let files = parallel::for_all(paths, file_of);
    files.into_iter().collect()
}

fn sync_and_sum(disk: &dyn Disk, path: &Path) -> Result<(u64, u32)> {
    let synced = disk.open(path, Open::Read).and_then(|file| file.sync());
    synced.map_err(|e| Error::io("sync", path, e))?;
    crc32_of(disk, path).map_err(|e| Error::io("read", path, e))
}

/// The files below a directory, but for the one that says that it is unfinished.
fn add_paths(disk: &dyn Disk, dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in disk.list(dir).map_err(|e| Error::io("list", dir, e))? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            add_paths(disk, &path, paths)?;
        } else if !crate::broker::unfinished_mark::is_mark(&entry.name) {
            paths.push(path);
        }
    }
    Ok(())
}
