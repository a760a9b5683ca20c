//! Threads that fill the input, that send without transactions, and that read what comes of it all.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, Error, Isolation, ProducerRecord, SeekTo, SendOutcome, TopicPartition};

use super::events::{Attempt, Outcome, Read, Value, Write};
use super::plan::{INPUT, OUTPUTS};
use super::world::World;
use crate::events::Moment;

/// So many records of the input may be there that nobody has dealt with.
const AHEAD: u64 = 200;

/// Fills the input, as fast as it is dealt with.
pub(crate) fn fill(world: &World, thread: usize) {
    let mut random = world.plan.random(world.life, thread);
    let producer = world.broker.producer();
    let mut id = world.first_number(thread);
    while world.goes_on() {
        if world.sent.load(Ordering::SeqCst) > world.covered.load(Ordering::SeqCst) + AHEAD {
            thread::yield_now();
            continue;
        }
        let count = 1 + random.below(10);
        let partition = u32::try_from(random.below(world.plan.inputs as u64)).unwrap();
        let ids: Vec<_> = (id..id + count).map(u64::to_be_bytes).collect();
        let records: Vec<_> = ids.iter().map(|id| ProducerRecord::to(INPUT).partition(partition).value(id)).collect();
        match producer.send_batch(INPUT, &records) {
            Ok(_) => _ = world.sent.fetch_add(count, Ordering::SeqCst),
            Err(error) => {
                world.failed("fill the input", &error);
                thread::yield_now();
            }
        }
        id += count;
    }
}

/// Sends to outputs, beside the transactions.
pub(crate) fn send_plainly(world: &World, thread: usize) -> Vec<Attempt> {
    let mut random = world.plan.random(world.life, thread);
    let mut attempts = Vec::new();
    let mut number = world.first_number(thread);
    while world.goes_on() {
        let next = world.turns() + 1 + random.below(4);
        while world.goes_on() && world.turns() < next {
            thread::yield_now();
        }
        let log = super::usize_below(&mut random, OUTPUTS.len());
        attempts.push(send_one(world, log, Value { attempt: number, input: number }));
        number += 1;
    }
    attempts
}

fn send_one(world: &World, log: usize, value: Value) -> Attempt {
    let (topic, partition) = OUTPUTS[log];
    let (bytes, key) = (value.to_bytes(), value.key().to_be_bytes());
    let record = ProducerRecord::to(topic).partition(partition).key(&key).value(&bytes);
    let began = world.now();
    let sent = world.broker.producer().send(record);
    let ended = world.now();
    let outcome = match sent.as_ref().map_err(Error::outcome) {
        Ok(_) | Err(SendOutcome::Appended) => Outcome::Committed,
        Err(SendOutcome::NotAppended) => Outcome::Aborted,
        Err(_) => Outcome::Unknown,
    };
    let writes = sent.inspect_err(|error| world.failed("send", error)).ok();
    Attempt {
        number: value.attempt,
        holder: None,
        writes: writes.map(|sent| Write { log, offset: sent.offset(), value, began }).into_iter().collect(),
        inputs: Vec::new(),
        has_checkpoint: false,
        deciding: began,
        ended,
        outcome,
        is_its_own_end: true,
        settled: ended,
        may_have_more: false,
    }
}

/// Reads all outputs, and looks how far that can go.
pub(crate) fn read(world: &World, reader: usize, isolation: Isolation) -> Vec<Read> {
    let mut reads = Vec::new();
    let Some(mut consumer) = join(world, reader, isolation) else { return reads };
    while world.goes_on() {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => {
                let at = world.now();
                note(world, &mut reads, (reader, isolation, at), &records);
                if records.is_empty() {
                    world.sample();
                    wait_for_turn(world);
                }
            }
            Err(error) => {
                world.failed("read", &error);
                if error.is_fatal() {
                    break;
                }
            }
        }
    }
    reads
}

/// Nothing can be new before.
fn wait_for_turn(world: &World) {
    let turns = world.turns();
    while world.goes_on() && world.turns() == turns {
        thread::yield_now();
    }
}

fn join(world: &World, reader: usize, isolation: Isolation) -> Option<Consumer> {
    let joined = || {
        let config = ConsumerConfig::new(format!("reader-{reader}")).isolation(isolation).max_poll_records(50);
        let mut consumer = world.broker.consumer_with(config)?;
        let all = OUTPUTS.map(|(topic, partition)| TopicPartition::new(topic, partition));
        consumer.assign(&all)?;
        for log in &all {
            consumer.seek(log, SeekTo::Earliest)?;
        }
        Ok(consumer)
    };
    joined().inspect_err(|error| world.failed("begin to read", error)).ok()
}

fn note(
    world: &World,
    reads: &mut Vec<Read>,
    (reader, isolation, at): (usize, Isolation, Moment),
    records: &ottla::ConsumerRecords,
) {
    let is_committed = isolation == Isolation::ReadCommitted;
    let first = reads.len();
    for record in records {
        let address = (record.topic_partition().topic(), record.topic_partition().partition());
        let log = OUTPUTS.iter().position(|log| *log == address);
        let value = record.value().and_then(Value::from_bytes);
        let (Some(log), Some(value)) = (log, value) else {
            world.problem(format!("a record that nobody sent: {record:?}"));
            continue;
        };
        match reads[first..].iter_mut().find(|read| read.log == log) {
            Some(read) => read.records.push((record.offset(), value)),
            None => {
                reads.push(Read { reader, is_committed, log, records: vec![(record.offset(), value)], at });
            }
        }
    }
}
