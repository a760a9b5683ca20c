//! One life of a broker: what its threads share, and how it ends.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Error, Partition};

use crate::checker::LogRules;
use crate::events::{Altered, Cut, Deletion, End, Life, Moment, Passed, Seen};
use crate::plan::{Act, LOGS, PARTITIONS_MAX, Place, Plan, TOPICS, log_of, logs_of};

/// What the threads of a life share.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) life: u64,
    pub(crate) broker: Broker,
    pub(crate) disk: Option<SimulatedDisk>,
    pub(crate) clock: Arc<AtomicU64>,
    /// Records that were answered for, in whatever way.
    sent: AtomicU64,
    /// By group: records that polls returned.
    delivered: Vec<AtomicU64>,
    /// By group and log: where the furthest delivery ended.
    passed: Vec<[AtomicU64; LOGS]>,
    acts: Vec<(u64, Act)>,
    acts_begun: AtomicUsize,
    /// The broker is closed or the power is gone: nobody does anything any more.
    is_over: AtomicBool,
    pub(crate) producers_left: AtomicUsize,
    /// By topic: partitions that are there for certain.
    pub(crate) partitions: [AtomicU32; TOPICS.len()],
    /// All logs that there are, to be asked also when the broker is closed.
    pub(crate) logs: Mutex<Vec<(usize, Partition)>>,
    /// So that limits change one after the other.
    pub(crate) altering: Mutex<()>,
    pub(crate) notes: Mutex<Notes>,
}

/// What the acts leave.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) cut: Option<Cut>,
    /// What the next life begins with, if not with the same disk.
    pub(crate) image: Option<SimulatedDisk>,
    pub(crate) durable: Vec<(usize, u64, Moment)>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) deletions: Vec<Deletion>,
    pub(crate) altered: Vec<Altered>,
    pub(crate) passed: Vec<Passed>,
    /// Records that compaction took out, as it says.
    pub(crate) compacted: u64,
    /// What should not have failed.
    pub(crate) problems: Vec<String>,
}

impl Notes {
    /// Puts them to what threads have noted themselves.
    pub(crate) fn move_to(&mut self, life: &mut Life) {
        life.durable = std::mem::take(&mut self.durable);
        life.seen = std::mem::take(&mut self.seen);
        life.deletions = std::mem::take(&mut self.deletions);
        life.altered = std::mem::take(&mut self.altered);
        life.passed = std::mem::take(&mut self.passed);
    }
}

impl World {
    pub(crate) fn new(plan: &Plan, life: u64, broker: Broker, disk: Option<SimulatedDisk>, now: Moment) -> World {
        let partitions = TOPICS.map(|topic| {
            let description = broker.admin().describe(topic).unwrap();
            AtomicU32::new(u32::try_from(description.partitions().len()).unwrap())
        });
        let world = World {
            plan: plan.clone(),
            life,
            broker,
            disk,
            clock: Arc::new(AtomicU64::new(now)),
            sent: AtomicU64::new(0),
            delivered: (0..plan.group_count()).map(|_| AtomicU64::new(0)).collect(),
            passed: (0..plan.group_count()).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect(),
            acts: plan.acts(life),
            acts_begun: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            producers_left: AtomicUsize::new(plan.producers),
            partitions,
            logs: Mutex::default(),
            altering: Mutex::default(),
            notes: Mutex::default(),
        };
        world.note_logs();
        world
    }

    /// What is left when all threads have ended: the broker, what the acts have noted, and the next moment.
    pub(crate) fn end(self) -> (Broker, Notes, Moment) {
        // A closed one still says where it began.
        for (partition, log) in self.logs.lock().unwrap().iter() {
            let began = self.now();
            let (start, end) = (log.log_start_offset(), log.log_end_offset());
            let seen = Seen { partition: *partition, start, end, bytes: None, began, ended: self.now() };
            self.notes.lock().unwrap().seen.push(seen);
        }
        let now = self.now();
        (self.broker, self.notes.into_inner().unwrap(), now + 1)
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether there is more to send.
    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over() && self.sent.load(Ordering::SeqCst) < self.plan.records_per_life
    }

    /// Counts records, and does what is due by then.
    pub(crate) fn note_sent(&self, records: u64) {
        let sent = self.sent.fetch_add(records, Ordering::SeqCst) + records;
        loop {
            let begun = self.acts_begun.load(Ordering::SeqCst);
            let Some((at, act)) = self.acts.get(begun) else { return };
            if *at > sent {
                return;
            }
            // Whoever gets here first does it; the others go on sending meanwhile.
            if self.acts_begun.compare_exchange(begun, begun + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.act(*act);
            }
        }
    }

    pub(crate) fn note_delivered(&self, group: usize, records: u64) {
        self.delivered[group].fetch_add(records, Ordering::SeqCst);
    }

    /// Notes up to where a log was delivered. What there was below and was not counts as delivered, too.
    pub(crate) fn note_passed(&self, group: usize, log: usize, offset: u64, next: u64) {
        let before = self.passed[group][log].fetch_max(next, Ordering::SeqCst);
        if before > 0 {
            self.note_delivered(group, offset.saturating_sub(before));
        }
    }

    /// Keeps handles of the logs that are there.
    fn note_logs(&self) {
        let mut logs = self.logs.lock().unwrap();
        for (number, topic) in TOPICS.iter().enumerate() {
            let Ok(topic) = self.broker.topic(topic) else { continue };
            for (log, partition) in logs_of(number).zip(topic.partitions()) {
                if logs.iter().all(|(known, _)| *known != log) {
                    logs.push((log, partition));
                }
            }
        }
    }

