//! Feature `metrics`: what a recorder gets, when, and what becomes of it when something is gone.

#![allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "whole numbers, and small")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use ottla::{Broker, Durability, Error, TopicConfig};

use crate::open;

/// Keeps what it is told, by name and labels. Of histograms it counts the values.
#[derive(Clone, Default)]
struct Spy {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    described: Arc<Mutex<Vec<String>>>,
}

struct Series {
    name: String,
    values: Arc<Mutex<BTreeMap<String, f64>>>,
}

impl Series {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(self.values.lock().unwrap().entry(self.name.clone()).or_default());
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|count| *count += value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("counters are added to: {}", self.name);
    }
}

impl GaugeFn for Series {
    fn increment(&self, _: f64) {
        panic!("gauges are set: {}", self.name);
    }

    fn decrement(&self, _: f64) {
        panic!("gauges are set: {}", self.name);
    }

    fn set(&self, value: f64) {
        self.change(|gauge| *gauge = value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "seconds");
        self.change(|count| *count += 1.0);
    }
}

impl Spy {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Series { name, values: Arc::clone(&self.values) })
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.values.lock().unwrap().get(name).copied()
    }

    /// The series that begin like this and are not 0.
    fn standing(&self, prefix: &str) -> Vec<String> {
        let values = self.values.lock().unwrap();
        let found = values.iter().filter(|(name, value)| name.starts_with(prefix) && **value != 0.0);
        found.map(|(name, _)| name.clone()).collect()
    }
}

impl Recorder for Spy {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(name, unit, text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(name, unit, text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

fn send(broker: &Broker, topic: &str, count: usize) {
    (0..count).for_each(|_| drop(broker.topic(topic).unwrap().produce("k", "v").unwrap()));
}

#[test]
fn a_recorder_gets_what_has_come_since_the_last_time() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).background(false).open().unwrap();
    let spy = Spy::default();
    with_local_recorder(&spy, || {
        let mut publisher = broker.metrics_publisher();
        send(&broker, "orders", 3);
        let consumer = broker.consumer("billing", ["orders"]).unwrap();
        publisher.publish();
        assert_eq!(spy.value("ottla_records_in_total{topic=orders}"), Some(3.0));
        assert_eq!(spy.value("ottla_group_lag{group=billing,topic=orders}"), Some(3.0));
        assert_eq!(spy.value("ottla_group_members{group=billing}"), Some(1.0));
        let syncs = spy.value("ottla_sync_seconds{file=tail-always}").unwrap();
        assert!(syncs >= 3.0);
        publisher.publish();
        assert_eq!(spy.value("ottla_records_in_total{topic=orders}"), Some(3.0), "nothing new");
        send(&broker, "orders", 2);
        publisher.publish();
        assert_eq!(spy.value("ottla_records_in_total{topic=orders}"), Some(5.0));
        assert_eq!(spy.value("ottla_sync_seconds{file=tail-always}"), Some(syncs + 2.0));
        drop(consumer);
    });
    let described = spy.described.lock().unwrap().clone();
    assert!(described.contains(&"ottla_records_in_total".to_owned()), "{described:?}");
    let of = |series: &String| series.split('{').next().unwrap().to_owned();
    let published: Vec<String> = spy.values.lock().unwrap().keys().map(of).collect();
    assert!(published.iter().all(|name| described.contains(name)), "{published:?}");
    assert!(!published.contains(&"ottla_log_end_offset".to_owned()), "only by partition");
}

#[test]
fn partitions_and_labels_are_published_when_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let spy = Spy::default();
    with_local_recorder(&spy, || {
        let mut publisher = broker.metrics_publisher().by_partition().label("broker", "a");
        send(&broker, "orders", 3);
        let _consumer = broker.consumer("billing", ["orders"]).unwrap();
        publisher.publish();
        let of = |name: &str, labels: &str, number: u32| {
            spy.value(&format!("{name}{{broker=a,{labels}topic=orders,partition={number}}}"))
        };
        let sum = |name: &str, labels: &str| of(name, labels, 0).unwrap() + of(name, labels, 1).unwrap();
        assert_eq!(sum("ottla_records_in_total", ""), 3.0);
        assert_eq!(sum("ottla_log_end_offset", ""), 3.0);
        assert_eq!(sum("ottla_group_lag", "group=billing,"), 3.0);
        assert_eq!(of("ottla_group_committed_offset", "group=billing,", 0), None, "absent, and not 0");
        assert!(spy.value("ottla_open_files{broker=a}").is_some());
    });
}

