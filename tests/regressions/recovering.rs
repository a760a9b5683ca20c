//! Opening after a stop that was not clean, or after files were lost.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord, Timestamp, TopicConfig};

fn builder(disk: &SimulatedDisk, durability: Durability) -> ottla::BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(durability).background(false)
}

fn open(disk: &SimulatedDisk, durability: Durability) -> Broker {
    builder(disk, durability).open().unwrap()
}

fn orders(broker: &Broker) -> ottla::Partition {
    broker.topic("orders").unwrap().partition(0).unwrap()
}

fn append(partition: &ottla::Partition, count: u64) {
    let record = ProducerRecord::to("orders").value(&[7; 100]);
    for _ in 0..count {
        partition.append(&record).unwrap();
    }
}

#[test]
fn a_recovery_that_was_killed_does_not_forget_the_power_cut() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let partition = orders(&broker);
    append(&partition, 10);
    broker.flush().unwrap();
    append(&partition, 10);
    // So that the records are consumed and committed, and the commit is durable, but the records are not.
    let topic = ottla::TopicPartition::new("orders", 0);
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 20);
    consumer.commit().unwrap();
    for seed in 0..20 {
        let cut = disk.crash(seed, CrashModel::Ordered);
        let expected = open(&cut.crash(0, CrashModel::Ordered), Durability::Os);
        if !expected.recovery_report().partitions().iter().any(ottla::PartitionRecovery::leader_epoch_raised) {
            continue;
        }
        let calls = {
            let whole = cut.kill(0);
            let before = whole.calls();
            drop(open(&whole, Durability::Os));
            whole.calls() - before
        };
        for stop in (1..calls).step_by(3) {
            let stopped = cut.kill(0);
            stopped.stop_after(stopped.calls() + stop);
            drop(builder(&stopped, Durability::Os).open());
            let again = open(&stopped.kill(0), Durability::Os);
            let log = orders(&again);
            if log.log_end_offset() >= 20 {
                continue;
            }
            append(&log, 30);
            let mut consumer = again.consumer("billing", ["orders"]).unwrap();
            if consumer.committed(&topic).unwrap().is_none_or(|committed| committed.offset() < 20) {
                continue;
            }
            let polled = consumer.poll(Duration::ZERO);
            assert!(matches!(polled, Err(Error::LogTruncated { .. })), "seed {seed}, stopped after {stop}: {polled:?}");
        }
    }
}

#[test]
fn records_with_timestamps_far_apart_survive_a_kill_and_a_close() {
    let times = [i64::MAX, 0, 5, i64::MAX, 0].map(Timestamp::from_millis);
    for close in [false, true] {
        for durability in [Durability::Os, Durability::Always] {
            let disk = SimulatedDisk::new(1);
            let broker = open(&disk, durability);
            let partition = orders(&broker);
            for (n, time) in times.iter().enumerate() {
                let sent = partition.append(&ProducerRecord::to("orders").timestamp(*time)).unwrap();
                assert_eq!(sent, n as u64);
            }
            let disk = if close {
                broker.close().unwrap();
                disk
            } else {
                disk.kill(1)
            };
            let partition = orders(&open(&disk, durability));
            let records = partition.read(0, 10_000).unwrap();
            let found: Vec<_> = records.iter().map(|record| record.timestamp()).collect();
            assert_eq!(found, times, "{durability:?}, closed {close}");
        }
    }
}

#[test]
fn an_active_segment_that_is_missing_is_damage_and_its_offsets_are_not_given_out_again() {
    for close in [false, true] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Always);
        append(&orders(&broker), 10);
        broker.close().unwrap();
        if !close {
            drop(open(&disk, Durability::Always).producer());
        }
        let log =
            disk.files().into_iter().map(|(path, _)| path).find(|path| path.extension().is_some_and(|e| e == "log"));
        assert!(disk.delete(log.unwrap()));
        let broker = open(&disk, Durability::Always);
        let partition = orders(&broker);
        assert!(broker.recovery_report().partitions().iter().any(|found| found.damage().count() > 0));
        assert_eq!(partition.log_end_offset(), 10);
        assert!(matches!(partition.read(0, 100), Err(Error::Corrupt(_))));
        append(&partition, 1);
        assert_eq!(partition.read(10, 100).unwrap().len(), 1);
        assert!(matches!(partition.read(0, 100), Err(Error::Corrupt(_))));
        broker.close().unwrap();
        let partition = orders(&open(&disk, Durability::Always));
        assert_eq!(partition.read(10, 100).unwrap().len(), 1);
    }
}

