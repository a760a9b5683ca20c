//! The broker as a whole: closing, deleting, maintaining, and too few files or slots, beside everything else.

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Durability, Error, ProducerRecord, TopicConfig};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::{
    FOREVER, broker, builder, compacted, explore, join, read_all, record, small_segments, text, values,
};

/// Closing beside a sender, a consumer that waits and the maintenance thread: all end, and what was sent is there at reopening.
#[test]
fn close_beside_send_poll_and_maintenance() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).background(true).open().unwrap();
        broker.create_topic("t", small_segments()).unwrap();
        let producer = broker.producer();
        let sender = thread::spawn(move || {
            let mut sent = Vec::new();
            for i in 0..4 {
                match producer.send(record(&i.to_string())) {
                    Ok(_) => sent.push(i.to_string()),
                    Err(Error::Closed { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            sent
        });
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let reader = thread::spawn(move || {
            let mut polled = Vec::new();
            loop {
                match consumer.poll(FOREVER) {
                    Ok(records) => polled.extend(values(&records)),
                    Err(Error::Closed { .. }) => return polled,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        broker.close().unwrap();
        let (sent, polled) = (sender.join().unwrap(), reader.join().unwrap());
        assert!(sent.starts_with(&polled));
        let broker = crate::explore::broker(&disk, Durability::Os);
        assert!(broker.recovery_report().is_clean());
        assert_eq!(read_all(&broker.topic("t").unwrap().partition(0).unwrap()), sent);
    });
}

/// Two threads close at once, beside a durable send: what was acknowledged is there.
#[test]
fn two_close_beside_a_durable_send() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Always);
        let partition = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
        let sender = thread::spawn(move || partition.append(&record("a")).is_ok());
        let closers = [(); 2].map(|()| {
            let broker = broker.clone();
            thread::spawn(move || broker.close())
        });
        for closed in join(closers) {
            assert!(matches!(closed, Ok(()) | Err(Error::Closed { .. })), "{closed:?}");
        }
        drop(broker);
        let acknowledged = sender.join().unwrap();
        let broker = crate::explore::broker(&disk, Durability::Always);
        let read = read_all(&broker.topic("t").unwrap().partition(0).unwrap());
        assert!(read == ["a"] || !acknowledged && read.is_empty(), "{read:?}");
    });
}

/// Closing beside two tasks that send durably and the maintenance thread, which answers them: each is told that its record is
/// durable, or was refused before anything was appended.
#[test]
fn close_beside_tasks_that_send() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Always).background(true).open().unwrap();
        broker.create_topic("t", TopicConfig::new()).unwrap();
        let tasks = ["a", "b"].map(|value| {
            let producer = broker.producer();
            thread::spawn(move || match producer.send_async(record(value)) {
                Ok(sending) => block_on(sending).map(|_| value.to_owned()).ok(),
                Err(Error::Closed { .. }) => None,
                Err(error) => panic!("{error}"),
            })
        });
        broker.close().unwrap();
        let mut acknowledged: Vec<_> = join(tasks).into_iter().flatten().collect();
        acknowledged.sort();
        let broker = crate::explore::broker(&disk, Durability::Always);
        assert!(broker.recovery_report().is_clean());
        let mut read = read_all(&broker.topic("t").unwrap().partition(0).unwrap());
        read.sort();
        assert_eq!(read, acknowledged, "whoever has a future is answered once everything is durable");
    });
}

/// A topic is deleted beside a sender and a reader: they go on until they are told, and a new one of its name is empty.
#[test]
fn delete_topic_beside_send_and_read() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        let partition = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
        partition.append(&record("first")).unwrap();
        let sender = thread::spawn({
            let partition = partition.clone();
            move || {
                for _ in 0..3 {
                    match partition.append(&record(&"x".repeat(300))) {
                        Ok(_) => {}
                        Err(Error::Closed { .. } | Error::UnknownTopic { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        let reader = thread::spawn(move || {
            for _ in 0..2 {
                for record in partition.iter_from(0) {
                    match record {
                        Ok(record) => assert!(text(record.value()) == "first" || record.value().unwrap().len() == 300),
                        Err(Error::Closed { .. } | Error::UnknownTopic { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        broker.admin().delete_topic("t").unwrap();
        let again = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
        assert_eq!(again.append(&record("new")).unwrap(), 0);
        join([sender, reader]);
        assert_eq!(read_all(&again), ["new"]);
    });
}

/// Records are deleted again and again beside a consumer that is below them: it goes on at the start, however often that moves on while
/// it looks.
#[test]
fn delete_records_beside_poll() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        let partition = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
        for i in 0..4 {
            partition.append(&record(&i.to_string())).unwrap();
        }
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let reader = thread::spawn(move || consumer.poll(FOREVER).map(|records| values(&records)));
        for before in 1..4 {
            broker.admin().delete_records(&[(partition.topic_partition().clone(), before)]).unwrap();
        }
        let read = reader.join().unwrap().unwrap();
        let read: Vec<_> = read.iter().map(String::as_str).collect();
        assert!(!read.is_empty() && ["0", "1", "2", "3"].ends_with(&read), "{read:?}");
    });
}

/// Maintenance passes (checkpoints, compaction) beside an appender and a reader: the newest value of each key is always there.
#[test]
fn maintenance_beside_append_and_read() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).open().unwrap();
        let partition = broker.create_topic("t", compacted()).unwrap().partition(0).unwrap();
        let payload = "x".repeat(400);
        let send = |i: u32| {
            let (key, value) = (format!("k{}", i % 2), format!("{i}{payload}"));
            partition.append(&ProducerRecord::to("t").key(&key).value(&value)).unwrap();
        };
        (0..6).for_each(send);
        let maintainer = thread::spawn({
            let broker = broker.clone();
            move || (0..2).for_each(|_| broker.run_maintenance().unwrap())
        });
        let reader = thread::spawn({
            let partition = partition.clone();
            move || {
                let end = partition.log_end_offset();
                let (mut keys, mut last) = (Vec::new(), None);
                for record in partition.iter_from(0).map(Result::unwrap) {
                    assert!(last < Some(record.offset()));
                    last = Some(record.offset());
                    assert_eq!(text(record.key()), format!("k{}", record.offset() % 2));
                    keys.push(text(record.key()));
                }
                assert!(last.is_some_and(|last| end <= last + 1), "the end is never compacted away");
                assert!(["k0", "k1"].iter().all(|key| keys.iter().any(|other| other == key)));
            }
        });
        (6..8).for_each(send);
        join([maintainer, reader]);
        broker.run_maintenance().unwrap();
        let offsets: Vec<_> = partition.iter_from(0).map(|record| record.unwrap().offset()).collect();
        assert!(offsets.ends_with(&[6, 7]), "{offsets:?}");
    });
}

/// More segments than files may be open: they are closed and opened again under their readers.
#[test]
fn few_open_files_beside_readers() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).max_open_files(8).open().unwrap();
        let topic = broker.create_topic("t", small_segments().partitions(2)).unwrap();
        let sent: Vec<_> = (0..6).map(|i| format!("{i}{}", "x".repeat(600))).collect();
        for partition in topic.partitions() {
            for value in &sent {
                partition.append(&record(value).partition(partition.topic_partition().partition())).unwrap();
            }
        }
        let readers: Vec<_> = topic
            .partitions()
            .map(|partition| {
                let sent = sent.clone();
                thread::spawn(move || assert!(read_all(&partition).starts_with(&sent)))
            })
            .collect();
        let partition = topic.partition(0).unwrap();
        let appended = partition.append(&record("after")).unwrap();
        join(readers);
        assert_eq!(appended, 6);
        assert_eq!(read_all(&partition).len(), 7);
    });
}

