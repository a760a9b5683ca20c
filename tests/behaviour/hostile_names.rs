//! Names and files that mean harm: refused with a typed error, and nothing is touched outside of the data directory.
#![cfg(unix)]

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ottla::{Broker, Error, Result, TopicConfig};

use crate::open;

const PRECIOUS: &[u8] = b"not yours to write";

/// A directory in which a data directory lies beside a file that is nobody's business.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        fs::write(place.victim(), PRECIOUS).unwrap();
        place
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn victim(&self) -> PathBuf {
        self.dir.path().join("victim")
    }

    /// Some segments, and a group.
    fn fill(&self) {
        let broker = open(self.data());
        let config = TopicConfig::new().segment_bytes(240_000).index_interval_bytes(0);
        let topic = broker.create_topic("orders", config).unwrap();
        (0..1000).for_each(|n| drop(topic.produce("some key", n.to_string()).unwrap()));
        // Each too large for a slot, and so a batch of its own, for which the indexes have entries.
        (0..8).for_each(|_| drop(topic.produce("some key", "value".repeat(14_000)).unwrap()));
        drop(broker.consumer("g", ["orders"]).unwrap());
        broker.close().unwrap();
    }

    /// What is beside the data directory is as it was, and nothing came to it.
    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        assert_eq!(fs::read(self.victim()).unwrap(), PRECIOUS, "{what}");
        let mut names: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.retain(|name| name != "data" && name != "victim");
        assert!(names.is_empty(), "{what}: {names:?} came to be");
    }
}

/// Opens for writing and for reading, and reads everything: the first thing that is refused.
fn use_everything(dir: &Path) -> Result<()> {
    read_everything(&Broker::open_read_only(dir)?)?;
    let broker = Broker::open(dir)?;
    read_everything(&broker)?;
    broker.topic("orders")?.produce("k", "v")?;
    broker.close()
}

fn read_everything(broker: &Broker) -> Result<()> {
    broker.topic("orders")?.partition(0)?.iter_from(0).try_for_each(|record| record.map(drop))?;
    broker.admin().list_groups().map(drop)
}

#[test]
fn f46_a_topic_name_that_is_no_file_name_is_refused_before_a_path_is_made_of_it() {
    let place = Place::new();
    let broker = open(place.data());
    let long = "x".repeat(250);
    for name in
        ["", ".", "..", "../victim", "../../etc", "/etc", "a/b", "a\0b", "a\nb", "a b", "ä", "C:\\x", "a:b", &long]
    {
        let created = broker.create_topic(name, TopicConfig::new());
        assert!(matches!(created, Err(Error::InvalidTopic { .. })), "{name:?}: {created:?}");
        assert!(broker.topic(name).is_err(), "{name:?}");
        assert!(broker.admin().delete_topic(name).is_err(), "{name:?}");
        assert!(broker.admin().add_partitions(name, 2).is_err(), "{name:?}");
    }
    assert!(broker.admin().list_topics().unwrap().is_empty());
    broker.close().unwrap();
    place.assert_untouched("a hostile name");
}

#[test]
fn f46_names_that_a_file_system_or_a_metric_could_mix_up_collide() {
    let place = Place::new();
    let broker = open(place.data());
    for (name, twins) in
        [("Orders.eu", ["orders.eu", "ORDERS.EU", "Orders_eu"]), ("a.b_c", ["a_b.c", "A.b_c", "a_b_c"])]
    {
        broker.create_topic(name, TopicConfig::new()).unwrap();
        for twin in twins {
            let created = broker.create_topic(twin, TopicConfig::new());
            assert!(matches!(created, Err(Error::InvalidTopic { .. })), "{twin}: {created:?}");
        }
        assert!(matches!(broker.create_topic(name, TopicConfig::new()), Err(Error::TopicExists { .. })));
    }
}

/// A directory is called `NAME-0`, which is no device of Windows, and no option of a command unless the user asks for it.
#[test]
fn f46_odd_names_that_are_allowed_work() {
    let place = Place::new();
    let longest = "x".repeat(249);
    let names = ["CON", "nul", "...", "-rf", "_", "catalog", "ottla.lock", "tail", "clean-shutdown", &longest];
    let broker = open(place.data());
    for name in names {
        broker.create_topic(name, TopicConfig::new()).unwrap().produce("k", name).unwrap();
    }
    broker.close().unwrap();
    let broker = open(place.data());
    for name in names {
        assert_eq!(crate::values(&broker.topic(name).unwrap().partition(0).unwrap()), [name]);
        broker.admin().delete_topic(name).unwrap();
    }
    broker.close().unwrap();
    place.assert_untouched("an odd name");
}

