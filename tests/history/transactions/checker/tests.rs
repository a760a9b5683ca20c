//! Histories in which something is wrong, each found.

use super::*;
use crate::events::{End, Moment};
use crate::transactions::events::{FoundLog, Holder, Input, Outcome, Read, Sample};

const CLOSED: Cut = Cut { end: End::Closed, before: 1000, after: 1000, shows_old: false };
const KILLED: Cut = Cut { end: End::Killed, before: 100, after: 101, shows_old: false };
const POWER_CUT: Cut = Cut { end: End::PowerCut, ..KILLED };

/// Two logs of topics that keep all, one that is bounded, one that is compacted.
fn checker() -> Checker {
    let kept = LogRules { topic: 0, is_always: false, is_bounded: false, is_compacted: false };
    let rules = vec![
        kept,
        LogRules { topic: 1, is_always: true, ..kept },
        LogRules { topic: 2, is_bounded: true, ..kept },
        LogRules { topic: 3, is_compacted: true, ..kept },
    ];
    Checker::of(rules, 1, 1)
}

/// No attempt has the number 0.
const FIRST: Number = 50;

fn value(nth: u64, input: u64) -> Value {
    Value { attempt: FIRST + nth, input }
}

/// The nth transaction of the first holder, during ten moments from ten times that: it writes, for input `100 + n`, to the offset
/// `n` of each log, and covers that offset.
fn attempt(nth: u64, outcome: Outcome) -> Attempt {
    let began = nth * 10;
    let write = |log| Write { log, offset: nth, value: value(nth, 100 + nth), began: began + 1 };
    Attempt {
        number: FIRST + nth,
        holder: Some(0),
        writes: (0..4).map(write).collect(),
        inputs: vec![Input { partition: 0, offset: nth, id: 100 + nth }],
        has_checkpoint: true,
        deciding: began + 5,
        ended: began + 8,
        outcome,
        is_its_own_end: outcome != Outcome::Unknown,
        settled: began + 8,
        may_have_more: false,
    }
}

fn plain(nth: u64) -> Attempt {
    Attempt { holder: None, inputs: Vec::new(), has_checkpoint: false, ..attempt(nth, Outcome::Committed) }
}

fn holder(began: Moment, checkpoint: Number) -> Holder {
    Holder { name: 0, began, ended: began + 1, checkpoint }
}

fn life(attempts: Vec<Attempt>) -> Life {
    Life { attempts, holders: vec![holder(0, 0)], ..Life::default() }
}

/// Two transactions that are committed.
fn two() -> Life {
    life(vec![attempt(0, Outcome::Committed), attempt(1, Outcome::Committed)])
}

fn read(log: usize, at: Moment, offsets: &[u64]) -> Read {
    let records = offsets.iter().map(|&offset| (offset, value(offset, 100 + offset))).collect();
    Read { reader: 0, is_committed: true, log, records, at }
}

/// These transactions are there, and nothing else.
fn found(numbers: &[u64]) -> Found {
    let records = || numbers.iter().map(|&number| (number, value(number, 100 + number)));
    let log = || FoundLog { start: 0, stable: 9, end: 9, records: records().collect() };
    Found {
        logs: (0..4).map(|_| log()).collect(),
        positions: vec![numbers.len() as u64],
        checkpoints: vec![numbers.last().map_or(0, |nth| FIRST + nth)],
        open: 0,
    }
}

fn check(life: &Life) -> Checked {
    checker().check_life(life)
}

fn check_over(life: &Life, cut: Cut, found: &Found) -> Checked {
    let mut checker = checker();
    checker.check_life(life)?;
    checker.check_opening(life, cut, found)
}

#[track_caller]
fn finds(checked: Checked, words: &str) {
    let problem = checked.expect_err("the anomaly was not found");
    assert!(problem.contains(words), "{problem}");
}

#[test]
fn a_history_in_which_all_is_well_is_passed() {
    let reads = vec![read(0, 16, &[0]), read(0, 30, &[1])];
    let well = Life { reads, ..two() };
    for cut in [CLOSED, KILLED, POWER_CUT] {
        check_over(&well, cut, &found(&[0, 1])).unwrap();
    }
    let mut checker = checker();
    checker.check_life(&well).unwrap();
    checker.check_opening(&well, CLOSED, &found(&[0, 1])).unwrap();
    checker.check_all_done(&[2]).unwrap();
    finds(checker.check_all_done(&[3]), "the input ends at");
    // And one whose answer never came is there or is not.
    let unknown = life(vec![attempt(0, Outcome::Committed), attempt(1, Outcome::Unknown)]);
    check_over(&unknown, KILLED, &found(&[0])).unwrap();
    check_over(&unknown, KILLED, &found(&[0, 1])).unwrap();
}

