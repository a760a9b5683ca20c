//! Topics of every kind that there is here, in a data directory whose broker is killed twice while they are written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, CleanupPolicy, CommittedOffset, Compression, Durability, ProducerRecord, ResetTo, Timestamp, TimestampType,
    TopicConfig, TopicPartition,
};

/// Transactions whose records stand between those of others, some of them aborted.
const TRANSACTIONS: &str = "transactions";
/// A transaction is open in it.
const OPEN: &str = "open";
const COMPACTED: &str = "compacted";
const DELETED: &str = "deleted";
const LARGE: &str = "large";
const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];
const SEGMENT_BYTES: u32 = 4096;
const ROUNDS: u64 = 3;
/// Of a topic in each round.
const RECORDS: u64 = 60;
/// 2023-11-14T22:13:20Z
const FIRST_MS: i64 = 1_700_000_000_000;

/// Groups that have committed something.
pub(crate) const GROUPS: [&str; 3] = ["billing", "it's odd, \"isn't\" it?", "früher $HOME `id`"];

pub(crate) fn open(dir: &Path) -> Broker {
    Broker::builder(dir).durability(Durability::Os).background(false).open().unwrap()
}

/// Makes them, and calls `then` while a transaction is open.
pub(crate) fn with_topics(data: &Path, then: impl FnOnce(&Broker)) {
    create_topics(&open(data));
    for round in 0..ROUNDS {
        let broker = open(data);
        let topics = broker.admin().list_topics().unwrap();
        let plain =
            topics.iter().filter(|topic| topic.starts_with("plain-") || *topic == DELETED || *topic == COMPACTED);
        plain.for_each(|topic| send_plain(&broker, topic, round));
        send_transactions(&broker, round);
        if round + 1 < ROUNDS {
            kill(broker, data);
        }
    }
    let broker = open(data);
    broker.producer().send(ProducerRecord::to(LARGE).value(vec![b'x'; 3 << 20])).unwrap();
    compact(&broker);
    commit(&broker);
    delete(&broker);
    let mut producer = broker.transactional_producer("stays-open").unwrap();
    let transaction = producer.begin().unwrap();
    for number in 0..3 {
        transaction.send(ProducerRecord::to(OPEN).value(format!("open {number}"))).unwrap();
        broker.producer().send(ProducerRecord::to(OPEN).value("behind")).unwrap();
    }
    then(&broker);
    transaction.abort().unwrap();
}

fn create_topics(broker: &Broker) {
    let config = || TopicConfig::new().segment_bytes(SEGMENT_BYTES).index_interval_bytes(512);
    for (name, codec) in CODECS {
        broker.create_topic(&format!("plain-{name}"), config().compression(codec).partitions(3)).unwrap();
    }
    let by_append = config().timestamp_type(TimestampType::LogAppendTime);
    broker.create_topic("plain-append-time", by_append).unwrap();
    broker.create_topic("empty", config().partitions(2)).unwrap();
    broker.create_topic(TRANSACTIONS, config().partitions(2)).unwrap();
    broker.create_topic(OPEN, config()).unwrap();
    broker.create_topic(DELETED, config().partitions(3)).unwrap();
    broker.create_topic(LARGE, config().max_message_bytes(4 << 20)).unwrap();
    let compacted = config().cleanup_policy(CleanupPolicy::Compact).min_cleanable_dirty_ratio(0.0);
    broker.create_topic(COMPACTED, compacted).unwrap();
}

