//! A timestamp from its text: RFC 3339, and beyond its years what ISO 8601 makes of it, as a timestamp is shown.

use std::str::FromStr;

use super::{DAY_MS, DAYS_FROM_YEAR_0_TO_1970, DAYS_OF_400_YEARS, Timestamp};
use crate::parse_error::ParseError;

/// From RFC 3339: a date, `T` or a blank, a time with or without a fraction of a second, and `Z` or an offset. What is below a
/// millisecond is left out. Years before 0 or after 9999 have a sign, as they are shown.
impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Timestamp, ParseError> {
        let parsed = millis(text).map(Timestamp::from_millis);
        parsed.ok_or_else(|| ParseError::new("timestamp", text, "RFC 3339, such as 2023-11-14T22:13:20.042Z"))
    }
}

fn millis(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, offset_minutes) = split_offset(time)?;
    let millis = i128::from(days(date)?) * i128::from(DAY_MS) + i128::from(millis_of_day(time)?);
    i64::try_from(millis - i128::from(offset_minutes) * 60_000).ok()
}

/// A time, and how many minutes its clock is ahead of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let (time, offset) = time.split_at_checked(time.len().checked_sub("+00:00".len())?)?;
    let sign = match offset.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    Some((time, sign * (below(24, hours)? * 60 + below(60, minutes)?)))
}

/// Days from 1970-01-01 to a date.
fn days(date: &str) -> Option<i64> {
    let (rest, day) = date.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    let (year, month, day) = (year_of(year)?, digits(month, 2)?, digits(day, 2)?);
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is a year's last day and months follow one rule.
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_OF_400_YEARS + day_of_era - DAYS_FROM_YEAR_0_TO_1970)
}

fn year_of(text: &str) -> Option<i64> {
    /// More than any timestamp has.
    const SIGNED_DIGITS_MAX: usize = 9;
    let (sign, unsigned) = match text.get(..1)? {
        "+" => (1, text.get(1..)?),
        "-" => (-1, text.get(1..)?),
        _ => return digits(text, 4),
    };
    if !(4..=SIGNED_DIGITS_MAX).contains(&unsigned.len()) {
        return None;
    }
    Some(sign * digits(unsigned, unsigned.len())?)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn millis_of_day(time: &str) -> Option<i64> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.split(':');
    let (hour, minute, second) = (below(24, parts.next()?)?, below(60, parts.next()?)?, below(60, parts.next()?)?);
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction.bytes().chain(*b"00").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(((hour * 60 + minute) * 60 + second) * 1000 + thousandths)
}

/// A number of two digits, below `end`.
fn below(end: i64, text: &str) -> Option<i64> {
    digits(text, 2).filter(|number| *number < end)
}

/// A number of exactly so many digits, which fit.
fn digits(text: &str, count: usize) -> Option<i64> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if are_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<i64> {
        text.parse().ok().map(Timestamp::as_millis)
    }

    #[test]
    fn what_is_shown_is_read() {
        let days = (-200_000..200_000_i64).map(|day| day * DAY_MS + day);
        for millis in days.chain([0, -1, i64::MIN, i64::MAX, 253_402_300_800_000, -62_167_219_200_001]) {
            assert_eq!(parsed(&Timestamp::from_millis(millis).to_string()), Some(millis));
        }
    }

    #[test]
    fn other_forms_of_rfc_3339_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01 00:00:00z", 0),
            ("1970-01-01t00:00:00.5Z", 500),
            ("1970-01-01T00:00:00.1239999999999Z", 123),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T18:30:00.000-05:30", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("+2000-02-29T00:00:00Z", 951_782_400_000),
        ] {
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "T",
            "TZ",
            "--T::Z",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-32T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2001-02-29T00:00:00Z",
            "70-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "+99999999999999999999-01-01T00:00:00Z",
            "+292278994-08-17T07:12:55.808Z",
            "-292275055-05-16T16:47:04.191Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00*01:00",
            "1970-01-01T00:00:0é+01:0",
            "1970-1-01T00:00:00Z",
            "1970-01-01T-1:00:00Z",
            "1970-01-01T00:00:00.0x0Z",
            " 1970-01-01T00:00:00Z",
            "é970-01-01T00:00:00Z",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
