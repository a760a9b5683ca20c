//! The same for logs of which not all is kept: what is missing must be what may be.

use std::ops::Range;

use super::{CLOSED, KILLED, POWER_CUT, check_over, finds, id, ids, life, member, piece, three};
use crate::checker::{Checked, Checker, LogRules};
use crate::events::{
    Altered, Cut, Deletion, Found, FoundLog, Id, Life, Limits, Member, Moment, Outcome, Passed, Piece, Seen,
    is_tombstone, key_of,
};

const FOR_EVER: Limits = Limits { bytes: None, age_ms: None, is_compacted: false };
const BYTES: Limits = Limits { bytes: Some(1000), ..FOR_EVER };
const HOUR: Limits = Limits { age_ms: Some(3_600_000), ..FOR_EVER };
const COMPACTED: Limits = Limits { is_compacted: true, ..FOR_EVER };
const SEGMENT_BYTES: u64 = 100_000;
const TOMBSTONE_MS: u64 = 500;

/// One log with these limits; it has keys if it is compacted.
fn checker(limits: Limits) -> Checker {
    let tombstone_ms = limits.is_compacted.then_some(TOMBSTONE_MS);
    Checker::new(&[LogRules { is_always: true, segment_bytes: SEGMENT_BYTES, limits, tombstone_ms }], 1, true)
}

/// Somebody looks at a log of three records during `at` and the next moment.
fn seen(start: u64, bytes: u64, at: Moment) -> Seen {
    Seen { partition: 0, start, end: 3, bytes: Some(bytes), began: at, ended: at + 1 }
}

/// Somebody deletes what is below an offset during `at` and the next moment.
fn deletion(before: u64, at: Moment, start: Option<u64>) -> Deletion {
    Deletion { partition: 0, before, began: at, ended: at + 1, start }
}

fn altered(limits: Limits, at: Moment, is_acked: bool) -> Altered {
    Altered { partitions: 0..1, limits, began: at, ended: at + 1, is_acked }
}

fn passed(ms: u64, at: Moment) -> Passed {
    Passed { ms, began: at, ended: at + 1 }
}

/// Three records were sent; and this was seen.
fn three_seen(seen: &[Seen]) -> Life {
    Life { seen: seen.to_vec(), ..life(&three(), vec![]) }
}

fn three_read(seen: &[Seen], members: Vec<Member>) -> Life {
    Life { members, ..three_seen(seen) }
}

/// What is left of three records, in so many bytes.
fn left(offsets: Range<u64>, bytes: u64, limits: Limits) -> Found {
    let (start, end) = (offsets.start, offsets.end);
    let log = FoundLog { start, ids: ids(offsets), bytes, limits };
    Found { logs: vec![log], durable: vec![end], committed: vec![vec![None]] }
}

fn lives(limits: Limits, life: &Life) -> Checked<Checker> {
    let mut checker = checker(limits);
    checker.check_life(life).map(|_| checker)
}

fn opens(limits: Limits, life: &Life, cut: Cut, found: &Found) -> Checked<Checker> {
    let mut checker = lives(limits, life)?;
    checker.check_opening(life, cut, found).map(|()| checker)
}