#[test]
fn a_manifest_that_is_lost_is_made_anew() {
    let disk = SimulatedDisk::new(1);
    let small = || builder(&disk, Durability::Os).topic_defaults(TopicConfig::new().segment_bytes(64 << 10));
    let broker = small().open().unwrap();
    append(&orders(&broker), 3000);
    broker.close().unwrap();
    let is_manifest = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name == "manifest");
    let manifest = disk.files().into_iter().map(|(path, _)| path).find(is_manifest).unwrap();
    disk.put(&manifest, b"neither generation");
    for round in 0..2 {
        let broker = small().open().unwrap();
        assert_eq!(broker.recovery_report().is_clean(), round == 1, "{:?}", broker.recovery_report());
        assert_eq!(orders(&broker).iter_from(0).flatten().count(), 3000);
        broker.close().unwrap();
    }
}

#[test]
fn a_segment_that_is_missing_is_still_missing_at_the_next_opening() {
    let disk = SimulatedDisk::new(1);
    let small = || builder(&disk, Durability::Os).topic_defaults(TopicConfig::new().segment_bytes(64 << 10));
    let fill = || {
        let broker = small().open().unwrap();
        append(&orders(&broker), 1500);
        broker.close().unwrap();
    };
    let named = |end: &str| {
        let paths = disk.files().into_iter().map(|(path, _)| path);
        paths.filter(|path| path.to_string_lossy().ends_with(end)).collect::<Vec<_>>()
    };
    fill();
    let (manifest, active) = (named("manifest").remove(0), named(".log").pop().unwrap());
    let older = disk.read(&manifest).unwrap();
    fill();
    // Not in the manifest, so that only the gap tells; and the manifest that is made next has no line for what is missing.
    disk.put(&manifest, &older);
    assert!(disk.delete(&active));
    let mut missing = None;
    for round in 0..3 {
        let broker = small().open().unwrap();
        let lost: Vec<_> = broker.recovery_report().damage().filter_map(|damage| damage.offsets.clone()).collect();
        assert_eq!(lost.len(), 1, "round {round}: {:?}", broker.recovery_report());
        let read = orders(&broker).read(lost[0].start, 100);
        assert!(matches!(read, Err(Error::Corrupt(_))), "round {round}: {read:?}");
        assert_eq!(*missing.get_or_insert(lost[0].clone()), lost[0], "round {round}");
        append(&orders(&broker), 10);
        broker.close().unwrap();
    }
}

#[test]
fn a_slot_that_was_given_back_and_then_torn_is_no_loss() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Always);
        append(&orders(&broker), 40);
        broker.close().unwrap();
        let broker = open(&disk, Durability::Always);
        append(&orders(&broker), 40);
        let disk = disk.crash(seed, CrashModel::Subset);
        let broker = open(&disk, Durability::Always);
        assert_eq!(orders(&broker).log_end_offset(), 80);
        let found = broker.recovery_report().partitions();
        assert!(found.iter().all(|found| found.dropped_batches() == 0), "seed {seed}: {found:?}");
    }
}

#[test]
fn a_sync_that_failed_while_the_tail_grew_is_not_forgotten() {
    let mut refused = 0;
    for nth in 1..12 {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Always);
        let names: Vec<String> = (0..3).map(|n| format!("orders-{n}")).collect();
        let mut acknowledged = Vec::new();
        for name in &names {
            broker.topic(name).unwrap();
        }
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always").nth(nth));
        for name in &names {
            let partition = broker.topic(name).unwrap().partition(0).unwrap();
            // The first in small slots, one in a medium one: chunks of their own.
            for bytes in [10, 100, 20_000, 100, 300_000, 10] {
                match partition.append(&ProducerRecord::to(name).value(vec![1; bytes])) {
                    Ok(offset) => acknowledged.push((name, offset)),
                    Err(_) => refused += 1,
                }
            }
        }
        for seed in 0..6 {
            let after = open(&disk.crash(seed, CrashModel::Subset), Durability::Always);
            for (name, offset) in &acknowledged {
                let end = after.topic(name).unwrap().partition(0).unwrap().log_end_offset();
                assert!(*offset < end, "nth {nth}, seed {seed}: {name} ends at {end}, {offset} was acknowledged");
            }
        }
    }
    assert!(refused > 0);
}