#[test]
fn what_is_aborted_or_undecided_is_read() {
    let aborted = life(vec![attempt(0, Outcome::Aborted)]);
    let reads = |at| vec![read(0, at, &[0])];
    finds(check(&Life { reads: reads(30), ..aborted.clone() }), "and was aborted");
    finds(check(&Life { reads: reads(3), ..two() }), "before its commit");
    finds(check(&Life { reads: reads(0), ..two() }), "before it was sent");
    let uncommitted = vec![Read { is_committed: false, ..read(0, 30, &[0]) }];
    check(&Life { reads: uncommitted, ..aborted }).unwrap();
    let nobodys = Read { records: vec![(0, value(7, 100))], ..read(0, 30, &[]) };
    finds(check(&Life { reads: vec![nobodys], ..two() }), "was not sent in this life");
    let elsewhere = Read { records: vec![(5, value(0, 100))], ..read(0, 30, &[]) };
    finds(check(&Life { reads: vec![elsewhere], ..two() }), "was not sent there");
}

#[test]
fn a_reader_goes_back_or_skips() {
    let reads = vec![read(0, 30, &[0, 1]), read(0, 31, &[1])];
    finds(check(&Life { reads, ..two() }), "was at 2, and read 1");
    finds(check(&Life { reads: vec![read(0, 30, &[1])], ..two() }), "and not 0");
    // There something may be gone.
    check(&Life { reads: vec![read(2, 30, &[1]), read(3, 30, &[1])], ..two() }).unwrap();
}

#[test]
fn something_is_seen_or_deleted_behind_the_beginning_of_what_is_open() {
    let sample = |start, stable, began| Sample { log: 0, start, stable, began, ended: began + 1 };
    let sees = |sample| check(&Life { samples: vec![sample], ..two() });
    finds(sees(sample(0, 2, 11)), "was open from 1 on");
    finds(sees(sample(2, 1, 11)), "was open from 1 on");
    sees(sample(0, 1, 11)).unwrap();
    let mut long = two();
    long.attempts[0] = Attempt { deciding: 60, ended: 65, settled: 65, ..long.attempts[0].clone() };
    finds(check(&Life { reads: vec![read(2, 30, &[1])], ..long }), "was open from 0 on");
}

#[test]
fn readers_are_held_back_by_nothing() {
    let sample = |stable, began| Sample { log: 0, start: 0, stable, began, ended: began + 1 };
    let sees = |sample, life: Life| check(&Life { samples: vec![sample], ..life });
    finds(sees(sample(0, 25), two()), "nothing below");
    sees(sample(2, 25), two()).unwrap();
    let mut open = two();
    open.attempts[0] = Attempt { settled: Moment::MAX, ..attempt(0, Outcome::Aborted) };
    sees(sample(0, 25), open).unwrap();
    finds(check_over(&two(), CLOSED, &Found { open: 1, ..found(&[0, 1]) }), "are open");
    let mut held = found(&[0, 1]);
    held.logs[1].stable = 8;
    finds(check_over(&two(), CLOSED, &held), "stable below 8");
}

#[test]
fn a_part_of_a_transaction_is_there() {
    for log in 0..4 {
        let mut torn = found(&[0, 1]);
        torn.logs[log].records.remove(&1);
        finds(check_over(&two(), KILLED, &torn), "is missing, and the rest is there");
    }
    // Where retention or compaction explain it nothing is missing.
    let mut kept = found(&[0, 1]);
    (kept.logs[2].start, kept.logs[2].records) = (2, BTreeMap::new());
    kept.logs[3].records.insert(8, value(9, 100 + 20 + 1));
    kept.logs[3].records.remove(&1);
    let mut life = two();
    let write = Write { log: 3, offset: 8, value: value(9, 121), began: 91 };
    life.attempts.push(Attempt { writes: vec![write], ..plain(9) });
    check_over(&life, KILLED, &kept).unwrap();
}

