//! An application that uses everything, in an order that follows from a seed, until its machine stops or its work is done; and
//! beside it, the history of what it was told.

mod consuming;
mod durability;
mod sending;
mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, BudgetPolicy, Consumer, Durability, Error, PartitionRecovery, TopicPartition};

use crate::history::{Checked, History};
use crate::random::Random;

/// The only group.
pub(crate) const GROUP: &str = "group";
const DIR: &str = "/data";
/// The topic that comes and goes.
const PASSING: &str = "passing";

/// What a workload is like, besides what it does.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
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
    /// What all files may take before the oldest records go, if that is bounded.
    pub(crate) budget_bytes: Option<u64>,
    /// Whether the file system writes overwritten blocks elsewhere, so that the tail is written by calls.
    is_copy_on_write: bool,
    /// Whether full batches wait in their slots, as they do while a thread seals them, and many records are sent at a time.
    leaves_full: bool,
}

impl Settings {
    pub(crate) fn of(seed: u64) -> Settings {
        let durability = if seed.is_multiple_of(2) { Durability::Always } else { Durability::Os };
        let has_budget = seed % 4 == 1;
        let tail_bytes = if has_budget || seed.is_multiple_of(3) { 1 << 20 } else { 4 << 20 };
        // Two tails, what is kept for internal topics, and little besides.
        let budget_bytes = has_budget.then_some(3 * (1 << 20) + 2 * 4096 + 250_000);
        let (is_large, moves_group, is_copy_on_write) = (seed % 5 == 4, seed % 4 >= 2, seed % 5 == 1);
        let leaves_full = seed % 6 == 5;
        Settings {
            seed,
            durability,
            tail_bytes,
            steps: 40,
            is_large,
            moves_group,
            budget_bytes,
            is_copy_on_write,
            leaves_full,
        }
    }

    /// Whether the durability of topics is altered again and again.
    fn alters_often(&self) -> bool {
        self.seed % 3 == 1
    }

    fn new_disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new(self.seed);
        if self.is_copy_on_write {
            disk.copy_on_write();
        }
        disk
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
        let mut run = Run::on(settings.new_disk(), History::default(), settings, settings.seed);
        run.work_on()?;
        Ok(run)
    }

    /// Does the whole work on a new disk once, and returns every moment at which the machine might have stopped.
    pub(crate) fn record(settings: Settings) -> Checked<Vec<Stop>> {
        let mut run = Run::on(settings.new_disk(), History::default(), settings, settings.seed);
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
            return Ok(Run::on(settings.new_disk(), History::default(), settings, settings.seed));
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

    /// Opens the broker. Not being able to, or to serve each partition, is an error only if nothing was made to fail.
    pub(crate) fn open(&mut self) -> Checked {
        let builder = match self.settings.budget_bytes {
            Some(bytes) => Broker::builder(DIR).disk_budget(bytes, BudgetPolicy::DropOldest),
            None => Broker::builder(DIR),
        };
        let builder = if self.settings.leaves_full { builder.leaves_full_batches() } else { builder };
        let opened = builder
            .disk(&self.disk)
            .background(false)
            .durability(self.settings.durability)
            .tail_bytes(self.settings.tail_bytes)
            .max_open_files(8)
            .open();
        let refused =
            |broker: &Broker| broker.recovery_report().partitions().iter().find_map(PartitionRecovery::failure);
        match opened.and_then(|broker| refused(&broker).map_or(Ok(broker), Err)) {
            Ok(broker) => self.broker = Some(broker),
            Err(error) => self.failed("open", error)?,
        }
        Ok(())
    }

    /// An error: expected if calls fail, a finding otherwise.
    fn failed(&mut self, action: &'static str, error: Error) -> Checked {
        // With a few open batches there may be nothing that can go for another one.
        if self.settings.budget_bytes.is_some() && matches!(error, Error::OverBudget { .. }) {
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
            // After an error, what is there is to be looked at before anything is added.
            return if self.errors.is_empty() { self.open() } else { Ok(()) };
        }
        match (step, self.random.below(100)) {
            (0, _) => self.create_topic("always"),
            (1, _) => self.create_topic("os"),
            (2, _) => self.create_topic("interval"),
            (3.., draw) if self.settings.alters_often() && (85..95).contains(&draw) => self.alter_durability(),
            (_, 0..=9) if self.settings.leaves_full => self.send_many(),
            (_, 0..=34) => self.send(),
            (_, 35..=49) => self.send_batch(),
            (_, 50..=57) => self.poll(),
            (_, 58..=65) => self.commit(),
            (_, 66..=69) => self.read(),
            (_, 70..=71) => self.delete_records(),
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
            (_, 97..=98) => self.alter_durability(),
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

    fn a_partition(&mut self) -> Option<TopicPartition> {
        self.random.choose(&self.history.partitions()).cloned()
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
}

/// What a failing disk may make of a call.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::DiskFull { .. }
            | Error::Io { .. }
            | Error::Poisoned { .. }
            | Error::NotDurable { .. }
            | Error::InDoubt { .. }
            // The topic was being deleted when the disk failed.
            | Error::TopicExists { .. }
            | Error::UnknownTopic { .. }
            | Error::Closed { .. }
    )
}
