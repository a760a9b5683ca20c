//! The time that a line says it is from, in the forms that logs write.
//!
//! ```text
//! 2024-05-06T07:08:09.123+02:00    ISO 8601; also with a space or a comma (log4j, Python), 2024/05/06 (Go, nginx), 20240506T070809Z
//! May  6 07:08:09                  syslog; behind <34>, too, as is the ISO 8601 of the new syslog
//! [06/May/2024:07:08:09 +0200]     Apache and nginx, access
//! [Mon May 06 07:08:09.123 2024]   Apache, errors; `ctime`
//! Mon, 06 May 2024 07:08:09 +0200  mail and HTTP; without the day of the week log4j's DATE
//! I0506 07:08:09.123456            klog
//! 1714979289.123                   seconds, milliseconds, microseconds or nanoseconds since 1970, at the beginning, as `ts`, in audit(…)
//! ```
//! A time without an offset is taken as UTC. One without a year is the last such day before the file was modified.

mod epoch;
mod parse;

use ottla::Timestamp;

use epoch::epoch;
use parse::{DAY_MS, date, date_before, day, digits, fraction, month, offset, one_of, time_of_day, weekday};

/// Times are looked for in this many bytes at the beginning of a line.
const TIME_WITHIN: usize = 64;
/// Before the time of an access log come addresses and a user.
const ACCESS_WITHIN: usize = 256;

/// The time at the beginning of `line`, of a file that was `modified` then. None before 1970: that is what programs write for
/// "no time", and Kafka's format has no such timestamps.
pub(crate) fn timestamp_of(line: &[u8], modified: Timestamp) -> Option<Timestamp> {
    let line = without_priority(line);
    let now_ms = modified.as_millis();
    let found = syslog(line, now_ms)
        .or_else(|| klog(line, now_ms))
        .or_else(|| within(line))
        .or_else(|| access_log(line))
        .or_else(|| epoch(line));
    found.filter(|ms| *ms >= 0).map(Timestamp::from_millis)
}

/// The line behind `<34>`, and behind the `1 ` that the new syslog puts there.
fn without_priority(line: &[u8]) -> &[u8] {
    let mut text = line;
    let text = &mut text;
    if one_of(text, b"<").is_none() {
        return line;
    }
    while digits(text, 1).is_some() {}
    if one_of(text, b">").is_none() {
        return line;
    }
    text.strip_prefix(b"1 ").unwrap_or(text)
}

/// The forms that say by themselves what they are, at the first place where one is found.
fn within(line: &[u8]) -> Option<i64> {
    let mut before = b' ';
    for (at, &byte) in line.iter().enumerate().take(TIME_WITHIN) {
        let rest = line.get(at..)?;
        let found = if byte.is_ascii_digit() && !before.is_ascii_digit() {
            iso_8601(rest).or_else(|| mail(rest))
        } else if byte.is_ascii_uppercase() && !before.is_ascii_alphabetic() {
            ctime(rest)
        } else {
            None
        };
        if found.is_some() {
            return found;
        }
        before = byte;
    }
    None
}

fn iso_8601(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    let year = digits(text, 4)?;
    let separator = one_of(text, b"-/");
    let month = digits(text, 2)?;
    separator.map_or(Some(()), |separator| one_of(text, &[separator]).map(|_| ()))?;
    let day = digits(text, 2)?;
    one_of(text, if separator.is_some() { b"T " } else { b"TT" })?;
    // Logs pad with more than one space here and there.
    while one_of(text, b" ").is_some() {}
    let time = if separator.is_some() { time_of_day(text)? } else { parse::time_of_day_without_colons(text)? };
    let ms = date(year, month, day)? + time + fraction(text);
    Some(ms - offset(text))
}

/// `06 May 2024 07:08:09,123`; the day of the week before it is not needed.
fn mail(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    let day = day(text)?;
    one_of(text, b" -")?;
    let month = month(text)?;
    one_of(text, b" -")?;
    let year = digits(text, 4)?;
    one_of(text, b" ")?;
    let ms = date(year, month, day)? + time_of_day(text)? + fraction(text);
    Some(ms - offset(text))
}

/// `Mon May  6 07:08:09.123 2024`, or `Mon May  6 07:08:09 CEST 2024`, of which the zone is passed over.
fn ctime(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    weekday(text)?;
    one_of(text, b" ")?;
    let month = month(text)?;
    one_of(text, b" ")?;
    let day = day(text)?;
    one_of(text, b" ")?;
    let time = time_of_day(text)? + fraction(text);
    one_of(text, b" ")?;
    while text.first().is_some_and(u8::is_ascii_uppercase) {
        one_of(text, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    }
    one_of(text, b" ");
    Some(date(digits(text, 4)?, month, day)? + time)
}

fn access_log(line: &[u8]) -> Option<i64> {
    let brackets = line.iter().enumerate().take(ACCESS_WITHIN).filter(|(_, byte)| **byte == b'[');
    let mut starts = brackets.map(|(at, _)| at + 1).chain([0]);
    starts.find_map(|at| common_log(line.get(at..)?))
}

fn common_log(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    let day = digits(text, 2)?;
    one_of(text, b"/")?;
    let month = month(text)?;
    one_of(text, b"/")?;
    let year = digits(text, 4)?;
    one_of(text, b":")?;
    let ms = date(year, month, day)? + time_of_day(text)?;
    Some(ms - offset(text))
}

/// `May  6 07:08:09`, or with the year, as routers write it.
fn syslog(mut text: &[u8], now_ms: i64) -> Option<i64> {
    let text = &mut text;
    let month = month(text)?;
    one_of(text, b" ")?;
    let day = day(text)?;
    one_of(text, b" ")?;
    let mut ahead = *text;
    if let (Some(year), Some(_)) = (digits(&mut ahead, 4), one_of(&mut ahead, b" ")) {
        return Some(date(year, month, day)? + time_of_day(&mut ahead)? + fraction(&mut ahead));
    }
    let time = time_of_day(text)? + fraction(text);
    date_before(now_ms, month, day, time)
}

/// `I0506 07:08:09.123456`
fn klog(mut text: &[u8], now_ms: i64) -> Option<i64> {
    let text = &mut text;
    one_of(text, b"IWEF")?;
    let (month, day) = (digits(text, 2)?, digits(text, 2)?);
    one_of(text, b" ")?;
    let time = time_of_day(text)? + fraction(text);
    date_before(now_ms, month, day, time)
}

/// What a user means by a point in time: one of the forms above, a day (`2024-05-06`), or so long ago (`90s`, `15m`, `2h`, `3d`).
pub(crate) fn point_in_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    const UNITS: [(char, i64); 4] = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', DAY_MS)];
    let ago =
        UNITS.iter().find_map(|(unit, ms)| text.strip_suffix(*unit)?.parse::<u32>().ok().map(|n| i64::from(n) * ms));
    if let Some(ago) = ago {
        return Some(Timestamp::from_millis((now.as_millis() - ago).max(0)));
    }
    let midnight = format!("{text}T00:00:00Z");
    timestamp_of(text.as_bytes(), now).or_else(|| timestamp_of(midnight.as_bytes(), now))
}

#[cfg(test)]
mod tests;
