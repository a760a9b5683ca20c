//! A backup by hard links (`cp -al`) stays as it is, and the original goes on.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla::{Broker, Error};

use crate::{open, small_segments, values};

const RECORDS: usize = 200;

fn value(n: usize) -> String {
    format!("{n} {}", "x".repeat(300))
}

fn produce(broker: &Broker, range: std::ops::Range<usize>) {
    let topic = broker.topic("orders").unwrap();
    range.for_each(|n| drop(topic.produce("k", value(n)).unwrap()));
}

#[track_caller]
fn assert_has(broker: &Broker, count: usize) {
    let read = values(&broker.topic("orders").unwrap().partition(0).unwrap());
    assert_eq!(read.len(), count);
    assert!(read.iter().enumerate().all(|(n, found)| *found == value(n)));
}

fn filled(data: &Path) -> Broker {
    let broker = open(data);
    broker.create_topic("orders", small_segments()).unwrap();
    produce(&broker, 0..RECORDS);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.poll(std::time::Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    broker
}

/// What `cp -al` does.
fn link_all(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { link_all(&entry.path(), &to) } else { std::fs::hard_link(entry.path(), to).unwrap() }
    }
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.append(&mut contents(&entry));
        } else {
            files.insert(entry.clone(), std::fs::read(&entry).unwrap());
        }
    }
    files
}

/// The files that differ, without the directory that they are in.
fn differing(before: &BTreeMap<PathBuf, Vec<u8>>, dir: &Path) -> Vec<String> {
    let after = contents(dir);
    assert!(before.keys().eq(after.keys()), "no file came or went");
    let differs = |(path, bytes): &(&PathBuf, &Vec<u8>)| after[*path] != **bytes;
    before.iter().filter(differs).map(|(path, _)| path.strip_prefix(dir).unwrap().display().to_string()).collect()
}

#[test]
fn f47_a_backup_of_a_closed_broker_stays_as_it_is_while_the_original_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    filled(&data).close().unwrap();
    link_all(&data, &backup);
    let before = contents(&backup);
    assert_has(&Broker::open_read_only(&data).unwrap(), RECORDS);

    let broker = open(&data);
    let report = broker.recovery_report();
    assert!(report.is_clean(), "{report}");
    let shared: Vec<_> = report.shared_files().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert!(["tail", "tail-always"].iter().all(|tail| shared.contains(tail)), "{shared:?}");
    assert!(shared.iter().any(|name| name.contains(".log")), "{shared:?}");
    assert!(report.to_string().contains("second name"), "{report}");
    assert_has(&broker, RECORDS);
    // Of the newest segment only, at first, and then over many.
    produce(&broker, RECORDS..RECORDS + 1);
    broker.run_maintenance().unwrap();
    produce(&broker, RECORDS + 1..2 * RECORDS);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.poll(std::time::Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    drop(consumer);
    broker.close().unwrap();
    assert!(differing(&before, &backup).is_empty(), "{:?}", differing(&before, &backup));

    let broker = open(&data);
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    assert_eq!(broker.recovery_report().shared_files().count(), 0, "{}", broker.recovery_report());
    assert_has(&broker, 2 * RECORDS);
    assert!(differing(&before, &backup).is_empty());
    // Both are used at the same time, since neither has anything of the other that is written to.
    let restored = open(&backup);
    assert!(restored.recovery_report().is_clean());
    produce(&restored, RECORDS..RECORDS + 10);
    restored.close().unwrap();
    assert_has(&open(&backup), RECORDS + 10);
    assert_has(&broker, 2 * RECORDS);
}

/// What an open broker writes to is shared until it is opened next: its tails and the newest segment of each partition.
#[test]
fn f47_a_backup_of_an_open_broker_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let broker = filled(&data);
    link_all(&data, &backup);
    let before = contents(&backup);
    assert_has(&broker, RECORDS);
    produce(&broker, RECORDS..2 * RECORDS);
    broker.run_maintenance().unwrap();
    assert_has(&broker, 2 * RECORDS);
    // Its lock is the original's, too.
    assert!(matches!(Broker::open(&backup), Err(Error::AlreadyOpen { .. })));
    assert_has(&broker, 2 * RECORDS);
    broker.close().unwrap();
    let newest_of = |topic: &str| {
        let logs = before.keys().filter(|path| path.starts_with(backup.join(topic)));
        logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().cloned()
    };
    let newest: Vec<_> = ["orders-0", "__consumer_offsets-0"].into_iter().filter_map(newest_of).collect();
    for name in differing(&before, &backup) {
        assert!(name.starts_with("tail") || newest.contains(&backup.join(&name)), "{name} changed");
    }

    let broker = open(&data);
    let before = contents(&backup);
    produce(&broker, 2 * RECORDS..3 * RECORDS);
    broker.close().unwrap();
    assert!(differing(&before, &backup).is_empty(), "{:?}", differing(&before, &backup));
    let broker = open(&data);
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    assert_has(&broker, 3 * RECORDS);
}

