//! What is shown is chosen; everything is collected.

use ottla::Timestamp;

use super::place::{Place, lines};
use crate::level::Level;
use crate::options::Options;

const LOG: &str = "\
1709208000 INFO begins
1709208001 ERROR fails
java.lang.IllegalStateException: x
\tat a.B.c(B.java:1)
1709208002 WARN again
1709208003 DEBUG ends
";

fn shown(place: &Place, options: &Options) -> Vec<String> {
    let done = place.run_with(options);
    done.shown.lines().map(|line| line.split_once("a.log: ").unwrap().1.to_owned()).collect()
}

#[test]
fn a_level_shows_what_is_as_bad_and_what_belongs_to_it() {
    let place = Place::new();
    place.write("a.log", LOG);
    let found = shown(&place, &Options { level: Some(Level::Error), ..place.options() });
    assert_eq!(found, LOG.lines().skip(1).take(3).collect::<Vec<_>>());
    assert_eq!(place.values().len(), 6);
}

#[test]
fn a_time_shows_lines_of_earlier_runs_too() {
    let place = Place::new();
    place.write("a.log", LOG);
    assert!(place.run().shown.is_empty());
    place.append("a.log", "1709208004 INFO more\n1700000000 INFO from long ago\n");
    let since = Some(Timestamp::from_millis(1_709_208_001_000));
    let found = shown(&place, &Options { since, ..place.options() });
    assert_eq!(found, LOG.lines().skip(1).chain(["1709208004 INFO more"]).collect::<Vec<_>>());
    assert_eq!(place.values().len(), 8);
}

#[test]
fn nothing_is_shown_unless_asked_for() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..3));
    assert_eq!(place.run().shown, "");
}

#[test]
fn the_table_tells_what_there_is() {
    let place = Place::new();
    place.write("a.log", lines("a", 0..3));
    let text = place.run().summary.to_string();
    for part in ["files with new lines: 1", "bytes read", "on disk per byte of lines", "lines/s", "info"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
