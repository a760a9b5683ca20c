//! The directory of a replica.
//!
//! ```text
//! at the state that `replica` says
//!   ─→ topics go, topics come: a state of its own each
//!   ─→ of every log: what is missing is brought here, and survives a power cut           fetching
//!   ─→ `replica` says the new state: all logs are at the new point at once, or none is
//!   ─→ of every log, and of the catalog: what waits takes its place
//! ```
//! Whoever opens it read-only meanwhile sees a log as one that is being written.

mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fetching::{Fetched, Task};
use super::held_log::HeldLog;
use super::history::{self, Difference, HeldTopic, Unlike};
use super::journal;
use super::offer::{DirectoryOffer, OfferedLog};
use super::source_end::SourceEnd;
use super::state::{ReplicaStage, ReplicaState};
use super::unfetched::{Moved, Unfetched};
use crate::broker::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use crate::broker::copying::spec_of;
use crate::broker::directory_lock::DirectoryLock;
use crate::broker::unfinished::UnfinishedDir;
use crate::broker::{catalog, replica_mark, shutdown, unfinished_mark};
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::parallel;
use crate::partition::log_id::LogId;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_spec::LogSpec;
use crate::partition::log_state::LogState;
use crate::partition::mirror;
use crate::topic_partition::TopicPartition;

/// The logs of a replica.
type Logs = BTreeMap<LogId, LogReplica>;

/// What there is of logs.
type HeldLogs = BTreeMap<LogId, HeldLog>;

/// The directory of a replica.
#[derive(Debug)]
pub(super) struct Target {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: ReplicaState,
    catalog: Catalog,
    logs: Logs,
    files: Arc<OpenFiles>,
    /// Segments that have come batch by batch, and are not what their source has noted: they must come as a whole.
    unlike: BTreeSet<(LogId, u64)>,
    /// Whether nothing has failed since it was read.
    is_sound: bool,
    /// Whether its source is known to have all that its journal has.
    is_journal_known: bool,
    _lock: DirectoryLock,
}

/// What came to a log of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) partition: TopicPartition,
    /// From where it ended to where it ends.
    pub(super) offsets: Range<u64>,
    /// What the source had deleted before it came here, as far as that lies behind where it ended.
    pub(super) never_had: Range<u64>,
}

/// What one round has brought.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) bytes: u64,
}

impl Target {
    /// Opens the replica in `dir`, or makes one of the directory `source` there, if it is empty or is not there.
    ///
    /// # Errors
    /// [`Error::NotAReplica`], [`Error::TargetNotEmpty`], [`Error::AlreadyOpen`]; the disk's.
    pub(super) fn open(disk: Arc<dyn Disk>, given: &Path, source: Option<DirectoryIdentity>) -> Result<Target> {
        let (dir, lock) = match (find(&*disk, given)?, source) {
            (Some(found), _) => found,
            (None, Some(source)) => create(&disk, given, source)?,
            (None, None) => {
                let path = disk.resolve(given).unwrap_or_else(|_| given.to_owned());
                return Err(Error::NotAReplica { path, reason: "nothing was ever copied there; check the path" });
            }
        };
        Target::load(disk, dir, lock, source.is_some())
    }

    /// Opens the replica in `dir`, which is to go on following; `None` if there is nothing.
    ///
    /// # Errors
    /// Those of [`open`](Target::open).
    pub(super) fn open_if_there(disk: Arc<dyn Disk>, given: &Path) -> Result<Option<Target>> {
        let found = find(&*disk, given)?;
        found.map(|(dir, lock)| Target::load(disk, dir, lock, true)).transpose()
    }