#[test]
fn a_start_that_goes_back() {
    let there_and_back = [seen(2, 1000, 10), seen(1, 1000, 20)];
    finds(lives(BYTES, &three_seen(&there_and_back)), "began at 2, and later at 1");
    // At the same time it may be either.
    lives(BYTES, &three_seen(&[seen(2, 1000, 10), Seen { began: 9, ..seen(1, 1000, 20) }])).unwrap();
    let answered = Life { deletions: vec![deletion(2, 10, Some(2))], ..three_seen(&[seen(0, 1000, 20)]) };
    finds(lives(FOR_EVER, &answered), "began at 2, and later at 0");
    for cut in [CLOSED, KILLED, POWER_CUT] {
        let was_seen = three_seen(&[seen(2, 1000, 10)]);
        finds(opens(BYTES, &was_seen, cut, &left(1..3, 1000, BYTES)), "begins at 1, and had begun at 2");
        opens(BYTES, &was_seen, cut, &left(2..3, 1000, BYTES)).unwrap();
        let answered = Life { deletions: vec![deletion(2, 10, Some(2))], ..three_seen(&[]) };
        finds(opens(FOR_EVER, &answered, cut, &left(0..3, 1000, FOR_EVER)), "begins at 0, and had begun at 2");
    }
    // What nobody was told before the end may have come to nothing.
    let afterwards = Life { deletions: vec![deletion(2, 150, Some(2))], ..three_seen(&[seen(2, 1000, 160)]) };
    opens(FOR_EVER, &afterwards, KILLED, &left(0..3, 1000, FOR_EVER)).unwrap();
    let mut checker = opens(BYTES, &three_seen(&[seen(2, 1000, 10)]), CLOSED, &left(2..3, 1000, BYTES)).unwrap();
    finds(
        checker.check_life(&Life { seen: vec![seen(1, 1000, 2000)], ..Life::default() }),
        "began at 2, and later at 1",
    );
}

#[test]
fn a_deletion_that_deletes_too_little_or_too_much() {
    let deleted = |start| Life { deletions: vec![deletion(1, 10, start)], ..three_seen(&[]) };
    finds(lives(FOR_EVER, &deleted(Some(0))), "is said to begin at 0");
    let seen_at = |start| Life { seen: vec![seen(start, 9999, 12)], ..deleted(None) };
    lives(FOR_EVER, &seen_at(1)).unwrap();
    finds(lives(FOR_EVER, &seen_at(2)), "nobody asked for that");
    // It was seen before somebody asked.
    let early = Life { seen: vec![seen(1, 9999, 5)], ..deleted(Some(1)) };
    finds(lives(FOR_EVER, &early), "nobody asked for that");
    for (start, is_right) in [(0, true), (1, true), (2, false)] {
        for cut in [CLOSED, KILLED, POWER_CUT] {
            let found = left(start..3, 9999, FOR_EVER);
            assert_eq!(opens(FOR_EVER, &deleted(None), cut, &found).is_ok(), is_right, "{start}");
        }
    }
    let after_the_end = Life { deletions: vec![deletion(1, 150, None)], ..three_seen(&[]) };
    finds(opens(FOR_EVER, &after_the_end, KILLED, &left(1..3, 9999, FOR_EVER)), "nobody asked for that");
}

#[test]
fn fewer_bytes_are_left_than_the_limit_says() {
    lives(BYTES, &three_seen(&[seen(0, 10, 5), seen(1, 1000, 10)])).unwrap();
    finds(lives(BYTES, &three_seen(&[seen(1, 999, 10)])), "has 999 bytes, nobody asked");
    finds(lives(FOR_EVER, &three_seen(&[seen(1, 1000, 10)])), "nobody asked for that");
    for cut in [CLOSED, KILLED] {
        finds(opens(BYTES, &three_seen(&[]), cut, &left(1..3, 999, BYTES)), "has 999 bytes, nobody asked");
        opens(BYTES, &three_seen(&[]), cut, &left(1..3, 1000, BYTES)).unwrap();
    }
    // A power cut takes what came behind: of two records no more than 128 bytes each.
    let rules = LogRules { is_always: false, segment_bytes: SEGMENT_BYTES, limits: BYTES, tombstone_ms: None };
    for (bytes, is_right) in [(1000 - 256, true), (1000 - 257, false)] {
        let mut checker = Checker::new(&[rules], 1, true);
        checker.check_life(&three_seen(&[])).unwrap();
        let cut = checker.check_opening(&three_seen(&[]), POWER_CUT, &left(1..1, bytes, BYTES));
        assert_eq!(cut.is_ok(), is_right, "{bytes}: {cut:?}");
    }
}

