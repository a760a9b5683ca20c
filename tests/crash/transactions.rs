//! Transactions, stopped at every call: the power goes, or the process is killed, in the middle of a commit, of an abort, of a fence, of
//! a recovery, and of the recovery from that.
//!
//! The failure that this is about: a part of a transaction is there and another one is not; what was aborted is seen; what was promised is
//! gone; a group stands before or behind what was written for it; a transaction stays open and holds back its readers for ever. So a
//! program reads numbers from one topic, and for each of them writes one record to each of two others, with its position and a checkpoint, in
//! transactions that commit, abort, or are taken from it. Whatever happens: the outputs have each number of a beginning once, and the
//! group's position and the checkpoint say where that ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, Consumer, ConsumerConfig, Durability, Isolation, ProducerRecord, TopicConfig, TopicPartition, Transaction,
    TransactionalProducer,
};

use crate::history::Checked;
use crate::images::Images;
use crate::oracle::Loss;
use crate::parallel::in_parallel;
use crate::random::Random;
use crate::states::{End, budget};

const DIR: &str = "/data";
const INPUTS: u64 = 400;
const STEPS: u64 = 45;
/// Images by chance at each call, besides those that are listed.
const BY_CHANCE: u64 = 8;

/// What the program has asked for and been told.
#[derive(Debug, Clone, Default)]
struct History {
    /// So many numbers are done for certain.
    acked: u64,
    /// And where that may be instead: the transactions whose answers never came.
    attempted: BTreeSet<u64>,
    /// The numbers of the transactions that can never be seen.
    aborted: BTreeSet<u64>,
    /// Plain records that were acknowledged, or may be there.
    plain_acked: u64,
    plain_attempted: u64,
    next_transaction: u64,
    /// Epochs up to this one were given to somebody, as far as they were told.
    epoch: i16,
}

/// A program at work.
struct Run {
    seed: u64,
    disk: SimulatedDisk,
    history: History,
    random: Random,
    open: Option<Open>,
    versions: Option<Vec<(u64, Arc<History>)>>,
}

struct Open {
    broker: Broker,
    producer: TransactionalProducer,
    consumer: Consumer,
}

fn durability(seed: u64) -> Durability {
    if seed % 4 == 3 { Durability::Os } else { Durability::Always }
}

fn failed(what: &str) -> impl Fn(ottla::Error) -> String {
    move |error| format!("{what}: {}", error.with_causes())
}

impl Run {
    fn on(disk: SimulatedDisk, history: History, seed: u64, random: u64) -> Run {
        Run { seed, disk, history, random: Random::new(random), open: None, versions: None }
    }

    /// Does the whole work once; every moment at which the machine might have stopped, and what the program knew then.
    fn record(seed: u64) -> Checked<Vec<(u64, SimulatedDisk, Arc<History>)>> {
        let disk = SimulatedDisk::new(seed);
        let mut run = Run::on(disk, History::default(), seed, seed);
        run.prepare()?;
        run.versions = Some(Vec::new());
        run.disk.record_stops();
        run.note();
        for step in 0..STEPS {
            run.step().map_err(|problem| format!("step {step}: {problem}"))?;
        }
        run.open = None;
        run.note();
        let versions = run.versions.take().unwrap_or_default();
        let stops = run.disk.take_stops().into_iter().map(|(calls, disk)| {
            let known = versions.partition_point(|(since, _)| *since <= calls);
            (calls, disk, Arc::clone(&versions[known.saturating_sub(1)].1))
        });
        Ok(stops.collect())
    }

    /// The history has changed: what comes from the next call on knows that.
    fn note(&mut self) {
        if let Some(versions) = &mut self.versions {
            versions.push((self.disk.calls(), Arc::new(self.history.clone())));
        }
    }

    fn builder(&self) -> ottla::BrokerBuilder {
        let config = TopicConfig::new().segment_bytes(3000).max_message_bytes(1500).index_interval_bytes(400);
        Broker::builder(DIR)
            .disk(&self.disk)
            .background(false)
            .durability(durability(self.seed))
            .tail_bytes(1 << 20)
            .topic_defaults(config)
            .max_open_files(8)
    }

