//! Opening a data directory: lock it, find out how the last writer ended, recover every log, and only then serve.
//!
//! The order is what makes it safe to be killed anywhere here and to begin again: the versions of all files are looked at
//! before anything is written; the mark of a clean shutdown goes first of all; the open batches of the tails are sealed and
//! synced before the tails are cleared.
//!
//! A full disk keeps no directory from being opened, or else nobody could delete a topic to make room: what needs room is put
//! off, and the report says what that was. (Recovery has the exceptions, see `partition/recovery`.)

pub(crate) mod data_dir;
mod found;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use self::data_dir::{check_not_inside, create_data_dir, find_data_dir};
use self::found::{
    Batches, check_catalog, check_versions, lost_tails, salvage_tails, shared_tails, unknown_directories,
};
use super::catalog::Catalog;
use super::directory_lock::DirectoryLock;
use super::recovery_report::{LastWriter, RecoveryReport};
use super::store::{Store, Writer};
use super::store_config::{Purpose, StoreConfig};
use super::topic_entry::TopicEntry;
use super::topic_registry::{TopicRegistry, Topics};
use super::{directory_lock, disk_budget, going_back, replica_mark, shutdown, staging};
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::maintenance::{RoomMaker, Worker};
use crate::parallel;
use crate::partition::broken::Broken;
use crate::partition::budget::Budget;
use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::group_commit::GroupCommit;
use crate::partition::log::Log;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery::{LoadedState, RecoveredLog, RecoveryConditions, Shutdown};
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_report::PartitionRecovery;
use crate::partition::{PartitionSource, Watchers};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tail::{KeptSlots, Salvaged, TAIL_NAMES, Tail};

/// Opens a directory for writing.
pub(super) fn open(mut config: StoreConfig) -> Result<Store> {
    config.dir = create_data_dir(&config)?;
    let lock = DirectoryLock::take(&*config.disk, &config.dir)?;
    if config.purpose == Purpose::Use {
        replica_mark::check(&*config.disk, &config.dir)?;
    }
    let budget = config.begin_budget()?;
    let mut catalog = Catalog::open(Arc::clone(&config.disk), &config.dir)?;
    budget.iter().try_for_each(|budget| disk_budget::check_topics(budget, &catalog))?;
    let loaded = check_versions(&*config.disk, &config.dir, &catalog)?;
    check_catalog(&*config.disk, &config.dir, &catalog, config.recovery_mode)?;
    staging::remove_leftovers(&*config.disk, &config.dir)?;
    going_back::leave_backup(&*config.disk, &config.dir, &mut catalog)?;
    let (mut opening, salvaged) = Opening::begin(config, lock, catalog, budget)?;
    let topics = opening.recover(loaded, salvaged)?;
    let environment = opening.environment(&topics)?;
    opening.serve(topics, environment)
}

/// Opens a directory that another process may be writing.
pub(super) fn open_read_only(mut config: StoreConfig) -> Result<Store> {
    config.dir = find_data_dir(&*config.disk, &config.dir)?;
    let (disk, dir) = (&*config.disk, &config.dir);
    let catalog = Catalog::open_read_only(Arc::clone(&config.disk), dir)?;
    if catalog.is_new() {
        check_not_inside(disk, dir, dir)?;
        let reason = "nothing was ever written there; check the path, or open it for writing once, which makes it one";
        return Err(Error::NotADataDirectory { path: dir.clone(), reason });
    }
    let was_clean_shutdown = shutdown::detect(disk, dir, None)? == Shutdown::Clean;
    let lost_tails = lost_tails(disk, dir, &catalog)?;
    let last_writer = if was_clean_shutdown {
        LastWriter::Closed
    } else if directory_lock::was_restarted(disk, dir) {
        // Of a power cut this process may be the first to hear.
        LastWriter::Stopped
    } else {
        LastWriter::MayBeAtWork
    };
    let report = RecoveryReport {
        last_writer,
        catalog_fell_back: catalog.fell_back(),
        lost_tails: if was_clean_shutdown { Vec::new() } else { lost_tails },
        unknown_directories: unknown_directories(disk, dir, &catalog)?,
        ..RecoveryReport::default()
    };
    let files = OpenFiles::new(Arc::clone(&config.disk), config.open_files());
    let registry = TopicRegistry::new(catalog, Topics::default(), Arc::default());
    Store::new(config, files, registry, None, report)
}

