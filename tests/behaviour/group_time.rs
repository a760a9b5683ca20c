//! What depends on time in a group, by a clock that the test moves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Consumer, ConsumerConfig, Durability, Error, ProducerRecord, TopicConfig, TopicPartition};

const MINUTE: Duration = Duration::from_secs(60);
const ALMOST: Duration = Duration::from_millis(59_999);
const REST: Duration = Duration::from_millis(1);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A broker with a topic of two partitions and ten records in each.
fn broker(disk: &SimulatedDisk) -> Broker {
    let broker = Broker::builder("/data").background(false).durability(Durability::Os).disk(disk).open().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    for n in 0..20 {
        broker.producer().send(ProducerRecord::to("orders").partition(n % 2)).unwrap();
    }
    broker
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

fn poll_count(consumer: &mut Consumer) -> usize {
    consumer.poll(Duration::ZERO).unwrap().len()
}

#[test]
fn a_member_that_does_not_poll_is_reported_and_then_put_out() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let late = config().max_poll_interval(2 * MINUTE).on_late_poll({
        let reports = Arc::clone(&reports);
        move |late| reports.lock().unwrap().push((late.member_id().to_owned(), late.idle()))
    });
    let mut slow = broker.consumer_with(late).unwrap();
    let mut other = broker.consumer_with(config()).unwrap();
    assert_eq!(poll_count(&mut slow), 10);
    assert_eq!(poll_count(&mut other), 10);
    let is_late =
        || broker.admin().describe_group("g").unwrap().members().iter().any(ottla::MemberDescription::is_late);

    disk.advance(ALMOST);
    poll_count(&mut other);
    assert!(reports.lock().unwrap().is_empty() && !is_late());
    disk.advance(REST);
    poll_count(&mut other);
    poll_count(&mut other);
    assert_eq!(*reports.lock().unwrap(), [(slow.member_id().unwrap().to_owned(), MINUTE)]);
    assert!(is_late());
    // It polls in time, and is not late any more.
    poll_count(&mut slow);
    assert!(!is_late());

    disk.advance(5 * MINUTE);
    poll_count(&mut other);
    assert_eq!(reports.lock().unwrap().len(), 2, "reported before it is put out, however late");
    assert_eq!(other.assignment().len(), 1);
    assert_eq!(poll_count(&mut other), 10, "its partition was not committed");
    assert_eq!(other.assignment().len(), 2);
    assert!(matches!(slow.commit(), Err(Error::CommitRefused { .. })));
    match slow.poll(Duration::ZERO) {
        Err(Error::PollTooLate { idle, max_poll_interval, .. }) => {
            assert_eq!((idle, max_poll_interval), (5 * MINUTE, 2 * MINUTE));
        }
        polled => panic!("{polled:?}"),
    }
    assert!(slow.assignment().is_empty());
    // From here on it is a member again.
    for _ in 0..3 {
        slow.poll(Duration::ZERO).unwrap();
        other.poll(Duration::ZERO).unwrap();
    }
    assert_eq!((slow.assignment().len(), other.assignment().len()), (1, 1));
}

#[test]
fn a_record_that_is_handed_out_counts_as_a_poll() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let mut slow = broker.consumer_with(config().max_poll_interval(2 * MINUTE)).unwrap();
    let mut other = broker.consumer_with(config()).unwrap();
    let next = |consumer: &mut Consumer| consumer.next_record(Duration::ZERO).map(|record| record.unwrap().offset());
    for expected in 0..5 {
        assert_eq!(next(&mut slow).unwrap(), expected);
        disk.advance(MINUTE);
        other.poll(Duration::ZERO).unwrap();
        assert_eq!(other.assignment().len(), 1);
    }
    slow.commit().unwrap();
    disk.advance(MINUTE);
    assert_eq!(poll_count(&mut other), 5, "what was read ahead is the other's now");
    assert!(matches!(next(&mut slow), Err(Error::PollTooLate { .. })));
}

#[test]
fn an_auto_commit_covers_what_was_handed_out() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let mut consumer = broker.consumer_with(config().auto_commit_interval(MINUTE)).unwrap();
    assert_eq!(consumer.iter(Duration::ZERO).take(3).count(), 3);
    disk.advance(MINUTE);
    assert_eq!(broker.committed("g", &orders(0)).unwrap(), None);
    consumer.next_record(Duration::ZERO).unwrap().unwrap();
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 3);
    assert_eq!(broker.committed("g", &orders(1)).unwrap(), None);
}

