//! Replicas: what they have of their source, and what becomes of them.

mod beside;
mod beside_crashes;
mod beside_trouble;
pub(crate) mod crashes;
mod following;
mod history;
mod stream;
mod trouble;
mod world;

use std::collections::BTreeMap;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Replica, ReplicaOptions};

use crate::directories::{DATA, contents, open_read_only};

pub(crate) const SECOND: &str = "/second";

/// The replica of a broker on another disk.
pub(crate) fn replica(broker: &Broker, disk: &SimulatedDisk) -> Replica {
    Replica::open_with(broker, SECOND, on(disk)).unwrap()
}

pub(crate) fn on(disk: &SimulatedDisk) -> ReplicaOptions {
    ReplicaOptions::new().disk(disk)
}

/// The log files that count in the partitions of a directory.
pub(crate) fn log_files(disk: &SimulatedDisk, dir: &str) -> BTreeMap<String, Vec<u8>> {
    let files = disk.files().into_iter().filter_map(|(path, _)| {
        let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        is_log.then(|| (name, disk.read(&path).unwrap()))
    });
    files.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// That the segments are the same, byte by byte, in the directory of a source and its replica.
pub(crate) fn has_same_segments(source: &SimulatedDisk, replica: &SimulatedDisk) {
    let (source, replica) = (log_files(source, DATA), log_files(replica, SECOND));
    assert_eq!(source.keys().collect::<Vec<_>>(), replica.keys().collect::<Vec<_>>());
    for ((name, bytes), copied) in source.iter().zip(replica.values()) {
        assert!(bytes == copied, "{name} differs: {} and {} bytes", bytes.len(), copied.len());
    }
}

/// That who reads along in a replica sees what there is at its source, and nothing is wrong there.
pub(crate) fn can_be_read(source: &Broker, disk: &SimulatedDisk) {
    let copy = open_read_only(disk, SECOND);
    assert!(copy.recovery_report().is_clean(), "{}", copy.recovery_report());
    assert_eq!(contents(&copy), contents(source));
    let report = copy.admin().verify().unwrap();
    assert!(report.is_clean(), "{report}");
}
