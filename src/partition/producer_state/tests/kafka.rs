//! Partitions that a broker of Kafka wrote: whatever it says of them is said here, too.

use serde_json::Value;

use super::snapshots::hex;
use super::*;
use crate::format::BatchHeader;
use crate::partition::log_id::LogId;
use crate::partition::manifest::{Manifest, ManifestSegment};
use crate::partition::partition_metadata;
use crate::segment::{ProducerFiles, SealedSegment};

/// The broker's clock, when it was stopped.
const NOW_MS: i64 = 1_795_983_400_000;

struct Sample {
    expect: Value,
    logs: Vec<(u64, Vec<u8>)>,
}

impl Sample {
    fn named(folder: &str, directory: &str) -> Sample {
        let text = include_str!("../../../../tests/format/kafka-transactions.json");
        let mut all: Value = serde_json::from_str(text).unwrap();
        let mut all = all["partitions"].as_array_mut().unwrap().drain(..);
        let expect = all.find(|sample| sample["folder"] == folder && sample["directory"] == directory).unwrap();
        let logs = of_kind(&expect["files"], "log");
        Sample { expect, logs }
    }

    fn all() -> [Sample; 6] {
        [
            ("clean", "transactions-0"),
            ("clean", "transactions-1"),
            ("clean", "deleted-records-0"),
            ("clean", "compacted-0"),
            ("killed", "unclean-0"),
            ("cut", "unclean-0"),
        ]
        .map(|(folder, directory)| Sample::named(folder, directory))
    }

    fn name(&self) -> String {
        format!("{}/{}", self.expect["folder"].as_str().unwrap(), self.expect["directory"].as_str().unwrap())
    }

    fn number(&self, field: &str) -> u64 {
        self.expect[field].as_u64().unwrap()
    }

    fn offsets(&self, field: &str) -> Vec<u64> {
        self.expect[field].as_array().unwrap().iter().map(|offset| offset.as_u64().unwrap()).collect()
    }

    /// A topic with its logs, and what there has to be beside them if they do not begin at 0 or have gaps.
    fn disk(&self) -> SimulatedDisk {
        let disk = disk_with(TopicConfig::new().durability(Durability::Os).segment_bytes(1 << 20), &self.logs);
        disk.set_now_ms(NOW_MS);
        let is_compacted = self.name() == "clean/compacted-0";
        if is_compacted || self.logs[0].0 > 0 {
            put_manifest(&disk, &self.logs, self.number("log_start_offset"), is_compacted);
        }
        disk
    }

    /// Both isolation levels see what they saw of the broker.
    fn check(&self, broker: &Broker, partition: &Partition, what: &str) {
        let name = format!("{}, {what}", self.name());
        assert_eq!(partition.last_stable_offset(), self.number("last_stable_offset"), "{name}");
        assert_eq!(partition.high_watermark(), self.number("high_watermark"), "{name}");
        assert_eq!(partition.log_start_offset(), self.number("log_start_offset"), "{name}");
        assert_eq!(committed(partition), self.offsets("committed"), "{name}");
        for records_max in [1, 3, 500] {
            let found = polled(broker, Isolation::ReadCommitted, records_max);
            assert_eq!(found, (self.offsets("committed"), 0), "{name}");
            let found = polled(broker, Isolation::ReadUncommitted, records_max);
            assert_eq!(found, (self.offsets("uncommitted"), 0), "{name}");
        }
        for lookup in self.expect["offsets_for_times"].as_array().unwrap() {
            let time = lookup["time"].as_i64().unwrap();
            for (isolation, level) in
                [(Isolation::ReadCommitted, "read_committed"), (Isolation::ReadUncommitted, "read_uncommitted")]
            {
                let found = partition.source.offset_for_time(time, isolation).unwrap();
                assert_eq!(found, lookup[level][0].as_u64(), "{name}: {level} at {time}");
            }
        }
    }
}

/// Puts a manifest beside logs, which then begin where it says, and all but the last are compacted if `has_gaps`.
fn put_manifest(disk: &SimulatedDisk, logs: &[(u64, Vec<u8>)], log_start_offset: u64, has_gaps: bool) {
    let dir = Path::new(LOG_DIR);
    let topic_id = partition_metadata::load(disk, dir).unwrap().unwrap();
    let id = LogId { topic_id, partition: 0 };
    let mut manifest = Manifest::new(id);
    manifest.log_start_offset = log_start_offset;
    for pair in logs.windows(2) {
        let (base_offset, bytes) = &pair[0];
        let sealed = SealedSegment {
            next_offset: pair[1].0,
            log_bytes: bytes.len() as u64,
            max_timestamp: Some(max_timestamp(bytes)),
            has_gaps,
            ..SealedSegment::empty(*base_offset)
        };
        let mut noted = ManifestSegment::new(sealed, Some(crc32fast::hash(bytes)));
        // Kafka keeps no note of its files: only the log tells.
        let unknown = Some(ProducerFiles::UNKNOWN);
        noted.producers = ProducerFiles { transaction_index: unknown, snapshot: unknown };
        manifest.segments.push(noted);
    }
    manifest.store(disk, dir).unwrap();
}

