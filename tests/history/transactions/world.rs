//! One life of a broker: what its threads share, what happens to it, and how it ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Error, Partition, TopicPartition};

use super::events::{Number, Sample};
use super::plan::{Act, BOUNDED, COMPACTED, GROUP, INPUT, OUTPUTS, Plan};
use crate::events::{Cut, End, Moment};

/// Numbers of one thread in one life.
const NUMBERS: u64 = 1 << 24;

/// What the threads of a life share.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) life: u64,
    pub(crate) broker: Broker,
    disk: SimulatedDisk,
    clock: AtomicU64,
    turns: AtomicU64,
    acts: Vec<(u64, Act)>,
    acts_begun: AtomicUsize,
    is_over: AtomicBool,
    /// Records of the input that were sent, and that committed transactions have covered.
    pub(crate) sent: AtomicU64,
    pub(crate) covered: AtomicU64,
    pub(crate) notes: Mutex<Notes>,
}

/// What the acts leave.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) cut: Option<Cut>,
    /// What the next life begins with, if not with the same disk.
    pub(crate) image: Option<SimulatedDisk>,
    pub(crate) samples: Vec<Sample>,
    /// Records that compaction took out, as it says.
    pub(crate) compacted: u64,
    /// A commit said that a power cut may still take it.
    pub(crate) has_undurable: bool,
    /// What should not have failed.
    pub(crate) problems: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: &Plan, life: u64, broker: Broker, disk: SimulatedDisk, now: Moment) -> World {
        World {
            plan: plan.clone(),
            life,
            broker,
            disk,
            clock: AtomicU64::new(now),
            turns: AtomicU64::new(0),
            acts: plan.acts(life),
            acts_begun: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            covered: AtomicU64::new(0),
            notes: Mutex::default(),
        }
    }

    /// A life in which nothing happens: to finish the work.
    pub(crate) fn calm(self) -> World {
        World { acts: Vec::new(), ..self }
    }

    pub(crate) fn end(self) -> (Broker, Notes, Moment) {
        let now = self.now();
        (self.broker, self.notes.into_inner().unwrap(), now + 1)
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// The first number of a thread, of attempts and of what it writes.
    pub(crate) fn first_number(&self, thread: usize) -> Number {
        ((self.life + 1) << 8 | thread as u64) * NUMBERS + 1
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst) && self.turns() < self.plan.turns
    }

    /// Counts a turn, and does what is due by then.
    pub(crate) fn take_turn(&self) {
        let turns = self.turns.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            let begun = self.acts_begun.load(Ordering::SeqCst);
            let Some((_, act)) = self.acts.get(begun).filter(|(at, _)| *at <= turns) else { return };
            if self.acts_begun.compare_exchange(begun, begun + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.act(*act);
            }
        }
    }

    pub(crate) fn problem(&self, problem: String) {
        self.notes.lock().unwrap().problems.push(problem);
    }

    /// Notes what should not have failed.
    pub(crate) fn failed(&self, action: &str, error: &Error) {
        if !self.is_expected(error) {
            self.problem(format!("cannot {action}: {} ({error:?})", error.with_causes()));
        }
    }

    fn is_expected(&self, error: &Error) -> bool {
        let begun = self.acts_begun.load(Ordering::SeqCst);
        let has = |is_cause: fn(&Act) -> bool| self.acts.iter().take(begun).any(|(_, act)| is_cause(act));
        match error {
            Error::Closed { .. } => has(|act| *act == Act::Close),
            Error::DiskFull { .. }
            | Error::Poisoned { .. }
            | Error::InDoubt { .. }
            | Error::TransactionInDoubt { .. }
            | Error::NotDurable { .. }
            | Error::Io { .. } => has(|act| act.is_fault()),
            Error::TransactionFailed { source, .. }
            | Error::TransactionAborted { source, .. }
            | Error::PartlySent { source, .. } => self.is_expected(source),
            // Other members come and go, and others have the name.
            Error::RebalanceInProgress { .. } | Error::CommitRefused { .. } => true,
            Error::Fenced { .. } => self.plan.has_rivals || has(|act| matches!(act, Act::Maintain(60..))),
            _ => false,
        }
    }

    pub(crate) fn output(&self, log: usize) -> ottla::Result<Partition> {
        let (topic, partition) = OUTPUTS[log];
        self.broker.topic(topic)?.partition(partition)
    }

    /// Where logs begin, and how far readers of committed records see.
    pub(crate) fn sample(&self) {
        for log in 0..OUTPUTS.len() {
            let Ok(partition) = self.output(log) else { continue };
            let began = self.now();
            let (start, stable) = (partition.log_start_offset(), partition.last_stable_offset());
            let sample = Sample { log, start, stable, began, ended: self.now() };
            self.notes.lock().unwrap().samples.push(sample);
        }
    }

    fn act(&self, act: Act) {
        let rule = FaultRule::new;
        match act {
            Act::Maintain(seconds) => {
                self.disk.advance(Duration::from_secs(seconds));
                if let Err(error) = self.broker.run_maintenance() {
                    self.failed("maintain", &error);
                }
            }
            Act::Compact => self.compact(),
            Act::DeleteRecords(percent) => self.delete_records(percent),
            Act::FillDisk(room) => self.disk.limit_capacity(Some(self.disk.used_bytes() + room)),
            Act::FreeDisk => self.disk.limit_capacity(None),
            Act::FailSync(nth) => self.disk.fail(rule(FaultKind::InputOutput).on(Operation::Sync).nth(nth)),
            Act::ShortWrite(nth) => self.disk.fail(rule(FaultKind::ShortWrite).nth(nth)),
            Act::Close => {
                self.is_over.store(true, Ordering::SeqCst);
                if let Err(error) = self.broker.clone().close() {
                    self.failed("close", &error);
                }
            }
            Act::Kill => self.cut(End::Killed, || self.disk.kill(self.plan.seed + self.life)),
            Act::CutPower(model) => self.cut(End::PowerCut, || self.disk.crash(self.plan.seed + self.life, model)),
        }
        self.sample();
    }

    fn cut(&self, end: End, image: impl Fn() -> SimulatedDisk) {
        let before = self.now();
        let image = image();
        let after = self.now();
        image.limit_capacity(None);
        self.is_over.store(true, Ordering::SeqCst);
        let mut notes = self.notes.lock().unwrap();
        notes.cut = Some(Cut { end, before, after, shows_old: false });
        notes.image = Some(image);
    }

    fn compact(&self) {
        match self.broker.admin().compact(OUTPUTS[COMPACTED].0) {
            Ok(report) => {
                let removed: u64 = report.partitions().iter().map(ottla::PartitionCompaction::records_removed).sum();
                self.notes.lock().unwrap().compacted += removed;
            }
            Err(error) => self.failed("compact a topic", &error),
        }
    }

    fn delete_records(&self, percent: u64) {
        for partition in 0..u32::try_from(self.plan.inputs).unwrap() {
            let input = TopicPartition::new(INPUT, partition);
            let done = self.broker.committed(GROUP, &input).ok().flatten().map_or(0, |committed| committed.offset());
            self.delete_before(input, done);
        }
        if let Ok(bounded) = self.output(BOUNDED) {
            let (start, end) = (bounded.log_start_offset(), bounded.high_watermark());
            let before = start + end.saturating_sub(start) * percent / 100;
            self.delete_before(bounded.topic_partition().clone(), before);
        }
    }

    fn delete_before(&self, partition: TopicPartition, before: u64) {
        match self.broker.admin().delete_records(&[(partition, before)]) {
            // Beyond the beginning of one that is open, or of what retention has deleted meanwhile.
            Ok(_) | Err(Error::TransactionOpen { .. }) => {}
            Err(error) => self.failed("delete records", &error),
        }
    }
}
