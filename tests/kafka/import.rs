//! What a broker wrote is imported as its own consumer saw it, and goes to another broker and is the same there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ottla::{Broker, ImportOptions, Isolation};

use crate::broker::KafkaBroker;
use crate::export::is_adopted;
use crate::kafka::Kafka;
use crate::process::wait_until;
use crate::records::{Place, Seen, View, assert_same, assert_same_records, seen_by_kafka, seen_by_ours, shown};
use crate::topics::open;

/// The topics of `Workload.java`.
const TOPICS: [&str; 9] = [
    "append-time",
    "codec-gzip",
    "codec-lz4",
    "codec-none",
    "codec-snappy",
    "codec-zstd",
    "compacted",
    "deleted",
    "transactions",
];
/// Its groups: the last two have committed nothing that counts.
const GROUPS: [&str; 6] = ["by classic", "by consumer", "by hand", "in transactions", "deleted", "in an open one"];

/// What a broker has said.
struct Said {
    committed: View,
    uncommitted: View,
    /// What the groups have committed, as `Committed.java` prints it.
    offsets: BTreeSet<String>,
}

fn topics() -> Vec<String> {
    TOPICS.map(str::to_owned).to_vec()
}

impl Said {
    fn by(broker: &KafkaBroker<'_>) -> Said {
        Said {
            committed: seen_by_kafka(broker, &topics(), Isolation::ReadCommitted),
            uncommitted: seen_by_kafka(broker, &topics(), Isolation::ReadUncommitted),
            offsets: offsets_at(broker),
        }
    }

    /// The records that count once what is open is aborted: also those that such a transaction hides.
    fn all_committed(&self) -> Vec<Seen> {
        let is_committed = |record: &&Seen| {
            record.place.0 != "transactions" || record.value().is_some_and(|value| value.starts_with("committed "))
        };
        self.uncommitted.records.iter().filter(is_committed).cloned().collect()
    }

    /// That the workload did what it was to do.
    fn is_rich(&self) {
        let bounds = self.uncommitted.bounds.iter().zip(&self.committed.bounds);
        let unstable = bounds.filter(|((_, all), (_, stable))| stable.end < all.end).map(|((place, _), _)| place);
        let both: Vec<Place> = (0..2).map(|partition| ("transactions".to_owned(), partition)).collect();
        assert!(unstable.eq(&both), "transactions are open in both partitions");
        let mut seen = self.all_committed();
        seen.retain(|record| record.offset < self.committed.bounds[&record.place].end);
        assert_same_records(&seen, &self.committed.records, "read_committed");
        assert!(seen.len() < self.all_committed().len(), "some are hidden");
        let of_compacted = seen.iter().filter(|record| record.place.0 == "compacted").count();
        assert!(of_compacted < 2000, "it was compacted: {of_compacted}");
        assert_eq!(self.uncommitted.bounds[&("deleted".to_owned(), 0)].start, 77);
        assert!(self.uncommitted.bounds[&("deleted".to_owned(), 1)].is_empty());
    }
}

fn offsets_at(broker: &KafkaBroker<'_>) -> BTreeSet<String> {
    broker.ask("Committed", GROUPS).lines().map(str::to_owned).collect()
}

/// What the groups have committed here, in the same words.
fn offsets_here(ours: &Broker) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for topic in topics() {
        for partition in ours.existing_topic(&topic).unwrap().partitions() {
            let at = partition.topic_partition();
            for group in GROUPS {
                if let Some(committed) = ours.committed(group, at).unwrap() {
                    let [name, metadata] = [group, committed.metadata()].map(|text| shown(Some(text.as_bytes())));
                    let (number, offset) = (at.partition(), committed.offset());
                    lines.insert(format!("committed {topic} {number} {offset} {name} {metadata}"));
                }
            }
        }
    }
    lines
}

/// A broker that was filled, and is still about nothing.
fn filled(kafka: &Kafka) -> KafkaBroker<'_> {
    let broker = KafkaBroker::started(kafka);
    broker.ask("Workload", []);
    let checkpoint = |name: &str| fs::read_to_string(broker.log_dir().join(name)).unwrap_or_default();
    let has = |name: &str, line: &str| checkpoint(name).lines().any(|there| there == line);
    wait_until("the log starts are noted", || has("log-start-offset-checkpoint", "deleted 0 77"));
    // All but the newest segment.
    let active = newest_segment(&broker.log_dir().join("compacted-0"));
    wait_until("it is compacted", || has("cleaner-offset-checkpoint", &format!("compacted 0 {active}")));
    broker
}

fn newest_segment(dir: &Path) -> u64 {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).max().unwrap()
}

/// Imports what the broker has left, and compares that with what it has said.
fn import(left: &Path, said: &Said, data: &Path) -> Broker {
    let ours = open(data);
    let report = ours.admin().import(left, &ImportOptions::new()).unwrap();
    println!("{report}");
    assert_eq!(ours.admin().list_topics().unwrap(), topics());
    let mut expected = said.uncommitted.clone();
    // The markers of those that were open.
    let opened = expected.bounds.iter_mut().filter(|(place, _)| place.0 == "transactions");
    opened.for_each(|(_, bounds)| bounds.end += 1);
    assert_same(&expected, &seen_by_ours(&ours, &topics(), Isolation::ReadUncommitted), "read_uncommitted");
    expected.records = said.all_committed();
    assert_same(&expected, &seen_by_ours(&ours, &topics(), Isolation::ReadCommitted), "read_committed");
    assert_eq!(offsets_here(&ours), said.offsets);
    let verified = ours.admin().verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
    ours
}

/// Brings it to another broker, and compares what that one says with what the first one said.
fn bring_back(kafka: &Kafka, ours: &Broker, said: &Said, target: &Path) {
    is_adopted(kafka, ours, target, |broker, _| {
        let again = Said::by(broker);
        assert_same_records(&said.uncommitted.records, &again.uncommitted.records, "read_uncommitted");
        assert_same_records(&said.all_committed(), &again.committed.records, "read_committed");
        // The command sets no metadata.
        let without = |line: &String| line.rsplit_once(' ').unwrap().0.to_owned();
        assert!(said.offsets.iter().map(without).eq(again.offsets.iter().map(without)));
    });
}

/// How a broker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

fn there_and_back(end: End) {
    let Some(kafka) = Kafka::of_environment() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut broker = filled(&kafka);
    let said = Said::by(&broker);
    said.is_rich();
    match end {
        End::Stopped => broker.stop(),
        End::Killed => broker.kill(),
    }
    let ours = import(&broker.log_dir(), &said, &dir.path().join("data"));
    drop(broker);
    bring_back(&kafka, &ours, &said, &dir.path().join("exported"));
}

#[test]
fn what_a_stopped_broker_has_goes_there_and_back() {
    there_and_back(End::Stopped);
}

#[test]
fn what_a_killed_broker_has_goes_there_and_back() {
    there_and_back(End::Killed);
}