#[test]
fn a_member_without_an_interval_is_never_put_out() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let mut silent = broker.consumer_with(config()).unwrap();
    let mut other = broker.consumer_with(config()).unwrap();
    assert_eq!(poll_count(&mut silent), 10);
    disk.advance(1000 * MINUTE);
    assert_eq!(poll_count(&mut other), 10);
    assert_eq!(other.assignment().len(), 1);
    silent.commit().unwrap();
}

#[test]
fn the_place_of_a_static_member_is_kept_for_its_session_timeout() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let of = |name: &str| config().group_instance_id(name).session_timeout(MINUTE);
    let mut a = broker.consumer_with(of("a")).unwrap();
    let mut b = broker.consumer_with(of("b")).unwrap();
    poll_count(&mut a);
    poll_count(&mut b);
    let generation = a.generation();
    drop(b);
    disk.advance(ALMOST);
    poll_count(&mut a);
    assert_eq!((a.assignment().len(), a.generation()), (1, generation));
    disk.advance(REST);
    poll_count(&mut a);
    assert_eq!(a.assignment().len(), 2);
    // Or not so long, if somebody knows better.
    let mut b = broker.consumer_with(of("b")).unwrap();
    poll_count(&mut a);
    poll_count(&mut b);
    drop(b);
    poll_count(&mut a);
    assert_eq!(a.assignment().len(), 1);
    assert!(broker.admin().remove_group_instance("g", "b").unwrap());
    assert!(!broker.admin().remove_group_instance("g", "b").unwrap());
    poll_count(&mut a);
    assert_eq!(a.assignment().len(), 2);
}

#[test]
fn auto_commit_does_not_depend_on_traffic() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let committed = || broker.committed("g", &orders(0)).unwrap().map(|committed| committed.offset());
    let mut consumer = broker.consumer_with(config().auto_commit_interval(MINUTE).max_poll_records(15)).unwrap();
    assert_eq!(poll_count(&mut consumer), 15);
    disk.advance(ALMOST);
    assert_eq!(poll_count(&mut consumer), 5);
    assert_eq!(committed(), None);
    disk.advance(REST);
    assert_eq!(poll_count(&mut consumer), 0);
    assert_eq!(committed(), Some(10));
    // What a poll returns is committed by a later one only.
    broker.producer().send(ProducerRecord::to("orders").partition(0)).unwrap();
    disk.advance(MINUTE);
    assert_eq!(poll_count(&mut consumer), 1);
    assert_eq!(committed(), Some(10));
    consumer.close().unwrap();
    assert_eq!(committed(), Some(11), "the last position is committed on close");
}

#[test]
fn what_cannot_be_committed_can_still_be_read() {
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let mut consumer = broker.consumer_with(config().auto_commit_interval(MINUTE).max_poll_records(1)).unwrap();
    assert_eq!(poll_count(&mut consumer), 1);
    // Another group's member with a partition by hand cannot be committed while the group has members.
    let mut by_hand = broker.consumer_with(ConsumerConfig::new("g").auto_commit_interval(MINUTE)).unwrap();
    by_hand.assign(&[orders(1)]).unwrap();
    assert_eq!(poll_count(&mut by_hand), 10);
    broker.producer().send(ProducerRecord::to("orders").partition(1)).unwrap();
    disk.advance(MINUTE);
    assert!(matches!(by_hand.poll(Duration::ZERO), Err(Error::CommitRefused { .. })));
    assert_eq!(poll_count(&mut by_hand), 1, "it is tried again after the next interval");
}

#[test]
fn a_task_is_woken_when_it_is_time_to_commit() {
    struct Calls(AtomicUsize);
    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let disk = SimulatedDisk::new(1);
    let broker = broker(&disk);
    let mut consumer = broker.consumer_with(config().auto_commit_interval(MINUTE)).unwrap();
    assert_eq!(poll_count(&mut consumer), 20);
    poll_count(&mut consumer);
    let calls = Arc::new(Calls(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&calls));
    let mut is_ready = || std::pin::pin!(consumer.ready()).poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
    assert!(!is_ready());
    broker.run_maintenance().unwrap();
    assert_eq!(calls.0.load(Ordering::Relaxed), 0);
    disk.advance(MINUTE);
    broker.run_maintenance().unwrap();
    assert_eq!(calls.0.load(Ordering::Relaxed), 1);
    assert!(is_ready());
    poll_count(&mut consumer);
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 10);
}
