//! Backups that are not what was made, and calls that make no sense: a typed error, and nothing was changed.

use std::ops::ControlFlow;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{BackupOptions, BackupProgress, Broker, Error, ExportOptions, RestoreOptions, TopicConfig};

use crate::directories::{DATA, contents, fill, open, open_read_only, send};

const BACKUP: &str = "/backups/one";
const NEXT: &str = "/backups/two";

fn is_nothing_below(disk: &SimulatedDisk, dir: &str) -> bool {
    !disk.files().iter().any(|(path, _)| path.starts_with(dir))
}

#[test]
fn a_base_is_linked_where_the_source_cannot_be() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    disk.fail(FaultRule::new(FaultKind::PermissionDenied).on(Operation::HardLink).path_containing("/data/").forever());
    let first = broker.admin().backup(BACKUP).unwrap();
    assert_eq!(first.bytes_linked(), 0, "{first}");
    let second = broker.admin().backup_with(NEXT, &BackupOptions::new().base(BACKUP)).unwrap();
    assert!(second.bytes_copied() < first.bytes_copied() / 4, "{second}");
    let copy = open_read_only(&disk, NEXT);
    assert_eq!(contents(&copy), contents(&broker));
    assert!(copy.admin().verify().unwrap().is_clean());
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    send(&broker, "t", 0..3);
    let refused = broker.admin().backup_with(BACKUP, &BackupOptions::new().bytes_per_second(0));
    assert!(matches!(refused, Err(Error::InvalidConfig { key: "bytes_per_second", .. })), "{refused:?}");
    assert!(is_nothing_below(&disk, BACKUP));
}

#[test]
fn a_limited_backup_tells_within_a_segment_how_far_it_is_and_is_cancelled_there() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("t", TopicConfig::new().segment_bytes(5 << 20)).unwrap();
    send(&broker, "t", 0..1000);
    let told = Mutex::new(Vec::new());
    let show = |progress: &BackupProgress| {
        told.lock().unwrap().push(progress.bytes_done());
        ControlFlow::Continue(())
    };
    let limited = || BackupOptions::new().copy_all(true).bytes_per_second(100_000);
    broker.admin().backup_with(BACKUP, &limited().on_progress(&show)).unwrap();
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.iter().filter(|bytes| **bytes < 5 << 20).count() > 3, "{told:?}");
    let stop = |_: &BackupProgress| ControlFlow::Break(());
    let refused = broker.admin().backup_with(NEXT, &limited().on_progress(&stop));
    assert!(matches!(refused, Err(Error::Cancelled { .. })), "{refused:?}");
    assert!(is_nothing_below(&disk, NEXT));
    assert!(open_read_only(&disk, BACKUP).admin().verify().unwrap().is_clean());
}

/// At the point of a backup logs are held: that is no time to keep to a limit.
#[test]
fn nobody_is_held_for_a_limit() {
    // How long a backup takes, in which so many records come in when the last call but those of the point was made; and the calls.
    let lasted = |last: Option<u64>| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, DATA);
        send(&broker, "t", 0..20);
        let calls = AtomicU64::new(0);
        let come = |_: &BackupProgress| {
            if Some(calls.fetch_add(1, Ordering::Relaxed) + 1) == last {
                send(&broker, "t", 20..40);
            }
            ControlFlow::Continue(())
        };
        let options = BackupOptions::new().bytes_per_second(100).on_progress(&come);
        let report = broker.admin().backup_with(BACKUP, &options).unwrap();
        assert_eq!(contents(&open_read_only(&disk, BACKUP)), contents(&broker));
        (report.duration().as_secs(), calls.into_inner())
    };
    let (before, calls) = lasted(None);
    let (after, _) = lasted(Some(calls));
    assert!(before > 500 && after < before + 10, "{before} s, and {after} s");
}

#[test]
fn nothing_is_made_inside_a_data_directory_or_a_backup() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    send(&broker, "t", 0..3);
    broker.admin().backup(BACKUP).unwrap();
    for dir in [DATA, BACKUP] {
        // A directory that is empty.
        disk.put(format!("{dir}/hole/file"), b"");
        disk.delete(format!("{dir}/hole/file"));
        for target in [format!("{dir}/hole"), format!("{dir}/hole/new"), format!("{dir}/new")] {
            let before = disk.files();
            let made = [
                broker.admin().backup(&target).map(drop),
                broker.admin().export(&target, &ExportOptions::new()).map(drop),
                Broker::restore_with(BACKUP, &target, &RestoreOptions::new().disk(&disk)).map(drop),
            ];
            for refused in made {
                assert!(matches!(refused, Err(Error::InsideDataDirectory { .. })), "{target}: {refused:?}");
            }
            assert_eq!(disk.files(), before, "{target}");
        }
    }
    assert!(open_read_only(&disk, BACKUP).admin().verify().unwrap().is_clean());
}

#[test]
fn a_base_that_is_not_there_is_not_found() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    send(&broker, "t", 0..3);
    let refused = broker.admin().backup_with(BACKUP, &BackupOptions::new().base("/backups/nothing"));
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    assert!(is_nothing_below(&disk, BACKUP));
}

#[test]
fn backups_that_are_made_at_once_with_one_base_are_each_whole() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path().join("data")).durability(ottla::Durability::Os).open().unwrap();
    fill(&broker);
    let base = dir.path().join("base");
    broker.admin().backup(&base).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (broker, base, dir) = (&broker, &base, dir.path());
            scope.spawn(move || {
                for round in 0..2 {
                    // Two of them want the same place.
                    let target = dir.join(format!("{round}-{}", thread.min(1)));
                    let options = BackupOptions::new().base(base).copy_all(round % 2 == 0);
                    match broker.admin().backup_with(&target, &options) {
                        // The last one, if the directory was to be made at the same time.
                        Err(
                            Error::Unfinished { .. }
                            | Error::TargetNotEmpty { .. }
                            | Error::Io { action: "create", .. },
                        ) if thread > 0 => {}
                        made => {
                            made.unwrap();
                            let copy = Broker::open_read_only(&target).unwrap();
                            assert!(copy.admin().verify().unwrap().is_clean());
                        }
                    }
                    send(broker, "orders", 100..110);
                    broker.run_maintenance().unwrap();
                }
            });
        }
    });
    for round in 0..2 {
        for place in 0..2 {
            let copy = Broker::open_read_only(dir.path().join(format!("{round}-{place}"))).unwrap();
            assert!(copy.admin().verify().unwrap().is_clean());
        }
    }
}