    /// Topics, and the numbers to read.
    fn prepare(&mut self) -> Checked {
        let broker = self.builder().open().map_err(failed("open"))?;
        let inputs = broker.topic("in").map_err(failed("topic"))?.partition(0).map_err(failed("partition"))?;
        for first in (0..INPUTS).step_by(50) {
            let numbers: Vec<String> = (first..first + 50).map(|number| number.to_string()).collect();
            let records: Vec<_> = numbers.iter().map(|number| ProducerRecord::to("in").value(number)).collect();
            inputs.append_batch(&records).map_err(failed("inputs"))?;
        }
        broker.create_topic("x", TopicConfig::new().partitions(2).segment_bytes(3000)).map_err(failed("topic"))?;
        broker.topic("y").map_err(failed("topic"))?;
        broker.close().map_err(failed("close"))?;
        self.open()
    }

    fn open(&mut self) -> Checked {
        let broker = self.builder().open().map_err(failed("open"))?;
        if let Some(damage) = broker.recovery_report().damage().next() {
            return Err(format!("damage was reported: {damage}"));
        }
        let config =
            ConsumerConfig::new("g").topics(["in"]).max_poll_records(1 + u32::try_from(self.seed % 4).unwrap());
        let consumer = broker.consumer_with(config).map_err(failed("consumer"))?;
        let producer = broker.transactional_producer("p").map_err(failed("producer"))?;
        self.open = Some(Open { broker, producer, consumer });
        self.note_epoch()
    }

    /// Whoever has the name now has an epoch that nobody had.
    fn note_epoch(&mut self) -> Checked {
        let broker = &self.opened()?.broker;
        let description = broker.admin().describe_transaction("p").map_err(failed("describe"))?;
        let epoch = description.producer_epoch();
        if epoch <= self.history.epoch && self.history.epoch > 0 {
            return Err(format!("epoch {epoch} is given out again, after {}", self.history.epoch));
        }
        self.history.epoch = epoch;
        self.note();
        Ok(())
    }

    fn opened(&mut self) -> Checked<&mut Open> {
        self.open.as_mut().ok_or_else(|| "nothing is open".to_owned())
    }

    fn step(&mut self) -> Checked {
        match self.random.below(100) {
            0..=69 => self.transact(),
            70..=79 => self.send_plainly(),
            80..=85 => self.opened()?.broker.run_maintenance().map_err(failed("maintenance")),
            86..=90 => {
                let producer = self.opened()?.broker.transactional_producer("p").map_err(failed("producer"))?;
                self.opened()?.producer = producer;
                self.note_epoch()
            }
            91..=94 => {
                let Open { broker, producer, consumer } = self.open.take().ok_or("nothing is open")?;
                drop((producer, consumer));
                broker.close().map_err(failed("close"))?;
                self.open()
            }
            _ => {
                // One that was leaked holds its readers back until the producer goes on.
                drop(self.opened()?.producer.begin().map_err(failed("begin"))?);
                self.check(None)
            }
        }
    }

    /// Reads some numbers, and writes what follows from them.
    fn transact(&mut self) -> Checked {
        let fate = self.random.below(10);
        let number = self.history.next_transaction;
        self.history.next_transaction += 1;
        let acked = self.history.acked;
        let Open { producer, consumer, .. } = self.open.as_mut().ok_or("nothing is open")?;
        consumer.seek_to_committed().map_err(failed("seek"))?;
        let records = consumer.poll(Duration::ZERO).map_err(failed("poll"))?;
        let done = acked + records.len() as u64;
        if records.iter().next().is_none_or(|first| first.offset() != acked) {
            return Err(format!("the group does not go on at {acked}"));
        }
        let transaction = producer.begin().map_err(failed("begin"))?;
        // From the first record on it is attempted, and if it is not to be committed it can never be seen.
        let is_committed = fate < 6;
        write(&transaction, &records, number, done)?;
        transaction.send_offsets(consumer).map_err(failed("offsets"))?;
        if is_committed {
            self.history.attempted = BTreeSet::from([done]);
        } else {
            self.history.aborted.insert(number);
        }
        // As `note`, which cannot be called while the transaction borrows the producer.
        if let Some(versions) = &mut self.versions {
            versions.push((self.disk.calls(), Arc::new(self.history.clone())));
        }
        match fate {
            0..=5 => {
                transaction.commit().map_err(failed("commit"))?;
                (self.history.acked, self.history.attempted) = (done, BTreeSet::new());
            }
            6..=7 => transaction.abort().map_err(failed("abort"))?,
            8 => drop(transaction),
            _ => std::mem::forget(transaction),
        }
        self.note();
        Ok(())
    }

