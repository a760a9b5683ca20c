//! A thread that consumes, writes what follows, and commits both in one transaction; and a rival that takes names from it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ottla::{
    CommittedOffset, Consumer, ConsumerConfig, ConsumerRecords, Error, ProducerRecord, SendOutcome, Transaction,
    TransactionalProducer,
};

use super::events::{Attempt, Holder, Input, Number, Outcome, Value, Write};
use super::plan::{COMPACTED, GROUP, INPUT, OUTPUTS, TIMEOUT, WORKERS_MAX};
use super::world::World;
use crate::events::Moment;
use crate::random::Random;

/// What a worker means to do with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Commit,
    Abort,
    Drop,
    /// It is never ended by who began it.
    Leak,
    /// The consumer leaves its group before the commit.
    Leave,
    /// Each half of what was polled in its own transaction.
    Halves,
}

/// What a thread has done.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) holders: Vec<Holder>,
}

struct Worker<'w> {
    world: &'w World,
    name: usize,
    random: Random,
    next_number: Number,
    producer: Option<TransactionalProducer>,
    consumer: Option<Consumer>,
    done: Done,
}

fn name_of(name: usize) -> String {
    format!("worker-{name}")
}

/// The number that a name keeps, as whoever opens it hears.
pub(crate) fn checkpoint_in(producer: &TransactionalProducer) -> Number {
    producer.checkpoint().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap_or([0xff; 8])))
}

/// Opens the name of a worker.
pub(crate) fn open_name(broker: &ottla::Broker, name: usize) -> ottla::Result<TransactionalProducer> {
    let config = ottla::ProducerConfig::new().transaction_timeout(TIMEOUT);
    broker.transactional_producer_with(&name_of(name), config)
}

/// Works until the life has had enough.
pub(crate) fn work(world: &World, name: usize) -> Done {
    let mut worker = Worker::new(world, name, name);
    while world.goes_on() {
        worker.turn();
        world.take_turn();
    }
    worker.done
}

/// Works until all of the input is done, alone, and commits all of it.
pub(crate) fn finish(world: &World) -> Done {
    let mut worker = Worker::new(world, 0, 0);
    let mut empty = 0;
    while empty < 3 {
        if !worker.open() {
            break;
        }
        match worker.poll() {
            Some(records) => worker.transact(&records, Fate::Commit),
            None => empty += 1,
        }
    }
    worker.done
}

/// Takes names from workers, does a little in them, and is gone.
pub(crate) fn rival(world: &World) -> Done {
    let mut worker = Worker::new(world, 0, WORKERS_MAX);
    while world.goes_on() {
        let next = world.turns() + 5 + worker.random.below(40);
        while world.goes_on() && world.turns() < next {
            thread::yield_now();
        }
        worker.name = super::usize_below(&mut worker.random, world.plan.workers);
        worker.producer = None;
        if worker.open_name() {
            match worker.random.below(4) {
                0 => {}
                1 => worker.transact_without_input(Fate::Drop),
                2 => worker.transact_without_input(Fate::Leak),
                _ => worker.transact_without_input(Fate::Commit),
            }
        }
    }
    worker.done
}

