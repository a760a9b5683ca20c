//! The tails of a directory that another process may be writing, as they are seen from here.
//!
//! Nothing is locked and nothing is changed: the writer does not know who looks. Which slot holds whose batch is kept in an
//! index of each file, made anew only when the file's header says that slots were opened since, or that it is another file: so
//! whoever looks for one partition reads two headers and that partition's slots, however many others there are.
//!
//! A slot may be given to another batch at any moment. So its identity is read before and after everything else, and what was
//! read counts only if both are of the same generation; what was in between in the slot is in a segment by then.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TAIL_NAMES;
use super::layout::{
    BATCH, CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, COMMIT, COMMIT_BYTES, DURABLE, IDENTITY_BYTES, IS_DEFAULT,
    Identity, OPENINGS, PUBLISHED, Published, RECORDS, SlotClass, chunk_position, decode_chunk_entry, decode_commit,
    header_word,
};
use super::salvage::{holds, read_header, salvage_slot};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// What a slot holds of a batch.
#[derive(Debug)]
pub(crate) struct FollowedBatch {
    pub(crate) identity: Identity,
    /// Whole records, in Kafka's encoding.
    pub(crate) records: Vec<u8>,
    /// So many of these bytes are synced, as the writer says; if any are, all that comes before the batch is, too.
    pub(crate) durable_bytes: usize,
}

/// What the tails hold of one partition.
#[derive(Debug, Default)]
pub(crate) struct FollowedPartition {
    /// In the order of their offsets. A batch that was sealed may still be among them.
    pub(crate) batches: Vec<FollowedBatch>,
    /// Whether topics without a durability of their own are kept with `Always`.
    pub(crate) default_is_always: bool,
}

/// Both tail files. One for all partitions of a read-only broker.
#[derive(Debug)]
pub(crate) struct FollowedTails {
    /// The paths of the two files, in the order of [`TAIL_NAMES`], and what was last seen of them.
    tails: [(PathBuf, Mutex<Option<Arc<Index>>>); 2],
}

/// Which slots of a tail file hold batches of which topic and partition.
#[derive(Debug)]
struct Index {
    file: Arc<dyn DiskFile>,
    /// The file's size and its word `openings` from before it was read.
    state: (u64, u64),
    slots: HashMap<(u128, u32), Vec<Place>>,
}

/// Where a slot lies in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    class: SlotClass,
}

/// So often a slot is read again that got another batch meanwhile. Each time a whole batch has to come in between.
const READS_MAX: usize = 20;

impl FollowedTails {
    /// The tails of a data directory, whether or not they are there.
    pub(crate) fn new(data_dir: &Path) -> FollowedTails {
        FollowedTails { tails: TAIL_NAMES.map(|name| (data_dir.join(name), Mutex::default())) }
    }

    /// What the tails hold of a partition: at least everything that was published before the call and is not in a segment by
    /// the time it returns.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], [`Error::Io`].
    pub(crate) fn look_for(&self, disk: &dyn Disk, topic_id: u128, partition: u32) -> Result<FollowedPartition> {
        let mut found = FollowedPartition::default();
        for ((path, known), is_always) in self.tails.iter().zip([true, false]) {
            let Some((index, is_default)) = look_at(disk, path, known)? else { continue };
            found.default_is_always |= is_always && is_default;
            for place in index.slots.get(&(topic_id, partition)).into_iter().flatten() {
                let batch = index.read(*place).map_err(|e| Error::io("read", path, e))?;
                let is_ours = |batch: &FollowedBatch| {
                    (batch.identity.topic_id, batch.identity.partition) == (topic_id, partition)
                };
                found.batches.extend(batch.filter(is_ours));
            }
        }
        found.batches.sort_by_key(|batch| batch.identity.base_offset);
        Ok(found)
    }
}

/// An index of the file as it is now, and whether it is that of topics without a durability of their own; `None` if there is
/// no file.
fn look_at(disk: &dyn Disk, path: &Path, known: &Mutex<Option<Arc<Index>>>) -> Result<Option<(Arc<Index>, bool)>> {
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    // Before the slots: what is opened later changes the word.
    let header = read_header(&*file, path)?;
    let is_default = header_word(&header, IS_DEFAULT) == Some(1);
    let state = (file.size_when_opened(), header_word(&header, OPENINGS).unwrap_or_default());
    let mut known = known.lock();
    if let Some(index) = known.as_ref().filter(|index| index.state == state) {
        return Ok(Some((Arc::clone(index), is_default)));
    }
    let index = Index::of(file, &header, state).map_err(|e| Error::io("read", path, e))?;
    Ok(Some((Arc::clone(known.insert(Arc::new(index))), is_default)))
}

