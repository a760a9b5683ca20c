//! Which directory it is, and which topics there are: their ids, their configuration, and whether they are being deleted. One
//! file, `catalog`, in the data directory, with two checksummed generations of which the newer valid one counts.
//!
//! The catalog decides what exists: a topic begins with its entry, before any of its directories is made, and ends with the
//! removal of its entry, after all of them are gone. A crash in between leaves an entry by which the rest can be made or
//! removed; a directory without an entry is nobody's, and is left alone. On a full disk the name of a directory says that a topic
//! is being deleted (see `partition_dir`), and counts as if it stood here.
//!
//! Changes are on the disk before they are visible. Kept under one lock by the broker; no sender or reader comes here.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{partition_dir, topic_name};
use crate::config_key::invalid;
use crate::disk::generations::{self, Kind};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::partition::Durabilities;
use crate::partition::config::{PARTITIONS, Refusal, TopicConfig};
use crate::partition::partition_metadata;

mod format;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;

/// The file's name within the data directory.
pub(crate) const FILE_NAME: &str = "catalog";

/// How the file is marked.
pub(crate) const KIND: Kind = Kind { magic: *b"OTTLACAT", oldest: 2, version: 2 };

/// The ids below mean "none" and Kafka's own metadata topic.
const FIRST_TOPIC_ID: u128 = 2;

/// All topics by name.
type Topics = BTreeMap<Arc<str>, CatalogEntry>;

/// The same in their order.
type TopicList = Vec<(Arc<str>, CatalogEntry)>;

/// What is known of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogEntry {
    /// Tells this topic from an earlier or later one of the same name. At least 2.
    pub(crate) topic_id: u128,
    /// Whether the topic can be used.
    pub(crate) state: TopicState,
    /// What the topic has set, the number of its partitions among it.
    pub(crate) config: TopicConfig,
    /// Settings of a later version that may be ignored, as they are in the file.
    pub(crate) ignored: Vec<u8>,
}

/// What tells a data directory from any other, and from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryIdentity {
    /// Made with the directory, at random. Not 0.
    pub(crate) id: u128,
    /// Where its content came from.
    pub(crate) origin: Origin,
    /// How often it went back in time, its sources included.
    pub(crate) epoch_step: u32,
}

/// Where the content of a data directory came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was written here.
    MadeHere,
    /// From a copy of the directory with this id.
    Restored(u128),
    /// It was a replica of the directory with this id.
    Promoted(u128),
}

/// Leader epochs between two steps of [`DirectoryIdentity::epoch_step`]: nobody knows how many of them a source that is lost
/// gave out after it was copied.
const EPOCHS_A_STEP: u32 = 1 << 16;

/// So often a directory can go back: leader epochs are 32-bit numbers.
const EPOCH_STEP_MAX: u32 = i32::MAX.cast_unsigned() / EPOCHS_A_STEP;

impl DirectoryIdentity {
    /// That of a directory that is made now.
    fn new(disk: &dyn Disk) -> DirectoryIdentity {
        DirectoryIdentity { id: disk.random().max(1), origin: Origin::MadeHere, epoch_step: 0 }
    }

    /// That of what was copied from this directory and goes on by itself, where `latest_epoch` is the newest leader epoch in it.
    pub(crate) fn gone_back(self, disk: &dyn Disk, origin: Origin, latest_epoch: i32) -> DirectoryIdentity {
        let reached = u32::try_from(latest_epoch).unwrap_or(0) / EPOCHS_A_STEP;
        let epoch_step = self.epoch_step.max(reached).saturating_add(1).min(EPOCH_STEP_MAX);
        DirectoryIdentity { id: disk.random().max(1), origin, epoch_step }
    }

    /// The least leader epoch that a record may get.
    pub(crate) fn least_leader_epoch(&self) -> i32 {
        // Bounded when it is read.
        self.epoch_step.checked_mul(EPOCHS_A_STEP).and_then(|epoch| i32::try_from(epoch).ok()).unwrap_or(i32::MAX)
    }
}

