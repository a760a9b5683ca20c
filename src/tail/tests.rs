//! The tail over the simulated disk and a real one: what a kill and a power cut leave.

use std::path::PathBuf;

use std::io::ErrorKind;

use super::*;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use crate::format::{Attributes, BatchStart, ProducerStamp};

pub(super) const IDENTITY: Identity = Identity {
    topic_id: 7,
    partition: 3,
    start: BatchStart {
        base_offset: 100,
        leader_epoch: 0,
        attributes: Attributes::NONE,
        base_timestamp: 0,
        stamp: ProducerStamp::NONE,
    },
};

/// The identity of a batch of the same log at another offset.
fn at(base_offset: u64) -> Identity {
    Identity { start: BatchStart { base_offset, ..IDENTITY.start }, ..IDENTITY }
}

fn path() -> PathBuf {
    PathBuf::from("tail")
}

/// A disk on which the tail is mapped, and one on which it is written by calls.
fn disks() -> [SimulatedDisk; 2] {
    let disks = [1, 1].map(SimulatedDisk::new);
    disks[1].copy_on_write();
    disks
}

fn open(disk: &SimulatedDisk) -> Tail {
    Tail::open(disk, &path(), 4 << 20, false, 1).unwrap()
}

/// The batches of which something can be told.
fn salvaged(disk: &SimulatedDisk, path: &std::path::Path) -> Result<Vec<Salvaged>> {
    examine(disk, path, false).map(|contents| contents.batches)
}

fn take(tail: &Tail, class: SlotClass, identity: Identity) -> Option<BatchWriter> {
    tail.take(class, class, identity).or_else(|| {
        tail.supply_if_short();
        tail.take(class, class, identity)
    })
}

fn append(writer: &mut BatchWriter, bytes: &[u8]) {
    writer.unpublished()[..bytes.len()].copy_from_slice(bytes);
    let next = writer.batch().next_offset() + 1;
    writer.publish(bytes.len(), next).unwrap();
}

#[test]
fn what_is_published_survives_a_kill_and_what_is_not_does_not() {
    for disk in disks() {
        let tail = open(&disk);
        let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
        append(&mut writer, b"one");
        append(&mut writer, b"two");
        writer.unpublished()[..5].copy_from_slice(b"three");
        let found = salvaged(&disk.kill(1), &path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].identity, IDENTITY);
        assert_eq!(found[0].records, b"onetwo");
        assert!(!found[0].torn);
    }
}

#[test]
fn where_the_tail_is_written_by_calls_nothing_is_mapped() {
    for (disk, is_mapped) in disks().into_iter().zip([true, false]) {
        let tail = open(&disk);
        append(&mut take(&tail, SlotClass::Small, IDENTITY).unwrap(), b"one");
        assert_eq!(disk.log().iter().any(|call| call.operation == Operation::MapShared), is_mapped);
        assert_eq!(tail.is_written_by_calls(), !is_mapped);
    }
}

#[test]
fn a_full_disk_below_a_tail_that_is_written_by_calls_publishes_nothing_and_is_over_with_room() {
    let [_, disk] = disks();
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    append(&mut writer, b"one");
    let committed = writer.batch().commit().unwrap().unwrap();
    tail.sync().unwrap();
    writer.batch().note_synced(committed);
    disk.limit_capacity(Some(disk.used_bytes()));
    writer.unpublished()[..3].copy_from_slice(b"two");
    assert_eq!(writer.publish(3, 102).unwrap_err().into_inner().kind(), ErrorKind::StorageFull);
    assert_eq!((writer.records(), writer.batch().next_offset()), (&b"one"[..], 101));
    assert_eq!(salvaged(&disk.kill(1), &path()).unwrap()[0].records, b"one");
    assert!(take(&tail, SlotClass::Small, at(200)).is_none(), "it goes around the tail");
    disk.limit_capacity(None);
    append(&mut writer, b"three");
    disk.limit_capacity(Some(disk.used_bytes()));
    assert_eq!(writer.batch().commit().unwrap_err().kind(), ErrorKind::StorageFull);
    disk.limit_capacity(None);
    assert_eq!(writer.batch().commit().unwrap(), Some(102), "what was refused is still to be committed");
    assert_eq!(salvaged(&disk.kill(1), &path()).unwrap()[0].records, b"onethree");
}

