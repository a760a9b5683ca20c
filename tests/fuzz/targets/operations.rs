//! Calls of the API in any order, on a disk that loses what was not synced; and beside them a model: what each partition must
//! hold. The first byte decides the durability of the broker, every other one is a call, with a byte behind it if it needs one.

use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Consumer, Durability, Partition, ProducerRecord, TopicConfig};

use crate::allocation::capped;

/// Two tails in memory, with what was written and what is durable of them.
const BYTES_MAX: usize = 64 << 20;
/// Of the topics, each with its own durability.
const TOPICS: [(&str, Durability); 2] = [("always", Durability::Always), ("os", Durability::Os)];
/// Calls that are looked at; what comes later says nothing new.
const CALLS_MAX: usize = 32;

/// What one topic's partition must hold.
#[derive(Debug, Default, Clone)]
struct Log {
    /// Numbers of the records that were acknowledged, each at its offset.
    sent: Vec<u64>,
    /// So many of them survive everything.
    durable: usize,
    /// Where batches end, at which alone a log may be cut.
    ends: Vec<usize>,
    /// Sent to a machine that had stopped, perhaps: batches that may be there or not.
    in_doubt: Vec<Vec<u64>>,
}

impl Log {
    /// Takes what was found after a crash for what there is, if it may be. `durable` of it is said to survive everything now:
    /// after a kill, that may be less than there is.
    fn accept(&mut self, found: Vec<u64>, least: usize, durable: usize) {
        let mut most = self.sent.clone();
        let mut ends = self.ends.clone();
        for batch in self.in_doubt.drain(..) {
            most.extend(batch);
            ends.push(most.len());
        }
        assert!(most.starts_with(&found), "{found:?} is not how {most:?} begins");
        assert!(least <= found.len(), "of {:?} only {found:?} is left", self.sent);
        assert!(found.is_empty() || ends.contains(&found.len()), "half a batch is left: {found:?}, not {most:?}");
        ends.retain(|end| *end <= found.len());
        assert!(durable <= found.len(), "more is durable than there is");
        *self = Log { durable: durable.max(self.durable), ends, sent: found, in_doubt: Vec::new() };
    }
}

struct Run {
    disk: SimulatedDisk,
    broker: Option<Broker>,
    consumer: Option<Consumer>,
    logs: [Log; TOPICS.len()],
    durability: Durability,
    next_number: u64,
    /// After so many calls of the disk the machine stops, and nothing that is said later counts.
    stop: Option<u64>,
}

pub(crate) fn run(data: &[u8]) {
    let Some((&settings, calls)) = data.split_first() else { return };
    let durability = if settings & 1 == 0 { Durability::Always } else { Durability::Os };
    capped(BYTES_MAX, || {
        let mut run = Run {
            disk: SimulatedDisk::new(u64::from(settings)),
            broker: None,
            consumer: None,
            logs: [Log::default(), Log::default()],
            durability,
            next_number: 0,
            stop: None,
        };
        run.open();
        for (topic, durability) in TOPICS {
            let config = TopicConfig::new().segment_bytes(2048).durability(durability);
            run.broker().create_topic(topic, config).unwrap();
        }
        let mut bytes = calls.iter().copied();
        for _ in 0..CALLS_MAX {
            let Some(call) = bytes.next() else { break };
            run.call(call, &mut bytes);
        }
        run.power_cut(u64::from(settings));
    });
}

impl Run {
    fn open(&mut self) {
        let builder = Broker::builder("/data").disk(&self.disk).background(false).tail_bytes(1 << 20);
        self.broker = Some(builder.durability(self.durability).open().unwrap());
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("one is always open")
    }