    fn send_plainly(&mut self) -> Checked {
        let value = format!("plain {}", self.history.plain_attempted);
        self.history.plain_attempted += 1;
        self.note();
        let topic = self.opened()?.broker.topic("x").map_err(failed("topic"))?;
        topic.produce("k", value).map_err(failed("send"))?;
        self.history.plain_acked = self.history.plain_attempted;
        self.note();
        Ok(())
    }

    /// Compares what is there with what the program knows. After a loss, what is there is the truth from then on.
    fn check(&mut self, loss: Option<Loss>) -> Checked {
        let seed = self.seed;
        let Open { broker, producer, .. } = self.opened()?;
        let outputs = [numbers(broker, "x")?, numbers(broker, "y")?];
        let plain = outputs[0].plain;
        let committed = broker.committed("g", &TopicPartition::new("in", 0)).map_err(failed("committed"))?;
        let committed = committed.map_or(0, |committed| committed.offset());
        let checkpoint = producer.checkpoint().map_or(0, |row| String::from_utf8_lossy(row).parse().unwrap());
        let is_torn = loss == Some(Loss::Power) && durability(seed) == Durability::Os;
        let History { acked, attempted, aborted, plain_acked, plain_attempted, .. } = &mut self.history;
        for Outputs { transactions, .. } in &outputs {
            if let Some(number) = transactions.intersection(aborted).next() {
                return Err(format!("transaction {number} was aborted, and is seen"));
            }
        }
        if is_torn {
            // Nobody has waited for the disk: each log has lost what it has lost, and this program ends here.
            return Ok(());
        }
        for Outputs { done, .. } in &outputs {
            let expected: Vec<u64> = (0..committed).collect();
            if *done != expected {
                return Err(format!("the group stands at {committed}, and the outputs have {done:?}"));
            }
        }
        if checkpoint != committed {
            return Err(format!("the checkpoint says {checkpoint}, and the group {committed}"));
        }
        if committed != *acked && !attempted.contains(&committed) {
            return Err(format!("the group stands at {committed}, not at {acked} or {attempted:?}"));
        }
        if !(*plain_acked..=*plain_attempted).contains(&plain) {
            return Err(format!("{plain} plain records of {plain_acked} to {plain_attempted}"));
        }
        if loss.is_some() {
            (*acked, *attempted) = (committed, BTreeSet::new());
            (*plain_acked, *plain_attempted) = (plain, plain);
        }
        Ok(())
    }
}

/// What the outputs for these numbers are.
fn write(transaction: &Transaction<'_>, records: &ottla::ConsumerRecords, number: u64, done: u64) -> Checked {
    for record in records {
        let value = format!("{number}:{}", record.value_str().map_err(failed("text"))?);
        for topic in ["x", "y"] {
            let record = ProducerRecord::to(topic).key(&value).value(&value);
            transaction.send(record).map_err(failed("send"))?;
        }
    }
    transaction.set_checkpoint(done.to_string()).map_err(failed("checkpoint"))
}

/// What readers of committed records see of a topic.
struct Outputs {
    done: Vec<u64>,
    transactions: BTreeSet<u64>,
    plain: u64,
}

fn numbers(broker: &Broker, topic: &str) -> Checked<Outputs> {
    let mut outputs = Outputs { done: Vec::new(), transactions: BTreeSet::new(), plain: 0 };
    let topic = broker.existing_topic(topic).map_err(failed("topic"))?;
    let config = ConsumerConfig::new("check").isolation(Isolation::ReadCommitted);
    let mut consumer = broker.consumer_with(config).map_err(failed("consumer"))?;
    let all: Vec<_> = topic.partitions().map(|log| log.topic_partition().clone()).collect();
    consumer.assign(&all).map_err(failed("assign"))?;
    for log in topic.partitions() {
        if log.last_stable_offset() != log.high_watermark() {
            return Err(format!("{log:?} has an open transaction"));
        }
    }
    loop {
        let records = consumer.poll(Duration::ZERO).map_err(failed("poll"))?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            match record.value_str().map_err(failed("text"))?.split_once(':') {
                Some((transaction, number)) => {
                    outputs.transactions.insert(transaction.parse().unwrap());
                    outputs.done.push(number.parse().unwrap());
                }
                None => outputs.plain += 1,
            }
        }
    }
    outputs.done.sort_unstable();
    Ok(outputs)
}

