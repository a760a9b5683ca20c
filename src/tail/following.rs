//! The tails of a directory that another process may be writing, as they are seen from here.
//!
//! Nothing is locked and nothing is changed: the writer does not know who looks. Both files are opened once and mapped, read-only.
//! Which slot holds whose batch is kept in an index of each file, brought up to date only when the file's header says that slots
//! were opened since: so whoever looks for one partition looks at two words and that partition's slots, however many others there
//! are. What was copied out of a slot before is not copied again.
//!
//! A writer that begins after an unclean end puts new files there. So each look asks whether the names still stand for the files
//! that are mapped, which is the one call that it takes: what is returned is never of a file that was replaced before the look.
//!
//! A slot may be given to another batch at any moment. So its identity is read before and after everything else, and what was
//! read counts only if both are of the same generation; what was in between in the slot is in a segment by then.

mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::file::{FollowedFile, Owner, Pieces, Place};
use super::TAIL_NAMES;
use super::layout::{
    BATCH, COMMIT, COMMIT_BYTES, DURABLE, IDENTITY_BYTES, Identity, PUBLISHED, Published, RECORDS, decode_commit,
    header_word,
};
use super::salvage::{holds, salvage_slot};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::{crc32c, crc32c_append};
use crate::sync::Mutex;

/// What a slot holds of a batch.
#[derive(Debug)]
pub(crate) struct FollowedBatch {
    pub(crate) identity: Identity,
    /// Whole records, in Kafka's encoding.
    pub(crate) records: Vec<u8>,
    /// So many of these bytes are synced, as the writer says; if any are, all that comes before the batch is, too.
    pub(crate) durable_bytes: usize,
    generation: u64,
    records_crc: u32,
    /// The slot's words `published` and `durable` from before the records were copied.
    words: [u64; 2],
}

/// What the tails hold of one partition.
#[derive(Debug, Default)]
pub(crate) struct FollowedPartition {
    /// In the order of their offsets. A batch that was sealed may still be among them.
    pub(crate) batches: Vec<Arc<FollowedBatch>>,
    /// Whether topics without a durability of their own are kept with `Always`.
    pub(crate) default_is_always: bool,
    /// While it is the same, nothing was appended but in the slots that are known. `None` if that cannot be told.
    pub(crate) openings: Option<[u64; 2]>,
    /// While it is the same, the log begins where it did. `None` if that cannot be told.
    pub(crate) deletions: Option<[u64; 2]>,
}

impl FollowedPartition {
    /// Whether since `before` nothing was appended but to the batches that were there.
    pub(crate) fn only_grew_since(&self, before: &FollowedPartition) -> bool {
        let is_grown = |(now, then): (&Arc<FollowedBatch>, &Arc<FollowedBatch>)| {
            (now.generation, now.identity) == (then.generation, then.identity)
                && then.records.len() <= now.records.len()
        };
        self.openings.is_some()
            && (self.openings, self.default_is_always) == (before.openings, before.default_is_always)
            && self.batches.len() == before.batches.len()
            && self.batches.iter().zip(&before.batches).all(is_grown)
    }
}

/// Both tail files. One for all partitions of a read-only broker.
#[derive(Debug)]
pub(crate) struct FollowedTails {
    /// In the order of [`TAIL_NAMES`].
    tails: [FollowedTail; 2],
}

#[derive(Debug)]
struct FollowedTail {
    path: PathBuf,
    file: Mutex<Option<FollowedFile>>,
}

/// Where in a file to look for one partition's batches.
struct Places {
    pieces: Arc<Pieces>,
    slots: Vec<Place>,
    is_default: bool,
    openings: Option<u64>,
    deletions: Option<u64>,
}

/// So often a slot is read again that got another batch meanwhile. Each time a whole batch has to come in between.
const READS_MAX: usize = 20;

impl FollowedTails {
    /// The tails of a data directory, whether or not they are there.
    pub(crate) fn new(data_dir: &Path) -> FollowedTails {
        let tail = |name| FollowedTail { path: data_dir.join(name), file: Mutex::default() };
        FollowedTails { tails: TAIL_NAMES.map(tail) }
    }

