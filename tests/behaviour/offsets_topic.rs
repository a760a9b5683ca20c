//! The topic of committed offsets is bounded by what is committed, not by how often; nothing of it is lost by that, and who
//! looks on sees it before or after.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla::{Broker, ConsumerRecord, Durability, SeekTo, TopicConfig, TopicPartition};

const TOPIC: &str = "__consumer_offsets";
const SOON: Duration = Duration::from_secs(5);

/// One segment of 1 MiB that is full, one that is being filled, and some room.
const BOUND_BYTES: u64 = 5 << 19;

fn bytes_of_log(dir: &Path) -> u64 {
    let names = std::fs::read_dir(dir.join(format!("{TOPIC}-0"))).unwrap().map(|entry| entry.unwrap());
    names.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// A broker whose topic `orders` has 100 records in each of three partitions, which a consumer has read.
fn with_orders(dir: &Path, background: bool) -> Broker {
    let broker = Broker::builder(dir).durability(Durability::Os).background(background).open().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    for partition in topic.partitions() {
        for n in 0..100 {
            let value = format!("{n}");
            partition.append(&ottla::ProducerRecord::to("orders").value(&value)).unwrap();
        }
    }
    broker
}

/// Commits `count` times, and returns what is committed then in each partition.
fn commit_often(broker: &Broker, count: usize, mut now_and_then: impl FnMut()) -> Vec<u64> {
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    for number in 0..3 {
        consumer.seek(&TopicPartition::new("orders", number), SeekTo::Earliest).unwrap();
    }
    let mut polled = Vec::new();
    while polled.iter().map(ottla::ConsumerRecords::len).sum::<usize>() < 300 {
        polled.push(consumer.poll(SOON).unwrap());
    }
    let records: Vec<ConsumerRecord<'_>> = polled.iter().flat_map(|records| records.iter()).collect();
    let mut committed = vec![0; 3];
    for n in 0..count {
        let record = &records[n * 7 % records.len()];
        consumer.commit_through(record).unwrap();
        committed[record.partition() as usize] = record.offset() + 1;
        if n % 5000 == 0 {
            now_and_then();
        }
    }
    committed
}

fn committed(broker: &Broker) -> Vec<u64> {
    let committed = |number| broker.committed("billing", &TopicPartition::new("orders", number)).unwrap();
    (0..3).map(|number| committed(number).unwrap().offset()).collect()
}

#[test]
fn a_hundred_thousand_commits_stay_within_a_few_mebibytes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_orders(dir.path(), false);
    let expected = commit_often(&broker, 100_000, || {});
    let before = bytes_of_log(dir.path());
    broker.run_maintenance().unwrap();
    let after = bytes_of_log(dir.path());
    assert!(before > 2 * BOUND_BYTES && after < BOUND_BYTES, "{before} bytes, and then {after}");
    assert_eq!(committed(&broker), expected);
    broker.close().unwrap();
    for _ in 0..2 {
        let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
        assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
        assert_eq!(committed(&broker), expected);
        broker.run_maintenance().unwrap();
        broker.close().unwrap();
    }
}

#[test]
fn compaction_keeps_up_with_commits() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_orders(dir.path(), false);
    let mut largest = 0;
    for _ in 0..3 {
        let expected = commit_often(&broker, 30_000, || {
            broker.run_maintenance().unwrap();
            largest = largest.max(bytes_of_log(dir.path()));
        });
        assert_eq!(committed(&broker), expected);
    }
    assert!(largest < BOUND_BYTES, "{largest} bytes");
}

/// Whatever a read-only broker reads while segments are exchanged folds to offsets that were committed one after the other.
#[test]
fn who_looks_on_sees_the_old_segments_or_the_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_orders(dir.path(), false);
    commit_often(&broker, 1, || {});
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let look = |onlooker: Broker| {
            let log = onlooker.topic(TOPIC).unwrap().partition(0).unwrap();
            let (mut looks, mut last_end) = (0, 0);
            while !is_over.load(Ordering::Relaxed) || looks == 0 {
                let records: Vec<_> = log.iter_from(0).collect::<Result<_, _>>().unwrap();
                assert!(records.is_sorted_by(|a, b| a.offset() < b.offset()));
                // Every record was committed at that place, for nobody else.
                for record in &records {
                    assert!(record.key().is_some_and(|key| key.windows(7).any(|bytes| bytes == b"billing")));
                }
                let end = records.last().map_or(0, |record| record.offset() + 1);
                assert!(last_end <= end, "{end} after {last_end}");
                (looks, last_end) = (looks + 1, end);
            }
            looks
        };
        // In another process, as it were, and in this one.
        let reader = Broker::open_read_only(dir.path()).unwrap();
        let onlookers = [reader, broker.clone()].map(|onlooker| scope.spawn(move || look(onlooker)));
        for _ in 0..8 {
            commit_often(&broker, 15_000, || broker.run_maintenance().unwrap());
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(onlookers.into_iter().all(|onlooker| onlooker.join().unwrap() > 0));
    });
}