/// More partitions are written to than there are slots, and the tail cannot grow: nothing is lost or mixed up while slots go
/// from one partition to another under readers that copy out of them.
#[test]
fn slots_run_short_beside_readers() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        let topic = broker.create_topic("t", TopicConfig::new().partitions(6)).unwrap();
        topic.partition(5).unwrap().append(&record("f0").partition(5)).unwrap();
        disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("/data/tail").forever());
        let names = ["a", "b", "c", "d", "e", "f"];
        let senders = [0, 3].map(|first| {
            let topic = topic.clone();
            thread::spawn(move || {
                for turn in 1..3 {
                    for (id, name) in (first..).zip(&names[first as usize..first as usize + 3]) {
                        let value = format!("{name}{turn}");
                        topic.partition(id).unwrap().append(&record(&value).partition(id)).unwrap();
                    }
                }
            })
        });
        let maintainer = thread::spawn({
            let broker = broker.clone();
            move || broker.run_maintenance()
        });
        let reader = thread::spawn({
            let topic = topic.clone();
            move || {
                for (id, name) in (0..).zip(names) {
                    let first = usize::from(id != 5);
                    for (turn, value) in (first..).zip(read_all(&topic.partition(id).unwrap())) {
                        assert_eq!(value, format!("{name}{turn}"));
                    }
                }
            }
        });
        join(senders);
        reader.join().unwrap();
        maintainer.join().unwrap().unwrap();
        for (id, name) in (0..).zip(names) {
            let first = usize::from(id != 5);
            let expected: Vec<_> = (first..3).map(|turn| format!("{name}{turn}")).collect();
            assert_eq!(read_all(&topic.partition(id).unwrap()), expected);
        }
    });
}

/// Closing beside the thread that compacts, which may be anywhere: it gives way, and the newest value of each key is there at
/// reopening, with nothing left of what was under way.
#[test]
fn close_beside_compaction() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let open = |is_background| builder(&disk, Durability::Os).background(is_background).open();
        let broker = open(true).unwrap();
        let partition = broker.create_topic("t", compacted()).unwrap().partition(0).unwrap();
        // Each in a segment of its own.
        let payload = "x".repeat(12_000);
        for i in 0..6 {
            let (key, value) = (format!("k{}", i % 2), format!("{i}{payload}"));
            partition.append(&ProducerRecord::to("t").key(&key).value(&value)).unwrap();
        }
        drop(partition);
        broker.close().unwrap();
        let is_waiting = |path: &std::path::Path| path.extension().is_some_and(|end| end == "cleaned" || end == "swap");
        assert!(!disk.files().iter().any(|(path, _)| is_waiting(path)));
        let broker = open(false).unwrap();
        assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
        let records: Vec<_> =
            broker.topic("t").unwrap().partition(0).unwrap().iter_from(0).map(Result::unwrap).collect();
        assert!(records.iter().rev().map(|record| record.offset()).take(2).eq([5, 4]), "{records:?}");
    });
}

/// A topic is deleted beside the thread that compacts it: nothing of it is left, and a new one of its name is empty.
#[test]
fn delete_topic_beside_compaction() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).background(true).open().unwrap();
        let partition = broker.create_topic("t", compacted()).unwrap().partition(0).unwrap();
        let payload = "x".repeat(12_000);
        for i in 0..4 {
            let value = format!("{i}{payload}");
            partition.append(&ProducerRecord::to("t").key("k").value(&value)).unwrap();
        }
        broker.admin().delete_topic("t").unwrap();
        assert!(!disk.files().iter().any(|(path, _)| path.starts_with("/data/t-0")));
        let again = broker.create_topic("t", small_segments()).unwrap().partition(0).unwrap();
        assert_eq!(again.append(&record("new")).unwrap(), 0);
        broker.close().unwrap();
    });
}