    /// What the tails hold of a partition: at least everything that was published before the call and is not in a segment by
    /// the time it returns. What is still as it was in `before` is not copied again.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], [`Error::Io`].
    pub(crate) fn look_for(
        &self,
        disk: &dyn Disk,
        topic_id: u128,
        partition: u32,
        before: &FollowedPartition,
    ) -> Result<FollowedPartition> {
        let [openings, deletions] = [Some([0; 2]); 2];
        let mut found = FollowedPartition { openings, deletions, ..FollowedPartition::default() };
        for (number, (tail, is_always)) in self.tails.iter().zip([true, false]).enumerate() {
            let places = tail.look(disk, (topic_id, partition))?;
            note_word(&mut found.openings, number, places.as_ref().and_then(|places| places.openings));
            note_word(&mut found.deletions, number, places.as_ref().and_then(|places| places.deletions));
            let Some(places) = places else { continue };
            found.default_is_always |= is_always && places.is_default;
            for place in places.slots {
                let batch = places.pieces.read(place, &before.batches).map_err(|e| Error::io("read", &tail.path, e))?;
                let is_ours = |batch: &Arc<FollowedBatch>| {
                    (batch.identity.topic_id, batch.identity.partition) == (topic_id, partition)
                };
                found.batches.extend(batch.filter(is_ours));
            }
        }
        found.batches.sort_by_key(|batch| batch.identity.base_offset());
        Ok(found)
    }

    /// The words that change when records are deleted; `None` if they cannot be told without opening a file.
    pub(crate) fn deletions(&self) -> Option<[u64; 2]> {
        let [always, relaxed] = self.tails.each_ref().map(FollowedTail::deletions);
        Some([always?, relaxed?])
    }

    /// Closes and unmaps the files.
    pub(crate) fn close(&self) {
        self.tails.iter().for_each(|tail| drop(tail.file.lock().take()));
    }
}

impl FollowedTail {
    fn deletions(&self) -> Option<u64> {
        self.file.lock().as_ref().filter(|file| file.is_at(&self.path))?.deletions()
    }

    /// Where batches of `owner` are in the file as it is now; `None` if there is no file.
    fn look(&self, disk: &dyn Disk, owner: Owner) -> Result<Option<Places>> {
        let io_error = |e| Error::io("read", &self.path, e);
        if let Some(file) = self.file.lock().as_mut().filter(|file| file.is_at(&self.path)) {
            file.refresh().map_err(io_error)?;
            return Ok(Some(Places::of(file, owner)));
        }
        let opened = FollowedFile::open(disk, &self.path)?;
        let mut known = self.file.lock();
        let Some(mut opened) = opened else {
            *known = None;
            return Ok(None);
        };
        if let Some(file) = known.as_ref().filter(|file| file.is_as(&opened)) {
            return Ok(Some(Places::of(file, owner)));
        }
        opened.look_at_slots().map_err(io_error)?;
        Ok(Some(Places::of(known.insert(opened), owner)))
    }
}

impl Places {
    fn of(file: &FollowedFile, owner: Owner) -> Places {
        Places {
            pieces: file.pieces(),
            slots: file.slots_of(owner),
            is_default: file.is_default(),
            openings: file.openings(),
            deletions: file.deletions(),
        }
    }
}

/// Takes down a word of one of the files; if one cannot be told, both together tell nothing.
fn note_word(words: &mut Option<[u64; 2]>, number: usize, word: Option<u64>) {
    match (words.as_mut().and_then(|words| words.get_mut(number)), word) {
        (Some(place), Some(word)) => *place = word,
        _ => *words = None,
    }
}

/// The sectors before a slot's records, as they were at some moment.
struct Head {
    identity: Identity,
    generation: u64,
    /// `published` and `durable`.
    words: [u64; 2],
    bytes: Vec<u8>,
}

impl Pieces {
    /// What the slot there holds now, whosever it is; `None` if that is nothing. What `before` has is not copied again.
    fn read(&self, place: Place, before: &[Arc<FollowedBatch>]) -> io::Result<Option<Arc<FollowedBatch>>> {
        for _ in 0..READS_MAX {
            let Some(head) = self.head(place)? else { return Ok(None) };
            let known =
                before.iter().find(|batch| (batch.generation, batch.identity) == (head.generation, head.identity));
            if let Some(known) = known.filter(|known| known.words == head.words) {
                return Ok(Some(Arc::clone(known)));
            }
            let found = match self.grown(place, &head, known.map(|known| &**known))? {
                Some(grown) => Some(grown),
                None => self.salvaged(place, &head)?,
            };
            let mut identity = Vec::with_capacity(IDENTITY_BYTES);
            self.copy(place, 0..IDENTITY_BYTES, &mut identity)?;
            if head.bytes.starts_with(&identity) {
                return Ok(found.map(Arc::new));
            }
        }
        // All that was in it meanwhile is in segments.
        Ok(None)
    }

