//! Restores to a time and to offsets, against a plain model.
//!
//! The failure that this is about: a restore to a time has a record that is later, lacks one that came before the first later one, leaves half
//! of a transaction, or a group that is ahead of its log.
//!
//! Records have random times, out of order included, alone, in batches, and in transactions over two partitions. Of a backup every time that
//! occurs is restored, and one before and one behind all of them, and random offsets. The model is a list of records for each partition.
//!
//! `OTTLA_RESTORES` (60) says how many restores are looked at, `OTTLA_RESTORE_SEED` (1) of which workloads.

#![allow(clippy::indexing_slicing, reason = "a partition of the model is one of two")]

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Isolation, ProducerRecord, RestoreOptions, Timestamp, TopicPartition};

use crate::choices::{Choices, from_environment};
use crate::directories::{DATA, builder, committed, open, read_all, records, small_segments};

const BACKUP: &str = "/backup";
const TOPIC: &str = "orders";
const PARTITIONS: u32 = 2;

/// An offset of a partition, as the model has it.
#[derive(Debug, Clone)]
struct Slot {
    /// Of a record its time and value; a marker of a transaction has none.
    record: Option<(i64, String)>,
    /// The transaction that it belongs to.
    transaction: Option<usize>,
}

/// What was sent.
#[derive(Debug, Default)]
struct Model {
    logs: [Vec<Slot>; PARTITIONS as usize],
    /// Whether each transaction was committed, and the offset of its marker in each partition.
    transactions: Vec<(bool, [Option<u64>; PARTITIONS as usize])>,
    /// How far the group had read partition 0.
    group: u64,
}

fn t(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn record(partition: u32, time: i64, value: &str) -> ProducerRecord<'_> {
    ProducerRecord::to(TOPIC).partition(partition).key("key").value(value).timestamp(Timestamp::from_millis(time))
}

impl Model {
    fn note(&mut self, partition: u32, record: Option<(i64, String)>, transaction: Option<usize>) {
        self.logs[partition as usize].push(Slot { record, transaction });
    }

    fn send(&mut self, broker: &Broker, choices: &mut Choices, number: u64) {
        let partition = u32::try_from(choices.below(PARTITIONS.into())).unwrap();
        let count = 1 + choices.below(2) * choices.below(6);
        let times: Vec<i64> = (0..count).map(|_| time(choices, number)).collect();
        let values: Vec<String> = (0..count).map(|at| format!("{number} {at} {:<900}", "")).collect();
        let records: Vec<_> = times.iter().zip(&values).map(|(time, value)| record(partition, *time, value)).collect();
        broker.topic(TOPIC).unwrap().partition(partition).unwrap().append_batch(&records).unwrap();
        for (time, value) in times.into_iter().zip(values) {
            self.note(partition, Some((time, value.trim_end().to_owned())), None);
        }
    }

    fn transact(&mut self, producer: &mut ottla::TransactionalProducer, choices: &mut Choices, number: u64) {
        let (transaction, is_committed) = (self.transactions.len(), choices.below(3) != 0);
        let begun = producer.begin().unwrap();
        let mut is_in = [false; PARTITIONS as usize];
        for at in 0..=choices.below(3) {
            let partition = u32::try_from(choices.below(PARTITIONS.into())).unwrap();
            let (time, value) = (time(choices, number), format!("t{number} {at}"));
            begun.send(record(partition, time, &value)).unwrap();
            self.note(partition, Some((time, value)), Some(transaction));
            is_in[partition as usize] = true;
        }
        if is_committed {
            begun.commit().unwrap();
        } else {
            begun.abort().unwrap();
        }
        let mut markers = [None; PARTITIONS as usize];
        for partition in (0..PARTITIONS).filter(|partition| is_in[*partition as usize]) {
            markers[partition as usize] = Some(self.logs[partition as usize].len() as u64);
            self.note(partition, None, Some(transaction));
        }
        self.transactions.push((is_committed, markers));
    }

    /// The offset before which everything is at `time` or earlier. A marker is no record, and its time is the clock's.
    fn cut_at(&self, partition: usize, time: i64) -> u64 {
        let is_later = |slot: &Slot| slot.record.as_ref().is_some_and(|(at, _)| time < *at);
        let log = &self.logs[partition];
        log.iter().position(is_later).unwrap_or(log.len()) as u64
    }

    /// What readers see of committed records below these offsets: a transaction with a marker below one of them ends in all partitions as
    /// that says.
    fn committed(&self, partition: usize, cuts: &[u64]) -> BTreeMap<u64, String> {
        let is_committed = |transaction: usize| {
            let (is_committed, markers) = &self.transactions[transaction];
            *is_committed && markers.iter().zip(cuts).any(|(marker, cut)| marker.is_some_and(|marker| marker < *cut))
        };
        let cut = usize::try_from(cuts[partition]).unwrap();
        let below = self.logs[partition].iter().take(cut).enumerate();
        let seen = below.filter(|(_, slot)| slot.transaction.is_none_or(is_committed));
        seen.filter_map(|(offset, slot)| Some((offset as u64, slot.record.as_ref()?.1.clone()))).collect()
    }
}

