//! Opening a data directory: lock it, find out how the last writer ended, recover every log, and only then serve.
//!
//! The order is what makes it safe to be killed anywhere here and to begin again: the versions of all files are looked at
//! before anything is written; the mark of a clean shutdown goes first of all; the open batches of the tails are sealed and
//! synced before the tails are cleared.
//!
//! A full disk keeps no directory from being opened, or else nobody could delete a topic to make room: what needs room is put
//! off, and the report says what that was. (Recovery has the exceptions, see `partition/recovery`.)

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::builder::BrokerBuilder;
use super::catalog::{self, Catalog, CatalogEntry};
use super::directory_lock::{self, DirectoryLock};
use super::recovery_report::RecoveryReport;
use super::store::{Store, Topics, Writer, logs_of};
use super::topic::{TopicEntry, TopicPartitionSource};
use super::topic_partitions::TopicPartitions;
use super::{parallel, partition_dir, shutdown};
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Corruption, Error, Result, is_passing};
use crate::maintenance::Worker;
use crate::partition::broken::Broken;
use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::group_commit::GroupCommit;
use crate::partition::log::Log;
use crate::partition::log_id::LogId;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery::{LoadedState, RecoveredLog, RecoveryConditions, Shutdown};
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_report::PartitionRecovery;
use crate::partition::{Questions, Surroundings};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex};
use crate::tail::{self, KeptSlots, Salvaged, TAIL_NAMES, Tail, TailContents, examine};
use crate::topic_partition::TopicPartition;

/// Opens a directory for writing.
pub(super) fn open(mut builder: BrokerBuilder) -> Result<Store> {
    builder.dir = create_data_dir(&*builder.disk, &builder.dir)?;
    let (disk, dir) = (Arc::clone(&builder.disk), builder.dir.clone());
    let lock = DirectoryLock::take(&*disk, &dir)?;
    let last_boot = lock.last_boot();
    let catalog = Catalog::open(Arc::clone(&disk), &dir)?;
    let loaded = check_versions(&*disk, &dir, &catalog)?;
    let mode = builder.recovery_mode;
    check_catalog(&*disk, &dir, &catalog, mode)?;
    let shutdown = if catalog.is_new() { Shutdown::Clean } else { shutdown::detect(&*disk, &dir, last_boot)? };
    let (mut salvaged, lost_tails) = match shutdown {
        Shutdown::Clean => (HashMap::new(), Vec::new()),
        Shutdown::Killed | Shutdown::PowerCut => salvage_tails(&*disk, &dir, &catalog, shutdown)?,
    };
    if let (RecoveryMode::Strict, Some(lost)) = (mode, lost_tails.first()) {
        return Err(Error::Corrupt(Box::new(lost.clone())));
    }
    if shutdown != Shutdown::PowerCut {
        lock.note_recovered(&*disk, &dir)?;
    }
    shutdown::begin_running(&*disk, &dir)?;

    let mut store = Store::closed(builder, catalog);
    store.report.was_clean_shutdown = shutdown == Shutdown::Clean;
    store.report.lost_tails = lost_tails;
    store.report.shared_tails = shared_tails(&*disk, &dir);
    let recovered =
        store.recover_logs(RecoveryConditions { shutdown, mode }, loaded, &mut salvaged).inspect_err(|_| {
            if mode == RecoveryMode::Strict && shutdown == Shutdown::Clean {
                // Nothing was written since. Without the mark, the next opening has more to read and comes to the same.
                _ = shutdown::mark_clean(&*disk, &dir);
            }
        })?;
    let kept = recovered.iter().flat_map(|topic| &topic.logs).flat_map(RecoveredLog::kept_slots).collect();
    let environment = Arc::new(store.environment(shutdown, &kept)?);
    store.report.writes_tail_by_calls = environment.writes_tails_by_calls();
    if shutdown == Shutdown::PowerCut {
        lock.note_recovered(&*disk, &dir)?;
    }
    let topics = serve(recovered, &environment);
    store.start(topics, environment, lock)?;
    store.finish_deletes()?;
    // Read back now, so that the report says what was passed over. What is wrong otherwise is told when a group is used.
    if let RecoveryMode::SkipCorrupt = mode
        && let Ok(Some(coordinator)) = store.coordinator_if_used()
    {
        store.report.skipped = coordinator.skipped().to_vec();
    }
    Ok(store)
}

