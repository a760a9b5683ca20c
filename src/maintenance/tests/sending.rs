//! Tasks that send with `Durability::Always`, and the round that answers them.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::disk::simulated::{Call, CrashModel};
use crate::error::ClosedBy;
use crate::sync::Mutex;
use crate::{Producer, ProducerConfig, RecordMetadata, SendOutcome, Sending};

/// Counts how often it was called, and then does something.
struct Counting<F> {
    count: AtomicUsize,
    then: F,
}

impl<F: Fn() + Send + Sync + 'static> Wake for Counting<F> {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        (self.then)();
    }
}

impl<F> Counting<F> {
    fn new(then: F) -> Arc<Counting<F>> {
        Arc::new(Counting { count: AtomicUsize::new(0), then })
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

type OnlyCounting = Counting<fn()>;

fn counting() -> Arc<OnlyCounting> {
    Counting::new(|| ())
}

fn poll<F: Fn() + Send + Sync + 'static>(
    sending: &mut Sending,
    waker: &Arc<Counting<F>>,
) -> Poll<crate::Result<RecordMetadata>> {
    let waker = Waker::from(Arc::clone(waker));
    Pin::new(sending).poll(&mut Context::from_waker(&waker))
}

fn send(world: &World, value: &str) -> Sending {
    world.broker.producer().send_async(ProducerRecord::to("0").value(value)).unwrap()
}

/// Two tasks that wait, each with its waker, on a partition that has an open batch with one durable record.
fn two_waiting() -> (World, Partition, [(Sending, Arc<OnlyCounting>); 2]) {
    let (mut world, [partition]) = World::new([Durability::Always]);
    append(&partition, 10);
    world.begin();
    let tasks = ["a", "b"].map(|value| {
        let (mut sending, waker) = (send(&world, value), counting());
        assert!(poll(&mut sending, &waker).is_pending());
        (sending, waker)
    });
    (world, partition, tasks)
}

fn syncs_of(disk: &SimulatedDisk, part: &str) -> usize {
    let is_sync = |call: &&Call| call.operation == Operation::Sync && call.path.to_string_lossy().contains(part);
    disk.log().iter().filter(is_sync).count()
}

/// The values that a power cut now would leave.
fn after_power_cut(disk: &SimulatedDisk) -> Vec<String> {
    let disk = disk.crash(1, CrashModel::Subset);
    let broker = Broker::builder("/data").disk(&disk).background(false).open().unwrap();
    let records = broker.topic("0").unwrap().partition(0).unwrap().iter_from(0);
    records.map(|record| record.unwrap().value_str().unwrap().to_owned()).collect()
}

#[test]
fn tasks_share_a_round_and_are_woken_when_it_is_over() {
    let (mut world, partition, tasks) = two_waiting();
    assert!(!is_durable(&partition));
    let before = syncs_of(&world.disk, "tail-always");
    world.round();
    assert_eq!(syncs_of(&world.disk, "tail-always"), before + 1);
    for (offset, (mut sending, waker)) in (1..).zip(tasks) {
        assert_eq!(waker.count(), 1);
        let sent = poll(&mut sending, &waker).map(Result::unwrap);
        assert!(matches!(&sent, Poll::Ready(sent) if sent.offset() == offset), "{sent:?}");
        assert_eq!(poll(&mut sending, &waker).map(Result::unwrap), sent, "and says so again");
    }
    assert_eq!(after_power_cut(&world.disk)[1..], ["a", "b"]);
    assert!(!world.is_called());
}

#[test]
fn each_task_of_a_round_whose_tail_cannot_be_synced_is_told() {
    let (mut world, partition, tasks) = two_waiting();
    world.disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
    world.round();
    for (offset, (mut sending, waker)) in (1..).zip(tasks) {
        assert_eq!(waker.count(), 1);
        for _ in 0..2 {
            let Poll::Ready(Err(error)) = poll(&mut sending, &waker) else { panic!("not told") };
            assert!(matches!(&error, Error::InDoubt { offsets, .. } if *offsets == (offset..offset + 1)), "{error:?}");
            assert_eq!(error.outcome(), SendOutcome::Unknown);
        }
    }
    assert_eq!((world.disk.faults_injected(), partition.durable_offset()), (1, 1), "a failed sync is not tried again");
    let refused = world.broker.producer().send_async(ProducerRecord::to("0").value("c")).map(drop);
    assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
}

#[test]
fn each_task_of_a_round_whose_segment_cannot_be_synced_is_told() {
    let (mut world, partition, tasks) = two_waiting();
    // Around the tail, and the batch before it is sealed.
    let (mut large, waker) = (send(&world, &"x".repeat(100_000)), counting());
    assert!(poll(&mut large, &waker).is_pending());
    world.disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing(".log"));
    world.round();
    for (mut sending, waker) in tasks.into_iter().chain([(large, waker)]) {
        assert_eq!(waker.count(), 1);
        let answer = poll(&mut sending, &waker);
        assert!(matches!(answer, Poll::Ready(Err(Error::InDoubt { .. }))), "{answer:?}");
    }
    assert_eq!((world.disk.faults_injected(), partition.durable_offset()), (1, 1));
}

