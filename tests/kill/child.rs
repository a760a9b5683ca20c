//! The process that is killed: sends, consumes, commits, and reports every answer with one write to the pipe.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ottla::{Broker, Consumer, Durability, ProducerRecord, TopicConfig, TopicPartition};

use crate::{GROUPS, MEMBERS, PARTITIONS, SENDERS, TOPIC, copying, kept, number_from_environment};

/// The environment variable with the number that a sender begins at.
pub(crate) fn next_number_of(sender: usize) -> String {
    format!("OTTLA_KILL_NEXT_{sender}")
}

/// Opens the broker as both processes do. The one that compares does the maintenance itself, so that nothing changes while it reads.
pub(crate) fn open(dir: &Path, has_threads: bool) -> ottla::Result<Broker> {
    let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(256 << 10);
    Broker::builder(dir).durability(Durability::Os).topic_defaults(config).background(has_threads).open()
}

/// What record `number` of `sender` carries, in text. Mostly short; some leave their slot or fit none.
pub(crate) fn value_of(sender: usize, number: u64) -> String {
    let padding = match number % 1000 {
        0 => 70_000,
        1..=5 => 5000,
        n => n % 90,
    };
    format!("{sender} {number} {}", ".".repeat(usize::try_from(padding).unwrap_or_default()))
}

/// Where it goes. Numbers ahead, so that each partition has both senders' records.
pub(crate) fn partition_of(number: u64) -> u32 {
    u32::try_from(number / 7 % u64::from(PARTITIONS)).unwrap_or_default()
}

/// Works until it is killed.
pub(crate) fn run(dir: &Path) -> ! {
    // A thread that panics is a failure of the test, and must not be taken for the end that the parent has brought.
    std::panic::set_hook(Box::new(|panic| {
        report(&format!("{panic}\n"));
        std::process::exit(1);
    }));
    let broker = open(dir, true).unwrap();
    broker.topic(TOPIC).unwrap();
    kept::create(&broker).unwrap();
    copying::create(&broker).unwrap();
    report("\nopen\n");
    for sender in 0..SENDERS {
        let broker = broker.clone();
        thread::spawn(move || send(&broker, sender));
    }
    for member in 0..MEMBERS {
        let broker = broker.clone();
        thread::spawn(move || share(&broker, member));
    }
    thread::spawn({
        let broker = broker.clone();
        move || kept::send(&broker)
    });
    thread::spawn({
        let broker = broker.clone();
        move || copying::copy(&broker)
    });
    consume(&broker);
}

/// One write, so that lines of several threads do not mix, and nothing is held back in a buffer.
pub(crate) fn report(line: &str) {
    if std::io::stderr().write_all(line.as_bytes()).is_err() {
        std::process::abort();
    }
}

fn send(broker: &Broker, sender: usize) {
    let producer = broker.producer();
    let mut number = number_from_environment(&next_number_of(sender), 0);
    loop {
        // Every now and then some records in one piece.
        let count = if number.is_multiple_of(50) { 5 } else { 1 };
        let values: Vec<String> = (number..number + count).map(|number| value_of(sender, number)).collect();
        let partition = partition_of(number);
        let records: Vec<_> =
            values.iter().map(|value| ProducerRecord::to(TOPIC).partition(partition).value(value)).collect();
        let offset = match records.as_slice() {
            [record] => producer.send(record.clone()).unwrap().offset(),
            _ => producer.send_batch(TOPIC, &records).unwrap().first().unwrap().offset(),
        };
        report(&format!("sent {sender} {number} {count} {partition} {offset}\n"));
        number += count;
    }
}

fn consume(broker: &Broker) -> ! {
    let mut consumer = broker.consumer(GROUPS[0], [TOPIC]).unwrap();
    loop {
        if !consumer.poll(Duration::from_secs(1)).unwrap().is_empty() {
            commit(0, &mut consumer);
        }
    }
}

/// Reads as one of several members, leaves again and again, and comes back.
fn share(broker: &Broker, member: u64) -> ! {
    for life in 0_u64.. {
        let mut consumer = broker.consumer(GROUPS[1], [TOPIC]).unwrap();
        for _ in 0..(member * 7 + life * 3) % 10 + 2 {
            if !consumer.poll(Duration::from_millis(2)).unwrap().is_empty() {
                commit(1, &mut consumer);
            }
        }
        if life % 2 == member {
            consumer.close().unwrap();
        }
    }
    unreachable!("nobody lives so often");
}

/// Only the owner of a partition gets here, so that the reports of each partition are in order.
fn commit(group: usize, consumer: &mut Consumer) {
    // Where nothing was polled yet, nothing is committed.
    let position = |partition: &TopicPartition| Some((partition.partition(), consumer.position(partition)?));
    let positions = consumer
        .assignment()
        .iter()
        .filter_map(position)
        .fold(String::new(), |all, (number, position)| format!("{all} {number} {position}"));
    report(&format!("committing {group}{positions}\n"));
    consumer.commit().unwrap();
    report(&format!("committed {group}{positions}\n"));
}