impl Index {
    fn of(file: Arc<dyn DiskFile>, header: &[u8], state: (u64, u64)) -> io::Result<Index> {
        let mut slots: HashMap<_, Vec<_>> = HashMap::new();
        let mut bytes = vec![0; CHUNK_BYTES];
        for chunk in (0..).take_while(|chunk| chunk_position(chunk + 1) <= state.0) {
            let read = file.read_at(&mut bytes, chunk_position(chunk))?;
            let entry = header.get(CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES..);
            let class = entry.and_then(|entry| decode_chunk_entry(chunk, entry));
            for (identity, place) in slots_of(chunk, class, bytes.get(..read).unwrap_or_default()) {
                slots.entry((identity.topic_id, identity.partition)).or_default().push(place);
            }
        }
        Ok(Index { file, state, slots })
    }

    /// What the slot there holds now, whosever it is; `None` if that is nothing.
    fn read(&self, place: Place) -> io::Result<Option<FollowedBatch>> {
        let mut bytes = Vec::new();
        for _ in 0..READS_MAX {
            bytes.clear();
            self.read_on(&mut bytes, place, BATCH)?;
            // The word says how much there is, so the records are read after it.
            let wanted = RECORDS + records_bytes(&bytes);
            self.read_on(&mut bytes, place, wanted.min(place.class.slot_bytes()))?;
            let mut identity = Vec::new();
            self.read_on(&mut identity, place, IDENTITY_BYTES)?;
            if bytes.starts_with(&identity) {
                break;
            }
        }
        let Some(salvaged) = salvage_slot(place.class, &bytes) else { return Ok(None) };
        let durable_bytes = durable_bytes(&bytes, &salvaged.records);
        Ok(Some(FollowedBatch { identity: salvaged.identity, records: salvaged.records, durable_bytes }))
    }

    /// Reads what is missing of the first `wanted` bytes of a slot.
    fn read_on(&self, bytes: &mut Vec<u8>, place: Place, wanted: usize) -> io::Result<()> {
        let known = bytes.len();
        bytes.resize(wanted.max(known), 0);
        let read = self.file.read_at(bytes.get_mut(known..).unwrap_or_default(), place.position + known as u64)?;
        bytes.truncate(known + read);
        Ok(())
    }
}

/// The slots of a chunk that hold somebody's batch. One whose table entry is damaged has the class whose slots say so, as
/// where batches are salvaged.
fn slots_of(chunk: usize, class: Option<SlotClass>, bytes: &[u8]) -> Vec<(Identity, Place)> {
    let classes = class.map_or_else(|| SlotClass::ALL.into_iter().rev().collect(), |class| vec![class]);
    let slots = classes.into_iter().map(|class| {
        let slot = |(number, slot): (usize, &[u8])| {
            let (identity, _, _) = Identity::decode(slot).filter(|(_, stated, _)| *stated == class)?;
            let position = chunk_position(chunk) + (number * class.slot_bytes()) as u64;
            Some((identity, Place { position, class }))
        };
        bytes.chunks_exact(class.slot_bytes()).enumerate().filter_map(slot).collect::<Vec<_>>()
    });
    slots.into_iter().find(|slots| !slots.is_empty()).unwrap_or_default()
}

/// The most bytes of records that anything in the first sectors of a slot speaks of.
fn records_bytes(slot: &[u8]) -> usize {
    let words = [PUBLISHED, DURABLE].into_iter().filter_map(|at| header_word(slot, at)).map(Published::from_word);
    let generation = Identity::decode(slot).map(|(_, _, generation)| generation);
    let commit = |at| Some(decode_commit(slot.get(at..at + COMMIT_BYTES)?, generation?)?.1);
    let spoken_of = words.chain(COMMIT.into_iter().filter_map(commit));
    spoken_of.map(|published| published.records_bytes as usize).max().unwrap_or_default()
}

