//! Opening a directory for the first time: it is made with those above it, and is not begun by mistake where others keep files.

use std::fs;
use std::path::Path;

use ottla::{Broker, Error};

use crate::{open, values};

/// What `path` has in it.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn directories_above_are_made_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    let broker = open(&path);
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    broker.close().unwrap();
    assert_eq!(values(&open(&path).topic("orders").unwrap().partition(0).unwrap()), ["v"]);
    assert_eq!((names(dir.path()), names(&dir.path().join("a"))), (vec!["a".to_owned()], vec!["b".to_owned()]));
    // A file stands in the way.
    fs::write(dir.path().join("file"), "").unwrap();
    let blocked = Broker::open(dir.path().join("file/data"));
    assert!(matches!(blocked, Err(Error::Io { .. })), "{blocked:?}");
}

#[test]
#[cfg(unix)]
fn directories_above_are_private_too() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path().join("a/b/c")).close().unwrap();
    for made in ["a", "a/b", "a/b/c"] {
        assert_eq!(fs::metadata(dir.path().join(made)).unwrap().permissions().mode() & 0o777, 0o700, "{made}");
    }
}

#[test]
fn a_directory_of_others_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(dir.path().join("photos")).unwrap();
    match Broker::open(dir.path()) {
        Err(Error::OtherFiles { path, found, .. }) => {
            assert_eq!((path.file_name(), found.to_str()), (dir.path().file_name(), Some("notes.txt")));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(names(dir.path()), ["notes.txt", "photos"]);
    let broker = Broker::builder(dir.path()).allow_other_files(true).open().unwrap();
    broker.topic("orders").unwrap();
    broker.close().unwrap();
    // Once there is a log, it is nobody else's business.
    Broker::open(dir.path()).unwrap();
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_directory_that_only_looks_like_a_partition_s_is_one_of_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("holiday-2024")).unwrap();
    assert!(matches!(Broker::open(dir.path()), Err(Error::OtherFiles { .. })));
}

#[test]
fn hidden_files_and_what_a_repair_found_do_not_count_nor_do_our_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    for name in [".nfs0001", ".gitignore", "ottla.lock", "catalog.tmp", "tail", "tail-always", "clean-shutdown"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    open(dir.path()).topic("orders").unwrap();
}

#[test]
fn a_lost_catalog_is_damage_and_no_directory_of_others() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).topic("orders").unwrap();
    fs::remove_file(dir.path().join("catalog")).unwrap();
    for allow in [false, true] {
        let lost = Broker::builder(dir.path()).allow_other_files(allow).open();
        assert!(matches!(lost, Err(Error::Corrupt(_))), "{lost:?}");
    }
}

#[test]
fn a_directory_is_made_and_a_log_begun_only_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("a/b");
    let existing = || Broker::builder(&absent).create(false).open();
    let refused = |opened: Result<Broker, Error>| match opened {
        Err(error @ Error::NotADataDirectory { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(
        refused(existing()).contains("it does not exist; check the path, or have it made with BrokerBuilder::create")
    );
    assert_eq!(names(dir.path()), [""; 0], "nothing was made");
    fs::create_dir_all(&absent).unwrap();
    assert!(
        refused(existing()).contains("no log is kept there; check the path, or begin one with BrokerBuilder::create")
    );
    fs::write(absent.join("notes.txt"), "mine").unwrap();
    assert!(refused(existing()).contains("no log is kept there"), "whoever's files are there");
    assert_eq!(names(&absent), ["notes.txt"], "nothing was begun");
    fs::remove_file(absent.join("notes.txt")).unwrap();

    open(&absent).topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(values(&existing().unwrap().existing_topic("orders").unwrap().partition(0).unwrap()), ["v"]);
    fs::remove_file(absent.join("catalog")).unwrap();
    let lost = existing();
    assert!(matches!(lost, Err(Error::Corrupt(_))), "a lost catalog is damage: {lost:?}");
}

#[test]
fn what_lies_inside_a_data_directory_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().canonicalize().unwrap().join("data");
    open(&data).topic("orders").unwrap().produce("k", "v").unwrap();
    let before = names(&data);
    fs::create_dir_all(data.join("orders-0/sub")).unwrap();
    let refused = |opened: Result<Broker, Error>| match opened {
        Err(Error::InsideDataDirectory { data_dir, partition, .. }) => {
            assert_eq!(data_dir, data);
            partition.map(|partition| partition.to_string())
        }
        other => panic!("{other:?}"),
    };
    let orders_0 = Some("orders-0".to_owned());
    for below in ["orders-0", "orders-0/sub", "orders-0/new"] {
        let path = data.join(below);
        assert_eq!(refused(Broker::open(&path)), orders_0, "{below}");
        assert_eq!(refused(Broker::builder(&path).allow_other_files(true).open()), orders_0, "{below}");
    }
    assert_eq!(refused(Broker::open_read_only(data.join("orders-0"))), orders_0);
    assert_eq!(refused(Broker::open(data.join("new-1"))), None, "which is no partition");
    let error = Broker::open(data.join("orders-0")).unwrap_err().to_string();
    let expected = "DATA/orders-0 belongs to partition orders-0 of the data directory DATA: open that one";
    assert_eq!(error.replace(data.to_str().unwrap(), "DATA"), expected);
    let error = Broker::open(data.join("new/er")).unwrap_err().to_string();
    let expected =
        "DATA/new/er lies inside the data directory DATA: open that one, or choose a directory outside of it";
    assert_eq!(error.replace(data.to_str().unwrap(), "DATA"), expected);
    assert_eq!(names(&data), before, "nothing was made");
    assert_eq!(values(&open(&data).topic("orders").unwrap().partition(0).unwrap()), ["v"]);
    // One that has a log of its own is opened, wherever it lies.
    let moved = dir.path().join("moved");
    open(&moved).close().unwrap();
    fs::rename(&moved, data.join("moved")).unwrap();
    open(data.join("moved"));
}

#[test]
fn settings_of_the_directory_come_as_text_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let builder = || Broker::builder(dir.path());
    assert!(builder().set("ottla.allow.other.files", "true").unwrap().open().is_ok());
    assert!(builder().set("ottla.create", "false").unwrap().open().is_ok(), "there is a log by now");
    for mode in ["umask", "private"] {
        assert!(builder().set("ottla.file.mode", mode).is_ok(), "{mode}");
    }
    assert!(matches!(
        builder().set("ottla.file.mode", "0640"),
        Err(Error::InvalidConfig { key: "ottla.file.mode", .. })
    ));
}

