//! The data directory is the one that the path meant when it was opened, whatever the path is, and becomes.

use std::path::Path;
use std::process::Command;

use ottla::{Broker, Error};

use crate::{dir_from_parent, open, run_in_child, values};

/// Two directories that a relative path can be understood from, `a` and `b`.
fn places(dir: &str) -> [std::path::PathBuf; 2] {
    let places = ["a", "b"].map(|name| Path::new(dir).join(name));
    places.iter().for_each(|place| std::fs::create_dir_all(place).unwrap());
    places
}

fn produce(broker: &Broker, topic: &str, value: &str) {
    broker.topic(topic).unwrap().produce("k", value).unwrap();
}

fn read(broker: &Broker, topic: &str) -> Vec<String> {
    values(&broker.topic(topic).unwrap().partition(0).unwrap())
}

#[test]
fn a_relative_path_means_what_it_meant_when_it_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    run_in_child("directories::child_changes_its_working_directory", dir.path());
}

#[test]
#[ignore = "run by a_relative_path_means_what_it_meant_when_it_was_opened, in a process of its own"]
fn child_changes_its_working_directory() {
    let Some(dir) = dir_from_parent() else { return };
    let [a, b] = places(&dir);
    let other = open(b.join("data"));
    produce(&other, "orders", "of b");
    other.close().unwrap();

    std::env::set_current_dir(&a).unwrap();
    let broker = open("data");
    produce(&broker, "orders", "before");
    std::env::set_current_dir(&b).unwrap();
    assert!(broker.dir().is_absolute());
    assert!(matches!(Broker::open(a.join("data")), Err(Error::AlreadyOpen { .. })));
    produce(&broker, "second", "after");
    produce(&broker, "orders", "after");
    broker.admin().delete_topic("second").unwrap();
    produce(&broker, "third", "after");
    broker.run_maintenance().unwrap();
    broker.close().unwrap();

    let of_b = Broker::open_read_only("data").unwrap();
    std::env::set_current_dir(&a).unwrap();
    assert_eq!(read(&of_b, "orders"), ["of b"]);
    assert_eq!(of_b.admin().list_topics().unwrap(), ["orders"]);
    assert!(open(b.join("data")).recovery_report().is_clean());
    let broker = open(a.join("data"));
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    assert_eq!(
        (read(&broker, "orders"), read(&broker, "third")),
        (vec!["before".to_owned(), "after".to_owned()], vec!["after".to_owned()])
    );
}

#[test]
#[cfg(unix)]
fn a_temporary_broker_below_a_relative_path_is_removed_from_where_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "directories::child_has_a_temporary_broker", "--ignored"]);
    let output = child.env("OTTLA_TEST_DIR", dir.path()).env("TMPDIR", "tmp").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(std::fs::read_dir(dir.path().join("a/tmp")).unwrap().next().is_none(), "it is still there");
}

#[test]
#[ignore = "run by a_temporary_broker_below_a_relative_path_is_removed_from_where_it_was_made"]
fn child_has_a_temporary_broker() {
    let Some(dir) = dir_from_parent() else { return };
    let [a, b] = places(&dir);
    std::fs::create_dir(a.join("tmp")).unwrap();
    std::env::set_current_dir(&a).unwrap();
    let broker = Broker::temporary().unwrap();
    std::env::set_current_dir(&b).unwrap();
    produce(&broker, "orders", "after");
    assert_eq!(std::fs::read_dir(a.join("tmp")).unwrap().count(), 1);
    drop(broker);
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_that_is_a_link_or_below_one_opens_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("real/data")).unwrap();
        symlink(at("real"), at("run")).unwrap();
        symlink(at("real/data"), at("link")).unwrap();
        let paths = ["link", "run/data", "run/new", "run/../link"].map(at);
        for round in 0..3 {
            for path in &paths {
                let broker = open(path);
                produce(&broker, "orders", &round.to_string());
                produce(&broker, &format!("topic-{round}"), "v");
                assert_eq!(broker.dir(), std::fs::canonicalize(path).unwrap());
                broker.close().unwrap();
                assert!(!read(&Broker::open_read_only(path).unwrap(), "orders").is_empty());
            }
        }
        assert_eq!(read(&open(at("real/new")), "orders"), ["0", "1", "2"]);
        assert_eq!(read(&open(at("real/data")), "orders").len(), 9);
    }

    #[test]
    fn by_whatever_path_a_directory_is_opened_once() {
        let dir = tempfile::tempdir().unwrap();
        symlink(dir.path().join("data"), dir.path().join("link")).unwrap();
        let held = open(dir.path().join("data"));
        let refused = Broker::open(dir.path().join("link"));
        assert!(matches!(&refused, Err(Error::AlreadyOpen { path, .. }) if path == held.dir()), "{refused:?}");
    }

    #[test]
    fn a_link_that_leads_elsewhere_later_changes_nothing_for_who_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = places(dir.path().to_str().unwrap());
        let link = dir.path().join("current");
        symlink(&a, &link).unwrap();
        let broker = open(&link);
        let reader = Broker::open_read_only(&link).unwrap();
        produce(&broker, "orders", "before");
        std::fs::remove_file(&link).unwrap();
        symlink(&b, &link).unwrap();
        produce(&broker, "second", "after");
        assert_eq!(read(&reader, "second"), ["after"]);
        broker.close().unwrap();
        assert!(std::fs::read_dir(&b).unwrap().next().is_none(), "nothing came to the other one");
        assert_eq!(read(&open(&a), "orders"), ["before"]);
    }
}