/// Opens what a crash left, checks it, goes on, and crashes again.
fn look_at(seed: u64, image: &SimulatedDisk, history: &History, loss: Loss, random: u64) -> Checked {
    let mut after = Run::on(image.kill(0), history.clone(), seed, random);
    after.open()?;
    after.check(Some(loss))?;
    if loss == Loss::Power && durability(seed) == Durability::Os {
        return Ok(());
    }
    for _ in 0..3 {
        after.transact().map_err(|problem| format!("going on: {problem}"))?;
        // One that was leaked is aborted by the next.
        after.check_unless_open().map_err(|problem| format!("going on: {problem}"))?;
    }
    let end = End::any(&mut Random::new(random));
    let mut again = Run::on(end.image(&after.disk, random), after.history.clone(), seed, random);
    again
        .open()
        .and_then(|()| again.check(Some(end.loss())))
        .map_err(|problem| format!("after {end:?} later on: {problem}"))
}

impl Run {
    fn check_unless_open(&mut self) -> Checked {
        let admin = self.opened()?.broker.admin();
        let is_open = admin.describe_transaction("p").map_err(failed("describe"))?.is_open();
        if is_open { Ok(()) } else { self.check(None) }
    }
}

/// Where the recovery from an image might stop.
fn stops_of_recovery(seed: u64, image: &SimulatedDisk) -> Vec<(u64, SimulatedDisk)> {
    let mut recovery = Run::on(image.kill(0), History::default(), seed, seed);
    recovery.disk.record_stops();
    // Nobody is there to be told how it went.
    _ = recovery.open();
    recovery.disk.take_stops()
}

/// Looks at about so many states of one workload.
fn look_at_workload(seed: u64, states: u64) -> Checked<u64> {
    let stops = Run::record(seed).map_err(|problem| format!("workload {seed}: {problem}"))?;
    let all: u64 = stops.iter().map(|(_, disk, _)| Images::of(disk).count() + BY_CHANCE).sum();
    // A part of them are those of recoveries.
    let stride = (all * 2 / states.max(1)).max(1);
    let (mut number, mut looked_at) = (seed, 0);
    for (calls, disk, history) in &stops {
        let images = Images::of(disk);
        for image_number in 0..images.count() + BY_CHANCE {
            number += 1;
            if !number.is_multiple_of(stride) {
                continue;
            }
            let (image, loss) = images.image(image_number);
            let name = format!("workload {seed}, stopped after {calls}, image {image_number}");
            look_at(seed, &image, history, loss, number).map_err(|problem| format!("{problem}\n{name}"))?;
            looked_at += 1;
            if looked_at % 8 == 1 {
                looked_at += look_at_recovery(seed, &image, history, loss, (number, 1))
                    .map_err(|problem| format!("{problem}\n{name}"))?;
            }
        }
    }
    Ok(looked_at)
}

/// Stops the recovery from an image at two of its calls, and the recovery from one of those at two of its, too.
fn look_at_recovery(
    seed: u64,
    image: &SimulatedDisk,
    history: &History,
    loss: Loss,
    (number, depth): (u64, u32),
) -> Checked<u64> {
    let stops = stops_of_recovery(seed, image);
    let mut random = Random::new(number);
    let mut looked_at = 0;
    for _ in 0..2 {
        let Some((calls, disk)) = random.choose(&stops) else { continue };
        let images = Images::of(disk);
        let image_number = random.below(images.count() + BY_CHANCE);
        let (next, next_loss) = images.image(image_number);
        let loss = loss.or(next_loss);
        let name = format!("recovery {depth} stopped after {calls}, image {image_number}");
        look_at(seed, &next, history, loss, number).map_err(|problem| format!("{problem}\n{name}"))?;
        looked_at += 1;
        if depth < 2 && looked_at == 1 {
            looked_at += look_at_recovery(seed, &next, history, loss, (number + calls, depth + 1))
                .map_err(|problem| format!("{problem}\n{name}"))?;
        }
    }
    Ok(looked_at)
}

/// Where to begin, to look at others than last time.
fn first_workload() -> u64 {
    std::env::var("OTTLA_CRASH_WORKLOAD").ok().and_then(|first| first.parse().ok()).unwrap_or_default()
}

#[test]
fn transactions_stopped_at_any_call_are_there_as_a_whole_or_not_at_all() {
    let states = budget(600);
    let workloads = (states / 5000).max(6);
    let seeds: Vec<u64> = (first_workload()..first_workload() + workloads).collect();
    let looked_at = in_parallel(&seeds, |seed| look_at_workload(*seed, states / workloads));
    let looked_at: u64 = looked_at.unwrap_or_else(|problem| panic!("{problem}")).into_iter().sum();
    println!("OTTLA_CRASH_WORKLOAD={}: {looked_at} states of {workloads} workloads hold", first_workload());
}