/// A directory that is to be served for writing: it is locked, and how the last writer ended is known.
struct Opening {
    config: StoreConfig,
    lock: DirectoryLock,
    catalog: Catalog,
    budget: Option<Arc<Budget>>,
    conditions: RecoveryConditions,
    files: Arc<OpenFiles>,
    watchers: Arc<Watchers>,
    report: RecoveryReport,
}

/// A topic whose logs are recovered and not served yet.
struct RecoveredTopic {
    entry: TopicEntry,
    logs: Vec<RecoveredLog>,
}

impl Opening {
    /// Finds out how the last writer ended, and what the tails hold if it did not close. From here on the directory counts as not
    /// closed.
    fn begin(
        config: StoreConfig,
        lock: DirectoryLock,
        catalog: Catalog,
        budget: Option<Arc<Budget>>,
    ) -> Result<(Opening, Batches)> {
        let (disk, dir, mode) = (&*config.disk, &config.dir, config.recovery_mode);
        let shutdown = if catalog.is_new() { Shutdown::Clean } else { shutdown::detect(disk, dir, lock.last_boot())? };
        let (salvaged, lost_tails) = match shutdown {
            Shutdown::Clean => (HashMap::new(), Vec::new()),
            Shutdown::Killed | Shutdown::PowerCut => salvage_tails(disk, dir, &catalog, shutdown)?,
        };
        if let (RecoveryMode::Strict, Some(lost)) = (mode, lost_tails.first()) {
            return Err(Error::Corrupt(Box::new(lost.clone())));
        }
        if shutdown != Shutdown::PowerCut {
            lock.note_recovered(disk, dir)?;
        }
        shutdown::begin_running(disk, dir)?;
        let report = RecoveryReport {
            last_writer: if shutdown == Shutdown::Clean { LastWriter::Closed } else { LastWriter::Stopped },
            catalog_fell_back: catalog.fell_back(),
            lost_tails,
            shared_tails: shared_tails(disk, dir),
            ..RecoveryReport::default()
        };
        let (conditions, watchers) = (RecoveryConditions { shutdown, mode }, Arc::default());
        let files = OpenFiles::new(Arc::clone(&config.disk), config.open_files());
        Ok((Opening { config, lock, catalog, budget, conditions, files, watchers, report }, salvaged))
    }

    /// Recovers the logs of all topics, whose files are `loaded`, in their order; `salvaged` is what the tails hold for them.
    fn recover(&mut self, loaded: Vec<Result<LoadedState>>, salvaged: Batches) -> Result<Vec<RecoveredTopic>> {
        let recovered = self.recover_logs(loaded, salvaged);
        let RecoveryConditions { shutdown, mode } = self.conditions;
        if recovered.is_err() && mode == RecoveryMode::Strict && shutdown == Shutdown::Clean {
            // Nothing was written since. Without the mark, the next opening has more to read and comes to the same.
            _ = shutdown::mark_clean(&*self.config.disk, &self.config.dir);
        }
        recovered
    }

    /// Recovers every log of every live topic. One whose directory is not what it should be, or is refused, keeps no other from
    /// being served.
    fn recover_logs(&mut self, loaded: Vec<Result<LoadedState>>, mut salvaged: Batches) -> Result<Vec<RecoveredTopic>> {
        let least_leader_epoch = self.catalog.identity().least_leader_epoch();
        let topics = self.catalog.live_topics();
        let topics =
            topics.map(|(name, entry)| TopicEntry::new(Arc::clone(name), entry.topic_id, entry.config.clone()));
        let topics: Vec<_> = topics.collect();
        let mut wanted = Vec::new();
        for topic in &topics {
            for number in 0..topic.settings.load().partitions {
                let spec = self.config.log_spec(topic, number, least_leader_epoch);
                wanted.push((spec, salvaged.remove(&(topic.topic_id, number)).unwrap_or_default()));
            }
        }
        let has_failed = AtomicBool::new(false);
        let wanted = wanted.into_iter().zip(loaded).collect();
        let recovered = parallel::for_all(wanted, |((spec, batches), loaded)| {
            let is_wanted = !has_failed.load(Ordering::Relaxed);
            let recovered = is_wanted.then(|| self.recover_log(spec, loaded, batches));
            has_failed.fetch_or(matches!(recovered, Some(Err(_))), Ordering::Relaxed);
            recovered
        });
        let recovered = recovered.into_iter().flatten().collect::<Result<Vec<_>>>()?;
        let (mut recovered, reports): (VecDeque<_>, Vec<_>) = recovered.into_iter().unzip();
        self.report.partitions = reports.into_iter().flatten().collect();
        let with_logs = |entry: TopicEntry| {
            let logs = recovered.drain(..entry.settings.load().partitions as usize).collect();
            RecoveredTopic { entry, logs }
        };
        let topics = topics.into_iter().map(with_logs).collect();
        self.report.unknown_directories = unknown_directories(&*self.config.disk, &self.config.dir, &self.catalog)?;
        Ok(topics)
    }

