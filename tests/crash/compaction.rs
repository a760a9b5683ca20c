//! Compaction, stopped at every call: the power goes, the process is killed, calls fail.
//!
//! The failure that this is about: old segments are removed before the new ones count, or count without being there; a
//! superseded record goes while the one that supersedes it is lost; a tombstone goes before what it deletes. So a topic of
//! few keys is filled, compacted and reopened on a disk that stops at each changing call in turn, and what is left must fold
//! to the same map as what was sent up to the log's end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use ottla::testing::{Call, CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, CleanupPolicy, Compression, Durability, OwnedRecord, Partition, ProducerRecord, TopicConfig};

use crate::history::Checked;
use crate::oracle::Loss;
use crate::random::Random;
use crate::states::{End, budget};

const DIR: &str = "/data";
const BEGIN_MS: i64 = 1_700_000_000_000;
const DELETE_RETENTION: Duration = Duration::from_secs(24 * 3600);
const STEPS: u64 = 60;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    key: u8,
    value: Option<Vec<u8>>,
    at: Duration,
}

/// What was sent, by offset, and what was said of it.
#[derive(Debug, Clone, Default)]
struct History {
    /// The piece whose answer never came included.
    sent: Vec<Sent>,
    acked: usize,
    durable: usize,
    now: Duration,
}

struct Run {
    seed: u64,
    disk: SimulatedDisk,
    broker: Option<Broker>,
    history: History,
    random: Random,
    stop: Option<u64>,
}

fn durability(seed: u64) -> Durability {
    if seed.is_multiple_of(2) { Durability::Always } else { Durability::Os }
}

impl Run {
    fn on(disk: SimulatedDisk, history: History, seed: u64, random: u64) -> Run {
        Run { seed, disk, broker: None, history, random: Random::new(random), stop: None }
    }