/// The largest timestamp of some batches.
fn max_timestamp(mut batches: &[u8]) -> i64 {
    let mut max = -1;
    while let Ok(header) = BatchHeader::decode(batches) {
        max = max.max(header.max_timestamp);
        batches = &batches[header.batch_bytes as usize..];
    }
    max
}

/// The files with this suffix, by their offsets.
fn of_kind(files: &Value, suffix: &str) -> Vec<(u64, Vec<u8>)> {
    let files = files.as_object().unwrap().iter();
    let files = files.filter_map(|(name, bytes)| {
        let offset = name.strip_suffix(&format!(".{suffix}"))?;
        Some((offset.parse().unwrap(), hex(bytes.as_str().unwrap())))
    });
    files.collect()
}

#[test]
fn both_isolation_levels_see_what_the_broker_showed() {
    for sample in Sample::all() {
        let disk = sample.disk();
        let (broker, partition) = open(&disk);
        sample.check(&broker, &partition, "opened");
        broker.run_maintenance().unwrap();
        sample.check(&broker, &partition, "noted");
        assert!(broker.admin().verify().unwrap().is_clean(), "{}", sample.name());
        drop(partition);
        broker.close().unwrap();
        let (broker, partition) = open(&disk);
        sample.check(&broker, &partition, "closed and opened");
        assert_eq!(broker.recovery_report().partitions().len(), 0, "{}", sample.name());
        drop((broker, partition));
        let (broker, partition) = open(&disk.kill(1));
        sample.check(&broker, &partition, "killed and opened");
    }
}

/// What the broker had, or made when it recovered: all but the times at which its producers expire.
#[test]
fn indexes_and_snapshots_are_the_brokers_byte_by_byte() {
    for (folder, directory, made) in [
        ("clean", "transactions-0", "files"),
        ("clean", "transactions-1", "files"),
        ("killed", "unclean-0", "recovered"),
        ("cut", "unclean-0", "recovered"),
    ] {
        let sample = Sample::named(folder, directory);
        let disk = sample.disk();
        // So long ago that nobody expires.
        disk.set_now_ms(0);
        let (broker, partition) = open(&disk);
        broker.run_maintenance().unwrap();
        drop(partition);
        broker.close().unwrap();
        let made = &sample.expect[made];
        assert_eq!(files(&disk, FileKind::TransactionIndex), of_kind(made, "txnindex"), "{}", sample.name());
        assert_eq!(files(&disk, FileKind::ProducerSnapshot), of_kind(made, "snapshot"), "{}", sample.name());
    }
}

#[test]
fn of_a_log_whose_front_was_deleted_the_indexes_are_the_brokers_too() {
    let sample = Sample::named("clean", "deleted-records-0");
    let disk = sample.disk();
    let (broker, partition) = open(&disk);
    broker.run_maintenance().unwrap();
    drop(partition);
    broker.close().unwrap();
    assert_eq!(files(&disk, FileKind::TransactionIndex), of_kind(&sample.expect["files"], "txnindex"));
}

/// Caches are never evidence: without them, and with wrong ones, the answers are the same.
#[test]
fn without_indexes_and_snapshots_the_answers_are_the_same() {
    for sample in Sample::all() {
        let disk = sample.disk();
        let (broker, partition) = open(&disk);
        broker.run_maintenance().unwrap();
        drop(partition);
        broker.close().unwrap();
        for kind in [FileKind::TransactionIndex, FileKind::ProducerSnapshot] {
            for (offset, bytes) in files(&disk, kind) {
                let names = [live(offset, kind)];
                for (what, changed) in [
                    ("missing", None),
                    ("empty", Some(Vec::new())),
                    ("longer", Some([&bytes[..], &bytes].concat())),
                    ("another", Some(bytes.iter().map(|byte| byte ^ 1).collect())),
                ] {
                    let image = disk.kill(1);
                    match &changed {
                        None => assert!(image.delete(&names[0])),
                        Some(changed) => image.put(&names[0], changed),
                    }
                    let (broker, partition) = open_read_only(&image);
                    sample.check(&broker, &partition, &format!("read-only, {} {what}", names[0].display()));
                    drop((broker, partition));
                    let (broker, partition) = open(&image);
                    sample.check(&broker, &partition, &format!("{} {what}", names[0].display()));
                }
            }
        }
    }
}

#[test]
fn who_reads_along_sees_the_same() {
    for sample in Sample::all() {
        let disk = sample.disk();
        let (reader, read) = open_read_only(&disk);
        sample.check(&reader, &read, "read-only, before anybody opened it");
        let (broker, partition) = open(&disk);
        sample.check(&reader, &read, "read-only, beside a writer");
        broker.run_maintenance().unwrap();
        sample.check(&reader, &read, "read-only, noted");
        drop(partition);
        broker.close().unwrap();
        sample.check(&reader, &read, "read-only, closed");
        assert!(reader.admin().verify().unwrap().is_clean());
    }
}