    fn partition(&self, log: usize) -> Partition {
        self.broker().topic(TOPICS[log].0).unwrap().partition(0).unwrap()
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| self.disk.calls() > stop)
    }

    fn call(&mut self, call: u8, bytes: &mut impl Iterator<Item = u8>) {
        let log = usize::from(call >> 7);
        let argument = bytes.next().unwrap_or_default();
        match call & 0x0f {
            0..=3 => self.send(log, 1, argument),
            4 => self.send(log, 1 + usize::from(argument % 16), argument),
            5 => self.send(log, 2, 255),
            6 if !self.is_stopped() => self.read(log),
            7 => self.flush(),
            8 => self.maintain(),
            9 if self.stop.is_none() => {
                let stop = self.disk.calls() + u64::from(argument % 64);
                self.disk.stop_after(stop);
                self.stop = Some(stop);
            }
            10 => self.power_cut(u64::from(argument)),
            11 => self.kill(u64::from(argument)),
            12 if self.stop.is_none() => self.reopen(),
            13 if self.stop.is_none() => self.poll_and_commit(),
            14 => self.disk.advance(Duration::from_secs(u64::from(argument))),
            _ => {}
        }
    }

    fn send(&mut self, log: usize, count: usize, size: u8) {
        let numbers: Vec<u64> = (self.next_number..).take(count).collect();
        self.next_number += count as u64;
        // Some fit no small slot, and some segments roll.
        let size = if size > 250 { 5000 } else { usize::from(size) };
        let value = |number: &u64| format!("{number} {}", "x".repeat(size));
        let values: Vec<String> = numbers.iter().map(value).collect();
        let (topic, durability) = TOPICS[log];
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to(topic).value(value)).collect();
        let Some(partition) = self.broker().topic(topic).and_then(|topic| topic.partition(0)).ok() else {
            assert!(self.is_stopped(), "a topic is gone");
            return;
        };
        let appended = match &records[..] {
            [record] => partition.append(record).map(|offset| offset..offset + 1),
            _ => partition.append_batch(&records),
        };
        let is_stopped = self.is_stopped();
        let known = &mut self.logs[log];
        if is_stopped {
            known.in_doubt.push(numbers);
            return;
        }
        let start = known.sent.len() as u64;
        assert_eq!(appended.unwrap(), start..start + count as u64);
        known.sent.extend(numbers);
        known.ends.push(known.sent.len());
        if durability == Durability::Always {
            known.durable = known.sent.len();
        }
    }

    fn read(&self, log: usize) {
        assert_eq!(self.found(log), self.logs[log].sent);
    }

    fn found(&self, log: usize) -> Vec<u64> {
        let partition = self.partition(log);
        let (mut offset, end) = (partition.log_start_offset(), partition.log_end_offset());
        let mut numbers = Vec::new();
        while offset < end {
            for record in &partition.read(offset, 4096).unwrap() {
                assert_eq!(record.offset(), offset, "offsets follow one another");
                numbers.push(record.value_str().unwrap().split(' ').next().unwrap().parse().unwrap());
                offset += 1;
            }
        }
        numbers
    }

    fn flush(&mut self) {
        let flushed = self.broker().flush();
        if !self.is_stopped() {
            flushed.unwrap();
            self.logs.iter_mut().for_each(|log| log.durable = log.sent.len());
        }
    }

    fn maintain(&mut self) {
        let maintained = self.broker().run_maintenance();
        assert!(maintained.is_ok() || self.is_stopped(), "{maintained:?}");
    }

    fn let_go(&mut self) {
        self.consumer = None;
        self.broker = None;
        self.stop = None;
    }

    fn reopen(&mut self) {
        self.consumer = None;
        self.broker.take().expect("one is always open").close().unwrap();
        self.open();
        assert!(self.broker().recovery_report().is_clean());
        (0..TOPICS.len()).for_each(|log| self.read(log));
        self.logs.iter_mut().for_each(|log| log.durable = log.sent.len());
    }

    fn power_cut(&mut self, seed: u64) {
        let model = CrashModel::ALL[usize::try_from(seed).unwrap() % CrashModel::ALL.len()];
        let image = self.disk.crash(seed, model);
        self.go_on_with(image, |log| log.durable);
    }

    fn kill(&mut self, seed: u64) {
        let image = self.disk.kill(seed);
        self.go_on_with(image, |log| log.sent.len());
    }

    /// Opens what a crash has left, which must be at least so much of each log.
    fn go_on_with(&mut self, image: SimulatedDisk, least: impl Fn(&Log) -> usize) {
        self.let_go();
        self.disk = image;
        self.open();
        for log in 0..TOPICS.len() {
            let found = self.found(log);
            let least = least(&self.logs[log]);
            let durable = usize::try_from(self.partition(log).durable_offset()).unwrap();
            self.logs[log].accept(found, least, durable);
        }
    }

    /// Commits behind all that there is. That no position is beyond the end is checked at the next poll, which would fail.
    fn poll_and_commit(&mut self) {
        let mut consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.broker().consumer("group", TOPICS.map(|(topic, _)| topic)).unwrap(),
        };
        loop {
            match consumer.poll(Duration::ZERO) {
                Ok(records) if records.is_empty() => break,
                Ok(_) => {}
                Err(ottla::Error::LogTruncated { partition, truncated_to, .. }) => {
                    let log = usize::from(partition.topic() == TOPICS[1].0);
                    assert!(log == 1 && truncated_to <= self.logs[log].sent.len() as u64, "only the other loses any");
                    consumer.seek(&partition, ottla::SeekTo::Earliest).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        for tp in consumer.assignment() {
            let log = usize::from(tp.topic() == TOPICS[1].0);
            assert_eq!(consumer.position(&tp), Some(self.logs[log].sent.len() as u64));
        }
        consumer.commit().unwrap();
        self.consumer = Some(consumer);
    }
}
