//! Calls to the disk fail: the error says so, nothing is half there, reads go on, and once there is space again so do writes.

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord, TopicConfig};

use crate::history::Checked;
use crate::oracle::Loss;
use crate::random::Random;
use crate::states::{End, budget, check_opened};
use crate::workload::{Run, Settings};

/// One kind of failure, from the `nth` call on that can fail so.
#[derive(Debug, Clone, Copy)]
struct Failure {
    workload: u64,
    kind: FaultKind,
    operation: Option<Operation>,
    nth: u64,
    forever: bool,
}

#[test]
fn any_call_without_space_or_handles_fails_alone_and_work_goes_on() {
    let kinds = [FaultKind::StorageFull, FaultKind::ShortWrite, FaultKind::TooManyOpenFiles, FaultKind::OutOfMemory];
    fail_every_call(&kinds.map(|kind| (kind, None)), budget(160));
}

#[test]
fn any_call_that_fails_for_good_poisons_at_most_and_reads_go_on() {
    fail_every_call(&[(FaultKind::InputOutput, None)], budget(100));
}

#[test]
fn no_record_is_acknowledged_by_a_failed_sync() {
    let syncs = [(FaultKind::InputOutput, Some(Operation::Sync)), (FaultKind::InputOutput, Some(Operation::SyncDir))];
    fail_every_call(&syncs, budget(100));
}

/// Fails every call of workloads in turn, once and for ever, or within a small budget some of them.
fn fail_every_call(kinds: &[(FaultKind, Option<Operation>)], states: u64) {
    const WORKLOADS_AT_LEAST: u64 = 5;
    let wanted = (states / WORKLOADS_AT_LEAST / kinds.len() as u64 / 2).max(1);
    let (mut looked_at, mut workload) = (0, 0);
    while looked_at < states {
        let reference = Run::work(Settings::of(workload), None).unwrap_or_else(|p| panic!("workload {workload}: {p}"));
        for &(kind, operation) in kinds {
            let can_fail = reference.disk.log().into_iter().filter(|call| {
                kind.applies_to(call.operation) && operation.is_none_or(|operation| operation == call.operation)
            });
            let count = can_fail.count() as u64;
            let stride = (count / wanted).max(1);
            for nth in (1..=count).filter(|nth| nth % stride == workload % stride) {
                for forever in [false, true] {
                    let failure = Failure { workload, kind, operation, nth, forever };
                    look_at(failure).unwrap_or_else(|problem| panic!("{problem}\n{failure:?}"));
                    looked_at += 1;
                }
            }
        }
        workload += 1;
    }
    println!("{looked_at} failures in {workload} workloads were borne");
}

fn look_at(failure: Failure) -> Checked {
    let settings = Settings::of(failure.workload);
    let disk = SimulatedDisk::new(failure.workload);
    let mut rule = FaultRule::new(failure.kind).nth(failure.nth);
    if let Some(operation) = failure.operation {
        rule = rule.on(operation);
    }
    disk.fail(if failure.forever { rule.forever() } else { rule });
    let mut run = Run::work_with_faults(settings, disk)?;
    let failed: Vec<Operation> =
        run.disk.log().into_iter().filter(|call| call.is_fault).map(|call| call.operation).collect();
    run.disk.clear_faults();
    if run.broker.is_none() {
        run.open()?;
        if run.broker.is_none() {
            return Err(format!("cannot be opened once calls work again: {:?}", run.errors.last()));
        }
    }
    run.read_everything().map_err(|problem| format!("reading on: {problem}"))?;
    run.check_commits_now()?;
    let errors_before = run.errors.len();
    run.go_on().map_err(|problem| format!("going on: {problem}"))?;
    // After a sync that failed nothing is known, and a write that cannot be undone (`SetSize`) is the file's last.
    let is_grave = |failed: &Operation| matches!(failed, Operation::Sync | Operation::SyncDir | Operation::SetSize);
    let is_passing = failure.kind != FaultKind::InputOutput && !failed.iter().any(is_grave);
    // A file that cannot be opened to be synced counts as a failed sync.
    let is_failed_sync =
        |error: &Error| matches!(error, Error::Poisoned { reason, .. } if reason.starts_with("cannot sync"));
    let mut errors = run.errors.iter().skip(errors_before).filter(|(_, error)| !is_failed_sync(error));
    if is_passing && let Some(error) = errors.next() {
        return Err(format!("the cause has passed, and yet: {error:?}; before that {:?}", run.errors.first()));
    }
    run.read_everything().map_err(|problem| format!("reading at last: {problem}"))?;
    reopen(&mut run, failure)
}

