//! Histories in which something is wrong, each found: only so is a checker that finds nothing worth anything.

mod keeping;

use super::{Checked, Checker, LogRules};
use crate::events::{
    Commit, Cut, End, Found, FoundLog, Id, Life, Limits, Member, Moment, Outcome, Piece, Step, first_id_of,
};

/// Partitions of which all is kept: the first is always durable, the second is not.
const ALL_KEPT: [LogRules; 2] = {
    let limits = Limits { bytes: None, age_ms: None, is_compacted: false };
    let rules = LogRules { is_always: true, segment_bytes: 0, limits, tombstone_ms: None };
    [rules, LogRules { is_always: false, ..rules }]
};
const CLOSED: Cut = Cut { end: End::Closed, before: 1000, after: 1000 };
const POWER_CUT: Cut = Cut { end: End::PowerCut, before: 100, after: 101 };
const KILLED: Cut = Cut { end: End::Killed, ..POWER_CUT };

fn checker() -> Checker {
    Checker::new(&ALL_KEPT, 1, true)
}

/// The nth record of a producer.
fn id(producer: usize, n: u64) -> Id {
    first_id_of(producer) + n
}

/// Sent during the moments `at` and the one after it, to the first partition.
fn piece(id: Id, count: u64, at: u64, outcome: Outcome) -> Piece {
    Piece { id, count, partition: 0, began: at, ended: at + 1, outcome }
}

/// A member that has the first partition from moment `at` on.
struct Script {
    member: Member,
    at: u64,
}

fn member(at: u64) -> Script {
    let member = Member { steps: vec![Step::Assigned { partition: 0, at }], ..Member::default() };
    Script { member, at: at + 1 }
}

impl Script {
    fn gets(mut self, offset: u64, ids: &[Id]) -> Script {
        let from = self.member.ids.len();
        self.member.ids.extend_from_slice(ids);
        let ids = from..self.member.ids.len();
        self.member.steps.push(Step::Delivered { partition: 0, offset, ids, asked: self.at - 1, at: self.at });
        self.at += 2;
        self
    }

    fn commits(mut self, offset: u64, is_acked: bool) -> Script {
        let commit = Commit { partition: 0, offset, began: self.at, ended: self.at + 1, is_acked };
        self.member.steps.push(Step::Committed(commit));
        self.at += 2;
        self
    }

    fn leaves(mut self) -> Member {
        self.member.steps.push(Step::Revoked { partition: 0, at: self.at });
        self.member
    }
}

fn life(pieces: &[Piece], members: Vec<Member>) -> Life {
    Life { pieces: pieces.to_vec(), members, ..Life::default() }
}

/// Three records that were sent one by one, and are there.
fn three() -> [Piece; 3] {
    [0, 1, 2].map(|n| piece(id(0, n), 1, 2 * n, Outcome::At(n)))
}

fn ids(numbers: std::ops::Range<u64>) -> Vec<Id> {
    numbers.map(|n| id(0, n)).collect()
}

fn found(first: &[Id], committed: Option<u64>) -> Found {
    let durable = vec![first.len() as u64, 0];
    Found { logs: logs(first, &[]), durable, committed: vec![vec![committed, None]] }
}

/// Logs that begin at 0.
fn logs(first: &[Id], second: &[Id]) -> Vec<FoundLog> {
    [first, second].map(|ids| FoundLog { ids: ids.to_vec(), ..FoundLog::default() }).to_vec()
}

fn check(life: &Life) -> Checked {
    checker().check_life(life).map(drop)
}

/// A life, its end, and the next opening.
fn check_over(life: &Life, cut: Cut, found: &Found) -> Checked<Checker> {
    let mut checker = checker();
    checker.check_life(life)?;
    checker.check_opening(life, cut, found)?;
    Ok(checker)
}

#[track_caller]
fn finds<T: std::fmt::Debug>(checked: Checked<T>, words: &str) {
    let problem = checked.expect_err("the anomaly was not found");
    assert!(problem.contains(words), "{problem}");
}

