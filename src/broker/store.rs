//! What all handles of a broker share: the directory's lock, its topics, their logs, and the thread that maintains them.
//!
//! Topics are looked up without a lock, in a map that is replaced as a whole; whoever changes topics holds the catalog's lock,
//! which comes before every lock of a log. Closing happens once, by `close` or by the last handle's drop.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::builder::BrokerBuilder;
use super::catalog::Catalog;
use super::directory_lock::DirectoryLock;
use super::name_hash::NameHash;
use super::recovery_report::RecoveryReport;
use super::topic::{TopicEntry, TopicPartitionSource};
use super::topic_partitions::TopicPartitions;
use super::{opening, parallel, partition_dir, shutdown};
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::group::{GroupCoordinator, OFFSETS_TOPIC};
use crate::maintenance::{self, Logs, Worker};
use crate::partition::broken::Broken;
use crate::partition::compaction::CompactionConfig;
use crate::partition::config::TopicConfig;
use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_report::PartitionRecovery;
use crate::partition::{Follower, PartitionSource, Surroundings, Watchers};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, MutexGuard};
use crate::topic_partition::TopicPartition;

/// The topics by name.
pub(crate) type Topics = HashMap<Arc<str>, Arc<TopicEntry>, NameHash>;

/// Small, since compaction begins with the first segment that is full.
const INTERNAL_SEGMENT_BYTES: u32 = 1 << 20;

/// A data directory that is open.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: Arc<OpenFiles>,
    pub(super) durability: Durability,
    pub(super) topic_defaults: TopicConfig,
    pub(super) background: bool,
    pub(super) tail_bytes: u64,
    pub(super) recovery_mode: RecoveryMode,
    /// No record gets a lower leader epoch.
    pub(super) least_leader_epoch: i32,
    pub(super) catalog: Mutex<Catalog>,
    pub(super) topics: ArcSwap<Topics>,
    /// Rises whenever topics or partitions come or go.
    pub(super) topics_version: AtomicU64,
    /// Who wants to know when that happens, or when the broker is closed.
    pub(super) watchers: Arc<Watchers>,
    pub(super) report: RecoveryReport,
    /// The report of a broker that is open read-only, which looks at the logs only once somebody asks.
    pub(super) read_only_report: OnceLock<RecoveryReport>,
    /// What the followers share, where the directory is open read-only.
    pub(super) surroundings: Arc<Surroundings>,
    /// `None` if the directory is open read-only.
    pub(super) writer: Option<Writer>,
    pub(super) closed: AtomicBool,
    pub(super) is_temporary: bool,
    /// Of ordinary topics; for tests.
    pub(super) compaction: Option<CompactionConfig>,
}

/// What only the process that writes a directory has.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) environment: Arc<Environment>,
    pub(super) logs: Arc<Logs>,
    pub(super) worker: Mutex<Option<Worker>>,
    pub(super) lock: Mutex<Option<DirectoryLock>>,
    pub(super) coordinator: OnceLock<Arc<GroupCoordinator>>,
    /// Held while the coordinator is being made.
    pub(super) coordinator_being_made: Mutex<()>,
}

impl Store {
    /// Opens the directory as `builder` says.
    pub(super) fn open(builder: BrokerBuilder) -> Result<Store> {
        match builder.recovery_mode {
            RecoveryMode::ReadOnly => opening::open_read_only(builder),
            _ => opening::open(builder),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn recovery_report(&self) -> &RecoveryReport {
        if self.writer.is_some() { &self.report } else { self.read_only_report.get_or_init(|| self.look_for_damage()) }
    }

    /// The report with what is wrong with the logs, as far as it can be seen without repairing anything.
    fn look_for_damage(&self) -> RecoveryReport {
        let mut report = self.report.clone();
        let topics = self.topics.load();
        let mut partitions: Vec<_> = topics.values().flat_map(|topic| topic.partitions.iter()).collect();
        partitions.sort_unstable_by(|one, other| one.address.cmp(&other.address));
        for TopicPartitionSource { address, source } in partitions {
            match source.damage() {
                Ok(damage) if damage.is_empty() => {}
                Ok(damage) => report.partitions.push(PartitionRecovery::of_damage(address.clone(), damage)),
                // Deleted meanwhile, perhaps.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let broken = Broken::of(error, address, &partition_dir::path_of(&self.dir, address));
                    // If it is only not to be looked at now, whoever reads it hears of that.
                    report.partitions.extend(broken.ok().map(|broken| broken.report(address.clone())));
                }
            }
        }
        report
    }

    /// The clock, in milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.disk.now_ms()
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self) -> std::time::Duration {
        self.disk.monotonic()
    }

