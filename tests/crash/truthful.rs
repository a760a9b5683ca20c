//! Whatever an error of a sending call says of its records is true: before the broker is opened again, and afterwards.
//!
//! The failure that this is about: a send says that the disk is full and nothing was appended, the application sends the record
//! again once there is room, and then it is there twice; or a send says nothing of it, and nobody knows whether to send again.
//! So every call to the disk fails once, in every way that it can, while every sending call is made; then all is read, on the
//! same broker, after a kill, after closing and after a power cut, and compared with what each error said.

use std::collections::BTreeSet;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, DefaultPartitioner, Durability, Error, Partition, Producer,
    ProducerConfig, ProducerRecord, Result, SendOutcome, Topic, TopicConfig, TopicPartition,
};

use crate::history::Checked;
use crate::parallel::in_parallel;
use crate::sites::KINDS;

/// More than goes through the tail.
const LARGE: usize = 70_000;
/// Failures that are looked at unless `OTTLA_CRASH_FAULTS` says otherwise.
const FAILURES: usize = 250;
const PARTITIONS: u32 = 2;
/// As many files as are open at a time, and the fewest that may be.
const CROWD: u32 = 8;

/// What the broker is like when calls begin to fail.
#[derive(Debug, Clone, Copy)]
struct Scene {
    durability: Durability,
    /// A process was killed before: it may have left something to be written once more.
    was_killed: bool,
    /// The tail is written by calls, which can fail.
    is_copy_on_write: bool,
}

const SCENES: [Scene; 6] = [
    Scene { durability: Durability::Always, was_killed: false, is_copy_on_write: false },
    Scene { durability: Durability::Os, was_killed: false, is_copy_on_write: false },
    Scene { durability: Durability::Always, was_killed: true, is_copy_on_write: false },
    Scene { durability: Durability::Os, was_killed: true, is_copy_on_write: false },
    Scene { durability: Durability::Always, was_killed: false, is_copy_on_write: true },
    Scene { durability: Durability::Os, was_killed: true, is_copy_on_write: true },
];

/// One kind of failure, from the `nth` call on that can fail so.
#[derive(Debug, Clone, Copy)]
struct Failure {
    scene: Scene,
    kind: FaultKind,
    nth: u64,
    forever: bool,
    /// How it fails to cut off again what a failed write has left.
    cut: Option<FaultKind>,
}

