//! One writer per directory.

use ottla::{Broker, Error};

use crate::{dir_from_parent, open, run_in_child};

#[test]
fn a_second_writer_in_this_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    match Broker::open(dir.path()) {
        Err(Error::AlreadyOpen { path, pid, .. }) => {
            assert_eq!((path.as_path(), pid), (dir.path(), Some(std::process::id())));
        }
        other => panic!("{other:?}"),
    }
    broker.topic("orders").unwrap().produce("k", "the first is unharmed").unwrap();
    drop(broker);
    assert!(open(dir.path()).recovery_report().is_clean());
}

#[test]
fn a_second_writer_in_another_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    std::fs::write(dir.path().with_extension("pid"), std::process::id().to_string()).unwrap();
    run_in_child("locking::child_is_refused", dir.path());
    broker.topic("orders").unwrap().produce("k", "the first is unharmed").unwrap();
    broker.close().unwrap();
    run_in_child("locking::child_writes", dir.path());
    std::fs::remove_file(dir.path().with_extension("pid")).unwrap();
    let broker = open(dir.path());
    assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
    assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset(), 2);
}

/// A lock goes with the open file, which a child process would inherit, and keep when the broker is long closed.
#[cfg(unix)]
#[test]
fn a_child_process_does_not_keep_the_directory_locked() {
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    // Lives until its input ends.
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    broker.close().unwrap();
    let again = open(dir.path());
    assert!(child.try_wait().unwrap().is_none(), "the child is there still");
    again.topic("orders").unwrap().produce("k", "v").unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "run by a_second_writer_in_another_process_is_refused, in a process of its own"]
fn child_is_refused() {
    let Some(dir) = dir_from_parent() else { return };
    let parent: u32 = std::fs::read_to_string(format!("{dir}.pid")).unwrap().parse().unwrap();
    let refused = Broker::open(dir);
    assert!(matches!(refused, Err(Error::AlreadyOpen { pid: Some(pid), .. }) if pid == parent), "{refused:?}");
}

#[test]
#[ignore = "run by a_second_writer_in_another_process_is_refused, in a process of its own"]
fn child_writes() {
    let Some(dir) = dir_from_parent() else { return };
    open(dir).topic("orders").unwrap().produce("k", "from the child").unwrap();
}
