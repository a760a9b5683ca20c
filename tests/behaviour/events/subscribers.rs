//! A subscriber is the application's code, and may do anything: write what it is told into the very broker that tells it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ottla::{CleanupPolicy, ConsumerConfig, Topic};

use super::*;

/// Where to write what is told, once there is a broker.
#[derive(Default)]
struct Journal {
    topic: OnceLock<Topic>,
    is_closed: AtomicBool,
}

impl Journal {
    /// Writes it, but for what writing it may bring about.
    fn write(&self, told: &Told) {
        if told.target != "ottla::log"
            && let Some(topic) = self.topic.get()
            && let Err(error) = topic.produce(told.name, format!("{:?}", told.fields))
        {
            assert!(matches!(error, ottla::Error::Closed { .. }), "{error}");
            self.is_closed.store(true, Ordering::Relaxed);
        }
    }

    fn names(&self) -> Vec<String> {
        let partition = self.topic.get().unwrap().partition(0).unwrap();
        crate::all_from(&partition, 0).iter().map(|record| record.key_str().unwrap().to_owned()).collect()
    }
}

/// Rolls, retention, compaction, rebalances, a reset and a fence; then what was written of it.
fn live(broker: &Broker, journal: &Journal) -> Vec<String> {
    let small = small_segments().retention_bytes(1);
    let orders = create(broker, small);
    let states = broker.create_topic("states", small_segments().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    let config = || ConsumerConfig::new("billing").topics(["orders"]);
    let mut consumers = [broker.consumer_with(config()).unwrap(), broker.consumer_with(config()).unwrap()];
    for round in 0..20 {
        append_large(&orders, 2);
        append_large(&states.partition(0).unwrap(), 2);
        for consumer in &mut consumers {
            consumer.poll(Duration::ZERO).unwrap();
            consumer.commit().unwrap();
        }
        if round % 5 == 0 {
            broker.admin().compact("states").unwrap();
        }
        broker.run_maintenance().unwrap();
    }
    let _first = broker.transactional_producer("payments").unwrap();
    let _second = broker.transactional_producer("payments").unwrap();
    broker.admin().alter_topic("orders", |config| config.retention_bytes(None)).unwrap();
    broker.admin().delete_topic("states").unwrap();
    drop(consumers);
    broker.run_maintenance().unwrap();
    journal.names()
}

const WRITTEN: [&str; 6] =
    ["topic_created", "compacted", "group_rebalanced", "producer_fenced", "topic_altered", "topic_deleted"];

#[test]
fn what_is_told_can_be_written_to_the_same_broker() {
    let journal = Arc::new(Journal::default());
    let hear = Arc::clone(&journal);
    let listener = Listener::new(move |told| hear.write(told));
    let _guard = tracing::subscriber::set_default(listener.clone());
    let broker = open(&new_disk());
    _ = journal.topic.set(broker.create_topic("journal", TopicConfig::new().durability(Durability::Always)).unwrap());
    let written = live(&broker, &journal);
    for name in WRITTEN {
        assert!(written.iter().any(|written| written == name), "{name} in {written:?}");
    }
    let told = listener.take();
    for name in ["segment_rolled", "records_deleted"] {
        assert!(told.iter().any(|told| told.name == name), "{name}");
    }
    let seen: Vec<_> = told.iter().filter(|told| told.target != "ottla::log").map(|told| told.name).collect();
    // All but the opening and the making of the topic, which was not there.
    assert_eq!(written, seen[seen.len() - written.len()..], "in the same order");
    broker.close().unwrap();
    assert_eq!(listener.take().last().unwrap().name, "broker_closed");
    assert!(journal.is_closed.load(Ordering::Relaxed), "it cannot be written any more, and says so");
}

#[test]
fn a_subscriber_that_answers_each_roll_with_one_keeps_nobody_from_going_on() {
    let topic = Arc::new(OnceLock::<Topic>::new());
    let hear = Arc::clone(&topic);
    let listener = Listener::new(move |_| {
        if let Some(topic) = hear.get() {
            append_large(&topic.partition(0).unwrap(), 1);
        }
    });
    let _guard = tracing::subscriber::set_default(listener.clone());
    let broker = open(&new_disk());
    _ = topic.set(broker.create_topic("journal", small_segments()).unwrap());
    append_large(&create(&broker, small_segments()), 2);
    for _ in 0..3 {
        listener.take();
        broker.run_maintenance().unwrap();
        let told = listener.take();
        assert!((1..100).contains(&told.len()), "{} events", told.len());
    }
}

#[test]
fn a_subscriber_that_panics_harms_nobody() {
    let listener = Listener::new(|told| assert_ne!(told.name, "topic_created", "the subscriber's own"));
    let _guard = tracing::subscriber::set_default(listener.clone());
    let broker = open(&new_disk());
    append_large(&create(&broker, small_segments()), 2);
    broker.run_maintenance().unwrap();
    assert_eq!(names(&listener.take()), ["broker_opened", "segment_rolled"]);
}

/// With threads, and on a real disk. In a process of its own, whose subscriber it is.
#[test]
fn with_threads_what_is_told_can_be_written_to_the_same_broker() {
    let dir = tempfile::tempdir().unwrap();
    crate::run_in_child("events::subscribers::writing_with_threads", dir.path());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn writing_with_threads() {
    let Some(dir) = crate::dir_from_parent() else { return };
    let journal = Arc::new(Journal::default());
    let hear = Arc::clone(&journal);
    let listener = Listener::new(move |told| hear.write(told));
    tracing::subscriber::set_global_default(listener.clone()).unwrap();
    let broker = Broker::open(dir).unwrap();
    _ = journal.topic.set(broker.topic("journal").unwrap());
    live(&broker, &journal);
    // They come a moment later, on another thread.
    let end = Instant::now() + Duration::from_secs(60);
    let is_written = |name: &&str| journal.names().iter().any(|written| written == name);
    while !WRITTEN.iter().all(is_written) {
        assert!(Instant::now() < end, "{:?}", journal.names());
        std::thread::sleep(Duration::from_millis(1));
    }
    broker.close().unwrap();
    assert_eq!(listener.take().last().unwrap().name, "broker_closed");
}