#[test]
fn records_are_deleted_before_they_are_old_enough() {
    let aged = |ms, at| Life { passed: vec![passed(ms, at)], ..three_seen(&[seen(0, 0, 1), seen(2, 0, 20)]) };
    lives(HOUR, &aged(3_600_000, 10)).unwrap();
    finds(lives(HOUR, &aged(3_599_999, 10)), "nobody asked for that");
    // Time that passed afterwards, or before the second one was sent, does not count.
    finds(lives(HOUR, &aged(3_600_000, 30)), "nobody asked for that");
    let before = Life { passed: vec![passed(3_600_000, 0)], ..three_seen(&[seen(2, 0, 20)]) };
    finds(lives(HOUR, &before), "nobody asked for that");
    finds(opens(HOUR, &three_seen(&[]), CLOSED, &left(2..3, 0, HOUR)), "nobody asked for that");
    // In the next life all of them are older.
    let mut checker = opens(HOUR, &three_seen(&[]), CLOSED, &left(0..3, 0, HOUR)).unwrap();
    let later = Life { passed: vec![passed(3_600_000, 2000)], seen: vec![seen(3, 0, 2010)], ..Life::default() };
    checker.check_life(&later).unwrap();
}

#[test]
fn limits_that_do_not_count_yet_or_any_more() {
    let changed =
        |is_acked, at| Life { altered: vec![altered(BYTES, 10, is_acked)], ..three_seen(&[seen(2, 1000, at)]) };
    lives(FOR_EVER, &changed(false, 11)).unwrap();
    finds(lives(FOR_EVER, &changed(true, 5)), "nobody asked for that");
    let lifted =
        |at| Life { altered: vec![altered(FOR_EVER, 10, true)], ..three_seen(&[seen(0, 1000, 20), seen(2, 1000, at)]) };
    finds(lives(BYTES, &lifted(30)), "nobody asked for that");
    lives(BYTES, &Life { seen: vec![seen(0, 1000, 5), seen(2, 1000, 30)], ..lifted(30) }).unwrap();
    for (is_acked, old_is_right) in [(true, false), (false, true)] {
        let life = Life { altered: vec![altered(BYTES, 10, is_acked)], ..three_seen(&[]) };
        for cut in [CLOSED, KILLED, POWER_CUT] {
            opens(FOR_EVER, &life, cut, &left(0..3, 0, BYTES)).unwrap();
            finds(opens(FOR_EVER, &life, cut, &left(0..3, 0, HOUR)), "the limits are");
            let old = opens(FOR_EVER, &life, cut, &left(0..3, 0, FOR_EVER));
            assert_eq!(old.is_ok(), old_is_right, "{cut:?}");
        }
    }
    let late = Life { altered: vec![altered(BYTES, 150, true)], ..three_seen(&[]) };
    finds(opens(FOR_EVER, &late, KILLED, &left(0..3, 0, BYTES)), "the limits are");
}

#[test]
fn more_is_kept_than_the_limits_say() {
    let kept = |limits, have_aged, seen: Seen| {
        let life = three_seen(&[]);
        opens(limits, &life, CLOSED, &left(0..3, 0, limits)).unwrap().check_maintained(&[seen], have_aged)
    };
    kept(BYTES, true, seen(0, 1000 + SEGMENT_BYTES - 1, 2000)).unwrap();
    finds(kept(BYTES, true, seen(0, 1000 + SEGMENT_BYTES, 2000)), "bytes are kept");
    kept(FOR_EVER, true, seen(0, 1 << 40, 2000)).unwrap();
    kept(HOUR, false, seen(0, 0, 2000)).unwrap();
    kept(HOUR, true, seen(3, 0, 2000)).unwrap();
    finds(kept(HOUR, true, seen(2, 0, 2000)), "is kept for longer");
}

