//! What is exported is adopted by a broker, by the steps that the export itself gives, and is the same there.

use std::collections::BTreeMap;
use std::path::Path;

use ottla::{Broker, ExportOptions, ExportReport, Isolation};

use crate::broker::KafkaBroker;
use crate::dump::look_at_all;
use crate::kafka::Kafka;
use crate::records::{Place, View, assert_same, seen_by_kafka, seen_by_ours, shown};
use crate::steps::Steps;
use crate::topics::{GROUPS, with_topics};

/// As far as it was exported.
fn exported(view: View, report: &ExportReport) -> View {
    let ends = ends(report);
    let bounds = view.bounds.into_iter().map(|(at, range)| {
        let end = range.end.min(ends[&at]);
        (at, range.start..end)
    });
    let records = view.records.into_iter().filter(|record| record.offset < ends[&record.place]);
    View { bounds: bounds.collect(), records: records.collect() }
}

/// Where the partitions end.
fn ends(report: &ExportReport) -> BTreeMap<Place, u64> {
    let end = |partition: &ottla::ExportedPartition| {
        let at = partition.topic_partition();
        ((at.topic().to_owned(), at.partition()), partition.offsets().end)
    };
    report.partitions().iter().map(end).collect()
}

/// Compares what a broker has adopted with what is in `ours`, at both levels of isolation; returns how many records there are.
pub(crate) fn is_the_same(broker: &KafkaBroker<'_>, ours: &Broker, report: &ExportReport) -> usize {
    let topics = ours.admin().list_topics().unwrap();
    let compare = |isolation| {
        let expected = exported(seen_by_ours(ours, &topics, isolation), report);
        let adopted = seen_by_kafka(broker, &topics, isolation);
        assert_same(&expected, &adopted, &format!("{isolation:?}"));
        adopted.records.len()
    };
    let committed = compare(Isolation::ReadCommitted);
    let all = compare(Isolation::ReadUncommitted);
    assert!(committed < all, "some are of aborted transactions");
    all
}

/// Exports all topics, has the broker adopt them, and compares.
pub(crate) fn is_adopted(
    kafka: &Kafka,
    ours: &Broker,
    target: &Path,
    check: impl FnOnce(&mut KafkaBroker<'_>, &ExportReport),
) {
    let report = ours.admin().export(target, &ExportOptions::new()).unwrap();
    let mut broker = KafkaBroker::started(kafka);
    Steps::of(target).follow(&mut broker);
    let records = is_the_same(&broker, ours, &report);
    println!(
        "{records} records in {} batches",
        report.partitions().iter().map(ottla::ExportedPartition::batch_count).sum::<u64>()
    );
    check(&mut broker, &report);
}

/// The offsets are those that the text promises, as the broker itself prints them.
fn has_the_ends_of_the_text(broker: &KafkaBroker<'_>, report: &ExportReport) {
    let printed = Steps::of(report.target()).run(broker, "Look");
    let line = |line: &str| {
        let [topic, partition, end] = line.split(':').collect::<Vec<_>>()[..] else { panic!("{line}") };
        ((topic.to_owned(), partition.parse().unwrap()), end.parse().unwrap())
    };
    assert_eq!(printed.lines().map(line).collect::<BTreeMap<Place, u64>>(), ends(report));
}

/// What is sent to a partition comes behind what was adopted.
fn goes_on(broker: &KafkaBroker<'_>, report: &ExportReport) {
    let ends = ends(report);
    let numbers: Vec<String> = ends.keys().map(|(_, partition)| partition.to_string()).collect();
    let words = ends.keys().zip(&numbers).flat_map(|((topic, _), number)| [topic.as_str(), number]);
    let sent: Vec<u64> = broker.ask("Send", words).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sent, ends.into_values().collect::<Vec<_>>());
}

/// What the groups have committed here.
fn committed_here(ours: &Broker, report: &ExportReport) -> Vec<String> {
    let bounds: BTreeMap<Place, _> = report
        .partitions()
        .iter()
        .map(|partition| {
            let at = partition.topic_partition();
            ((at.topic().to_owned(), at.partition()), partition.offsets())
        })
        .collect();
    let mut lines = Vec::new();
    for group in GROUPS {
        for partition in report.partitions() {
            let at = partition.topic_partition();
            if let Some(committed) = ours.committed(group, at).unwrap() {
                // The broker's command sets nothing outside of the log.
                let within = &bounds[&(at.topic().to_owned(), at.partition())];
                let offset = committed.offset().clamp(within.start, within.end);
                lines.push(format!(
                    "committed {} {} {offset} {} x",
                    at.topic(),
                    at.partition(),
                    shown(Some(group.as_bytes()))
                ));
            }
        }
    }
    lines.sort_unstable();
    lines
}

fn has_the_offsets_of_groups(broker: &KafkaBroker<'_>, ours: &Broker, report: &ExportReport) {
    let said = broker.ask("Committed", GROUPS);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let expected = committed_here(ours, report);
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(lines, expected);
}

#[test]
fn topics_of_every_kind_are_adopted_by_the_steps_of_the_text() {
    let Some(kafka) = Kafka::of_environment() else { return };
    let dir = tempfile::tempdir().unwrap();
    with_topics(&dir.path().join("data"), |ours| {
        is_adopted(&kafka, ours, &dir.path().join("exported"), |broker, report| {
            has_the_ends_of_the_text(broker, report);
            has_the_offsets_of_groups(broker, ours, report);
            goes_on(broker, report);
            broker.stop();
            let looked = look_at_all(&kafka, &broker.log_dir());
            println!("made of it by the broker: {looked:?}");
            assert!(looked.aborted > 10);
        });
    });
}