#[test]
fn f47_a_backup_that_is_removed_again_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let broker = filled(&data);
    link_all(&data, &backup);
    produce(&broker, RECORDS..RECORDS + 10);
    std::fs::remove_dir_all(&backup).unwrap();
    broker.close().unwrap();
    let broker = open(&data);
    assert!(broker.recovery_report().is_clean() && broker.recovery_report().shared_files().next().is_none());
    assert_has(&broker, RECORDS + 10);
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::TopicConfig;
    use ottla::testing::{CrashModel, SimulatedDisk};

    use super::*;

    fn open(disk: &SimulatedDisk) -> ottla::Result<Broker> {
        Broker::builder("/data").disk(disk).background(false).tail_bytes(1 << 20).open()
    }

    /// A closed broker with a few records, linked as `/backup`, and what that holds.
    fn linked(config: TopicConfig) -> (SimulatedDisk, BTreeMap<PathBuf, Vec<u8>>) {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk).unwrap();
        broker.create_topic("orders", config).unwrap();
        produce(&broker, 0..20);
        broker.close().unwrap();
        for (path, _) in disk.files() {
            disk.put_link(&path, Path::new("/backup").join(path.strip_prefix("/data").unwrap()));
        }
        // Index files are not synced, and would not be what they were after a power cut; with or without a backup.
        let disk = disk.crash_after(u64::MAX);
        let backup = backup_of(&disk);
        (disk, backup)
    }

    fn backup_of(disk: &SimulatedDisk) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = disk.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with("/backup"));
        files.map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
    }

    #[test]
    fn f47_a_crash_at_any_call_beside_a_backup_loses_nothing_and_changes_nothing_of_it() {
        let (disk, backup) = linked(small_segments());
        let mut acknowledged = Vec::new();
        disk.record_stops();
        let broker = open(&disk).unwrap();
        for n in 20..60 {
            produce(&broker, n..n + 1);
            acknowledged.push(disk.calls());
        }
        broker.run_maintenance().unwrap();
        broker.close().unwrap();
        for (calls, stopped) in disk.take_stops() {
            let count = 20 + acknowledged.iter().filter(|&&at| at <= calls).count();
            let images = [stopped.kill(1), stopped.crash(1, CrashModel::Ordered), stopped.crash(2, CrashModel::Subset)];
            for (kind, image) in images.into_iter().enumerate() {
                let what = format!("image {kind} after {calls} calls");
                assert!(backup_of(&image) == backup, "{what}: the backup changed");
                let broker = open(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
                let read = values(&broker.topic("orders").unwrap().partition(0).unwrap());
                assert!(count <= read.len(), "{what}: {} of {count} records", read.len());
                assert!(read.iter().enumerate().all(|(n, found)| *found == value(n)), "{what}");
                broker.topic("orders").unwrap().produce("k", "once more").unwrap();
                broker.close().unwrap();
                assert!(backup_of(&image) == backup, "{what}: the backup changed when it was opened again");
                let is_left = |path: &PathBuf| path.to_string_lossy().ends_with(".log.own");
                assert!(!image.files().iter().any(|(path, _)| is_left(path)), "{what}: a copy is left");
            }
        }
    }

    #[test]
    fn f47_where_there_is_no_room_for_a_copy_a_send_says_so_and_the_next_one_makes_it() {
        let (disk, backup) = linked(TopicConfig::new());
        let broker = open(&disk).unwrap();
        let topic = broker.topic("orders").unwrap();
        disk.limit_capacity(Some(disk.used_bytes()));
        // Too large for a slot of the tail.
        let large = "x".repeat(200_000);
        let full = topic.produce("k", large.as_str()).unwrap_err();
        assert!(matches!(full, Error::DiskFull { .. }) && full.is_retriable(), "{full:?}");
        assert!(!disk.files().iter().any(|(path, _)| path.to_string_lossy().ends_with(".own")));
        assert_has(&broker, 20);
        disk.limit_capacity(None);
        topic.produce("k", large.as_str()).unwrap();
        assert_eq!(topic.partition(0).unwrap().log_end_offset(), 21);
        broker.close().unwrap();
        assert!(backup_of(&disk) == backup);
    }
}
