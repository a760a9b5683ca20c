//! Waiting for records: a poll sleeps until there is something, and is woken by whatever concerns it.
//!
//! The long timeouts here are how a lost wake-up shows: a test that hits one takes a minute and fails.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ottla::{Broker, Consumer, ConsumerConfig, ConsumerRecords, Error, ProducerRecord, TopicConfig, TopicPartition};

const FOREVER: Duration = Duration::from_secs(60);
/// Enough for the other thread to fall asleep; nothing depends on whether it did.
const A_MOMENT: Duration = Duration::from_millis(30);

/// A consumer that begins before its topics are there.
fn waiting<const N: usize>(topics: [&str; N]) -> ConsumerConfig {
    ConsumerConfig::new("g").topics(topics).wait_for_topics(true)
}

/// Polls in another thread while `act` runs here, and expects the poll not to have slept through.
fn poll_while(mut consumer: Consumer, act: impl FnOnce()) -> Result<ConsumerRecords, Error> {
    let begin = Instant::now();
    let polling = thread::spawn(move || consumer.poll(FOREVER));
    thread::sleep(A_MOMENT);
    act();
    let result = polling.join().unwrap();
    assert!(begin.elapsed() < FOREVER, "the poll slept through");
    result
}

#[test]
fn a_send_wakes_a_poll() {
    for name in ["os", "always"] {
        let broker = Broker::temporary().unwrap();
        let config = TopicConfig::new().set("ottla.durability", name).unwrap();
        let topic = broker.create_topic("orders", config).unwrap();
        let consumer = broker.consumer("g", ["orders"]).unwrap();
        let records = poll_while(consumer, || drop(topic.produce("k", "v").unwrap())).unwrap();
        assert_eq!(records.len(), 1, "{name}");
    }
}

#[test]
fn a_send_to_any_partition_wakes_a_poll() {
    for partition in [0, 9] {
        let broker = Broker::temporary().unwrap();
        broker.create_topic("orders", TopicConfig::new().partitions(10)).unwrap();
        let consumer = broker.consumer_with(waiting(["another", "orders"])).unwrap();
        let producer = broker.producer();
        let send = || drop(producer.send(ProducerRecord::to("orders").partition(partition)).unwrap());
        assert!(poll_while(consumer, send).unwrap().iter().any(|record| record.partition() == partition));
    }
}

#[test]
fn a_poll_that_spins_is_woken_and_keeps_to_its_timeout() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let spinning = || {
        let config = ConsumerConfig::new("g").topics(["orders"]).spin(FOREVER);
        let mut consumer = broker.consumer_with(config).unwrap();
        assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
        consumer
    };
    assert_eq!(poll_while(spinning(), || drop(topic.produce("k", "v").unwrap())).unwrap().len(), 1);
    let past = spinning_past(&broker, "another");
    assert_eq!(poll_while(past, || drop(topic.produce("k", "v").unwrap())).unwrap().len(), 1);
    let mut consumer = spinning_past(&broker, "g");
    let handle = consumer.handle();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(matches!(poll_while(consumer, || handle.wakeup()), Err(Error::Wakeup)));
}

/// A consumer of a group that has not committed what there is, behind all of it.
fn spinning_past(broker: &Broker, group: &str) -> Consumer {
    let config = ConsumerConfig::new(group).topics(["orders"]).set("ottla.spin.us", "60000000").unwrap();
    let mut consumer = broker.consumer_with(config).unwrap();
    assert!(!consumer.poll(FOREVER).unwrap().is_empty());
    consumer
}

#[test]
fn no_wake_up_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let broker = crate::open(dir.path());
    let (there, back) = (broker.topic("there").unwrap(), broker.topic("back").unwrap());
    const ROUNDS: u64 = 2000;
    let echo = {
        let mut consumer = broker.consumer("echo", ["there"]).unwrap();
        thread::spawn(move || {
            let mut seen = 0;
            while seen < ROUNDS {
                let records = consumer.poll(FOREVER).unwrap();
                assert!(!records.is_empty(), "slept through record {seen}");
                for record in &records {
                    back.produce("k", record.value().unwrap()).unwrap();
                    seen += 1;
                }
            }
        })
    };
    let mut consumer = broker.consumer("main", ["back"]).unwrap();
    for n in 0..ROUNDS {
        there.produce("k", n.to_string()).unwrap();
        let records = consumer.poll(FOREVER).unwrap();
        assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [n]);
    }
    echo.join().unwrap();
}

#[test]
fn a_poll_without_records_returns_empty_after_its_time() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let begin = Instant::now();
    assert!(consumer.poll(A_MOMENT).unwrap().is_empty());
    assert!(begin.elapsed() >= A_MOMENT);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_topic_that_is_created_wakes_those_who_wait_for_it() {
    let broker = Broker::temporary().unwrap();
    let consumer = broker.consumer_with(waiting(["orders"])).unwrap();
    let records = poll_while(consumer, || drop(broker.topic("orders").unwrap().produce("k", "v").unwrap()));
    assert_eq!(records.unwrap().len(), 1);
}

#[test]
fn added_partitions_wake_those_who_wait_for_them() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let consumer = broker.consumer("g", ["orders"]).unwrap();
    let add = || {
        broker.admin().add_partitions("orders", 2).unwrap();
        broker.producer().send(ProducerRecord::to("orders").partition(1)).unwrap();
    };
    assert_eq!(poll_while(consumer, add).unwrap().len(), 1);
}

