//! The topic, the vectors, and what both are asked.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BudgetPolicy, Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, Durability, Error, Partition,
    ProducerRecord, SeekTo, Timestamp, TopicConfig, TopicPartition,
};

use crate::calls::{Call, PARTITIONS, Place, Settings, Setup};

const DIR: &str = "/data";
const BEGIN_MS: i64 = 1_700_000_000_000;
/// The largest that a segment can be: one record more than its size.
const SEGMENT_BYTES_MAX: u64 = 200_000;
/// Past the tail, so that each is in a segment at once.
const LARGE: usize = 70_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

/// What a partition is, in its simplest form.
#[derive(Debug, Default)]
struct Model {
    /// All that were ever sent, also those that are deleted.
    records: Vec<Expected>,
    /// What is below was deleted.
    start: u64,
    /// Where the consumer is, if it was there since it was made.
    position: Option<u64>,
    committed: Option<u64>,
}

impl Model {
    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    fn next(&self) -> u64 {
        self.position.or(self.committed).unwrap_or(0).max(self.start)
    }

    /// Whether the consumer is at what was deleted; it may have fetched that before.
    fn is_below_start(&self) -> bool {
        self.position.is_some_and(|position| position < self.start)
    }

    fn check_next(&self, offset: u64) {
        assert!(offset == self.next() || self.is_below_start() && self.position == Some(offset), "{offset}");
    }

    fn first_at(&self, timestamp: i64) -> Option<u64> {
        let start = usize::try_from(self.start).unwrap();
        let left = self.records.iter().enumerate().skip(start);
        left.map(|(n, record)| (n as u64, record.timestamp)).find(|(_, found)| *found >= timestamp).map(|(n, _)| n)
    }

    /// The offset at so many thousandths of the log as it is now.
    fn at(&self, thousandths: u64) -> u64 {
        self.start + (self.end() - self.start) * thousandths / 1000
    }

    fn time_at(&self, thousandths: u64) -> i64 {
        let index = usize::try_from(self.at(thousandths)).unwrap();
        self.records.get(index).map_or(i64::MAX, |record| record.timestamp)
    }
}

/// A topic on a simulated disk, beside its model.
pub(crate) struct Run {
    setup: Setup,
    disk: SimulatedDisk,
    now_ms: i64,
    /// `None` only while reopening.
    opened: Option<Opened>,
    partitions: Vec<Model>,
    retention_bytes: Option<u64>,
    last_poll: ConsumerRecords,
    sent: u64,
    /// How often something went for the budget, or was refused.
    pub(crate) budget_count: u64,
}

struct Opened {
    consumer: Consumer,
    broker: Broker,
}

impl Run {
    pub(crate) fn new(setup: &Setup) -> Run {
        let disk = SimulatedDisk::new(1);
        disk.set_now_ms(BEGIN_MS);
        let partitions = (0..PARTITIONS).map(|_| Model::default()).collect();
        let setup = setup.clone();
        let last_poll = ConsumerRecords::default();
        let (now_ms, opened, retention_bytes, sent) = (BEGIN_MS, None, None, 0);
        let budget_count = 0;
        let mut run = Run { setup, disk, now_ms, opened, partitions, retention_bytes, last_poll, sent, budget_count };
        run.open();
        run
    }

    fn open(&mut self) {
        let setup = &self.setup;
        let config = TopicConfig::new()
            .partitions(PARTITIONS)
            .compression(setup.compression)
            .segment_bytes(setup.segment_bytes)
            .index_interval_bytes(setup.index_interval_bytes);
        let mut builder = Broker::builder(DIR)
            .durability(setup.durability)
            .topic_defaults(config)
            .background(false)
            .tail_bytes(1 << 20)
            .disk(&self.disk);
        if let Some((bytes, policy)) = setup.budget {
            builder = builder.disk_budget(bytes, policy);
        }
        let broker = builder.open().unwrap();
        broker.topic("orders").unwrap();
        let config = ConsumerConfig::new("g")
            .topics(["orders"])
            .max_poll_records(setup.max_poll_records)
            .fetch_max_bytes(setup.fetch_max_bytes);
        let consumer = broker.consumer_with(config).unwrap();
        self.opened = Some(Opened { consumer, broker });
        self.partitions.iter_mut().for_each(|model| model.position = None);
    }

    fn broker(&self) -> &Broker {
        &self.opened.as_ref().unwrap().broker
    }

    fn consumer(&mut self) -> &mut Consumer {
        &mut self.opened.as_mut().unwrap().consumer
    }

