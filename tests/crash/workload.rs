//! An application that uses everything, in an order that follows from a seed, until its machine stops or its work is done; and
//! beside it, the history of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, Compression, Consumer, Durability, Error, Producer, ProducerConfig, ProducerRecord, ResetTo, SeekTo,
    TopicConfig, TopicPartition,
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
    /// Whether the group is reset and deleted.
    moves_group: bool,
}

impl Settings {
    pub(crate) fn of(seed: u64) -> Settings {
        let durability = if seed.is_multiple_of(2) { Durability::Always } else { Durability::Os };
        let tail_bytes = if seed.is_multiple_of(3) { 1 << 20 } else { 4 << 20 };
        Settings { seed, durability, tail_bytes, steps: 40, is_large: seed % 5 == 4, moves_group: seed % 4 >= 2 }
    }
}

/// A broker on a simulated disk, at work.
pub(crate) struct Run {
    pub(crate) disk: SimulatedDisk,
    pub(crate) history: History,
    pub(crate) broker: Option<Broker>,
    /// What failed, in order, with what was being done. Only faults may fill it.
    pub(crate) errors: Vec<(&'static str, Error)>,
    pub(crate) settings: Settings,
    consumer: Option<Consumer>,
    /// Topics that were deleted since the consumer looked.
    unknown_to_consumer: BTreeSet<String>,
    random: Random,
    next_serial: u64,
    expects_faults: bool,
    /// What the history was, and from which call on; if that is wanted.
    versions: Option<Vec<(u64, Arc<History>)>>,
}

/// A moment at which the machine may stop: before a changing call, or when all is done.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Calls made before.
    pub(crate) calls: u64,
    /// A machine that has stopped there.
    pub(crate) disk: SimulatedDisk,
    /// What the application had asked for and been told by then.
    pub(crate) history: Arc<History>,
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
            expects_faults: false,
            versions: None,
        }
    }

    /// Does the whole work on a new disk.
    pub(crate) fn work(settings: Settings) -> Checked<Run> {
        let mut run = Run::on(SimulatedDisk::new(settings.seed), History::default(), settings, settings.seed);
        run.work_on()?;
        Ok(run)
    }

    /// Does the whole work on a new disk once, and returns every moment at which the machine might have stopped.
    pub(crate) fn record(settings: Settings) -> Checked<Vec<Stop>> {
        let mut run = Run::on(SimulatedDisk::new(settings.seed), History::default(), settings, settings.seed);
        run.versions = Some(Vec::new());
        run.disk.record_stops();
        run.note_version();
        run.work_on()?;
        let versions = run.versions.take().unwrap_or_default();
        let history = |calls| {
            let known = versions.partition_point(|(since, _)| *since <= calls);
            versions.get(known.saturating_sub(1)).map(|(_, history)| Arc::clone(history)).unwrap_or_default()
        };
        let stops = run.disk.take_stops().into_iter();
        Ok(stops.map(|(calls, disk)| Stop { calls, disk, history: history(calls) }).collect())
    }

    /// Keeps the history as it is for stops from now on. Called once something was asked for and before the disk is, and once
    /// it was answered.
    fn note_version(&mut self) {
        let calls = self.disk.calls();
        if let Some(versions) = &mut self.versions {
            versions.push((calls, Arc::new(self.history.clone())));
        }
    }

    /// A run that has all its work to do: on a new disk, or on what the death of an earlier process left.
    pub(crate) fn begin(settings: Settings) -> Checked<Run> {
        if settings.seed.is_multiple_of(2) {
            return Ok(Run::on(SimulatedDisk::new(settings.seed), History::default(), settings, settings.seed));
        }
        let earlier = Run::work(Settings { steps: settings.steps / 2, ..settings })?;
        Ok(Run::on(earlier.disk.kill(0), earlier.history.clone(), settings, settings.seed + 1))
    }

    /// Does the whole work, while calls fail.
    pub(crate) fn work_with_faults(&mut self) -> Checked {
        self.expects_faults = true;
        self.work_on()
    }

    pub(crate) fn work_on(&mut self) -> Checked {
        self.open()?;
        for step in 0..self.settings.steps {
            self.step(step).map_err(|problem| format!("step {step}: {problem}"))?;
            self.note_version();
        }
        Ok(())
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

    /// An error: expected if calls fail, a finding otherwise.
    fn failed(&mut self, action: &'static str, error: Error) -> Checked {
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
            (_, 95) if self.settings.moves_group => {
                let is_deleted = self.random.chance(50);
                self.move_group(is_deleted)
            }
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
        let topic = TopicHistory {
            existence: Existence::MaybeCreated,
            durability,
            logs: vec![LogHistory::default(); count as usize],
            maybe_partitions: None,
        };
        let earlier = self.history.topics.insert(name.to_owned(), topic);
        self.note_version();
        match self.broker()?.create_topic(name, config) {
            Ok(_) => {
                if let Some(topic) = self.history.topics.get_mut(name) {
                    topic.existence = Existence::Certain;
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::TopicExists { .. }) {
                    self.history.topics.remove(name);
                    self.history.topics.extend(earlier.map(|earlier| (name.to_owned(), earlier)));
                }
                self.failed("create a topic", error)?;
                self.settle_topic(name)
            }
        }
    }

    /// After a call that failed on a machine that goes on: whether the topic is there can be asked.
    fn settle_topic(&mut self, name: &str) -> Checked {
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
        if let Some(topic) = self.history.topics.get_mut(name) {
            topic.existence = Existence::MaybeDeleted;
        }
        self.note_version();
        let deleted = self.broker()?.admin().delete_topic(name);
        self.unknown_to_consumer.insert(name.to_owned());
        match deleted {
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
        self.note_version();
        let added = self.broker()?.admin().add_partitions(&name, u32::try_from(count).unwrap_or(u32::MAX));
        match added {
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
            85..=89 => 20_000 + self.random.below(60_000),
            90..=97 => 5,
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
        if let Some(log) = self.history.log(partition) {
            log.open.push(records.clone());
        }
        self.note_version();
        let sent = match to_send.as_slice() {
            // Not through the producer's door, now and then.
            to_send if !is_durable && to_send.len() % 3 == 2 => broker
                .topic(partition.topic())
                .and_then(|topic| topic.partition(partition.partition())?.append_batch(to_send))
                .map(|offsets| offsets.start),
            [record] => producer.send(record.clone()).map(|sent| sent.offset()),
            _ => producer
                .send_batch(partition.topic(), &to_send)
                .map(|sent| sent.first().map_or(u64::MAX, ottla::RecordMetadata::offset)),
        };
        let is_always =
            self.history.topics.get(partition.topic()).is_some_and(|topic| topic.durability == Durability::Always);
        let Some(log) = self.history.log(partition) else { return Ok(()) };
        match sent {
            Ok(offset) => {
                log.acknowledge(&records, offset).map_err(|problem| format!("{partition}: {problem}"))?;
                if is_durable || is_always {
                    log.durable = log.acked();
                }
                Ok(())
            }
            Err(error) => {
                if error.is_retriable() {
                    // Nothing was appended.
                    log.open.pop();
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
        let positions: Vec<_> = positions
            .into_iter()
            .filter(|(position, tp)| position.is_some() && !self.unknown_to_consumer.contains(tp.topic()))
            .collect();
        for (position, partition) in &positions {
            self.history.commits.entry(partition.clone()).or_default().attempt(*position, false, false);
        }
        self.note_version();
        let Some(consumer) = self.consumer()? else { return Ok(()) };
        match consumer.commit() {
            Ok(()) => {
                let is_durable = self.settings.durability == Durability::Always;
                for (_, partition) in positions {
                    self.history.commits.entry(partition).or_default().acknowledge(is_durable);
                }
                Ok(())
            }
            Err(error) => self.failed("commit", error),
        }
    }

    /// Moves the whole group to where a log begins, or forgets it; nobody is in it meanwhile.
    fn move_group(&mut self, is_deleted: bool) -> Checked {
        self.consumer = None;
        let broker = self.broker()?;
        let admin = broker.admin();
        let mut moved: Vec<(TopicPartition, Option<u64>)> = Vec::new();
        let reset = admin.reset_offsets(GROUP).to(ResetTo::Earliest);
        if is_deleted {
            moved.extend(self.history.commits.keys().map(|partition| (partition.clone(), None)));
        } else {
            match reset.plan() {
                Ok(plan) => {
                    let changes = plan.iter().map(|change| (change.topic_partition().clone(), Some(change.after())));
                    moved.extend(changes);
                }
                Err(Error::UnknownGroup { .. }) => return Ok(()),
                Err(error) => return self.failed("plan a reset", error),
            }
        }
        for (partition, to) in &moved {
            self.history.commits.entry(partition.clone()).or_default().attempt(*to, false, false);
        }
        self.note_version();
        let done = if is_deleted { admin.delete_group(GROUP) } else { reset.execute().map(|_| ()) };
        match done {
            Ok(()) | Err(Error::UnknownGroup { .. }) => {
                let is_durable = self.settings.durability == Durability::Always;
                for (partition, _) in moved {
                    self.history.truncated.remove(&partition);
                    self.history.commits.entry(partition).or_default().acknowledge(is_durable);
                }
                Ok(())
            }
            Err(error) => self.failed("move the group", error),
        }
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
        self.all_is_durable();
        self.note_durable()
    }

    fn all_is_durable(&mut self) {
        let logs = self.history.topics.values_mut().flat_map(|topic| &mut topic.logs);
        logs.for_each(|log| log.durable = log.acked());
        self.history.commits.values_mut().for_each(|commits| commits.durable = commits.acked);
    }

    fn wait_durable(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let offset = self.history.log(&partition).map_or(0, |log| log.acked() as u64);
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        if let Err(error) = found.and_then(|log| log.wait_durable(offset)) {
            return self.failed("wait for durability", error);
        }
        if let Some(log) = self.history.log(&partition) {
            log.durable = log.acked();
        }
        self.note_durable()
    }

    fn maintain(&mut self) -> Checked {
        if let Err(error) = self.broker()?.run_maintenance() {
            self.failed("maintain", error)?;
        } else if !self.expects_faults {
            for topic in self.history.topics.values_mut().filter(|topic| topic.durability != Durability::Os) {
                topic.logs.iter_mut().for_each(|log| log.durable = log.acked());
            }
        }
        self.note_durable()
    }

    /// Takes the broker by its word on what survives a power cut.
    fn note_durable(&mut self) -> Checked {
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
                self.all_is_durable();
                Ok(())
            }
            Err(error) => self.failed("close", error),
        }
    }

    /// Ten more pieces, to partitions in turn, and a commit.
    pub(crate) fn go_on(&mut self) -> Checked {
        let partitions = self.history.partitions();
        for (partition, count) in partitions.iter().cycle().zip([1, 3, 1, 5, 1, 2, 1, 1, 4, 1]) {
            self.send_to(partition, count)?;
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
