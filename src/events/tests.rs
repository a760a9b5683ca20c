//! The guide tells what is emitted, and the outbox keeps its promises whatever a subscriber does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::{DeletedBy, Event, Events, PartitionRecovered};
use crate::error::{Corruption, Error};
use crate::sync::Mutex;
use crate::topic_partition::TopicPartition;

const GUIDE: &str = include_str!("../guide/events.md");

/// A row of the table: name, target, level and message, and the fields.
type Row = (String, String, String, String, Vec<String>);

/// Keeps what it is told, and may do something each time.
#[derive(Clone, Default)]
struct Recorder {
    rows: Arc<Mutex<Vec<Row>>>,
    react: Option<Arc<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Fields {
    names: Vec<String>,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.names.push(name.to_owned()),
        }
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let (mut fields, metadata) = (Fields::default(), event.metadata());
        event.record(&mut fields);
        let (name, target) = (metadata.name().to_owned(), metadata.target().to_owned());
        self.rows.lock().push((name, target, metadata.level().to_string(), fields.message, fields.names));
        if let Some(react) = &self.react {
            react();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs `work` with a subscriber, and returns what that was told.
fn told(recorder: &Recorder, work: impl FnOnce()) -> Vec<Row> {
    tracing::subscriber::with_default(recorder.clone(), work);
    std::mem::take(&mut *recorder.rows.lock())
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|(name, ..)| name.as_str()).collect()
}

fn events() -> Events {
    Events::new(|| Duration::ZERO)
}

fn damage(file_position: u64) -> Corruption {
    let (partition, path) = (Some(orders()), PathBuf::from("log"));
    Corruption { partition, path, file_position, offsets: Some(0..1), reason: "a bit flipped" }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn deleted(topic: &str) -> Event {
    Event::TopicDeleted { topic: topic.to_owned() }
}

fn opened(is_clean: bool) -> Event {
    Event::BrokerOpened {
        dir: PathBuf::new(),
        mode: String::new(),
        last_writer: "closed",
        is_clean,
        topics: 1,
        partitions: 1,
        recovered_partitions: 0,
        salvaged_records: 0,
        cut_bytes: 0,
        damages: 0,
        duration: Duration::ZERO,
    }
}

fn recovered(is_clean: bool) -> Event {
    Event::PartitionRecovered(Box::new(PartitionRecovered {
        partition: orders(),
        is_clean,
        scanned_batches: 0,
        salvaged_records: 0,
        unsealed_records: 0,
        dropped_batches: 0,
        torn_batches: 0,
        cut_bytes: 0,
        unkept_bytes: 0,
        leader_epoch_raised: false,
        rebuilt: Vec::new(),
        quarantined: Vec::new(),
        reason: Some(String::new()),
    }))
}

/// One event of each kind, and of those with two levels one of each.
fn all() -> Vec<Event> {
    let (partition, path, text, duration) = (orders, PathBuf::new, String::new, Duration::ZERO);
    vec![
        opened(true),
        opened(false),
        Event::BrokerClosed { dir: path(), reason: None, duration },
        Event::BrokerClosed { dir: path(), reason: Some(text()), duration },
        Event::EventsLost { count: 1 },
        recovered(true),
        recovered(false),
        Event::DamageFound { damage: damage(0) },
        Event::TransactionsSettled { committed: 1, aborted: 1 },
        Event::DamageMet { damage: damage(0) },
        Event::IndexesRebuilt { partition: partition(), path: path() },
        Event::SegmentRolled { partition: partition(), base_offset: 1, bytes: 1 },
        Event::RecordsDeleted { partition: partition(), by: DeletedBy::Budget, offsets: 0..1, segments: 1, bytes: 1 },
        Event::ReplicaMissed { partition: partition(), offsets: 0..1 },
        Event::ReplicaFailed { path: "second".into(), reason: "full".to_owned(), is_dropped: false },
        Event::ReplicaRecovered { path: "second".into() },
        Event::PartitionPoisoned { partition: partition(), reason: text() },
        Event::TailFailed { path: path(), reason: text() },
        Event::SlowSync { path: path(), duration },
        Event::Compacted {
            partition: partition(),
            passes: 1,
            records_removed: 1,
            tombstones_removed: 1,
            end_offset: 1,
            duration,
        },
        Event::CompactionFailed { partition: partition(), reason: text() },
        Event::MaintenanceFailed { work: text(), reason: text() },
        Event::MaintenanceRecovered { work: text() },
        Event::TopicCreated { topic: text(), config: text() },
        Event::TopicAltered { topic: text(), config: text() },
        deleted(""),
        Event::GroupRebalanced { group: text(), generation: 1, members: 1 },
        Event::MemberFenced { group: text(), member_id: text(), reason: "" },
        Event::PositionReset { group: text(), partition: partition(), from: 0, to: 1 },
        Event::PositionTruncated { group: text(), partition: partition(), from: 1, to: 0 },
        Event::DamageSkipped { group: text(), partition: partition(), offsets: 0..1 },
        Event::ProducerFenced { transactional_id: text(), reason: text() },
        Event::TransactionAborted { transactional_id: text(), partitions: 1, reason: text() },
    ]
}

/// The rows of the guide's table.
fn documented() -> Vec<Row> {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, target, level, message, fields, _when] = cells[..] else { panic!("six cells: {line}") };
        let unquoted = |cell: &str| cell.trim_matches('`').to_owned();
        let fields = fields.split_whitespace().map(unquoted).collect();
        (unquoted(name), unquoted(target), level.to_owned(), message.to_owned(), fields)
    };
    rows.map(row).collect()
}