    fn partition(&self, number: u32) -> Partition {
        self.broker().topic("orders").unwrap().partition(number).unwrap()
    }

    pub(crate) fn apply(&mut self, call: &Call) {
        match *call {
            Call::Send { partition, has_key, value_bytes } => self.send(partition, has_key, value_bytes),
            Call::SendBatch { partition, count, value_bytes } => self.send_batch(partition, count, value_bytes),
            Call::SendLarge { partition, count } => (0..count).for_each(|_| self.send(partition, false, LARGE)),
            Call::Poll => self.poll(),
            Call::TakeEach { count } => self.take_each(count),
            Call::Commit => self.commit(),
            Call::CommitThrough => self.commit_through(),
            Call::Seek { partition, place } => self.seek(partition, place),
            Call::Read { partition, from, max_bytes } => self.read(partition, from, max_bytes),
            Call::FindTime { partition, at } => self.find_time(partition, at),
            Call::Flush => self.flush(),
            Call::DeleteRecords { partition, before } => self.delete_records(partition, before),
            Call::Alter(ref settings) => self.alter(settings),
            Call::Maintain => self.maintain(),
            Call::Advance { ms } => {
                self.now_ms += ms;
                self.disk.set_now_ms(self.now_ms);
            }
            Call::Reopen { is_clean, seed } => self.reopen(is_clean, seed),
        }
        self.check_budget();
    }

    /// What goes for the budget depends on where segments end; it is never exceeded by more than one.
    fn check_budget(&mut self) {
        let Some((budget_bytes, policy)) = self.setup.budget else { return };
        let usage = self.broker().admin().disk_usage().unwrap();
        assert_eq!(usage.used_bytes(), self.disk.allocated_bytes(DIR));
        assert!(usage.used_bytes() <= budget_bytes + SEGMENT_BYTES_MAX, "{usage:?}");
        for number in 0..PARTITIONS {
            let start = self.partition(number).log_start_offset();
            let model = self.model(number);
            assert!((model.start..=model.end()).contains(&start));
            if start != model.start {
                assert_eq!(policy, BudgetPolicy::DropOldest);
                model.start = start;
                self.budget_count += 1;
            }
        }
    }

    /// What was appended; `None`, and it is not there, if there is no room in the budget for it.
    fn unless_over_budget<T>(&mut self, sent: ottla::Result<T>) -> Option<T> {
        match sent {
            Ok(sent) => Some(sent),
            Err(error) => {
                let is_rejecting = self.setup.budget.is_some_and(|(_, policy)| policy == BudgetPolicy::Reject);
                assert!(is_rejecting && matches!(error, Error::OverBudget { .. }), "{error}");
                self.budget_count += 1;
                None
            }
        }
    }

    fn delete_records(&mut self, partition: u32, before: u64) {
        let before = self.model(partition).at(before);
        let deleted = (TopicPartition::new("orders", partition), before);
        assert_eq!(self.broker().admin().delete_records(std::slice::from_ref(&deleted)).unwrap(), [deleted]);
        self.model(partition).start = before;
    }

    fn alter(&mut self, settings: &Settings) {
        let change = |config: TopicConfig| {
            let durable = settings.durability.map(|durability| config.clone().durability(durability));
            durable
                .unwrap_or(config)
                .compression(settings.compression)
                .segment_bytes(settings.segment_bytes)
                .index_interval_bytes(settings.index_interval_bytes)
                .max_message_bytes(settings.max_message_bytes)
                .retention_bytes(settings.retention_bytes)
        };
        self.broker().admin().alter_topic("orders", change).unwrap();
        if settings.durability == Some(Durability::Always) {
            for (number, model) in (0..).zip(&self.partitions) {
                assert_eq!(self.partition(number).durable_offset(), model.end());
            }
        }
        self.retention_bytes = settings.retention_bytes;
    }

    /// What retention deletes depends on where segments end; it deletes nothing if it is off, and leaves what was asked for.
    fn maintain(&mut self) {
        self.broker().run_maintenance().unwrap();
        if self.setup.budget.is_some_and(|(_, policy)| policy == BudgetPolicy::DropOldest) {
            // What goes for the budget goes here, too.
            return;
        }
        for number in 0..PARTITIONS {
            let partition = self.partition(number);
            let start = partition.log_start_offset();
            let bytes = self.broker().admin().describe("orders").unwrap().partitions()[number as usize].log_bytes();
            let (retention_bytes, model) = (self.retention_bytes, self.model(number));
            assert!((model.start..=model.end()).contains(&start));
            if start != model.start {
                assert!(retention_bytes.is_some_and(|least| least <= bytes), "{bytes} left of {retention_bytes:?}");
            }
            model.start = start;
        }
    }

