//! A file is what it holds, whatever its name.

use ottla::Broker;

use super::place::{Place, banner, gzip, lines};

#[test]
fn a_renamed_file_goes_on_where_it_was() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    place.append("a.log", lines("a", 20..25));
    place.rename("a.log", "a.log.1");
    place.write("a.log", lines("a", 25..30));
    assert_eq!(place.run_and_verify().lines(), 10);
    assert_eq!(place.run_and_verify().lines(), 0);
}

#[test]
fn a_compressed_file_goes_on_where_it_was() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..2000));
    place.run();
    place.append("a.log", lines("a", 2000..2005));
    place.compress("a.log");
    assert_eq!(place.run_and_verify().lines(), 5);
    place.append("a.log.gz", gzip(lines("a", 2005..2007).as_bytes()));
    assert_eq!(place.run_and_verify().lines(), 2);
}

#[test]
fn the_copy_of_copytruncate_is_nothing_new() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    place.copy("a.log", "a.log.1");
    place.write("a.log", "");
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.tally.copies), (0, 0));
}

#[test]
fn what_was_written_before_copytruncate_is_collected_from_the_copy() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    place.append("a.log", lines("a", 20..23));
    place.copy("a.log", "a.log.1");
    place.write("a.log", lines("a", 23..24));
    assert_eq!(place.run_and_verify().lines(), 4);
}

#[test]
fn an_emptied_file_that_begins_alike_and_has_grown_further_is_new() {
    let place = Place::new();
    place.write("a.log", [banner(), lines("first", 0..20)].concat());
    assert_eq!(place.run().lines(), 25);
    place.write("a.log", [banner(), lines("second", 0..100)].concat());
    assert_eq!(place.run_and_verify().lines(), 105);
}

#[test]
fn an_emptied_file_that_begins_alike_and_is_shorter_is_new() {
    let place = Place::new();
    let long_banner = banner().repeat(30);
    place.write("a.log", [&long_banner, &lines("first", 0..20)].map(String::as_str).concat());
    assert_eq!(place.run().lines(), 170);
    place.write("a.log", [&long_banner, &lines("second", 0..3)].map(String::as_str).concat());
    assert_eq!(place.run_and_verify().lines(), 153);
}

#[test]
fn files_that_begin_alike_are_two() {
    let place = Place::new();
    place.write("a.log", [banner().repeat(30), lines("a", 0..20)].concat());
    place.write("b.log", [banner().repeat(30), lines("b", 0..20)].concat());
    assert_eq!(place.run_and_verify().lines(), 340);
    place.append("a.log", lines("a", 20..22));
    place.append("b.log", lines("b", 20..23));
    assert_eq!(place.run_and_verify().lines(), 5);
}

#[test]
fn a_copy_at_the_side_is_named() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.copy("a.log", "b.log");
    let done = place.run_and_verify();
    let size = u64::try_from(lines("a", 0..20).len()).unwrap();
    assert_eq!((done.lines(), done.summary.tally.copied_bytes, done.summary.tally.read_bytes), (20, size, 2 * size));
    done.assert_told(&["b.log", "lines 1 to 20 skipped", "a copy of", "a.log"]);
    // Each is a file of its own from there on.
    place.append("a.log", lines("a", 20..22));
    place.append("b.log", lines("b", 20..23));
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.told.len()), (5, 0));
}

#[test]
fn an_older_copy_is_named() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..2000));
    place.run();
    place.write("backup.log", lines("a", 0..500));
    let done = place.run_and_verify();
    assert_eq!(done.lines(), 0);
    done.assert_told(&["backup.log", "lines 1 to 500 skipped", "a.log"]);
    assert_eq!(place.run_and_verify().told.len(), 0);
    place.append("backup.log", lines("other", 500..510));
    assert_eq!(place.run_and_verify().lines(), 10);
    // And a copy of what is a copy in its beginning.
    place.write("third.log", [lines("a", 0..500), lines("other", 500..505)].concat());
    let done = place.run_and_verify();
    assert_eq!(done.lines(), 0);
    done.assert_told(&["third.log", "lines 1 to 505 skipped", "backup.log"]);
}

#[test]
fn a_copy_that_is_being_made_is_left_until_it_is_whole() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..2000));
    place.run();
    std::fs::write(place.log("a.log.1"), &lines("a", 0..2000).as_bytes()[..30_000]).unwrap();
    let done = place.run();
    assert_eq!((done.lines(), done.summary.tally.copies, done.summary.tally.left_bytes), (0, 0, 30_000));
    place.copy("a.log", "a.log.1");
    place.write("a.log", "");
    assert_eq!(place.run_and_verify().lines(), 0);
}

#[test]
fn names_devices_and_inodes_prove_nothing() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..20));
    place.run();
    // Everything is moved to another folder, and so to other inodes.
    place.write("b.log", lines("a", 0..22));
    std::fs::remove_file(place.log("a.log")).unwrap();
    assert_eq!(place.run_and_verify().lines(), 2);
}

#[test]
fn a_run_that_was_killed_before_its_checkpoint_loses_and_repeats_nothing() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..2000));
    place.run();
    place.append("a.log", lines("a", 2000..2010));
    place.run();
    // Of a run that was killed at its end, the lines are there and the checkpoint is not.
    Broker::open(place.data()).unwrap().admin().delete_topic("bookmarks").unwrap();
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.all.lines, done.summary.totals.levels[3]), (0, 2010, 2010));
}