/// The system goes on to show an entry of the table of chunks whose sync failed, until a power cut.
#[test]
fn a_tail_whose_growth_failed_is_whole_after_it_was_closed_and_used_again() {
    let mut kept = 0;
    for (nth, seed) in (1..4).flat_map(|nth| (0..8).map(move |seed| (nth, seed))) {
        let disk = SimulatedDisk::new(seed);
        let broker = open(&disk, Durability::Os);
        broker.topic("orders").unwrap();
        let rule = FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail").nth(nth);
        disk.fail(rule.forever());
        _ = broker.topic("orders").unwrap().produce("k", "refused or not");
        disk.clear_faults();
        kept += u32::from(broker.close().is_ok());
        let broker = open(&disk, Durability::Os);
        broker.topic("orders").unwrap().produce("k", "not flushed").unwrap();
        for crash in 0..20 {
            let after = open(&disk.crash(crash, CrashModel::Subset), Durability::Os);
            let damage: Vec<_> = after.recovery_report().damage().map(ToString::to_string).collect();
            assert!(damage.is_empty(), "nth {nth}, seeds {seed} and {crash}: {damage:?}");
        }
    }
    assert!(kept > 0);
}

/// A disk can come back without what was not synced while the machine goes on: a volume that is attached again, say.
#[test]
fn what_a_disk_lost_while_the_machine_went_on_is_told_to_groups() {
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| Broker::builder("/data").disk(disk).background(false).open().unwrap();
    let broker = open(&disk);
    let topic = broker.create_topic("orders", TopicConfig::new().durability(Durability::Os)).unwrap();
    let send = |topic: &ottla::Topic, count: usize| (0..count).for_each(|_| drop(topic.produce("a", "b").unwrap()));
    send(&topic, 10);
    broker.flush().unwrap();
    let synced = disk.kill(1);
    send(&topic, 10);
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 20);
    consumer.commit().unwrap();
    broker.flush().unwrap();

    let back = disk.kill(1);
    let is_of_orders =
        |path: &std::path::Path| path.starts_with("/data/orders-0") || path == std::path::Path::new("/data/tail");
    for (path, _) in back.files().into_iter().filter(|(path, _)| is_of_orders(path)) {
        assert!(back.delete(&path));
    }
    for (path, _) in synced.files().into_iter().filter(|(path, _)| is_of_orders(path)) {
        back.put(&path, &synced.read(&path).unwrap());
    }
    let broker = open(&back);
    let topic = broker.topic("orders").unwrap();
    assert_eq!(topic.partition(0).unwrap().log_end_offset(), 10);
    send(&topic, 20);
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let polled = consumer.poll(Duration::ZERO);
    assert!(matches!(polled, Err(Error::LogTruncated { requested: 20, truncated_to: 10, .. })), "{polled:?}");
}

#[test]
fn a_log_that_is_idle_over_many_kills_keeps_few_leader_epochs() {
    let mut disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| Broker::builder("/data").disk(disk).background(false).open().unwrap();
    let mut broker = open(&disk);
    broker.topic("orders").unwrap().produce("a", "b").unwrap();
    for _ in 0..50 {
        disk = disk.kill(1);
        broker = open(&disk);
        assert!(!broker.recovery_report().was_clean_shutdown());
        let epochs = disk.read("/data/orders-0/leader-epoch-checkpoint").unwrap();
        let lines = String::from_utf8(epochs).unwrap().lines().count();
        assert!(lines <= 4, "{lines} lines");
    }
}

/// The system shows what a failed sync of the tail's table of chunks did not write. An opening that believed it after a clean
/// shutdown put batches into a chunk that a power cut then took out of the table. Found by failing every call.
#[test]
fn a_tail_that_failed_to_grow_is_made_anew_after_a_close() {
    for (nth, seed) in (1..4).flat_map(|nth| (0..20).map(move |seed| (nth, seed))) {
        let disk = SimulatedDisk::new(seed);
        let open = |disk: &SimulatedDisk| Broker::builder("/data").disk(disk).background(false).open();
        let broker = open(&disk).unwrap();
        let topic = broker.topic("orders").unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always").nth(nth));
        let sent = topic.produce("a", "b").is_ok();
        disk.clear_faults();
        _ = broker.close();
        let broker = open(&disk).unwrap();
        assert!(!broker.recovery_report().was_clean_shutdown(), "sync {nth}");
        let end = broker.topic("orders").unwrap().produce("c", "d").unwrap().offset();
        assert!(u64::from(sent) <= end);
        let broker = open(&disk.crash(seed, CrashModel::Subset)).unwrap();
        assert_eq!(broker.recovery_report().damage().count(), 0, "sync {nth}, {:?}", broker.recovery_report());
        assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset(), end + 1);
    }
}

const EPOCHS: &str = "/data/orders-0/leader-epoch-checkpoint";

/// Past the tail and straight into the segment.
fn append_large(partition: &ottla::Partition, count: u64) {
    for _ in 0..count {
        partition.append(&ProducerRecord::to("orders").value(vec![7; 70_000])).unwrap();
    }
}