    /// The next record: every one has another value, if it has the room.
    fn make(&mut self, has_key: bool, value_bytes: usize) -> Expected {
        self.sent += 1;
        let mut value = self.sent.to_string().into_bytes();
        value.resize(value_bytes, b'.');
        let key = has_key.then(|| self.sent.to_be_bytes().to_vec());
        Expected { timestamp: self.now_ms, key, value }
    }

    fn model(&mut self, partition: u32) -> &mut Model {
        &mut self.partitions[partition as usize]
    }

    fn send(&mut self, partition: u32, has_key: bool, value_bytes: usize) {
        let expected = self.make(has_key, value_bytes);
        let mut record = ProducerRecord::to("orders").partition(partition).value(&expected.value);
        if let Some(key) = &expected.key {
            record = record.key(key);
        }
        let sent = self.broker().producer().send(record);
        let Some(sent) = self.unless_over_budget(sent) else { return };
        let model = self.model(partition);
        assert_eq!((sent.partition(), sent.offset()), (partition, model.end()));
        assert_eq!(sent.timestamp().as_millis(), expected.timestamp);
        model.records.push(expected);
    }

    /// Own timestamps here: one behind the other, from the clock's backwards.
    fn send_batch(&mut self, partition: u32, count: usize, value_bytes: usize) {
        let mut expected: Vec<_> = (0..count).map(|_| self.make(true, value_bytes)).collect();
        for (n, record) in expected.iter_mut().enumerate() {
            record.timestamp -= i64::try_from(n).unwrap();
        }
        let records: Vec<_> = expected
            .iter()
            .map(|record| {
                let (key, value) = (record.key.as_ref().unwrap(), &record.value);
                ProducerRecord::to("orders").key(key).value(value).timestamp(Timestamp::from_millis(record.timestamp))
            })
            .collect();
        let sent = self.partition(partition).append_batch(&records);
        let Some(offsets) = self.unless_over_budget(sent) else { return };
        let model = self.model(partition);
        assert_eq!(offsets, model.end()..model.end() + count as u64);
        model.records.extend(expected);
    }

    fn poll(&mut self) {
        let polled = self.consumer().poll(Duration::ZERO).unwrap();
        let limit = self.setup.max_poll_records as usize;
        assert!(polled.len() <= limit, "{} records", polled.len());
        assert_eq!(polled.iter().count(), polled.len());
        let is_read = self.partitions.iter().all(|model| model.next() == model.end());
        let was_deleted = self.partitions.iter().any(Model::is_below_start);
        assert!(polled.is_empty() == is_read || was_deleted, "{:?}", self.positions());
        for record in &polled {
            let model = self.model(record.partition());
            model.check_next(record.offset());
            check(&record, model);
            model.position = Some(record.offset() + 1);
        }
        self.note_positions();
        self.last_poll = polled;
    }

    fn take_each(&mut self, count: usize) {
        for _ in 0..count {
            let is_read = self.partitions.iter().all(|model| model.next() == model.end());
            let next = self.consumer().next_record(Duration::ZERO).unwrap();
            let was_deleted = self.partitions.iter().any(Model::is_below_start);
            assert!(next.is_none() == is_read || was_deleted, "{:?}", self.positions());
            if let Some(record) = &next {
                let model = self.model(record.topic_partition().partition());
                model.check_next(record.offset());
                let found = Expected {
                    timestamp: record.timestamp().as_millis(),
                    key: record.key().map(<[u8]>::to_vec),
                    value: record.value().unwrap().to_vec(),
                };
                assert_eq!(found, model.records[usize::try_from(record.offset()).unwrap()]);
                model.position = Some(record.offset() + 1);
            }
            self.note_positions();
        }
    }

    /// After what looked for records, whether or not there were new ones.
    fn note_positions(&mut self) {
        for (number, model) in (0..).zip(&mut self.partitions) {
            let position = self.opened.as_ref().unwrap().consumer.position(&TopicPartition::new("orders", number));
            // One below the start is where it was: its partition was not looked at.
            assert!(position.is_none_or(|position| position.max(model.start) == model.next()));
            model.position = position;
        }
    }

    fn positions(&self) -> Vec<(u64, u64)> {
        self.partitions.iter().map(|model| (model.next(), model.end())).collect()
    }

    fn commit(&mut self) {
        self.consumer().commit().unwrap();
        for model in &mut self.partitions {
            model.committed = model.position.or(model.committed);
        }
        self.check_committed();
    }