#[test]
fn where_the_sync_that_failed_was_one_of_a_growing_tail_the_segment_holds_what_is_acknowledged() {
    let (mut world, [partition]) = World::new([Durability::Always]);
    // Nothing was sent before: there is no slot yet, and there will be none.
    world.disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
    let tasks = ["a", "b"].map(|value| {
        let (mut sending, waker) = (send(&world, value), counting());
        assert!(poll(&mut sending, &waker).is_pending());
        (sending, waker)
    });
    assert_eq!(world.disk.faults_injected(), 1);
    world.round();
    for (mut sending, waker) in tasks {
        let answer = poll(&mut sending, &waker);
        assert!(matches!(answer, Poll::Ready(Ok(_))), "{answer:?}");
    }
    assert!(is_durable(&partition));
    assert_eq!(after_power_cut(&world.disk), ["a", "b"], "and it is the truth");
}

#[test]
fn a_sync_that_cannot_begin_is_told_and_tried_again_by_who_polls_again() {
    let (mut world, partition, _tasks) = two_waiting();
    let (mut large, waker) = (send(&world, &"x".repeat(100_000)), counting());
    assert!(poll(&mut large, &waker).is_pending());
    world.disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).forever());
    world.round();
    assert_eq!(waker.count(), 1);
    let answer = poll(&mut large, &waker);
    let Poll::Ready(Err(Error::NotDurable { offsets, source, .. })) = answer else { panic!("{answer:?}") };
    assert!(offsets == (3..4) && source.is_retriable());
    world.disk.clear_faults();
    assert!(matches!(poll(&mut large, &waker), Poll::Ready(Ok(_))));
    assert!(is_durable(&partition));
}

#[test]
fn without_a_thread_the_first_poll_syncs() {
    let disk = SimulatedDisk::new(1);
    let broker = Broker::builder("/data").disk(&disk).background(false).open().unwrap();
    let partition = broker.topic("0").unwrap().partition(0).unwrap();
    let send = |value| broker.producer().send_async(ProducerRecord::to("0").value(value)).unwrap();
    let ([mut first, mut second, dropped], waker) = (["a", "b", "c"].map(send), counting());
    assert_eq!(partition.durable_offset(), 0);
    assert!(matches!(poll(&mut first, &waker), Poll::Ready(Ok(_))));
    let syncs = syncs_of(&disk, "tail-always");
    assert!(is_durable(&partition), "also what nobody has polled for");
    assert!(matches!(poll(&mut second, &waker), Poll::Ready(Ok(_))));
    assert_eq!(syncs_of(&disk, "tail-always"), syncs);
    drop(dropped);
    let mut last = send("d");
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
    let answer = poll(&mut last, &waker);
    assert!(matches!(answer, Poll::Ready(Err(Error::InDoubt { .. }))), "{answer:?}");
    assert_eq!(waker.count(), 0);
}

#[test]
fn what_a_dropped_future_was_for_becomes_durable_and_no_waker_is_left() {
    let (mut world, partition, [(waiting, waker), (mut other, its_waker)]) = two_waiting();
    drop((waiting, send(&world, "never polled")));
    assert_eq!(Arc::strong_count(&waker), 1);
    world.round();
    assert!(is_durable(&partition));
    assert_eq!((waker.count(), its_waker.count()), (0, 1));
    assert!(matches!(poll(&mut other, &its_waker), Poll::Ready(Ok(_))));
    assert_eq!(after_power_cut(&world.disk)[1..], ["a", "b", "never polled"]);
}

#[test]
fn a_task_that_moves_is_woken_where_it_is() {
    let (mut world, _, [(mut sending, before), _]) = two_waiting();
    let now = counting();
    assert!(poll(&mut sending, &now).is_pending());
    assert_eq!(Arc::strong_count(&before), 1);
    world.round();
    assert_eq!((before.count(), now.count()), (0, 1));
    assert_eq!(Arc::strong_count(&now), 1);
}

#[test]
fn closing_makes_durable_what_tasks_wait_for_and_tells_them() {
    let (world, partition, tasks) = two_waiting();
    let disk = world.disk.clone();
    world.broker.close().unwrap();
    for (mut sending, waker) in tasks {
        assert_eq!(waker.count(), 1);
        assert!(matches!(poll(&mut sending, &waker), Poll::Ready(Ok(_))));
    }
    assert!(is_durable(&partition));
    assert_eq!(after_power_cut(&disk)[1..], ["a", "b"]);
}