#[test]
fn a_history_in_which_all_is_well_is_passed() {
    let first = member(10).gets(0, &ids(0..2)).commits(2, true).leaves();
    let second = member(20).gets(2, &ids(2..3)).commits(3, false).leaves();
    let life = life(&three(), vec![second, first]);
    let mut checker = checker();
    let totals = checker.check_life(&life).unwrap();
    assert_eq!((totals.sent, totals.delivered, totals.redelivered), (3, 3, 0));
    checker.check_all_delivered(Moment::MAX).unwrap();
    // The commit that was not acknowledged may have been done and may not.
    for committed in [2, 3] {
        check_over(&life, KILLED, &found(&ids(0..3), Some(committed))).unwrap();
    }
    finds(check_over(&life, KILLED, &found(&ids(0..3), Some(1))), "the group stands at Some(1)");
}

#[test]
fn one_offset_with_two_values() {
    let two = [piece(id(0, 0), 1, 0, Outcome::At(0)), piece(id(1, 0), 1, 0, Outcome::At(0))];
    finds(check(&life(&two, vec![])), "two values");
    let reader = member(10).gets(0, &[id(0, 0), id(0, 2)]).leaves();
    finds(check(&life(&three(), vec![reader])), "offset 1 was read as");
}

#[test]
fn one_value_at_two_offsets() {
    let pieces = [piece(id(0, 0), 1, 0, Outcome::At(0)), piece(id(1, 0), 1, 0, Outcome::Unknown)];
    let reader = member(10).gets(0, &[id(0, 0), id(1, 0), id(1, 0)]).leaves();
    finds(check(&life(&pieces, vec![reader])), "or there twice");
    let reader = member(10).gets(0, &[id(0, 0), id(0, 0)]).leaves();
    finds(check(&life(&pieces, vec![reader])), "was acknowledged at 0");
}

#[test]
fn records_of_one_producer_out_of_order() {
    let pieces = [piece(id(0, 0), 1, 0, Outcome::At(1)), piece(id(0, 1), 1, 2, Outcome::At(0))];
    finds(check(&life(&pieces, vec![])), "sent later");
}

#[test]
fn an_acknowledged_record_below_one_that_was_read_is_missing() {
    // Offset 1 is nobody's.
    let pieces = [piece(id(0, 0), 1, 0, Outcome::At(0)), piece(id(0, 2), 1, 4, Outcome::At(2))];
    finds(check(&life(&pieces, vec![])), "given to nobody");
    let reader = member(10).gets(0, &[id(0, 0)]).gets(2, &[id(0, 2)]).leaves();
    finds(check(&life(&three(), vec![reader])), "a poll returned offset 2, the next one was 1");
}

#[test]
fn a_record_that_was_refused_or_never_sent_is_read() {
    let refused = [piece(id(0, 0), 1, 0, Outcome::Refused)];
    let reader = || vec![member(10).gets(0, &[id(0, 0)]).leaves()];
    finds(check(&life(&refused, reader())), "was refused");
    finds(check(&life(&[], reader())), "was not sent in this life");
    let elsewhere = [Piece { partition: 1, ..piece(id(0, 0), 1, 0, Outcome::At(0)) }];
    finds(check(&life(&elsewhere, reader())), "was sent to partition 1");
    let later = [piece(id(0, 0), 1, 50, Outcome::Unknown)];
    finds(check(&life(&later, reader())), "before it was sent");
    check(&life(&[piece(id(0, 0), 1, 0, Outcome::Unknown)], reader())).unwrap();
}

#[test]
fn polls_that_go_back_or_skip() {
    let back = member(10).gets(0, &ids(0..2)).gets(1, &ids(1..3)).leaves();
    finds(check(&life(&three(), vec![back])), "a poll returned offset 1, the next one was 2");
    let skipping = member(10).gets(1, &ids(1..3)).leaves();
    finds(check(&life(&three(), vec![skipping])), "and 0 to nobody");
}