    /// Identity and words, in this order, and before the records: the words say how much there is of them.
    fn head(&self, place: Place) -> io::Result<Option<Head>> {
        let mut bytes = Vec::with_capacity(BATCH);
        self.copy(place, 0..IDENTITY_BYTES, &mut bytes)?;
        self.copy(place, IDENTITY_BYTES..BATCH, &mut bytes)?;
        let whole = Identity::decode(&bytes).filter(|(_, stated, _)| *stated == place.class);
        let Some((identity, _, generation)) = whole else { return Ok(None) };
        let words = [PUBLISHED, DURABLE].map(|at| header_word(&bytes, at).unwrap_or_default());
        Ok(Some(Head { identity, generation, words, bytes }))
    }

    /// The published records, if they are what the words say and nothing speaks of more: those of `known`, and what came since.
    fn grown(&self, place: Place, head: &Head, known: Option<&FollowedBatch>) -> io::Result<Option<FollowedBatch>> {
        let published = Published::from_word(head.words[0]);
        let wanted = published.records_bytes as usize;
        if wanted == 0 || wanted < most_spoken_of(head) || place.class.slot_bytes() - RECORDS < wanted {
            return Ok(None);
        }
        let mut records = Vec::with_capacity(wanted);
        let known = known.filter(|known| known.records.len() <= wanted);
        records.extend_from_slice(known.map_or(&[], |known| &known.records));
        let start = records.len();
        self.copy(place, RECORDS + start..RECORDS + wanted, &mut records)?;
        let records_crc = known.map_or(0, |known| known.records_crc);
        let records_crc = crc32c_append(records_crc, records.get(start..).unwrap_or_default());
        let is_whole = (records.len(), records_crc) == (wanted, published.records_crc);
        Ok(is_whole.then(|| head.batch(records, records_crc)))
    }

    /// What is still to be had of the records, as where batches are salvaged.
    fn salvaged(&self, place: Place, head: &Head) -> io::Result<Option<FollowedBatch>> {
        let mut bytes = Vec::new();
        self.copy(place, 0..place.class.slot_bytes(), &mut bytes)?;
        Ok(salvage_slot(place.class, place.position(), &bytes).map(|salvaged| {
            let records_crc = crc32c(&salvaged.records);
            head.batch(salvaged.records, records_crc)
        }))
    }
}

impl Head {
    fn batch(&self, records: Vec<u8>, records_crc: u32) -> FollowedBatch {
        let durable_bytes = durable_bytes(Published::from_word(self.words[1]), &records);
        let Head { identity, generation, words, .. } = *self;
        FollowedBatch { identity, records, durable_bytes, generation, records_crc, words }
    }
}

/// The most bytes of records that anything before the records speaks of.
fn most_spoken_of(head: &Head) -> usize {
    let commit = |at| Some(decode_commit(head.bytes.get(at..at + COMMIT_BYTES)?, head.generation)?.1);
    let spoken_of = head.words.map(Published::from_word).into_iter().chain(COMMIT.into_iter().filter_map(commit));
    spoken_of.map(|published| published.records_bytes as usize).max().unwrap_or_default()
}

