//! A log that was closed cleanly consists of Kafka's own files: every record is there for somebody else's decoder, and
//! every entry of the indexes is the one that Kafka would have written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use ottla::{Broker, Compression, Durability, ProducerRecord, Timestamp, TopicConfig};

use crate::decoder::{Batch, Reader, Record, batches};

const INDEX_INTERVAL_BYTES: usize = 700;
const COUNT: i64 = 5000;

/// The records of the test, the `n`th of them; `repeated` adds headers that repeat, which not every decoder gets right.
fn record(n: i64, repeated: bool) -> Record {
    let text = |text: String| Some(text.into_bytes());
    let mut headers = Vec::new();
    if n % 3 == 0 {
        headers.push(("trace".to_owned(), text(format!("trace-{n}"))));
    }
    if n % 5 == 0 {
        headers.push(("null".to_owned(), None));
    }
    if repeated && n % 7 == 0 {
        headers.extend([("trace".to_owned(), Some(Vec::new())), (String::new(), text("x".to_owned()))]);
    }
    Record {
        offset: n,
        // Mostly rising, with steps back.
        timestamp: 1_700_000_000_000 + n * 10 - (n % 11) * 25,
        key: (n % 4 != 0).then(|| format!("key-{n}").into_bytes()),
        value: match n % 6 {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![b'v'; usize::try_from(n % 1000).unwrap()]),
            _ => text(format!("value number {n}")),
        },
        headers,
    }
}

/// Writes `count` records in pieces of different sizes, and closes the broker.
fn write(dir: &Path, config: TopicConfig, count: i64, repeated: bool) {
    let broker = Broker::builder(dir).durability(Durability::Os).open().unwrap();
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    let mut n = 0;
    while n < count {
        let piece: Vec<_> = (n..count.min(n + 1 + n % 9 * (n % 5))).map(|n| record(n, repeated)).collect();
        let headers: Vec<Vec<_>> = piece.iter().map(|record| record.headers.iter().map(header).collect()).collect();
        let records: Vec<_> = piece
            .iter()
            .zip(&headers)
            .map(|(record, headers)| {
                let mut sent =
                    ProducerRecord::to("orders").timestamp(Timestamp::from_millis(record.timestamp)).headers(headers);
                if let Some(key) = &record.key {
                    sent = sent.key(key);
                }
                if let Some(value) = &record.value {
                    sent = sent.value(value);
                }
                sent
            })
            .collect();
        partition.append_batch(&records).unwrap();
        n += i64::try_from(piece.len()).unwrap();
    }
    broker.close().unwrap();
}

fn header((key, value): &(String, Option<Vec<u8>>)) -> ottla::Header<'_> {
    value.as_ref().map_or_else(|| ottla::Header::null(key), |value| ottla::Header::new(key, value))
}

fn config() -> TopicConfig {
    TopicConfig::new()
        .segment_bytes(32 << 10)
        // Keeps batches small, so that a segment has several.
        .max_message_bytes(8000)
        .index_interval_bytes(u32::try_from(INDEX_INTERVAL_BYTES).unwrap())
        .segment_ms(Duration::from_secs(3600))
}

pub(crate) fn logs(partition: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.sort();
    logs
}

pub(crate) fn base_offset_of(log: &Path) -> i64 {
    let stem = log.file_stem().unwrap().to_str().unwrap();
    assert_eq!(stem.len(), 20);
    stem.parse().unwrap()
}

/// What Kafka's appending writes into the two indexes of a segment that holds these batches.
pub(crate) fn indexes_by_kafkas_rule(base_offset: i64, interval_bytes: usize, batches: &[Batch]) -> (Vec<u8>, Vec<u8>) {
    let (mut offsets, mut times) = (Vec::new(), Vec::new());
    let (mut bytes_since_entry, mut max, mut last_time) = (0, (-1, 0), -1);
    let relative = |offset: i64| i32::try_from(offset - base_offset).unwrap().to_be_bytes();
    let mut maybe_add_time = |(timestamp, offset): (i64, i64)| {
        if timestamp > last_time {
            last_time = timestamp;
            times.extend(timestamp.to_be_bytes());
            times.extend(relative(offset));
        }
    };
    for batch in batches {
        if batch.max_timestamp > max.0 {
            max = (batch.max_timestamp, batch.last_offset);
        }
        if bytes_since_entry > interval_bytes {
            offsets.extend(relative(batch.last_offset));
            offsets.extend(i32::try_from(batch.position).unwrap().to_be_bytes());
            maybe_add_time(max);
            bytes_since_entry = 0;
        }
        bytes_since_entry += batch.bytes;
    }
    maybe_add_time(max);
    (offsets, times)
}

#[test]
fn every_record_and_every_index_entry_is_what_kafka_expects() {
    for (codec, number) in [(Compression::None, 0), (Compression::Snappy, 2)] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), config().compression(codec), COUNT, true);
        let partition = dir.path().join("orders-0");
        let logs = logs(&partition);
        assert!(logs.len() > 3, "{} segments", logs.len());
        let (mut next, mut entry_bytes) = (0, 0);
        for log in &logs {
            let base_offset = base_offset_of(log);
            assert_eq!(base_offset, next, "segments follow one another");
            let batches = batches(&std::fs::read(log).unwrap());
            for batch in &batches {
                assert_eq!((batch.base_offset, batch.codec, batch.leader_epoch), (next, number, 0));
                for found in &batch.records {
                    assert_eq!(*found, record(next, true));
                    next += 1;
                }
            }
            let (offsets, times) = indexes_by_kafkas_rule(base_offset, INDEX_INTERVAL_BYTES, &batches);
            entry_bytes += offsets.len();
            // One without entries has no file.
            let index = std::fs::read(log.with_extension("index")).unwrap_or_default();
            assert_eq!(index, offsets, "{}", log.display());
            assert_eq!(std::fs::read(log.with_extension("timeindex")).unwrap(), times, "{}", log.display());
        }
        assert_eq!(next, COUNT);
        assert!(entry_bytes > 8 * logs.len(), "{entry_bytes} bytes of offset indexes");
    }
}