/// A group's name is never a path: it is bytes in a record, so any will do.
#[test]
fn f46_group_names_go_nowhere_near_the_file_system() {
    let place = Place::new();
    place.fill();
    let long = "g".repeat(250);
    let names = [".", "..", "../victim", "/etc/passwd", "a\0b", "CON", "Ä", "billing", "Billing", &long];
    let entries = |dir: &Path| fs::read_dir(dir).unwrap().count();
    let before = {
        open(place.data()).close().unwrap();
        entries(&place.data())
    };
    let broker = open(place.data());
    for (n, name) in names.iter().enumerate() {
        let mut consumer = broker.consumer(name.to_owned(), ["orders"]).unwrap();
        consumer.poll(std::time::Duration::ZERO).unwrap();
        let orders = ottla::TopicPartition::new("orders", 0);
        consumer.commit_offsets(&[(orders, ottla::CommittedOffset::new(n as u64))]).unwrap();
    }
    broker.close().unwrap();
    let broker = open(place.data());
    for (n, name) in names.iter().enumerate() {
        let orders = ottla::TopicPartition::new("orders", 0);
        assert_eq!(broker.committed(name, &orders).unwrap().unwrap().offset(), n as u64, "{name:?}");
    }
    broker.close().unwrap();
    assert_eq!(entries(&place.data()), before);
    place.assert_untouched("a group's name");
}

/// What can stand where a regular file should.
#[derive(Debug, Clone, Copy)]
enum Planted {
    Symlink,
    DanglingSymlink,
    HardLink,
    Fifo,
    Directory,
    Device,
}

impl Planted {
    const ALL: [Planted; 6] = [
        Planted::Symlink,
        Planted::DanglingSymlink,
        Planted::HardLink,
        Planted::Fifo,
        Planted::Directory,
        Planted::Device,
    ];

    fn plant(self, path: &Path, place: &Place) {
        match self {
            Planted::Symlink => symlink(place.victim(), path).unwrap(),
            Planted::DanglingSymlink => symlink(place.dir.path().join("not-there"), path).unwrap(),
            Planted::HardLink => fs::hard_link(place.victim(), path).unwrap(),
            Planted::Fifo => make_fifo(path),
            Planted::Directory => fs::create_dir(path).unwrap(),
            // A link to one: to make one takes a privilege.
            Planted::Device => symlink("/dev/zero", path).unwrap(),
        }
    }
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success(), "{:?}", CString::new(path.as_os_str().as_bytes()));
}

/// One file of each kind: what must be refused, and what is a cache, in whose place anything is passed over.
fn files_of(data: &Path) -> Vec<(PathBuf, bool)> {
    let in_orders = |end: &str| {
        let paths = fs::read_dir(data.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
        found.sort();
        found
    };
    let (logs, indexes, times) = (in_orders(".log"), in_orders(".index"), in_orders(".timeindex"));
    assert!(logs.len() > 1, "{logs:?}");
    let sealed_and_active = [&logs[0], &logs[logs.len() - 1]].map(|path| (path.clone(), true));
    let caches = [&indexes[0], &indexes[indexes.len() - 1], &times[0], &times[times.len() - 1]];
    let top = ["catalog", "ottla.lock", "tail", "tail-always", "clean-shutdown"].map(|name| (data.join(name), true));
    let of_partition =
        ["manifest", "recovery-point", "partition.metadata"].map(|name| data.join("orders-0").join(name));
    let mut files: Vec<_> =
        top.into_iter().chain(of_partition.map(|path| (path, true))).chain(sealed_and_active).collect();
    // Before the others: where a directory stands in its place it cannot be made anew, and nothing is marked as closed.
    files.push((data.join("orders-0").join("leader-epoch-checkpoint"), false));
    files.extend(caches.map(|path| (path.clone(), false)));
    files
}

#[test]
fn f47_nothing_but_a_plain_file_is_opened_in_the_place_of_any_file_and_no_other_name_s_is_written() {
    let place = Place::new();
    place.fill();
    for planted in Planted::ALL {
        for (path, must_refuse) in files_of(&place.data()) {
            let what = format!("{planted:?} as {}", path.display());
            let kept = place.dir.path().join("data").join("kept-by-the-test");
            fs::rename(&path, &kept).unwrap();
            planted.plant(&path, &place);
            let used = use_everything(&place.data());
            match used {
                Err(Error::Io { .. } | Error::Corrupt(_)) => {}
                Err(other) => panic!("{what}: {other}"),
                // A backup may have the other name; where that is of no harm, only to write to the file would be.
                Ok(()) => assert!(!must_refuse || matches!(planted, Planted::HardLink), "{what} was used"),
            }
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                fs::remove_dir(&path).unwrap();
            } else {
                // Of a cache that was made anew, the new one.
                _ = fs::remove_file(&path);
            }
            fs::rename(&kept, &path).unwrap();
            place.assert_untouched(&what);
        }
    }
    let read = crate::all_from(&open(place.data()).topic("orders").unwrap().partition(0).unwrap(), 0);
    assert!(1000 <= read.len(), "nothing was lost by refusing");
}

