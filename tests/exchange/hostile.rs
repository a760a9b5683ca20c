//! Directories that are not what a broker leaves: every one of them imports as far as it is right, or is a typed error, and nothing was
//! changed then.

use std::fs;
use std::path::{Path, PathBuf};

use ottla::{Broker, Error, ImportOptions, Isolation, ProducerRecord, TopicConfig};
use tempfile::TempDir;

use crate::data::{clean, copy, files};
use crate::{is_whole, open, seen_by};

/// A copy of some directories of the broker.
fn source(partitions: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for partition in partitions {
        copy(&clean().join(partition), &dir.path().join(partition));
    }
    fs::copy(clean().join("log-start-offset-checkpoint"), dir.path().join("log-start-offset-checkpoint")).unwrap();
    dir
}

/// The log files of a partition, in order.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found.sort_unstable();
    found
}

/// Imports into a new directory, and expects that nothing of it is there after an error.
fn import(source: &Path) -> Result<(TempDir, Broker, ottla::ImportReport), Error> {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let before = files(source);
    let imported = broker.admin().import(source, &ImportOptions::new());
    assert!(before == files(source), "the source was changed");
    match imported {
        Ok(report) => {
            is_whole(&broker);
            Ok((dir, broker, report))
        }
        Err(error) => {
            assert!(broker.admin().list_topics().unwrap().is_empty());
            let left: Vec<_> = files(dir.path()).into_keys().filter(|name| name.contains('/')).collect();
            assert!(left.is_empty(), "{left:?}");
            // The same directory takes something else.
            broker.topic("epochs").unwrap().produce("k", "v").unwrap();
            Err(error)
        }
    }
}

/// The message of an error that says what is wrong with the source, and where.
fn refused(source: &Path) -> String {
    match import(source) {
        Err(
            error @ (Error::Corrupt(_)
            | Error::CannotImport { .. }
            | Error::InvalidTopic { .. }
            | Error::InvalidConfig { .. }
            | Error::Io { .. }),
        ) => error.with_causes().to_string(),
        Err(other) => panic!("{other}"),
        Ok((_, _, report)) => panic!("{report}"),
    }
}