#[test]
fn a_record_above_the_start_is_missing() {
    let was_seen = three_seen(&[seen(1, 1000, 10)]);
    let with_gap = |there: &[Id]| {
        let mut found = left(1..3, 1000, BYTES);
        found.logs[0].ids = there.to_vec();
        found
    };
    opens(BYTES, &was_seen, KILLED, &with_gap(&[id(0, 1), id(0, 2)])).unwrap();
    finds(opens(BYTES, &was_seen, KILLED, &with_gap(&[0, id(0, 2)])), "nothing is at offset 1");
    finds(opens(BYTES, &was_seen, KILLED, &with_gap(&[id(0, 2), id(0, 1)])), "offset 1 had");
    finds(opens(BYTES, &was_seen, KILLED, &left(1..2, 1000, BYTES)), "2 records are left of the 3");
    // Also if it was there when this life began.
    let mut checker = opens(BYTES, &was_seen, KILLED, &left(1..3, 1000, BYTES)).unwrap();
    let nothing = Life::default();
    finds(checker.check_opening(&nothing, KILLED, &with_gap(&[0, id(0, 2)])), "nothing is at offset 1");
    let not_durable = Found { durable: vec![0], ..left(3..3, 1000, BYTES) };
    let rules = LogRules { is_always: false, segment_bytes: SEGMENT_BYTES, limits: BYTES, tombstone_ms: None };
    let mut checker = Checker::new(&[rules], 1, true);
    checker.check_life(&was_seen).unwrap();
    finds(checker.check_opening(&was_seen, KILLED, &not_durable), "only what is below 0 is said to be durable");
}

#[test]
fn a_piece_may_begin_below_the_start_and_is_whole_above() {
    let sent = [piece(id(0, 0), 3, 10, Outcome::Unknown)];
    let life = Life { deletions: vec![deletion(1, 20, Some(1))], ..life(&sent, vec![]) };
    opens(FOR_EVER, &life, KILLED, &left(1..3, 0, FOR_EVER)).unwrap();
    finds(opens(FOR_EVER, &life, KILLED, &left(1..2, 0, FOR_EVER)), "is not whole");
}

#[test]
fn a_member_that_skips_what_was_not_deleted() {
    let skips = |from: u64| vec![member(10).gets(0, &ids(0..1)).gets(from, &ids(from..3)).leaves()];
    // The deletion is known to be done only afterwards, and nobody has seen a later start than 2.
    let looked = [seen(0, 1000, 5), seen(2, 1000, 20)];
    lives(BYTES, &three_read(&looked, skips(2))).unwrap();
    lives(BYTES, &three_read(&looked, skips(1))).unwrap();
    finds(lives(BYTES, &three_read(&[seen(0, 1000, 20)], skips(2))), "a poll returned offset 2, the next one was 1");
    finds(lives(BYTES, &three_read(&[], skips(2))), "a poll returned offset 2, the next one was 1");
    // The start moved, but not so far, or only later.
    let nearer = [seen(1, 1000, 20), seen(2, 1000, 30)];
    finds(lives(BYTES, &three_read(&nearer, skips(2))), "a poll returned offset 2, the next one was 1");
    let begins = |from: u64| vec![member(10).gets(from, &ids(from..3)).leaves()];
    lives(BYTES, &three_read(&looked, begins(2))).unwrap();
    finds(lives(BYTES, &three_read(&[seen(1, 1000, 20)], begins(2))), "and 1 to nobody");
}

#[test]
fn a_new_owner_that_begins_neither_at_the_commit_nor_at_the_start() {
    let first = || member(10).gets(0, &ids(0..3)).commits(1, true).leaves();
    let second = |from| member(30).gets(from, &ids(from..3)).leaves();
    let begins = |from, looked: &[Seen]| lives(BYTES, &three_read(looked, vec![first(), second(from)]));
    begins(2, &[seen(2, 1000, 20), seen(2, 1000, 40)]).unwrap();
    begins(1, &[seen(2, 1000, 40)]).unwrap();
    finds(begins(2, &[seen(0, 1000, 40)]), "a new owner began at 2");
    finds(begins(0, &[seen(2, 1000, 40)]), "a new owner began at 0");
}

