//! A replica that a broker keeps itself: what is acknowledged is on both disks.

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Durability, PromoteReport, Replica, ReplicaOptions, TopicConfig};

use super::{SECOND, on};
use crate::directories::{DATA, builder, committed, contents, open, partition, read_all, send, small_segments};

struct World {
    disk: SimulatedDisk,
    second: SimulatedDisk,
}

impl World {
    fn new() -> World {
        World { disk: SimulatedDisk::new(1), second: SimulatedDisk::new(2) }
    }

    fn open(&self) -> Broker {
        self.open_with(on(&self.second)).unwrap()
    }

    fn open_with(&self, options: ReplicaOptions) -> ottla::Result<Broker> {
        builder(&self.disk, DATA).durability(Durability::Always).replica_with(SECOND, options).open()
    }
}

/// What a power cut leaves on a disk of what was not synced: nothing.
fn cut(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash_after(0)
}

/// Promotes what is left of a replica, and opens it.
fn promoted(disk: &SimulatedDisk) -> (Broker, PromoteReport) {
    let report = Replica::promote_without_source(SECOND, on(disk)).unwrap();
    (open(disk, SECOND), report)
}

fn always() -> TopicConfig {
    small_segments().durability(Durability::Always)
}

#[test]
fn what_was_acknowledged_is_on_the_second_disk_whatever_happens_to_the_first() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", always()).unwrap();
    for number in 0..200 {
        send(&broker, "orders", number..number + 1);
        if number % 37 == 5 {
            broker.run_maintenance().unwrap();
        }
        if number % 10 == 9 {
            let (survivor, _) = promoted(&cut(&world.second));
            let records = partition(&survivor, "orders");
            assert_eq!(records.log_end_offset(), number + 1);
            assert_eq!(contents(&survivor)[0].committed.len() as u64, number + 1);
        }
    }
}

#[test]
fn what_a_group_has_committed_is_there_whenever_its_topic_was_made() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", always()).unwrap();
    send(&broker, "orders", 0..3);
    broker.run_maintenance().unwrap();
    assert_eq!(read_all(&broker, "billing", "orders"), 3);
    let (survivor, report) = promoted(&cut(&world.second));
    println!("{report} {:?}", survivor.admin().list_topics());
    assert_eq!(committed(&survivor, "billing", "orders"), Some(3));
}
