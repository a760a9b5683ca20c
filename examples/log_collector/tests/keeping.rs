//! What is deleted is the oldest; what is left is right, and what is gone is told.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ottla::{Broker, CleanupPolicy, ProducerRecord, TopicConfig};

use super::place::{Done, Place, lines};
use crate::checkpoint::BOOKMARKS;
use crate::journal::{LINES, PARTITIONS};
use crate::keep::Keep;

const BUDGET: u64 = 6_000_000;
const A_BUDGET: Keep = Keep { age: None, bytes: Some(BUDGET) };
const AN_HOUR: Keep = Keep { age: Some(Duration::from_secs(3600)), bytes: None };
const NO_TIME: Keep = Keep { age: Some(Duration::from_millis(1)), bytes: None };
/// More than the budget.
const MANY: u64 = 60_000;

/// A line of 200 bytes that cannot be compressed much.
fn noise(number: u64) -> String {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut line = format!("2024-05-06 07:08:09 INFO {number:010} ");
    while line.len() < 199 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(line, "{state:016x}").unwrap();
    }
    line.truncate(199);
    line + "\n"
}

fn noises(numbers: std::ops::Range<u64>) -> String {
    numbers.map(noise).collect()
}

/// A place with a budget, and with one file that is larger. Its front is gone.
fn overfull() -> (Place, Done) {
    let place = Place::keeping(A_BUDGET);
    place.write("a.log", noises(0..MANY));
    let done = place.run_and_verify();
    (place, done)
}

/// The first bytes of the file that are no longer kept.
fn gone_bytes(done: &Done) -> u64 {
    done.summary.verified.unwrap().lines.no_longer_kept * 200
}

/// Changes the first byte of a line, which stays as long as it was.
fn change_line(place: &Place, line: u64) {
    let mut bytes = std::fs::read(place.log("a.log")).unwrap();
    bytes[usize::try_from(line * 200).unwrap()] = b'X';
    place.write("a.log", bytes);
}

#[test]
fn the_oldest_lines_make_room_and_the_rest_is_verified() {
    let (place, done) = overfull();
    let all = &done.summary.all;
    assert_eq!((done.lines(), all.lines), (MANY, MANY));
    assert!(all.extent.no_longer_kept > MANY / 3 && all.extent.kept > MANY / 20, "{:?}", all.extent);
    assert_eq!(all.extent.kept + all.extent.no_longer_kept, MANY);
    let used = done.summary.disk.usage.used_bytes();
    let segment_bytes = u64::from(A_BUDGET.lines(1).get_segment_bytes());
    assert!(used <= BUDGET + segment_bytes, "{used}");
    let verified = done.summary.verified.unwrap();
    assert_eq!((verified.files, verified.lines.equal + verified.lines.no_longer_kept), (1, MANY));
    assert!(verified.lines.equal > MANY / 20 && verified.lines.not_placed == 0);
    done.assert_told(&["a.log", "lines 1 to ", "no longer kept"]);
    let text = done.summary.to_string();
    for part in ["= kept", "+ no longer kept", "of at most", "not verified: "] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // What is left are the last lines, each once.
    let values = place.values();
    let first = MANY - values.len() as u64;
    assert!(values.iter().zip(first..).all(|(value, number)| *value == noise(number).trim_end()));
}

#[test]
fn a_file_of_which_the_front_is_gone_goes_on_where_it_was() {
    let (place, _) = overfull();
    assert_eq!(place.run_and_verify().lines(), 0);
    place.append("a.log", noises(MANY..MANY + 10));
    place.rename("a.log", "a.log.1");
    assert_eq!(place.run_and_verify().lines(), 10);
    place.compress("a.log.1");
    assert_eq!(place.run_and_verify().lines(), 0);
}

