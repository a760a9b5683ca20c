//! A round: some lives of one data directory, the last of which finishes the work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Isolation, Partition, TopicConfig, TopicPartition};

use super::checker::Checker;
use super::events::{Attempt, Found, FoundLog, Life, Outcome, Value};
use super::plan::{GROUP, INPUT, OUTPUTS, Plan, TOPICS, WORKERS_MAX};
use super::watching::{fill, read, send_plainly};
use super::working::{self, Done, checkpoint_in, finish, open_name, rival};
use super::world::{Notes, World};
use crate::checker::Checked;
use crate::events::{Cut, End};

/// What came of all lives of a round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lived {
    pub(crate) inputs: u64,
    pub(crate) committed: u64,
    pub(crate) aborted: u64,
    /// Whose outcome nobody was told.
    pub(crate) unknown: u64,
    pub(crate) read: u64,
    pub(crate) lives: u64,
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) compacted: u64,
}

impl Lived {
    pub(crate) fn add(&mut self, other: &Lived) {
        self.inputs += other.inputs;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unknown += other.unknown;
        self.read += other.read;
        self.lives += other.lives;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.compacted += other.compacted;
    }
}

/// Runs a round and checks it. A history in which something does not hold is kept in a file, and the message says where.
pub(crate) fn run(plan: &Plan) -> Lived {
    let mut round = Round {
        plan,
        disk: SimulatedDisk::new(plan.seed),
        checker: Checker::new(plan),
        now: 1,
        before: None,
        lived: Lived::default(),
    };
    round.live().unwrap_or_else(|problem| {
        let path = std::env::temp_dir().join(format!("ottla-transactions-{}.txt", plan.seed));
        let kept = round.keep(&path, &problem);
        panic!(
            "{problem}\nlife {} of {plan:?}\nthe history is in {} ({kept:?})\nagain: OTTLA_HISTORY_SEED={} cargo test --all-features --test history transactions",
            round.lived.lives,
            path.display(),
            plan.seed,
        )
    })
}

struct Round<'p> {
    plan: &'p Plan,
    disk: SimulatedDisk,
    checker: Checker,
    now: u64,
    /// The life before, and its end.
    before: Option<(Life, Cut)>,
    lived: Lived,
}

