//! Calls to the disk fail: the error says so, nothing is half there, reads go on, and once there is space again so do writes.

use std::collections::BTreeMap;

use ottla::testing::{Call, CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord, TopicConfig};

use crate::history::Checked;
use crate::oracle::Loss;
use crate::parallel::in_parallel;
use crate::random::Random;
use crate::sites::{KINDS, Site, Sites, site};
use crate::states::{End, check_opened};
use crate::workload::{Run, Settings};

/// One kind of failure, from the `nth` call on that can fail so.
#[derive(Debug, Clone, Copy)]
struct Failure {
    workload: u64,
    kind: FaultKind,
    fault: &'static str,
    nth: u64,
    forever: bool,
}

const WORKLOADS: u64 = 20;
/// Besides one failure for each site.
const BY_STRIDE: u64 = 150;

/// Fails calls of workloads, once and for ever: all of them if `OTTLA_CRASH_FAULTS` says so, and otherwise of each operation on
/// each kind of file one with each fault that it can meet, and some more.
#[test]
fn any_call_that_fails_harms_nothing_that_was_acknowledged() {
    let limit = std::env::var("OTTLA_CRASH_FAULTS").ok().and_then(|limit| limit.parse().ok());
    let (failures, mut sites) = plan(limit.unwrap_or(BY_STRIDE));
    let failed =
        in_parallel(&failures, |failure| look_at(*failure).map_err(|problem| format!("{problem}\n{failure:?}")));
    for site in failed.unwrap_or_else(|problem| panic!("{problem}")).into_iter().flatten() {
        sites.fail(site);
    }
    sites.print();
    println!("{} failures in {WORKLOADS} workloads were borne", failures.len());
    assert_eq!(sites.missed(), Vec::<&Site>::new(), "reached and never failed");
}

/// Which calls are to fail, and which sites there are.
fn plan(by_stride: u64) -> (Vec<Failure>, Sites) {
    let mut sites = Sites::default();
    let mut all = Vec::new();
    let mut chosen: BTreeMap<Site, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for workload in 0..WORKLOADS {
        let reference = Run::begin(Settings::of(workload)).and_then(|mut run| run.work_on().map(|()| run));
        let reference = reference.unwrap_or_else(|problem| panic!("workload {workload}: {problem}"));
        let log = reference.disk.log();
        // They are counted from the first one on.
        assert_eq!(log.len() as u64, reference.disk.calls(), "workload {workload}: the log has lost its beginning");
        for (kind, fault) in KINDS {
            for (nth, call) in (1..).zip(log.iter().filter(|call| kind.applies_to(call.operation))) {
                let site = site(call, fault);
                sites.reach(site.clone());
                let so_far = chosen.entry(site).or_default();
                let failure = |forever| Failure { workload, kind, fault, nth, forever };
                if *so_far < 2 && (*so_far == 0 || nth % 3 == 1) {
                    failures.push(failure(*so_far == 1));
                    *so_far += 1;
                } else {
                    all.extend([failure(false), failure(true)]);
                }
            }
        }
    }
    let stride = (all.len() as u64 / by_stride.max(1)).max(1);
    failures.extend((1_u64..).zip(all).filter(|(number, _)| number.is_multiple_of(stride)).map(|(_, failure)| failure));
    (failures, sites)
}

/// Has a workload meet the failure, go on without it, and end. Returns where calls failed.
fn look_at(failure: Failure) -> Checked<Vec<Site>> {
    let settings = Settings::of(failure.workload);
    let mut run = Run::begin(settings)?;
    let rule = FaultRule::new(failure.kind).nth(failure.nth);
    run.disk.fail(if failure.forever { rule.forever() } else { rule });
    run.work_with_faults()?;
    let failed: Vec<Call> = run.disk.log().into_iter().filter(|call| call.is_fault).collect();
    run.disk.clear_faults();
    if run.broker.is_none() {
        run.open()?;
        if run.broker.is_none() {
            return Err(format!("cannot be opened once calls work again: {:?}", run.errors.last()));
        }
        // A record whose answer was an error may be there now.
        check_opened(&mut run, Loss::Process).map_err(|problem| format!("opened again: {problem}"))?;
    }
    run.read_everything().map_err(|problem| format!("reading on: {problem}"))?;
    run.check_commits_now()?;
    let errors_before = run.errors.len();
    run.go_on().map_err(|problem| format!("going on: {problem}"))?;
    // After a sync that failed nothing is known, and a write that cannot be undone (`SetSize`) is the file's last. So is one of a
    // tail whose bytes cannot be read back to see whether it has failed.
    let is_grave = |failed: &Call| match failed.operation {
        Operation::Sync | Operation::SyncDir | Operation::SetSize => true,
        Operation::Read => failed.path.to_string_lossy().contains("/tail"),
        _ => false,
    };
    let is_passing = match failure.kind {
        FaultKind::InputOutput => false,
        // What cannot be opened to be synced is not lost by that.
        FaultKind::TooManyOpenFiles => true,
        _ => !failed.iter().any(is_grave),
    };
    if is_passing && let Some(error) = run.errors.get(errors_before) {
        return Err(format!("the cause has passed, and yet: {error:?}; before that {:?}", run.errors.first()));
    }
    run.read_everything().map_err(|problem| format!("reading at last: {problem}"))?;
    reopen(&mut run, failure)?;
    Ok(failed.iter().map(|call| site(call, failure.fault)).collect())
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
