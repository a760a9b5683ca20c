//! Consumers of a broker that is open read-only: they read what they are assigned, and there are no groups.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Error, OffsetReset, ProducerRecord, SeekTo, TopicConfig,
    TopicPartition,
};

use crate::{open, text};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(300);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn send(writer: &Broker, partition: u32, numbers: std::ops::Range<u32>) {
    for n in numbers {
        writer.producer().send(ProducerRecord::to("orders").partition(partition).value(n.to_string())).unwrap();
    }
}

/// A consumer of these partitions of orders.
fn assigned(reader: &Broker, partitions: &[u32]) -> Consumer {
    let mut consumer = reader.consumer_with(ConsumerConfig::new("billing")).unwrap();
    let partitions: Vec<_> = partitions.iter().map(|&number| orders(number)).collect();
    consumer.assign(&partitions).unwrap();
    consumer
}

fn polled(consumer: &mut Consumer) -> Vec<String> {
    let records = consumer.poll(LONG).unwrap();
    records.iter().map(|record| text(record.value().unwrap())).collect()
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
}

#[test]
fn what_is_assigned_is_read_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    send(&writer, 0, 0..3);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = assigned(&reader, &[0, 1]);
    assert_eq!(consumer.lag(&orders(0)), Some(3));
    assert_eq!(polled(&mut consumer), ["0", "1", "2"]);
    assert_eq!((consumer.position(&orders(0)), consumer.lag(&orders(0))), (Some(3), Some(0)));
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
    send(&writer, 1, 10..12);
    assert_eq!(consumer.handle().lag(), 2);
    assert_eq!(polled(&mut consumer), ["10", "11"]);
    consumer.seek(&orders(0), SeekTo::Offset(1)).unwrap();
    assert_eq!(polled(&mut consumer), ["1", "2"]);
    consumer.seek(&orders(0), SeekTo::Earliest).unwrap();
    assert_eq!(consumer.iter(Duration::ZERO).map(|record| record.unwrap().offset()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(matches!(consumer.seek(&orders(0), SeekTo::Offset(9)), Err(Error::OffsetOutOfRange { .. })));
    consumer.pause(&[orders(0)]).unwrap();
    send(&writer, 0, 3..4);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
    consumer.resume(&[orders(0)]).unwrap();
    assert_eq!(polled(&mut consumer), ["3"]);
    consumer.close().unwrap();
}

#[test]
fn the_end_of_a_log_that_cannot_be_looked_at_is_not_taken_for_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    send(&writer, 0, 0..3);
    writer.close().unwrap();
    let (partition, aside) = (dir.path().join("orders-0"), dir.path().join("aside"));
    std::fs::rename(&partition, &aside).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut sought = assigned(&reader, &[0]);
    for to in [SeekTo::Latest, SeekTo::Earliest, SeekTo::Offset(1)] {
        assert!(matches!(sought.seek(&orders(0), to), Err(Error::Corrupt(_))), "{to}");
        assert_eq!(sought.position(&orders(0)), None);
    }
    let config = ConsumerConfig::new("billing").offset_reset(OffsetReset::Latest);
    let mut reset = reader.consumer_with(config).unwrap();
    reset.assign(&[orders(0)]).unwrap();
    assert!(matches!(reset.poll(Duration::ZERO), Err(Error::Corrupt(_))));
    std::fs::rename(&aside, &partition).unwrap();
    sought.seek(&orders(0), SeekTo::Latest).unwrap();
    for consumer in [&mut sought, &mut reset] {
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
        assert_eq!(consumer.position(&orders(0)), Some(3));
    }
}

#[test]
fn a_poll_waits_for_what_the_writer_sends() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = assigned(&reader, &[0]);
    assert_eq!(consumer.poll(Duration::from_millis(1)).unwrap().len(), 0);
    let waiting = thread::spawn(move || (polled(&mut consumer), consumer));
    send(&writer, 0, 0..1);
    let (values, consumer) = waiting.join().unwrap();
    assert_eq!(values[0], "0");
    let handle = consumer.handle();
    let waiting = thread::spawn({
        let mut consumer = consumer;
        move || consumer.poll(LONG).map(|records| records.len())
    });
    handle.wakeup();
    assert!(matches!(waiting.join().unwrap(), Err(Error::Wakeup)));
}

#[test]
fn a_poll_that_spins_looks_itself_also_where_the_last_one_found_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = reader.consumer_with(ConsumerConfig::new("billing").spin(LONG)).unwrap();
    consumer.assign(&[orders(0)]).unwrap();
    for n in 0..3 {
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
        thread::scope(|scope| {
            scope.spawn(|| send(&writer, 0, n..n + 1));
            // It would look no more before the end of that, unless it does so while it spins.
            assert_eq!(polled(&mut consumer), [n.to_string()]);
        });
    }
}

#[test]
fn there_is_no_group_to_join_and_nothing_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    send(&writer, 0, 0..2);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    is_refused(reader.consumer("billing", ["orders"]));
    is_refused(reader.consumer_with(ConsumerConfig::new("billing").topic_pattern("o*")));
    is_refused(reader.consumer_with(ConsumerConfig::new("billing").auto_commit_interval(Duration::from_secs(1))));
    let mut consumer = assigned(&reader, &[0]);
    assert_eq!(polled(&mut consumer), ["0", "1"]);
    is_refused(consumer.commit());
    is_refused(consumer.commit_offsets(&[(orders(0), CommittedOffset::new(1))]));
    is_refused(consumer.subscribe(["orders"]));
    is_refused(consumer.subscribe_pattern("o*"));
    // It reads on.
    send(&writer, 0, 2..3);
    assert_eq!(polled(&mut consumer), ["2"]);
    assert_eq!((consumer.member_id(), consumer.generation()), (None, None));
    assert!(matches!(consumer.assign(&[orders(7)]), Err(Error::UnknownPartition { .. })));
    assert!(matches!(consumer.assign(&[TopicPartition::new("none", 0)]), Err(Error::UnknownTopic { .. })));
}