#[test]
fn a_difference_is_found_in_what_is_kept() {
    let (place, _) = overfull();
    change_line(&place, 1000);
    // Of that line nothing is kept.
    assert_eq!(place.run_and_verify().lines(), 0);
    change_line(&place, MANY - 1000);
    let mut options = place.options();
    options.is_verifying = true;
    let done = place.run_with(&options);
    assert_eq!((done.lines(), done.summary.verified.unwrap().wrong_files), (0, 1));
    done.assert_told(&["a.log", &format!("line {} is not what was collected", MANY - 999)]);
}

#[test]
fn of_what_is_no_longer_kept_a_copy_is_told_by_what_follows() {
    let (place, done) = overfull();
    let gone = gone_bytes(&done);
    let text = std::fs::read(place.log("a.log")).unwrap();
    let middle = usize::try_from(gone.midpoint(text.len() as u64) / 200 * 200).unwrap();
    place.write("copy.log", &text[..middle]);
    let done = place.run();
    assert_eq!((done.lines(), done.summary.tally.copies), (0, 1));
    // Here nothing follows, so it may be another file.
    place.write("front.log", &text[..100 * 200]);
    let done = place.run();
    assert_eq!(done.lines(), 100);
    done.assert_told(&["front.log", "may be a copy of what is no longer kept"]);
    assert_eq!(place.run().lines(), 0);
}

#[test]
fn many_files_go_on_where_they_were_whatever_is_gone() {
    let place = Place::keeping(A_BUDGET);
    let names: Vec<_> = (0..20).map(|number| format!("{number}.log")).collect();
    let per_file = MANY / 20;
    for (name, file) in names.iter().zip(0..) {
        place.write(name, noises(file * per_file..(file + 1) * per_file));
    }
    let done = place.run_and_verify();
    assert_eq!(done.lines(), MANY);
    let verified = done.summary.verified.unwrap();
    assert_eq!((verified.files, verified.lines.equal + verified.lines.no_longer_kept), (20, MANY));
    for (name, file) in names.iter().zip(0..) {
        place.append(name, noises(MANY + file * 3..MANY + file * 3 + 3));
    }
    assert_eq!(place.run_and_verify().lines(), 60);
    let values = place.values();
    assert!(values.is_sorted_by(|one, other| one < other), "a line is there twice");
}

#[test]
fn old_lines_that_are_collected_today_stay() {
    let place = Place::keeping(AN_HOUR);
    place.write("a.log", lines("a", 0..500));
    assert_eq!(place.run_and_verify().lines(), 500);
    place.journal().broker.run_maintenance().unwrap();
    assert_eq!(place.values().len(), 500);
}

#[test]
fn lines_go_when_their_time_is_over_and_do_not_come_again() {
    let place = Place::keeping(NO_TIME);
    place.write("a.log", lines("a", 0..500));
    assert_eq!(place.run_and_verify().lines(), 500);
    let journal = place.journal();
    let patience = Instant::now() + Duration::from_secs(60);
    while journal.extent().kept > 0 {
        assert!(Instant::now() < patience, "{:?}", journal.extent());
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(journal);
    let done = place.run_and_verify();
    let verified = done.summary.verified.unwrap();
    assert_eq!((done.lines(), verified.lines.equal, verified.lines.no_longer_kept), (0, 0, 500));
    place.append("a.log", lines("a", 500..510));
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.all.lines), (10, 510));
}

#[test]
fn other_options_hold_for_the_lines_that_are_there() {
    let mut place = Place::new();
    place.write("a.log", lines("a", 0..100));
    for keep in [Keep::default(), A_BUDGET, AN_HOUR, Keep { bytes: Some(2 * BUDGET), ..AN_HOUR }, Keep::default()] {
        place.keep = keep;
        place.append("a.log", lines("b", 0..10));
        place.run_and_verify();
        let broker = Broker::open(place.data()).unwrap();
        let partitions = u32::try_from(PARTITIONS).unwrap();
        assert_eq!(broker.existing_topic(LINES).unwrap().config(), keep.lines(partitions));
        assert_eq!(broker.existing_topic(BOOKMARKS).unwrap().config(), keep.bookmarks());
    }
    assert_eq!(place.values().len(), 150);
}