#[test]
fn f47_a_partition_directory_that_is_a_link_is_not_followed() {
    let place = Place::new();
    place.fill();
    let (dir, elsewhere) = (place.data().join("orders-0"), place.data().join("elsewhere"));
    fs::rename(&dir, &elsewhere).unwrap();
    symlink(&elsewhere, &dir).unwrap();
    let before = mtimes(&elsewhere);
    let used = use_everything(&place.data());
    assert!(matches!(used, Err(Error::Io { .. } | Error::Corrupt(_))), "{used:?}");
    assert_eq!(mtimes(&elsewhere), before);
}

/// Whoever gives a path has chosen it, links in it included: it is the names below that are not to lead elsewhere.
#[test]
fn f47_a_data_directory_that_is_a_link_to_nothing_or_to_a_file_is_refused() {
    let place = Place::new();
    for target in [place.dir.path().join("nothing"), place.victim()] {
        symlink(&target, place.data()).unwrap();
        let opened = Broker::open(place.data());
        let is_refused = matches!(opened, Err(Error::Io { .. } | Error::NotADataDirectory { .. }));
        assert!(is_refused, "{}: {opened:?}", target.display());
        fs::remove_file(place.data()).unwrap();
        place.assert_untouched("a link as data directory");
    }
}

fn mtimes(dir: &Path) -> Vec<(PathBuf, i64, i64, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut times: Vec<_> = entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            (entry.path(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
        })
        .collect();
    times.sort();
    times
}

#[test]
fn f48_what_was_made_is_private_and_what_the_user_made_keeps_its_mode() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o750)).unwrap();
    place.fill();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.data()), 0o750);
    assert_eq!(mode(&place.data().join("orders-0")), 0o700);
    assert_eq!(mode(&place.data().join("catalog")), 0o600);
}

/// Bytes that nobody of us wrote, in every file at once.
#[test]
fn f49_a_forged_directory_is_refused_or_read_and_never_followed() {
    for seed in 0_u8..16 {
        let place = Place::new();
        place.fill();
        for (path, _) in files_of(&place.data()) {
            let length = fs::metadata(&path).unwrap().len().min(1 << 16);
            let bytes = (0..=u8::MAX).cycle().map(|n| n.wrapping_mul(seed).wrapping_add(seed));
            fs::write(&path, bytes.take(usize::try_from(length).unwrap()).collect::<Vec<_>>()).unwrap();
        }
        let used = use_everything(&place.data());
        assert!(matches!(used, Err(Error::Corrupt(_) | Error::UnsupportedVersion { .. })), "seed {seed}: {used:?}");
        place.assert_untouched("a forged directory");
    }
}

/// A topic whose name leads out of the directory, in a catalog whose checksum is right.
#[test]
fn f49_a_forged_catalog_leads_nowhere() {
    let place = Place::new();
    open(place.data()).create_topic("aaaaaaaaa", TopicConfig::new()).unwrap();
    let path = place.data().join("catalog");
    let mut bytes = fs::read(&path).unwrap();
    let frames: Vec<usize> =
        bytes.windows(8).enumerate().filter(|(_, w)| *w == b"OTTLACAT").map(|(at, _)| at).collect();
    for start in frames {
        let payload = u32::from_be_bytes(bytes[start + 20..start + 24].try_into().unwrap()) as usize;
        let end = start + 24 + payload;
        if let Some(at) = bytes[start..end].windows(9).position(|window| window == b"aaaaaaaaa") {
            bytes[start + at..start + at + 9].copy_from_slice(b"../victim");
        }
        let crc = crc32fast::hash(&bytes[start..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    }
    fs::write(&path, bytes).unwrap();
    for opened in [Broker::open(place.data()), Broker::open_read_only(place.data())] {
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
    }
    place.assert_untouched("a forged catalog");
}