#[test]
fn the_table_of_the_guide_is_what_a_subscriber_gets() {
    let rows = told(&Recorder::default(), || all().into_iter().for_each(Event::emit));
    let mut emitted: Vec<Row> = Vec::new();
    for row in rows {
        match emitted.iter_mut().find(|other| other.0 == row.0) {
            // The same event with another level, and perhaps with a reason.
            Some(other) => {
                other.2 = format!("{}, {}", other.2, row.2);
                other.4 = row.4;
            }
            None => emitted.push(row),
        }
    }
    assert_eq!(emitted, documented());
}

#[test]
fn every_kind_is_in_the_list_above() {
    let source = include_str!("emitting.rs");
    let names = source.split("name: \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let listed = documented().into_iter().map(|(name, ..)| name);
    assert_eq!(names.collect::<BTreeSet<_>>(), listed.collect());
}

#[test]
fn nothing_is_made_where_nobody_listens() {
    let nobodys = Events::default();
    nobodys.add(|| unreachable!("there is no outbox"));
    nobodys.emit();
    assert_eq!(nobodys.time_sync(|| unreachable!("nobody is told"), || 7), 7);
}

#[test]
fn events_come_in_order_and_once() {
    let (events, recorder) = (events(), Recorder::default());
    let rows = told(&recorder, || {
        events.add(|| deleted("a"));
        events.add(|| Event::TopicCreated { topic: "a".to_owned(), config: String::new() });
        assert!(recorder.rows.lock().is_empty(), "not before somebody who holds no lock says so");
        events.emit();
        events.emit();
    });
    assert_eq!(names(&rows), ["topic_deleted", "topic_created"]);
}

#[test]
fn who_empties_it_is_called_for_each_event() {
    let (events, calls) = (events(), Arc::new(Mutex::new(0)));
    events.call_for_emit({
        let calls = Arc::clone(&calls);
        move || *calls.lock() += 1
    });
    told(&Recorder::default(), || {
        events.add(|| deleted("a"));
        events.add(|| deleted("b"));
    });
    assert_eq!(*calls.lock(), 2);
}

#[test]
fn more_events_than_can_wait_are_counted() {
    let events = events();
    let rows = told(&Recorder::default(), || {
        for _ in 0..1030 {
            events.add(|| deleted("a"));
        }
        events.emit();
        events.add(|| deleted("b"));
        events.emit();
    });
    let count = rows.iter().fold(BTreeMap::new(), |mut counts, (name, ..)| {
        *counts.entry(name.as_str()).or_insert(0) += 1;
        counts
    });
    assert_eq!(count, BTreeMap::from([("topic_deleted", 1025), ("events_lost", 1)]));
    assert_eq!(rows[1024].0, "events_lost", "behind those that came before");
}

#[test]
fn a_subscriber_that_answers_each_event_with_another_keeps_no_call_from_returning() {
    let events = events();
    let react = {
        let events = events.clone();
        move || {
            events.add(|| deleted("again"));
            // It is not called within itself.
            events.emit();
        }
    };
    let recorder = Recorder { react: Some(Arc::new(react)), ..Recorder::default() };
    let rows = told(&recorder, || {
        events.add(|| deleted("a"));
        events.emit();
    });
    assert_eq!(rows.len(), 8);
    let rows = told(&Recorder::default(), || events.emit());
    assert_eq!(rows.len(), 1, "the last one waits for the next call");
}

#[test]
fn a_subscriber_that_panics_loses_its_event_and_no_other() {
    let events = events();
    let is_first = Mutex::new(true);
    let react = move || assert!(!std::mem::take(&mut *is_first.lock()), "the subscriber's own");
    let recorder = Recorder { react: Some(Arc::new(react)), ..Recorder::default() };
    let rows = told(&recorder, || {
        events.add(|| deleted("a"));
        events.add(|| deleted("b"));
        events.emit();
    });
    assert_eq!(rows.len(), 2);
}

#[test]
fn damage_is_told_once_for_each_place() {
    let events = events();
    let rows = told(&Recorder::default(), || {
        for file_position in [0, 100, 0, 100, 0] {
            events.add_met(&Error::Corrupt(Box::new(damage(file_position))));
        }
        events.add_met(&Error::InvalidState { reason: "no damage" });
        events.emit();
    });
    assert_eq!(names(&rows), ["damage_met"; 2]);
}

#[test]
fn a_sync_is_slow_that_takes_longer_than_100_ms() {
    let now = Arc::new(Mutex::new(Duration::ZERO));
    let events = Events::new({
        let now = Arc::clone(&now);
        move || *now.lock()
    });
    let sync = |ms| {
        let sync = || *now.lock() += Duration::from_millis(ms);
        events.time_sync(|| PathBuf::from("tail"), sync);
        events.emit();
    };
    let rows = told(&Recorder::default(), || {
        sync(100);
        sync(101);
    });
    assert_eq!(names(&rows), ["slow_sync"]);
}