#[test]
fn a_new_owner_that_begins_where_nobody_committed() {
    let first = || member(10).gets(0, &ids(0..3)).commits(2, true).leaves();
    let second = |from| member(30).gets(from, &ids(from..3)).leaves();
    for wrong in [0, 1] {
        finds(check(&life(&three(), vec![first(), second(wrong)])), "a new owner began at");
    }
    let totals = checker().check_life(&life(&three(), vec![first(), second(2)])).unwrap();
    assert_eq!(totals.redelivered, 1);
}

#[test]
fn two_owners_at_a_time() {
    let members = vec![member(10).gets(0, &ids(0..1)).gets(1, &ids(1..2)).leaves(), member(11).leaves()];
    finds(check(&life(&three(), members)), "two members had it");
    let mut stranger = member(10).gets(0, &ids(0..1)).leaves();
    stranger.steps.remove(0);
    finds(check(&life(&three(), vec![stranger])), "does not have it");
}

#[test]
fn a_commit_behind_the_end() {
    let ahead = member(10).gets(0, &ids(0..3)).commits(4, true).leaves();
    finds(check(&life(&three(), vec![ahead])), "offset 4 was committed");
}

#[test]
fn records_that_are_gone_after_the_end_of_a_life() {
    let life = life(&three(), vec![]);
    for cut in [CLOSED, KILLED, POWER_CUT] {
        finds(check_over(&life, cut, &found(&ids(0..2), None)), "2 records are left of the 3");
        finds(check_over(&life, cut, &found(&[id(0, 0), id(0, 2), id(0, 1)], None)), "offset 1 had");
    }
}

#[test]
fn a_record_that_was_read_and_is_gone() {
    let pieces = [piece(id(0, 0), 1, 0, Outcome::Unknown)];
    let life = life(&pieces, vec![member(10).gets(0, &ids(0..1)).leaves()]);
    finds(check_over(&life, POWER_CUT, &found(&[], None)), "0 records are left of the 1");
}

#[test]
fn a_power_cut_takes_only_what_was_not_durable() {
    let pieces = three().map(|piece| Piece { partition: 1, ..piece });
    let left =
        |count| Found { logs: logs(&[], &ids(0..count)), durable: vec![0, 0], committed: vec![vec![None, None]] };
    let life = Life { durable: vec![(1, 2, 50), (1, 3, 200)], ..life(&pieces, vec![]) };
    check_over(&life, POWER_CUT, &left(2)).unwrap();
    finds(check_over(&life, POWER_CUT, &left(1)), "1 records are left of the 2");
    finds(check_over(&life, KILLED, &left(2)), "2 records are left of the 3");
}

#[test]
fn what_an_opening_found_and_did_not_call_durable_may_go_with_a_power_cut() {
    let pieces = three().map(|piece| Piece { partition: 1, ..piece });
    let left =
        |count, durable| Found { logs: logs(&[], &ids(0..count)), durable: vec![0, durable], ..found(&[], None) };
    let nothing = life(&[], vec![]);
    let killed = || check_over(&life(&pieces, vec![]), KILLED, &left(3, 1)).unwrap();
    killed().check_opening(&nothing, POWER_CUT, &left(1, 1)).unwrap();
    finds(killed().check_opening(&nothing, POWER_CUT, &left(0, 0)), "0 records are left of the 1");
    finds(killed().check_opening(&nothing, KILLED, &left(2, 2)), "2 records are left of the 3");
    let other = Found { logs: logs(&[], &[id(0, 0), id(0, 7)]), ..left(2, 2) };
    finds(killed().check_opening(&nothing, POWER_CUT, &other), "offset 1 had");
    finds(check_over(&life(&pieces, vec![]), KILLED, &left(3, 4)), "are said to be durable");
}

#[test]
fn half_a_piece_is_left() {
    let pieces = [piece(id(0, 0), 3, 99, Outcome::At(0))];
    let life = life(&pieces, vec![]);
    for whole in [0, 3] {
        check_over(&life, POWER_CUT, &found(&ids(0..whole), None)).unwrap();
    }
    finds(check_over(&life, POWER_CUT, &found(&ids(0..2), None)), "is not whole");
}

