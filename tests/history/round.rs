//! A round: some lives of one data directory, the last of which is for reading all that is left.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Compression, Durability, Partition, TopicConfig, TopicPartition};

use crate::checker::{Checked, Checker, Totals};
use crate::consuming::{consume, drain};
use crate::events::{Cut, End, Found, Id, Life, first_id_of};
use crate::plan::{GROUPS, LOGS, Place, Plan, TOPICS, log_of};
use crate::producing::{id_in, produce};
use crate::world::{World, always_durable};

/// What is read at a time when everything is.
const READ_BYTES: usize = 1 << 20;

/// The data directory between two lives.
enum Data {
    Simulated(SimulatedDisk),
    Directory(tempfile::TempDir),
}

impl Data {
    fn path(&self) -> PathBuf {
        match self {
            Data::Simulated(_) => PathBuf::from("/data"),
            Data::Directory(dir) => dir.path().to_owned(),
        }
    }

    fn disk(&self) -> Option<&SimulatedDisk> {
        match self {
            Data::Simulated(disk) => Some(disk),
            Data::Directory(_) => None,
        }
    }
}

/// What came of all lives of a round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lived {
    pub(crate) totals: Totals,
    pub(crate) lives: u64,
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    /// Members of groups.
    pub(crate) members: u64,
}

/// Runs a round and checks it. A history in which something does not hold is kept in a file, and the message says where.
pub(crate) fn run(plan: &Plan) -> Lived {
    let mut round = Round::new(plan);
    let lived = round.live();
    lived.unwrap_or_else(|problem| {
        let path = std::env::temp_dir().join(format!("ottla-history-{}.txt", plan.seed));
        let kept = round.keep(&path, &problem);
        panic!(
            "{problem}\nlife {} of {plan:?}\nthe history is in {} ({kept:?})\nagain: OTTLA_HISTORY_SEED={} cargo test --all-features --test history",
            round.lived.lives,
            path.display(),
            plan.seed,
        )
    })
}

struct Round<'p> {
    plan: &'p Plan,
    data: Data,
    checker: Checker,
    next_ids: Vec<Id>,
    now: u64,
    /// The life before, and its end.
    before: Option<(Life, Cut)>,
    lived: Lived,
}