#[test]
fn nothing_stands_for_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let spy = Spy::default();
    with_local_recorder(&spy, || {
        let mut publisher = broker.metrics_publisher();
        send(&broker, "orders", 5);
        // Past the tail, so that there is a segment.
        broker.topic("orders").unwrap().produce("k", "x".repeat(100_000)).unwrap();
        let consumer = broker.consumer("billing", ["orders"]).unwrap();
        publisher.publish();
        assert!(!spy.standing("ottla_group_lag").is_empty() && !spy.standing("ottla_segments").is_empty());
        broker.admin().delete_topic("orders").unwrap();
        drop(consumer);
        publisher.publish();
        assert!(spy.standing("ottla_group_lag").is_empty() && spy.standing("ottla_group_members").is_empty());
        let of_topics = spy.values.lock().unwrap();
        assert_eq!(of_topics["ottla_segments{topic=orders}"], 0.0);
        assert_eq!(of_topics["ottla_records_in_total{topic=orders}"], 6.0, "it has happened");
        drop(of_topics);
        // One of the same name counts on.
        send(&broker, "orders", 1);
        publisher.publish();
        assert_eq!(spy.value("ottla_records_in_total{topic=orders}"), Some(7.0));
        broker.close().unwrap();
        drop(publisher);
        assert_eq!(spy.value("ottla_uptime_seconds{}"), Some(0.0));
        assert!(spy.standing("ottla_open").is_empty() && spy.standing("ottla_segments{").is_empty());
        // And so does a broker that is opened again.
        let broker = open(dir.path());
        send(&broker, "orders", 1);
        broker.metrics_publisher().publish();
        assert_eq!(spy.value("ottla_records_in_total{topic=orders}"), Some(8.0));
    });
}

#[test]
fn a_reader_publishes_offsets_and_lag_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    send(&broker, "orders", 4);
    let _consumer = broker.consumer("billing", ["orders"]).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let spy = Spy::default();
    with_local_recorder(&spy, || {
        let mut publisher = reader.metrics_publisher().by_partition();
        publisher.publish();
        assert_eq!(spy.value("ottla_log_end_offset{topic=orders,partition=0}"), Some(4.0));
        assert!(spy.standing("ottla_records_in").is_empty());
        drop(reader);
        publisher.publish();
        assert!(spy.standing("ottla_log_end_offset").is_empty(), "a publisher does not keep the broker");
    });
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let by_itself = reader.metrics_publisher().every(Duration::from_secs(1)).unwrap_err();
    assert!(matches!(by_itself, Error::ReadOnly { .. }), "{by_itself}");
}

#[test]
fn an_interval_that_is_none_and_a_broker_that_is_closed_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let never = broker.metrics_publisher().every(Duration::ZERO).unwrap_err();
    assert!(matches!(never, Error::InvalidConfig { key: "interval", .. }), "{never}");
    broker.clone().close().unwrap();
    let closed = broker.metrics_publisher().every(Duration::from_secs(1)).unwrap_err();
    assert!(matches!(closed, Error::Closed { .. }), "{closed}");
}

#[cfg(feature = "testing")]
#[test]
fn the_maintenance_publishes_when_it_is_due_and_ends_with_the_broker() {
    let disk = ottla::testing::SimulatedDisk::new(1);
    let builder = || Broker::builder("/data").disk(&disk).durability(Durability::Os).background(false);
    let broker = builder().open().unwrap();
    let spy = Spy::default();
    with_local_recorder(&spy, || {
        let records = || spy.value("ottla_records_in_total{topic=orders}");
        send(&broker, "orders", 1);
        broker.metrics_publisher().every(Duration::from_secs(10)).unwrap();
        broker.run_maintenance().unwrap();
        assert_eq!(records(), Some(1.0), "at once");
        send(&broker, "orders", 1);
        disk.advance(Duration::from_secs(9));
        broker.run_maintenance().unwrap();
        assert_eq!(records(), Some(1.0), "not yet");
        disk.advance(Duration::from_secs(1));
        broker.run_maintenance().unwrap();
        assert_eq!(records(), Some(2.0));
        assert_eq!(spy.value("ottla_uptime_seconds{}"), Some(10.0));
        // The recorder is called with no lock held: it may use the broker.
        broker.close().unwrap();
        assert!(spy.standing("ottla_uptime").is_empty() && spy.standing("ottla_segments{").is_empty());
    });
}

/// With its thread, which has a recorder of the whole process: the one that does nothing.
#[test]
fn a_broker_with_a_thread_closes_at_once_though_it_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.metrics_publisher().every(Duration::from_millis(1)).unwrap();
    send(&broker, "orders", 100);
    drop(broker);
    // Nobody keeps it: it can be opened again.
    open(dir.path()).close().unwrap();
}