    fn work(seed: u64, stop: Option<u64>) -> Checked<Run> {
        let disk = SimulatedDisk::new(seed);
        disk.set_now_ms(BEGIN_MS);
        let mut run = Run::on(disk, History::default(), seed, seed);
        run.stop = stop;
        if let Some(stop) = stop {
            run.disk.stop_after(stop);
        }
        let mut worked = run.open();
        for step in 0..STEPS {
            // What comes after the stop is refused, and nobody is there to be told.
            if run.is_stopped() {
                return Ok(run);
            }
            worked = worked.and_then(|()| run.step().map_err(|problem| format!("step {step}: {problem}")));
        }
        if run.is_stopped() { Ok(run) } else { worked.map(|()| run) }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| self.disk.calls() > stop)
    }

    fn open(&mut self) -> Checked {
        // Small batches and segments, so that there is always something to compact and to merge.
        let config = TopicConfig::new()
            .cleanup_policy(CleanupPolicy::Compact)
            .compression(if self.seed % 4 < 2 { Compression::None } else { Compression::Snappy })
            .segment_bytes(3000)
            .max_message_bytes(1200)
            .index_interval_bytes(500);
        let broker = Broker::builder(DIR)
            .disk(&self.disk)
            .background(false)
            .durability(durability(self.seed))
            .tail_bytes(1 << 20)
            .topic_defaults(config)
            .max_open_files(8)
            .open()
            .map_err(|e| format!("cannot open: {e}"))?;
        if let Some(damage) = broker.recovery_report().damage().next() {
            return Err(format!("damage was reported: {damage}"));
        }
        broker.topic("states").map_err(|e| format!("no topic: {e}"))?;
        self.broker = Some(broker);
        Ok(())
    }

    fn partition(&self) -> Checked<Partition> {
        let broker = self.broker.as_ref().ok_or("nothing is open")?;
        broker.topic("states").and_then(|topic| topic.partition(0)).map_err(|e| e.to_string())
    }

    fn step(&mut self) -> Checked {
        match self.random.below(100) {
            0..=64 => self.send(),
            65..=84 => self.maintain(),
            85..=90 => {
                let by = DELETE_RETENTION / 2;
                self.disk.advance(by);
                self.history.now += by;
                Ok(())
            }
            91..=94 => {
                let broker = self.broker.take().ok_or("nothing is open")?;
                broker.close().map_err(|e| format!("cannot close: {e}"))?;
                if !self.is_stopped() {
                    self.history.durable = self.history.acked;
                }
                self.open()
            }
            _ => self.check(None),
        }
    }

    fn send(&mut self) -> Checked {
        let count = 1 + self.random.below(3);
        let first = self.history.acked;
        self.history.sent.truncate(first);
        for _ in 0..count {
            let serial = self.history.sent.len() as u64;
            let bytes = usize::try_from(20 + self.random.below(300)).unwrap();
            let value = serial.to_be_bytes().iter().copied().cycle().take(bytes).collect();
            let value = Some(value).filter(|_| self.random.chance(75));
            let key = u8::try_from(self.random.below(5)).unwrap();
            self.history.sent.push(Sent { key, value, at: self.history.now });
        }
        let sent = &self.history.sent[first..];
        let keys: Vec<[u8; 1]> = sent.iter().map(|sent| [sent.key]).collect();
        let records: Vec<_> = sent
            .iter()
            .zip(&keys)
            .map(|(sent, key)| {
                let record = ProducerRecord::to("states").key(key);
                sent.value.iter().fold(record, ProducerRecord::value)
            })
            .collect();
        let partition = self.partition()?;
        let appended = partition.append_batch(&records).map_err(|e| format!("cannot send: {e}"))?;
        if appended != (first as u64..self.history.sent.len() as u64) {
            return Err(format!("sent at {appended:?}, not from {first} on"));
        }
        if !self.is_stopped() {
            self.history.acked = self.history.sent.len();
            self.history.durable = usize::try_from(partition.durable_offset()).unwrap().min(self.history.acked);
        }
        Ok(())
    }

    fn maintain(&mut self) -> Checked {
        let broker = self.broker.as_ref().ok_or("nothing is open")?;
        broker.run_maintenance().map_err(|e| format!("cannot maintain: {e}"))?;
        self.check(None)
    }

    /// Compares what is there with what was sent. After a loss, what is there is the truth from then on.
    fn check(&mut self, loss: Option<Loss>) -> Checked {
        let partition = self.partition()?;
        let end = usize::try_from(partition.log_end_offset()).unwrap();
        let required = match loss {
            Some(Loss::Power) if durability(self.seed) == Durability::Os => self.history.durable,
            _ => self.history.acked,
        };
        if end < required || end > self.history.sent.len() || partition.log_start_offset() != 0 {
            return Err(format!("{partition:?}, of {required} to {} records", self.history.sent.len()));
        }
        let found = partition.iter_from(0).collect::<Result<Vec<_>, _>>().map_err(|e| format!("cannot read: {e}"))?;
        compare(&found, &self.history.sent[..end], self.history.now)?;
        if loss.is_some() {
            self.history.sent.truncate(end);
            (self.history.acked, self.history.durable) = (end, end);
        }
        Ok(())
    }

    /// No file waits for anything once there was time.
    fn check_files(&self) -> Checked {
        let is_waiting = |path: &PathBuf| path.extension().is_some_and(|stage| stage == "cleaned" || stage == "swap");
        match self.disk.files().into_iter().map(|(path, _)| path).find(is_waiting) {
            Some(path) => Err(format!("{} is left behind", path.display())),
            None => Ok(()),
        }
    }
}