#[test]
fn what_an_error_says_of_the_records_is_what_is_read_afterwards() {
    let limit = std::env::var("OTTLA_CRASH_FAULTS").ok().and_then(|limit| limit.parse().ok()).unwrap_or(FAILURES);
    let kinds: Vec<_> = SCENES.into_iter().flat_map(failures_in).collect();
    let of_each = limit.div_ceil(kinds.len()).max(1);
    let some_of = |all: &Vec<Failure>| all.iter().step_by((all.len() / of_each).max(1)).copied().collect::<Vec<_>>();
    let chosen: Vec<_> = kinds.iter().flat_map(some_of).collect();
    let outcomes =
        in_parallel(&chosen, |failure| look_at(*failure).map_err(|problem| format!("{problem}\n{failure:?}")));
    let outcomes = outcomes.unwrap_or_else(|problem| panic!("{problem}"));
    let count = |wanted| outcomes.iter().flatten().filter(|outcome| **outcome == wanted).count();
    let counts = [SendOutcome::NotAppended, SendOutcome::Appended, SendOutcome::Partly, SendOutcome::Unknown]
        .map(|outcome| (outcome, count(outcome)));
    let all = kinds.iter().map(Vec::len).sum::<usize>();
    println!("{} of {all} failures looked at: {counts:?}", chosen.len());
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

/// Every failure that the work in a scene can meet, by kind.
fn failures_in(scene: Scene) -> Vec<Vec<Failure>> {
    let mut work = Work::begin(scene).unwrap();
    let before = work.disk.calls();
    work.send_everything();
    let calls: Vec<_> = work.disk.log().into_iter().filter(|call| call.number > before).collect();
    assert!(work.pieces.iter().all(|piece| piece.fate == Fate::Sent), "nothing fails");
    let of_kind = |(kind, _): (FaultKind, &str)| {
        let count = calls.iter().filter(|call| kind.applies_to(call.operation)).count() as u64;
        let cuts = [None, Some(FaultKind::InputOutput), Some(FaultKind::StorageFull)];
        let cuts = cuts.into_iter().filter(move |cut| cut.is_none() || kind == FaultKind::ShortWrite);
        let kinds = cuts.flat_map(|cut| [(cut, false), (cut, true)]);
        kinds.map(move |(cut, forever)| (1..=count).map(|nth| Failure { scene, kind, nth, forever, cut }).collect())
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// Has the work meet a failure, and compares. Returns what the errors said.
fn look_at(failure: Failure) -> Checked<Vec<SendOutcome>> {
    let mut work = Work::begin(failure.scene).map_err(|e| format!("cannot begin: {e}"))?;
    if let Some(cut) = failure.cut {
        work.disk.fail(FaultRule::new(cut).on(Operation::SetSize).forever());
    }
    let rule = FaultRule::new(failure.kind).nth(failure.nth);
    work.disk.fail(if failure.forever { rule.forever() } else { rule });
    work.send_everything();
    work.disk.clear_faults();
    work.check_errors()?;
    work.check_before_reopening(failure.kind).map_err(|problem| format!("before reopening: {problem}"))?;
    let Work { disk, broker, pieces, commits, outcomes, .. } = work;
    let check = |disk: &SimulatedDisk, is_power_cut| {
        let broker = open(disk, failure.scene).map_err(|e| format!("cannot be opened: {e}"))?;
        check_pieces(&broker, &pieces, if is_power_cut { Moment::PowerCut } else { Moment::Reopened })?;
        if is_power_cut { Ok(()) } else { check_commit(&broker, &commits.after_reopening()) }
    };
    check(&disk.kill(failure.nth), false).map_err(|problem| format!("after a kill: {problem}"))?;
    let cut = disk.crash(failure.nth, CrashModel::Subset);
    check(&cut, true).map_err(|problem| format!("after a power cut: {problem}"))?;
    // What cannot be closed cleanly is recovered.
    _ = broker.close();
    check(&disk, false).map_err(|problem| format!("after closing: {problem}"))?;
    Ok(outcomes)
}

/// What was said of some records that go into one partition in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    Told(SendOutcome),
}

#[derive(Debug)]
struct Piece {
    call: &'static str,
    partition: u32,
    values: Vec<String>,
    fate: Fate,
    /// Whether a send that returned promised that it survives a power cut.
    is_durable: bool,
    error: String,
}

/// Where the group may stand.
#[derive(Debug, Default)]
struct Commits {
    now: Option<u64>,
    in_doubt: BTreeSet<u64>,
}

impl Commits {
    fn after_reopening(&self) -> Vec<Option<u64>> {
        self.in_doubt.iter().copied().map(Some).chain([self.now]).collect()
    }
}

struct Work {
    scene: Scene,
    disk: SimulatedDisk,
    broker: Broker,
    topic: Topic,
    plain: Producer,
    durable: Producer,
    consumer: Consumer,
    pieces: Vec<Piece>,
    commits: Commits,
    outcomes: Vec<SendOutcome>,
    errors: Vec<Error>,
}

fn open(disk: &SimulatedDisk, scene: Scene) -> Result<Broker> {
    let builder = Broker::builder("/data").disk(disk).background(false).durability(scene.durability);
    builder.tail_bytes(1 << 20).max_open_files(CROWD).open()
}

impl Work {
    /// A broker with something in it, of which no call has failed yet.
    fn begin(scene: Scene) -> Result<Work> {
        let mut disk = SimulatedDisk::new(1);
        if scene.is_copy_on_write {
            disk.copy_on_write();
        }
        let mut broker = open(&disk, scene)?;
        let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(128 << 10);
        for partition in broker.create_topic("t", config)?.partitions() {
            partition.append_batch(&vec![ProducerRecord::to("t").value("small"); 10])?;
            partition.append(&ProducerRecord::to("t").value(vec![b'x'; LARGE]))?;
        }
        broker.create_topic("crowd", TopicConfig::new().partitions(CROWD).durability(Durability::Os))?;
        if scene.was_killed {
            disk = disk.kill(1);
            broker = open(&disk, scene)?;
        }
        let topic = broker.topic("t")?;
        let plain = broker.producer();
        let durable = broker.producer_with(ProducerConfig::new().durability(Durability::Always))?;
        let mut consumer = broker.consumer_with(ConsumerConfig::new("g"))?;
        consumer.assign(&[TopicPartition::new("t", 0)])?;
        consumer.commit_offsets(&[(TopicPartition::new("t", 0), CommittedOffset::new(1))])?;
        let commits = Commits { now: Some(1), in_doubt: BTreeSet::new() };
        let (pieces, outcomes, errors) = Default::default();
        Ok(Work { scene, disk, broker, topic, plain, durable, consumer, pieces, commits, outcomes, errors })
    }

    /// Makes every sending call, and between them what syncs.
    fn send_everything(&mut self) {
        for round in 0..2 {
            self.send("append", 0, &[10], |work, records| work.partition(0).append(&records[0]).map(drop));
            self.send("send, large", 0, &[LARGE], |work, records| work.plain.send(records[0].clone()).map(drop));
            self.send("durable send", 0, &[10], |work, records| work.durable.send(records[0].clone()).map(drop));
            self.commit(2 + 2 * round);
            self.send("durable send, large", 1, &[LARGE], |work, records| {
                work.durable.send(records[0].clone()).map(drop)
            });
            _ = self.broker.run_maintenance();
            self.crowd_out();
            self.send("append_batch", 1, &[10, 20, 30], |work, records| {
                work.partition(1).append_batch(records).map(drop)
            });
            self.send_to_both("send_batch", &[10, LARGE], |work, records| {
                work.plain.send_batch("t", records).map(drop)
            });
            self.send_to_both("durable send_batch", &[LARGE, 10], |work, records| {
                work.durable.send_batch("t", records).map(drop)
            });
            self.crowd_out();
            _ = self.broker.flush();
            self.commit(3 + 2 * round);
            self.produce();
        }
    }

    /// Has so many other files opened that those of interest are closed, and to be opened again.
    fn crowd_out(&self) {
        for partition in self.broker.topic("crowd").unwrap().partitions() {
            _ = partition.append(&ProducerRecord::to("crowd").value(vec![b'x'; LARGE]));
        }
    }

    fn partition(&self, number: u32) -> Partition {
        self.topic.partition(number).unwrap()
    }

    /// A value of its own for each record.
    fn values(&self, sizes: &[usize]) -> Vec<String> {
        let first = self.pieces.iter().map(|piece| piece.values.len()).sum::<usize>();
        (first..).zip(sizes).map(|(number, &size)| format!("{number:_<10}{}", "_".repeat(size - 10))).collect()
    }

    fn send(
        &mut self,
        call: &'static str,
        partition: u32,
        sizes: &[usize],
        make: impl FnOnce(&Work, &[ProducerRecord<'_>]) -> Result<()>,
    ) {
        let values = self.values(sizes);
        let record = |value| ProducerRecord::to("t").partition(partition).value(value);
        let records: Vec<_> = values.iter().map(record).collect();
        let sent = make(self, &records);
        self.note(call, partition, values, sent.as_ref().err().map(|error| (error.outcome(), error)));
        self.note_error(sent);
    }

    /// The same records for each partition, in one call that sends one piece after the other.
    fn send_to_both(
        &mut self,
        call: &'static str,
        sizes: &[usize],
        make: impl FnOnce(&Work, &[ProducerRecord<'_>]) -> Result<()>,
    ) {
        let values = self.values(&sizes.repeat(PARTITIONS as usize));
        let numbers = (0..PARTITIONS).flat_map(|number| vec![number; sizes.len()]);
        let record = |(number, value)| ProducerRecord::to("t").partition(number).value(value);
        let records: Vec<_> = numbers.zip(&values).map(record).collect();
        let sent = make(self, &records);
        let mut outcome = match &sent {
            Ok(()) => None,
            Err(Error::PartlySent { source, .. }) => Some(source.outcome()),
            Err(error) => Some(error.outcome()),
        };
        for (number, values) in (0..PARTITIONS).zip(values.chunks(sizes.len())) {
            let is_in = |(partition, _): &(TopicPartition, _)| partition.partition() == number;
            let told = match &sent {
                Err(Error::PartlySent { appended, .. }) if appended.iter().any(is_in) => None,
                // The pieces behind the first that failed were not tried.
                Err(error) => Some((outcome.replace(SendOutcome::NotAppended).unwrap(), error)),
                Ok(()) => None,
            };
            self.note(call, number, values.to_vec(), told);
        }
        self.note_error(sent);
    }

    fn produce(&mut self) {
        let values = self.values(&[10]);
        let sent = self.topic.produce("key", &values[0]);
        let partition = DefaultPartitioner::partition_of_key(b"key", PARTITIONS);
        self.note("produce", partition, values, sent.as_ref().err().map(|error| (error.outcome(), error)));
        self.note_error(sent.map(drop));
    }

    fn note(&mut self, call: &'static str, partition: u32, values: Vec<String>, told: Option<(SendOutcome, &Error)>) {
        let is_durable = self.scene.durability == Durability::Always || call.starts_with("durable");
        let fate = told.map_or(Fate::Sent, |(outcome, _)| Fate::Told(outcome));
        let error = told.map(|(_, error)| format!("{error:?}")).unwrap_or_default();
        self.pieces.push(Piece { call, partition, values, fate, is_durable, error });
    }

    fn note_error(&mut self, sent: Result<()>) {
        if let Err(error) = sent {
            self.outcomes.push(error.outcome());
            self.errors.push(error);
        }
    }

    fn commit(&mut self, offset: u64) {
        let committed = self.consumer.commit_offsets(&[(TopicPartition::new("t", 0), CommittedOffset::new(offset))]);
        match committed.as_ref().map_err(Error::outcome) {
            Ok(()) | Err(SendOutcome::Appended) => self.commits.now = Some(offset),
            Err(SendOutcome::NotAppended) => {}
            Err(_) => _ = self.commits.in_doubt.insert(offset),
        }
        self.note_error(committed);
    }

    /// What may be done again does nothing twice.
    fn check_errors(&self) -> Checked {
        let is_wrong = |error: &&Error| error.is_retriable() && error.outcome() != SendOutcome::NotAppended;
        self.errors.iter().find(is_wrong).map_or(Ok(()), |error| Err(format!("retriable, and not undone: {error:?}")))
    }

    /// Calls work again.
    fn check_before_reopening(&self, kind: FaultKind) -> Checked {
        let waited: Vec<_> =
            self.topic.partitions().map(|partition| partition.wait_durable(partition.log_end_offset())).collect();
        if let Some(Err(error)) = waited.iter().find(|waited| waited.is_err())
            && matches!(kind, FaultKind::TooManyOpenFiles | FaultKind::OutOfMemory)
        {
            return Err(format!("what could not begin was taken for a failure: {error}"));
        }
        let is_all_visible = waited.iter().all(Result::is_ok) || self.scene.durability == Durability::Os;
        let moment = if is_all_visible { Moment::Reopened } else { Moment::Poisoned };
        check_pieces(&self.broker, &self.pieces, moment)?;
        check_commit(&self.broker, &[self.commits.now])
    }
}

/// When it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// A partition refuses writes, and does not show what is not durable.
    Poisoned,
    /// Nothing that was in the log is lost.
    Reopened,
    PowerCut,
}

fn check_pieces(broker: &Broker, pieces: &[Piece], moment: Moment) -> Checked {
    for number in 0..PARTITIONS {
        let log = broker.topic("t").and_then(|topic| topic.partition(number)).map_err(|e| e.to_string())?;
        let found = log.iter_from(0).collect::<Result<Vec<_>>>().map_err(|e| format!("cannot be read: {e}"))?;
        let count = |value: &String| found.iter().filter(|record| record.value() == Some(value.as_bytes())).count();
        for piece in pieces.iter().filter(|piece| piece.partition == number) {
            let counts: Vec<_> = piece.values.iter().map(count).collect();
            if !is_true(piece, &counts, moment) {
                let values: Vec<_> = piece.values.iter().map(|value| &value[..10]).collect();
                let Piece { call, fate, error, .. } = piece;
                return Err(format!("{call} of {values:?}: {fate:?}, and found {counts:?} times; {error}"));
            }
        }
    }
    Ok(())
}

/// Whether it was told truly, if so many of each record are there.
fn is_true(piece: &Piece, counts: &[usize], moment: Moment) -> bool {
    let (is_whole, is_absent) = (counts.iter().all(|&count| count == 1), counts.iter().all(|&count| count == 0));
    match (piece.fate, moment) {
        (Fate::Told(SendOutcome::NotAppended), _) => is_absent,
        (Fate::Sent, Moment::PowerCut) if !piece.is_durable => is_whole || is_absent,
        (Fate::Sent, _) | (Fate::Told(SendOutcome::Appended), Moment::Reopened) => is_whole,
        (Fate::Told(_), _) => is_whole || is_absent,
    }
}

fn check_commit(broker: &Broker, allowed: &[Option<u64>]) -> Checked {
    let committed = broker.committed("g", &TopicPartition::new("t", 0)).map_err(|e| e.to_string())?;
    let committed = committed.map(|committed| committed.offset());
    if allowed.contains(&committed) { Ok(()) } else { Err(format!("committed is {committed:?}, not of {allowed:?}")) }
}
