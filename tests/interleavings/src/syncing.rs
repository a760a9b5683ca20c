//! Group commit: who returns when, who sees what when, and what a failed sync leaves.

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Durability, Error, Partition, TopicConfig};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::{after_power_cut, broker, builder, explore, join, read_all, record};

fn partition(disk: &SimulatedDisk, durability: Durability) -> (ottla::Broker, Partition) {
    let broker = broker(disk, durability);
    let partition = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
    (broker, partition)
}

/// Senders that share syncs return only when their record survives a power cut.
#[test]
fn no_send_returns_before_its_sync() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (_broker, log) = partition(&disk, Durability::Always);
        let senders = ["a", "b", "c"].map(|value| {
            let (log, disk) = (log.clone(), disk.clone());
            thread::spawn(move || {
                let offset = log.append(&record(value)).unwrap();
                assert!(offset < log.durable_offset());
                (offset, value, disk.crash(offset, CrashModel::Subset))
            })
        });
        for (offset, value, image) in join(senders) {
            assert_eq!(after_power_cut(&image)[usize::try_from(offset).unwrap()], value);
        }
    });
}

/// With `Always`, whatever a reader sees outlives a power cut that comes right after.
#[test]
fn nobody_sees_a_record_before_it_is_durable() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (_broker, log) = partition(&disk, Durability::Always);
        let senders = ["a", "b"].map(|value| {
            let log = log.clone();
            thread::spawn(move || {
                log.append(&record(value)).unwrap();
            })
        });
        let reader = thread::spawn({
            let (log, disk) = (log.clone(), disk.clone());
            move || {
                while read_all(&log).is_empty() {
                    thread::yield_now();
                }
                let seen = read_all(&log);
                (seen, disk.crash(3, CrashModel::Subset))
            }
        });
        join(senders);
        let (seen, image) = reader.join().unwrap();
        assert!(after_power_cut(&image).starts_with(&seen));
    });
}

/// The sync that was to cover several senders fails: each of them hears of it, and nobody ever sees their records.
#[test]
fn a_failed_sync_acknowledges_nobody() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (_broker, log) = partition(&disk, Durability::Always);
        log.append(&record("before")).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
        let senders = ["a", "b", "c"].map(|value| {
            let log = log.clone();
            thread::spawn(move || log.append(&record(value)))
        });
        for result in join(senders) {
            assert!(matches!(result, Err(Error::InDoubt { .. } | Error::Poisoned { .. })), "{result:?}");
        }
        assert_eq!(disk.faults_injected(), 1, "a failed sync is not tried again");
        assert_eq!(log.durable_offset(), 1);
        assert_eq!(read_all(&log), ["before"]);
        assert!(matches!(log.append(&record("after")), Err(Error::Poisoned { .. })));
    });
}

/// Tasks beside a thread that sends, and the maintenance thread that leads for them: each is woken, by whichever round its record
/// became durable, and each record survives a power cut from then on.
#[test]
fn tasks_and_a_thread_share_rounds() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Always).background(true).open().unwrap();
        let log = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
        let task = |value: &'static str| {
            let (producer, disk) = (broker.producer(), disk.clone());
            thread::spawn(move || {
                let sent = block_on(producer.send_async(record(value)).unwrap()).unwrap();
                (sent.offset(), value, disk.crash(sent.offset(), CrashModel::Subset))
            })
        };
        let tasks = [task("a"), task("b")];
        let sender = thread::spawn({
            let (log, disk) = (log.clone(), disk.clone());
            move || (log.append(&record("c")).unwrap(), "c", disk.crash(7, CrashModel::Subset))
        });
        for (offset, value, image) in join(tasks.into_iter().chain([sender])) {
            assert_eq!(after_power_cut(&image)[usize::try_from(offset).unwrap()], value);
        }
    });
}

/// The sync that was to cover tasks and a thread fails: each of them hears of it, whoever led the round.
#[test]
fn a_failed_sync_acknowledges_no_task() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Always).background(true).open().unwrap();
        let log = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
        log.append(&record("before")).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
        let tasks = ["a", "b"].map(|value| {
            let producer = broker.producer();
            thread::spawn(move || block_on(producer.send_async(record(value))?).map(|sent| sent.offset()))
        });
        let sender = thread::spawn({
            let log = log.clone();
            move || log.append(&record("c"))
        });
        for result in join(tasks.into_iter().chain([sender])) {
            assert!(matches!(result, Err(Error::InDoubt { .. } | Error::Poisoned { .. })), "{result:?}");
        }
        assert_eq!(log.durable_offset(), 1);
        assert_eq!(read_all(&log), ["before"]);
    });
}