/// Whether `found` is what may be left of `sent`, up to the log's end.
fn compare(found: &[OwnedRecord], sent: &[Sent], now: Duration) -> Checked {
    if !found.is_sorted_by(|a, b| a.offset() < b.offset()) {
        return Err("offsets do not rise".to_owned());
    }
    for record in found {
        let is_it = |sent: &Sent| record.key() == Some(&[sent.key]) && record.value() == sent.value.as_deref();
        if !sent.get(usize::try_from(record.offset()).unwrap()).is_some_and(is_it) {
            return Err(format!("offset {} is not what was sent", record.offset()));
        }
    }
    let last: HashMap<u8, usize> = sent.iter().enumerate().map(|(offset, sent)| (sent.key, offset)).collect();
    for (key, offset) in last {
        let of_key = found.iter().filter(|record| record.key() == Some(&[key])).map(OwnedRecord::offset).max();
        let may_be_gone = sent[offset].value.is_none() && sent[offset].at + DELETE_RETENTION <= now;
        if of_key != Some(offset as u64) && !(of_key.is_none() && may_be_gone) {
            return Err(format!("of key {key} the last is {of_key:?}, not {offset}"));
        }
    }
    Ok(())
}

/// Opens what a crash left, checks it, goes on and crashes again. Returns how many calls opening took.
fn look_at(run: &Run, end: End, seed: u64, recovery: Option<(u64, End)>) -> Checked<u64> {
    let (mut image, mut loss) = (end.image(&run.disk, seed), end.loss());
    if let Some((stop, end)) = recovery {
        image.stop_after(stop);
        // Nobody is there to be told how it went.
        _ = Run::on(image.clone(), History::default(), run.seed, seed).open();
        image = end.image(&image, seed + 1);
        loss = if end == End::Kill { loss } else { Loss::Power };
    }
    let mut after = Run::on(image, run.history.clone(), run.seed, seed);
    after.open()?;
    let calls = after.disk.calls();
    after.check(Some(loss))?;
    after.check_files()?;
    for _ in 0..4 {
        after.send()?;
    }
    after.maintain().map_err(|problem| format!("going on: {problem}"))?;
    let mut random = Random::new(seed);
    let end = End::any(&mut random);
    let mut again = Run::on(end.image(&after.disk, seed + 2), after.history.clone(), run.seed, seed);
    again.open().and_then(|()| again.check(Some(end.loss()))).map_err(|p| format!("after {end:?} later on: {p}"))?;
    Ok(calls)
}

/// Whether stopping before this call is likely to show something: names and durability change little by little there, while
/// writes make files longer and nothing else.
fn is_telling(call: &Call) -> bool {
    let changes_names =
        matches!(call.operation, Operation::Sync | Operation::SyncDir | Operation::Rename | Operation::RemoveFile);
    call.operation.is_mutating()
        && (changes_names && call.path.starts_with("/data/states-0") || call.number.is_multiple_of(8))
}

#[test]
fn compaction_stopped_at_any_call_leaves_all_that_counts() {
    let states = budget(300);
    let (mut looked_at, mut seed) = (0, 0);
    while looked_at < states {
        let run = Run::work(seed, None).unwrap_or_else(|problem| panic!("workload {seed}: {problem}"));
        let log = run.disk.log();
        let stops: Vec<_> = log.iter().filter(|call| is_telling(call)).collect();
        let stride = (stops.len() as u64 * 10 / states).max(1);
        for stop in stops.iter().skip(usize::try_from(seed % stride).unwrap()).step_by(usize::try_from(stride).unwrap())
        {
            let (stop, operation) = (stop.number - 1, stop.operation);
            let run = Run::work(seed, Some(stop)).unwrap_or_else(|p| panic!("workload {seed} until {stop}: {p}"));
            let mut random = Random::new(seed << 32 | stop);
            // Which names survive is a matter of chance; where they are many, that is tried more often.
            let more = if operation == Operation::SyncDir { 8 } else { 0 };
            let subsets = std::iter::repeat_n(End::Cut(CrashModel::Subset), more);
            for end in End::ALL.into_iter().chain(subsets) {
                let image = random.below(1 << 16);
                let context = |p| panic!("{p}\nworkload {seed}, stopped after {stop}, {end:?}, {image}");
                let calls = look_at(&run, end, image, None).unwrap_or_else(context);
                looked_at += 1;
                if random.chance(40) {
                    let recovery = (random.below(calls), End::any(&mut random));
                    let context =
                        |p| panic!("{p}\nworkload {seed}, stopped after {stop}, {end:?}, {image}, {recovery:?}");
                    look_at(&run, end, image, Some(recovery)).unwrap_or_else(context);
                    looked_at += 1;
                }
            }
        }
        seed += 1;
    }
    println!("{looked_at} states of {seed} workloads hold");
}