#[test]
fn after_compaction_every_file_goes_on_where_it_was() {
    let place = Place::keeping(A_BUDGET);
    let names: Vec<_> = (0..300).map(|number| format!("{number}.log")).collect();
    for name in &names {
        place.write(name, lines(name, 0..1));
    }
    for line in 1..4 {
        assert_eq!(place.run().lines(), 300);
        for name in &names {
            place.append(name, lines(name, line..line + 1));
        }
    }
    assert_eq!(place.run().lines(), 300);
    let journal = place.journal();
    journal.broker.admin().compact(BOOKMARKS).unwrap();
    let left = journal.broker.existing_topic(BOOKMARKS).unwrap().partition(0).unwrap().iter_from(0).count();
    assert!(left < 4 * 300, "{left}");
    drop(journal);
    assert_eq!(place.run_and_verify().lines(), 0);
    for name in &names {
        place.append(name, lines(name, 4..5));
    }
    assert_eq!(place.run_and_verify().lines(), 300);
    let mut values = place.values();
    values.dedup();
    assert_eq!(values.len(), 5 * 300);
}

#[test]
fn a_log_of_an_earlier_version_goes_on_where_it_was() {
    let mut place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    make_earlier_version(&place);
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.totals.levels[3]), (0, 20));
    let broker = Broker::open(place.data()).unwrap();
    assert_eq!(broker.existing_topic(BOOKMARKS).unwrap().config().get_cleanup_policy(), CleanupPolicy::Compact);
    drop(broker);
    make_earlier_version(&place);
    place.keep = A_BUDGET;
    place.append("a.log", lines("a", 20..25));
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.totals.levels[3]), (5, 25));
}

/// Large segments, and a topic of bookmarks that is not compacted, with totals that have no key.
fn make_earlier_version(place: &Place) {
    let broker = Broker::open(place.data()).unwrap();
    let bookmarks = broker.existing_topic(BOOKMARKS).unwrap().partition(0).unwrap();
    let mut records = Vec::new();
    for record in bookmarks.iter_from(0) {
        let record = record.unwrap();
        let value = record.value().unwrap();
        records.push(match record.key() {
            Some(b"totals") => (None, value[..value.len() - 8].to_vec()),
            key => (key.map(<[u8]>::to_vec), value.to_vec()),
        });
    }
    broker.admin().delete_topic(BOOKMARKS).unwrap();
    broker.create_topic(BOOKMARKS, TopicConfig::new().max_message_bytes(256 << 20)).unwrap();
    for (key, value) in &records {
        let record = ProducerRecord::to(BOOKMARKS).value(value);
        let record = if let Some(key) = key { record.key(key) } else { record };
        broker.producer().send(record).unwrap();
    }
    broker.admin().alter_topic(LINES, |config| config.segment_bytes(1 << 30)).unwrap();
}

#[test]
fn what_is_gone_before_a_checkpoint_is_missed_and_told() {
    let (place, _) = overfull();
    Broker::open(place.data()).unwrap().admin().delete_topic(BOOKMARKS).unwrap();
    let done = place.run_and_verify();
    let (all, totals) = (&done.summary.all, &done.summary.totals);
    // The bookmark of the last line is there, and says all.
    assert_eq!((done.lines(), all.lines, totals.missed), (0, MANY, all.extent.no_longer_kept));
}

#[test]
fn what_is_gone_with_its_bookmarks_is_collected_again_and_kept_once() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    let broker = Broker::open(place.data()).unwrap();
    let partitions = broker.existing_topic(LINES).unwrap().partitions();
    let ends: Vec<_> =
        partitions.map(|partition| (partition.topic_partition().clone(), partition.log_end_offset())).collect();
    broker.admin().delete_records(&ends).unwrap();
    broker.admin().delete_topic(BOOKMARKS).unwrap();
    drop(broker);
    let done = place.run_and_verify();
    assert_eq!((done.lines(), place.values().len()), (20, 20));
    assert!(done.summary.to_string().contains("- collected again"));
}