/// A sync that cannot begin, since there is no handle left for it, keeps nobody waiting and poisons nothing: each sender is told
/// that the record is there, and is not durable yet. Once there are handles, everything is.
#[test]
fn a_round_that_cannot_begin_lets_everybody_go_and_a_later_one_covers_them() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (_broker, log) = partition(&disk, Durability::Always);
        // Past the tail, so that the segment and its name in the directory are to be synced.
        let large = |first: &str| first.repeat(70_000);
        disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).path_containing("t-0").forever());
        let senders = ["a", "b"].map(|value| {
            let log = log.clone();
            thread::spawn(move || log.append(&record(&large(value))))
        });
        let flusher = thread::spawn({
            let log = log.clone();
            move || match log.wait_durable(log.log_end_offset()) {
                Ok(()) => assert_eq!(log.durable_offset(), 0, "it came before the senders"),
                Err(error) => assert!(error.is_retriable(), "{error:?}"),
            }
        });
        for result in join(senders) {
            let error = result.unwrap_err();
            assert!(matches!(&error, Error::NotDurable { source, .. } if source.is_retriable()), "{error:?}");
        }
        flusher.join().unwrap();
        assert!(read_all(&log).is_empty(), "nobody sees what is not durable");
        disk.clear_faults();
        log.append(&record("c")).unwrap();
        assert_eq!((read_all(&log).len(), log.durable_offset()), (3, 3));
        assert_eq!(after_power_cut(&disk.crash(5, CrashModel::Subset)).len(), 3);
    });
}

/// Of senders before, in and after the round that fails, those that were told of success keep their record.
#[test]
fn a_later_sync_fails_and_what_was_acknowledged_stays() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (_broker, log) = partition(&disk, Durability::Always);
        log.append(&record("before")).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always").nth(2));
        let senders = ["a", "b", "c"].map(|value| {
            let log = log.clone();
            thread::spawn(move || (value, log.append(&record(value))))
        });
        let sent = join(senders);
        let after = after_power_cut(&disk.crash(5, CrashModel::Subset));
        for (value, result) in sent {
            if let Ok(offset) = result {
                assert_eq!(after[usize::try_from(offset).unwrap()], value);
            }
        }
    });
}

/// The durable offset never goes back, whichever of two flushes ends first, and each flush covers what was there before it.
#[test]
fn the_durable_offset_only_rises() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (broker, log) = partition(&disk, Durability::Os);
        let flushers = [(); 2].map(|()| {
            let (broker, log) = (broker.clone(), log.clone());
            thread::spawn(move || {
                let end = log.append(&record("x")).unwrap() + 1;
                broker.flush().unwrap();
                assert!(end <= log.durable_offset());
            })
        });
        let watcher = thread::spawn({
            let log = log.clone();
            move || {
                let mut last = 0;
                for _ in 0..8 {
                    let durable = log.durable_offset();
                    assert!(last <= durable && durable <= log.log_end_offset());
                    last = durable;
                }
            }
        });
        join(flushers);
        watcher.join().unwrap();
        assert_eq!(log.durable_offset(), 2);
    });
}

/// The topic becomes `Always` beside two senders and a reader, and then something else again. Whatever is altered under them, senders
/// return; what was sent after the topic was `Always` survives a power cut, and so does what was seen; and nobody sees less than
/// before.
#[test]
fn altering_the_durability_beside_two_senders_and_a_reader() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let (broker, log) = partition(&disk, Durability::Os);
        log.append(&record("before")).unwrap();
        let alter = |broker: &ottla::Broker, to| {
            broker.admin().alter_topic("t", |config| config.durability(to)).unwrap();
        };
        let senders = ["a", "b"].map(|value| {
            let log = log.clone();
            thread::spawn(move || (0..2).map(|_| log.append(&record(value)).unwrap()).collect::<Vec<_>>())
        });
        let reader = thread::spawn({
            let log = log.clone();
            move || {
                let mut seen = 0;
                for _ in 0..4 {
                    let read = read_all(&log).len();
                    assert!(seen <= read, "what was read once is there the next time");
                    seen = read;
                    thread::yield_now();
                }
            }
        });
        alter(&broker, Durability::Always);
        let sent = log.append(&record("after")).unwrap();
        assert!(sent < log.durable_offset());
        let (seen, image) = (read_all(&log), disk.crash(4, CrashModel::Subset));
        let left = after_power_cut(&image);
        assert!(left.starts_with(&seen) && left[usize::try_from(sent).unwrap()] == "after");
        alter(&broker, Durability::Os);
        let mut offsets: Vec<_> = join(senders).into_iter().flatten().chain([0, sent]).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..6).collect::<Vec<_>>());
        join([reader]);
        assert_eq!(read_all(&log).len(), 6);
        broker.flush().unwrap();
        assert_eq!(after_power_cut(&disk.crash(5, CrashModel::Subset)).len(), 6);
    });
}