/// Fails the `nth` call of one pass, goes on as if nothing were, and crashes. Whether there were so many calls.
fn fail(seed: u64, kind: FaultKind, nth: u64, is_forever: bool) -> Checked<bool> {
    let mut run = Run::work(seed, None)?;
    for _ in 0..30 {
        run.send()?;
    }
    let rule = FaultRule::new(kind).nth(nth);
    run.disk.fail(if is_forever { rule.forever() } else { rule });
    let before = run.disk.faults_injected();
    let broker = run.broker.clone().ok_or("nothing is open")?;
    let failed = broker.run_maintenance();
    let has_failed = run.disk.faults_injected() > before;
    run.disk.clear_faults();
    drop(broker);
    run.check(None).map_err(|problem| format!("after {failed:?}: {problem}"))?;
    let mut random = Random::new(nth);
    let end = End::any(&mut random);
    look_at(&run, end, nth, None).map_err(|problem| format!("{end:?} after {failed:?}: {problem}"))?;
    // What was begun is brought to its end by the next pass, or, where a failed sync has ended all writing, by opening.
    match run.send() {
        Err(problem) if problem.contains("refuses writes until reopened") => {
            run.broker = None;
            run.open()?;
            run.check(Some(Loss::Process))?;
        }
        sent => sent?,
    }
    for _ in 0..30 {
        run.send()?;
    }
    run.maintain().map_err(|problem| format!("maintaining again after {failed:?}: {problem}"))?;
    run.check_files().map_err(|problem| format!("after {failed:?}: {problem}"))?;
    let end = End::any(&mut random);
    look_at(&run, end, nth, None).map_err(|problem| format!("{end:?} later, after {failed:?}: {problem}"))?;
    Ok(has_failed)
}

#[test]
fn a_call_that_fails_during_compaction_costs_nothing_but_time() {
    let kinds = [FaultKind::StorageFull, FaultKind::TooManyOpenFiles, FaultKind::InputOutput];
    let states = budget(120);
    let (mut looked_at, mut seed) = (0, 0);
    while looked_at < states {
        for kind in kinds {
            for is_forever in [false, true] {
                let mut nth = 1 + seed % 7;
                loop {
                    let result = fail(seed, kind, nth, is_forever);
                    looked_at += 1;
                    if !result.unwrap_or_else(|p| panic!("{p}\nworkload {seed}, {kind:?} {nth}, {is_forever}")) {
                        break;
                    }
                    nth += if states < 1000 { 7 } else { 1 };
                }
            }
        }
        seed += 1;
    }
    println!("{looked_at} failures in {seed} workloads were borne");
}

/// The manifest says which segments were compacted. Both of its generations lost, gaps are taken for what they are all the same.
#[test]
fn a_lost_manifest_is_told_of_and_takes_nothing_with_it() {
    for seed in 0..4 {
        let mut run = Run::work(seed, None).unwrap();
        for _ in 0..40 {
            run.send().unwrap();
        }
        run.maintain().unwrap();
        run.broker.take().unwrap().close().unwrap();
        let path = format!("{DIR}/states-0/manifest");
        run.disk.put(&path, b"not a manifest");
        let told = run.open().unwrap_err();
        assert!(told.contains("damage was reported"), "seed {seed}: {told}");
        let broker = run.broker.take();
        assert!(broker.is_none());
        // What was set aside then is no damage to the next one.
        run.open().unwrap();
        run.check(Some(Loss::Process)).unwrap();
        run.send().unwrap();
        run.maintain().unwrap();
    }
}