#[test]
fn what_was_committed_before_a_sync_survives_every_power_cut() {
    for model in CrashModel::ALL {
        for seed in 0..16 {
            let disk = disks().into_iter().nth(seed % 2).unwrap();
            let (tail, seed) = (open(&disk), seed as u64);
            disk.sync_dir(std::path::Path::new("")).unwrap();
            let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
            for round in 0..4_u8 {
                append(&mut writer, &[round; 300]);
                let next_offset = writer.batch().commit().unwrap().unwrap();
                tail.sync().unwrap();
                writer.batch().note_synced(next_offset);
                // However often a commit is begun and its sync fails, the entry that was synced stays.
                append(&mut writer, &[100 + round; 100]);
                writer.batch().commit().unwrap();
                append(&mut writer, &[100 + round; 100]);
                writer.batch().commit().unwrap();
            }
            let found = salvaged(&disk.crash(seed, model), &path()).unwrap();
            assert_eq!(found.len(), 1, "{model:?} {seed}");
            assert!(found[0].durable_bytes >= 3 * 500 + 300, "{model:?} {seed}");
            let expected: Vec<u8> =
                (0..4_u8).flat_map(|round| [vec![round; 300], vec![100 + round; 200]].concat()).collect();
            assert!(expected.starts_with(&found[0].records), "{model:?} {seed}");
        }
    }
}

#[test]
fn a_slot_is_reused_only_when_the_last_reader_has_gone() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Large, IDENTITY).unwrap();
    append(&mut writer, b"kept");
    let reader = Arc::clone(writer.batch());
    drop(writer);
    let mut others: Vec<_> = std::iter::from_fn(|| take(&tail, SlotClass::Large, IDENTITY)).collect();
    // One of the file's four chunks is cut into small slots, which are kept at hand, and one slot is held.
    assert_eq!(others.len(), 3 * CHUNK_BYTES / SlotClass::Large.slot_bytes() - 1);
    for other in &mut others {
        append(other, b"lost");
    }
    assert_eq!(*reader.records().unwrap(), b"kept"[..]);
    drop(reader);
    assert!(take(&tail, SlotClass::Large, IDENTITY).is_some());
}

#[test]
fn slots_in_use_lie_together() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writers: Vec<_> = (0..4).map(|_| take(&tail, SlotClass::Small, IDENTITY).unwrap()).collect();
    let place = |writer: &BatchWriter| writer.records().as_ptr().addr();
    let places: Vec<_> = writers.iter().map(place).collect();
    assert!(places.is_sorted());
    drop(writers.remove(1));
    drop(writers.remove(0));
    assert_eq!(place(&take(&tail, SlotClass::Small, IDENTITY).unwrap()), places[0]);
}

#[test]
fn opening_clears_the_file_for_good() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    append(&mut take(&tail, SlotClass::Small, IDENTITY).unwrap(), b"one");
    let disk = disk.kill(1);
    assert_eq!(salvaged(&disk, &path()).unwrap().len(), 1);
    drop(open(&disk));
    disk.sync_dir(std::path::Path::new("")).unwrap();
    assert_eq!(salvaged(&disk, &path()).unwrap(), []);
    assert_eq!(salvaged(&disk.crash(1, CrashModel::Subset), &path()).unwrap(), []);
}

#[test]
fn a_slot_taken_again_does_not_show_its_former_batch() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Large, IDENTITY).unwrap();
    append(&mut writer, b"former");
    writer.batch().commit().unwrap();
    drop(writer);
    let _again = take(&tail, SlotClass::Large, at(101)).unwrap();
    assert_eq!(salvaged(&disk.kill(1), &path()).unwrap(), []);
}

#[test]
fn a_damaged_chunk_table_hides_no_batch() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    append(&mut take(&tail, SlotClass::Large, IDENTITY).unwrap(), b"one");
    let disk = disk.kill(1);
    disk.open(&path(), Open::Write).unwrap().write_at(&[0xff; 8], 512).unwrap();
    assert_eq!(salvaged(&disk, &path()).unwrap().len(), 1);
}

#[test]
fn every_cut_is_told_and_bounds_what_was_in_the_slot() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    append(&mut writer, b"one");
    append(&mut writer, b"two");
    let whole = disk.kill(1).read(path()).unwrap();
    let records = FILE_HEADER_BYTES + layout::RECORDS;
    for cut in [16, 512, 4095, 4096, 4100, 4500, 5600, records, records + 1, records + 6, 8192, 9000, whole.len() - 1] {
        let disk = disk.kill(1);
        disk.put(path(), &whole[..cut]);
        let TailContents { batches, damage } = examine(&disk, &path(), true).unwrap();
        assert!(!damage.is_empty(), "{cut}");
        if cut < FILE_HEADER_BYTES + layout::PUBLISHED {
            assert_eq!(batches, [], "{cut}");
            continue;
        }
        let batch = &batches[0];
        assert_eq!((batch.identity, batch.torn), (IDENTITY, cut < records + 6), "{cut}");
        let room = SlotClass::Small.records_bytes_max() as u64 / 7;
        assert_eq!(batch.lost_records_max, if batch.torn { room } else { 0 }, "{cut}");
    }
    assert_eq!(examine(&disk.kill(1), &path(), true).unwrap().damage, []);
}

