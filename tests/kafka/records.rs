//! Records as Kafka's consumer sees them, and as ours does, to be compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Isolation, OffsetReset, OwnedRecord};

use crate::broker::KafkaBroker;

/// A topic and a partition.
pub(crate) type Place = (String, u32);

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    /// Timestamp, key, value and headers, as `Read.java` prints them.
    pub(crate) content: String,
}

impl Seen {
    /// Its value as text, if it has one.
    pub(crate) fn value(&self) -> Option<String> {
        let digits = self.content.split(' ').nth(2).unwrap().strip_prefix('x')?;
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes = (0..digits.len()).step_by(2).map(byte).collect();
        Some(String::from_utf8(bytes).unwrap())
    }
}

/// What readers see of some topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// From where to where they can read.
    pub(crate) bounds: BTreeMap<Place, Range<u64>>,
    /// In ascending order.
    pub(crate) records: Vec<Seen>,
}

/// The name that Kafka has for it.
fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
        other => panic!("{other:?}"),
    }
}

/// What Kafka's own consumer sees of a broker's topics.
pub(crate) fn seen_by_kafka(broker: &KafkaBroker<'_>, topics: &[String], isolation: Isolation) -> View {
    let words = [level(isolation)].into_iter().chain(topics.iter().map(String::as_str));
    let mut view = View { bounds: BTreeMap::new(), records: Vec::new() };
    for line in broker.ask("Read", words).lines() {
        let (kind, rest) = line.split_once(' ').unwrap();
        let fields: Vec<&str> = rest.splitn(4, ' ').collect();
        let (place, number) = ((fields[0].to_owned(), fields[1].parse().unwrap()), fields[2].parse().unwrap());
        match kind {
            "bounds" => _ = view.bounds.insert(place, number..fields[3].parse().unwrap()),
            "record" => view.records.push(Seen { place, offset: number, content: fields[3].to_owned() }),
            other => panic!("{other}"),
        }
    }
    view.records.sort_unstable();
    view
}

/// What our own sees.
pub(crate) fn seen_by_ours(broker: &Broker, topics: &[String], isolation: Isolation) -> View {
    let config = ConsumerConfig::new("readers").isolation(isolation).offset_reset(OffsetReset::Earliest);
    let mut consumer = broker.consumer_with(config).unwrap();
    let (mut bounds, mut all) = (BTreeMap::new(), Vec::new());
    for topic in topics {
        for log in broker.existing_topic(topic).unwrap().partitions() {
            let end = match isolation {
                Isolation::ReadCommitted => log.last_stable_offset(),
                _ => log.log_end_offset(),
            };
            let at = log.topic_partition().clone();
            bounds.insert((topic.clone(), at.partition()), log.log_start_offset()..end);
            all.push(at);
        }
    }
    consumer.assign(&all).unwrap();
    let mut records = Vec::new();
    loop {
        let polled = consumer.poll(Duration::ZERO).unwrap();
        if polled.is_empty() {
            records.sort_unstable();
            return View { bounds, records };
        }
        records.extend(polled.iter().map(|record| seen(&record.detach())));
    }
}

fn seen(record: &OwnedRecord) -> Seen {
    let place = (record.topic().to_owned(), record.partition());
    let (key, value) = (shown(record.key()), shown(record.value()));
    let mut content = format!("{} {key} {value}", record.timestamp().as_millis());
    for header in record.headers() {
        write!(content, " {}={}", shown(Some(header.key().as_bytes())), shown(header.value())).unwrap();
    }
    Seen { place, offset: record.offset(), content }
}

/// Bytes as the Java programs print them.
pub(crate) fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    bytes.iter().fold("x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// That two views are the same; where not, what differs first.
pub(crate) fn assert_same(one: &View, other: &View, what: &str) {
    assert_eq!(one.bounds, other.bounds, "{what}");
    assert_same_records(&one.records, &other.records, what);
}

/// The same of the records alone.
pub(crate) fn assert_same_records(one: &[Seen], other: &[Seen], what: &str) {
    let differing = one.iter().zip(other).find(|(one, other)| one != other);
    assert!(differing.is_none(), "{what}: {differing:.2000?}");
    assert_eq!(one.len(), other.len(), "{what}: records");
}
