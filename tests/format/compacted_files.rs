//! What compaction leaves is Kafka's too: offsets and batches stay where they were, tombstones have their time, and the
//! indexes are those of the files as they are now.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ottla::{Broker, Durability};

use crate::decoder::{Record, compacted_batches};
use crate::kafka_files::{base_offset_of, indexes_by_kafkas_rule, logs};

const COMMITS: u64 = 40_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// Commits offsets, some for a topic that is deleted then, until the topic of committed offsets has some segments.
fn commit(dir: &Path) -> i64 {
    let broker = Broker::builder(dir).durability(Durability::Os).background(false).open().unwrap();
    for name in ["orders", "passing"] {
        let topic = broker.topic(name).unwrap();
        (0..100).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
    }
    let mut consumer = broker.consumer("billing", ["orders", "passing"]).unwrap();
    while consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    drop(consumer);
    broker.admin().delete_topic("passing").unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    consumer.seek(&ottla::TopicPartition::new("orders", 0), ottla::SeekTo::Earliest).unwrap();
    let records = consumer.poll(Duration::from_secs(5)).unwrap();
    let records: Vec<_> = records.iter().collect();
    for n in 0..COMMITS {
        consumer.commit_through(&records[usize::try_from(n).unwrap() % records.len()]).unwrap();
    }
    drop(consumer);
    broker.run_maintenance().unwrap();
    let end = broker.topic("__consumer_offsets").unwrap().partition(0).unwrap().log_end_offset();
    broker.close().unwrap();
    i64::try_from(end).unwrap()
}

#[test]
fn a_compacted_log_is_still_kafkas() {
    let dir = tempfile::tempdir().unwrap();
    let end = commit(dir.path());
    let (mut next, mut last): (i64, BTreeMap<_, Record>) = (0, BTreeMap::new());
    let mut horizons = 0;
    let logs = logs(&dir.path().join("__consumer_offsets-0"));
    for (index, log) in logs.iter().enumerate() {
        let base_offset = base_offset_of(log);
        assert!(next <= base_offset, "segments follow one another");
        let batches = compacted_batches(&std::fs::read(log).unwrap());
        assert!(index + 1 == logs.len() || !batches.is_empty());
        for batch in batches {
            assert!(next <= batch.base_offset && batch.leader_epoch == 0 && batch.codec == 0);
            next = batch.last_offset + 1;
            for record in batch.records {
                if record.value.is_none() && index == 0 {
                    let horizon = batch.delete_horizon.unwrap();
                    assert!((horizon - record.timestamp - DAY_MS).abs() < 3_600_000, "{horizon}");
                    horizons += 1;
                }
                last.insert(record.key.clone(), record);
            }
        }
        let batches = compacted_batches(&std::fs::read(log).unwrap());
        let (offsets, times) = indexes_by_kafkas_rule(base_offset, 4096, &batches);
        assert_eq!(std::fs::read(log.with_extension("index")).unwrap(), offsets, "{}", log.display());
        assert_eq!(std::fs::read(log.with_extension("timeindex")).unwrap(), times, "{}", log.display());
    }
    assert_eq!(next, end, "the last offset is the log's");
    assert!(horizons > 0, "no tombstone in what was compacted");
    let kept: usize = logs.iter().map(|log| compacted_batches(&std::fs::read(log).unwrap()).len()).sum();
    assert!(logs.len() <= 3 && kept > 0, "{} segments", logs.len());
    let newest = last.values().map(|record| record.offset).max();
    assert_eq!(newest, Some(end - 1), "the last commit is there");
}