/// How many bytes of `records` are synced, if the slot's word `durable` is this.
fn durable_bytes(durable: Published, records: &[u8]) -> usize {
    match durable.records_bytes as usize {
        // More was published and synced since the records were counted.
        bytes if records.len() <= bytes => records.len(),
        bytes if holds(records, durable) => bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::CHUNK_BYTES;
    use super::super::tests::IDENTITY;
    use super::super::{BatchWriter, SlotClass, Tail};
    use super::*;
    use crate::disk::simulated::{Operation, SimulatedDisk};

    fn identity(partition: u32) -> Identity {
        Identity { partition, ..IDENTITY }
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
        let found = tails.look_for(disk, 7, partition, &FollowedPartition::default()).unwrap();
        found.batches.iter().map(|batch| (batch.records.clone(), batch.durable_bytes)).collect()
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

    /// The calls that `look` takes, apart from those that ask whether the names still stand for the files.
    fn calls(disk: &SimulatedDisk, look: impl FnOnce()) -> Vec<Operation> {
        let before = disk.log().len();
        look();
        let calls = disk.log().split_off(before);
        calls.into_iter().map(|call| call.operation).filter(|operation| *operation != Operation::Size).collect()
    }

    #[test]
    fn looking_again_takes_no_call_however_many_partitions_there_are() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let (_other, mut writers) = (
            Tail::open(&disk, Path::new(TAIL_NAMES[1]), 4 << 20, false, 2).unwrap(),
            (0..100).map(|partition| take(&tail, partition)).collect::<Vec<_>>(),
        );
        assert_eq!(look(&tails, &disk, 50).len(), 0);
        for writer in &mut writers {
            append(writer, b"one");
        }
        assert_eq!(calls(&disk, || assert_eq!(look(&tails, &disk, 50), [(b"one".to_vec(), 0)])), []);
        let mut late = take(&tail, 100);
        append(&mut late, b"two");
        assert_eq!(calls(&disk, || assert_eq!(look(&tails, &disk, 100), [(b"two".to_vec(), 0)])), []);
    }

    #[test]
    fn where_the_writer_makes_calls_the_reader_does_and_finds_the_same() {
        let disk = SimulatedDisk::new(1);
        disk.copy_on_write();
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let mut writers: Vec<_> = (0..100).map(|partition| take(&tail, partition)).collect();
        look(&tails, &disk, 50);
        for writer in &mut writers {
            append(writer, b"one");
        }
        let reads = calls(&disk, || assert_eq!(look(&tails, &disk, 50), [(b"one".to_vec(), 0)]));
        // The header; of the slot identity, words, records and the identity again. The other file is not there.
        assert_eq!(reads, [&[Operation::Open; 1][..], &[Operation::Read; 5], &[Operation::Open]].concat());
    }

    #[test]
    fn what_was_copied_stays_and_what_came_since_is_added() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let _other = Tail::open(&disk, Path::new(TAIL_NAMES[1]), 4 << 20, false, 2).unwrap();
        let mut writer = take(&tail, 3);
        append(&mut writer, b"one");
        let look = |before: &FollowedPartition| tails.look_for(&disk, 7, 3, before).unwrap();
        let first = look(&FollowedPartition::default());
        let same = look(&first);
        assert!(Arc::ptr_eq(&first.batches[0], &same.batches[0]) && same.only_grew_since(&first));
        append(&mut writer, b"two");
        let grown = look(&same);
        assert_eq!((&grown.batches[0].records[..], grown.batches[0].records_crc), (&b"onetwo"[..], crc32c(b"onetwo")));
        assert!(grown.only_grew_since(&first) && !first.only_grew_since(&grown));
        drop(writer);
        assert!(look(&grown).only_grew_since(&grown), "what was sealed is still in its slot");
        append(&mut take(&tail, 3), b"three");
        let next = look(&grown);
        assert_eq!(next.batches[0].records, b"three");
        assert!(!next.only_grew_since(&grown));
    }

    #[test]
    fn a_tail_that_grows_is_mapped_further() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let mut writers = vec![take(&tail, 0)];
        append(&mut writers[0], b"one");
        assert_eq!(look(&tails, &disk, 0).len(), 1);
        let slots = u32::try_from(CHUNK_BYTES / SlotClass::Small.slot_bytes()).unwrap();
        for partition in 1..=slots {
            tail.supply_if_short();
            let mut writer = take(&tail, partition);
            append(&mut writer, b"two");
            writers.push(writer);
        }
        assert_eq!(look(&tails, &disk, slots), [(b"two".to_vec(), 0)]);
        assert_eq!(look(&tails, &disk, 0), [(b"one".to_vec(), 0)]);
    }

    #[test]
    fn after_the_end_of_the_broker_nothing_is_open_or_mapped() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        append(&mut take(&tail, 3), b"one");
        let before = disk.open_handles();
        assert_eq!(look(&tails, &disk, 3).len(), 1);
        assert_eq!(disk.open_handles(), before + 1);
        tails.close();
        assert_eq!(disk.open_handles(), before);
    }
}