    /// Whether consumers pass over what is damaged.
    pub(crate) fn skips_corrupt(&self) -> bool {
        self.recovery_mode == RecoveryMode::SkipCorrupt
    }

    /// A random number.
    pub(crate) fn random(&self) -> u128 {
        self.disk.random()
    }

    fn writer(&self, action: &'static str) -> Result<&Writer> {
        self.check_open()?;
        self.writer.as_ref().ok_or(Error::ReadOnly { action })
    }

    /// Fails if the broker is closed or read-only.
    pub(crate) fn check_writable(&self, action: &'static str) -> Result<()> {
        self.writer(action).map(|_| ())
    }

    /// Fails in a process that was forked off from the one that opened the broker, with [`Error::Forked`].
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<()> {
        self.files.check_not_forked()
    }

    /// Whether this process was forked off from the one that opened the broker.
    pub(crate) fn is_forked(&self) -> bool {
        self.files.is_forked()
    }

    /// Fails once the broker is closed, and in a process that was forked off.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_not_forked()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: format!("the broker of {}", self.dir.display()) });
        }
        Ok(())
    }

    /// All topics, the internal ones among them. Read-only, they are read anew.
    pub(crate) fn topics(&self) -> Result<Arc<Topics>> {
        self.check_open()?;
        if self.writer.is_none() {
            self.reload_topics()?;
        }
        Ok(self.topics.load_full())
    }

    /// Who is woken when topics or partitions come or go, or the broker is closed.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// A number that changes when topics or partitions come or go.
    pub(crate) fn topics_version(&self) -> u64 {
        self.topics_version.load(Ordering::Acquire)
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<TopicEntry>> {
        self.check_open()?;
        if let Some(entry) = self.topics.load().get(name)
            && self.writer.is_some()
        {
            return Ok(Arc::clone(entry));
        }
        self.topics()?.get(name).cloned().ok_or_else(|| Error::UnknownTopic { name: name.to_owned() })
    }

    /// The log of this partition.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`]; [`Error::ReadOnly`] if another process keeps it.
    pub(crate) fn log(&self, partition: &TopicPartition) -> Result<Arc<Log>> {
        self.source(partition)?.writable("change what a group has committed").cloned()
    }

    /// The log of this partition, whoever keeps it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    pub(crate) fn source(&self, partition: &TopicPartition) -> Result<PartitionSource> {
        let topic = self.topic(partition.topic())?;
        let found = topic.partitions.get(partition.partition()).map(|found| found.source.clone());
        found.ok_or_else(|| topic.unknown_partition(partition.partition()))
    }

    /// Whether the directory is open read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.writer.is_none()
    }

    /// Runs `use_topic` on the topic of this name, without sharing it: the way of a send.
    #[inline]
    pub(crate) fn with_topic<T>(&self, name: &str, use_topic: impl FnOnce(&TopicEntry) -> Result<T>) -> Result<T> {
        if let Some(entry) = self.topics.load().get(name) {
            return use_topic(entry);
        }
        self.check_open()?;
        Err(Error::UnknownTopic { name: name.to_owned() })
    }

    pub(super) fn topic_or_create(&self, name: &str) -> Result<Arc<TopicEntry>> {
        let found = self.topic(name);
        if !matches!(found, Err(Error::UnknownTopic { .. })) || self.writer.is_none() {
            return found;
        }
        match self.create_topic(name, self.topic_defaults.clone()) {
            // Another thread was faster.
            Err(Error::TopicExists { .. }) => self.topic(name),
            created => created,
        }
    }

    pub(super) fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Arc<TopicEntry>> {
        super::topic_name::validate_for_user(name)?;
        let entry = self.add_topic(name, config)?;
        // With no lock held, since a waker is the caller's code; the same below.
        self.watchers.wake();
        Ok(entry)
    }

    /// The catalog, to change it and the directories that it speaks of. Closing the broker takes this lock: once that is over,
    /// the names may be another process's.
    fn catalog_to_change(&self) -> Result<MutexGuard<'_, Catalog>> {
        let catalog = self.catalog.lock();
        self.check_open()?;
        Ok(catalog)
    }

    fn add_topic(&self, name: &str, config: TopicConfig) -> Result<Arc<TopicEntry>> {
        let writer = self.writer("create a topic")?;
        let mut catalog = self.catalog_to_change()?;
        catalog.check_new(name, &config)?;
        let topic_id = catalog.new_topic_id();
        self.create_dirs(name, topic_id, 0..config.partitions)?;
        // Before the catalog speaks of it: a topic that is there and cannot be used would be in everybody's way.
        let entry = self.open_topic(writer, name, topic_id, &config);
        catalog.add(name, topic_id, config)?;
        self.publish_topics(writer, |topics| {
            topics.insert(Arc::clone(&entry.name), Arc::clone(&entry));
        });
        Ok(entry)
    }

    /// Makes the directories of partitions and syncs their names, before the catalog speaks of them.
    fn create_dirs(&self, name: &str, topic_id: u128, partitions: std::ops::Range<u32>) -> Result<()> {
        let create =
            |partition| partition_dir::create(&*self.disk, &self.dir, &TopicPartition::new(name, partition), topic_id);
        parallel::for_all(partitions.collect(), create).into_iter().collect::<Result<()>>()?;
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))
    }

    /// Opens the logs of a topic that has no records yet.
    fn open_topic(&self, writer: &Writer, name: &str, topic_id: u128, config: &TopicConfig) -> Arc<TopicEntry> {
        let name: Arc<str> = name.into();
        let open = |number| self.open_new_partition(writer, &name, number, topic_id, config);
        let partitions = (0..config.partitions).map(open).collect::<Vec<_>>().into();
        let config = config.clone();
        Arc::new(TopicEntry { name, topic_id, config, partitions })
    }

    fn open_new_partition(
        &self,
        writer: &Writer,
        name: &Arc<str>,
        number: u32,
        topic_id: u128,
        config: &TopicConfig,
    ) -> TopicPartitionSource {
        let spec = self.log_spec(name, number, topic_id, config);
        let address = spec.partition.clone();
        let log = Log::create(spec, Arc::clone(&writer.environment));
        TopicPartitionSource { address, source: Arc::new(log).into() }
    }

    pub(super) fn log_spec(&self, name: &Arc<str>, number: u32, topic_id: u128, config: &TopicConfig) -> LogSpec {
        let partition = TopicPartition::new(Arc::clone(name), number);
        LogSpec {
            dir: partition_dir::path_of(&self.dir, &partition),
            partition,
            topic_id,
            durability: config.durability.unwrap_or(self.durability),
            config: config.clone(),
            compaction: self.compaction_of(name),
            least_leader_epoch: self.least_leader_epoch,
        }
    }

    /// Internal topics are compacted, and so far nothing else.
    fn compaction_of(&self, topic: &str) -> Option<CompactionConfig> {
        let is_internal = super::topic_name::is_internal(topic);
        is_internal.then_some(CompactionConfig::INTERNAL).or(self.compaction)
    }

    /// Replaces the map of topics, and what follows from it. The caller holds the catalog's lock.
    fn publish_topics(&self, writer: &Writer, change: impl FnOnce(&mut Topics)) {
        let mut topics = Topics::clone(&self.topics.load());
        change(&mut topics);
        writer.logs.store(Arc::new(logs_of(&topics)));
        self.topics.store(Arc::new(topics));
        self.topics_version.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn add_partitions(&self, name: &str, partition_count: u32) -> Result<()> {
        let writer = self.writer("add partitions")?;
        if super::topic_name::is_internal(name) {
            // Which of them keeps a group's offsets follows from their number.
            let reason = "internal topics get no more partitions";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        let mut catalog = self.catalog_to_change()?;
        let topic = self.topic(name)?;
        let (before, config) = (topic.partition_count(), topic.config.clone().partitions(partition_count));
        if partition_count > before {
            config.validate()?;
            self.create_dirs(name, topic.topic_id, before..partition_count)?;
        }
        let open = |number| self.open_new_partition(writer, &topic.name, number, topic.topic_id, &config);
        let partitions = (before..partition_count).map(open).collect();
        catalog.alter(name, config)?;
        topic.partitions.add(partitions);
        self.publish_topics(writer, |_| {});
        drop(catalog);
        self.watchers.wake();
        Ok(())
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        let writer = self.writer("delete a topic")?;
        if super::topic_name::is_internal(name) {
            let reason = "internal topics cannot be deleted";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        // Whatever else is wrong with the groups shows before anything is deleted.
        self.readable_coordinator()?;
        let mut catalog = self.catalog_to_change()?;
        let topic = self.topic(name)?;
        if let Err(error) = catalog.begin_delete(name) {
            let is_full = matches!(error, Error::DiskFull { .. });
            if !is_full || partition_dir::mark_deleted(&*self.disk, &self.dir, name, topic.topic_id).is_err() {
                return Err(error);
            }
            catalog.note_deleted(name);
        }
        self.publish_topics(writer, |topics| {
            topics.remove(name);
        });
        drop(catalog);
        let logs = topic.logs();
        for log in &logs {
            log.begin_delete();
        }
        for log in &logs {
            log.retire();
        }
        self.watchers.wake();
        self.finish_delete(name, topic.topic_id, topic.partition_count())
    }

    /// Removes all that is left of a topic that is given up. The files first: on a full disk, what else there is to do takes the room
    /// that they leave.
    pub(super) fn finish_delete(&self, name: &str, topic_id: u128, partition_count: u32) -> Result<()> {
        let catalog = self.catalog_to_change()?;
        partition_dir::empty_mark(&*self.disk, &self.dir, name, topic_id)?;
        self.remove_partitions(name, topic_id, partition_count)?;
        drop(catalog);
        // They may be used only since then.
        if let Some(coordinator) = self.readable_coordinator()? {
            coordinator.forget_topic(name)?;
        }
        self.catalog_to_change()?.finish_delete(name)?;
        partition_dir::remove_mark(&*self.disk, &self.dir, name, topic_id);
        Ok(())
    }

    /// Removes the files of a topic that is given up.
    fn remove_partitions(&self, name: &str, topic_id: u128, partition_count: u32) -> Result<()> {
        let others = partition_dir::other_names(&*self.disk, &self.dir)?;
        for number in 0..partition_count {
            let partition = TopicPartition::new(name, number);
            partition_dir::remove(&*self.disk, &self.dir, &partition, topic_id, &others)?;
        }
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))
    }

    /// The groups of this broker, read from the disk at the first call.
    pub(crate) fn coordinator(&self) -> Result<&Arc<GroupCoordinator>> {
        let writer = self.writer("join a group")?;
        if let Some(coordinator) = writer.coordinator.get() {
            return Ok(coordinator);
        }
        let _one_at_a_time = writer.coordinator_being_made.lock();
        if let Some(coordinator) = writer.coordinator.get() {
            return Ok(coordinator);
        }
        let topic = match self.topic(OFFSETS_TOPIC) {
            Err(Error::UnknownTopic { .. }) => {
                self.add_topic(OFFSETS_TOPIC, TopicConfig::new().segment_bytes(INTERNAL_SEGMENT_BYTES))?
            }
            found => found?,
        };
        let topics = self.topics.load_full();
        let id_and_count = |name: &str| topics.get(name).map(|topic| (topic.topic_id, topic.partition_count()));
        let loaded = GroupCoordinator::load(topic.logs(), id_and_count, self.monotonic(), self.skips_corrupt())?;
        let coordinator = Arc::new(loaded);
        Ok(writer.coordinator.get_or_init(|| coordinator))
    }

    /// The groups, if any was ever used in this directory.
    pub(crate) fn coordinator_if_used(&self) -> Result<Option<&Arc<GroupCoordinator>>> {
        self.check_writable("look at groups")?;
        if self.topics.load().contains_key(OFFSETS_TOPIC) { self.coordinator().map(Some) } else { Ok(None) }
    }

    /// The groups, if any was ever used and what they left is undamaged. Otherwise offsets of a topic that goes stay where
    /// they are: they carry its id, and are void for any other.
    pub(super) fn readable_coordinator(&self) -> Result<Option<&Arc<GroupCoordinator>>> {
        match self.coordinator_if_used() {
            Err(Error::Corrupt(_)) => Ok(None),
            found => found,
        }
    }

    pub(crate) fn flush(&self) -> Result<()> {
        let writer = self.writer("flush")?;
        let logs = writer.logs.load_full();
        let ends: Vec<u64> = logs.iter().map(|log| log.log_end_offset()).collect();
        Log::commit_all(&logs, &writer.environment);
        logs.iter().zip(ends).try_for_each(|(log, end)| maintenance::unless_deleted(log.wait_durable(end)))
    }

    pub(super) fn run_maintenance(&self) -> Result<()> {
        let writer = self.writer("run the maintenance")?;
        maintenance::run_pass(&writer.logs.load(), &writer.environment, &|| self.check_open().is_err())
    }

    /// Closes everything, once. In a process that was forked off, nothing: it is all the parent's.
    pub(super) fn close(&self) -> Result<()> {
        self.check_not_forked()?;
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.watchers.wake();
        // A waker may fork, and come back in the child.
        self.check_not_forked()?;
        let Some(writer) = &self.writer else {
            self.files.close();
            self.surroundings.close();
            return Ok(());
        };
        // Whoever is changing topics finishes first; whoever comes later finds the broker closed.
        drop(self.catalog.lock());
        if let Some(worker) = writer.worker.lock().take() {
            worker.stop();
        }
        let logs = writer.logs.load().iter().cloned().collect();
        let closed = parallel::for_all(logs, |log: Arc<Log>| log.close_cleanly());
        let mut result = closed.into_iter().collect::<Result<()>>();
        // The last rounds, for senders that still wait for one.
        Log::commit_all(&writer.logs.load(), &writer.environment);
        writer.logs.load().iter().for_each(|log| log.retire());
        writer.environment.close_tails();
        self.files.close();
        if self.is_temporary {
            writer.lock.lock().take();
            return partition_dir::remove_all(&*self.disk, &self.dir).map_err(|e| Error::io("remove", &self.dir, e));
        }
        if result.is_ok() && !self.owes_recovery(writer) {
            result = shutdown::mark_clean(&*self.disk, &self.dir);
        }
        writer.lock.lock().take();
        result
    }

    /// Whether there is a log that could not be recovered after an unclean end, or a tail that cannot be trusted: the next opening is
    /// to recover the one, if it can, and to make the other anew, and not to take them for what was closed.
    fn owes_recovery(&self, writer: &Writer) -> bool {
        writer.environment.has_failed()
            || !self.report.was_clean_shutdown && writer.logs.load().iter().any(|log| log.check_whole().is_err())
    }

    /// Reads the catalog anew, for a broker that does not write it; partitions that are known stay.
    fn reload_topics(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        *catalog = Catalog::open_read_only(Arc::clone(&self.disk), &self.dir)?;
        let known = self.topics.load();
        let mut topics = Topics::default();
        for (name, entry) in catalog.live_topics() {
            let topic = match known.get(name).filter(|topic| topic.topic_id == entry.topic_id) {
                Some(topic) => Arc::clone(topic),
                None => Arc::new(TopicEntry {
                    name: Arc::clone(name),
                    topic_id: entry.topic_id,
                    config: entry.config.clone(),
                    partitions: TopicPartitions::default(),
                }),
            };
            let follow = |number| {
                let spec = self.log_spec(name, number, entry.topic_id, &entry.config);
                let address = spec.partition.clone();
                let follower = Follower::new(spec, &self.files, &self.surroundings);
                TopicPartitionSource { address, source: Arc::new(follower).into() }
            };
            topic.partitions.add((topic.partition_count()..entry.config.partitions).map(follow).collect());
            topics.insert(Arc::clone(name), topic);
        }
        self.topics.store(Arc::new(topics));
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // `close` is there for those who want to know.
        let _ = self.close();
        if self.files.is_forked()
            && let Some(writer) = &mut self.writer
        {
            // There is no such thread here: also to give up its handle would be a call about nobody.
            std::mem::forget(writer.worker.get_mut().take());
        }
    }
}

/// The logs of all topics, in the order of their names, so that what is done to all is done alike in every run.
pub(super) fn logs_of(topics: &Topics) -> Vec<Arc<Log>> {
    let mut logs: Vec<_> = topics.values().flat_map(|topic| topic.logs()).collect();
    logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
    logs
}
