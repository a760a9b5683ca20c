//! What files hold never ends a run, and nothing of it is lost in silence.

use super::place::{Place, gzip, lines};

#[test]
fn a_time_before_1970_is_none_and_its_line_is_collected() {
    let place = Place::new();
    let zero = "time=\"0001-01-01T00:00:00Z\" level=info msg=\"not scheduled yet\"\n";
    place.write("a.log", [&lines("a", 0..4), zero].concat());
    let done = place.run();
    assert_eq!((done.lines(), done.summary.tally.not_understood), (5, 1));
    assert!(done.summary.tally.samples[0].contains("a.log:5: time="), "{:?}", done.summary.tally.samples);
    assert_eq!(place.run().lines(), 0);
}

#[test]
fn nuls_of_a_power_cut_are_taken_off() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..3));
    place.run();
    place.append("a.log", [vec![0; 100], b"\n".to_vec(), lines("a", 3..6).into_bytes()].concat());
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.tally.taken_off_bytes), (3, 101 + 3));
}

#[test]
fn the_hole_of_a_writer_that_does_not_append_is_taken_off() {
    let place = Place::new();
    place.write("a.log", [vec![0; 16_890], lines("a", 501..601).into_bytes()].concat());
    assert_eq!(place.run_and_verify().lines(), 100);
}

#[test]
fn values_have_no_line_ends() {
    let place = Place::new();
    place.write("a.log", b"a\r\n\r\n\xff\0\nb");
    assert_eq!(place.run_and_verify().lines(), 4);
    assert_eq!(place.values(), ["", "a", "b", "\u{fffd}\0"]);
}

#[test]
fn what_is_longer_than_a_batch_is_named_with_its_line() {
    let place = Place::new();
    let (ten, seventeen) = (vec![b'x'; 10 << 20], vec![b'y'; 17 << 20]);
    place.write("a.log", [b"first\n", ten.as_slice(), b"\n", &seventeen, b"\nlast\n"].concat());
    let done = place.run_and_verify();
    assert_eq!((done.lines(), done.summary.tally.lines_skipped), (3, 1));
    assert_eq!(done.summary.tally.skipped_bytes, (17 << 20) + 1);
    done.assert_told(&["a.log", "line 3 skipped", "17825793 bytes"]);
    let done = place.run();
    assert_eq!((done.lines(), done.told.len()), (0, 0));
}

#[test]
fn a_last_line_is_left_while_it_may_still_be_being_written() {
    let place = Place::new();
    std::fs::write(place.log("a.log"), "whole\nhalf").unwrap();
    let done = place.run();
    assert_eq!((done.lines(), done.summary.tally.left_bytes), (1, 4));
    place.append("a.log", " and more");
    assert_eq!(place.run().lines(), 1);
    // Its end comes late, and is no empty line.
    place.append("a.log", "\nnext\n");
    assert_eq!(place.run_and_verify().lines(), 1);
    assert_eq!(place.values(), ["half and more", "next", "whole"]);
}

#[test]
fn a_damaged_gzip_file_is_read_as_far_as_it_goes_and_named() {
    let place = Place::new();
    let whole = gzip(lines("a", 0..20_000).as_bytes());
    place.write("a.log.gz", &whole[..whole.len() - 12]);
    let done = place.run();
    assert!(done.lines() > 1000 && done.has_failed, "{}", done.lines());
    done.assert_told(&["a.log.gz", "not read to its end"]);
    place.write("a.log.gz", whole);
    let rest = place.run_and_verify();
    assert_eq!((done.lines() + rest.lines(), rest.has_failed), (20_000, false));
}

#[test]
fn what_is_compressed_otherwise_is_named() {
    let place = Place::new();
    place.write("a.log.xz", b"\xfd7zXZ\0 and so on");
    let done = place.run();
    assert_eq!((done.lines(), done.summary.tally.skipped_bytes), (0, 16));
    done.assert_told(&["a.log.xz", "16 bytes", "xz"]);
}

#[test]
fn a_path_that_is_not_there_is_named_and_the_rest_collected() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..3));
    let mut options = place.options();
    options.paths.insert(0, place.log("missing.log"));
    let done = place.run_with(&options);
    assert_eq!((done.lines(), done.has_failed), (3, true));
    done.assert_told(&["missing.log"]);
}

#[test]
fn a_run_that_is_limited_is_gone_on_with() {
    let place = Place::new();
    for name in ["a.log", "b.log"] {
        place.write(name, lines(name, 0..60_000));
    }
    let mut options = place.options();
    options.bytes_max = 1;
    let mut done = 0;
    for _ in 0..100 {
        let lines = place.run_with(&options).lines();
        assert!(lines < 120_000);
        done += lines;
        if lines == 0 {
            break;
        }
    }
    assert_eq!(done, 120_000);
    place.run_and_verify();
}

#[cfg(unix)]
#[test]
fn a_folder_of_links_is_collected() {
    let place = Place::new();
    std::fs::create_dir(place.data().with_file_name("pods")).unwrap();
    place.write("../pods/0.log", lines("a", 0..1));
    std::os::unix::fs::symlink("../pods/0.log", place.log("app.log")).unwrap();
    assert_eq!(place.run_and_verify().lines(), 1);
}