    fn recover_log(
        &self,
        spec: LogSpec,
        loaded: Result<LoadedState>,
        batches: Vec<Salvaged>,
    ) -> Result<(RecoveredLog, Option<PartitionRecovery>)> {
        let slots = batches.iter().map(Salvaged::slot).collect();
        let recover = |loaded| RecoveredLog::recover(spec.clone(), &self.files, self.conditions, loaded, batches);
        match loaded.and_then(recover) {
            Err(error) if self.conditions.mode != RecoveryMode::Strict => {
                let broken = Broken::of(error, &spec.partition, &spec.dir)?;
                let (log, report) = RecoveredLog::broken(spec, &self.files, broken, slots);
                Ok((log, Some(report)))
            }
            recovered => recovered,
        }
    }

    /// Opens the tails, which forgets what they held but what recovery could not put anywhere else. Then nothing is owed to the
    /// last writer.
    fn environment(&mut self, topics: &[RecoveredTopic]) -> Result<Arc<Environment>> {
        let (disk, dir) = (&*self.config.disk, &self.config.dir);
        let kept: KeptSlots = topics.iter().flat_map(|topic| &topic.logs).flat_map(RecoveredLog::kept_slots).collect();
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        let seed = disk.random() as u64;
        let [always, relaxed] = TAIL_NAMES;
        let environment = Environment::new(
            Arc::clone(&self.files),
            Arc::clone(&self.config.disk),
            self.open_tail(always, self.config.durability == Durability::Always, &kept, seed)?,
            self.open_tail(relaxed, self.config.durability != Durability::Always, &kept, seed)?,
            Arc::clone(&self.watchers),
            self.config.cleaner,
            self.budget.clone(),
        );
        // The tails' names, and whatever recovery renamed.
        disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        if self.conditions.shutdown == Shutdown::PowerCut {
            self.lock.note_recovered(disk, dir)?;
        }
        self.report.writes_tail_by_calls = environment.writes_tails_by_calls();
        let environment = Arc::new(environment);
        if self.config.background {
            let weak = Arc::downgrade(&environment);
            self.files.events().call_for_emit(move || weak.upgrade().iter().for_each(|all| all.bell.wake()));
        }
        Ok(environment)
    }

    fn open_tail(&self, name: &str, is_default: bool, kept: &KeptSlots, seed: u64) -> Result<GroupCommit> {
        let (disk, path, bytes) = (&*self.config.disk, self.config.dir.join(name), self.config.tail_bytes);
        let tail = if kept.is_empty() {
            Tail::open(disk, &path, bytes, self.conditions.shutdown == Shutdown::Clean, seed)?
        } else {
            Tail::open_keeping(disk, &path, bytes, kept, seed)?
        };
        tail.say_default(is_default)?;
        let tail = tail.with_events(self.files.events());
        Ok(GroupCommit::new(tail, Arc::clone(&self.config.disk)))
    }

    /// Begins to serve.
    fn serve(self, topics: Vec<RecoveredTopic>, environment: Arc<Environment>) -> Result<Store> {
        let serve_topic = |RecoveredTopic { entry, logs }: RecoveredTopic| {
            let serve_log = |log: RecoveredLog| PartitionSource::from(Log::serve(log, Arc::clone(&environment))).into();
            entry.partitions.add(logs.into_iter().map(serve_log).collect());
            (Arc::clone(&entry.name), Arc::new(entry))
        };
        let topics = topics.into_iter().map(serve_topic).collect();
        let registry = TopicRegistry::new(self.catalog, topics, self.watchers);
        if let Some(budget) = &self.budget {
            budget.set_room_maker(Box::new(RoomMaker::new(registry.logs())));
        }
        let worker = if self.config.background {
            let started = Worker::start(Arc::clone(registry.logs()), Arc::clone(&environment));
            Some(started.map_err(|e| Error::io("start the maintenance thread of", &self.config.dir, e))?)
        } else {
            if self.config.leaves_full_batches {
                environment.seal_queue.begin();
            }
            None
        };
        let writer = Writer::new(environment, worker, self.lock);
        Store::new(self.config, self.files, registry, Some(writer), self.report)
    }
}
