//! The files: private to their owner, and nothing but plain files.
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ottla::{Broker, Error};

use crate::{open, small_segments};

fn filled(dir: &Path) {
    let broker = open(dir);
    let topic = broker.create_topic("orders", small_segments()).unwrap();
    (0..1000).for_each(|n| drop(topic.produce("some key", n.to_string()).unwrap()));
    drop(broker.consumer("g", ["orders"]).unwrap());
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.sort();
    logs
}

#[test]
fn files_are_readable_by_their_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    filled(&dir);
    let mut to_do = vec![dir];
    let mut files = 0;
    while let Some(path) = to_do.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            to_do.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 10);
}

#[test]
fn a_segment_that_is_a_symbolic_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let logs = logs(dir.path());
    assert!(logs.len() > 1);
    for log in [&logs[0], &logs[logs.len() - 1]] {
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(log, &elsewhere).unwrap();
        symlink(&elsewhere, log).unwrap();
        for broker in [Broker::open(dir.path()), Broker::open_read_only(dir.path())] {
            let read = broker.and_then(|broker| {
                broker.topic("orders")?.partition(0)?.iter_from(0).collect::<Result<Vec<_>, Error>>()
            });
            assert!(read.is_err(), "{} was followed", log.display());
        }
        std::fs::remove_file(log).unwrap();
        std::fs::rename(&elsewhere, log).unwrap();
    }
    let read = crate::all_from(&open(dir.path()).topic("orders").unwrap().partition(0).unwrap(), 0);
    assert_eq!(read.len(), 1000, "nothing was lost by refusing");
}

#[test]
fn a_lock_that_is_a_symbolic_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let victim = dir.path().with_extension("victim");
    std::fs::write(&victim, "precious").unwrap();
    for name in ["ottla.lock", "tail", "tail-always"] {
        let path = dir.path().join(name);
        let kept = dir.path().with_extension("kept");
        std::fs::rename(&path, &kept).unwrap();
        symlink(&victim, &path).unwrap();
        let refused = Broker::open(dir.path());
        assert!(matches!(refused, Err(Error::Io { .. })), "{name}: {refused:?}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&kept, &path).unwrap();
    }
    std::fs::remove_file(victim).unwrap();
}

#[test]
fn names_that_are_not_ours_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    for name in ["notes.txt", "orders-0/notes.txt", "orders-0/README"] {
        std::fs::write(dir.path().join(name), "mine").unwrap();
    }
    let broker = open(dir.path());
    assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
    broker.close().unwrap();
    for name in ["notes.txt", "orders-0/notes.txt", "orders-0/README"] {
        assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), "mine");
    }
}

#[test]
fn a_directory_that_belongs_to_no_topic_is_reported_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::create_dir(dir.path().join("lost-0")).unwrap();
    let broker = open(dir.path());
    let report = broker.recovery_report();
    assert_eq!(report.unknown_directories(), [dir.path().join("lost-0")]);
    assert!(!report.is_clean());
    drop(broker);
    assert!(dir.path().join("lost-0").exists());
}