/// Whether a topic can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicState {
    /// It can.
    Live,
    /// It cannot: its files are being removed, and its name is not free yet. Or they are being made, and what a crash leaves of them
    /// is removed.
    BeingDeleted,
    /// It cannot: it was empty, and its files are being made. If a crash interrupts that it is empty again.
    BeingFilled,
}

/// The topics of a data directory.
#[derive(Debug)]
pub(crate) struct Catalog {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    is_new: bool,
    fell_back: bool,
    identity: DirectoryIdentity,
    topics: Topics,
}

impl Catalog {
    /// Reads the catalog of the data directory `dir`, or makes that of a new one, on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if neither generation is valid, or if there is no catalog and yet a topic;
    /// [`Error::UnsupportedVersion`] for one of another version. Nothing was changed then.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Catalog> {
        let mut catalog = Catalog::open_read_only(disk, dir)?;
        if catalog.is_new {
            // From here on a missing catalog is damage, however soon the process ends.
            catalog.commit(Topics::new())?;
        }
        Ok(catalog)
    }

    /// As [`open`](Catalog::open), but a new directory is left as it is.
    pub(crate) fn open_read_only(disk: Arc<dyn Disk>, dir: &Path) -> Result<Catalog> {
        let path = dir.join(FILE_NAME);
        let Some(loaded) = generations::load(&*disk, &path, KIND)? else {
            if holds_a_partition(&*disk, dir)? {
                return Err(Error::corrupt_file(
                    &path,
                    0,
                    "the catalog is missing, and there are partitions; restore it from a backup",
                ));
            }
            let identity = DirectoryIdentity::new(&*disk);
            return Ok(Catalog { disk, path, is_new: true, fell_back: false, identity, topics: Topics::new() });
        };
        let (identity, mut topics) = format::decode(&loaded.payload).map_err(|refusal| refused(&path, refusal))?;
        let marks = partition_dir::marks(&*disk, dir)?;
        for entry in topics.values_mut().filter(|entry| marks.contains_key(&entry.topic_id)) {
            entry.state = TopicState::BeingDeleted;
        }
        Ok(Catalog { disk, path, is_new: false, fell_back: loaded.fell_back, identity, topics })
    }

    /// Makes the catalog of a copy, in a directory that has none.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn create_copy(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: DirectoryIdentity,
        topics: impl IntoIterator<Item = (Arc<str>, CatalogEntry)>,
    ) -> Result<()> {
        let (path, topics) = (dir.join(FILE_NAME), topics.into_iter().collect());
        let mut catalog = Catalog { disk, path, is_new: true, fell_back: false, identity, topics: Topics::new() };
        catalog.commit(topics)
    }

    /// Puts the catalog of a copy beside the one that is there, to [take its place](Catalog::take_next) later; returns what tells it from
    /// any other. When this returns it survives a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn store_next(
        disk: &dyn Disk,
        dir: &Path,
        identity: DirectoryIdentity,
        topics: &[(Arc<str>, CatalogEntry)],
    ) -> Result<u32> {
        let payload = Catalog::encode_copy(identity, topics);
        generations::store_next(disk, &dir.join(FILE_NAME), KIND, &payload)?;
        Ok(generations::checksum(&payload))
    }

    /// Has what waits beside the catalog take its place, if it is the one with this checksum, and reads what is there then. When this
    /// returns it survives a power cut.
    ///
    /// # Errors
    /// Those of [`open_read_only`](Catalog::open_read_only); [`Error::Corrupt`] if it is another one.
    pub(crate) fn take_next(disk: &Arc<dyn Disk>, dir: &Path, checksum: u32) -> Result<Catalog> {
        let path = dir.join(FILE_NAME);
        generations::take_next(&**disk, &path, KIND, checksum)?;
        disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
        let catalog = Catalog::open_read_only(Arc::clone(disk), dir)?;
        if catalog.is_new || catalog.checksum() != checksum {
            return Err(Error::corrupt_file(&path, 0, "the catalog of a replica is not the one that was noted"));
        }
        Ok(catalog)
    }

    /// What the file says of a directory with these topics.
    pub(crate) fn encode_copy(identity: DirectoryIdentity, topics: &[(Arc<str>, CatalogEntry)]) -> Vec<u8> {
        format::encode(&identity, &topics.iter().cloned().collect())
    }

    /// Reads what [`encode_copy`](Catalog::encode_copy) wrote, by name. The bytes may be anything. All topics are live, and can be told from
    /// one another wherever their names are used.
    pub(crate) fn decode_copy(bytes: &[u8]) -> Result<(DirectoryIdentity, TopicList), Refusal> {
        let (identity, topics) = format::decode(bytes)?;
        if topics.values().any(|entry| entry.state != TopicState::Live) {
            return Err(Invalid::Malformed("a topic that is copied is not live").into());
        }
        if !topic_name::are_distinct(topics.keys().map(|name| &**name)) {
            return Err(Invalid::Malformed("the names of two topics are too much alike").into());
        }
        Ok((identity, topics.into_iter().collect()))
    }

    /// What tells it from any other.
    pub(crate) fn checksum(&self) -> u32 {
        generations::checksum(&format::encode(&self.identity, &self.topics))
    }

    /// Has the directory be another one from now on.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn replace_identity(&mut self, identity: DirectoryIdentity) -> Result<()> {
        generations::store(&*self.disk, &self.path, KIND, &format::encode(&identity, &self.topics))?;
        self.identity = identity;
        Ok(())
    }

    /// What the file at `path` says, and whether something newer may be lost of it; `None` if there is no such file.
    ///
    /// # Errors
    /// Those of [`open_read_only`](Catalog::open_read_only).
    #[cfg(feature = "cli")]
    #[allow(clippy::type_complexity, reason = "said once, and taken apart at once")]
    pub(crate) fn read(
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<Option<(DirectoryIdentity, BTreeMap<Arc<str>, CatalogEntry>, bool)>> {
        let Some(loaded) = generations::load(disk, path, KIND)? else { return Ok(None) };
        let (identity, topics) = format::decode(&loaded.payload).map_err(|refusal| refused(path, refusal))?;
        Ok(Some((identity, topics, loaded.fell_back)))
    }

    /// Whether the catalog in `dir` has a topic with this id that is not being deleted.
    ///
    /// # Errors
    /// Those of [`open_read_only`](Catalog::open_read_only).
    pub(crate) fn has_topic(disk: &Arc<dyn Disk>, dir: &Path, topic_id: u128) -> Result<bool> {
        let catalog = Catalog::open_read_only(Arc::clone(disk), dir)?;
        Ok(catalog.live_topics().any(|(_, entry)| entry.topic_id == topic_id))
    }

    /// What each topic in a data directory has as its durability.
    ///
    /// # Errors
    /// As [`open_read_only`](Catalog::open_read_only).
    pub(crate) fn durabilities(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Durabilities> {
        let catalog = Catalog::open_read_only(Arc::clone(disk), dir)?;
        Ok(catalog.live_topics().map(|(_, entry)| (entry.topic_id, entry.config.durability)).collect())
    }

    /// Whether both generations of the catalog in a data directory are intact.
    ///
    /// # Errors
    /// As [`open`](Catalog::open).
    pub(crate) fn is_whole(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        generations::is_whole(disk, &dir.join(FILE_NAME), KIND)
    }

    /// Whether the newer generation was damaged, so that what it changed last may be missing here.
    pub(crate) fn fell_back(&self) -> bool {
        self.fell_back
    }

    /// The live topic of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&CatalogEntry> {
        self.topics.get(name).filter(|entry| entry.state == TopicState::Live)
    }

    /// The topics that can be used, in ascending order of names.
    pub(crate) fn live_topics(&self) -> impl Iterator<Item = (&Arc<str>, &CatalogEntry)> {
        self.topics.iter().filter(|(_, entry)| entry.state == TopicState::Live)
    }

    /// The topics that are given up and not yet removed, in ascending order of names.
    pub(crate) fn being_deleted(&self) -> impl Iterator<Item = (&Arc<str>, &CatalogEntry)> {
        self.topics.iter().filter(|(_, entry)| entry.state == TopicState::BeingDeleted)
    }

    /// The topics that were empty and are not filled yet, in ascending order of names.
    pub(crate) fn being_filled(&self) -> impl Iterator<Item = (&Arc<str>, &CatalogEntry)> {
        self.topics.iter().filter(|(_, entry)| entry.state == TopicState::BeingFilled)
    }

    /// Which directory it is.
    pub(crate) fn identity(&self) -> DirectoryIdentity {
        self.identity
    }

    /// Whether there was no catalog.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Checks that a topic could be added.
    ///
    /// # Errors
    /// [`Error::InvalidTopic`], [`Error::InvalidConfig`]; [`Error::TopicExists`], also while one of that name is being deleted.
    pub(crate) fn check_new(&self, name: &str, config: &TopicConfig) -> Result<()> {
        topic_name::validate(name)?;
        config.validate()?;
        topic_name::check_distinct(name, self.topics.keys().map(|other| &**other))
    }

    /// Adds a topic under an id from [`new_topic_id`](Catalog::new_topic_id). The directories of its partitions are there.
    ///
    /// # Errors
    /// As [`check_new`](Catalog::check_new), and the disk's.
    pub(crate) fn add(&mut self, name: &str, topic_id: u128, config: TopicConfig) -> Result<&CatalogEntry> {
        self.add_in_state(name, topic_id, config, TopicState::Live)?;
        self.live(name)
    }

    /// Adds a topic that cannot be used until [`finish_filling`](Catalog::finish_filling), and of which a crash leaves nothing. None of
    /// its directories is there.
    ///
    /// # Errors
    /// As [`add`](Catalog::add).
    pub(crate) fn add_unfilled(&mut self, name: &str, topic_id: u128, config: TopicConfig) -> Result<()> {
        self.add_in_state(name, topic_id, config, TopicState::BeingDeleted)
    }

    fn add_in_state(&mut self, name: &str, topic_id: u128, config: TopicConfig, state: TopicState) -> Result<()> {
        self.check_new(name, &config)?;
        let entry = CatalogEntry { topic_id, state, config, ignored: Vec::new() };
        let mut topics = self.topics.clone();
        topics.insert(name.into(), entry);
        self.commit(topics)
    }

    /// Has a topic that is empty be one that cannot be used until [`finish_filling`](Catalog::finish_filling), and that is empty again
    /// after a crash.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], and the disk's.
    pub(crate) fn begin_filling(&mut self, name: &str) -> Result<()> {
        self.live(name)?;
        self.change(name, |entry| entry.state = TopicState::BeingFilled)
    }

    /// Has a topic be used from now on whose files are there, synced.
    ///
    /// # Errors
    /// The disk's. Then the topic may be live on the disk, or not, and neither may be assumed before another change has succeeded.
    pub(crate) fn finish_filling(&mut self, name: &str, config: TopicConfig) -> Result<()> {
        self.change(name, |entry| (entry.state, entry.config) = (TopicState::Live, config))
    }

    /// Puts on the disk once more what there is here.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn store_again(&mut self) -> Result<()> {
        self.commit(self.topics.clone())
    }

    /// Gives a topic another configuration. The directories of partitions that this adds are there.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; [`Error::InvalidConfig`], also for fewer partitions than there are.
    pub(crate) fn alter(&mut self, name: &str, config: TopicConfig) -> Result<&CatalogEntry> {
        config.validate()?;
        let partition_count = self.live(name)?.config.partitions;
        if config.partitions < partition_count {
            let reason = format!("the topic has {partition_count} partitions, and none can be taken away");
            return Err(invalid(PARTITIONS, config.partitions, reason));
        }
        self.change(name, |entry| entry.config = config)?;
        self.live(name)
    }

    /// Marks a topic as being deleted: from here on it is gone for everyone, and its files may be removed.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub(crate) fn begin_delete(&mut self, name: &str) -> Result<()> {
        self.live(name)?;
        self.change(name, |entry| entry.state = TopicState::BeingDeleted)
    }

    /// Marks a topic as being deleted, as a [directory](partition_dir::mark_deleted) says by now. The next change of the catalog has
    /// it, too.
    pub(crate) fn note_deleted(&mut self, name: &str) {
        if let Some(entry) = self.topics.get_mut(name) {
            entry.state = TopicState::BeingDeleted;
        }
    }

    /// Whether there is a topic with this id, in whatever state.
    pub(crate) fn knows(&self, topic_id: u128) -> bool {
        self.topics.values().any(|entry| entry.topic_id == topic_id)
    }

    /// Frees the name of a topic that is being deleted, after its files are gone, and that is on the disk. Any other name
    /// is left as it is.
    pub(crate) fn finish_delete(&mut self, name: &str) -> Result<()> {
        if self.topics.get(name).is_none_or(|entry| entry.state != TopicState::BeingDeleted) {
            return Ok(());
        }
        let mut topics = self.topics.clone();
        topics.remove(name);
        self.commit(topics)
    }

    fn live(&self, name: &str) -> Result<&CatalogEntry> {
        self.get(name).ok_or_else(|| Error::UnknownTopic { name: name.to_owned() })
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut CatalogEntry)) -> Result<()> {
        let mut topics = self.topics.clone();
        if let Some(entry) = topics.get_mut(name) {
            change(entry);
        }
        self.commit(topics)
    }

    /// Puts `topics` in place of what there is: first on the disk, then here. After an error the disk may have the one or
    /// the other, whole; the next change that succeeds settles it.
    fn commit(&mut self, topics: Topics) -> Result<()> {
        generations::store(&*self.disk, &self.path, KIND, &format::encode(&self.identity, &topics))?;
        self.topics = topics;
        Ok(())
    }

    /// An id that no topic has, and that Kafka's tools can take as an argument: its text has no '-'.
    pub(crate) fn new_topic_id(&self) -> u128 {
        loop {
            let id = self.disk.random();
            let taken = self.topics.values().any(|entry| entry.topic_id == id);
            if id >= FIRST_TOPIC_ID && !taken && !has_dash(id) {
                return id;
            }
        }
    }
}