#[test]
fn what_was_acknowledged_or_read_is_gone() {
    finds(check_over(&two(), POWER_CUT, &found(&[0])), "was committed or read, and is gone");
    let unknown = life(vec![attempt(0, Outcome::Committed), attempt(1, Outcome::Unknown)]);
    let seen = Life { reads: vec![read(0, 30, &[0, 1])], ..unknown };
    finds(check_over(&seen, KILLED, &found(&[0])), "was committed or read, and is gone");
    let mut checker = checker();
    checker.check_life(&two()).unwrap();
    checker.check_opening(&two(), CLOSED, &found(&[0, 1])).unwrap();
    finds(checker.check_opening(&life(vec![]), KILLED, &found(&[0])), "was at 1 of log 0");
    let mut begun_later = found(&[0, 1]);
    begun_later.logs[0].start = 1;
    finds(check_over(&two(), KILLED, &begun_later), "log 0 begins at 1");
}

#[test]
fn a_plain_record_may_go_with_the_power_where_nothing_promises_more() {
    let beside = life(vec![attempt(0, Outcome::Committed), plain(1)]);
    let mut without = found(&[0, 1]);
    (without.positions, without.checkpoints) = (vec![1], vec![FIRST]);
    check_over(&beside, POWER_CUT, &without).unwrap();
    without.logs[0].records.remove(&1);
    check_over(&beside, POWER_CUT, &without).unwrap();
    finds(check_over(&beside, KILLED, &without), "is gone");
    without.logs[1].records.remove(&1);
    finds(check_over(&beside, POWER_CUT, &without), "is gone");
}

#[test]
fn what_was_aborted_or_asked_for_too_late_is_there_afterwards() {
    let aborted = life(vec![attempt(0, Outcome::Committed), attempt(1, Outcome::Aborted)]);
    finds(check_over(&aborted, KILLED, &found(&[0, 1])), "and was aborted");
    let late = Attempt { deciding: 200, ended: 210, ..attempt(1, Outcome::Committed) };
    let late = life(vec![attempt(0, Outcome::Committed), late]);
    finds(check_over(&late, KILLED, &found(&[0, 1])), "was asked for after the end");
}

#[test]
fn an_input_is_covered_twice_or_passed_over() {
    let mut twice = two();
    twice.attempts[1].inputs[0] = Input { partition: 0, offset: 0, id: 100 };
    finds(check(&twice), "was committed before, and again");
    let mut other = two();
    other.attempts[1].inputs[0] = Input { partition: 0, offset: 0, id: 7 };
    finds(check(&other), "was read where 100 had been read");
    let mut ahead = two();
    ahead.attempts[1].inputs[0].offset = 2;
    finds(check_over(&ahead, CLOSED, &found(&[0, 1])), "covered is 2, and the next was 1");
}

#[test]
fn the_group_stands_before_or_behind_what_is_done() {
    for wrong in [0, 1, 3] {
        let wrong = Found { positions: vec![wrong], ..found(&[0, 1]) };
        finds(check_over(&two(), KILLED, &wrong), "the group stands at");
    }
}

#[test]
fn an_output_is_there_twice_or_not_at_all() {
    let mut twice = two();
    twice.attempts[1].writes[0].value.input = 100;
    let mut doubled = found(&[0, 1]);
    doubled.logs[0].records.insert(1, value(1, 100));
    finds(check_over(&twice, KILLED, &doubled), "is 2 times in topic 0");
    let mut without = two();
    without.attempts[1].writes.remove(1);
    let mut missing = found(&[0, 1]);
    missing.logs[1].records.remove(&1);
    finds(check_over(&without, KILLED, &missing), "is 0 times in topic 1");
}

#[test]
fn one_who_has_lost_its_name_goes_on() {
    let with = |began| Life { holders: vec![holder(0, 0), holder(began, 0)], ..two() };
    finds(check(&with(5)), "was sent by one who had lost its name");
    finds(check(&with(12)), "has committed");
    check(&Life { holders: vec![holder(0, 0), holder(30, FIRST + 1)], ..two() }).unwrap();
}

#[test]
fn a_name_keeps_another_checkpoint_than_it_was_left() {
    let told = |checkpoint| check(&Life { holders: vec![holder(0, 0), holder(30, checkpoint)], ..two() });
    told(FIRST + 1).unwrap();
    finds(told(FIRST), "was committed later");
    finds(told(0), "was committed later");
    finds(told(7), "which nobody left");
    finds(check_over(&two(), KILLED, &Found { checkpoints: vec![0], ..found(&[0, 1]) }), "was committed later");
    let mut aborted = two();
    aborted.attempts[1].outcome = Outcome::Aborted;
    aborted.holders.push(holder(30, FIRST + 1));
    finds(check(&aborted), "of one that was aborted");
    let early = Life { holders: vec![holder(0, FIRST + 1)], ..two() };
    finds(check(&early), "before its commit");
}
