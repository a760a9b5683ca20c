//! `Durability::Os`: what a send returned survives the end of the process.

use std::hint::black_box;
use std::io::Write as _;

use ottla::{Durability, ProducerRecord, TopicConfig};

use super::place::{BATCH, Place, SPACE, TOPIC, bytes_of, large_record, new_file, payload, record};
use super::row::{Row, Target, timed, timed_each};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        send_beside_writes().target(Target::Times(8.0)),
        send_beside_copies(),
        send_batch("send_batch/os/1000x100B", record()).target(Target::Times(0.5)),
        send_batch("send_batch/os/1000x1KiB", large_record()).target(Target::Times(0.8)),
    ]
}

fn send(name: &str) -> Row {
    Row::new(name, 1, payload().len(), || {
        let place = Place::new(Durability::Os);
        let producer = place.producer();
        move |calls, latencies| {
            place.fresh_topic(TopicConfig::new());
            timed(calls, latencies, || {
                producer.send(record()).expect(SPACE);
            })
        }
    })
}

/// What else is as safe: the operating system has each record.
fn send_beside_writes() -> Row {
    send("send/os/100B").limit("one write each", || {
        let payload = payload();
        move |calls, latencies| {
            let mut file = new_file();
            timed(calls, latencies, || file.write_all(&payload).expect(SPACE))
        }
    })
}

/// What no log can beat: the copy alone.
fn send_beside_copies() -> Row {
    send("send/os/100B/ceiling").limit("copy in memory", || {
        let payload = payload();
        let mut memory = vec![0; 64 << 10];
        let mut at = 0;
        move |calls, latencies| {
            timed(calls, latencies, || {
                if memory.len() < at + payload.len() {
                    at = 0;
                }
                let place = memory.get_mut(at..at + payload.len()).expect("it fits");
                black_box(place).copy_from_slice(black_box(&payload));
                at += payload.len();
            })
        }
    })
}

fn send_batch(name: &str, record: ProducerRecord<'static>) -> Row {
    let records = vec![record; BATCH];
    let bulk = bytes_of(&records);
    Row::new(name, BATCH as u64, bulk.len() / BATCH, || {
        let place = Place::new(Durability::Os);
        let producer = place.producer();
        move |calls, latencies| {
            place.fresh_topic(TopicConfig::new());
            timed_each(calls, latencies, || {
                black_box(producer.send_batch(TOPIC, &records).expect(SPACE));
            })
        }
    })
    .limit("one write for all", || {
        move |calls, latencies| {
            let mut file = new_file();
            timed_each(calls, latencies, || file.write_all(&bulk).expect(SPACE))
        }
    })
}