impl Round<'_> {
    fn live(&mut self) -> Checked<Lived> {
        for life in 0..self.plan.lives {
            let broker = self.open()?;
            let world = World::new(self.plan, life, broker, self.disk.clone(), self.now);
            let (history, left) = self.run_threads(world);
            let has_undurable = left.1.has_undurable;
            self.take(history, left)?;
            let is_cut = self.before.as_ref().is_some_and(|(_, cut)| cut.end == End::PowerCut);
            if has_undurable && is_cut {
                return Ok(self.lived);
            }
        }
        self.finish()?;
        Ok(self.lived)
    }

    /// Opens the broker, and compares what is there with the life before.
    fn open(&mut self) -> Checked<Broker> {
        let builder = Broker::builder("/data").disk(&self.disk).background(false);
        let builder = builder.durability(self.plan.durability()).tail_bytes(1 << 20).max_open_files(32);
        let broker = builder.open().map_err(failed("open"))?;
        if let Some(damage) = broker.recovery_report().damage().next() {
            return Err(format!("damage was reported: {damage}"));
        }
        match self.before.take() {
            None => self.create_topics(&broker)?,
            Some((life, cut)) => {
                let found = self.find(&broker)?;
                let checked = self.checker.check_opening(&life, cut, &found);
                self.before = Some((life, cut));
                checked.map_err(|problem| format!("{problem}, after {:?}", cut.end))?;
            }
        }
        Ok(broker)
    }

    fn create_topics(&self, broker: &Broker) -> Checked {
        let input = TopicConfig::new().partitions(u32::try_from(self.plan.inputs).unwrap()).segment_bytes(4000);
        broker.create_topic(INPUT, input).map_err(failed("create the input"))?;
        for (number, topic) in TOPICS.iter().enumerate() {
            broker.create_topic(topic, self.plan.config_of(number)).map_err(failed("create a topic"))?;
        }
        Ok(())
    }

    /// What is there before anybody does anything.
    fn find(&self, broker: &Broker) -> Checked<Found> {
        let open = broker.admin().list_transactions().map_err(failed("list"))?;
        let mut found = Found { open: open.iter().filter(|one| one.is_open()).count(), ..Found::default() };
        for (topic, partition) in OUTPUTS {
            let log = broker.existing_topic(topic).and_then(|topic| topic.partition(partition));
            found.logs.push(read_log(&log.map_err(failed("find a log"))?)?);
        }
        for partition in 0..u32::try_from(self.plan.inputs).unwrap() {
            let committed =
                broker.committed(GROUP, &TopicPartition::new(INPUT, partition)).map_err(failed("committed"))?;
            found.positions.push(committed.map_or(0, |committed| committed.offset()));
        }
        for name in 0..self.plan.workers {
            let producer = open_name(broker, name).map_err(failed("open a name"))?;
            found.checkpoints.push(checkpoint_in(&producer));
        }
        Ok(found)
    }

    fn run_threads(&self, world: World) -> (Life, (Broker, Notes, u64)) {
        let mut life = Life::default();
        let plan = self.plan;
        thread::scope(|scope| {
            let world = &world;
            let workers: Vec<_> =
                (0..plan.workers).map(|name| scope.spawn(move || working::work(world, name))).collect();
            let rival = plan.has_rivals.then(|| scope.spawn(move || rival(world)));
            scope.spawn(move || fill(world, WORKERS_MAX + 1));
            let beside = scope.spawn(move || send_plainly(world, WORKERS_MAX + 2));
            let isolations = [Isolation::ReadCommitted, Isolation::ReadUncommitted];
            let readers = isolations
                .map(|isolation| scope.spawn(move || read(world, usize::from(isolation == isolations[1]), isolation)));
            for worker in workers.into_iter().chain(rival) {
                add(&mut life, worker.join().unwrap());
            }
            life.attempts.extend(beside.join().unwrap());
            for reader in readers {
                life.reads.extend(reader.join().unwrap());
            }
        });
        (life, world.end())
    }

    /// What a life has left: the checker looks at it, and the next one begins with that.
    fn take(&mut self, mut life: Life, (broker, mut notes, now): (Broker, Notes, u64)) -> Checked {
        drop(broker);
        self.now = now;
        if let Some(image) = notes.image.take() {
            self.disk = image;
        } else {
            self.disk.clear_faults();
            self.disk.limit_capacity(None);
        }
        let cut = notes.cut.unwrap_or(Cut { end: End::Closed, before: now, after: now, shows_old: false });
        life.samples = std::mem::take(&mut notes.samples);
        self.count(&life, cut, &notes);
        self.before = Some((life, cut));
        if let Some(problem) = notes.problems.into_iter().next() {
            return Err(problem);
        }
        self.before.as_ref().map_or(Ok(()), |(life, _)| self.checker.check_life(life))
    }

    fn count(&mut self, life: &Life, cut: Cut, notes: &Notes) {
        let lived = &mut self.lived;
        for attempt in life.attempts.iter().filter(|attempt| !attempt.is_plain()) {
            match attempt.outcome {
                Outcome::Committed => {
                    lived.committed += 1;
                    lived.inputs += attempt.inputs.len() as u64;
                }
                Outcome::Aborted => lived.aborted += 1,
                Outcome::Unknown => lived.unknown += 1,
            }
        }
        lived.read += life.reads.iter().map(|read| read.records.len() as u64).sum::<u64>();
        lived.lives += 1;
        lived.kills += u64::from(cut.end == End::Killed);
        lived.power_cuts += u64::from(cut.end == End::PowerCut);
        lived.compacted += notes.compacted;
    }

    /// At last all of the input is dealt with, and that is there when the directory is opened once more.
    fn finish(&mut self) -> Checked {
        let broker = self.open()?;
        let world = World::new(self.plan, self.plan.lives, broker, self.disk.clone(), self.now).calm();
        let mut life = Life::default();
        add(&mut life, finish(&world));
        let inputs = world.broker.existing_topic(INPUT).map_err(failed("find the input"))?;
        let ends: Vec<u64> = inputs.partitions().map(|log| log.log_end_offset()).collect();
        drop(inputs);
        self.take(life, world.end())?;
        drop(self.open()?);
        self.checker.check_all_done(&ends)
    }

    /// Writes down the last life.
    fn keep(&self, path: &Path, problem: &str) -> std::io::Result<()> {
        let mut text = format!("{problem}\n{:?}\n", self.plan);
        for (at, act) in self.plan.acts(self.lived.lives.saturating_sub(1)) {
            _ = writeln!(text, "once {at} turns were taken: {act:?}");
        }
        if let Some((life, cut)) = &self.before {
            _ = writeln!(text, "{cut:?}");
            for (number, holder) in life.holders.iter().enumerate() {
                _ = writeln!(text, "holder {number}: {holder:?}");
            }
            for attempt in &life.attempts {
                _ = writeln!(text, "{attempt:?}");
            }
            for read in &life.reads {
                _ = writeln!(text, "{read:?}");
            }
            for sample in &life.samples {
                _ = writeln!(text, "{sample:?}");
            }
        }
        std::fs::write(path, text)
    }
}

/// Takes what a thread has done to what others have.
fn add(life: &mut Life, done: Done) {
    let first = life.holders.len();
    life.holders.extend(done.holders);
    life.attempts.extend(
        done.attempts
            .into_iter()
            .map(|attempt| Attempt { holder: attempt.holder.map(|holder| holder + first), ..attempt }),
    );
}

fn failed(what: &str) -> impl Fn(ottla::Error) -> String {
    move |error| format!("cannot {what}: {}", error.with_causes())
}

/// A log as readers of committed records see it.
fn read_log(log: &Partition) -> Checked<FoundLog> {
    let (start, stable, end) = (log.log_start_offset(), log.last_stable_offset(), log.high_watermark());
    let mut records = BTreeMap::new();
    for record in log.iter_from(start) {
        let record = record.map_err(failed("read a log"))?;
        let value = record.value().and_then(Value::from_bytes);
        let value = value.ok_or_else(|| format!("a record that nobody sent: {record:?}"))?;
        records.insert(record.offset(), value);
    }
    Ok(FoundLog { start, stable, end, records })
}
