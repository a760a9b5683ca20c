//! What all builders share for settings that come as text: parsing, bounds, and the nearest known name of an unknown one.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// The longest duration that a Kafka setting can name: a signed 64-bit number of milliseconds.
pub(crate) const DURATION_MS_MAX: u64 = i64::MAX as u64;

/// An error about the value of a known setting. `reason` says what is wrong and what would be right.
pub(crate) fn invalid(key: &'static str, value: impl Display, reason: impl Into<String>) -> Error {
    Error::InvalidConfig { key, value: value.to_string(), reason: reason.into() }
}

/// An error about a setting that is not among `known`; names the nearest one that is.
pub(crate) fn unknown(key: &str, known: &[&'static str]) -> Error {
    Error::UnknownConfig { key: key.to_owned(), nearest: nearest(key, known) }
}

/// Reads a whole number. Bounds are checked later, together with everything else.
pub(crate) fn parse_number<N: FromStr>(key: &'static str, value: &str) -> Result<N> {
    parse_as(key, value, || format!("expected a whole number that fits {}", std::any::type_name::<N>()))
}

fn parse_as<N: FromStr>(key: &'static str, value: &str, expected: impl FnOnce() -> String) -> Result<N> {
    value.trim().parse().map_err(|_| invalid(key, value, expected()))
}

/// Reads a number of milliseconds.
pub(crate) fn parse_duration_ms(key: &'static str, value: &str) -> Result<Duration> {
    let expected = || "expected a whole number of milliseconds, such as 3600000 for an hour".to_owned();
    parse_as(key, value, expected).map(Duration::from_millis)
}

/// Reads `true` or `false`, in any case, as Kafka does.
pub(crate) fn parse_bool(key: &'static str, value: &str) -> Result<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(key, value, "expected true or false")),
    }
}

/// Refuses a number out of bounds.
pub(crate) fn check_range<N: PartialOrd + Display + Copy>(
    key: &'static str,
    value: N,
    bounds: RangeInclusive<N>,
) -> Result<()> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(invalid(key, value, format!("must be from {} to {}", bounds.start(), bounds.end())))
}

/// Refuses a duration that is not a whole number of milliseconds, at least one: it could not be written down as a setting.
pub(crate) fn check_duration_ms(key: &'static str, value: Duration) -> Result<()> {
    let whole = value.subsec_nanos().is_multiple_of(1_000_000);
    if whole && (1..=u128::from(DURATION_MS_MAX)).contains(&value.as_millis()) {
        return Ok(());
    }
    let reason = format!("must be a whole number of milliseconds from 1 to {DURATION_MS_MAX}");
    Err(invalid(key, shown(value), reason))
}

/// As the text form has it, if it has one.
fn shown(value: Duration) -> String {
    match value.subsec_nanos() % 1_000_000 {
        0 => value.as_millis().to_string(),
        _ => format!("{value:?}"),
    }
}

/// Refuses a duration that is not a whole number of milliseconds; it may be none.
pub(crate) fn check_duration_or_zero_ms(key: &'static str, value: Duration) -> Result<()> {
    if value.is_zero() {
        return Ok(());
    }
    check_duration_ms(key, value).map_err(|_| {
        let reason = format!("must be a whole number of milliseconds from 0 to {DURATION_MS_MAX}");
        invalid(key, shown(value), reason)
    })
}

/// The known name that takes the fewest changes of a letter to reach, in whatever order its words are: one that has all words of
/// `key`, or takes no more changes than a third of its letters.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let changes_max = key.chars().count() / 3;
    let given = words(key);
    let rank = |name: &&'static str| {
        let of_name = words(name);
        let distance = edit_distance(key, name).min(edit_distance(&given.join("."), &of_name.join(".")));
        let has_all_words = given.iter().all(|word| of_name.contains(word));
        (has_all_words || distance <= changes_max).then_some((distance, *name))
    };
    known.iter().filter_map(rank).min().map(|(_, name)| name)
}

/// The words of a name, in ascending order: Kafka's names of one setting differ in their order, `max.message.bytes` and
/// `message.max.bytes`.
fn words(key: &str) -> Vec<&str> {
    let mut words: Vec<&str> = key.split(['.', '_', '-']).collect();
    words.sort_unstable();
    words
}

/// How many characters must be inserted, removed or replaced to make `a` of `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    // One row of the table: the distances from what was read of `a` to every prefix of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            left = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["segment.bytes", "segment.ms", "max.message.bytes"];

    #[test]
    fn edit_distances() {
        for (a, b, distance) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        assert_eq!(nearest("segmnet.bytes", &KNOWN), Some("segment.bytes"));
        assert_eq!(nearest("segment_ms", &KNOWN), Some("segment.ms"));
        assert_eq!(nearest("max.messages.byte", &KNOWN), Some("max.message.bytes"));
        assert_eq!(nearest("message.max.bytes", &KNOWN), Some("max.message.bytes"), "another order");
        assert_eq!(nearest("max.bytes", &KNOWN), Some("max.message.bytes"), "words are missing");
        assert_eq!(nearest("segment", &KNOWN), Some("segment.ms"));
        assert_eq!(nearest("unclean.leader.election.enable", &KNOWN), None);
        assert_eq!(nearest("", &KNOWN), None);
    }

    #[test]
    fn text_is_parsed_or_refused() {
        assert_eq!(parse_number::<u32>("k", " 12 ").unwrap(), 12);
        assert!(parse_number::<u32>("k", "-1").is_err());
        assert!(parse_number::<u32>("k", "4294967296").is_err());
        assert!(parse_number::<u64>("k", "1k").is_err());
        assert_eq!(parse_duration_ms("k", "1500").unwrap(), Duration::from_millis(1500));
        assert!(parse_bool("k", "TRUE").unwrap());
        assert!(!parse_bool("k", "false").unwrap());
        assert!(parse_bool("k", "yes").is_err());
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        check_duration_ms("k", Duration::from_millis(1)).unwrap();
        check_duration_ms("k", Duration::from_millis(i64::MAX as u64)).unwrap();
        for bad in [Duration::ZERO, Duration::from_micros(1500), Duration::MAX] {
            assert!(check_duration_ms("k", bad).is_err(), "{bad:?}");
        }
    }
}