    /// Lets consumers catch up for a while, so that they do something while there is sending.
    pub(crate) fn wait_for_consumers(&self) {
        let window = 20 * self.plan.piece_max;
        for _ in 0..200 {
            let slowest = self.delivered.iter().map(|delivered| delivered.load(Ordering::SeqCst)).min().unwrap_or(0);
            if self.is_over() || self.sent.load(Ordering::SeqCst) < slowest + window {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Notes what should not have failed. Whether the broker was closed by then is known only afterwards.
    pub(crate) fn failed(&self, action: &str, error: &Error) {
        let is_expected = match error {
            Error::Closed { .. } => self.ends_with(|act| act == Act::Close),
            // Closed between two pieces.
            Error::PartlySent { source, .. } if matches!(**source, Error::Closed { .. }) => {
                self.ends_with(|act| act == Act::Close)
            }
            Error::DiskFull { .. }
            | Error::Poisoned { .. }
            | Error::InDoubt { .. }
            | Error::PartlySent { .. }
            | Error::Io { .. } => {
                self.ends_with(|act| matches!(act, Act::FillDisk(_) | Act::FailSync(_) | Act::ShortWrite(_)))
            }
            _ => false,
        };
        if !is_expected {
            self.problem(format!("cannot {action}: {error} ({error:?})"));
        }
    }

    pub(crate) fn problem(&self, problem: String) {
        self.notes.lock().unwrap().problems.push(problem);
    }

    fn ends_with(&self, is_cause: impl Fn(Act) -> bool) -> bool {
        let begun = self.acts_begun.load(Ordering::SeqCst);
        self.acts.iter().take(begun).any(|(_, act)| is_cause(*act))
    }

    fn act(&self, act: Act) {
        match act {
            Act::AddPartition => self.add_partition(),
            Act::Flush => self.flush(),
            Act::Maintain(seconds) => self.maintain(Duration::from_secs(seconds)),
            Act::DeleteRecords { topic, percent } => self.delete_records(topic, percent),
            Act::Alter { topic, limits } => self.alter(topic, limits),
            Act::Compact { topic } => _ = self.compact(topic),
            Act::Close => self.close(),
            Act::Kill | Act::CutPower(_) | Act::FillDisk(_) | Act::FreeDisk | Act::FailSync(_) | Act::ShortWrite(_) => {
                if let Some(disk) = &self.disk {
                    self.act_on(disk, act);
                }
            }
        }
    }

    fn act_on(&self, disk: &SimulatedDisk, act: Act) {
        let failure = FaultRule::new;
        match act {
            Act::FillDisk(room) => disk.limit_capacity(Some(disk.used_bytes() + room)),
            Act::FreeDisk => disk.limit_capacity(None),
            Act::FailSync(nth) => disk.fail(failure(FaultKind::InputOutput).on(Operation::Sync).nth(nth)),
            Act::ShortWrite(nth) => disk.fail(failure(FaultKind::ShortWrite).nth(nth)),
            Act::Kill => self.cut(End::Killed, || disk.kill(self.plan.seed + self.life)),
            Act::CutPower(model) => self.cut(End::PowerCut, || disk.crash(self.plan.seed + self.life, model)),
            _ => {}
        }
    }

    fn cut(&self, end: End, image: impl Fn() -> SimulatedDisk) {
        self.note_durable();
        let before = self.now();
        let image = image();
        let after = self.now();
        image.limit_capacity(None);
        self.is_over.store(true, Ordering::SeqCst);
        let mut notes = self.notes.lock().unwrap();
        notes.cut = Some(Cut { end, before, after });
        notes.image = Some(image);
    }

    fn close(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Err(error) = self.broker.clone().close() {
            self.failed("close", &error);
        }
    }

    fn flush(&self) {
        match self.broker.flush() {
            Ok(()) => self.note_durable(),
            Err(error) => self.failed("flush", &error),
        }
    }

    fn note_durable(&self) {
        for (number, topic) in TOPICS.iter().enumerate() {
            let Ok(topic) = self.broker.topic(topic) else { continue };
            for (partition, log) in (0..).zip(topic.partitions()) {
                let offset = log.durable_offset();
                let at = self.now();
                self.notes.lock().unwrap().durable.push((log_of(number, partition), offset, at));
            }
        }
    }

    fn add_partition(&self) {
        let sent = usize::try_from(self.sent.load(Ordering::SeqCst)).unwrap();
        let topic = sent % TOPICS.len();
        let count = self.partitions[topic].load(Ordering::SeqCst) + 1;
        if count as usize > PARTITIONS_MAX {
            return;
        }
        match self.broker.admin().add_partitions(TOPICS[topic], count) {
            Ok(()) => {
                self.note_logs();
                self.partitions[topic].fetch_max(count, Ordering::SeqCst);
            }
            // Another thread was faster.
            Err(Error::InvalidConfig { .. }) => {}
            Err(error) => self.failed("add a partition", &error),
        }
    }

    /// For polls: on a simulated disk time stands still.
    pub(crate) fn poll_timeout(&self) -> Duration {
        match self.plan.place {
            Place::Simulated => Duration::ZERO,
            Place::Directory => Duration::from_millis(1),
        }
    }
}

/// What the checker is to know of the logs beforehand.
pub(crate) fn rules(plan: &Plan) -> [LogRules; LOGS] {
    std::array::from_fn(|log| {
        let topic = log / PARTITIONS_MAX;
        let keeping = &plan.keeping[topic];
        LogRules {
            is_always: topic == 2,
            segment_bytes: keeping.segment_bytes.into(),
            limits: keeping.limits,
            tombstone_ms: keeping.tombstone_ms,
        }
    })
}
