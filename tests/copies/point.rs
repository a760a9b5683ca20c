//! The one moment that a backup is of, and what happens around it.

use std::ops::ControlFlow;

use ottla::testing::SimulatedDisk;
use ottla::{BackupOptions, Error, TopicPartition};

use crate::directories::{DATA, builder, compacted, contents, crash, fill, open, open_read_only, send, small_segments};

const BACKUP: &str = "/backups/one";

#[test]
fn k12_04_a_backup_survives_a_power_cut_and_whatever_becomes_of_its_source() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let broker = open(&disk, DATA);
        fill(&broker);
        // Sealed a moment ago, and not synced.
        send(&broker, "orders", 70..100);
        let before = contents(&broker);
        broker.admin().backup(BACKUP).unwrap();
        let disk = crash(&disk, seed);
        let copy = open_read_only(&disk, BACKUP);
        assert_eq!(contents(&copy), before, "seed {seed}");
        let source = builder(&disk, DATA).recovery_mode(ottla::RecoveryMode::SkipCorrupt).open().unwrap();
        send(&source, "state", 0..60);
        source.run_maintenance().unwrap();
        _ = source.admin().compact("state").unwrap();
        source.admin().delete_records(&[(TopicPartition::new("orders", 0), 20)]).unwrap();
        source.close().unwrap();
        let report = open_read_only(&disk, BACKUP).admin().verify().unwrap();
        assert!(report.is_clean(), "seed {seed}: {report}");
    }
}

#[test]
fn k12_05_what_goes_while_a_backup_is_made_is_there_once() {
    for (seed, copies) in [(1, false), (2, true)] {
        let disk = SimulatedDisk::new(seed);
        let broker = open(&disk, DATA);
        fill(&broker);
        broker.create_topic("u", small_segments()).unwrap();
        send(&broker, "u", 0..30);
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let change = |_: &ottla::BackupProgress| {
            match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                3 => _ = broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 20)]).unwrap(),
                5 => {
                    send(&broker, "state", 100..160);
                    broker.run_maintenance().unwrap();
                    _ = broker.admin().compact("state").unwrap();
                }
                7 => broker.admin().delete_topic("u").unwrap(),
                8 => _ = broker.create_topic("u", small_segments()).unwrap(),
                9 => send(&broker, "u", 500..503),
                _ => {}
            }
            ControlFlow::Continue(())
        };
        let options = BackupOptions::new().copy_all(copies).on_progress(&change);
        broker.admin().backup_with(BACKUP, &options).unwrap();
        assert!(calls.into_inner() > 12);
        let copy = open_read_only(&disk, BACKUP);
        let report = copy.admin().verify().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(contents(&copy), contents(&broker));
        assert!(!disk.files().iter().any(|(path, _)| path.to_string_lossy().contains("backup-staging")));
    }
}

#[test]
fn k12_06_same_name_and_same_size_is_not_the_same_file() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("state", compacted()).unwrap();
    broker.create_topic("u", small_segments()).unwrap();
    send(&broker, "state", 0..60);
    send(&broker, "u", 100..130);
    broker.admin().backup_with(BACKUP, &BackupOptions::new().copy_all(true)).unwrap();
    send(&broker, "state", 60..120);
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    broker.admin().delete_topic("u").unwrap();
    broker.create_topic("u", small_segments()).unwrap();
    send(&broker, "u", 200..230);
    broker.admin().backup_with("/backups/two", &BackupOptions::new().base(BACKUP)).unwrap();
    let copy = open_read_only(&disk, "/backups/two");
    assert_eq!(contents(&copy), contents(&broker));
    assert!(copy.admin().verify().unwrap().is_clean());
}

/// A backup that dies at each of its calls, of the process or with the power, leaves the source and earlier backups as they were, and
/// nothing that could be taken for a backup.
#[test]
fn k12_07_a_backup_that_dies_at_any_call_harms_nothing() {
    let (first, second) = ("/backups/first", "/backups/second");
    let build = || {
        let disk = SimulatedDisk::new(3);
        let broker = open(&disk, DATA);
        broker.create_topic("t", small_segments()).unwrap();
        send(&broker, "t", 0..30);
        broker.admin().backup(first).unwrap();
        broker.admin().delete_records(&[(TopicPartition::new("t", 0), 10)]).unwrap();
        send(&broker, "t", 30..40);
        broker.flush().unwrap();
        (disk, broker)
    };
    let (disk, broker) = build();
    let (of_first, of_second) = (contents(&open_read_only(&disk, first)), contents(&broker));
    let (disk, broker) = build();
    let began = disk.calls();
    broker.admin().backup_with(second, &BackupOptions::new().base(first)).unwrap();
    let calls = disk.calls() - began;
    assert!(calls > 100);
    let mut whole = 0;
    for call in 1..=calls {
        for is_power_cut in [false, true] {
            let (disk, broker) = build();
            disk.stop_after(disk.calls() + call);
            _ = broker.admin().backup_with(second, &BackupOptions::new().base(first));
            let disk = if is_power_cut { crash(&disk, call) } else { disk.kill(call) };
            match builder(&disk, second).recovery_mode(ottla::RecoveryMode::ReadOnly).open() {
                Ok(copy) => {
                    whole += 1;
                    assert_eq!(contents(&copy), of_second, "call {call}");
                    assert!(copy.admin().verify().unwrap().is_clean());
                }
                Err(Error::Unfinished { .. } | Error::NotADataDirectory { .. }) => {}
                Err(error) => panic!("call {call}: {error}"),
            }
            let source = open(&disk, DATA);
            assert_eq!(contents(&source), of_second, "call {call}");
            assert!(!disk.files().iter().any(|(path, _)| path.to_string_lossy().contains("backup-staging")));
            let copy = open_read_only(&disk, first);
            assert_eq!(contents(&copy), of_first, "call {call}");
            assert!(copy.admin().verify().unwrap().is_clean());
        }
    }
    assert!(whole < 12, "{whole} of them were done");
}