#[cfg(unix)]
mod modes {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::process::Command;

    use ottla::FileMode;

    use super::*;
    use crate::dir_from_parent;

    /// Everything in and below `dir`, with its mode.
    fn modes(dir: &Path) -> Vec<(PathBuf, u32, bool)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            found.push((entry.path(), metadata.permissions().mode() & 0o777, metadata.is_dir()));
            if metadata.is_dir() {
                found.extend(modes(&entry.path()));
            }
        }
        found
    }

    #[test]
    fn the_umask_says_who_may_read_where_it_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh");
        child.args(["-c", r#"umask 027 && exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
        child.args(["--exact", "first_opening::modes::child_with_a_umask", "--ignored"]);
        let output = child.env("OTTLA_TEST_DIR", dir.path()).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }

    #[test]
    #[ignore = "run by the_umask_says_who_may_read_where_it_is_asked, in a process of its own"]
    fn child_with_a_umask() {
        let Some(dir) = dir_from_parent() else { return };
        let of = |mode: FileMode, path: PathBuf| {
            let broker = Broker::builder(&path).file_mode(mode).open().unwrap();
            broker.topic("orders").unwrap().produce("k", "v").unwrap();
            broker.close().unwrap();
            let found = modes(&path);
            assert!(found.len() > 8, "{found:?}");
            found
        };
        for (path, mode, is_dir) in of(FileMode::Umask, Path::new(&dir).join("shared")) {
            assert_eq!(mode, if is_dir { 0o750 } else { 0o640 }, "{}", path.display());
        }
        for (path, mode, is_dir) in of(FileMode::Private, Path::new(&dir).join("private")) {
            assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{}", path.display());
        }
    }
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::testing::{CrashModel, SimulatedDisk};

    use super::*;

    /// Whenever the process is killed on the way and the power is cut after the next opening, the log is where it was put.
    #[test]
    fn what_was_acknowledged_outlives_a_power_cut_whenever_an_opening_before_was_killed() {
        let open = |disk: &SimulatedDisk| Broker::builder("/a/b/c").background(false).disk(disk).open();
        let whole = SimulatedDisk::new(1);
        open(&whole).unwrap();
        let calls = whole.calls();
        assert!(calls > 10, "{calls}");
        for stop in 0..calls {
            let disk = SimulatedDisk::new(1);
            disk.stop_after(stop);
            _ = open(&disk);
            let disk = disk.kill(1);
            open(&disk).unwrap().topic("orders").unwrap().produce("k", "v").unwrap();
            for model in CrashModel::ALL {
                let disk = disk.crash(stop, model);
                let broker = open(&disk).unwrap();
                let orders = broker.existing_topic("orders").unwrap();
                assert_eq!(values(&orders.partition(0).unwrap()), ["v"], "stopped at {stop}, {model:?}");
            }
        }
    }
}
