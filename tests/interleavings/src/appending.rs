//! Appending beside appending, rolling and reading.

use ottla::Durability;
use ottla::testing::SimulatedDisk;
use shuttle::thread;

use crate::explore::{broker, explore, join, read_all, record, small_segments, spawn_reader};

/// A reader that runs beside an appender sees a prefix each time, whatever is sealed and rolled under it.
#[test]
fn append_beside_roll_and_read() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        let partition = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
        let payload = "x".repeat(400);
        let sent: Vec<String> = (0..5).map(|i| format!("{i}{payload}")).collect();
        let appender = thread::spawn({
            let (partition, sent) = (partition.clone(), sent.clone());
            move || {
                for value in &sent {
                    partition.append(&record(value)).unwrap();
                }
            }
        });
        let reader = spawn_reader(&partition, &sent);
        join([appender, reader]);
        assert_eq!(read_all(&partition), sent);
    });
}

/// Two appenders of one partition: each offset is given once, and each one's records keep their order.
#[test]
fn two_appenders_of_one_partition() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        let partition = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
        let appenders = ["a", "b"].map(|name| {
            let partition = partition.clone();
            thread::spawn(move || {
                let values = (0..3).map(|i| format!("{name}{i}{}", "x".repeat(400)));
                values.map(|value| partition.append(&record(&value)).unwrap()).collect::<Vec<_>>()
            })
        });
        let offsets = join(appenders);
        let read = read_all(&partition);
        assert_eq!(read.len(), 6);
        for (name, offsets) in ["a", "b"].into_iter().zip(offsets) {
            assert!(offsets.is_sorted());
            for (i, offset) in offsets.into_iter().enumerate() {
                assert!(read[usize::try_from(offset).unwrap()].starts_with(&format!("{name}{i}x")));
            }
        }
    });
}