#[test]
fn tasks_are_told_of_a_close_that_could_not_sync() {
    let (world, _, tasks) = two_waiting();
    world.disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).forever());
    world.broker.close().unwrap_err();
    for (mut sending, waker) in tasks {
        assert_eq!(waker.count(), 1);
        let answer = poll(&mut sending, &waker);
        assert!(matches!(answer, Poll::Ready(Err(Error::InDoubt { .. }))), "{answer:?}");
    }
}

#[test]
fn tasks_are_told_that_their_topic_was_deleted() {
    let (mut world, _, tasks) = two_waiting();
    world.broker.admin().delete_topic("0").unwrap();
    world.logs.store(Arc::default());
    world.round();
    for (mut sending, waker) in tasks {
        assert_eq!(waker.count(), 1);
        let answer = poll(&mut sending, &waker);
        assert!(matches!(answer, Poll::Ready(Err(Error::Closed { by: ClosedBy::Deletion, .. }))), "{answer:?}");
    }
}

#[test]
fn a_waker_that_panics_harms_no_other_task_and_no_later_round() {
    let (mut world, partition, _) = two_waiting();
    let panicking = Counting::new(|| panic!("a waker that panics"));
    let mut sendings = ["c", "d", "e"].map(|value| send(&world, value));
    let [first, second, third] = &mut sendings;
    let waker = counting();
    assert!(poll(first, &panicking).is_pending() && poll(second, &waker).is_pending());
    world.round();
    assert_eq!((panicking.count(), waker.count()), (1, 1));
    assert!(matches!(poll(first, &waker), Poll::Ready(Ok(_))) && matches!(poll(third, &waker), Poll::Ready(Ok(_))));
    let mut later = send(&world, "f");
    assert!(poll(&mut later, &waker).is_pending());
    world.round();
    assert_eq!(waker.count(), 2);
    assert!(is_durable(&partition));
}

#[test]
fn a_waker_may_send_again_and_wait_for_it_or_not() {
    let (mut world, partition, [(_, _), (mut second, _)]) = two_waiting();
    let producer: Producer = world.broker.producer();
    let again = Arc::new(Mutex::new(None));
    let waker = Counting::new({
        let again = Arc::clone(&again);
        move || {
            let record = || ProducerRecord::to("0").value("again");
            assert_eq!(producer.send(record()).unwrap().offset(), 3);
            let mut sending = producer.send_async(record()).unwrap();
            assert!(poll(&mut sending, &counting()).is_pending());
            *again.lock() = Some(sending);
        }
    });
    assert!(poll(&mut second, &waker).is_pending());
    world.round();
    assert_eq!((waker.count(), partition.durable_offset()), (1, 4));
    world.round();
    assert!(is_durable(&partition));
    let mut again = again.lock().take().unwrap();
    assert!(matches!(poll(&mut again, &counting()), Poll::Ready(Ok(sent)) if sent.offset() == 4));
}

#[test]
fn a_waker_may_close_the_broker_under_the_other_tasks() {
    let (mut world, partition, [(mut first, _), (mut second, waker)]) = two_waiting();
    let broker = world.broker.clone();
    let closing = Counting::new(move || broker.clone().close().unwrap());
    assert!(poll(&mut first, &closing).is_pending());
    world.round();
    assert_eq!((closing.count(), waker.count()), (1, 1));
    assert!(matches!(poll(&mut second, &waker), Poll::Ready(Ok(_))));
    assert!(is_durable(&partition));
}

#[test]
fn only_who_asks_for_always_waits() {
    let (mut world, [partition]) = World::new([Durability::Os]);
    world.begin();
    let waker = counting();
    assert!(matches!(poll(&mut send(&world, "a"), &waker), Poll::Ready(Ok(sent)) if sent.offset() == 0));
    assert!(!world.is_called() && !is_durable(&partition));
    let config = ProducerConfig::new().durability(Durability::Always);
    let careful = world.broker.producer_with(config).unwrap();
    let mut sending = careful.send_async(ProducerRecord::to("0").value("b")).unwrap();
    assert_eq!((sending.metadata().offset(), partition.high_watermark()), (1, 2), "everybody sees it at once");
    assert!(poll(&mut sending, &waker).is_pending());
    world.round();
    assert_eq!(waker.count(), 1);
    assert!(matches!(poll(&mut sending, &waker), Poll::Ready(Ok(sent)) if sent.offset() == 1));
    assert!(is_durable(&partition));
}

#[test]
fn a_future_is_as_executors_want_it_and_shows_itself_in_a_line() {
    fn check<T: Future + Unpin + Send + Sync + 'static>(_: &T) {}
    let (world, _) = World::new([Durability::Always]);
    let sending = send(&world, "a");
    check(&sending);
    assert_eq!(format!("{sending:?}"), "Sending { record: 0-0@0, .. }");
}