/// How many bytes of `records` are synced, as the slot that they are from says.
fn durable_bytes(slot: &[u8], records: &[u8]) -> usize {
    let durable = Published::from_word(header_word(slot, DURABLE).unwrap_or_default());
    match durable.records_bytes as usize {
        // More was published and synced since the records were counted.
        bytes if records.len() <= bytes => records.len(),
        bytes if holds(records, durable) => bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchWriter, Tail};
    use super::*;
    use crate::disk::simulated::{Operation, SimulatedDisk};

    fn identity(partition: u32) -> Identity {
        Identity {
            topic_id: 7,
            partition,
            leader_epoch: 0,
            base_offset: 100,
            base_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            attributes: 0,
            base_sequence: -1,
        }
    }

    fn open(disk: &SimulatedDisk) -> Tail {
        let tail = Tail::open(disk, Path::new(TAIL_NAMES[0]), 4 << 20, false, 1).unwrap();
        tail.supply_if_short();
        tail
    }

    fn take(tail: &Tail, partition: u32) -> BatchWriter {
        tail.take(SlotClass::Small, SlotClass::Small, identity(partition)).unwrap()
    }

    fn append(writer: &mut BatchWriter, bytes: &[u8]) {
        writer.unpublished()[..bytes.len()].copy_from_slice(bytes);
        let next = writer.batch().next_offset() + 1;
        writer.publish(bytes.len(), next).unwrap();
    }

    fn look(tails: &FollowedTails, disk: &SimulatedDisk, partition: u32) -> Vec<(Vec<u8>, usize)> {
        let found = tails.look_for(disk, 7, partition).unwrap();
        found.batches.into_iter().map(|batch| (batch.records, batch.durable_bytes)).collect()
    }

    #[test]
    fn what_is_durable_is_what_a_synced_commit_covers() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let mut writer = take(&tail, 3);
        append(&mut writer, b"one");
        assert_eq!(look(&tails, &disk, 3), [(b"one".to_vec(), 0)]);
        let covered = writer.batch().commit().unwrap().unwrap();
        tail.sync().unwrap();
        assert_eq!(look(&tails, &disk, 3), [(b"one".to_vec(), 0)], "its sync has ended and nobody said so yet");
        writer.batch().note_synced(covered);
        append(&mut writer, b"two");
        assert_eq!(look(&tails, &disk, 3), [(b"onetwo".to_vec(), 3)]);
        writer.batch().commit().unwrap();
        assert_eq!(look(&tails, &disk, 3), [(b"onetwo".to_vec(), 3)]);
    }

    #[test]
    fn a_slot_that_is_taken_again_is_of_its_new_batch_and_nothing_of_it_is_durable() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let mut writer = take(&tail, 3);
        append(&mut writer, b"one");
        let covered = writer.batch().commit().unwrap().unwrap();
        writer.batch().note_synced(covered);
        assert_eq!(look(&tails, &disk, 3), [(b"one".to_vec(), 3)]);
        drop(writer);
        let mut writer = take(&tail, 4);
        append(&mut writer, b"one");
        assert_eq!(look(&tails, &disk, 3), []);
        assert_eq!(look(&tails, &disk, 4), [(b"one".to_vec(), 0)]);
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_noticed() {
        let disk = SimulatedDisk::new(1);
        let tails = FollowedTails::new(Path::new(""));
        assert_eq!(look(&tails, &disk, 3), []);
        let before = open(&disk);
        append(&mut take(&before, 3), b"one");
        assert_eq!(look(&tails, &disk, 3).len(), 1);
        let after = open(&disk);
        assert_eq!(look(&tails, &disk, 3), []);
        append(&mut take(&after, 3), b"two");
        assert_eq!(look(&tails, &disk, 3), [(b"two".to_vec(), 0)]);
    }

    #[test]
    fn looking_for_one_partition_takes_as_many_reads_however_many_others_there_are() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let mut writers: Vec<_> = (0..100).map(|partition| take(&tail, partition)).collect();
        look(&tails, &disk, 50);
        for writer in &mut writers {
            append(writer, b"one");
        }
        let is_read = |call: &crate::disk::simulated::Call| call.operation == Operation::Read;
        let reads = || disk.log().iter().filter(|call| is_read(call)).count();
        let before = reads();
        assert_eq!(look(&tails, &disk, 50).len(), 1);
        assert_eq!(reads() - before, 4, "a header, and three of a slot");
    }
}