impl<'w> Worker<'w> {
    fn new(world: &'w World, name: usize, thread: usize) -> Worker<'w> {
        Worker {
            world,
            name,
            random: world.plan.random(world.life, thread),
            next_number: world.first_number(thread),
            producer: None,
            consumer: None,
            done: Done::default(),
        }
    }

    fn turn(&mut self) {
        if !self.open() {
            return thread::yield_now();
        }
        let Some(records) = self.poll() else { return thread::yield_now() };
        let fate = match self.random.below(20) {
            0..=9 => Fate::Commit,
            10..=11 => Fate::Abort,
            12 => Fate::Drop,
            13 => Fate::Leak,
            14..=15 => Fate::Leave,
            _ => Fate::Halves,
        };
        self.transact(&records, fate);
        if fate == Fate::Leak {
            // It may come to its timeout meanwhile; but all others may be waiting, too.
            let until = self.world.turns() + self.random.below(10);
            for _ in 0..100 {
                if self.world.goes_on() && self.world.turns() < until {
                    thread::yield_now();
                }
            }
        }
        if self.random.chance(3) {
            self.leave();
        }
        if self.random.chance(3) {
            self.producer = None;
        }
    }

    fn leave(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        if self.random.chance(50)
            && let Err(error) = consumer.close()
        {
            self.world.failed("leave", &error);
        }
    }

    /// Whether there is a producer and a consumer.
    fn open(&mut self) -> bool {
        if self.consumer.is_none() {
            let config = ConsumerConfig::new(GROUP).topics([INPUT]).max_poll_records(self.world.plan.records_max);
            match self.world.broker.consumer_with(config) {
                Ok(consumer) => self.consumer = Some(consumer),
                Err(error) => self.world.failed("join", &error),
            }
        }
        (self.producer.is_some() || self.open_name()) && self.consumer.is_some()
    }

    fn open_name(&mut self) -> bool {
        let began = self.world.now();
        match open_name(&self.world.broker, self.name) {
            Ok(producer) => {
                let ended = self.world.now();
                self.settle(ended);
                let checkpoint = checkpoint_in(&producer);
                self.done.holders.push(Holder { name: self.name, began, ended, checkpoint });
                self.producer = Some(producer);
            }
            Err(error) => self.world.failed("open a name", &error),
        }
        self.producer.is_some()
    }

    /// What this thread began with this name has ended, also where it could not be told so.
    fn settle(&mut self, at: Moment) {
        let holders = &self.done.holders;
        let is_mine = |attempt: &&mut Attempt| attempt.holder.is_some_and(|holder| holders[holder].name == self.name);
        for attempt in self.done.attempts.iter_mut().rev().take(3).filter(is_mine) {
            attempt.settled = attempt.settled.min(at);
        }
    }

    /// Some records of the input.
    fn poll(&mut self) -> Option<ConsumerRecords> {
        let consumer = self.consumer.as_mut()?;
        match consumer.poll(Duration::ZERO) {
            Ok(records) => (!records.is_empty()).then_some(records),
            Err(error) => {
                self.world.failed("poll", &error);
                if error.is_fatal() {
                    self.consumer = None;
                }
                None
            }
        }
    }

    fn transact(&mut self, records: &ConsumerRecords, fate: Fate) {
        let inputs = inputs_in(records);
        let is_done = if fate == Fate::Halves {
            let (first, second) = inputs.split_at(inputs.len().div_ceil(2));
            self.transact_with(first, fate) && (second.is_empty() || self.transact_with(second, fate))
        } else {
            self.transact_with(&inputs, fate)
        };
        if is_done {
            return;
        }
        let back = self.consumer.as_mut().map(Consumer::seek_to_committed);
        if let Some(Err(error)) = back {
            self.world.failed("go back", &error);
            self.consumer = None;
        }
    }

    fn transact_without_input(&mut self, fate: Fate) {
        self.transact_with(&[], fate);
    }

    /// Whether it is committed.
    fn transact_with(&mut self, inputs: &[Input], fate: Fate) -> bool {
        let Some(mut producer) = self.producer.take() else { return false };
        match self.transact_by(&mut producer, inputs, fate) {
            Ok(is_committed) => {
                self.producer = Some(producer);
                is_committed
            }
            Err(error) => {
                if !error.is_fatal() {
                    self.producer = Some(producer);
                }
                // It is committed, if only for as long as the power stays.
                error.outcome() == SendOutcome::Appended
            }
        }
    }

    fn transact_by(
        &mut self,
        producer: &mut TransactionalProducer,
        inputs: &[Input],
        fate: Fate,
    ) -> ottla::Result<bool> {
        let mut attempt = self.attempt(inputs);
        let transaction = producer.begin().inspect_err(|error| self.world.failed("begin", error))?;
        // One that was leaked is aborted by now.
        self.settle(self.world.now());
        let written = self.write(&transaction, &mut attempt, fate);
        let fate = if written.is_ok() { fate } else { Fate::Drop };
        let ended = self.end(transaction, &mut attempt, fate);
        attempt.ended = self.world.now();
        attempt.is_its_own_end = ended.is_ok() && !matches!(fate, Fate::Drop | Fate::Leak);
        if attempt.is_its_own_end {
            attempt.settled = attempt.ended;
        }
        let is_committed = attempt.outcome == Outcome::Committed;
        if is_committed {
            self.world.covered.fetch_add(inputs.len() as u64, Ordering::SeqCst);
        }
        self.done.attempts.push(attempt);
        written.and(ended).map(|()| is_committed)
    }

    fn attempt(&mut self, inputs: &[Input]) -> Attempt {
        let number = self.next_number;
        self.next_number += 1;
        Attempt {
            number,
            holder: self.done.holders.len().checked_sub(1),
            writes: Vec::new(),
            inputs: inputs.to_vec(),
            has_checkpoint: self.random.chance(50),
            deciding: Moment::MAX,
            ended: Moment::MAX,
            outcome: Outcome::Aborted,
            is_its_own_end: false,
            settled: Moment::MAX,
            may_have_more: false,
        }
    }

    /// What follows from the input, and how far it is read.
    fn write(&mut self, transaction: &Transaction<'_>, attempt: &mut Attempt, fate: Fate) -> ottla::Result<()> {
        let own = [attempt.number];
        let ids: Vec<u64> = attempt.inputs.iter().map(|input| input.id).collect();
        let stands_for: &[u64] = if ids.is_empty() { &own } else { &ids };
        for &input in stands_for {
            // One in each of the first two topics, and here and there one in the others.
            for log in [usize::from(self.random.chance(50)), 2, 3, 4] {
                if log < 3 || self.random.chance(40) {
                    self.send(transaction, attempt, log, input)?;
                }
            }
            // So that others come in between.
            if self.random.chance(10) {
                thread::yield_now();
            }
        }
        if let Some(consumer) = &self.consumer
            && !attempt.inputs.is_empty()
        {
            let staged = if fate == Fate::Halves {
                transaction.send_these_offsets(consumer, &offsets_of(&attempt.inputs))
            } else {
                transaction.send_offsets(consumer)
            };
            staged.inspect_err(|error| self.note_failed(attempt, "send offsets", error))?;
        }
        if attempt.has_checkpoint {
            let set = transaction.set_checkpoint(attempt.number.to_be_bytes());
            set.inspect_err(|error| self.note_failed(attempt, "set a checkpoint", error))?;
        }
        Ok(())
    }

    fn send(&self, transaction: &Transaction<'_>, attempt: &mut Attempt, log: usize, input: u64) -> ottla::Result<()> {
        let value = Value { attempt: attempt.number, input };
        let (bytes, key) = (value.to_bytes(), value.key().to_be_bytes());
        let (topic, partition) = OUTPUTS[log];
        let record = ProducerRecord::to(topic).partition(partition).value(&bytes);
        let record = if log == COMPACTED { record.key(&key) } else { record };
        let began = self.world.now();
        let sent = transaction.send(record).inspect_err(|error| self.note_failed(attempt, "send", error))?;
        attempt.writes.push(Write { log, offset: sent.offset(), value, began });
        Ok(())
    }

    fn note_failed(&self, attempt: &mut Attempt, action: &str, error: &Error) {
        attempt.may_have_more = true;
        self.world.failed(action, error);
    }

    fn end(&mut self, transaction: Transaction<'_>, attempt: &mut Attempt, fate: Fate) -> ottla::Result<()> {
        if fate == Fate::Leave {
            self.leave();
        }
        attempt.deciding = self.world.now();
        let ended = match fate {
            Fate::Commit | Fate::Leave | Fate::Halves => transaction.commit(),
            Fate::Abort => return transaction.abort().inspect_err(|error| self.world.failed("abort", error)),
            Fate::Drop => {
                drop(transaction);
                return Ok(());
            }
            Fate::Leak => {
                std::mem::forget(transaction);
                return Ok(());
            }
        };
        attempt.outcome = match ended.as_ref().map_err(Error::outcome) {
            Ok(()) | Err(SendOutcome::Appended) => Outcome::Committed,
            Err(SendOutcome::NotAppended) => Outcome::Aborted,
            Err(_) => Outcome::Unknown,
        };
        if let Err(error) = &ended {
            self.world.failed("commit", error);
            self.world.notes.lock().unwrap().has_undurable |= matches!(error, Error::NotDurable { .. });
        }
        ended
    }
}

/// What a poll returned, as what a transaction deals with.
fn inputs_in(records: &ConsumerRecords) -> Vec<Input> {
    let input = |record: ottla::ConsumerRecord<'_>| Input {
        partition: record.topic_partition().partition() as usize,
        offset: record.offset(),
        id: record.value().and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes),
    };
    records.iter().map(input).collect()
}

/// Where to go on behind these, by partition.
fn offsets_of(inputs: &[Input]) -> Vec<(ottla::TopicPartition, CommittedOffset)> {
    let mut next = std::collections::BTreeMap::new();
    for input in inputs {
        next.insert(input.partition, input.offset + 1);
    }
    let offset = |(partition, offset)| {
        let partition = u32::try_from(partition).unwrap();
        (ottla::TopicPartition::new(INPUT, partition), CommittedOffset::new(offset))
    };
    next.into_iter().map(offset).collect()
}