impl Round<'_> {
    fn new(plan: &Plan) -> Round<'_> {
        let data = match plan.place {
            Place::Simulated => Data::Simulated(SimulatedDisk::new(plan.seed)),
            Place::Directory => Data::Directory(tempfile::tempdir().unwrap()),
        };
        let are_durable = plan.durability == Durability::Always;
        Round {
            plan,
            data,
            checker: Checker::new(&always_durable(), plan.group_count(), are_durable),
            next_ids: (0..plan.producers).map(first_id_of).collect(),
            now: 1,
            before: None,
            lived: Lived::default(),
        }
    }

    fn live(&mut self) -> Checked<Lived> {
        for life in 0..self.plan.lives {
            self.live_once(life)?;
        }
        self.read_to_the_end()?;
        let Totals { redelivered, .. } = self.lived.totals;
        if self.plan.is_calm && redelivered > 0 {
            return Err(format!("nobody died and nothing failed, and {redelivered} records were delivered twice"));
        }
        Ok(self.lived)
    }

    /// Opens the broker, and compares what is there with the life before.
    fn open(&mut self) -> Checked<Broker> {
        let builder = Broker::builder(self.data.path()).durability(self.plan.durability).max_open_files(64);
        let builder = match &self.data {
            // Time passes, and maintenance is done, when the plan says so.
            Data::Simulated(disk) => builder.disk(disk).background(false).tail_bytes(4 << 20),
            Data::Directory(_) => builder,
        };
        let broker = builder.open().map_err(|e| format!("cannot open: {e}"))?;
        if let Some(damage) = broker.recovery_report().damage().next() {
            return Err(format!("damage was reported: {damage}"));
        }
        match self.before.take() {
            None => self.create_topics(&broker)?,
            Some((life, cut)) => {
                let found = self.find(&broker)?;
                let checked = self.checker.check_opening(&life, cut, &found);
                self.before = Some((life, cut));
                checked?;
            }
        }
        Ok(broker)
    }

    fn create_topics(&self, broker: &Broker) -> Checked {
        let durabilities = [Durability::Os, Durability::Interval(Duration::from_secs(5)), Durability::Always];
        for (topic, durability) in TOPICS.iter().zip(durabilities) {
            let codec = if durability == Durability::Os { Compression::Snappy } else { Compression::None };
            let config = TopicConfig::new()
                .partitions(1 + u32::try_from(self.plan.seed % 2).unwrap())
                .segment_bytes(self.plan.segment_bytes)
                .durability(durability)
                .compression(codec);
            broker.create_topic(topic, config).map_err(|e| format!("cannot create topic {topic}: {e}"))?;
        }
        Ok(())
    }

    fn find(&self, broker: &Broker) -> Checked<Found> {
        let mut logs = vec![Vec::new(); LOGS];
        let mut durable = vec![0; LOGS];
        let mut committed = vec![vec![None; LOGS]; self.plan.group_count()];
        for (number, name) in TOPICS.iter().enumerate() {
            let topic = broker.topic(name).map_err(|e| format!("topic {name}: {e}"))?;
            for (partition, log) in (0..).zip(topic.partitions()) {
                let place = log_of(number, partition);
                logs[place] = read_all(&log)?;
                durable[place] = log.durable_offset();
                for (group, committed) in GROUPS.iter().zip(&mut committed) {
                    let found = broker.committed(group, &TopicPartition::new(*name, partition));
                    committed[place] = found.map_err(|e| e.to_string())?.map(|committed| committed.offset());
                }
            }
        }
        Ok(Found { logs, durable, committed })
    }

    fn live_once(&mut self, number: u64) -> Checked {
        let broker = self.open()?;
        let world = World::new(self.plan, number, broker, self.data.disk().cloned(), self.now);
        let mut life = Life::default();
        thread::scope(|scope| {
            let producers: Vec<_> = (0..)
                .zip(&mut self.next_ids)
                .map(|(number, next_id)| {
                    let world = &world;
                    scope.spawn(move || {
                        // However it ends, nobody is to wait for it.
                        let _end = Ending(world);
                        produce(world, number, next_id)
                    })
                })
                .collect();
            let consumers: Vec<_> = (0..self.plan.consumers)
                .map(|number| {
                    scope.spawn({
                        let world = &world;
                        move || consume(world, number)
                    })
                })
                .collect();
            life.pieces = producers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            life.members = consumers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        });
        let (broker, notes, now) = world.end();
        drop(broker);
        self.now = now;
        self.lived.lives += 1;
        self.lived.members += life.members.len() as u64;
        if let Some(image) = notes.image {
            self.data = Data::Simulated(image);
        } else if let Data::Simulated(disk) = &self.data {
            disk.clear_faults();
            disk.limit_capacity(None);
        }
        let cut = notes.cut.unwrap_or(Cut { end: End::Closed, before: now, after: now });
        self.lived.kills += u64::from(cut.end == End::Killed);
        self.lived.power_cuts += u64::from(cut.end == End::PowerCut);
        life.durable = notes.durable;
        self.before = Some((life, cut));
        if let Some(problem) = notes.problems.into_iter().next() {
            return Err(problem);
        }
        let Some((life, _)) = &self.before else { return Ok(()) };
        let checked = self.checker.check_life(life)?;
        self.add(checked);
        Ok(())
    }

    fn add(&mut self, checked: Totals) {
        let totals = &mut self.lived.totals;
        totals.sent += checked.sent;
        totals.delivered += checked.delivered;
        totals.redelivered += checked.redelivered;
    }

    /// At last every group gets what it has not got yet.
    fn read_to_the_end(&mut self) -> Checked {
        let broker = self.open()?;
        let world = World::new(self.plan, self.plan.lives, broker, self.data.disk().cloned(), self.now);
        world.producers_left.store(0, Ordering::SeqCst);
        let members = (0..self.plan.group_count()).map(|group| drain(&world, group)).collect();
        let life = Life { members, ..Life::default() };
        let (broker, notes, _) = world.end();
        let cut = Cut { end: End::Closed, before: u64::MAX, after: u64::MAX };
        broker.close().map_err(|e| format!("cannot close: {e}"))?;
        self.before = Some((life, cut));
        if let Some(problem) = notes.problems.into_iter().next() {
            return Err(problem);
        }
        let Some((life, _)) = &self.before else { return Ok(()) };
        let checked = self.checker.check_life(life)?;
        self.add(checked);
        self.checker.check_all_delivered()?;
        // And once more, to see that closing has kept it.
        self.open().map(drop)
    }

    /// Writes down the last life.
    fn keep(&self, path: &Path, problem: &str) -> std::io::Result<()> {
        let mut text = format!("{problem}\n{:?}\n", self.plan);
        if let Some((life, cut)) = &self.before {
            _ = writeln!(text, "{cut:?}");
            for (at, act) in self.plan.acts(self.lived.lives.saturating_sub(1)) {
                _ = writeln!(text, "once {at} records were sent: {act:?}");
            }
            for durable in &life.durable {
                _ = writeln!(text, "durable (partition, offset, at): {durable:?}");
            }
            for piece in &life.pieces {
                _ = writeln!(text, "{piece:?}");
            }
            for (number, member) in life.members.iter().enumerate() {
                for step in &member.steps {
                    _ = writeln!(text, "member {number} of group {}: {step:?}", member.group);
                }
            }
        }
        std::fs::write(path, text)
    }
}

/// Says that a producer has ended, also if it panics.
struct Ending<'w>(&'w World);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.producers_left.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All records of a log.
fn read_all(log: &Partition) -> Checked<Vec<Id>> {
    let name = log.topic_partition();
    let mut ids = Vec::new();
    loop {
        let records = log.read(ids.len() as u64, READ_BYTES).map_err(|e| format!("{name}: {e}"))?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            if record.offset() != ids.len() as u64 {
                return Err(format!("{name}: offset {} where {} should be", record.offset(), ids.len()));
            }
            let id = id_in(record.value());
            ids.push(id.ok_or_else(|| format!("{name}: nobody sent what is at {}", record.offset()))?);
        }
    }
    if ids.len() as u64 == log.log_end_offset() {
        Ok(ids)
    } else {
        Err(format!("{name}: {log:?} ends at {}", ids.len()))
    }
}
