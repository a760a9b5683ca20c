//! Opening a data directory: lock it, find out how the last writer ended, recover every log, and only then serve.
//!
//! The order is what makes it safe to be killed anywhere here and to begin again: the versions of all files are looked at
//! before anything is written; the mark of a clean shutdown goes first of all; the open batches of the tails are sealed and
//! synced before the tails are cleared.
//!
//! A full disk keeps no directory from being opened, or else nobody could delete a topic to make room: what needs room is put
//! off, and the report says what that was. (Recovery has the exceptions, see `partition/recovery`.)

mod found;

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use self::found::{
    Batches, check_catalog, check_versions, create_data_dir, lost_tails, partitions_of, salvage_tails, shared_tails,
    unknown_directories,
};
use super::builder::BrokerBuilder;
use super::catalog::Catalog;
use super::directory_lock::{self, DirectoryLock};
use super::recovery_report::RecoveryReport;
use super::store::{Store, Topics, Writer, logs_of};
use super::topic_entry::TopicEntry;
use super::topic_partitions::{TopicPartitionSource, TopicPartitions};
use super::{parallel, partition_dir, shutdown};
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::maintenance::Worker;
use crate::partition::broken::Broken;
use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::group_commit::GroupCommit;
use crate::partition::log::{LogSpec, RecoveredLog};
use crate::partition::recovery::{Circumstances, Noted, Shutdown};
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_report::PartitionRecovery;
use crate::partition::{Questions, Surroundings};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex};
use crate::tail::{KeptSlots, Salvaged, TAIL_NAMES, Tail};

/// Opens a directory for writing.
pub(super) fn open(mut builder: BrokerBuilder) -> Result<Store> {
    builder.dir = create_data_dir(&*builder.disk, &builder.dir)?;
    let (disk, dir) = (Arc::clone(&builder.disk), builder.dir.clone());
    let lock = DirectoryLock::take(&*disk, &dir)?;
    let last_boot = lock.last_boot();
    let catalog = Catalog::open(Arc::clone(&disk), &dir)?;
    let noted = check_versions(&*disk, &dir, &catalog)?;
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
    let recovered = store.recover_logs(Circumstances { shutdown, mode }, noted, &mut salvaged).inspect_err(|_| {
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

/// A topic whose logs are recovered and not served yet.
struct RecoveredTopic {
    entry: TopicEntry,
    logs: Vec<RecoveredLog>,
}

fn serve(topics: Vec<RecoveredTopic>, environment: &Arc<Environment>) -> Topics {
    let serve_topic = |RecoveredTopic { entry, logs }: RecoveredTopic| {
        let source = |log: RecoveredLog| {
            let log = log.serve(Arc::clone(environment));
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

    /// Recovers every log of every live topic, of which something is `noted`, in the same order. One whose directory is not what
    /// it should be, or is refused, keeps no other from being served.
    fn recover_logs(
        &mut self,
        circumstances: Circumstances,
        noted: Vec<Result<Noted>>,
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
        let wanted = wanted.into_iter().zip(noted).collect();
        let recovered = parallel::for_all(wanted, |((spec, batches), noted)| {
            let is_wanted = !has_failed.load(Ordering::Relaxed);
            let recovered = is_wanted.then(|| self.recover_log(spec, circumstances, noted, batches));
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
        circumstances: Circumstances,
        noted: Result<Noted>,
        batches: Vec<Salvaged>,
    ) -> Result<(RecoveredLog, Option<PartitionRecovery>)> {
        let slots = batches.iter().map(Salvaged::slot).collect();
        let recover = |noted| RecoveredLog::recover(spec.clone(), &self.files, circumstances, noted, batches);
        match noted.and_then(recover) {
            Err(error) if circumstances.mode != RecoveryMode::Strict => {
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
}
