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

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fetching::{Fetch, Unfetched};
use super::history::{self, Divergence};
use super::journal;
use super::state::{ReplicaStage, ReplicaState};
use crate::broker::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use crate::broker::copying::{DirectoryContents, SourceLog, spec_of};
use crate::broker::directory_lock::DirectoryLock;
use crate::broker::unfinished::UnfinishedDir;
use crate::broker::{catalog, replica_mark, shutdown, unfinished_mark};
use crate::disk::open_files::{OpenFiles, OpenFilesConfig, ReadMode};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::parallel;
use crate::partition::log_id::LogId;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_spec::LogSpec;
use crate::partition::log_state::LogState;
use crate::partition::mirror;
use crate::topic_partition::TopicPartition;

/// The logs of a replica by topic id and partition.
type Logs = BTreeMap<(u128, u32), LogReplica>;

/// The directory of a replica.
#[derive(Debug)]
pub(super) struct Target {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: ReplicaState,
    catalog: Catalog,
    logs: Logs,
    files: Arc<OpenFiles>,
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
        let (dir, lock) = match disk.resolve(given) {
            Ok(dir) if replica_mark::is_there(&*disk, &dir)? => {
                let lock = DirectoryLock::take(&*disk, &dir)?;
                // Whoever made it was stopped just before it said so.
                unfinished_mark::remove(&*disk, &dir)?;
                (dir, lock)
            }
            Ok(dir) if disk.open(&dir.join(catalog::FILE_NAME), Open::Read).is_ok() => {
                unfinished_mark::check(&*disk, &dir)?;
                let reason = "it is a data directory of its own; choose an empty or a new one";
                return Err(Error::NotAReplica { path: dir, reason });
            }
            found => {
                let Some(source) = source else {
                    let path = found.unwrap_or_else(|_| given.to_owned());
                    return Err(Error::NotAReplica { path, reason: "nothing was ever copied there; check the path" });
                };
                create(&disk, given, source)?
            }
        };
        let config = OpenFilesConfig { read_mode: ReadMode::Copy, ..OpenFilesConfig::default() };
        let files = OpenFiles::new(Arc::clone(&disk), config);
        let state = load_state(&*disk, &dir)?;
        let catalog = Catalog::open_read_only(Arc::clone(&disk), &dir)?;
        let is_journal_known = state.mirror_generation == 0;
        if is_journal_known {
            // One that does not count any more, and whose removal was interrupted: the next one begins with the same generations.
            mirror::journal::remove(&*disk, &dir)?;
        }
        let (logs, is_sound) = (Logs::new(), false);
        let mut target = Target { disk, dir, state, catalog, logs, files, is_sound, is_journal_known, _lock: lock };
        if target.state.stage == ReplicaStage::Following {
            target.resume()?;
        } else if source.is_some() {
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

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where each partition ends, by topic id and partition.
    pub(super) fn ends_by_id(&self) -> HashMap<(u128, u32), u64> {
        self.state.logs.iter().map(|state| (key(state.log), state.next_offset)).collect()
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
            self.logs.insert(key(log.settled().log), log);
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

    /// Where each log ends.
    pub(super) fn ends_by_log(&self) -> HashMap<LogId, u64> {
        self.state.logs.iter().map(|state| (state.log, state.next_offset)).collect()
    }

    /// How many partitions each topic has, by its id.
    pub(super) fn partition_counts(&self) -> HashMap<u128, u32> {
        self.catalog.live_topics().map(|(_, entry)| (entry.topic_id, entry.config.partitions)).collect()
    }

    /// Brings the replica to the point of `source`, whose files are on the disk of `source_files`. From `mirror_generation` on its journal
    /// counts then; 0 if it has none.
    ///
    /// # Errors
    /// [`Error::ReplicaDiverged`]; those of the disks. Then it is at the point where it was, or at that of `source`.
    pub(super) fn follow(
        &mut self,
        source: &DirectoryContents,
        source_files: &Arc<OpenFiles>,
        mirror_generation: u64,
    ) -> Result<Round, Unfetched> {
        if !self.is_sound {
            // The state that is seen may not survive a power cut, if it was to be stored when something failed: once more, before files go
            // that the state before needs.
            load_state(&*self.disk, &self.dir)?.store(&*self.disk, &self.dir)?;
            self.resume()?;
        }
        self.check_history(source, &**source_files.disk())?;
        if !self.is_journal_known {
            journal::check_source(self, source)?.map_err(|divergence| self.diverged(divergence))?;
            self.is_journal_known = true;
        }
        self.is_sound = false;
        self.follow_topics(source.identity, &source.topics)?;
        let round = self.follow_logs(source, source_files, mirror_generation)?;
        self.is_sound = true;
        Ok(round)
    }

    fn check_history(&self, source: &DirectoryContents, source_disk: &dyn Disk) -> Result<(), Unfetched> {
        let is_same_directory = source.identity.id == self.state.source_id;
        let checked = history::check_topics(self.catalog.live_topics(), is_same_directory, source);
        checked.map_err(|(topic, reason)| self.diverged_in_topic(&topic, reason))?;
        for log in &source.logs {
            if let Some(replica) = self.logs.get(&(log.topic_id, log.partition.partition())) {
                history::check_log(replica, log, source_disk, |divergence| self.diverged(divergence))?;
            }
        }
        Ok(())
    }

    #[cold]
    fn diverged_in_topic(&self, topic: &str, reason: &'static str) -> Error {
        let (partition, offset) = (None, None);
        Error::ReplicaDiverged { path: self.dir.clone(), topic: topic.to_owned(), partition, offset, reason }
    }

    #[cold]
    fn diverged(&self, Divergence { partition, offset, reason }: Divergence) -> Error {
        let (path, topic) = (self.dir.clone(), partition.topic().to_owned());
        Error::ReplicaDiverged { path, topic, partition: Some(partition), offset: Some(offset), reason }
    }

    fn follow_logs(
        &mut self,
        source: &DirectoryContents,
        source_files: &Arc<OpenFiles>,
        mirror_generation: u64,
    ) -> Result<Round, Unfetched> {
        let logs = std::mem::take(&mut self.logs);
        let mut sources: BTreeMap<(u128, u32), &SourceLog> =
            source.logs.iter().map(|log| ((log.topic_id, log.partition.partition()), log)).collect();
        let pairs: Vec<_> = logs.into_iter().map(|(id, log)| (id, log, sources.remove(&id))).collect();
        let fetched = parallel::for_all(pairs, |(id, mut log, source)| {
            let (state, bytes) = match source {
                Some(source) if !history::is_behind(&log, source) => {
                    Fetch::new(source, source_files, &mut log, &*self.disk).run()?
                }
                // It is not known further, or its topic has just lost it: a later round knows.
                _ => (log.settled().clone(), 0),
            };
            Ok::<_, Unfetched>((id, log, state, bytes, source))
        });
        let mut round = Round::default();
        let mut following = Vec::new();
        for fetched in fetched {
            let (id, log, state, bytes, source) = fetched?;
            round.bytes += bytes;
            round.arrivals.extend(source.and_then(|source| arrival(&log, &state, source)));
            following.push((id, log, state));
        }
        let logs: Vec<LogState> = following.iter().map(|(.., state)| state.clone()).collect();
        if logs == self.state.logs && mirror_generation == self.state.mirror_generation {
            self.state.taken_ms = source.taken_ms;
        } else {
            let (taken_ms, is_of_one_moment) = (source.taken_ms, source.is_of_one_moment);
            let had_journal = self.state.mirror_generation != 0;
            let before = self.state.clone();
            self.commit(ReplicaState { taken_ms, is_of_one_moment, mirror_generation, logs, ..before })?;
            if had_journal && mirror_generation == 0 {
                mirror::journal::remove(&*self.disk, &self.dir)?;
            }
        }
        let settled = parallel::for_all(following, |(id, mut log, state)| {
            if state != *log.settled() || log.has_staged() {
                log.settle(state)?;
            }
            Ok::<_, Error>((id, log))
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

fn arrival(log: &LogReplica, state: &LogState, source: &SourceLog) -> Option<Arrival> {
    let (end, start) = (log.settled().next_offset, source.contents.bounds.log_start_offset);
    let is_new = end == 0 && log.settled().epochs.entries().is_empty();
    let never_had = end..if is_new { end } else { start.max(end) };
    let arrival = Arrival { partition: source.partition.clone(), offsets: end..state.next_offset, never_had };
    (end != state.next_offset).then_some(arrival)
}

fn owned((name, entry): (&Arc<str>, &CatalogEntry)) -> (Arc<str>, CatalogEntry) {
    (Arc::clone(name), entry.clone())
}

fn key(log: LogId) -> (u128, u32) {
    (log.topic_id, log.partition)
}

fn load_state(disk: &dyn Disk, dir: &Path) -> Result<ReplicaState> {
    let reason = "it was promoted, or nothing was ever copied there";
    ReplicaState::load(disk, dir)?.ok_or_else(|| Error::NotAReplica { path: dir.to_owned(), reason })
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
        is_of_one_moment: true,
        catalog_crc32,
        mirror_generation: 0,
        logs: Vec::new(),
    };
    // Last: where this is, it is whole.
    state.store(&**disk, &dir)?;
    target.finish()?;
    Ok((dir, lock))
}