#[test]
fn closing_the_broker_wakes_who_waits() {
    for topics in [["orders"], ["none"]] {
        let dir = tempfile::tempdir().unwrap();
        let broker = crate::open(dir.path());
        broker.topic("orders").unwrap();
        let consumer = broker.consumer_with(waiting(topics)).unwrap();
        let closed = poll_while(consumer, || broker.close().unwrap());
        assert!(matches!(closed, Err(Error::Closed { .. })), "{closed:?}");
    }
}

#[test]
fn wakeup_ends_the_poll_that_waits_or_else_the_next() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let handle = consumer.handle();
    handle.wakeup();
    assert!(matches!(consumer.poll(FOREVER), Err(Error::Wakeup)));
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "once");
    let woken = poll_while(consumer, || handle.clone().wakeup());
    assert!(matches!(woken, Err(Error::Wakeup)));
    handle.wakeup();
    assert_eq!(handle.lag(), 0, "a handle may outlive its consumer");
}

/// The smallest executor: polls, and parks the thread until woken.
struct Unpark {
    thread: Thread,
    wakes: AtomicUsize,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let unpark = Arc::new(Unpark { thread: thread::current(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, unpark.wakes.load(Ordering::SeqCst));
        }
        let begin = Instant::now();
        thread::park_timeout(FOREVER);
        assert!(begin.elapsed() < FOREVER, "the task slept through");
    }
}

#[test]
fn a_task_is_woken_by_a_send() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    topic.produce("k", "0").unwrap();
    let (records, wakes) = block_on(async {
        consumer.ready().await;
        consumer.poll(Duration::ZERO).unwrap()
    });
    assert_eq!((records.len(), wakes), (1, 0), "ready at once");

    let (sender, asked) = mpsc::channel::<()>();
    let sending = thread::spawn(move || {
        while asked.recv().is_ok() {
            thread::sleep(Duration::from_millis(1));
            topic.produce("k", "v").unwrap();
        }
    });
    for _ in 0..50 {
        sender.send(()).unwrap();
        let (records, _) = block_on(async {
            consumer.ready().await;
            consumer.poll(Duration::ZERO).unwrap()
        });
        assert_eq!(records.len(), 1);
    }
    drop(sender);
    sending.join().unwrap();
}

#[test]
fn a_task_is_woken_only_by_sends_to_its_partitions() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let send = |partition| drop(broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap());
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&[TopicPartition::new("orders", 1)]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    let unpark = Arc::new(Unpark { thread: thread::current(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    assert!(pin!(consumer.ready()).poll(&mut context).is_pending());
    send(0);
    assert_eq!(unpark.wakes.load(Ordering::SeqCst), 0);
    send(1);
    send(1);
    assert_eq!(unpark.wakes.load(Ordering::SeqCst), 1);
    assert!(pin!(consumer.ready()).poll(&mut context).is_ready());
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 2);
}

#[test]
fn a_deleted_topic_that_was_assigned_by_hand_ends_the_wait() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&[TopicPartition::new("orders", 0)]).unwrap();
    assert_eq!(consumer.poll(FOREVER).unwrap().len(), 1);
    let polled = poll_while(consumer, || broker.admin().delete_topic("orders").unwrap());
    assert!(matches!(polled, Err(Error::Closed { .. })), "{polled:?}");
}

/// Awaits the consumer while another thread does something, and then polls.
fn await_while(consumer: &mut Consumer, act: &mut (dyn FnMut() + Send)) -> Result<ConsumerRecords, Error> {
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(A_MOMENT);
            act();
        });
        block_on(consumer.ready());
    });
    consumer.poll(Duration::ZERO)
}

#[test]
fn a_task_is_woken_by_wakeup_by_a_new_topic_and_by_closing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = crate::open(dir.path());
    let mut consumer = broker.consumer_with(waiting(["orders"])).unwrap();
    let handle = consumer.handle();
    let mut wait_while = |act: &mut (dyn FnMut() + Send)| await_while(&mut consumer, act);
    assert!(matches!(wait_while(&mut || handle.wakeup()), Err(Error::Wakeup)));
    wait_while(&mut || drop(broker.topic("orders").unwrap())).unwrap();
    assert!(matches!(wait_while(&mut || broker.clone().close().unwrap()), Err(Error::Closed { .. })));
}

#[test]
fn a_task_is_woken_when_members_come_and_go() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    let mut wait_while = |act: &mut (dyn FnMut() + Send)| {
        assert!(await_while(&mut consumer, act).unwrap().is_empty());
        consumer.assignment().len()
    };
    let mut other = None;
    assert_eq!(wait_while(&mut || other = broker.consumer("g", ["orders"]).ok()), 1);
    assert_eq!(wait_while(&mut || drop(other.take())), 2);
}

#[cfg(feature = "testing")]
#[test]
fn the_time_a_poll_spins_is_part_of_its_timeout() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let disk = ottla::testing::SimulatedDisk::new(1);
    let broker = Broker::builder("/data").background(false).disk(&disk).open().unwrap();
    broker.topic("orders").unwrap();
    let config = ConsumerConfig::new("g").topics(["orders"]).spin(HOUR);
    let mut consumer = broker.consumer_with(config).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    let polling = thread::spawn(move || consumer.poll(HOUR));
    let begin = Instant::now();
    while !polling.is_finished() {
        assert!(begin.elapsed() < FOREVER, "it waits on behind its timeout");
        disk.advance(HOUR / 60);
        thread::yield_now();
    }
    assert!(polling.join().unwrap().unwrap().is_empty());
}
