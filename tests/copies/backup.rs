//! What a backup holds, and what it shares.

use std::ops::ControlFlow;
use std::path::Path;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{BackupOptions, BackupReport, Broker, Error, TopicPartition};

use crate::directories::{
    DATA, builder, committed, contents, fill, open, open_read_only, partition, read_all, send, small_segments,
};

const MONDAY: &str = "/backups/monday";
const TUESDAY: &str = "/backups/tuesday";

/// That the backup in `dir` opens clean, and is what its report says.
fn is_whole(disk: &SimulatedDisk, dir: &str) -> Broker {
    let copy = open_read_only(disk, dir);
    assert!(copy.recovery_report().is_clean(), "{}", copy.recovery_report());
    let report = copy.admin().verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.to_string().contains("against the report of the backup"), "{report}");
    copy
}

#[test]
fn a_backup_of_an_open_broker_has_everything_and_opens_clean() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    let before = contents(&broker);
    let report = broker.admin().backup(MONDAY).unwrap();
    send(&broker, "orders", 70..90);
    assert!(report.bytes_linked() > 0, "{report}");
    let copy = is_whole(&disk, MONDAY);
    assert_eq!(contents(&copy), before);
    let orders = TopicPartition::new("orders", 0);
    let found = before.iter().find(|content| content.partition == orders).unwrap();
    assert_eq!(report.offsets(&orders), Some(found.offsets.clone()));
    assert!(report.partitions().any(|partition| partition.topic() == "__consumer_offsets"));
    copy.close().unwrap();
    // Whoever opens it for writing goes on from there.
    let mut restored = open(&disk, MONDAY);
    assert!(restored.recovery_report().is_clean(), "{}", restored.recovery_report());
    for _ in 0..2 {
        assert_eq!(contents(&restored), before);
        assert_eq!(committed(&restored, "billing", "orders"), committed(&broker, "billing", "orders"));
        assert!(!restored.admin().verify().unwrap().to_string().contains("backup"), "it is none any more");
        restored.close().unwrap();
        restored = open(&disk, MONDAY);
    }
}

#[test]
fn a_second_backup_links_what_the_first_one_holds() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    let copied = broker.admin().backup_with(MONDAY, &BackupOptions::new().copy_all(true)).unwrap();
    assert_eq!(copied.bytes_linked(), 0, "{copied}");
    send(&broker, "orders", 70..72);
    broker.admin().backup_with(TUESDAY, &BackupOptions::new().base(MONDAY)).unwrap();
    let before = contents(&broker);
    assert_eq!(contents(&is_whole(&disk, TUESDAY)), before);
    // Each is whole by itself.
    for (path, _) in disk.files().iter().filter(|(path, _)| path.starts_with(MONDAY)) {
        disk.delete(path);
    }
    assert_eq!(contents(&is_whole(&disk, TUESDAY)), before);
}

#[test]
fn where_no_links_can_be_made_all_is_copied() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    disk.fail(FaultRule::new(FaultKind::PermissionDenied).on(Operation::HardLink).forever());
    let report = broker.admin().backup(MONDAY).unwrap();
    assert_eq!(report.bytes_linked(), 0, "{report}");
    assert_eq!(contents(&is_whole(&disk, MONDAY)), contents(&broker));
}

#[test]
fn every_changed_byte_of_a_backup_is_found() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.admin().backup_with(MONDAY, &BackupOptions::new().copy_all(true)).unwrap();
    let files: Vec<_> = disk.files().into_iter().filter(|(path, _)| path.starts_with(MONDAY)).collect();
    assert!(files.len() > 30, "{}", files.len());
    for (path, bytes) in files.into_iter().filter(|(path, bytes)| *bytes > 0 && !path.ends_with("backup-report")) {
        disk.flip_bit(&path, bytes / 2, 3);
        // What opening cannot do without says so at once.
        if let Ok(copy) = builder(&disk, MONDAY).recovery_mode(ottla::RecoveryMode::ReadOnly).open() {
            let report = copy.admin().verify().unwrap();
            assert!(report.damage().any(|damage| damage.path == path), "{}: {report}", path.display());
        }
        disk.flip_bit(&path, bytes / 2, 3);
    }
    is_whole(&disk, MONDAY);
}

