//! The tails of a directory that another process may be writing, as they are seen from here.
//!
//! Nothing is locked and nothing is changed: the writer does not know who looks. Both files are opened once and mapped, read-only.
//! Which slot holds whose batch is kept in an index of each file, brought up to date only when the file's header says that slots
//! were opened since: so whoever looks for one partition looks at two words and that partition's slots, however many others there
//! are. What was copied out of a slot before is not copied again.
//!
//! A writer that begins after an unclean end puts new files there, and says so in the old ones: what is returned is never of a file
//! that such a writer replaced before the look. A look at files that are mapped takes no call, but ten times a second, to ask whether
//! the names still stand for them: the old ones cannot be written where they have a second name.
//!
//! A slot may be given to another batch at any moment. So its identity is read before and after everything else, and what was
//! read counts only if both are of the same generation; what was in between in the slot is in a segment by then.

mod batch;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::batch::FollowedBatch;
use self::file::{FollowedFile, HeaderWords, Owner, Pieces, Place};
use super::TAIL_NAMES;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// What the tails hold of one partition.
#[derive(Debug, Default)]
pub(crate) struct FollowedPartition {
    /// In the order of their offsets. A batch that was sealed may still be among them.
    pub(crate) batches: Vec<Arc<FollowedBatch>>,
    /// Whether topics without a durability of their own are kept with `Always`.
    pub(crate) default_is_always: bool,
    /// What the headers of both files said; `None` if that cannot be told without opening one.
    words: Option<[HeaderWords; 2]>,
    /// Whether `batches` are all that is in the slots of this partition.
    is_all: bool,
}

impl FollowedPartition {
    /// Whether since `before` nothing was appended but to the batches that were there.
    pub(crate) fn only_grew_since(&self, before: &FollowedPartition) -> bool {
        let is_grown = |(now, then): (&Arc<FollowedBatch>, &Arc<FollowedBatch>)| now.is_grown(then);
        self.words.is_some()
            && self.openings() == before.openings()
            && self.default_is_always == before.default_is_always
            && self.batches.len() == before.batches.len()
            && self.batches.iter().zip(&before.batches).all(is_grown)
    }

    /// While it is the same, nothing was appended but in the slots that are known. `None` if that cannot be told.
    pub(crate) fn openings(&self) -> Option<[u64; 2]> {
        self.words.map(|words| words.map(|words| words.openings))
    }

    /// While it is the same, the log begins where it did. `None` if that cannot be told.
    pub(crate) fn deletions(&self) -> Option<[u64; 2]> {
        self.words.map(|words| words.map(|words| words.deletions))
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
    /// Which of the files it is.
    number: usize,
    path: PathBuf,
    file: Mutex<Option<FollowedFile>>,
}

/// Where in a file to look for one partition's batches.
struct Places {
    pieces: Arc<Pieces>,
    slots: Vec<Place>,
    is_default: bool,
    words: Option<HeaderWords>,
}

impl FollowedTails {
    /// The tails of a data directory, whether or not they are there.
    pub(crate) fn new(data_dir: &Path) -> FollowedTails {
        let tail = |number: usize, name| FollowedTail { number, path: data_dir.join(name), file: Mutex::default() };
        let [always, relaxed] = TAIL_NAMES;
        FollowedTails { tails: [tail(0, always), tail(1, relaxed)] }
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
        let mut found = FollowedPartition { is_all: true, ..FollowedPartition::default() };
        let mut words = [None; 2];
        for ((tail, is_always), words) in self.tails.iter().zip([true, false]).zip(&mut words) {
            let Some(places) = tail.look(disk, (topic_id, partition))? else { continue };
            *words = places.words;
            found.default_is_always |= is_always && places.is_default;
            for place in places.slots {
                let batch = places.pieces.read(place, &before.batches).map_err(|e| Error::io("read", &tail.path, e))?;
                let is_ours = |batch: &Arc<FollowedBatch>| {
                    (batch.identity.topic_id, batch.identity.partition) == (topic_id, partition)
                };
                let batch = batch.filter(is_ours);
                found.is_all &= batch.is_some();
                found.batches.extend(batch);
            }
        }
        let [always, relaxed] = words;
        found.words = always.zip(relaxed).map(|(always, relaxed)| [always, relaxed]);
        found.batches.sort_by_key(|batch| batch.identity.base_offset());
        Ok(found)
    }

    /// Whether the tails hold of a partition what they held `before`, at a glance: it takes some loads. False also where that cannot be
    /// told so.
    pub(crate) fn are_as_before(&self, disk: &dyn Disk, before: &FollowedPartition) -> bool {
        let Some(words) = before.words.filter(|_| before.is_all) else { return false };
        let now = disk.monotonic();
        let is_as_before = |(tail, words): (&FollowedTail, HeaderWords)| {
            let mut file = tail.file.lock();
            file.as_mut().is_some_and(|file| file.is_at(&tail.path, now) && file.is_as_before(words, &before.batches))
        };
        self.tails.iter().zip(words).all(is_as_before)
    }

    /// The words that change when records are deleted; `None` if they cannot be told without opening a file.
    pub(crate) fn deletions(&self, disk: &dyn Disk) -> Option<[u64; 2]> {
        let now = disk.monotonic();
        let [always, relaxed] = self.tails.each_ref().map(|tail| tail.deletions(now));
        Some([always?, relaxed?])
    }