#[test]
fn a_deleted_record_that_is_asked_for_and_returned() {
    let reader = || vec![member(10).gets(0, &ids(0..3)).leaves()];
    let looked = [seen(1, 1000, 5), seen(1, 1000, 20)];
    finds(lives(BYTES, &three_read(&looked, reader())), "and the log began at 1 before it");
    lives(BYTES, &three_read(&looked[1..], reader())).unwrap();
}

#[test]
fn records_that_were_there_and_that_a_group_never_got() {
    let mut checker = checker(BYTES);
    let reader = member(10).gets(0, &ids(0..1)).leaves();
    checker.check_life(&three_read(&[seen(0, 1000, 20), seen(2, 1000, 40)], vec![reader])).unwrap();
    finds(checker.check_all_delivered(15), "has got 1 of the 3");
    finds(checker.check_all_delivered(30), "has got 2 of the 3");
    let mut checker = self::checker(BYTES);
    checker.check_life(&three_read(&[seen(3, 1000, 20)], vec![])).unwrap();
    checker.check_all_delivered(30).unwrap();
}

/// So many records of one key and others: of the first producer, each with a value or without.
struct Keyed {
    /// Two of one key, with values.
    values: [Id; 2],
    /// Of that key, without one.
    tombstone: Id,
    /// Of another key.
    other: Id,
}

/// In the order in which the producer sends them.
fn keyed() -> Keyed {
    let key = key_of(id(0, 0));
    let of_key = |id: &Id| key_of(*id) == key;
    let mut ids = (0..1_000_000).map(|n| id(0, n));
    let mut values = ids.by_ref().filter(|id| of_key(id) && !is_tombstone(*id));
    let values = [values.next().unwrap(), values.next().unwrap()];
    let tombstone = ids.find(|id| of_key(id) && is_tombstone(*id)).unwrap();
    let other = ids.find(|id| !of_key(id) && !is_tombstone(*id)).unwrap();
    Keyed { values, tombstone, other }
}

/// These were sent one by one, from the first moment on.
fn sent(ids: &[Id]) -> Life {
    let pieces: Vec<Piece> = (0..).zip(ids).map(|(n, id)| piece(*id, 1, 2 * n, Outcome::At(n))).collect();
    life(&pieces, vec![])
}

/// This is at the offsets from 0 on; 0 is nothing.
fn at(ids: &[Id]) -> Found {
    let log = FoundLog { start: 0, ids: ids.to_vec(), bytes: 0, limits: COMPACTED };
    Found { logs: vec![log], durable: vec![ids.len() as u64], committed: vec![vec![None]] }
}

#[test]
fn compaction_that_takes_the_last_record_of_a_key() {
    let Keyed { values: [old, new], other, .. } = keyed();
    let life = sent(&[old, new, other]);
    for cut in [CLOSED, KILLED, POWER_CUT] {
        opens(COMPACTED, &life, cut, &at(&[0, new, other])).unwrap();
        opens(COMPACTED, &life, cut, &at(&[old, new, other])).unwrap();
        finds(opens(COMPACTED, &life, cut, &at(&[old, 0, other])), "is gone, the last one of its key");
        finds(opens(COMPACTED, &life, cut, &at(&[0, new, 0])), "is gone, the last one of its key");
        finds(opens(COMPACTED, &life, cut, &at(&[old, new])), "2 records are left of the 3");
    }
    // The later one was lost with the end of the log.
    let rules = LogRules { tombstone_ms: Some(0), limits: COMPACTED, ..LogRules::default() };
    let mut checker = Checker::new(&[rules], 1, true);
    checker.check_life(&life).unwrap();
    finds(checker.check_opening(&life, POWER_CUT, &at(&[0])), "is gone, the last one of its key");
}

#[test]
fn what_compaction_took_comes_back() {
    let Keyed { values: [old, new], other, .. } = keyed();
    let life = sent(&[old, new, other]);
    let mut checker = opens(COMPACTED, &life, KILLED, &at(&[0, new, other])).unwrap();
    let nothing = Life::default();
    finds(checker.check_opening(&nothing, KILLED, &at(&[old, new, other])), "offset 0 had nothing any more");
    checker.check_opening(&nothing, KILLED, &at(&[0, new, other])).unwrap();
    let reader = member(2000).gets(0, &[old]).leaves();
    finds(checker.check_life(&Life { members: vec![reader], ..Life::default() }), "was not sent in this life");
}