#[test]
fn another_library_reads_the_same_records() {
    for codec in [Compression::None, Compression::Snappy] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), config().compression(codec), COUNT, false);
        let mut next = 0;
        for log in logs(&dir.path().join("orders-0")) {
            let mut bytes = Bytes::from(std::fs::read(log).unwrap());
            for set in RecordBatchDecoder::decode_all(&mut bytes).unwrap() {
                for found in set.records {
                    let expected = record(next, false);
                    assert_eq!((found.offset, found.timestamp), (expected.offset, expected.timestamp));
                    assert_eq!(found.key.as_deref(), expected.key.as_deref());
                    assert_eq!(found.value.as_deref(), expected.value.as_deref());
                    let headers = found.headers.iter();
                    let headers: Vec<_> = headers
                        .map(|(key, value)| (key.to_string(), value.as_ref().map(|value| value.to_vec())))
                        .collect();
                    assert_eq!(headers, expected.headers);
                    next += 1;
                }
            }
        }
        assert_eq!(next, COUNT);
    }
}

#[test]
fn a_reopened_log_is_still_kafkas() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = 0_i64;
    for _ in 0..5 {
        let broker = Broker::builder(dir.path()).durability(Durability::Os).topic_defaults(config()).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        for _ in 0..300 {
            topic.produce("key", sent.to_string()).unwrap();
            sent += 1;
        }
        broker.close().unwrap();
    }
    let logs = logs(&dir.path().join("orders-0"));
    let batches: Vec<_> = logs.iter().flat_map(|log| batches(&std::fs::read(log).unwrap())).collect();
    let values = batches.iter().flat_map(|batch| &batch.records).map(|record| record.value.clone().unwrap());
    assert_eq!(values.collect::<Vec<_>>(), (0..sent).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>());
}

#[test]
fn a_log_of_one_segment_and_one_epoch_has_no_file_of_epochs_and_nobody_misses_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), config(), 3, true);
    let epochs = dir.path().join("orders-0/leader-epoch-checkpoint");
    for _ in 0..2 {
        assert!(!epochs.exists());
        let broker = Broker::open(dir.path()).unwrap();
        assert_eq!(broker.recovery_report().partitions().len(), 0);
        broker.close().unwrap();
    }
}

#[test]
fn the_files_beside_the_log_are_kafkas_too() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), config(), COUNT, true);
    let partition = dir.path().join("orders-0");
    assert!(logs(&partition).len() > 1);
    assert_eq!(std::fs::read_to_string(partition.join("leader-epoch-checkpoint")).unwrap(), "0\n1\n0 0\n");
    let metadata = std::fs::read_to_string(partition.join("partition.metadata")).unwrap();
    let lines: Vec<_> = metadata.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "version: 0");
    let id = lines[1].strip_prefix("topic_id: ").unwrap();
    assert_eq!(id.len(), 22, "16 bytes in URL-safe base64 without padding");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
}

#[test]
fn committed_offsets_have_kafkas_schema() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    let topic = broker.topic("orders").unwrap();
    (0..10).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let records = consumer.poll(Duration::from_secs(5)).unwrap();
    consumer.commit_through(&records.iter().nth(3).unwrap()).unwrap();
    consumer.commit().unwrap();
    drop(consumer);
    broker.admin().delete_topic("orders").unwrap();
    broker.close().unwrap();

    let partitions = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let offsets =
        partitions.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("__consumer_offsets-"));
    let logs: Vec<_> = offsets.flat_map(|partition| logs(&partition)).collect();
    let batches: Vec<_> = logs.iter().flat_map(|log| batches(&std::fs::read(log).unwrap())).collect();
    let mut committed = Vec::new();
    for record in batches.iter().flat_map(|batch| &batch.records) {
        let mut key = Reader(record.key.as_ref().unwrap());
        let key_type = key.i16();
        assert_eq!(key.string(), "billing");
        if key_type == 2 {
            // What is known of the group itself.
            assert!(key.0.is_empty());
            continue;
        }
        assert_eq!((key_type, key.string(), key.i32()), (1, "orders".into(), 0));
        assert!(key.0.is_empty());
        committed.push(record.value.as_ref().map(|value| {
            let mut value = Reader(value);
            assert_eq!(value.i16(), 4);
            let (offset, leader_epoch) = (value.i64(), value.i32());
            assert_eq!((leader_epoch, value.take(1)), (0, &[1][..]), "no metadata");
            let timestamp = value.i64();
            assert_eq!((value.take(3), value.0.len()), (&[1, 0, 16][..], 16), "one tag: the id of the topic");
            assert!((record.timestamp - timestamp).abs() < 60_000);
            offset
        }));
    }
    assert_eq!(committed, [Some(4), Some(10), None], "two commits, and the topic's end");
}
