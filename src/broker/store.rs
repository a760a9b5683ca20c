//! What all handles of a broker share: the directory's lock, its topics, their logs, and the thread that maintains them.
//!
//! It is made by `opening`, once everything is there. Closing happens once, by `close` or by the last handle's drop.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::beside::{Beside, BrokerBeside};
use super::catalog::{Catalog, DirectoryIdentity};
use super::directory_lock::{self, DirectoryLock};
use super::opened::Opened;
use super::recovery_report::RecoveryReport;
use super::store_config::StoreConfig;
use super::topic_entry::TopicEntry;
use super::topic_registry::{TopicRegistry, Topics};
use super::{going_back, partition_dir, shutdown, topic_name};
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Corruption, Error, Result};
use crate::events::{Event, Stopwatch};
use crate::group::expiry::OffsetsExpiry;
use crate::group::{GroupCoordinator, OFFSETS_TOPIC};
use crate::maintenance::{self, Worker};
use crate::parallel;
use crate::partition::bell::Work;
use crate::partition::budget::Budget;
use crate::partition::config::TopicConfig;
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::partition::log_spec::LogSpec;
use crate::partition::mirror::Mirror;
use crate::partition::protection::CommittedOffsets;
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::{PartitionSource, Questions, Surroundings, Watchers};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::topic_partition::TopicPartition;
use crate::transaction::TransactionCoordinator;

/// Small, since compaction begins with the first segment that is full.
pub(super) const INTERNAL_SEGMENT_BYTES: u32 = 1 << 20;

/// A data directory that is open.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) config: StoreConfig,
    pub(super) files: Arc<OpenFiles>,
    pub(super) registry: Arc<TopicRegistry>,
    /// No record gets a lower leader epoch.
    pub(super) least_leader_epoch: i32,
    pub(super) report: RecoveryReport,
    /// The report of a broker that is open read-only, which looks at the logs only once somebody asks.
    read_only_report: OnceLock<RecoveryReport>,
    /// What the followers share, where the directory is open read-only.
    pub(super) surroundings: Arc<Surroundings>,
    /// `None` if the directory is open read-only.
    pub(super) writer: Option<Writer>,
    pub(super) opened: Arc<Opened>,
    pub(super) closed: Arc<AtomicBool>,
}

/// What only the process that writes a directory has.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) environment: Arc<Environment>,
    worker: Mutex<Option<Worker>>,
    lock: Mutex<Option<DirectoryLock>>,
    pub(super) coordinator: Arc<OnceLock<Arc<GroupCoordinator>>>,
    /// Held while the coordinator is being made.
    coordinator_being_made: Mutex<()>,
    pub(super) transactions: Arc<OnceLock<Arc<TransactionCoordinator>>>,
    /// Held while that is being made.
    pub(super) transactions_being_made: Mutex<()>,
    /// Held while a topic is being filled.
    pub(super) filling: Mutex<()>,
    /// What is kept beside the broker.
    beside: OnceLock<Box<dyn Beside>>,
}

impl Writer {
    pub(super) fn new(environment: Arc<Environment>, worker: Option<Worker>, lock: DirectoryLock) -> Writer {
        Writer {
            environment,
            worker: Mutex::new(worker),
            lock: Mutex::new(Some(lock)),
            coordinator: Arc::default(),
            coordinator_being_made: Mutex::new(()),
            transactions: Arc::default(),
            transactions_being_made: Mutex::new(()),
            filling: Mutex::new(()),
            beside: OnceLock::new(),
        }
    }
}

