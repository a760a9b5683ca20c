//! A round: some lives of one data directory, the last of which is for reading all that is left.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Compression, Durability, TopicConfig, TopicPartition};

use crate::checker::{Checked, Checker, Totals};
use crate::consuming::{consume, drain};
use crate::data::{Data, read_all};
use crate::events::{Cut, End, Found, FoundLog, Id, Life, Seen, first_id_of};
use crate::keeping::{AGE_MS_MAX, SEGMENT_MS, limits_in};
use crate::plan::{GROUPS, LOGS, Place, Plan, TOPICS, log_of, logs_of};
use crate::producing::produce;
use crate::world::{World, rules};

/// What came of all lives of a round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lived {
    pub(crate) totals: Totals,
    pub(crate) lives: u64,
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    /// Members of groups.
    pub(crate) members: u64,
    /// Records below the starts of logs, in the end.
    pub(crate) deleted: u64,
    /// Records that compaction took out, when it was asked for.
    pub(crate) compacted: u64,
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
            checker: Checker::new(&rules(plan), plan.group_count(), are_durable),
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
        for ((topic, durability), keeping) in TOPICS.iter().zip(durabilities).zip(&self.plan.keeping) {
            let codec = if durability == Durability::Os { Compression::Snappy } else { Compression::None };
            let config = TopicConfig::new()
                .partitions(1 + u32::try_from(self.plan.seed % 2).unwrap())
                .durability(durability)
                .compression(codec);
            let config = keeping.configure(config, keeping.limits);
            broker.create_topic(topic, config).map_err(|e| format!("cannot create topic {topic}: {e}"))?;
        }
        Ok(())
    }

    fn find(&self, broker: &Broker) -> Checked<Found> {
        let mut logs = vec![FoundLog::default(); LOGS];
        let mut durable = vec![0; LOGS];
        let mut committed = vec![vec![None; LOGS]; self.plan.group_count()];
        for (number, name) in TOPICS.iter().enumerate() {
            let topic = broker.topic(name).map_err(|e| format!("topic {name}: {e}"))?;
            let description = broker.admin().describe(name).map_err(|e| e.to_string())?;
            let limits = limits_in(description.config());
            logs[logs_of(number)].iter_mut().for_each(|log| log.limits = limits);
            for ((partition, log), described) in (0..).zip(topic.partitions()).zip(description.partitions()) {
                let place = log_of(number, partition);
                logs[place] = FoundLog { bytes: described.log_bytes(), limits, ..read_all(&log)? };
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
        let (broker, mut notes, now) = world.end();
        drop(broker);
        self.now = now;
        self.lived.lives += 1;
        self.lived.members += life.members.len() as u64;
        if let Some(image) = notes.image.take() {
            self.data = Data::Simulated(image);
        } else if let Data::Simulated(disk) = &self.data {
            disk.clear_faults();
            disk.limit_capacity(None);
        }
        let cut = notes.cut.unwrap_or(Cut { end: End::Closed, before: now, after: now });
        self.lived.kills += u64::from(cut.end == End::Killed);
        self.lived.power_cuts += u64::from(cut.end == End::PowerCut);
        notes.move_to(&mut life);
        self.lived.compacted += notes.compacted;
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

    /// At last every group gets what it has not got yet, and logs come to hold no more than they are to.
    fn read_to_the_end(&mut self) -> Checked {
        let broker = self.open()?;
        let world = World::new(self.plan, self.plan.lives, broker, self.data.disk().cloned(), self.now);
        world.producers_left.store(0, Ordering::SeqCst);
        let kept = self.settle(&world, &[Duration::ZERO]);
        let members = (0..self.plan.group_count()).map(|group| drain(&world, group)).collect();
        let mut life = Life { members, ..Life::default() };
        let drained = world.now();
        world.look_at_all();
        // What is closed by the first is old enough at the second.
        let (segment, age) = (Duration::from_millis(SEGMENT_MS + 1), Duration::from_millis(AGE_MS_MAX + 1));
        let aged = self.settle(&world, &[segment, age]);
        let closed = self.compact_all(&world);
        let (broker, mut notes, _) = world.end();
        let cut = Cut { end: End::Closed, before: u64::MAX, after: u64::MAX };
        broker.close().map_err(|e| format!("cannot close: {e}"))?;
        notes.move_to(&mut life);
        self.lived.compacted += notes.compacted;
        self.before = Some((life, cut));
        if let Some(problem) = notes.problems.into_iter().next() {
            return Err(problem);
        }
        let Some((life, _)) = &self.before else { return Ok(()) };
        let checked = self.checker.check_life(life)?;
        self.add(checked);
        self.checker.check_all_delivered(drained)?;
        self.checker.check_maintained(&kept, false)?;
        self.checker.check_maintained(&aged, self.plan.place == Place::Simulated)?;
        // And once more, to see that closing has kept it.
        let broker = self.open()?;
        for (log, closed) in closed {
            self.checker.check_compacted(log, closed)?;
        }
        let all = |topic: &str| broker.topic(topic).map_err(|e| e.to_string()).map(|topic| topic.partitions());
        for topic in TOPICS {
            self.lived.deleted += all(topic)?.map(|log| log.log_start_offset()).sum::<u64>();
        }
        Ok(())
    }

    /// Does the maintenance, each time after so long. In a directory the broker's own thread may be at it, and is waited for.
    fn settle(&self, world: &World, passed: &[Duration]) -> Vec<Seen> {
        let begun = Instant::now();
        loop {
            let seen = world.settle(passed);
            let is_done = self.checker.check_maintained(&seen, false).is_ok();
            if is_done || self.plan.place == Place::Simulated || begun.elapsed() > Duration::from_secs(60) {
                return seen;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Compacts what can be. Up to where the logs are compacted then.
    fn compact_all(&self, world: &World) -> Vec<(usize, u64)> {
        let mut all = Vec::new();
        for topic in (0..TOPICS.len()).filter(|topic| self.plan.keeping[*topic].is_keyed()) {
            let logs = world.broker.topic(TOPICS[topic]).unwrap().partitions();
            let closed = logs.map(|log| self.data.active_base(log.topic_partition()));
            let closed: Vec<_> = logs_of(topic).zip(closed).collect();
            if world.compact(topic) {
                all.extend(closed);
            }
        }
        all
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
            for seen in &life.seen {
                _ = writeln!(text, "{seen:?}");
            }
            for deletion in &life.deletions {
                _ = writeln!(text, "{deletion:?}");
            }
            for altered in &life.altered {
                _ = writeln!(text, "{altered:?}");
            }
            for passed in &life.passed {
                _ = writeln!(text, "{passed:?}");
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