#[test]
fn reading_begins_at_what_the_group_has_committed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    send(&writer, 0, 0..5);
    let mut member = writer.consumer("billing", ["orders"]).unwrap();
    member.poll(LONG).unwrap();
    member.commit_offsets(&[(orders(0), CommittedOffset::new(3))]).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = assigned(&reader, &[0]);
    assert_eq!(consumer.committed(&orders(0)).unwrap().unwrap().offset(), 3);
    assert_eq!(polled(&mut consumer), ["3", "4"]);
}

#[test]
fn what_is_committed_is_what_was_committed_by_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    send(&writer, 0, 0..5);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut early = reader.consumer_with(ConsumerConfig::new("billing")).unwrap();
    assert_eq!(early.committed(&orders(0)).unwrap(), None);
    let mut member = writer.consumer("billing", ["orders"]).unwrap();
    member.poll(LONG).unwrap();
    for offset in [2, 4] {
        member.commit_offsets(&[(orders(0), CommittedOffset::new(offset))]).unwrap();
        assert_eq!(early.committed(&orders(0)).unwrap(), member.committed(&orders(0)).unwrap());
        assert_eq!(early.committed(&orders(0)).unwrap().unwrap().offset(), offset);
    }
    early.assign(&[orders(0)]).unwrap();
    assert_eq!(polled(&mut early), ["4"], "it begins at what was committed when it was assigned");
}

#[test]
fn a_future_waits_for_what_the_writer_sends() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = assigned(&reader, &[0]);
    consumer.poll(Duration::ZERO).unwrap();
    for n in 0..3 {
        let woken = Arc::new(Unparks(thread::current()));
        let waker = Waker::from(woken);
        let mut context = Context::from_waker(&waker);
        {
            let mut ready = pin!(consumer.ready());
            for _ in 0..3 {
                assert!(ready.as_mut().poll(&mut context).is_pending());
                thread::park_timeout(LONG);
            }
            send(&writer, 0, n..n + 1);
            while ready.as_mut().poll(&mut context).is_pending() {
                thread::park_timeout(LONG);
            }
        }
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert_eq!(records.iter().map(|record| text(record.value().unwrap())).collect::<Vec<_>>(), [n.to_string()]);
    }
    writer.admin().delete_topic("orders").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(consumer.ready()).poll(&mut context).is_ready(), "for the error that a poll returns");
}

#[cfg(feature = "testing")]
#[test]
fn a_poll_that_finds_nothing_takes_no_call() {
    use ottla::RecoveryMode;
    use ottla::testing::{Operation, SimulatedDisk};

    let disk = SimulatedDisk::new(1);
    let builder = || Broker::builder("/data").background(false).disk(&disk);
    let writer = builder().open().unwrap();
    writer.topic("orders").unwrap();
    writer.topic("others").unwrap().produce("k", "v").unwrap();
    writer.run_maintenance().unwrap();
    send(&writer, 0, 0..2);
    let mut consumer = assigned(&builder().recovery_mode(RecoveryMode::ReadOnly).open().unwrap(), &[0]);
    assert_eq!(polled(&mut consumer), ["0", "1"]);
    let mut poll = || {
        let before = disk.log().len();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
        disk.log()[before..].iter().map(|call| call.operation).collect::<Vec<_>>()
    };
    poll();
    for _ in 0..1000 {
        assert_eq!(poll(), []);
    }
    // Whether the tails are still those that are mapped, and now and then whose the directory is.
    disk.advance(Duration::from_millis(100));
    assert_eq!(poll(), [Operation::Size; 2]);
    assert_eq!(poll(), []);
    disk.advance(Duration::from_secs(1));
    assert_eq!(poll(), [Operation::Size, Operation::Size, Operation::Open, Operation::Read]);
    assert_eq!(poll(), []);
    // What others are sent is no news here, but once.
    writer.topic("others").unwrap().produce("k", "v").unwrap();
    assert_eq!(poll(), []);
}

/// Wakes a thread.
struct Unparks(thread::Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Unparks>) {
        self.0.unpark();
    }
}

#[test]
fn topics_and_partitions_that_come_and_go_are_seen_by_the_next_call() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    writer.topic("orders").unwrap();
    send(&writer, 0, 0..1);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let mut consumer = assigned(&reader, &[0]);
    assert_eq!(polled(&mut consumer), ["0"]);
    writer.admin().add_partitions("orders", 2).unwrap();
    send(&writer, 1, 7..8);
    consumer.assign(&[orders(0), orders(1)]).unwrap();
    assert_eq!(polled(&mut consumer), ["7"]);
    writer.admin().delete_topic("orders").unwrap();
    assert!(matches!(consumer.poll(LONG), Err(Error::Closed { .. })));
    writer.topic("orders").unwrap();
    send(&writer, 0, 20..21);
    assert!(matches!(consumer.poll(LONG), Err(Error::Closed { .. })));
    consumer.assign(&[orders(0)]).unwrap();
    assert_eq!(polled(&mut consumer), ["20"]);
}