/// Whether the id has a '-' in URL-safe Base64, where that is the digit 62. The last digit has just two bits, and is never it.
fn has_dash(topic_id: u128) -> bool {
    const DASH: u128 = 62;
    (2..128).step_by(6).any(|shift| topic_id >> shift & 0x3f == DASH)
}

/// Whether a directory within `dir` is one of a partition, ours or Kafka's: its name and its identity file say so.
pub(super) fn holds_a_partition(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    let entries = disk.list(dir).map_err(|source| Error::io("list", dir, source))?;
    for entry in entries.into_iter().filter(|entry| entry.is_dir && partition_dir::names_a_partition(&entry.name)) {
        let path = dir.join(entry.name).join(partition_metadata::FILE_NAME);
        match disk.open(&path, Open::Read) {
            Ok(_) => return Ok(true),
            Err(absent) if absent.kind() == ErrorKind::NotFound => {}
            // Not knowing is no reason to begin anew.
            Err(source) => return Err(Error::io("open", &path, source)),
        }
    }
    Ok(false)
}

/// The error for content that is not taken.
fn refused(path: &Path, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Newer => {
            let (found, supported) = (KIND.version + 1, KIND.version);
            Error::UnsupportedVersion { path: path.to_owned(), found, supported }
        }
        Refusal::Invalid(Invalid::Malformed(reason)) => Error::corrupt_file(path, 0, reason),
        Refusal::Invalid(Invalid::Codec(_)) => Error::corrupt_file(path, 0, "the catalog is compressed"),
    }
}

#[cfg(test)]
mod tests;