    fn load(disk: Arc<dyn Disk>, dir: PathBuf, lock: DirectoryLock, is_to_follow: bool) -> Result<Target> {
        let files = OpenFiles::for_copies(&disk);
        let state = load_state(&*disk, &dir)?;
        let catalog = Catalog::open_read_only(Arc::clone(&disk), &dir)?;
        let is_journal_known = state.mirror_generation == 0;
        if is_journal_known {
            // One that does not count any more, and whose removal was interrupted: the next one begins with the same generations.
            mirror::journal::remove(&*disk, &dir)?;
        }
        let ((logs, unlike), is_sound) = (Default::default(), false);
        let mut target =
            Target { disk, dir, state, catalog, logs, files, unlike, is_sound, is_journal_known, _lock: lock };
        if target.state.stage == ReplicaStage::Following {
            target.resume()?;
        } else if is_to_follow {
            let reason = "its promotion was interrupted; end it with Replica::promote_without_source";
            return Err(Error::NotAReplica { path: target.dir, reason });
        }
        Ok(target)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn state(&self) -> &ReplicaState {
        &self.state
    }

    /// Whether nothing has come to it yet.
    pub(super) fn is_new(&self) -> bool {
        self.state.taken_ms < 0 && self.state.logs.is_empty()
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where each log ends.
    pub(super) fn ends_by_log(&self) -> HashMap<LogId, u64> {
        self.state.logs.iter().map(|state| (state.log, state.next_offset)).collect()
    }

    /// Where each partition ends.
    pub(super) fn ends(&self) -> HashMap<TopicPartition, u64> {
        let names: HashMap<u128, &Arc<str>> =
            self.catalog.live_topics().map(|(name, entry)| (entry.topic_id, name)).collect();
        let end = |state: &LogState| {
            let name = names.get(&state.log.topic_id)?;
            Some((TopicPartition::new(Arc::clone(name), state.log.partition), state.next_offset))
        };
        self.state.logs.iter().filter_map(end).collect()
    }

    /// Does what is left to be done for the state that counts, and undoes what goes beyond it.
    pub(super) fn resume(&mut self) -> Result<()> {
        self.logs.clear();
        self.state = load_state(&*self.disk, &self.dir)?;
        self.catalog = Catalog::take_next(&self.disk, &self.dir, self.state.catalog_crc32)?;
        self.remove_unknown()?;
        let resumed = parallel::for_all(self.state.logs.clone(), |state| self.resume_log(state));
        for log in resumed {
            let log = log?;
            self.logs.insert(log.settled().log, log);
        }
        self.is_sound = true;
        Ok(())
    }

    fn resume_log(&self, state: LogState) -> Result<LogReplica> {
        let topic = self.catalog.live_topics().find(|(_, entry)| entry.topic_id == state.log.topic_id);
        let Some((name, entry)) = topic else {
            let path = self.dir.join(replica_mark::FILE_NAME);
            return Err(Error::corrupt_file(&path, 0, "a replica has a log of a topic that its catalog does not have"));
        };
        LogReplica::resume(self.spec_of(name, entry, state.log.partition), &self.files, state)
    }

    fn spec_of(&self, name: &Arc<str>, entry: &CatalogEntry, number: u32) -> LogSpec {
        spec_of(&self.dir, name, entry, number)
    }

    /// How many partitions each topic has, by its id.
    pub(super) fn partition_counts(&self) -> HashMap<u128, u32> {
        self.catalog.live_topics().map(|(_, entry)| (entry.topic_id, entry.config.partitions)).collect()
    }

    /// Brings the replica to the point of what is offered. From `mirror_generation` on its journal counts then; 0 if it has none.
    ///
    /// # Errors
    /// [`Error::ReplicaDiverged`]; those of the disks. Then it is at the point where it was, or at that of its source.
    pub(super) fn follow(
        &mut self,
        offer: &DirectoryOffer,
        source: &mut impl SourceEnd,
        mirror_generation: u64,
    ) -> Result<Round, Unfetched> {
        if !self.is_sound {
            // The state that is seen may not survive a power cut, if it was to be stored when something failed: once more, before files go
            // that the state before needs.
            load_state(&*self.disk, &self.dir)?.store(&*self.disk, &self.dir)?;
            self.resume()?;
        }
        let held = self.check_history(offer, source)?;
        if !self.is_journal_known {
            if let Some((partition, offset)) = journal::first_lacking(self, offer)? {
                return Err(self.diverged(&partition, offset, Difference::LacksAcknowledged).into());
            }
            self.is_journal_known = true;
        }
        self.is_sound = false;
        self.follow_topics(offer.identity, &offer.topics)?;
        let round = self.follow_logs(offer, held, source, mirror_generation)?;
        self.is_sound = true;
        self.unlike.clear();
        Ok(round)
    }

    /// What there is of all logs that count.
    ///
    /// # Errors
    /// The disk's; [`Error::Corrupt`].
    pub(super) fn all_held(&mut self) -> Result<Vec<HeldLog>> {
        if !self.is_sound {
            self.resume()?;
        }
        self.logs.values().map(|log| self.held(log)).collect()
    }

    /// What there is of a log.
    fn held(&self, log: &LogReplica) -> Result<HeldLog> {
        let id = log.settled().log;
        let unlike = self.unlike.iter().filter(|(of, _)| *of == id).map(|(_, base_offset)| *base_offset);
        HeldLog::of(log, &*self.disk, unlike)
    }

    /// Fails unless the replica has a part of what is offered. Returns what there is of the logs that are.
    fn check_history(&self, offer: &DirectoryOffer, source: &impl SourceEnd) -> Result<HeldLogs, Unfetched> {
        let is_same_directory = offer.identity.id == self.state.source_id;
        let checked = history::check_topics(self.topics(), is_same_directory, offer);
        checked.map_err(|(topic, difference)| self.diverged_in_topic(topic, difference))?;
        let mut all = HeldLogs::new();
        for offered in &offer.logs {
            if let Some(log) = self.logs.get(&offered.id) {
                let held = self.held(log)?;
                self.check_log((log, &held), offered, source)?;
                all.insert(offered.id, held);
            }
        }
        Ok(all)
    }

    fn check_log(
        &self,
        (log, held): (&LogReplica, &HeldLog),
        offered: &OfferedLog,
        source: &impl SourceEnd,
    ) -> Result<(), Unfetched> {
        let diverged = |offset, difference| self.diverged(&offered.partition, offset, difference);
        history::check_log(held, offered).map_err(|(offset, difference)| diverged(offset, difference))?;
        let Some(Unlike { base_offset, is_written }) = source.first_unlike(held, offered)? else { return Ok(()) };
        let written = log.written().find(|(segment, _)| is_written && segment.base_offset() == base_offset);
        let first = match written {
            Some((segment, _)) => source.first_difference(segment, offered)?,
            None => Some(base_offset),
        };
        let Some(offset) = first else { return Ok(()) };
        let error = diverged(offset, Difference::OtherRecords);
        Err(Unfetched::Moved(Box::new(Moved { log: offered.id, base_offset, log_crc32: None, error })))
    }

    /// The topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = HeldTopic<'_>> {
        self.catalog.live_topics().map(|(name, entry)| HeldTopic {
            name,
            topic_id: entry.topic_id,
            partitions: entry.config.partitions,
        })
    }

    #[cold]
    fn diverged_in_topic(&self, topic: &str, difference: Difference) -> Error {
        let (partition, offset, reason) = (None, None, difference.reason());
        Error::ReplicaDiverged { path: self.dir.clone(), topic: topic.to_owned(), partition, offset, reason }
    }

    #[cold]
    fn diverged(&self, partition: &TopicPartition, offset: u64, difference: Difference) -> Error {
        let (path, topic, partition) = (self.dir.clone(), partition.topic().to_owned(), Some(partition.clone()));
        Error::ReplicaDiverged { path, topic, partition, offset: Some(offset), reason: difference.reason() }
    }

    fn follow_logs(
        &mut self,
        offer: &DirectoryOffer,
        mut held: HeldLogs,
        source: &mut impl SourceEnd,
        mirror_generation: u64,
    ) -> Result<Round, Unfetched> {
        let logs = std::mem::take(&mut self.logs);
        let mut offered: BTreeMap<LogId, &OfferedLog> = offer.logs.iter().map(|log| (log.id, log)).collect();
        let tasks = logs.into_values().map(|log| {
            let id = log.settled().log;
            let held = held.remove(&id).unwrap_or_else(|| HeldLog::nothing(id));
            Task { log, held, offered: offered.remove(&id) }
        });
        let mut round = Round::default();
        let mut following = Vec::new();
        for fetched in source.fetch(tasks.collect(), &*self.disk) {
            let Fetched { log, offered, state, bytes } = fetched.inspect_err(|unfetched| {
                if let Unfetched::Unlike(log, base_offset) = unfetched {
                    self.unlike.insert((*log, *base_offset));
                }
            })?;
            round.bytes += bytes;
            round.arrivals.extend(offered.and_then(|offered| arrival(&log, &state, offered)));
            following.push((log, state));
        }
        let logs: Vec<LogState> = following.iter().map(|(_, state)| state.clone()).collect();
        if logs == self.state.logs && mirror_generation == self.state.mirror_generation {
            self.state.taken_ms = offer.taken_ms;
        } else {
            let had_journal = self.state.mirror_generation != 0;
            let (before, taken_ms) = (self.state.clone(), offer.taken_ms);
            self.commit(ReplicaState { taken_ms, mirror_generation, logs, ..before })?;
            if had_journal && mirror_generation == 0 {
                mirror::journal::remove(&*self.disk, &self.dir)?;
            }
        }
        let settled = parallel::for_all(following, |(mut log, state)| {
            if state != *log.settled() || log.has_staged() {
                log.settle(state)?;
            }
            log.forget_behind();
            Ok::<_, Error>((log.settled().log, log))
        });
        self.logs = settled.into_iter().collect::<Result<_>>()?;
        Ok(round)
    }

    /// Has another state count.
    pub(super) fn commit(&mut self, state: ReplicaState) -> Result<()> {
        state.store(&*self.disk, &self.dir)?;
        self.state = state;
        Ok(())
    }

    /// The logs, to be changed.
    pub(super) fn logs_mut(&mut self) -> &mut Logs {
        &mut self.logs
    }
}

fn arrival(log: &LogReplica, state: &LogState, offered: &OfferedLog) -> Option<Arrival> {
    let (end, start) = (log.settled().next_offset, offered.has.bounds.log_start_offset);
    let is_new = end == 0 && log.settled().epochs.entries().is_empty();
    let never_had = end..if is_new { end } else { start.max(end) };
    let arrival = Arrival { partition: offered.partition.clone(), offsets: end..state.next_offset, never_had };
    (end != state.next_offset).then_some(arrival)
}

fn owned((name, entry): (&Arc<str>, &CatalogEntry)) -> (Arc<str>, CatalogEntry) {
    (Arc::clone(name), entry.clone())
}

fn load_state(disk: &dyn Disk, dir: &Path) -> Result<ReplicaState> {
    let reason = "it was promoted, or nothing was ever copied there";
    ReplicaState::load(disk, dir)?.ok_or_else(|| Error::NotAReplica { path: dir.to_owned(), reason })
}

/// Takes the lock of the replica in `given`; `None` if there is neither that nor a data directory.
fn find(disk: &dyn Disk, given: &Path) -> Result<Option<(PathBuf, DirectoryLock)>> {
    let Ok(dir) = disk.resolve(given) else { return Ok(None) };
    if replica_mark::is_there(disk, &dir)? {
        let lock = DirectoryLock::take(disk, &dir)?;
        // Whoever made it was stopped just before it said so.
        unfinished_mark::remove(disk, &dir)?;
        return Ok(Some((dir, lock)));
    }
    if disk.open(&dir.join(catalog::FILE_NAME), Open::Read).is_ok() {
        unfinished_mark::check(disk, &dir)?;
        let reason = "it is a data directory of its own; choose an empty or a new one";
        return Err(Error::NotAReplica { path: dir, reason });
    }
    Ok(None)
}

/// Makes a replica without topics, and takes its lock.
fn create(disk: &Arc<dyn Disk>, given: &Path, source: DirectoryIdentity) -> Result<(PathBuf, DirectoryLock)> {
    let target = UnfinishedDir::begin(Arc::clone(disk), given)?;
    let dir = target.path().to_owned();
    let lock = DirectoryLock::take(&**disk, &dir)?;
    Catalog::create_copy(Arc::clone(disk), &dir, source, Vec::new())?;
    let catalog_crc32 = Catalog::open_read_only(Arc::clone(disk), &dir)?.checksum();
    // All that counts of it is on the medium, always.
    shutdown::mark_clean(&**disk, &dir)?;
    let state = ReplicaState {
        source_id: source.id,
        stage: ReplicaStage::Following,
        taken_ms: -1,
        catalog_crc32,
        mirror_generation: 0,
        logs: Vec::new(),
    };
    // Last: where this is, it is whole.
    state.store(&**disk, &dir)?;
    target.finish()?;
    Ok((dir, lock))
}