/// Rises as a rule, and often is an earlier or a later one.
fn time(choices: &mut Choices, number: u64) -> i64 {
    i64::try_from(100 + number * 10 + choices.below(3) * choices.below(60)).unwrap()
        - i64::try_from(choices.below(30)).unwrap()
}

fn seen(broker: &Broker, partition: u32) -> BTreeMap<u64, String> {
    records(broker, &t(partition), Isolation::ReadCommitted).into_iter().collect()
}

fn write(disk: &SimulatedDisk, choices: &mut Choices) -> Model {
    let broker = builder(disk, DATA).open().unwrap();
    broker.create_topic(TOPIC, small_segments().partitions(PARTITIONS)).unwrap();
    let mut producer = broker.transactional_producer("payments").unwrap();
    let mut model = Model::default();
    for number in 0..10 + choices.below(30) {
        // Which markers are of one transaction is told by their times.
        disk.advance(Duration::from_millis(2));
        match choices.below(5) {
            0 => model.transact(&mut producer, choices, number),
            1 if choices.below(3) == 0 => {
                read_all(&broker, "billing", TOPIC);
                model.group = model.logs[0].len() as u64;
            }
            _ => model.send(&broker, choices, number),
        }
    }
    broker.admin().backup(BACKUP).unwrap();
    model
}

/// That a restore is what the model has below these offsets.
fn is_as_cut(disk: &SimulatedDisk, restored: &str, model: &Model, cuts: &[u64], what: &str) {
    let broker = open(disk, restored);
    for (partition, cut) in (0..PARTITIONS).zip(cuts) {
        assert_eq!(
            seen(&broker, partition),
            model.committed(partition as usize, cuts),
            "{what}: {partition} of {cuts:?}"
        );
        let log = broker.topic(TOPIC).unwrap().partition(partition).unwrap();
        assert_eq!(log.last_stable_offset(), log.log_end_offset(), "{what}: a transaction is open");
        assert!(*cut <= log.log_end_offset(), "{what}: {partition} of {cuts:?}");
    }
    if 0 < model.group {
        let found = committed(&broker, "billing", TOPIC).unwrap();
        assert!(model.group.min(cuts[0]) <= found, "{what}: {found}, {} and {cuts:?}", model.group);
        assert!(found <= broker.topic(TOPIC).unwrap().partition(0).unwrap().log_end_offset(), "{what}: {found}");
    }
    assert!(broker.admin().verify().unwrap().is_clean(), "{what}");
}

/// Looks at the restores of one workload; returns how many.
fn look_at(seed: u64) -> u64 {
    let (disk, mut choices) = (SimulatedDisk::new(seed), Choices(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let model = write(&disk, &mut choices);
    let mut times: Vec<i64> = model.logs.iter().flatten().filter_map(|slot| Some(slot.record.as_ref()?.0)).collect();
    times.sort_unstable();
    times.dedup();
    let times: Vec<i64> = [0].into_iter().chain(times.into_iter().step_by(5)).chain([10_000]).collect();
    let mut looked_at = 0;
    for time in times {
        let restored = format!("/restored-{looked_at}");
        let what = format!("OTTLA_RESTORE_SEED={seed}, to time {time}");
        let options = RestoreOptions::new().to_time(Timestamp::from_millis(time)).disk(&disk);
        let report =
            Broker::restore_with(BACKUP, &restored, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
        let cuts: Vec<u64> = (0..PARTITIONS as usize).map(|partition| model.cut_at(partition, time)).collect();
        let left_out = |partition: u32| {
            let log = &model.logs[partition as usize];
            let behind = log.iter().enumerate().skip(usize::try_from(cuts[partition as usize]).unwrap());
            let is_earlier = |(_, slot): &(usize, &Slot)| slot.record.as_ref().is_some_and(|(at, _)| *at <= time);
            behind.filter(is_earlier).map(|(offset, _)| offset as u64).collect::<Vec<u64>>()
        };
        for partition in 0..PARTITIONS {
            let named: Vec<u64> = report.left_out(&t(partition)).iter().cloned().flatten().collect();
            assert_eq!(named, left_out(partition), "{what}: {partition}");
        }
        is_as_cut(&disk, &restored, &model, &cuts, &what);
        looked_at += 1;
    }
    for _ in 0..4 {
        let cuts: Vec<u64> = model.logs.iter().map(|log| choices.below(log.len() as u64 + 1)).collect();
        let restored = format!("/restored-{looked_at}");
        let what = format!("OTTLA_RESTORE_SEED={seed}, to offsets {cuts:?}");
        let to = |options: RestoreOptions, (partition, cut): (u32, &u64)| options.to_offset(t(partition), *cut);
        let options = (0..PARTITIONS).zip(&cuts).fold(RestoreOptions::new(), to).disk(&disk);
        Broker::restore_with(BACKUP, &restored, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
        is_as_cut(&disk, &restored, &model, &cuts, &what);
        looked_at += 1;
    }
    looked_at
}

#[test]
fn restores_are_what_a_plain_model_says() {
    let (count, first) = (from_environment("OTTLA_RESTORES", 60), from_environment("OTTLA_RESTORE_SEED", 1));
    let (mut looked_at, mut seed) = (0, first);
    while looked_at < count {
        looked_at += look_at(seed);
        seed += 1;
    }
    println!("OTTLA_RESTORE_SEED={first}: {looked_at} restores of {} workloads hold", seed - first);
}