    /// Closes and unmaps the files.
    pub(crate) fn close(&self) {
        self.tails.iter().for_each(|tail| drop(tail.file.lock().take()));
    }
}

impl FollowedTail {
    fn deletions(&self, now: Duration) -> Option<u64> {
        let mut file = self.file.lock();
        let file = file.as_mut()?;
        if file.is_at(&self.path, now) { file.deletions() } else { None }
    }

    /// Where batches of `owner` are in the file as it is now; `None` if there is no file.
    fn look(&self, disk: &dyn Disk, owner: Owner) -> Result<Option<Places>> {
        let io_error = |e| Error::io("read", &self.path, e);
        if let Some(file) = self.file.lock().as_mut()
            && file.is_at(&self.path, disk.monotonic())
        {
            file.refresh().map_err(io_error)?;
            return Ok(Some(Places::of(file, owner)));
        }
        let opened = FollowedFile::open(disk, &self.path, self.number)?;
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
            words: file.words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::CHUNK_BYTES;
    use super::super::tests::IDENTITY;
    use super::super::{BatchWriter, Identity, SlotClass, Tail};
    use super::file::ASK_EVERY;
    use super::*;
    use crate::disk::simulated::{FaultKind, FaultRule, Operation, SimulatedDisk};

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
        found.batches.iter().map(|batch| batch.records_and_durable_bytes()).collect()
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
    fn a_glance_takes_no_call_and_misses_nothing() {
        let disk = SimulatedDisk::new(1);
        let (tail, tails) = (open(&disk), FollowedTails::new(Path::new("")));
        let other = Tail::open(&disk, Path::new(TAIL_NAMES[1]), 4 << 20, false, 2).unwrap();
        let seen = || tails.look_for(&disk, 7, 3, &FollowedPartition::default()).unwrap();
        let is_as_before = |before: &FollowedPartition| {
            let calls = disk.calls();
            let is_as_before = tails.are_as_before(&disk, before);
            assert_eq!(disk.calls(), calls);
            is_as_before
        };
        assert!(!is_as_before(&FollowedPartition::default()), "nobody has looked yet");
        let before = seen();
        assert!(is_as_before(&before));
        let mut writer = take(&tail, 3);
        assert!(!is_as_before(&before), "a slot was opened");
        assert!(!is_as_before(&seen()), "nothing is in it yet, and may be at any moment");
        append(&mut writer, b"one");
        let before = seen();
        assert!(is_as_before(&before));
        append(&mut writer, b"two");
        assert!(!is_as_before(&before));
        let covered = writer.batch().commit().unwrap().unwrap();
        let before = seen();
        writer.batch().note_synced(covered);
        assert!(!is_as_before(&before), "more of it is durable");
        for changed in [&tail, &other] {
            let before = seen();
            changed.note_bypassed();
            assert!(!is_as_before(&before), "a batch went into a segment");
            let before = seen();
            changed.note_deleted();
            assert!(!is_as_before(&before));
            let before = seen();
            changed.say_default(true).unwrap();
            assert!(!is_as_before(&before));
        }
        let before = seen();
        drop(writer);
        assert!(is_as_before(&before), "what was sealed is still in its slot");
        append(&mut take(&tail, 4), b"one");
        assert!(!is_as_before(&before));
    }

    #[test]
    fn a_file_that_could_not_be_told_that_it_is_replaced_is_asked_for_by_its_name_a_little_later() {
        let disk = SimulatedDisk::new(1);
        let tails = FollowedTails::new(Path::new(""));
        append(&mut take(&open(&disk), 3), b"one");
        assert_eq!(look(&tails, &disk, 3).len(), 1);
        // A file with a second name is never written.
        disk.put_link(TAIL_NAMES[0], "backup");
        append(&mut take(&open(&disk), 3), b"two");
        disk.advance(ASK_EVERY);
        assert_eq!(look(&tails, &disk, 3), [(b"two".to_vec(), 0)]);
    }

    #[test]
    fn where_no_file_could_be_put_into_its_place_a_file_is_looked_at_as_before() {
        let disk = SimulatedDisk::new(1);
        let tails = FollowedTails::new(Path::new(""));
        let tail = open(&disk);
        append(&mut take(&tail, 3), b"one");
        assert_eq!(look(&tails, &disk, 3).len(), 1);
        disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Rename));
        let tail = Tail::open(&disk, Path::new(TAIL_NAMES[0]), 4 << 20, false, 5).unwrap();
        assert_eq!(look(&tails, &disk, 3), [], "it was emptied");
        tail.supply_if_short();
        append(&mut take(&tail, 3), b"two");
        assert_eq!(look(&tails, &disk, 3), [(b"two".to_vec(), 0)]);
        assert_eq!(
            calls(&disk, || assert_eq!(look(&tails, &disk, 3).len(), 1)),
            [Operation::Open],
            "of the other file"
        );
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
        assert_eq!(grown.batches[0].records_and_durable_bytes(), (b"onetwo".to_vec(), 0));
        assert_eq!(first.batches[0].records_and_durable_bytes(), (b"one".to_vec(), 0), "as it was then");
        assert!(grown.only_grew_since(&first) && !first.only_grew_since(&grown));
        drop(writer);
        assert!(look(&grown).only_grew_since(&grown), "what was sealed is still in its slot");
        append(&mut take(&tail, 3), b"three");
        let next = look(&grown);
        assert_eq!(next.batches[0].records_and_durable_bytes(), (b"three".to_vec(), 0));
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