#[test]
fn a_slot_that_does_not_say_any_more_whose_it_was_is_told() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    append(&mut take(&tail, SlotClass::Large, IDENTITY).unwrap(), b"one");
    let disk = disk.kill(1);
    let whole = disk.read(path()).unwrap();
    let start = whole.windows(4).position(|bytes| bytes == b"OTSL").unwrap();
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = whole.clone();
        change(&mut bytes[start..start + 512]);
        bytes
    };
    for bytes in [with(&|sector| sector[0] ^= 1), with(&|sector| sector[20] ^= 1), with(&|sector| sector.fill(0))] {
        disk.put(path(), &bytes);
        let found = examine(&disk, &path(), true).unwrap();
        assert_eq!((found.batches, found.damage.len()), (vec![], 1));
        assert_eq!(found.damage[0].0, start as u64);
    }
}

#[test]
fn what_a_later_commit_says_was_synced_is_missed() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    for _ in 0..3 {
        append(&mut writer, b"record");
        let next_offset = writer.batch().commit().unwrap().unwrap();
        tail.sync().unwrap();
        writer.batch().note_synced(next_offset);
    }
    let disk = disk.kill(1);
    let at = FILE_HEADER_BYTES + layout::RECORDS;
    for (damaged, lost_synced) in [(at, true), (at + 7, true), (at + 13, false)] {
        let disk = disk.kill(1);
        disk.flip_bit(path(), damaged as u64, 0);
        let found = salvaged(&disk, &path()).unwrap();
        assert_eq!((found[0].torn, found[0].lost_synced), (true, lost_synced), "{damaged}");
    }
}

#[test]
fn reading_while_another_thread_appends_sees_whole_records() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Large, IDENTITY).unwrap();
    let batch = Arc::clone(writer.batch());
    std::thread::scope(|scope| {
        scope.spawn(move || (0..200_u8).for_each(|i| append(&mut writer, &[i; 8])));
        scope.spawn(move || {
            let mut seen = 0;
            while seen < 1600 {
                let records = batch.records().unwrap();
                assert!(
                    records.chunks_exact(8).enumerate().all(|(i, record)| record.iter().all(|&b| usize::from(b) == i))
                );
                seen = records.len();
                std::thread::yield_now();
            }
        });
    });
}

#[test]
fn whoever_still_looks_at_a_tail_that_is_made_anew_sees_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (crate::disk::os::OsDisk::new(), dir.path().join("tail"));
    let tail = Tail::open(&disk, &path, 4 << 20, false, 1).unwrap();
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    append(&mut writer, b"one");
    let anew = Tail::open(&disk, &path, 4 << 20, false, 2).unwrap();
    append(&mut take(&anew, SlotClass::Small, IDENTITY).unwrap(), b"two");
    // With the old file cut, this would be a signal.
    assert_eq!(writer.records(), b"one");
    append(&mut writer, b"more");
    assert_eq!(writer.records(), b"onemore");
}

#[test]
fn a_sync_that_failed_while_growing_is_told_to_the_next_who_syncs() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    append(&mut writer, b"one");
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
    assert!(take(&tail, SlotClass::Large, IDENTITY).is_none());
    assert_eq!(disk.faults_injected(), 1);
    // The record's sector may have been given up and be taken for clean.
    writer.batch().commit().unwrap();
    assert!(tail.sync().is_err());
}

#[test]
fn a_closed_tail_is_never_grown_again() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let held: Vec<_> = std::iter::from_fn(|| tail.take(SlotClass::Small, SlotClass::Small, IDENTITY)).collect();
    let before = disk.read(path()).unwrap();
    drop(held);
    tail.close();
    tail.retry_supply();
    assert!(take(&tail, SlotClass::Small, IDENTITY).is_none());
    assert_eq!(disk.read(path()).unwrap().len(), before.len());
}

#[test]
fn closing_waits_for_who_is_in_a_slot_and_lets_nobody_in_after() {
    let disk = SimulatedDisk::new(1);
    let tail = open(&disk);
    let mut writer = take(&tail, SlotClass::Small, IDENTITY).unwrap();
    append(&mut writer, b"kept");
    let batch = Arc::clone(writer.batch());
    let lent = batch.records().unwrap();
    std::thread::scope(|threads| {
        let closing = threads.spawn(|| tail.close());
        // Nobody is lent anything from the moment on at which closing begins.
        while batch.records().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(*lent, b"kept"[..]);
        drop(lent);
        assert_eq!(writer.records(), b"kept");
        assert!(!closing.is_finished(), "a writer has its batch");
        drop(writer);
        closing.join().unwrap();
    });
    assert!(batch.records().is_none());
    assert!(batch.commit().is_err(), "what is not covered is not taken for covered");
    assert!(take(&tail, SlotClass::Small, IDENTITY).is_none());
    assert_eq!(salvaged(&disk.kill(1), &path()).unwrap()[0].records, b"kept");
}