/// Ends the run in one way or another, and checks what is there afterwards.
fn reopen(run: &mut Run, failure: Failure) -> Checked {
    let settings = Settings::of(failure.workload);
    let mut random = Random::new(failure.nth);
    let end = random.choose(&End::ALL).copied().unwrap_or(End::Kill);
    let mut after = if random.chance(50) {
        Run::on(end.image(&run.disk, failure.nth), run.history.clone(), settings, failure.nth)
    } else {
        // Closing a poisoned broker is an error, and loses nothing.
        run.close()?;
        Run::on(run.disk.clone(), run.history.clone(), settings, failure.nth)
    };
    let is_cut = end.loss() == Loss::Power && after.disk.calls() == 0;
    let context = |problem| format!("after {end:?}: {problem}");
    after.open().map_err(context)?;
    check_opened(&mut after, if is_cut { Loss::Power } else { Loss::Process }).map_err(context)?;
    after.go_on().map_err(context)?;
    // What is served after a failed sync must not be in the page cache only.
    let image = after.disk.crash(failure.nth, CrashModel::Subset);
    let mut at_last = Run::on(image, after.history.clone(), settings, failure.nth);
    at_last.open().map_err(context)?;
    check_opened(&mut at_last, Loss::Power).map_err(|problem| format!("after {end:?} and a power cut: {problem}"))
}

#[test]
fn a_disk_that_fills_up_refuses_records_until_there_is_space_again() {
    for durability in [Durability::Os, Durability::Always] {
        for room in (0..16).map(|step| step * 2503) {
            fill_up(durability, room).unwrap_or_else(|problem| panic!("{durability} with {room} bytes: {problem}"));
        }
    }
}

fn fill_up(durability: Durability, room: u64) -> Checked {
    let text = |error: Error| error.to_string();
    let disk = SimulatedDisk::new(room);
    let open = || Broker::builder("/data").disk(&disk).background(false).durability(durability).open();
    let broker = open().map_err(text)?;
    let topic = broker.create_topic("t", TopicConfig::new().segment_bytes(16 << 10)).map_err(text)?;
    let partition = topic.partition(0).map_err(text)?;
    let value = vec![7; 700];
    let mut sent = 0_u64;
    let mut refused = 0;
    for round in 0..3 {
        disk.limit_capacity(Some(disk.used_bytes() + room));
        for _ in 0..200 {
            let key = sent.to_be_bytes();
            match partition.append(&ProducerRecord::to("t").key(&key).value(&value)) {
                Ok(offset) if offset == sent => sent += 1,
                Ok(offset) => return Err(format!("offset {offset} for record {sent}")),
                Err(Error::DiskFull { .. }) => refused += 1,
                Err(error) => return Err(format!("round {round}: {error}")),
            }
        }
        if partition.iter_from(0).count() as u64 != sent {
            return Err(format!("round {round}: not {sent} records"));
        }
        disk.limit_capacity(None);
        partition.append(&ProducerRecord::to("t").key(&sent.to_be_bytes()).value(&value)).map_err(text)?;
        sent += 1;
    }
    if refused == 0 {
        return Err("the disk was never full".to_owned());
    }
    drop((topic, partition));
    broker.close().map_err(text)?;
    let partition = open().map_err(text)?.topic("t").and_then(|topic| topic.partition(0)).map_err(text)?;
    let records = partition.iter_from(0).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let is_same = (0_u64..).zip(&records).all(|(n, record)| record.key() == Some(&n.to_be_bytes()));
    if records.len() as u64 == sent && is_same { Ok(()) } else { Err(format!("{} records, not {sent}", records.len())) }
}