    fn commit_through(&mut self) {
        let last_poll = std::mem::take(&mut self.last_poll);
        if let Some(record) = last_poll.iter().next() {
            self.consumer().commit_through(&record).unwrap();
            self.model(record.partition()).committed = Some(record.offset() + 1);
            self.check_committed();
        }
    }

    fn check_committed(&self) {
        for (number, model) in (0..).zip(&self.partitions) {
            let tp = TopicPartition::new("orders", number);
            let committed = self.broker().committed("g", &tp).unwrap();
            assert_eq!(committed.map(|committed| committed.offset()), model.committed, "{tp}");
        }
    }

    fn seek(&mut self, partition: u32, place: Place) {
        let model = &self.partitions[partition as usize];
        let (to, position) = match place {
            Place::Earliest => (SeekTo::Earliest, model.start),
            // What becomes of a position that was deleted, the next poll decides.
            Place::Committed if model.committed.is_some_and(|committed| committed < model.start) => return,
            Place::Latest => (SeekTo::Latest, model.end()),
            Place::Committed => (SeekTo::Committed, model.committed.unwrap_or(model.start)),
            Place::Offset(thousandths) => (SeekTo::Offset(model.at(thousandths)), model.at(thousandths)),
            Place::Time(thousandths) => {
                let time = model.time_at(thousandths);
                (SeekTo::Time(Timestamp::from_millis(time)), model.first_at(time).unwrap_or(model.end()))
            }
        };
        let tp = TopicPartition::new("orders", partition);
        self.consumer().seek(&tp, to).unwrap();
        assert_eq!(self.consumer().position(&tp), Some(position), "{to:?}");
        self.model(partition).position = Some(position);
    }

    fn read(&mut self, partition: u32, from: u64, max_bytes: usize) {
        let handle = self.partition(partition);
        let model = &self.partitions[partition as usize];
        let from = model.at(from);
        let records = handle.read(from, max_bytes).unwrap();
        assert_eq!(records.is_empty(), from == model.end());
        for (record, offset) in records.iter().zip(from..) {
            assert_eq!(record.offset(), offset);
            check(&record, model);
        }
        let value_bytes: usize = records.iter().map(|record| record.value().unwrap().len()).sum();
        assert!(value_bytes <= max_bytes || records.len() == 1);
        assert!(matches!(handle.read(model.end() + 1, 1), Err(Error::OffsetOutOfRange { .. })));
        if let Some(deleted) = model.start.checked_sub(1) {
            assert!(matches!(handle.read(deleted, 1), Err(Error::OffsetOutOfRange { .. })));
        }
    }

    fn find_time(&mut self, partition: u32, at: u64) {
        let model = &self.partitions[partition as usize];
        for time in [model.time_at(at), model.time_at(at).saturating_add(1)] {
            let found = self.partition(partition).offset_for_time(Timestamp::from_millis(time)).unwrap();
            assert_eq!(found, model.first_at(time), "{time}");
        }
    }

    fn flush(&mut self) {
        self.broker().flush().unwrap();
        for (number, model) in (0..).zip(&self.partitions) {
            assert_eq!(self.partition(number).durable_offset(), model.end());
        }
    }

    fn reopen(&mut self, is_clean: bool, seed: u64) {
        let Opened { consumer, broker } = self.opened.take().unwrap();
        if is_clean {
            drop(consumer);
            broker.close().unwrap();
        } else {
            // What the old process does from here on happens on the old machine.
            self.disk = self.disk.kill(seed);
        }
        self.open();
        let report = self.broker().recovery_report();
        assert_eq!(report.was_clean_shutdown(), is_clean);
        assert!(report.damage().next().is_none() && (!is_clean || report.is_clean()), "{report:?}");
        self.check_committed();
    }

    /// Reads every record of every partition.
    pub(crate) fn check_everything(&self) {
        for (number, model) in (0..).zip(&self.partitions) {
            let partition = self.partition(number);
            assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (model.start, model.end()));
            let mut next = model.start;
            while next < model.end() {
                for record in &partition.read(next, 10_000).unwrap() {
                    assert_eq!(record.offset(), next);
                    check(&record, model);
                    next += 1;
                }
            }
        }
    }
}

fn check(found: &ConsumerRecord<'_>, model: &Model) {
    let expected = &model.records[usize::try_from(found.offset()).unwrap()];
    assert_eq!(found.timestamp().as_millis(), expected.timestamp, "offset {}", found.offset());
    assert_eq!(found.key(), expected.key.as_deref(), "offset {}", found.offset());
    assert!(found.value() == Some(&*expected.value), "offset {}", found.offset());
}
