//! Backups that are not what was made, and calls that make no sense: a typed error, and nothing was changed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    BackupOptions, BackupProgress, Broker, Error, ExportOptions, RestoreOptions, Timestamp, TopicConfig, TopicPartition,
};

use crate::directories::{DATA, contents, fill, open, open_read_only, send, small_segments};

const BACKUP: &str = "/backups/one";
const NEXT: &str = "/backups/two";
const RESTORED: &str = "/restored";

fn restore(disk: &SimulatedDisk, options: RestoreOptions) -> ottla::Result<ottla::RestoreReport> {
    Broker::restore_with(BACKUP, RESTORED, &options.disk(disk))
}

fn t(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn is_nothing_below(disk: &SimulatedDisk, dir: &str) -> bool {
    !disk.files().iter().any(|(path, _)| path.starts_with(dir))
}

/// Has the report of the backup say something else, with a checksum that is right.
fn forge_report(disk: &SimulatedDisk, from: &str, to: &str) {
    let path = format!("{BACKUP}/backup-report");
    let text = String::from_utf8(disk.read(&path).unwrap()).unwrap();
    let body = text.split_inclusive('\n').filter(|line| !line.starts_with("end ")).collect::<String>();
    assert!(body.contains(from), "{body}");
    let body = body.replacen(from, to, 1);
    disk.delete(&path);
    disk.put(&path, format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes())).as_bytes());
}

#[test]
fn a_report_that_contradicts_the_backup_is_refused_and_nothing_is_made() {
    for forged in [
        "partition 0 18446744073709551615 t-0",
        "partition 0 9223372036854775808 t-0",
        "partition 40 30 t-0",
        "partition 1 40 t-0",
        "partition 0 39 t-0",
        "partition 0 40 t-1",
        "partition 0 40 t-0\npartition 0 40 t-1",
        "partition 0 40 t-0\npartition 0 40 ghost-0",
        "partition 0 40 t-0\npartition 0 40 ../ghost-0",
    ] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, DATA);
        broker.create_topic("t", small_segments()).unwrap();
        send(&broker, "t", 0..40);
        broker.admin().backup(BACKUP).unwrap();
        forge_report(&disk, "partition 0 40 t-0", forged);
        let refused = restore(&disk, RestoreOptions::new());
        assert!(matches!(refused, Err(Error::Corrupt(_) | Error::NotABackup { .. })), "{forged}: {refused:?}");
        assert!(is_nothing_below(&disk, RESTORED), "{forged}");
    }
}

#[allow(clippy::disallowed_types, reason = "a file is made that nobody could write")]
#[test]
fn a_report_that_is_larger_than_any_can_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [data, backup, next] = ["data", "backup", "next"].map(|name| dir.path().join(name));
    let broker = Broker::open(data).unwrap();
    send(&broker, "t", 0..3);
    broker.admin().backup(&backup).unwrap();
    let report = std::fs::OpenOptions::new().write(true).open(backup.join("backup-report")).unwrap();
    // Most of it is a hole.
    report.set_len(1 << 43).unwrap();
    assert!(matches!(Broker::restore(&backup, &next), Err(Error::Corrupt(_))));
    assert!(matches!(ottla::BackupReport::read(&backup), Err(Error::Corrupt(_))));
    let refused = broker.admin().backup_with(&next, &BackupOptions::new().base(&backup));
    assert!(matches!(refused, Err(Error::Corrupt(_))));
    assert!(!next.exists());
}

#[allow(clippy::disallowed_types, reason = "a file is made that nobody would write")]
#[test]
fn a_report_of_numbers_that_cannot_be_is_shown_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = format!("ottla-backup 1\ndirectory {:032x}\ntaken {}\nlasted {}\n", 7, i64::MIN, u64::MAX);
    for name in ["a", "b"] {
        for how in ["linked", "copied"] {
            text += &["file ", &u64::MAX.to_string(), " 00000000 ", how, " ", name, "\n"].concat();
        }
    }
    let checksum = crc32fast::hash(text.as_bytes());
    std::fs::write(dir.path().join("backup-report"), format!("{text}end {checksum:08x}\n")).unwrap();
    let report = ottla::BackupReport::read(dir.path()).unwrap();
    assert_eq!((report.bytes_linked(), report.bytes_copied()), (u64::MAX, u64::MAX));
    assert!(report.to_string().contains("bytes copied"), "{report}");
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

/// The largest log file of the topic in a backup.
fn log_of(disk: &SimulatedDisk, dir: &str) -> PathBuf {
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let logs = disk.files().into_iter().filter(|(path, _)| path.starts_with(format!("{dir}/t-0")) && is_log(path));
    logs.max_by_key(|(_, bytes)| *bytes).unwrap().0
}

/// Takes the last bytes of a file.
fn cut_short(disk: &SimulatedDisk, path: &Path) {
    let mut bytes = disk.read(path).unwrap();
    bytes.truncate(bytes.len() - 10);
    disk.delete(path);
    disk.put(path, &bytes);
}