#[test]
fn a_record_is_there_that_was_sent_after_the_end() {
    let life = life(&[piece(id(0, 0), 1, 150, Outcome::At(0))], vec![]);
    finds(check_over(&life, KILLED, &found(&ids(0..1), None)), "was sent after Killed");
}

#[test]
fn a_record_comes_back_that_was_gone_or_was_refused() {
    let first = life(&[piece(id(0, 0), 1, 99, Outcome::Unknown)], vec![]);
    let mut checker = check_over(&first, POWER_CUT, &found(&[], None)).unwrap();
    let second = life(&[], vec![]);
    checker.check_life(&second).unwrap();
    finds(checker.check_opening(&second, CLOSED, &found(&ids(0..1), None)), "was not sent in this life");
    let refused = life(&[piece(id(0, 0), 1, 0, Outcome::Refused)], vec![]);
    finds(check_over(&refused, KILLED, &found(&ids(0..1), None)), "was refused");
}

#[test]
fn an_offset_is_given_out_again_in_the_next_life() {
    let mut checker = check_over(&life(&three(), vec![]), CLOSED, &found(&ids(0..3), None)).unwrap();
    let again = life(&[piece(id(0, 3), 1, 2000, Outcome::At(2))], vec![]);
    finds(checker.check_life(&again), "offset 2 was given out again");
}

#[test]
fn a_group_that_goes_back_or_ahead_between_lives() {
    let life = life(&three(), vec![member(10).gets(0, &ids(0..3)).commits(1, true).commits(2, true).leaves()]);
    for wrong in [None, Some(1), Some(3)] {
        finds(check_over(&life, KILLED, &found(&ids(0..3), wrong)), "the group stands at");
        finds(check_over(&life, POWER_CUT, &found(&ids(0..3), wrong)), "the group stands at");
    }
    // Where commits need not survive a power cut, older ones may be back.
    let mut checker = Checker::new(&ALL_KEPT, 1, false);
    checker.check_life(&life).unwrap();
    checker.check_opening(&life, POWER_CUT, &found(&ids(0..3), Some(1))).unwrap();
}

#[test]
fn records_that_a_group_never_got() {
    let mut checker = checker();
    checker.check_life(&life(&three(), vec![member(10).gets(0, &ids(0..2)).leaves()])).unwrap();
    finds(checker.check_all_delivered(Moment::MAX), "has got 2 of the 3");
}

#[test]
fn a_group_goes_on_at_the_cut_where_a_power_cut_took_what_it_had_passed() {
    let in_second = |step: Step| match step {
        Step::Assigned { at, .. } => Step::Assigned { partition: 1, at },
        Step::Revoked { at, .. } => Step::Revoked { partition: 1, at },
        Step::Delivered { offset, ids, asked, at, .. } => Step::Delivered { partition: 1, offset, ids, asked, at },
        Step::Committed(commit) => Step::Committed(Commit { partition: 1, ..commit }),
    };
    let second = |member: Member| Member { steps: member.steps.into_iter().map(in_second).collect(), ..member };
    let pieces = three().map(|piece| Piece { partition: 1, ..piece });
    let before = life(&pieces, vec![second(member(10).gets(0, &ids(0..3)).commits(3, true).leaves())]);
    let found = Found { logs: logs(&[], &ids(0..1)), durable: vec![0, 1], committed: vec![vec![None, Some(3)]] };
    let anew: Vec<Id> = (10..15).map(|n| id(0, n)).collect();
    let sent = Piece { partition: 1, ..piece(anew[0], 5, 200, Outcome::At(1)) };
    for (from, is_right) in [(1, true), (3, false)] {
        let mut checker = check_over(&before, POWER_CUT, &found).unwrap();
        let reader = second(member(300).gets(from, &anew[usize::try_from(from).unwrap() - 1..]).leaves());
        assert_eq!(checker.check_life(&life(&[sent], vec![reader])).is_ok(), is_right, "from {from}");
    }
}