/// Opens a directory that another process may be writing.
pub(super) fn open_read_only(mut builder: BrokerBuilder) -> Result<Store> {
    builder.dir = builder.disk.resolve(&builder.dir).map_err(|e| Error::io("find", &builder.dir, e))?;
    let catalog = Catalog::open_read_only(Arc::clone(&builder.disk), &builder.dir)?;
    if catalog.is_new() {
        return Err(Error::io("find a catalog in", &builder.dir, ErrorKind::NotFound));
    }
    let (disk, dir) = (Arc::clone(&builder.disk), builder.dir.clone());
    let others = partition_dir::other_names(&*disk, &dir)?;
    partitions_of(&catalog).try_for_each(|partition| partition_dir::check_no_link(&dir, &partition, &others))?;
    let was_clean_shutdown = shutdown::detect(&*disk, &dir, None)? == Shutdown::Clean;
    let lost_tails = lost_tails(&*disk, &dir, &catalog)?;
    let unknown_directories = unknown_directories(&*disk, &dir, &catalog)?;
    let mut store = Store::closed(builder, catalog);
    store.report.was_clean_shutdown = was_clean_shutdown;
    store.report.unknown_directories = unknown_directories;
    if !was_clean_shutdown {
        store.report.lost_tails = lost_tails;
    }
    store.closed.store(false, Ordering::Release);
    store.topics()?;
    Ok(store)
}

/// Makes the directory, if it is absent, and syncs its name, until there is a catalog in it. Parents must be there.
///
/// Returns the path that stands for the directory from here on, whatever becomes of the working directory and of links: where a
/// path leads that the user gave is the user's business, and is found out once. All names below it are ours, and may not be links.
fn create_data_dir(disk: &dyn Disk, given: &Path) -> Result<PathBuf> {
    let given = disk.absolute(given).map_err(|e| Error::io("find", given, e))?;
    let resolve = || disk.resolve(&given).map_err(|e| Error::io("find", &given, e));
    let (dir, was_there) = match resolve() {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            disk.create_dir(&given).map_err(|e| Error::io("create", &given, e))?;
            (resolve()?, false)
        }
        found => (found?, true),
    };
    if was_there {
        let entries = disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        if entries.iter().any(|entry| entry.name == catalog::FILE_NAME) {
            return Ok(dir);
        }
    }
    let Some(parent) = dir.parent() else { return Ok(dir) };
    match disk.sync_dir(parent) {
        // Whoever made a directory where we may not look has to see to it.
        Err(e) if was_there && e.kind() == ErrorKind::PermissionDenied => {}
        synced => synced.map_err(|e| Error::io("sync", parent, e))?,
    }
    Ok(dir)
}

