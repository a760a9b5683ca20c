//! Backups that are not what was made, and calls that make no sense: a typed error, and nothing was changed.

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{BackupOptions, Broker, Error, ExportOptions, RestoreOptions};

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