impl Store {
    /// Serves a directory, with all that opening has made. Then it finishes what only a store that serves can: a writer removes
    /// topics that are given up, and adds to the `report` what it could not; others read which topics there are.
    pub(super) fn new(
        config: StoreConfig,
        files: Arc<OpenFiles>,
        registry: TopicRegistry,
        writer: Option<Writer>,
        report: RecoveryReport,
    ) -> Result<Store> {
        let questions = Questions {
            durabilities: Catalog::durabilities,
            has_topic: Catalog::has_topic,
            was_restarted: directory_lock::was_restarted,
        };
        let least_leader_epoch = registry.catalog().identity().least_leader_epoch();
        let mut store = Store {
            files,
            registry: Arc::new(registry),
            least_leader_epoch,
            report,
            read_only_report: OnceLock::new(),
            surroundings: Arc::new(Surroundings::new(&config.dir, questions)),
            writer,
            opened: Arc::new(Opened { at: config.disk.monotonic() }),
            closed: Arc::default(),
            config,
        };
        if store.is_read_only() {
            store.topics()?;
            return Ok(store);
        }
        store.note_segment_bytes();
        // Before the groups are read back: what a transaction has committed for them counts.
        store.settle_transactions();
        store.registry.all().values().for_each(|topic| store.read_groups_of(&topic.settings.load()));
        store.report.unfinished_deletes = store.finish_deletes()?;
        let unfilled = store.empty_unfilled()?;
        store.report.unfinished_deletes.extend(unfilled);
        // Read back now, so that the report says what was passed over, or that offsets which nobody uses expire. What is wrong
        // otherwise is told when a group is used.
        if (store.skips_corrupt() || store.config.offsets_retention.is_some())
            && let Ok(Some(coordinator)) = store.coordinator_if_used()
        {
            store.report.skipped = coordinator.skipped().to_vec();
        }
        if (store.skips_corrupt() || store.config.transactional_id_expiration.is_some())
            && let Ok(Some(transactions)) = store.transactions_if_used()
        {
            let skipped = transactions.skipped().to_vec();
            store.report.skipped.extend(skipped);
        }
        Ok(store)
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.config.dir
    }

    pub(super) fn recovery_report(&self) -> &RecoveryReport {
        if self.writer.is_some() {
            return &self.report;
        }
        self.read_only_report.get_or_init(|| self.look_for_damage(self.report.clone()))
    }

    /// What is known since opening, whoever asks for more.
    pub(super) fn report_of_opening(&self) -> &RecoveryReport {
        &self.report
    }

    /// The tails that opening found lost.
    pub(super) fn lost_tails(&self) -> &[Corruption] {
        &self.report.lost_tails
    }

    /// What went wrong in the last pass of the maintenance, if anything.
    pub(super) fn maintenance_error(&self) -> Option<String> {
        self.writer.as_ref().and_then(|writer| writer.environment.maintenance_error())
    }

    /// What all files may take, if that is bounded.
    pub(crate) fn disk_budget(&self) -> Option<&Arc<Budget>> {
        self.writer.as_ref().and_then(|writer| writer.environment.budget.as_ref())
    }

    /// Tells subscribers what there is to tell; for who holds no lock.
    pub(crate) fn emit_events(&self) {
        self.files.emit_events();
    }

