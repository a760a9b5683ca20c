//! Readers beside a close and whatever comes after it in the same directory.

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Durability, Error, Partition};
use shuttle::thread;

use crate::explore::{broker, explore, record, small_segments, text};

/// Records that are larger than any slot, each in a segment of its own, and one behind them in the tail.
fn sent() -> Vec<String> {
    (0..4).map(|i| format!("{i}{}", "s".repeat(12_000))).chain(["old".to_owned()]).collect()
}

fn send_all(broker: &Broker) -> Partition {
    let partition = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
    for value in sent() {
        partition.append(&record(&value)).unwrap();
    }
    partition
}

/// A read that has come as far as the tail when its broker is closed gets the records that are there, or is told; it never
/// gets what the next broker stores in the same slot of the same file.
#[test]
fn readers_beside_close_and_reopen() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let first = broker(&disk, Durability::Os);
        let partition = send_all(&first);
        let reader = thread::spawn(move || match partition.read(0, 1 << 20) {
            Ok(records) => {
                let sent = sent();
                assert!(!records.is_empty() && records.len() <= sent.len());
                records.iter().zip(sent).for_each(|(record, sent)| assert_eq!(text(record.value()), sent));
            }
            Err(Error::Closed { .. }) => {}
            Err(error) => panic!("{error}"),
        });
        first.close().unwrap();
        let second = broker(&disk, Durability::Os);
        second.topic("t").unwrap().partition(0).unwrap().append(&record("new")).unwrap();
        reader.join().unwrap();
    });
}