#[test]
fn a_target_with_something_in_it_is_left_as_it_is() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    send(&broker, "orders", 0..3);
    broker.admin().backup(MONDAY).unwrap();
    let before = disk.files();
    let refused = broker.admin().backup(MONDAY).unwrap_err();
    assert!(matches!(&refused, Error::TargetNotEmpty { path, .. } if path == Path::new(MONDAY)), "{refused}");
    assert!(matches!(broker.admin().backup("/data/orders-0"), Err(Error::TargetNotEmpty { .. })));
    assert!(matches!(broker.admin().backup("/data/inside"), Err(Error::InsideDataDirectory { .. })));
    assert_eq!(disk.files(), before);
    let reader = open_read_only(&disk, DATA);
    assert!(matches!(reader.admin().backup(TUESDAY), Err(Error::ReadOnly { .. })));
    let base = BackupOptions::new().base(DATA);
    assert!(matches!(broker.admin().backup_with(TUESDAY, &base), Err(Error::NotABackup { .. })));
    assert_eq!(disk.files(), before);
}

#[test]
fn a_backup_that_is_cancelled_leaves_nothing() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    let before = disk.files().len();
    for stop_at in 1..8 {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let stop = |progress: &ottla::BackupProgress| {
            assert!(progress.bytes_done() <= progress.bytes_total(), "{progress:?}");
            if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let options = BackupOptions::new().on_progress(&stop);
        let refused = broker.admin().backup_with(MONDAY, &options).unwrap_err();
        assert!(matches!(refused, Error::Cancelled { .. }), "{refused}");
        assert!(!disk.files().iter().any(|(path, _)| path.starts_with("/backups")), "{stop_at}");
    }
    broker.run_maintenance().unwrap();
    assert!(disk.files().len() >= before);
    broker.admin().backup(MONDAY).unwrap();
    is_whole(&disk, MONDAY);
}

#[test]
fn a_limit_spreads_what_is_copied_over_time() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    let options = BackupOptions::new().copy_all(true).bytes_per_second(1000);
    let report = broker.admin().backup_with(MONDAY, &options).unwrap();
    let seconds = report.duration().as_secs();
    assert!((report.bytes_copied() / 2000..report.bytes_copied() / 500).contains(&seconds), "{report}");
    is_whole(&disk, MONDAY);
}

#[test]
fn a_report_is_read_back_from_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path().join("data")).unwrap();
    send(&broker, "orders", 0..20);
    let target = dir.path().join("monday");
    let report = broker.admin().backup(&target).unwrap();
    assert_eq!(BackupReport::read(&target).unwrap(), report);
    assert!(matches!(BackupReport::read(dir.path().join("data")), Err(Error::NotABackup { .. })));
    assert!(Broker::open_read_only(&target).unwrap().admin().verify().unwrap().is_clean());
}

#[test]
fn k12_01_the_copy_of_an_empty_log_begins_where_the_log_does() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("t", small_segments()).unwrap();
    send(&broker, "t", 0..40);
    read_all(&broker, "h", "t");
    send(&broker, "t", 40..100);
    read_all(&broker, "g", "t");
    broker.admin().delete_records(&[(TopicPartition::new("t", 0), 100)]).unwrap();
    broker.admin().backup(MONDAY).unwrap();
    is_whole(&disk, MONDAY).close().unwrap();
    let copy = open(&disk, MONDAY);
    let log = partition(&copy, "t");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (100, 100));
    assert_eq!((committed(&copy, "g", "t"), committed(&copy, "h", "t")), (Some(100), Some(40)));
    assert_eq!(copy.topic("t").unwrap().produce("k", "v").unwrap().offset(), 100);
}