#[test]
fn a_tombstone_that_goes_too_early_or_before_what_it_deletes() {
    let Keyed { values: [old, _], tombstone, other, .. } = keyed();
    let after = |ms| Life { passed: vec![passed(ms, 50)], ..sent(&[old, tombstone, other]) };
    opens(COMPACTED, &after(TOMBSTONE_MS), CLOSED, &at(&[0, 0, other])).unwrap();
    finds(opens(COMPACTED, &after(TOMBSTONE_MS - 1), CLOSED, &at(&[0, 0, other])), "is gone, the last one of its key");
    finds(opens(COMPACTED, &after(TOMBSTONE_MS), CLOSED, &at(&[old, 0, other])), "is there, and not");
    opens(COMPACTED, &after(TOMBSTONE_MS), CLOSED, &at(&[0, tombstone, other])).unwrap();
    // One that was never acknowledged may have been there, and gone.
    let mut open = after(TOMBSTONE_MS);
    open.pieces[1].outcome = Outcome::Unknown;
    opens(COMPACTED, &open, CLOSED, &at(&[0, 0, other])).unwrap();
    finds(
        opens(COMPACTED, &sent(&[old]), CLOSED, &at(&[old, 0])),
        "1 offsets have nothing, and 0 records could be there",
    );
}

#[test]
fn a_member_that_skips_what_compaction_keeps() {
    let Keyed { values: [old, new], tombstone, other } = keyed();
    let reads = |sent: Life, offset, ids: &[Id], at| {
        lives(COMPACTED, &Life { members: vec![member(at).gets(offset, ids).leaves()], ..sent })
    };
    reads(sent(&[old, new, other]), 1, &[new, other], 50).unwrap();
    finds(reads(sent(&[old, new, other]), 2, &[other], 50), "and 1 to nobody");
    // The later one was not there yet.
    let mut late = sent(&[old, new, other]);
    late.pieces[1].began = 60;
    finds(reads(late, 2, &[other], 50), "and 0 to nobody");
    let later = sent(&[old, other]);
    finds(reads(later.clone(), 1, &[other], 50), "and 0 to nobody");
    let mut unknown = later;
    unknown.pieces.push(piece(new, 1, 4, Outcome::Unknown));
    reads(unknown, 1, &[other], 50).unwrap();
    let aged = |ms| Life { passed: vec![passed(ms, 40)], ..sent(&[tombstone, other]) };
    reads(aged(TOMBSTONE_MS), 1, &[other], 50).unwrap();
    finds(reads(aged(TOMBSTONE_MS - 1), 1, &[other], 50), "and 0 to nobody");
}

#[test]
fn a_group_that_never_got_the_last_record_of_a_key() {
    let Keyed { values: [old, new], other, .. } = keyed();
    let checked = |read: &[Id]| {
        let reader = member(50).gets(1, read).leaves();
        let mut checker = checker(COMPACTED);
        checker.check_life(&Life { members: vec![reader], ..sent(&[old, new, other]) }).unwrap();
        checker.check_all_delivered(100)
    };
    checked(&[new, other]).unwrap();
    finds(checked(&[new]), "has got 2 of the 3");
}

#[test]
fn a_key_is_there_twice_after_compaction() {
    let Keyed { values: [old, new], other, .. } = keyed();
    let checker = opens(COMPACTED, &sent(&[old, new, other]), CLOSED, &at(&[old, new, other])).unwrap();
    checker.check_compacted(0, 1).unwrap();
    finds(checker.check_compacted(0, 2), "has the same key");
    // Of a log without keys nothing of the kind is asked.
    check_over(&life(&three(), vec![]), CLOSED, &super::found(&ids(0..3), None))
        .unwrap()
        .check_compacted(0, 3)
        .unwrap();
}