/// Records of all shapes, one in three in a batch with others, with timestamps that go back and forth.
fn send_plain(broker: &Broker, topic: &str, round: u64) {
    let partitions = u64::from(broker.admin().describe(topic).unwrap().config().get_partitions());
    let texts: Vec<String> = (0..RECORDS).map(|number| format!("{round}-{number:03}-{}", "ab".repeat(90))).collect();
    let keys: Vec<String> = (0..RECORDS).map(|number| format!("key-{}", number % 11)).collect();
    let record = |number: u64| {
        let at = usize::try_from(number).unwrap();
        let has_key = topic == COMPACTED || !number.is_multiple_of(5);
        let value = (!number.is_multiple_of(7)).then(|| if number % 13 == 1 { "" } else { texts[at].as_str() });
        let timestamp = FIRST_MS + (number.cast_signed() * 7919) % 100_000 - 50_000;
        let record = ProducerRecord::to(topic).partition(u32::try_from(number % partitions).unwrap());
        let record = record.key(has_key.then(|| if number % 17 == 3 { "" } else { keys[at].as_str() })).value(value);
        let record = record.timestamp(Timestamp::from_millis(timestamp));
        match number % 4 {
            0 => record,
            1 => record.header("one", "1").header("one", "again"),
            2 => record.null_header("nothing").header("", "no name"),
            _ => record.header("ü", vec![0, 255, 10]).header("empty", ""),
        }
    };
    for number in (0..RECORDS).step_by(3) {
        broker.producer().send(record(number)).unwrap();
        let others: Vec<_> = (number + 1..number + 3).map(record).collect();
        broker.producer().send_batch(topic, &others).unwrap();
    }
}

/// Two producers, of whom one aborts each third of its transactions, and a third one without.
fn send_transactions(broker: &Broker, round: u64) {
    let mut commits = broker.transactional_producer("commits").unwrap();
    let mut aborts = broker.transactional_producer("aborts").unwrap();
    for number in 0..12 {
        let (one, other) = (commits.begin().unwrap(), aborts.begin().unwrap());
        for part in 0..4_u32 {
            let text = |what: &str| format!("{round}-{number}-{part} {what} {}", "cd".repeat(40));
            let at = || ProducerRecord::to(TRANSACTIONS).partition(part % 2);
            one.send(at().value(text("commits"))).unwrap();
            other.send(at().value(text("aborts"))).unwrap();
            broker.producer().send(at().value(text("plain"))).unwrap();
        }
        one.commit().unwrap();
        if number % 3 == 0 { other.abort() } else { other.commit() }.unwrap();
    }
    let before = broker.transactional_producer("before").unwrap().begin().map(|transaction| {
        transaction.send(ProducerRecord::to(OPEN).value(format!("committed {round}"))).unwrap();
        transaction.commit().unwrap();
    });
    before.unwrap();
}

/// Leaves the directory as a process does that is killed.
fn kill(broker: Broker, data: &Path) {
    let killed = data.with_extension("killed");
    copy(data, &killed);
    drop(broker);
    fs::remove_dir_all(data).unwrap();
    fs::rename(&killed, data).unwrap();
}

/// Copies all that is in a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { _ = fs::copy(entry.path(), target).unwrap() }
    }
}

fn compact(broker: &Broker) {
    broker.flush().unwrap();
    for _ in 0..3 {
        broker.run_maintenance().unwrap();
        broker.admin().compact(COMPACTED).unwrap();
    }
}

fn commit(broker: &Broker) {
    for (number, group) in (1..).zip(GROUPS) {
        for topic in ["plain-none", "plain-gzip"] {
            broker.admin().reset_offsets(group).topic(topic).to(ResetTo::Offset(number)).execute().unwrap();
        }
    }
    broker.admin().reset_offsets(GROUPS[0]).topic(DELETED).to(ResetTo::Latest).execute().unwrap();
    let mut consumer = broker.consumer(GROUPS[0], [TRANSACTIONS]).unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    let at = TopicPartition::new(TRANSACTIONS, 1);
    consumer.commit_offsets(&[(at, CommittedOffset::new(9).with_metadata("as far as 9"))]).unwrap();
}

/// One partition begins within a segment then, one at a segment, and one at its end.
fn delete(broker: &Broker) {
    let segment = |partition: u32, number: usize| {
        let dir = broker.dir().join(format!("{DELETED}-{partition}"));
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut bases: Vec<u64> = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        bases.sort_unstable();
        bases[number]
    };
    let end = broker.existing_topic(DELETED).unwrap().partition(2).unwrap().log_end_offset();
    let starts = [segment(0, 1) + 1, segment(1, 2), end];
    let before: Vec<_> =
        (0..).zip(starts).map(|(number, start)| (TopicPartition::new(DELETED, number), start)).collect();
    broker.admin().delete_records(&before).unwrap();
}
