//! What a process may do with a broker that was open when it was forked off: nothing, and it is told so.
//!
//! The failure that this is about: a child has a copy of all memory, and shares the files and the maps of the tails. It sends, is
//! told that its record is safe, and the parent gives the same offset to another record; or it ends, closes what it takes for
//! its own, and the parent's directory is sealed, marked as clean, or deleted under its hands; or it waits for ever for a lock that a
//! thread held which is not there.

#![cfg(unix)]
#![allow(unsafe_code, reason = "what forks is unsafe to call: the child may be in the middle of anything")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

use std::io::{Read, Write, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ottla::{
    Broker, CommittedOffset, Consumer, Durability, Error, Partition, Producer, ProducerConfig, ProducerRecord, SeekTo,
    Sending, Topic, TopicConfig, TopicPartition,
};

/// Nothing here takes long; a child that takes this long hangs.
const CHILD_TIME_MAX: Duration = Duration::from_secs(60);
/// How often a process forks whose threads are at work.
const FORKS: usize = 40;
const TOPICS: [(&str, Durability); 2] = [("durable", Durability::Always), ("quick", Durability::Os)];

/// Held by each test: a child has the locks of all directories that are open in the process, also of those of other tests.
static ONE_TEST_AT_A_TIME: Mutex<()> = Mutex::new(());

fn one_test_at_a_time() -> MutexGuard<'static, ()> {
    ONE_TEST_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that was forked off; killed when dropped.
struct Child {
    process: libc::pid_t,
}

/// Forks: `None` in the child, which goes on with [`run`].
fn fork() -> Option<Child> {
    // SAFETY: The child makes only calls that refuse to do anything, gives memory back (which glibc and macOS allow there), and
    // ends by `_exit`; or it opens a broker of its own, which is what is tested.
    match unsafe { libc::fork() } {
        0 => None,
        process => {
            assert!(process > 0, "{}", std::io::Error::last_os_error());
            Some(Child { process })
        }
    }
}

/// What a child does; it ends there, and nothing of the test's own process runs in it.
fn run(in_child: impl FnOnce()) -> ! {
    match catch_unwind(AssertUnwindSafe(in_child)) {
        Ok(()) => exit(0),
        Err(_) => fail("it panicked"),
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: It ends the process, and that is all.
    unsafe { libc::_exit(code) }
}

/// Ends a child that found `what` to be otherwise than it should be.
fn fail(what: &str) -> ! {
    let line = format!("in the child: {what}\n");
    // Not by way of the standard library, which may believe that another thread is writing.
    // SAFETY: The bytes are there for as long as the call takes.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    exit(1)
}

impl Child {
    /// Waits until the child has ended, and well.
    fn join(self) {
        let begin = Instant::now();
        let mut status = 0;
        // SAFETY: It is our child, and was not waited for yet.
        while unsafe { libc::waitpid(self.process, &raw mut status, libc::WNOHANG) } == 0 {
            assert!(begin.elapsed() < CHILD_TIME_MAX, "the child hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
        // It was waited for.
        std::mem::forget(self);
        assert_eq!(status, 0, "the child says why above");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: It is our child, and was not waited for yet.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            libc::waitpid(self.process, std::ptr::null_mut(), 0);
        }
    }
}

/// One of each kind of handle.
struct Handles {
    broker: Broker,
    producer: Producer,
    topics: Vec<Topic>,
    partitions: Vec<Partition>,
    consumer: Consumer,
}

impl Handles {
    fn of(broker: &Broker) -> Handles {
        let topics: Vec<_> = TOPICS.iter().map(|(name, _)| broker.topic(name).unwrap()).collect();
        Handles {
            broker: broker.clone(),
            producer: broker.producer(),
            partitions: topics.iter().flat_map(Topic::partitions).collect(),
            topics,
            consumer: broker.consumer("billing", TOPICS.map(|(name, _)| name)).unwrap(),
        }
    }
}

fn open(dir: &Path, background: bool) -> Broker {
    let broker = Broker::builder(dir).background(background).open().unwrap();
    for (name, durability) in TOPICS {
        match broker.create_topic(name, TopicConfig::new().durability(durability)) {
            Ok(_) | Err(Error::TopicExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    broker
}

fn record<'r>(topic: &'r str, value: &'r str) -> ProducerRecord<'r> {
    ProducerRecord::to(topic).value(value)
}

/// Whether a call was refused in a child; else the child ends.
#[track_caller]
fn check<T>(result: Result<T, Error>) {
    if !matches!(&result, Err(error @ Error::Forked) if error.is_fatal() && !error.is_retriable()) {
        let said = result.err().map_or_else(|| "it succeeded".to_owned(), |error| error.to_string());
        fail(&format!("line {}: {said}", std::panic::Location::caller().line()));
    }
}

/// In a child: tries everything, and drops everything.
fn try_all(mut handles: Handles) {
    for (name, _) in TOPICS {
        check(handles.producer.send(record(name, "child")));
        check(handles.producer.send_batch(name, &[record(name, "child"), record(name, "child")]));
        check(handles.producer.send_async(record(name, "child")));
    }
    for topic in &handles.topics {
        check(topic.produce("key", "child"));
    }
    for partition in &handles.partitions {
        let topic = partition.topic_partition().topic().to_owned();
        check(partition.append(&record(&topic, "child")));
        check(partition.append_batch(&[record(&topic, "child")]));
        check(partition.wait_durable(0));
        check(partition.read(0, 1024));
    }
    check(handles.producer.flush());
    try_consumer(&mut handles.consumer);
    try_broker(&handles.broker);
    let Handles { broker, producer, topics, partitions, consumer } = handles;
    check(consumer.close());
    check(broker.clone().close());
    drop((producer, topics, partitions, broker));
}

fn try_consumer(consumer: &mut Consumer) {
    let partition = TopicPartition::new(TOPICS[0].0, 0);
    check(consumer.poll(Duration::ZERO));
    check(consumer.poll(Duration::from_secs(3600)));
    check(consumer.commit());
    check(consumer.commit_offsets(&[(partition.clone(), CommittedOffset::new(0))]));
    check(consumer.seek(&partition, SeekTo::Earliest));
    check(consumer.pause(std::slice::from_ref(&partition)));
    check(consumer.resume(std::slice::from_ref(&partition)));
    check(consumer.subscribe(["durable"]));
    check(consumer.assign(std::slice::from_ref(&partition)));
    check(consumer.unsubscribe());
    if consumer.generation().is_some() || consumer.committed(&partition).is_ok() {
        fail("the child knows what its parent's group is at");
    }
}

fn try_broker(broker: &Broker) {
    check(broker.create_topic("new", TopicConfig::new()));
    check(broker.topic("new"));
    check(broker.topic("durable"));
    check(broker.producer_with(ProducerConfig::new()));
    check(broker.consumer("billing", ["durable"]));
    check(broker.committed("billing", &TopicPartition::new("durable", 0)));
    check(broker.flush());
    check(broker.run_maintenance());
    let admin = broker.admin();
    check(admin.add_partitions("durable", 5));
    check(admin.delete_topic("durable"));
    check(admin.list_topics());
    check(admin.describe("durable"));
    check(admin.list_groups());
    check(admin.describe_group("billing"));
    check(admin.delete_group("billing"));
    check(admin.remove_group_instance("billing", "one"));
    check(admin.reset_offsets("billing").topic("durable").execute());
    check(admin.verify());
}

/// Sends a record to each topic, which is to have this offset.
fn send(broker: &Broker, offset: u64) {
    for (name, _) in TOPICS {
        let sent = broker.producer().send(record(name, &offset.to_string())).unwrap();
        assert_eq!(sent.offset(), offset);
    }
}

/// Opens a directory that was closed, and finds `count` records in each topic, each with its offset for value.
fn check_after_close(dir: &Path, count: usize) {
    let broker = open(dir, false);
    assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
    assert!(broker.recovery_report().was_clean_shutdown());
    assert!(broker.admin().verify().unwrap().is_clean());
    for (name, _) in TOPICS {
        let records = broker.topic(name).unwrap().partition(0).unwrap().iter_from(0).map(Result::unwrap);
        let found: Vec<_> = records.map(|record| (record.offset(), record.value().unwrap().to_vec())).collect();
        let sent = (0..count as u64).map(|offset| (offset, offset.to_string().into_bytes()));
        assert_eq!(found, sent.collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(broker.admin().list_topics().unwrap(), TOPICS.map(|(name, _)| name));
}

#[test]
fn a_child_can_do_nothing_and_the_parent_goes_on_as_if_there_were_none() {
    let _alone = one_test_at_a_time();
    for background in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = open(dir.path(), background);
        let mut handles = Handles::of(&broker);
        send(&broker, 0);
        assert_eq!(handles.consumer.poll(Duration::from_secs(10)).unwrap().len(), 2);
        handles.consumer.commit().unwrap();
        for offset in 1..4 {
            let Some(child) = fork() else { run(|| try_all(handles)) };
            child.join();
            send(&broker, offset);
        }
        assert_eq!(handles.consumer.poll(Duration::from_secs(10)).unwrap().len(), 6);
        let group = broker.admin().describe_group("billing").unwrap();
        assert_eq!(
            (group.members().len(), group.total_lag()),
            (1, 6),
            "the child committed nothing, and did not leave"
        );
        handles.consumer.commit().unwrap();
        broker.close().unwrap();
        drop(handles);
        check_after_close(dir.path(), 4);
    }
}

/// The answer of a future, polled again and again.
fn answer_of(sending: &mut Sending) -> Result<u64, Error> {
    loop {
        if let Poll::Ready(sent) = Pin::new(&mut *sending).poll(&mut Context::from_waker(Waker::noop())) {
            return sent.map(|sent| sent.offset());
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_child_learns_nothing_from_the_futures_of_its_parent_and_its_parent_everything() {
    let _alone = one_test_at_a_time();
    for background in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = open(dir.path(), background);
        let producer = broker.producer();
        for offset in 0..10 {
            let mut sending = producer.send_async(record("durable", &offset.to_string())).unwrap();
            // One of the locks of the future may be held at this moment.
            assert_eq!(producer.send(record("quick", &offset.to_string())).unwrap().offset(), offset);
            let Some(child) = fork() else {
                run(|| {
                    for _ in 0..2 {
                        match answer_of(&mut sending) {
                            Err(Error::NotDurable { source, .. }) if matches!(*source, Error::Forked) => {}
                            answer => fail(&format!("{answer:?}")),
                        }
                    }
                    drop(sending);
                    drop((producer, broker));
                })
            };
            child.join();
            assert_eq!(answer_of(&mut sending).unwrap(), offset);
        }
        drop(producer);
        broker.close().unwrap();
        check_after_close(dir.path(), 10);
    }
}

/// Tells others to end, also when a test fails.
struct OnDrop<'f>(&'f AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn locks_that_other_threads_hold_when_a_process_forks_hold_up_no_child() {
    let _alone = one_test_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path(), true);
    let has_ended = AtomicBool::new(false);
    let counts: Vec<u64> = std::thread::scope(|threads| {
        let sender = |name: &'static str| {
            let (producer, has_ended) = (broker.producer(), &has_ended);
            move || {
                let next = || producer.send(record(name, "parent")).unwrap().offset();
                let offsets = std::iter::repeat_with(next).take_while(|_| !has_ended.load(Ordering::Relaxed));
                // The last one was sent, too.
                offsets.enumerate().inspect(|(n, offset)| assert_eq!(*n as u64, *offset)).count() as u64 + 1
            }
        };
        let senders = TOPICS.map(|(name, _)| threads.spawn(sender(name)));
        threads.spawn(|| {
            let mut consumer = broker.consumer("shipping", TOPICS.map(|(name, _)| name)).unwrap();
            while !has_ended.load(Ordering::Relaxed) {
                consumer.poll(Duration::from_millis(1)).unwrap();
                consumer.commit().unwrap();
            }
        });
        let end = OnDrop(&has_ended);
        let mut handles = Handles::of(&broker);
        for _ in 0..FORKS {
            // To drop them may give slots of the tail back.
            let records = handles.consumer.poll(Duration::from_millis(1)).unwrap();
            let Some(child) = fork() else {
                run(|| {
                    drop(records);
                    try_all(handles);
                })
            };
            child.join();
        }
        drop(end);
        senders.map(|sender| sender.join().unwrap()).into()
    });
    broker.close().unwrap();
    let broker = open(dir.path(), false);
    assert!(broker.recovery_report().is_clean() && broker.recovery_report().was_clean_shutdown());
    assert!(broker.admin().verify().unwrap().is_clean());
    for ((name, _), count) in TOPICS.into_iter().zip(counts) {
        let partition = broker.topic(name).unwrap().partition(0).unwrap();
        assert_eq!(partition.iter_from(0).map(Result::unwrap).count() as u64, count);
    }
}

#[test]
fn a_child_that_ends_leaves_a_temporary_directory_to_its_parent() {
    let _alone = one_test_at_a_time();
    let broker = Broker::temporary().unwrap();
    for (name, durability) in TOPICS {
        broker.create_topic(name, TopicConfig::new().durability(durability)).unwrap();
    }
    let handles = Handles::of(&broker);
    let dir = broker.dir().to_owned();
    let Some(child) = fork() else {
        run(|| {
            drop(broker);
            try_all(handles);
        })
    };
    child.join();
    send(&broker, 0);
    assert!(dir.join("catalog").exists());
    drop((broker, handles));
    assert!(!dir.exists(), "and its parent removes it");
}

#[test]
fn a_child_cannot_use_what_is_open_read_only_either() {
    let _alone = one_test_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path(), false);
    send(&writer, 0);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let partition = reader.topic("quick").unwrap().partition(0).unwrap();
    assert_eq!(partition.read(0, 1024).unwrap().len(), 1);
    let Some(child) = fork() else {
        run(|| {
            check(partition.read(0, 1024));
            check(reader.topic("quick"));
            check(reader.close());
        })
    };
    child.join();
    assert_eq!(partition.read(0, 1024).unwrap().len(), 1);
}

/// The parent has threads that wait, of which the child has a copy and no thread. What a child's threads overwrite of that is up to
/// chance, so there are a few.
#[test]
fn a_child_opens_a_broker_of_its_own_and_its_child_cannot_use_that() {
    let _alone = one_test_at_a_time();
    for _ in 0..8 {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let broker = open(dir.path(), true);
        let handles = Handles::of(&broker);
        let Some(child) = fork() else {
            run(|| {
                assert!(matches!(Broker::open(dir.path()), Err(Error::AlreadyOpen { .. })));
                let own = open(other.path(), true);
                send(&own, 0);
                let own_handles = Handles::of(&own);
                let Some(grandchild) = fork() else { run(|| try_all(own_handles)) };
                grandchild.join();
                send(&own, 1);
                drop(own_handles);
                own.close().unwrap();
                try_all(handles);
            })
        };
        child.join();
        send(&broker, 0);
        drop(handles);
        broker.close().unwrap();
        check_after_close(dir.path(), 1);
        check_after_close(other.path(), 2);
    }
}

/// The lock goes with the opening of its file, which parent and child share.
#[test]
fn a_directory_is_locked_until_parent_and_child_have_let_go_of_it() {
    let _alone = one_test_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path(), true);
    let (mut from_parent, mut to_child) = pipe().unwrap();
    let (mut from_child, mut to_parent) = pipe().unwrap();
    let Some(child) = fork() else {
        drop((to_child, from_child));
        run(|| {
            from_parent.read_exact(&mut [0]).unwrap();
            drop(broker);
            to_parent.write_all(b"dropped").unwrap();
            from_parent.read_exact(&mut [0]).unwrap();
        })
    };
    // Else nobody would hear that the child is gone.
    drop((from_parent, to_parent));
    broker.close().unwrap();
    let refused = Broker::open(dir.path());
    assert!(matches!(refused, Err(Error::AlreadyOpen { .. })), "{refused:?}");
    to_child.write_all(b"d").unwrap();
    from_child.read_exact(&mut [0; 7]).unwrap();
    send(&open(dir.path(), true), 0);
    to_child.write_all(b"e").unwrap();
    child.join();
    check_after_close(dir.path(), 1);
}