    /// The clock, in milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.config.disk.now_ms()
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self) -> std::time::Duration {
        self.config.disk.monotonic()
    }

    /// Whether consumers pass over what is damaged.
    pub(crate) fn skips_corrupt(&self) -> bool {
        self.config.recovery_mode == RecoveryMode::SkipCorrupt
    }

    /// The machine that the data directory is on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.config.disk
    }

    /// A random number.
    pub(crate) fn random(&self) -> u128 {
        self.config.disk.random()
    }

    /// Which directory it is. Read-only, that is read anew.
    ///
    /// # Errors
    /// Those of [`topics`](Store::topics).
    pub(crate) fn identity(&self) -> Result<DirectoryIdentity> {
        self.topics()?;
        Ok(self.registry.catalog().identity())
    }

    /// The newest leader epoch that any log has noted.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn latest_leader_epoch(&self) -> Result<i32> {
        let catalog = self.registry.catalog();
        let noted = going_back::latest_leader_epoch(&**self.disk(), self.dir(), &catalog)?;
        Ok(noted.max(catalog.identity().least_leader_epoch()))
    }

    /// Opens what is to be kept beside the broker.
    ///
    /// # Errors
    /// Its own; [`Error::ReadOnly`].
    pub(super) fn open_beside(&self) -> Result<()> {
        let Some(opens) = &self.config.beside else { return Ok(()) };
        let writer = self.writer("keep a replica")?;
        let broker = BrokerBeside {
            directory: self.written_directory(),
            identity: self.identity()?,
            environment: Arc::clone(&writer.environment),
            has_threads: self.config.background,
        };
        if let Some(beside) = opens.open_beside(broker)? {
            _ = writer.beside.set(beside);
        }
        Ok(())
    }

    /// The second disk, if there is one.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.writer.as_ref().and_then(|writer| writer.environment.mirror())
    }

    /// Adds an event, and has those be told that wait.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        self.files.events().add(event);
        self.files.emit_events();
    }

    pub(super) fn writer(&self, action: &'static str) -> Result<&Writer> {
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
            return Err(Error::Closed { what: self.config.dir.display().to_string(), by: ClosedBy::Broker });
        }
        Ok(())
    }

    /// All topics, the internal ones among them. Read-only, they are read anew.
    pub(crate) fn topics(&self) -> Result<Arc<Topics>> {
        self.check_open()?;
        if self.writer.is_none() {
            self.reload_topics()?;
        }
        Ok(self.registry.all())
    }

    /// Who is woken when topics or partitions come or go, or the broker is closed.
    pub(crate) fn watchers(&self) -> &Watchers {
        self.registry.watchers()
    }

    /// Has the maintenance look then for tasks that are to be woken. Called after one was registered.
    pub(crate) fn wake_tasks_at(&self, due: std::time::Duration) {
        if let Some(writer) = &self.writer
            && self.registry.watchers().is_sooner(due)
        {
            writer.environment.bell.ring(Work::Wakers);
        }
    }

    /// A number that changes when topics or partitions come or go.
    pub(crate) fn topics_version(&self) -> u64 {
        self.registry.version()
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or [`Error::InvalidTopic`] if there can be none.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<TopicEntry>> {
        self.check_open()?;
        if let Some(entry) = self.registry.load().get(name)
            && self.writer.is_some()
        {
            return Ok(Arc::clone(entry));
        }
        self.topics()?.get(name).cloned().ok_or_else(|| topic_name::unknown(name))
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
        if let Some(entry) = self.registry.load().get(name) {
            return use_topic(entry);
        }
        self.check_open()?;
        Err(topic_name::unknown(name))
    }

    /// The topic of this name, to be kept as long as it is [present](TopicEntry::is_present); `None` if there is none, or where another
    /// process says what there is.
    pub(crate) fn topic_to_keep(&self, name: &str) -> Option<Arc<TopicEntry>> {
        self.writer.as_ref()?;
        self.registry.load().get(name).cloned()
    }

    /// Where the log of a topic's partition is, and how it is kept.
    pub(super) fn log_spec(&self, topic: &TopicEntry, number: u32) -> LogSpec {
        self.config.log_spec(topic, number, self.least_leader_epoch)
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
        // Behind a transaction of which nobody knows the end the commits of others cannot be told.
        self.settle(&topic.logs())?;
        let topics = self.registry.all();
        let id_and_count = |name: &str| topics.get(name).map(|topic| (topic.topic_id, topic.partition_count()));
        let loaded = GroupCoordinator::load(topic.logs(), id_and_count, self.monotonic(), self.skips_corrupt())?;
        let coordinator = Arc::new(loaded);
        let offsets: Arc<dyn CommittedOffsets> = Arc::<GroupCoordinator>::clone(&coordinator);
        writer.environment.protection.ask(Arc::downgrade(&offsets));
        let coordinator = writer.coordinator.get_or_init(|| coordinator);
        if let Some(retention) = self.config.offsets_retention {
            writer.environment.add_expiring(Arc::new(OffsetsExpiry::new(coordinator, retention)));
        }
        Ok(coordinator)
    }

    /// The groups, if any was ever used in this directory.
    pub(crate) fn coordinator_if_used(&self) -> Result<Option<&Arc<GroupCoordinator>>> {
        self.check_writable("look at groups")?;
        if self.registry.load().contains_key(OFFSETS_TOPIC) { self.coordinator().map(Some) } else { Ok(None) }
    }

    /// Reads the groups back that records of a topic are kept for, if any group was ever used. Until that can be done they have
    /// read nothing.
    pub(super) fn read_groups_of(&self, config: &TopicConfig) {
        if !config.retain_for_groups.is_empty() {
            _ = self.coordinator_if_used();
        }
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
        let logs = self.registry.logs().load_full();
        let ends: Vec<u64> = logs.iter().map(|log| log.log_end_offset()).collect();
        Log::commit_all(&logs, &writer.environment);
        logs.iter().zip(ends).try_for_each(|(log, end)| maintenance::unless_deleted(log.wait_durable(end)))
    }

    pub(super) fn run_maintenance(&self) -> Result<()> {
        let writer = self.writer("run the maintenance")?;
        let is_stopping = || self.check_open().is_err();
        let done = maintenance::run_all(&self.registry.logs().load(), &writer.environment, &is_stopping);
        let done = done.and(writer.beside.get().filter(|_| !is_stopping()).map_or(Ok(()), |beside| beside.run()));
        self.files.emit_events();
        done
    }

    /// Closes everything, once. In a process that was forked off, nothing: it is all the parent's.
    pub(super) fn close(&self) -> Result<()> {
        self.check_not_forked()?;
        // As long as it can still look at what there is.
        let finished = match self.writer.as_ref().and_then(|writer| writer.beside.get()) {
            Some(beside) if !self.closed.load(Ordering::Acquire) => beside.finish(),
            _ => Ok(()),
        };
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.registry.watchers().wake();
        // A waker may fork, and come back in the child.
        self.check_not_forked()?;
        let begun = Stopwatch::begin(|| self.monotonic());
        let Some(writer) = &self.writer else {
            self.files.close();
            self.surroundings.close();
            self.tell_closed(begun, &Ok(()));
            return Ok(());
        };
        let result = self.close_writer(writer).and(finished);
        writer.beside.get().iter().for_each(|beside| beside.close());
        // Only now, as a waker is the caller's code. All that they wait for is durable, or never will be.
        writer.environment.end_serving_tasks();
        writer.environment.end_expiring();
        self.tell_closed(begun, &result);
        result
    }

    fn close_writer(&self, writer: &Writer) -> Result<()> {
        // Whoever fills a topic stops soon; whoever is changing topics finishes first; whoever comes later finds the broker closed.
        drop(writer.filling.lock());
        drop(self.registry.catalog());
        if let Some(worker) = writer.worker.lock().take() {
            worker.stop();
        }
        // So with whoever makes the coordinator of transactions.
        drop(writer.transactions_being_made.lock());
        // What goes wrong here shows in the logs, too. No transaction is left open in a file, but for that.
        let ended = writer.transactions.get().map_or(Ok(()), |transactions| transactions.close());
        let logs = self.registry.logs().load().iter().cloned().collect();
        let closed = parallel::for_all(logs, |log: Arc<Log>| log.close_cleanly());
        let mut result = closed.into_iter().collect::<Result<()>>().and(ended);
        // The last rounds, for senders that still wait for one.
        Log::commit_all(&self.registry.logs().load(), &writer.environment);
        self.registry.logs().load().iter().for_each(|log| log.retire());
        if result.is_ok() && !self.config.is_temporary {
            result = writer.environment.sync_tails();
        }
        writer.environment.close_tails();
        self.files.close();
        if self.config.is_temporary {
            writer.lock.lock().take();
            return partition_dir::remove_all(&*self.config.disk, &self.config.dir)
                .map_err(|e| Error::io("remove", &self.config.dir, e));
        }
        if result.is_ok() && !self.owes_recovery(writer) {
            result = shutdown::mark_clean(&*self.config.disk, &self.config.dir);
        }
        writer.lock.lock().take();
        result
    }

    /// Whether there is a log that could not be recovered after an unclean end, or a tail that cannot be trusted: the next opening is
    /// to recover the one, if it can, and to make the other anew, and not to take them for what was closed.
    fn owes_recovery(&self, writer: &Writer) -> bool {
        writer.environment.has_failed()
            || !self.report.was_clean_shutdown()
                && self.registry.logs().load().iter().any(|log| log.check_whole().is_err())
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
            std::mem::forget((writer.worker.get_mut().take(), writer.beside.take()));
        }
    }
}
