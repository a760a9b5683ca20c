//! An application that uses everything, in an order that follows from a seed, until its machine stops or its work is done; and
//! beside it, the history of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, Compression, Consumer, Durability, Error, Producer, ProducerConfig, ProducerRecord, SeekTo, TopicConfig,
    TopicPartition,
};

use crate::history::{Checked, CommitHistory, Existence, History, LogHistory, Sent, TopicHistory};
use crate::oracle::read_from;
use crate::random::Random;

/// The only group.
pub(crate) const GROUP: &str = "group";
const DIR: &str = "/data";
/// The topic that comes and goes.
const PASSING: &str = "passing";

/// What a workload is like, besides what it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    /// Of the broker, and so of what groups commit.
    pub(crate) durability: Durability,
    tail_bytes: u64,
    steps: u64,
    /// Whether records are sent that fit no slot. They make a workload slow.
    is_large: bool,
}

impl Settings {
    pub(crate) fn of(seed: u64) -> Settings {
        let durability = if seed.is_multiple_of(2) { Durability::Always } else { Durability::Os };
        let tail_bytes = if seed.is_multiple_of(3) { 1 << 20 } else { 4 << 20 };
        Settings { seed, durability, tail_bytes, steps: 40, is_large: seed % 5 == 4 }
    }
}

/// A broker on a simulated disk, at work.
pub(crate) struct Run {
    pub(crate) disk: SimulatedDisk,
    pub(crate) history: History,
    pub(crate) broker: Option<Broker>,
    /// What failed, in order, with what was being done. Only faults may fill it.
    pub(crate) errors: Vec<(&'static str, Error)>,
    settings: Settings,
    consumer: Option<Consumer>,
    /// Topics that were deleted since the consumer looked.
    unknown_to_consumer: BTreeSet<String>,
    random: Random,
    next_serial: u64,
    /// After so many calls the machine stops.
    stop: Option<u64>,
    expects_faults: bool,
}

impl Run {
    /// A run that goes on from `history` on `disk`. Nothing is open yet.
    pub(crate) fn on(disk: SimulatedDisk, history: History, settings: Settings, seed: u64) -> Run {
        let serials = history
            .topics
            .values()
            .flat_map(|topic| &topic.logs)
            .flat_map(|log| log.records.iter().chain(log.open.iter().flatten()));
        let next_serial = serials.map(|sent| sent.serial + 1).max().unwrap_or(0).max(seed << 32);
        Run {
            disk,
            history,
            broker: None,
            errors: Vec::new(),
            settings,
            consumer: None,
            unknown_to_consumer: BTreeSet::new(),
            random: Random::new(seed),
            next_serial,
            stop: None,
            expects_faults: false,
        }
    }

    /// Does the whole work on a new disk, or what of it comes before the machine stops after `stop` calls.
    pub(crate) fn work(settings: Settings, stop: Option<u64>) -> Checked<Run> {
        let disk = SimulatedDisk::new(settings.seed);
        let mut run = Run::on(disk, History::default(), settings, settings.seed);
        run.stop = stop;
        if let Some(stop) = stop {
            run.disk.stop_after(stop);
        }
        run.work_on()?;
        Ok(run)
    }

    /// As [`work`](Run::work), on a disk whose calls fail as `disk` was told.
    pub(crate) fn work_with_faults(settings: Settings, disk: SimulatedDisk) -> Checked<Run> {
        let mut run = Run::on(disk, History::default(), settings, settings.seed);
        run.expects_faults = true;
        run.work_on()?;
        Ok(run)
    }

    fn work_on(&mut self) -> Checked {
        self.open()?;
        for step in 0..self.settings.steps {
            if self.is_stopped() {
                return Ok(());
            }
            self.step(step).map_err(|problem| format!("step {step}: {problem}"))?;
        }
        Ok(())
    }

