//! Whoever begins to read where a transaction is being committed waits for its end.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use super::*;
use crate::SeekTo;

/// The first offsets that a poll returns, by partition.
fn read(consumer: &mut Consumer, timeout: Duration) -> Vec<(u32, u64)> {
    let mut read: Vec<(u32, u64)> = Vec::new();
    for record in &consumer.poll(timeout).unwrap() {
        if !read.iter().any(|(partition, _)| *partition == record.partition()) {
            read.push((record.partition(), record.offset()));
        }
    }
    read.sort_unstable();
    read
}

/// Offset 4 of the first partition is being committed. Nobody is in the group.
fn decided() -> World {
    let world = World::new();
    let consumer = world.by_hand(4);
    stage(&consumer, "t").unwrap();
    world.decide("t").unwrap();
    world
}

#[test]
fn nobody_begins_at_the_old_offset_while_a_transaction_is_being_committed() {
    for (is_commit, begin) in [(true, 4), (false, 0)] {
        let world = decided();
        let mut consumer = world.broker.consumer_with(config()).unwrap();
        assert_eq!(read(&mut consumer, Duration::ZERO), [(1, 0)]);
        assert_eq!(read(&mut consumer, Duration::ZERO), []);
        assert_eq!(consumer.position(&orders(0)), None);
        assert_eq!(world.committed()[0], None, "others are told what counts now");
        world.end("t", is_commit);
        assert_eq!(read(&mut consumer, Duration::ZERO), [(0, begin)]);
    }
}

#[test]
fn what_is_only_staged_keeps_nobody_waiting() {
    let world = World::new();
    let consumer = world.by_hand(4);
    stage(&consumer, "t").unwrap();
    let mut other = world.broker.consumer_with(config()).unwrap();
    assert_eq!(read(&mut other, Duration::ZERO), [(0, 0), (1, 0)]);
}

#[test]
fn records_that_come_meanwhile_change_nothing() {
    let world = decided();
    let mut consumer = world.broker.consumer_with(config()).unwrap();
    for round in 0..3 {
        read(&mut consumer, Duration::ZERO);
        for partition in 0..2 {
            world.broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
        }
        assert_eq!(read(&mut consumer, Duration::ZERO), [(1, RECORDS + round)]);
    }
    assert!(consumer.next_record(Duration::ZERO).unwrap().is_none());
    world.commit("t");
    assert_eq!(consumer.next_record(Duration::ZERO).unwrap().unwrap().offset(), 4);
}

#[test]
fn a_poll_sleeps_until_the_transaction_is_over() {
    let broker = Broker::temporary().unwrap();
    make_topic(&broker);
    let mut first = broker.consumer("g", ["orders"]).unwrap();
    read(&mut first, Duration::ZERO);
    stage(&first, "t").unwrap();
    let groups = Arc::clone(broker.store.coordinator().unwrap());
    groups.decide("g", "t", everything).unwrap();
    drop(first);
    let mut second = broker.consumer("g", ["orders"]).unwrap();
    let timeout = Duration::from_millis(30);
    let begin = Instant::now();
    assert_eq!(read(&mut second, timeout), []);
    assert!(begin.elapsed() >= timeout);
    broker.producer().send(ProducerRecord::to("orders").partition(0).value("new")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(timeout);
            groups.end_transaction("g", "t", true, everything).unwrap();
        });
        assert_eq!(read(&mut second, Duration::from_secs(60)), [(0, RECORDS)]);
    });
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_is_woken_when_the_transaction_is_over() {
    let world = decided();
    let mut consumer = world.broker.consumer_with(config()).unwrap();
    read(&mut consumer, Duration::ZERO);
    let counter = Arc::<Counter>::default();
    let waker = Waker::from(Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let mut is_ready = || pin!(consumer.ready()).as_mut().poll(&mut context) == Poll::Ready(());
    assert!(!is_ready());
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    world.commit("t");
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert!(is_ready());
}

#[test]
fn a_seek_to_what_is_being_committed_is_done_by_the_next_poll() {
    let world = World::new();
    let mut consumer = world.by_hand(4);
    stage(&consumer, "t").unwrap();
    world.decide("t").unwrap();
    consumer.seek(&orders(0), SeekTo::Committed).unwrap();
    assert_eq!((consumer.position(&orders(0)), read(&mut consumer, Duration::ZERO)), (None, vec![]));
    // To go elsewhere does not wait.
    consumer.seek(&orders(0), SeekTo::Offset(2)).unwrap();
    assert_eq!(read(&mut consumer, Duration::ZERO), [(0, 2)]);
    consumer.seek_to_committed().unwrap();
    assert_eq!(read(&mut consumer, Duration::ZERO), []);
    world.commit("t");
    assert_eq!(read(&mut consumer, Duration::ZERO), [(0, 4)]);
}

#[test]
fn a_later_commit_ends_the_waiting() {
    let world = World::new();
    let mut first = world.by_hand(4);
    stage(&first, "t").unwrap();
    world.decide("t").unwrap();
    let mut second = world.by_hand(0);
    second.seek(&orders(0), SeekTo::Committed).unwrap();
    assert_eq!(read(&mut second, Duration::ZERO), []);
    first.commit_offsets(&[at(0, 6)]).unwrap();
    assert_eq!(read(&mut second, Duration::ZERO), [(0, 6)]);
}

#[test]
fn of_two_transactions_both_are_waited_for() {
    let world = World::new();
    let consumer = world.by_hand(0);
    stage_at(&consumer, "t", 1);
    stage_at(&consumer, "u", 2);
    world.decide("t").unwrap();
    world.decide("u").unwrap();
    let mut other = world.broker.consumer_with(config()).unwrap();
    assert_eq!(read(&mut other, Duration::ZERO), [(1, 0)]);
    world.commit("t");
    assert_eq!(read(&mut other, Duration::ZERO), []);
    world.abort("u");
    assert_eq!(read(&mut other, Duration::ZERO), [(0, 1)]);
}

#[test]
fn in_doubt_nobody_begins_before_the_broker_is_opened_again() {
    let world = decided();
    let mut waiting = world.broker.consumer_with(config()).unwrap();
    assert_eq!(read(&mut waiting, Duration::ZERO), [(1, 0)]);
    world.groups().doubt_transaction("g", "t", everything).unwrap();
    for _ in 0..2 {
        match waiting.poll(Duration::ZERO) {
            Err(Error::InvalidState { reason }) => assert!(reason.contains("open the broker again"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    // The other partition is read all the same.
    world.broker.producer().send(ProducerRecord::to("orders").partition(1)).unwrap();
    waiting.pause(&[orders(0)]).unwrap();
    assert_eq!(read(&mut waiting, Duration::ZERO), [(1, RECORDS)]);
    // A reset says what the log does not.
    world.broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    assert_eq!(read(&mut waiting, Duration::ZERO), [(0, 0), (1, 0)]);
}