/// Refuses what another version wrote, before a byte of it is changed: also the mark of a clean shutdown has to stay. Returns what
/// the small files of each partition say, in the order of the topics, or why its directory is not to be looked into.
fn check_versions(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<Result<LoadedState>>> {
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
fn check_catalog(disk: &dyn Disk, dir: &Path, catalog: &Catalog, mode: RecoveryMode) -> Result<()> {
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
fn unknown_directories(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<PathBuf>> {
    let given_up = catalog.being_deleted().flat_map(|(name, entry)| partitions_of_topic(name, entry));
    let known = partitions_of(catalog).chain(given_up).map(|partition| partition_dir::path_of(dir, &partition));
    partition_dir::unknown(disk, dir, &known.collect())
}

/// Tails that should be there and are not. They are made with the directory, before the first topic, and replaced as a whole.
fn lost_tails(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<Vec<Corruption>> {
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
fn shared_tails(disk: &dyn Disk, dir: &Path) -> Vec<PathBuf> {
    let is_shared = |path: &PathBuf| disk.open(path, Open::Read).is_ok_and(|file| file.is_shared());
    TAIL_NAMES.map(|name| dir.join(name)).into_iter().filter(is_shared).collect()
}

/// The partitions of all topics that can be used.
fn partitions_of(catalog: &Catalog) -> impl Iterator<Item = TopicPartition> {
    catalog.live_topics().flat_map(|(name, entry)| partitions_of_topic(name, entry))
}

fn partitions_of_topic(name: &Arc<str>, entry: &CatalogEntry) -> impl Iterator<Item = TopicPartition> {
    (0..entry.config.partitions).map(|number| TopicPartition::new(Arc::clone(name), number))
}

/// Batches by topic id and partition.
type Batches = HashMap<(u128, u32), Vec<Salvaged>>;

/// The batches that the tails hold, and what is damaged of the tails.
fn salvage_tails(
    disk: &dyn Disk,
    dir: &Path,
    catalog: &Catalog,
    shutdown: Shutdown,
) -> Result<(Batches, Vec<Corruption>)> {
    let mut by_partition = Batches::new();
    let mut lost = lost_tails(disk, dir, catalog)?;
    for path in TAIL_NAMES.map(|name| dir.join(name)) {
        let TailContents { batches, damage } = examine(disk, &path, shutdown == Shutdown::Killed)?;
        for batch in batches {
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

/// A topic whose logs are recovered and not served yet.
struct RecoveredTopic {
    entry: TopicEntry,
    logs: Vec<RecoveredLog>,
}

fn serve(topics: Vec<RecoveredTopic>, environment: &Arc<Environment>) -> Topics {
    let serve_topic = |RecoveredTopic { entry, logs }: RecoveredTopic| {
        let source = |log: RecoveredLog| {
            let log = Log::serve(log, Arc::clone(environment));
            TopicPartitionSource { address: log.partition().clone(), source: Arc::new(log).into() }
        };
        entry.partitions.add(logs.into_iter().map(source).collect());
        (Arc::clone(&entry.name), Arc::new(entry))
    };
    topics.into_iter().map(serve_topic).collect()
}

impl Store {
    /// A store that serves nothing yet.
    fn closed(builder: BrokerBuilder, catalog: Catalog) -> Store {
        let files = OpenFiles::new(Arc::clone(&builder.disk), builder.open_files());
        let report = RecoveryReport { catalog_fell_back: catalog.fell_back(), ..RecoveryReport::default() };
        let questions = Questions { has_topic: Catalog::has_topic, was_restarted: directory_lock::was_restarted };
        let surroundings = Arc::new(Surroundings::new(&builder.dir, questions));
        Store {
            dir: builder.dir,
            disk: builder.disk,
            files,
            durability: builder.durability,
            topic_defaults: builder.topic_defaults,
            background: builder.background,
            tail_bytes: builder.tail_bytes,
            recovery_mode: builder.recovery_mode,
            least_leader_epoch: catalog.identity().least_leader_epoch(),
            catalog: Mutex::new(catalog),
            topics: ArcSwap::default(),
            topics_version: AtomicU64::new(0),
            watchers: Arc::default(),
            report,
            read_only_report: OnceLock::new(),
            surroundings,
            writer: None,
            closed: AtomicBool::new(true),
            is_temporary: builder.temporary,
            compaction: builder.compaction,
        }
    }

    /// Recovers every log of every live topic, whose files are `loaded` in the same order. One whose directory is not what
    /// it should be, or is refused, keeps no other from being served.
    fn recover_logs(
        &mut self,
        conditions: RecoveryConditions,
        loaded: Vec<Result<LoadedState>>,
        salvaged: &mut Batches,
    ) -> Result<Vec<RecoveredTopic>> {
        let entries: Vec<_> =
            self.catalog.lock().live_topics().map(|(name, entry)| (Arc::clone(name), entry.clone())).collect();
        let mut wanted = Vec::new();
        for (name, entry) in &entries {
            for number in 0..entry.config.partitions {
                let spec = self.log_spec(name, number, entry.topic_id, &entry.config);
                wanted.push((spec, salvaged.remove(&(entry.topic_id, number)).unwrap_or_default()));
            }
        }
        let has_failed = AtomicBool::new(false);
        let wanted = wanted.into_iter().zip(loaded).collect();
        let recovered = parallel::for_all(wanted, |((spec, batches), loaded)| {
            let is_wanted = !has_failed.load(Ordering::Relaxed);
            let recovered = is_wanted.then(|| self.recover_log(spec, conditions, loaded, batches));
            has_failed.fetch_or(matches!(recovered, Some(Err(_))), Ordering::Relaxed);
            recovered
        });
        let recovered = recovered.into_iter().flatten().collect::<Result<Vec<_>>>()?;
        let (mut recovered, reports): (VecDeque<_>, Vec<_>) = recovered.into_iter().unzip();
        self.report.partitions = reports.into_iter().flatten().collect();
        let mut topics = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            let logs = recovered.drain(..entry.config.partitions as usize).collect();
            let (topic_id, config) = (entry.topic_id, entry.config);
            let entry = TopicEntry { name, topic_id, config, partitions: TopicPartitions::default() };
            topics.push(RecoveredTopic { entry, logs });
        }
        self.report.unknown_directories = unknown_directories(&*self.disk, &self.dir, &self.catalog.lock())?;
        Ok(topics)
    }

    fn recover_log(
        &self,
        spec: LogSpec,
        conditions: RecoveryConditions,
        loaded: Result<LoadedState>,
        batches: Vec<Salvaged>,
    ) -> Result<(RecoveredLog, Option<PartitionRecovery>)> {
        let slots = batches.iter().map(Salvaged::slot).collect();
        let recover = |loaded| RecoveredLog::recover(spec.clone(), &self.files, conditions, loaded, batches);
        match loaded.and_then(recover) {
            Err(error) if conditions.mode != RecoveryMode::Strict => {
                let broken = Broken::of(error, &spec.partition, &spec.dir)?;
                let (log, report) = RecoveredLog::broken(spec, &self.files, broken, slots);
                Ok((log, Some(report)))
            }
            recovered => recovered,
        }
    }

    /// Opens the tails, which forgets what they held but what is to be `kept`.
    fn environment(&self, shutdown: Shutdown, kept: &KeptSlots) -> Result<Environment> {
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        let seed = self.disk.random() as u64;
        let [always, relaxed] = TAIL_NAMES;
        let open = |name| {
            let path = self.dir.join(name);
            let tail = if kept.is_empty() {
                Tail::open(&*self.disk, &path, self.tail_bytes, shutdown == Shutdown::Clean, seed)?
            } else {
                Tail::open_keeping(&*self.disk, &path, self.tail_bytes, kept, seed)?
            };
            tail.say_default((self.durability == Durability::Always) == (name == always))?;
            Ok(GroupCommit::new(tail))
        };
        let environment = Environment::new(
            Arc::clone(&self.files),
            Arc::clone(&self.disk),
            open(always)?,
            open(relaxed)?,
            Arc::clone(&self.watchers),
        );
        // The tails' names, and whatever recovery renamed.
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))?;
        Ok(environment)
    }

    /// Begins to serve.
    fn start(&mut self, topics: Topics, environment: Arc<Environment>, lock: DirectoryLock) -> Result<()> {
        let logs = Arc::new(ArcSwap::from_pointee(logs_of(&topics)));
        self.topics.store(Arc::new(topics));
        let worker = if self.background {
            let started = Worker::start(Arc::clone(&logs), Arc::clone(&environment));
            Some(started.map_err(|e| Error::io("start the maintenance thread of", &self.dir, e))?)
        } else {
            None
        };
        self.writer = Some(Writer {
            environment,
            logs,
            worker: Mutex::new(worker),
            lock: Mutex::new(Some(lock)),
            coordinator: OnceLock::new(),
            coordinator_being_made: Mutex::new(()),
        });
        self.closed.store(false, Ordering::Release);
        Ok(())
    }

    /// Finishes what a crash interrupted: topics that are given up and not yet removed. A full disk, or a directory that is refused,
    /// may go on interrupting it.
    fn finish_deletes(&mut self) -> Result<()> {
        let given_up: Vec<_> = {
            let catalog = self.catalog.lock();
            let dead = catalog.being_deleted();
            dead.map(|(name, entry)| (Arc::clone(name), entry.topic_id, entry.config.partitions)).collect()
        };
        for (name, topic_id, partition_count) in given_up {
            match self.finish_delete(&name, topic_id, partition_count) {
                Err(Error::DiskFull { .. }) => self.report.unfinished_deletes.push(name.to_string()),
                Err(Error::Io { path, source, .. })
                    if self.recovery_mode != RecoveryMode::Strict
                        && !is_passing(&source)
                        && partition_dir::holds(&self.dir, &path) =>
                {
                    self.report.unfinished_deletes.push(name.to_string());
                }
                finished => finished?,
            }
        }
        // Those of topics that the catalog has forgotten are empty; what is not is no mark, and stays.
        let marks = partition_dir::marks(&*self.disk, &self.dir)?;
        for (_, mark) in marks.iter().filter(|(topic_id, _)| !self.catalog.lock().knows(**topic_id)) {
            _ = self.disk.remove_dir(mark);
        }
        Ok(())
    }
}
