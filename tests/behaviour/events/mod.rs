//! What subscribers of feature `tracing` are told, and that nothing is told per record.
//!
//! The table of the guide is held to the code by a unit test; here each event comes when it says.

mod broker;
mod groups;
mod logs;
mod subscribers;
mod transactions;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use ottla::testing::SimulatedDisk;
use ottla::{Broker, BrokerBuilder, Durability, Partition, ProducerRecord, TopicConfig, TopicPartition};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// Past the tail, so that each is in a segment at once.
const LARGE: usize = 70_000;

/// An event that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    name: &'static str,
    target: &'static str,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Told {
    fn of(event: &Event<'_>) -> Told {
        let (metadata, mut fields) = (event.metadata(), Fields::default());
        event.record(&mut fields);
        Told { name: metadata.name(), target: metadata.target(), level: *metadata.level(), fields: fields.0 }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// Fails unless the event is this one, with at least these fields.
    fn is<const N: usize>(&self, name: &str, level: Level, fields: [(&str, &str); N]) {
        assert_eq!((self.name, self.level), (name, level), "{self:?}");
        for (field, value) in fields {
            assert_eq!(self.field(field), value, "{field} of {self:?}");
        }
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// A subscriber that keeps what it is told, and may do something with it first.
#[derive(Clone)]
struct Listener {
    told: Arc<Mutex<Vec<Told>>>,
    hear: Arc<dyn Fn(&Told) + Send + Sync>,
}

impl Listener {
    fn new(hear: impl Fn(&Told) + Send + Sync + 'static) -> Listener {
        Listener { told: Arc::default(), hear: Arc::new(hear) }
    }

    /// What was told since the last time.
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// The events of this name that were told since the last time.
    fn take_all(&self, name: &str) -> Vec<Told> {
        self.take().into_iter().filter(|told| told.name == name).collect()
    }

    /// The only event of this name that was told since the last time.
    fn take_one(&self, name: &str) -> Told {
        let all = self.take();
        let mut found: Vec<_> = all.iter().filter(|told| told.name == name).cloned().collect();
        assert_eq!(found.len(), 1, "{name} in {all:#?}");
        found.remove(0)
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ottla")
    }

    fn event(&self, event: &Event<'_>) {
        let told = Told::of(event);
        (self.hear)(&told);
        self.told.lock().unwrap().push(told);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Listens on this thread until the guard is dropped.
fn listen() -> (Listener, DefaultGuard) {
    let listener = Listener::new(|_| ());
    let guard = tracing::subscriber::set_default(listener.clone());
    (listener, guard)
}

fn names(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.name).collect()
}

/// A broker without threads, so that all is told on the thread of the test.
fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(Durability::Os).background(false)
}

fn open(disk: &SimulatedDisk) -> Broker {
    builder(disk).open().unwrap()
}

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(1_700_000_000_000);
    disk
}

/// A segment for each large record.
fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(1024)
}

fn create(broker: &Broker, config: TopicConfig) -> Partition {
    broker.create_topic("orders", config).unwrap().partition(0).unwrap()
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// Appends batches of one large record each.
fn append_large(partition: &Partition, count: usize) {
    for _ in 0..count {
        partition.append(&ProducerRecord::new().key("k").value(vec![b'x'; LARGE])).unwrap();
    }
}
