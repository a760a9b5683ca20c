//! How a broker is: what `Admin::health` tells, and that it tells nothing where nothing is wrong.

use std::fs;

use ottla::{Broker, ClosedBy, Error};

use crate::{all_from, open, small_segments};

/// The files of `orders-0` that end like this, in order.
fn files(dir: &std::path::Path, suffix: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    files.sort_unstable();
    files
}

/// So much that segments roll.
fn fill(broker: &Broker) {
    let topic = broker.topic_with("orders", small_segments()).unwrap();
    for n in 0..100 {
        topic.produce("k", format!("{n} {}", "x".repeat(1000))).unwrap();
    }
}

#[test]
fn a_broker_that_works_is_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    fill(&broker);
    broker.run_maintenance().unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&broker, &reader] {
        let health = broker.admin().health();
        assert!(health.is_healthy(), "{health}");
        assert_eq!(health.to_string(), "healthy");
    }
}

#[test]
fn a_closed_broker_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap();
    broker.clone().close().unwrap();
    let health = broker.admin().health();
    assert!(matches!(health.broker_error, Some(Error::Closed { by: ClosedBy::Broker, .. })), "{health}");
    assert!(!health.is_healthy());
    assert_eq!(health.to_string(), format!("not healthy\n{}: the broker is closed", broker.dir().display()));
}

#[test]
fn lost_records_are_damage_to_the_writer_and_to_who_reads_along() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    fill(&broker);
    broker.close().unwrap();
    fs::remove_file(&files(dir.path(), ".log")[1]).unwrap();
    let broker = open(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&broker, &reader] {
        let health = broker.admin().health();
        assert_eq!((health.damage.len(), health.failed_partitions.len()), (1, 0), "{health}");
        let offsets = health.damage[0].offsets.clone().unwrap();
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        let read = partition.read(offsets.start, 100);
        assert!(matches!(&read, Err(Error::Corrupt(damage)) if damage.offsets == Some(offsets)), "{read:?}, {health}");
        assert!(health.to_string().starts_with("not healthy\nlost: "), "{health}");
    }
}

#[test]
fn a_partition_that_is_not_served_has_failed_and_the_others_have_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    fill(&broker);
    broker.topic("other").unwrap().produce("k", "v").unwrap();
    broker.close().unwrap();
    fs::rename(dir.path().join("orders-0"), dir.path().join("aside")).unwrap();
    fs::write(dir.path().join("orders-0"), "a file").unwrap();
    let broker = open(dir.path());
    let health = broker.admin().health();
    assert_eq!(health.failed_partitions.len(), 1, "{health}");
    assert_eq!(health.failed_partitions[0].partition.to_string(), "orders-0");
    assert!(matches!(health.failed_partitions[0].error, Error::Corrupt(_)), "{health}");
    assert_eq!(all_from(&broker.topic("other").unwrap().partition(0).unwrap(), 0).len(), 1);
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::Durability;
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};

    use super::*;

    #[test]
    fn what_keeps_the_maintenance_from_its_work_is_told_until_it_gets_on() {
        let disk = SimulatedDisk::new(1);
        let builder = || Broker::builder("/data").durability(Durability::Os).background(false).disk(&disk);
        let broker = builder().open().unwrap();
        fill(&broker);
        disk.fail(
            FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::Open).path_containing("orders-0").forever(),
        );
        let failed = broker.run_maintenance().unwrap_err();
        let health = broker.admin().health();
        assert_eq!(health.maintenance_error, Some(failed.with_causes().to_string()));
        assert_eq!(health.to_string(), format!("not healthy\nmaintenance: {}", failed.with_causes()));
        assert!(health.failed_partitions.is_empty(), "it passes: {health}");
        disk.clear_faults();
        broker.run_maintenance().unwrap();
        assert!(broker.admin().health().is_healthy());
    }
}