#[test]
fn damage_in_the_middle_is_an_error_with_its_place() {
    let source = source(&["epochs-0"]);
    let dir = source.path().join("epochs-0");
    for log in logs(&dir) {
        let bytes = fs::read(&log).unwrap();
        if bytes.len() < 400 {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[100] ^= 1;
        fs::write(&log, &flipped).unwrap();
        let message = refused(source.path());
        assert!(message.contains(log.to_str().unwrap()) && message.contains("at byte 0: the checksum"), "{message}");
        fs::write(&log, &bytes).unwrap();
    }
    // A segment that is cut is damaged if another one comes behind.
    let first = &logs(&dir)[0];
    let bytes = fs::read(first).unwrap();
    fs::write(first, &bytes[..bytes.len() - 1]).unwrap();
    if 1 < logs(&dir).len() {
        assert!(refused(source.path()).contains("corrupt at byte"), "a torn segment before another one");
    }
}

#[test]
fn any_flipped_bit_is_an_error_or_a_shorter_log() {
    let source = source(&["orders-0"]);
    let log = &logs(&source.path().join("orders-0"))[0];
    let good = fs::read(log).unwrap();
    let whole = import(source.path()).unwrap().2.topics()[0].partitions()[0].record_count();
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(log, &bytes).unwrap();
        match import(source.path()) {
            // The offset and the leader epoch of a batch have no checksum.
            Ok((_, _, report)) => assert!(report.topics()[0].partitions()[0].record_count() <= whole),
            Err(Error::Corrupt(_) | Error::CannotImport { .. }) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn any_cut_is_a_shorter_log() {
    let source = source(&["orders-2"]);
    fs::rename(source.path().join("orders-2"), source.path().join("orders-0")).unwrap();
    let log = &logs(&source.path().join("orders-0"))[0];
    let good = fs::read(log).unwrap();
    for end in (0..good.len()).step_by(41) {
        fs::write(log, &good[..end]).unwrap();
        let (_, _, report) = import(source.path()).unwrap();
        let [imported] = report.topics()[0].partitions() else { panic!("{report}") };
        let torn = imported.torn_end().map_or(0, |torn| torn.bytes);
        assert_eq!(imported.bytes() + torn, end as u64);
    }
    // Zeros, as of a file that was made larger in advance.
    fs::write(log, [good.clone(), vec![0; 100_000]].concat()).unwrap();
    let (_, _, report) = import(source.path()).unwrap();
    assert_eq!(report.topics()[0].partitions()[0].torn_end().unwrap().bytes, 100_000);
}

#[test]
fn messages_of_old_formats_are_refused_with_what_to_do() {
    for magic in [0_u8, 1] {
        let source = source(&[]);
        let dir = source.path().join("old-0");
        fs::create_dir(&dir).unwrap();
        let mut covered = vec![magic, 0];
        if magic == 1 {
            covered.extend(1_700_000_000_000_i64.to_be_bytes());
        }
        covered.extend([&(-1_i32).to_be_bytes()[..], &5_i32.to_be_bytes(), b"hello"].concat());
        let size = u32::try_from(covered.len() + 4).unwrap();
        let message =
            [&0_u64.to_be_bytes()[..], &size.to_be_bytes(), &crc32fast::hash(&covered).to_be_bytes(), &covered]
                .concat();
        fs::write(dir.join("00000000000000000000.log"), message.repeat(3)).unwrap();
        let said = refused(source.path());
        assert!(said.contains("format 0 or 1") && said.contains("copy the topic on a broker first"), "{said}");
    }
}

#[test]
fn replacements_that_a_crash_interrupted_are_completed_or_undone_as_the_broker_does() {
    let good = source(&["compacted-0"]);
    if !ottla::Compression::Gzip.is_available() {
        return;
    }
    let records = |source: &Path| {
        let (_dir, broker, _) = import(source).unwrap();
        seen_by(&broker, "compacted", Isolation::ReadUncommitted)
            .iter()
            .map(ottla::OwnedRecord::offset)
            .collect::<Vec<_>>()
    };
    let expected = records(good.path());
    let dir = good.path().join("compacted-0");
    let all = logs(&dir);
    let first = &all[0];
    let swap = first.with_extension("log.swap");
    // All but the renames is done: the old segments are still there.
    fs::rename(first, &swap).unwrap();
    let deleted = dir.join("00000000000000000056.log.deleted");
    if deleted.exists() {
        fs::copy(&deleted, dir.join("00000000000000000056.log")).unwrap();
    }
    assert_eq!(records(good.path()), expected);
    // A copy that was not whole: what it was to replace is there, and counts.
    fs::write(dir.join("00000000000000000000.log.cleaned"), b"").unwrap();
    fs::copy(&swap, first).unwrap();
    fs::remove_file(dir.join("00000000000000000056.log")).ok();
    fs::write(&swap, b"half of it").unwrap();
    assert_eq!(records(good.path()), expected);
}

#[test]
fn names_that_mean_nothing_are_left_alone_and_others_are_refused() {
    let source = source(&["orders-0"]);
    for name in [
        "lost+found",
        "orders",
        "orders-x",
        "orders-01",
        "orders-0.0123456789abcdef0123456789abcdef-delete",
        "-0",
        "..x-",
    ] {
        fs::create_dir_all(source.path().join(name)).unwrap();
        fs::write(source.path().join(name).join("00000000000000000000.log"), b"garbage").unwrap();
    }
    fs::write(source.path().join("orders-0/notes.log"), b"garbage").unwrap();
    fs::write(source.path().join("orders-1"), b"a file").unwrap();
    let (_, broker, report) = import(source.path()).unwrap();
    assert_eq!((report.topics().len(), broker.topic("orders").unwrap().partition_count()), (1, 1));

    for name in ["orders-4294967295", "orders-100000"] {
        let huge = source.path().join(name);
        fs::create_dir(&huge).unwrap();
        assert!(refused(source.path()).contains("orders-1 is missing"));
        let dir = tempfile::tempdir().unwrap();
        let broker = open(dir.path());
        let imported = broker.admin().import(source.path(), &ImportOptions::new().missing_partitions(true));
        assert!(matches!(imported, Err(Error::InvalidConfig { .. })), "{imported:?}");
        fs::remove_dir(huge).unwrap();
    }
    // Two names that cannot be told apart everywhere.
    for name in ["a.b-0", "a_b-0"] {
        fs::create_dir(source.path().join(name)).unwrap();
    }
    assert!(refused(source.path()).contains("differs from another topic"));
}

#[test]
fn a_checkpoint_that_makes_no_sense_is_refused_and_one_above_the_end_empties_the_log() {
    let source = source(&["orders-0"]);
    let checkpoint = source.path().join("log-start-offset-checkpoint");
    fs::write(&checkpoint, "0\n7\norders 0 1\n").unwrap();
    assert!(refused(source.path()).contains("no checkpoint of offsets"));
    fs::write(&checkpoint, "0\n1\norders 0 5000\n").unwrap();
    let (_, broker, report) = import(source.path()).unwrap();
    assert_eq!(report.topics()[0].partitions()[0].offsets(), 5000..5000);
    assert_eq!(broker.topic("orders").unwrap().produce("k", "v").unwrap().offset(), 5000);
    fs::write(&checkpoint, "0\n1\norders 0 9223372036854775807\n").unwrap();
    if let Ok((_, broker, _)) = import(source.path()) {
        assert!(broker.topic("orders").unwrap().produce("k", "v").is_err());
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;

    let source = source(&["orders-0"]);
    let log = logs(&source.path().join("orders-0"))[0].clone();
    let aside = source.path().join("aside");
    fs::rename(&log, &aside).unwrap();
    symlink(&aside, &log).unwrap();
    assert!(refused(source.path()).contains("cannot open"), "a link in place of a log file");
    fs::remove_file(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    symlink(source.path().join("orders-0"), source.path().join("orders-1")).unwrap();
    let (_, broker, _) = import(source.path()).unwrap();
    assert_eq!(broker.topic("orders").unwrap().partition_count(), 1, "a link is no partition directory");
    // To where the path leads that was given is the caller's matter.
    let link = tempfile::tempdir().unwrap();
    symlink(source.path(), link.path().join("kafka")).unwrap();
    import(&link.path().join("kafka")).unwrap();
}

#[test]
fn what_is_no_log_directory_of_a_broker_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("no partition directories"));
    let nothing =
        open(tempfile::tempdir().unwrap()).admin().import(empty.path().join("nothing"), &ImportOptions::new());
    assert!(matches!(nothing, Err(Error::Io { .. })), "{nothing:?}");
    let ours = tempfile::tempdir().unwrap();
    let broker = open(ours.path());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    broker.close().unwrap();
    assert!(refused(ours.path()).contains("export it first"));
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    for topic in ["nothing", "__consumer_offsets", "a/b"] {
        let imported = broker.admin().import(clean(), &ImportOptions::new().topics([topic]));
        assert!(
            matches!(imported, Err(Error::CannotImport { .. } | Error::InvalidTopic { .. })),
            "{topic}: {imported:?}"
        );
    }
}

#[test]
fn of_several_topics_each_is_there_as_a_whole_or_not_at_all() {
    let source = source(&["codec-none-0", "orders-0", "epochs-0"]);
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    // In the way of the last one.
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let imported =
        broker.admin().import(source.path(), &ImportOptions::new().topics(["codec-none", "epochs", "orders"]));
    assert!(matches!(&imported, Err(Error::CannotImport { topic, .. }) if topic == "orders"), "{imported:?}");
    assert_eq!(broker.admin().list_topics().unwrap(), ["orders"], "all of it is looked at first");
    broker.admin().import(source.path(), &ImportOptions::new().topics(["codec-none", "epochs", "epochs"])).unwrap();
    assert_eq!(broker.admin().list_topics().unwrap(), ["codec-none", "epochs", "orders"]);
}

#[test]
fn offsets_beyond_the_end_are_brought_back_to_it() {
    let source = source(&["orders-0", "__consumer_offsets-0"]);
    let log = &logs(&source.path().join("orders-0"))[0];
    let bytes = fs::read(log).unwrap();
    fs::write(log, &bytes[..bytes.len() / 2]).unwrap();
    let (_, broker, report) = import(source.path()).unwrap();
    let end = broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset();
    let moved: Vec<_> =
        report.topics()[0].offsets().iter().filter(|offset| offset.offset < offset.committed_offset).collect();
    assert!(!moved.is_empty() && moved.iter().all(|offset| offset.offset == end), "{report}");
    assert!(report.to_string().contains("the end of the log"));
    for group in broker.admin().describe_groups().unwrap() {
        assert!(group.partitions().iter().all(|row| row.committed().is_none_or(|committed| committed.offset() <= end)));
    }
}

#[test]
fn a_batch_that_is_larger_than_the_settings_allow_can_be_read() {
    let source = source(&["codec-snappy-0"]);
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let options = ImportOptions::new().config(TopicConfig::new().max_message_bytes(68));
    broker.admin().import(source.path(), &options).unwrap();
    assert!(!seen_by(&broker, "codec-snappy", Isolation::ReadCommitted).is_empty());
    let refused = broker.producer().send(ProducerRecord::to("codec-snappy").value(&[0_u8; 100][..]));
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
    broker.close().unwrap();
    assert!(!seen_by(&open(dir.path()), "codec-snappy", Isolation::ReadCommitted).is_empty());
}

/// The fields of the header of a batch but its checksum: where each lies, and how many bytes it has.
const FIELDS: [(usize, usize); 12] =
    [(0, 8), (8, 4), (12, 4), (16, 1), (21, 2), (23, 4), (27, 8), (35, 8), (43, 8), (51, 2), (53, 4), (57, 4)];
const CHECKSUM: usize = 17;
const COVERED: usize = 21;

/// What is imported is what can be used: read, sent to, opened again, backed up, and restored up to any offset.
#[test]
fn any_field_of_a_batch_whose_checksum_is_right_is_refused_or_can_be_lived_with() {
    let (mut imported, mut refused) = (0, 0);
    for partition in ["epochs-0", "transactions-0", "append-time-0"] {
        let logs = logs(&clean().join(partition));
        let log = logs.iter().find(|log| fs::metadata(log).unwrap().len() > 0).unwrap();
        let whole = fs::read(log).unwrap();
        let first = 12 + usize::try_from(u32::from_be_bytes(whole[8..12].try_into().unwrap())).unwrap();
        for begin in [0, first] {
            if whole.len() < begin + 61 {
                continue;
            }
            let length = u32::from_be_bytes(whole[begin + 8..begin + 12].try_into().unwrap());
            let end = begin + 12 + usize::try_from(length).unwrap();
            for (field, size) in FIELDS {
                for value in [i64::MIN, -1, 0, 1, 2, 16, 40, i64::MAX - 1, i64::MAX] {
                    // The lowest bytes, and the highest where that is what makes it large.
                    let bytes = value.to_be_bytes();
                    let is_large = value.unsigned_abs() > 1 << 40;
                    let mut bytes = if is_large { &bytes[..size] } else { &bytes[8 - size..] }.to_vec();
                    if value == i64::MAX - 1 {
                        *bytes.last_mut().unwrap() = 0xfe;
                    }
                    let mut changed = whole.clone();
                    changed[begin + field..begin + field + size].copy_from_slice(&bytes);
                    let checksum = crc32c::crc32c(&changed[begin + COVERED..end]);
                    changed[begin + CHECKSUM..begin + COVERED].copy_from_slice(&checksum.to_be_bytes());
                    let context = format!("{partition}, batch at {begin}, field at {field}: {bytes:?}");
                    let name = log.file_name().unwrap().to_str().unwrap();
                    if live_with(&format!("/kafka/{partition}/{name}"), &changed, &context) {
                        imported += 1;
                    } else {
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(imported > 50 && refused > 50, "{imported} imported, {refused} refused");
}

/// Imports a log with one file, and does all that is done with logs; whether it could be imported.
fn live_with(path: &str, bytes: &[u8], context: &str) -> bool {
    let disk = ottla::testing::SimulatedDisk::new(1);
    disk.put(path, bytes);
    let broker = crate::open_on(&disk).unwrap();
    let report = match broker.admin().import("/kafka", &ImportOptions::new()) {
        Ok(report) => report,
        Err(Error::Corrupt(_) | Error::CannotImport { .. } | Error::CodecUnavailable { .. }) => {
            assert!(broker.admin().list_topics().unwrap().is_empty(), "{context}");
            return false;
        }
        Err(error) => panic!("{context}: {error}"),
    };
    let (topic, imported) = (report.topics()[0].name().to_owned(), &report.topics()[0].partitions()[0]);
    let offsets = imported.offsets();
    let check = |broker: &Broker| {
        let verified = broker.admin().verify().unwrap();
        assert!(verified.is_clean() && broker.recovery_report().is_clean(), "{context}: {verified}");
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            seen_by(broker, &topic, isolation);
        }
    };
    check(&broker);
    let sent =
        broker.producer().send(ProducerRecord::to(&topic).value("v").partition(imported.topic_partition().partition()));
    assert!(sent.is_ok() || offsets.end > 1 << 62, "{context}: {sent:?}");
    broker.admin().backup("/backup").unwrap_or_else(|error| panic!("{context}: {error}"));
    broker.close().unwrap();
    let broker = crate::open_on(&disk).unwrap();
    check(&broker);
    _ = broker
        .admin()
        .export("/exported", &ottla::ExportOptions::new())
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    broker.close().unwrap();
    for (number, cut) in
        [offsets.start, offsets.start + (offsets.end - offsets.start) / 2, offsets.end].into_iter().enumerate()
    {
        let target = format!("/restored-{number}");
        let options = ottla::RestoreOptions::new().to_offset(imported.topic_partition().clone(), cut).disk(&disk);
        Broker::restore_with("/backup", &target, &options)
            .unwrap_or_else(|error| panic!("{context}, up to {cut}: {error}"));
        check(&Broker::builder(&target).disk(&disk).background(false).open().unwrap());
    }
    true
}