    /// Whether an answer may have come after the moment that a crash takes for its image.
    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| self.disk.calls() > stop)
    }

    /// Opens the broker. Not being able to is an error only if nothing was made to fail.
    pub(crate) fn open(&mut self) -> Checked {
        let opened = Broker::builder(DIR)
            .disk(&self.disk)
            .background(false)
            .durability(self.settings.durability)
            .tail_bytes(self.settings.tail_bytes)
            .max_open_files(8)
            .open();
        match opened {
            Ok(broker) => self.broker = Some(broker),
            Err(error) => self.failed("open", error)?,
        }
        Ok(())
    }

    /// An error: expected if the machine has stopped or calls fail, a finding otherwise.
    fn failed(&mut self, action: &'static str, error: Error) -> Checked {
        if self.is_stopped() {
            return Ok(());
        }
        if !self.expects_faults {
            return Err(format!("cannot {action}: {error} ({error:?})"));
        }
        if !is_expected(&error) {
            return Err(format!("{action} failed with the wrong error: {error:?}"));
        }
        self.errors.push((action, error));
        Ok(())
    }

    fn step(&mut self, step: u64) -> Checked {
        if self.broker.is_none() {
            return self.open();
        }
        match (step, self.random.below(100)) {
            (0, _) => self.create_topic("always"),
            (1, _) => self.create_topic("os"),
            (2, _) => self.create_topic("interval"),
            (_, 0..=34) => self.send(),
            (_, 35..=49) => self.send_batch(),
            (_, 50..=57) => self.poll(),
            (_, 58..=65) => self.commit(),
            (_, 66..=71) => self.read(),
            (_, 72..=73) => self.flush(),
            (_, 74..=76) => self.wait_durable(),
            (_, 77..=83) => self.maintain(),
            (_, 84..=88) => self.create_topic(PASSING),
            (_, 89..=91) => self.delete_topic(PASSING),
            (_, 92..=93) => self.add_partitions(),
            (_, 94..=95) => self.close(),
            (_, 96) => {
                // The last handle closes without being asked.
                self.let_go();
                Ok(())
            }
            _ => {
                self.disk.advance(Duration::from_secs(3));
                Ok(())
            }
        }
    }

    fn let_go(&mut self) {
        self.consumer = None;
        self.broker = None;
        self.unknown_to_consumer.clear();
    }

    fn broker(&self) -> Checked<Broker> {
        self.broker.clone().ok_or_else(|| "nothing is open".to_owned())
    }

    fn create_topic(&mut self, name: &str) -> Checked {
        if self.history.topics.get(name).is_some_and(|topic| topic.existence != Existence::MaybeCreated) {
            return self.send();
        }
        let durability = match name {
            "always" => Durability::Always,
            "interval" => Durability::Interval(Duration::from_secs(1)),
            "os" => Durability::Os,
            _ if self.random.chance(50) => Durability::Always,
            _ => Durability::Os,
        };
        let count = if matches!(name, "always" | "os") { 2 } else { 1 };
        let codec = if name == "os" { Compression::Snappy } else { Compression::None };
        let config = TopicConfig::new()
            .partitions(count)
            .segment_bytes(8 << 10)
            .max_message_bytes(4 << 20)
            .compression(codec)
            .durability(durability);
        let created = self.broker()?.create_topic(name, config);
        let topic = TopicHistory {
            existence: if created.is_ok() { Existence::Certain } else { Existence::MaybeCreated },
            durability,
            logs: vec![LogHistory::default(); count as usize],
            maybe_partitions: None,
        };
        match created {
            Ok(_) => {
                let existence = if self.is_stopped() { Existence::MaybeCreated } else { Existence::Certain };
                self.history.topics.insert(name.to_owned(), TopicHistory { existence, ..topic });
                Ok(())
            }
            Err(error) => {
                if !matches!(error, Error::TopicExists { .. }) {
                    self.history.topics.insert(name.to_owned(), topic);
                }
                self.failed("create a topic", error)?;
                self.settle_topic(name)
            }
        }
    }

    /// After a call that failed on a machine that goes on: whether the topic is there can be asked.
    fn settle_topic(&mut self, name: &str) -> Checked {
        if self.is_stopped() {
            return Ok(());
        }
        match self.broker()?.admin().describe(name) {
            Ok(description) => {
                let Some(topic) = self.history.topics.get_mut(name) else { return Ok(()) };
                if topic.existence == Existence::MaybeCreated {
                    topic.existence = Existence::Certain;
                }
                topic.logs.resize(description.partitions().len(), LogHistory::default());
                Ok(())
            }
            // After a failed change of the catalog either is allowed to come back.
            Err(Error::UnknownTopic { .. } | Error::Closed { .. }) => Ok(()),
            Err(error) => self.failed("describe a topic", error),
        }
    }

    fn delete_topic(&mut self, name: &str) -> Checked {
        if self.history.topics.get(name).is_none_or(|topic| topic.existence != Existence::Certain) {
            return self.send();
        }
        let deleted = self.broker()?.admin().delete_topic(name);
        if let Some(topic) = self.history.topics.get_mut(name) {
            topic.existence = Existence::MaybeDeleted;
        }
        self.unknown_to_consumer.insert(name.to_owned());
        match deleted {
            Ok(()) if self.is_stopped() => Ok(()),
            Ok(()) => {
                self.history.forget(name);
                Ok(())
            }
            Err(error) => self.failed("delete a topic", error),
        }
    }

    fn add_partitions(&mut self) -> Checked {
        let Some(name) = self.a_partition().map(|partition| partition.topic().to_owned()) else { return Ok(()) };
        let Some(topic) = self.history.topics.get_mut(&name) else { return Ok(()) };
        let count = topic.logs.len() + 1;
        if count > 4 {
            return self.send();
        }
        topic.maybe_partitions = Some(count);
        let added = self.broker()?.admin().add_partitions(&name, u32::try_from(count).unwrap_or(u32::MAX));
        match added {
            Ok(()) if self.is_stopped() => Ok(()),
            Ok(()) => {
                let Some(topic) = self.history.topics.get_mut(&name) else { return Ok(()) };
                topic.logs.push(LogHistory::default());
                topic.maybe_partitions = None;
                Ok(())
            }
            Err(error) => self.failed("add partitions", error),
        }
    }

    fn a_partition(&mut self) -> Option<TopicPartition> {
        self.random.choose(&self.history.partitions()).cloned()
    }

    fn new_records(&mut self, count: usize) -> Vec<Sent> {
        let value_bytes = match self.random.below(100) {
            0..=59 => 10 + self.random.below(300),
            60..=84 => 2000 + self.random.below(4000),
            85..=97 => 20_000 + self.random.below(60_000),
            _ if self.settings.is_large && count == 1 => (1 << 20) + self.random.below(1 << 19),
            _ => 0,
        };
        let value_bytes = usize::try_from(value_bytes).unwrap_or_default();
        let serial = self.next_serial;
        self.next_serial += count as u64;
        let sent = (serial..).take(count).zip([false].into_iter().chain(std::iter::repeat(true)));
        sent.map(|(serial, continues)| Sent { serial, value_bytes, continues }).collect()
    }

    fn send(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        self.send_to(&partition, 1)
    }

    fn send_batch(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let count = 2 + self.random.below(10);
        self.send_to(&partition, usize::try_from(count).unwrap_or(2))
    }

    /// Sends some records in one piece, and notes what comes of it.
    fn send_to(&mut self, partition: &TopicPartition, count: usize) -> Checked {
        let records = self.new_records(count);
        let (keys, values): (Vec<_>, Vec<_>) = records.iter().map(|sent| (sent.key(), sent.value())).unzip();
        let to_send: Vec<_> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| {
                ProducerRecord::to(partition.topic()).partition(partition.partition()).key(key).value(value)
            })
            .collect();
        let broker = self.broker()?;
        let is_durable = self.random.chance(20);
        let producer = producer(&broker, is_durable)?;
        let sent = match to_send.as_slice() {
            [record] => producer.send(record.clone()).map(|sent| sent.offset()),
            _ => producer
                .send_batch(partition.topic(), &to_send)
                .map(|sent| sent.first().map_or(u64::MAX, ottla::RecordMetadata::offset)),
        };
        let is_stopped = self.is_stopped();
        let is_always =
            self.history.topics.get(partition.topic()).is_some_and(|topic| topic.durability == Durability::Always);
        let Some(log) = self.history.log(partition) else { return Ok(()) };
        match sent {
            Ok(offset) if !is_stopped => {
                log.acknowledge(&records, offset).map_err(|problem| format!("{partition}: {problem}"))?;
                if is_durable || is_always {
                    log.durable = log.acked();
                }
                Ok(())
            }
            Ok(_) => {
                log.open.push(records);
                Ok(())
            }
            Err(error) => {
                if is_stopped || !error.is_retriable() {
                    log.open.push(records);
                }
                self.failed("send", error)
            }
        }
    }

    fn consumer(&mut self) -> Checked<Option<&mut Consumer>> {
        if self.consumer.is_none() {
            let broker = self.broker()?;
            match broker.consumer(GROUP, ["always", "os", "interval", PASSING]) {
                Ok(consumer) => self.consumer = Some(consumer),
                Err(error) => self.failed("make a consumer", error)?,
            }
        }
        Ok(self.consumer.as_mut())
    }

    /// Polls once. Returns whether anything came.
    fn poll(&mut self) -> Checked {
        self.poll_some().map(|_| ())
    }

    fn poll_some(&mut self) -> Checked<bool> {
        let Some(consumer) = self.consumer()? else { return Ok(false) };
        let polled = consumer.poll(Duration::ZERO);
        self.unknown_to_consumer.clear();
        match polled {
            Ok(records) => {
                let mut found: BTreeMap<TopicPartition, Vec<_>> = BTreeMap::new();
                for record in &records {
                    found.entry(record.topic_partition().clone()).or_default().push(record.detach());
                }
                for (partition, records) in &found {
                    self.saw(partition, records)?;
                }
                Ok(!found.is_empty())
            }
            Err(Error::LogTruncated { partition, requested, truncated_to }) => {
                self.seek_back(&partition, requested, truncated_to)
            }
            Err(error) => self.failed("poll", error).map(|()| false),
        }
    }

    /// Goes to where the log went on after a power cut took what the group had passed.
    fn seek_back(&mut self, partition: &TopicPartition, requested: u64, truncated_to: u64) -> Checked<bool> {
        let expected = self.history.truncated.remove(partition);
        let told = self.history.told.insert((partition.clone(), requested), truncated_to);
        if expected != Some(truncated_to) && told.is_none_or(|told| told < truncated_to) {
            return Err(format!("{partition}: truncated to {truncated_to}, says poll, and the oracle {expected:?}"));
        }
        let Some(consumer) = self.consumer()? else { return Ok(false) };
        let sought = consumer.seek(partition, SeekTo::Offset(truncated_to));
        sought.or_else(|error| self.failed("seek", error)).map(|()| true)
    }

    /// Polls until there is nothing more.
    pub(crate) fn poll_all(&mut self) -> Checked {
        while self.poll_some()? {}
        match self.history.truncated.first_key_value() {
            Some((partition, end)) if !self.expects_faults => {
                Err(format!("{partition}: the group was behind the end {end}, and was not told"))
            }
            _ => Ok(()),
        }
    }

    fn saw(&mut self, partition: &TopicPartition, records: &[ottla::OwnedRecord]) -> Checked {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let end = usize::try_from(last.offset() + 1).unwrap_or(usize::MAX);
        let Some(log) = self.history.log(partition) else {
            return Err(format!("{partition}: records of a topic that is gone"));
        };
        log.compare(first.offset(), records).map_err(|problem| format!("{partition}: {problem}"))?;
        log.seen = log.seen.max(end);
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Checked {
        let Some(consumer) = self.consumer()? else { return Ok(()) };
        let assignment = consumer.assignment();
        let positions: Vec<_> =
            assignment.into_iter().map(|partition| (consumer.position(&partition), partition)).collect();
        let committed = consumer.commit();
        let is_acked = committed.is_ok() && !self.is_stopped();
        let is_durable = self.settings.durability == Durability::Always;
        for (position, partition) in positions {
            if position.is_some() && !self.unknown_to_consumer.contains(partition.topic()) {
                let commits = self.history.commits.entry(partition).or_default();
                if is_acked && commits.last_acked() == position && commits.acked == commits.attempts.len() - 1 {
                    // Nothing is committed twice.
                    continue;
                }
                commits.attempt(position, is_acked, is_durable);
            }
        }
        committed.or_else(|error| self.failed("commit", error))
    }

    /// Reads one log from a random offset on.
    fn read(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let end = self.history.log(&partition).map_or(0, |log| log.acked() as u64);
        let from = self.random.below(end + 1);
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        let found = found.and_then(|log| log.iter_from(from).collect::<Result<Vec<_>, _>>());
        match found {
            Ok(records) => {
                if records.len() as u64 != end - from && !self.expects_faults {
                    return Err(format!("{partition}: {} records from {from}, not to the end {end}", records.len()));
                }
                self.saw(&partition, &records)
            }
            Err(error) => self.failed("read", error),
        }
    }

    pub(crate) fn flush(&mut self) -> Checked {
        if let Err(error) = self.broker()?.flush() {
            return self.failed("flush", error);
        }
        if !self.is_stopped() {
            let logs = self.history.topics.values_mut().flat_map(|topic| &mut topic.logs);
            logs.for_each(|log| log.durable = log.acked());
            self.history.commits.values_mut().for_each(|commits| commits.durable = commits.acked);
        }
        self.note_durable()
    }

    fn wait_durable(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let offset = self.history.log(&partition).map_or(0, |log| log.acked() as u64);
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        if let Err(error) = found.and_then(|log| log.wait_durable(offset)) {
            return self.failed("wait for durability", error);
        }
        let is_stopped = self.is_stopped();
        if let Some(log) = self.history.log(&partition).filter(|_| !is_stopped) {
            log.durable = log.acked();
        }
        self.note_durable()
    }

    fn maintain(&mut self) -> Checked {
        if let Err(error) = self.broker()?.run_maintenance() {
            self.failed("maintain", error)?;
        } else if !self.is_stopped() && !self.expects_faults {
            for topic in self.history.topics.values_mut().filter(|topic| topic.durability != Durability::Os) {
                topic.logs.iter_mut().for_each(|log| log.durable = log.acked());
            }
        }
        self.note_durable()
    }

    /// Takes the broker by its word on what survives a power cut.
    fn note_durable(&mut self) -> Checked {
        if self.is_stopped() {
            return Ok(());
        }
        let broker = self.broker()?;
        for partition in self.history.partitions() {
            let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
            let Ok(found) = found else { continue };
            let Some(log) = self.history.log(&partition) else { continue };
            let durable = usize::try_from(found.durable_offset()).unwrap_or(usize::MAX);
            log.durable = log.durable.max(durable.min(log.acked()));
        }
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Checked {
        let broker = self.broker()?;
        self.let_go();
        match broker.close() {
            Ok(()) => {
                if !self.is_stopped() {
                    let logs = self.history.topics.values_mut().flat_map(|topic| &mut topic.logs);
                    logs.for_each(|log| log.durable = log.acked());
                    self.history.commits.values_mut().for_each(|commits| commits.durable = commits.acked);
                }
                Ok(())
            }
            Err(error) => self.failed("close", error),
        }
    }

    /// Ten more records to every partition, and a commit.
    pub(crate) fn go_on(&mut self) -> Checked {
        for partition in self.history.partitions() {
            for count in [1, 3, 1, 5] {
                self.send_to(&partition, count)?;
            }
        }
        self.poll_all()?;
        self.commit()
    }

    /// Reads everything there is, while calls no longer fail: what was acknowledged, and nothing else.
    pub(crate) fn read_everything(&mut self) -> Checked {
        let broker = self.broker()?;
        for partition in self.history.partitions() {
            let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
            let records = read_from(&found.map_err(|e| e.to_string())?, 0).map_err(|e| format!("{partition}: {e}"))?;
            let Some(log) = self.history.log(&partition) else { continue };
            if records.len() < log.acked() {
                return Err(format!("{partition}: {} records, {} were acknowledged", records.len(), log.acked()));
            }
            self.saw(&partition, &records)?;
        }
        Ok(())
    }

    /// What the group stands at now is what it committed last.
    pub(crate) fn check_commits_now(&self) -> Checked {
        let broker = self.broker()?;
        for (partition, commits) in &self.history.commits {
            let found = broker.committed(GROUP, partition).map_err(|e| e.to_string())?.map(|found| found.offset());
            if found != CommitHistory::last_acked(commits) {
                return Err(format!("{partition}: the group stands at {found:?}, not {:?}", commits.last_acked()));
            }
        }
        Ok(())
    }
}

fn producer(broker: &Broker, is_durable: bool) -> Checked<Producer> {
    if !is_durable {
        return Ok(broker.producer());
    }
    let config = ProducerConfig::new().durability(Durability::Always);
    broker.producer_with(config).map_err(|e| format!("cannot make a producer: {e}"))
}

/// What a failing disk may make of a call.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::DiskFull { .. }
            | Error::Io { .. }
            | Error::Poisoned { .. }
            // The topic was being deleted when the disk failed.
            | Error::TopicExists { .. }
            | Error::UnknownTopic { .. }
            | Error::Closed { .. }
    )
}