#[test]
fn a_log_file_that_lost_its_end_is_neither_restored_nor_linked_from_a_base() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("t", small_segments()).unwrap();
    send(&broker, "t", 0..40);
    disk.fail(FaultRule::new(FaultKind::PermissionDenied).on(Operation::HardLink).path_containing("/data/").forever());
    broker.admin().backup(BACKUP).unwrap();
    cut_short(&disk, &log_of(&disk, BACKUP));
    let refused = restore(&disk, RestoreOptions::new()).unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
    assert!(is_nothing_below(&disk, RESTORED));
    broker.admin().backup_with(NEXT, &BackupOptions::new().base(BACKUP)).unwrap();
    let copy = open_read_only(&disk, NEXT);
    assert!(copy.admin().verify().unwrap().is_clean(), "{}", copy.admin().verify().unwrap());
    assert_eq!(contents(&copy), contents(&broker));
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
fn above_a_directory_without_a_log_is_refused() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    send(&broker, "t", 0..3);
    broker.admin().backup(BACKUP).unwrap();
    disk.put("/other/file", b"x");
    for other in ["/other", "/nowhere", "/other/file"] {
        let refused = restore(&disk, RestoreOptions::new().above(other));
        assert!(matches!(refused, Err(Error::NotADataDirectory { .. } | Error::Io { .. })), "{other}: {refused:?}");
        assert!(is_nothing_below(&disk, RESTORED), "{other}");
    }
    restore(&disk, RestoreOptions::new().above(DATA)).unwrap();
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

/// Where a batch begins to say what it is, and what its checksum covers.
const CHECKSUM: usize = 17;
const COVERED: usize = 21;
const HEADER: usize = 61;

/// What a batch holds counts no more than its name: whoever has made the backup can have put a checksum over it.
#[test]
fn a_batch_that_contradicts_itself_is_refused_where_it_would_be_cut() {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(1_000_000);
    let broker = open(&disk, DATA);
    broker.create_topic("t", TopicConfig::new()).unwrap();
    for _ in 0..10 {
        broker.topic("t").unwrap().produce("k", "v").unwrap();
    }
    broker.admin().backup_with(BACKUP, &BackupOptions::new().copy_all(true)).unwrap();
    let path = log_of(&disk, BACKUP);
    let whole = disk.read(&path).unwrap();
    let record_bytes = usize::from(whole[HEADER] / 2) + 1;
    // The offset, from that of the batch on, of the third record.
    let at = HEADER + 2 * record_bytes + 3;
    assert_eq!(whole[at], 4);
    for delta in [0, 1, 3, 2, 126, 127] {
        let mut bytes = whole.clone();
        bytes[at] = delta;
        let crc = crc32c::crc32c(&bytes[COVERED..]);
        bytes[CHECKSUM..COVERED].copy_from_slice(&crc.to_be_bytes());
        disk.delete(&path);
        disk.put(&path, &bytes);
        for options in
            [RestoreOptions::new().to_offset(t(0), 5), RestoreOptions::new().to_time(Timestamp::from_millis(5))]
        {
            let refused = restore(&disk, options);
            assert!(matches!(refused, Err(Error::Corrupt(_))), "{delta}: {refused:?}");
            assert!(is_nothing_below(&disk, RESTORED), "{delta}");
        }
    }
}

/// Something that is no file in the place of each file of a backup, in turn.
#[cfg(unix)]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "what nobody writes is put in the place of files"
)]
#[test]
fn what_is_no_file_in_a_backup_is_neither_waited_for_nor_restored() {
    use std::os::unix::fs::symlink;
    use std::{fs, process};

    let dir = tempfile::tempdir().unwrap();
    let [data, backup, restored, next] = ["data", "backup", "restored", "next"].map(|name| dir.path().join(name));
    let broker = Broker::open(data).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    send(&broker, "t", 0..9);
    let before = contents(&broker);
    broker.admin().backup_with(&backup, &BackupOptions::new().copy_all(true)).unwrap();
    let below = |dir: &Path| -> Vec<_> { fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let files: Vec<_> =
        below(&backup).into_iter().chain(below(&backup.join("t-0"))).filter(|path| path.is_file()).collect();
    assert!(files.len() > 8, "{files:?}");
    let aside = dir.path().join("aside");
    for path in files {
        for kind in ["link", "pipe", "directory"] {
            let context = format!("{} is a {kind}", path.display());
            fs::rename(&path, &aside).unwrap();
            match kind {
                "link" => symlink(&aside, &path).unwrap(),
                "pipe" => assert!(process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
                _ => fs::create_dir(&path).unwrap(),
            }
            match Broker::restore(&backup, &restored) {
                Ok(_) => {
                    let copy = Broker::open(&restored).unwrap();
                    assert_eq!(contents(&copy), before, "{context}");
                    let report = copy.admin().verify().unwrap();
                    assert!(report.damage().next().is_none(), "{context}: {report}");
                    copy.close().unwrap();
                    fs::remove_dir_all(&restored).unwrap();
                }
                Err(Error::Corrupt(_) | Error::Io { .. } | Error::NotABackup { .. }) => assert!(!restored.exists()),
                Err(error) => panic!("{context}: {error}"),
            }
            match broker.admin().backup_with(&next, &BackupOptions::new().base(&backup)) {
                Ok(_) => {
                    let copy = Broker::open_read_only(&next).unwrap();
                    assert!(copy.admin().verify().unwrap().is_clean(), "{context}");
                    copy.close().unwrap();
                    fs::remove_dir_all(&next).unwrap();
                }
                Err(Error::Corrupt(_) | Error::Io { .. } | Error::NotABackup { .. }) => assert!(!next.exists()),
                Err(error) => panic!("{context}: {error}"),
            }
            if let Ok(copy) = Broker::open_read_only(&backup) {
                let is_clean = copy.admin().verify().is_ok_and(|report| report.is_clean());
                assert!(!is_clean || path.ends_with("backup-report"), "{context}");
            }
            if kind == "directory" {
                fs::remove_dir(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            fs::rename(&aside, &path).unwrap();
        }
    }
    assert!(Broker::open_read_only(&backup).unwrap().admin().verify().unwrap().is_clean());
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