/// Three records of leader epoch 0, then `in_epoch_1` records after a kill; closed.
fn closed_in_epoch_1(in_epoch_1: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    append_large(&orders(&broker), 3);
    let disk = disk.kill(1);
    let broker = open(&disk, Durability::Os);
    append_large(&orders(&broker), in_epoch_1);
    broker.close().unwrap();
    disk.kill(2)
}

#[test]
fn damage_to_the_leader_epochs_costs_no_record() {
    let damaged: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"0\n0\n"), Some(b"0\n1\n0 0\n")];
    for (in_epoch_1, bytes) in [0, 2].into_iter().flat_map(|count| damaged.map(|bytes| (count, bytes))) {
        let disk = closed_in_epoch_1(in_epoch_1);
        match bytes {
            Some(bytes) => disk.put(EPOCHS, bytes),
            None => assert!(disk.delete(EPOCHS)),
        }
        let broker = open(&disk, Durability::Os);
        append_large(&orders(&broker), 4);
        let broker = open(&disk.kill(3), Durability::Os);
        let what = format!("{in_epoch_1} in epoch 1, {bytes:?}: {}", broker.recovery_report());
        assert_eq!(orders(&broker).iter_from(0).flatten().count() as u64, 7 + in_epoch_1, "{what}");
        assert!(broker.recovery_report().partitions().iter().all(|found| found.cut_bytes() == 0), "{what}");
    }
}

#[test]
fn leader_epochs_that_the_medium_cannot_read_are_rebuilt() {
    let disk = closed_in_epoch_1(2);
    let whole = disk.read(EPOCHS).unwrap();
    let unreadable = FaultRule::new(FaultKind::InputOutput).on(Operation::Read).path_containing("leader-epoch");
    disk.fail(unreadable.forever());
    let broker = open(&disk, Durability::Os);
    append_large(&orders(&broker), 1);
    broker.close().unwrap();
    disk.clear_faults();
    assert_eq!(disk.read(EPOCHS).unwrap(), whole);
}

/// Three records that are in a slot of the tail only, killed, and where that slot begins.
fn in_a_slot() -> (SimulatedDisk, Vec<u8>, usize) {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Always);
    append(&orders(&broker), 3);
    let disk = disk.kill(1);
    let bytes = disk.read(TAIL).unwrap();
    let at = bytes.windows(4).position(|window| window == b"OTSL").unwrap();
    (disk, bytes, at)
}

const TAIL: &str = "/data/tail-always";

/// Gives the slot that begins at `at` another base offset, and the checksum that goes with it.
fn set_base_offset(bytes: &mut [u8], at: usize, base_offset: u64) {
    let (summed, rest) = bytes.get_mut(at..).unwrap().split_at_mut(72);
    *summed.split_at_mut(40).1.first_chunk_mut().unwrap() = base_offset.to_be_bytes();
    *rest.first_chunk_mut().unwrap() = crc32fast::hash(summed).to_be_bytes();
}

#[test]
fn an_open_batch_whose_offsets_do_not_fit_is_told_and_left_out() {
    let largest = i64::MAX.cast_unsigned();
    for base_offset in [u64::MAX, largest + 1, largest, largest - 2] {
        let (disk, mut bytes, at) = in_a_slot();
        set_base_offset(&mut bytes, at, base_offset);
        disk.put(TAIL, &bytes);
        let broker = open(&disk, Durability::Always);
        let report = broker.recovery_report();
        let dropped = report.partitions().iter().map(ottla::PartitionRecovery::dropped_batches).sum::<u64>();
        assert!(dropped > 0 || report.damage().count() > 0, "{base_offset}: {report}");
        assert_eq!(orders(&broker).log_end_offset(), 0, "{base_offset}");
    }
}

#[test]
fn what_a_damaged_open_batch_leaves_out_ends_where_the_next_one_begins() {
    let (disk, mut bytes, at) = in_a_slot();
    let slot_bytes = u32::from_be_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
    bytes.copy_within(at..at + slot_bytes, at + slot_bytes);
    set_base_offset(&mut bytes, at + slot_bytes, 3);
    let third = bytes[at..].windows(100).enumerate().filter(|(_, window)| *window == [7; 100]).nth(2).unwrap().0;
    bytes[at + third + 50] ^= 1;
    disk.put(TAIL, &bytes);
    let broker = open(&disk, Durability::Always);
    let lost: Vec<_> = broker.recovery_report().damage().filter_map(|damage| damage.offsets.clone()).collect();
    assert_eq!(lost, std::slice::from_ref(&(2..3)));
    let partition = orders(&broker);
    assert_eq!(partition.log_end_offset(), 6);
    let before = partition.iter_from(0).take_while(Result::is_ok).count();
    assert_eq!((before, partition.read(3, 10_000).unwrap().len()), (2, 3));
}
