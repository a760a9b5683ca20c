//! What a line of a log says about itself: its level and its time. Nothing here is certain; both may be absent.

use ottla::Timestamp;

/// Levels, and times other than syslog's, are looked for in this many bytes at the beginning of a line.
const LEVEL_WITHIN: usize = 256;
const TIME_WITHIN: usize = 64;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const DAY_MS: i64 = 86_400_000;

/// How bad it is. `Unknown` where a line does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    Unknown,
}

impl Level {
    pub(crate) const ALL: [Level; 7] =
        [Level::Fatal, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace, Level::Unknown];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
            Level::Unknown => "unknown",
        }
    }

    pub(crate) fn of_name(name: &[u8]) -> Level {
        Level::ALL.into_iter().find(|level| level.name().as_bytes() == name).unwrap_or(Level::Unknown)
    }

    /// The first word of the line that is the name of a level.
    pub(crate) fn of_line(line: &[u8]) -> Level {
        let head = line.get(..LEVEL_WITHIN).unwrap_or(line);
        let words = head.split(|byte| !byte.is_ascii_alphabetic());
        words.filter(|word| (3..=9).contains(&word.len())).find_map(Level::of_word).unwrap_or(Level::Unknown)
    }

    fn of_word(word: &[u8]) -> Option<Level> {
        const NAMES: [(&str, Level); 15] = [
            ("info", Level::Info),
            ("error", Level::Error),
            ("err", Level::Error),
            ("warn", Level::Warn),
            ("warning", Level::Warn),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
            ("notice", Level::Info),
            ("fatal", Level::Fatal),
            ("crit", Level::Fatal),
            ("critical", Level::Fatal),
            ("alert", Level::Fatal),
            ("emerg", Level::Fatal),
            ("emergency", Level::Fatal),
            ("panic", Level::Fatal),
        ];
        let named = NAMES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        // PostgreSQL's name for an ordinary message; in small letters it is just a word.
        named.map(|(_, level)| *level).or((word == b"LOG").then_some(Level::Info))
    }
}

/// The time at the beginning of the line: ISO 8601 (`2024-05-06T07:08:09.123+02:00`, `2024-05-06 07:08:09,123`), the common
/// log format (`10/Oct/2000:13:55:36 -0700`) or syslog (`Nov 22 12:09:04`). A time without an offset is taken as UTC;
/// syslog's, which has no year, as the last such day before the file was `modified`.
pub(crate) fn timestamp_of(line: &[u8], modified: Timestamp) -> Option<Timestamp> {
    let found = syslog(line, modified.as_millis()).or_else(|| {
        let starts = (0..line.len().min(TIME_WITHIN)).filter(|&at| line[at].is_ascii_digit());
        let mut starts = starts.filter(|&at| at == 0 || !line[at - 1].is_ascii_digit());
        starts.find_map(|at| iso_8601(&line[at..]).or_else(|| common_log(&line[at..])))
    });
    found.map(Timestamp::from_millis)
}

fn iso_8601(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    let year = digits(text, 4)?;
    one_of(text, b"-")?;
    let month = digits(text, 2)?;
    one_of(text, b"-")?;
    let day = digits(text, 2)?;
    one_of(text, b"T ")?;
    let ms = days_from_civil(year, month, day)? * DAY_MS + time_of_day_ms(text)? + fraction_ms(text);
    Some(ms - offset_ms(text))
}

fn common_log(mut text: &[u8]) -> Option<i64> {
    let text = &mut text;
    let day = digits(text, 2)?;
    one_of(text, b"/")?;
    let month = month_name(text)?;
    one_of(text, b"/")?;
    let year = digits(text, 4)?;
    one_of(text, b":")?;
    let ms = days_from_civil(year, month, day)? * DAY_MS + time_of_day_ms(text)?;
    Some(ms - offset_ms(text))
}

fn syslog(mut text: &[u8], modified_ms: i64) -> Option<i64> {
    let text = &mut text;
    let month = month_name(text)?;
    one_of(text, b" ")?;
    let is_one_digit = one_of(text, b" ").is_some();
    let day = digits(text, if is_one_digit { 1 } else { 2 })?;
    one_of(text, b" ")?;
    let time_ms = time_of_day_ms(text)?;
    // A year is 365.2425 days; that may be wrong by one near its ends, so the neighbours are tried too.
    let year = 1970 + modified_ms.div_euclid(31_556_952_000);
    [year + 1, year, year - 1].into_iter().find_map(|year| {
        let ms = days_from_civil(year, month, day)? * DAY_MS + time_ms;
        // A day of grace: the line's time zone is not known.
        (ms <= modified_ms + DAY_MS).then_some(ms)
    })
}

/// `hh:mm:ss`. A leap second is the first one of the next minute.
fn time_of_day_ms(text: &mut &[u8]) -> Option<i64> {
    let hour = digits(text, 2).filter(|hour| *hour < 24)?;
    one_of(text, b":")?;
    let minute = digits(text, 2).filter(|minute| *minute < 60)?;
    one_of(text, b":")?;
    let second = digits(text, 2).filter(|second| *second <= 60)?;
    Some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// `.123456` or `,123`, down to milliseconds.
fn fraction_ms(text: &mut &[u8]) -> i64 {
    let mut ms = 0;
    if one_of(text, b".,").is_some() {
        let mut weight = 100;
        while let Some(digit) = digits(text, 1) {
            ms += digit * weight;
            weight /= 10;
        }
    }
    ms
}

/// `Z`, `+02:00`, ` -0700`, or nothing.
fn offset_ms(text: &mut &[u8]) -> i64 {
    let mut ahead = *text;
    one_of(&mut ahead, b" ");
    let Some(sign) = one_of(&mut ahead, b"+-") else { return 0 };
    let (Some(hours), _, Some(minutes)) = (digits(&mut ahead, 2), one_of(&mut ahead, b":"), digits(&mut ahead, 2))
    else {
        return 0;
    };
    let ms = (hours * 60 + minutes) * 60_000;
    if sign == b'-' { -ms } else { ms }
}

/// A number of exactly so many digits.
fn digits(text: &mut &[u8], count: usize) -> Option<i64> {
    let (number, rest) = text.split_at_checked(count)?;
    let value = number
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
    *text = rest;
    Some(value)
}

fn one_of(text: &mut &[u8], bytes: &[u8]) -> Option<u8> {
    let (&first, rest) = text.split_first()?;
    bytes.contains(&first).then(|| {
        *text = rest;
        first
    })
}

/// The number of a month by its first three letters, from 1.
fn month_name(text: &mut &[u8]) -> Option<i64> {
    let (name, rest) = text.split_first_chunk::<3>()?;
    let index = (1..).zip(MONTHS).find(|(_, month)| *month == name)?.0;
    *text = rest;
    Some(index)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, if it exists.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is a year's last day.
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-03-01T00:00:00Z.
    const MODIFIED: Timestamp = Timestamp::from_millis(1_709_251_200_000);

    #[test]
    fn common_forms_of_time_are_understood() {
        for (line, expected) in [
            ("2024-02-29T12:00:00Z x", "2024-02-29T12:00:00.000Z"),
            ("2024-02-29T12:00:00.123456+02:00 host x", "2024-02-29T10:00:00.123Z"),
            ("2024-02-29 12:00:00,007 [main] INFO x", "2024-02-29T12:00:00.007Z"),
            ("[2024-02-29 12:00:00] x", "2024-02-29T12:00:00.000Z"),
            ("level=info ts=2024-02-29T12:00:00-05:30 x", "2024-02-29T17:30:00.000Z"),
            ("127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /\"", "2000-10-10T20:55:36.000Z"),
            ("Feb 29 12:00:00 host x", "2024-02-29T12:00:00.000Z"),
            ("Mar  1 01:00:00 host x", "2024-03-01T01:00:00.000Z"),
            ("Dec 31 23:59:59 host x", "2023-12-31T23:59:59.000Z"),
        ] {
            let found = timestamp_of(line.as_bytes(), MODIFIED).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            "x",
            "2024",
            "2024-13-01T00:00:00Z",
            "2023-02-29 00:00:00",
            "12:00:00 x",
            "Foo 12 00:00:00",
            "\u{1f980}",
        ] {
            assert_eq!(timestamp_of(line.as_bytes(), MODIFIED), None, "{line}");
        }
    }

    #[test]
    fn the_first_level_named_counts() {
        for (line, expected) in [
            ("2024-02-29 12:00:00 [main] INFO no error here", Level::Info),
            ("level=warning msg=x", Level::Warn),
            ("kernel: <err> x", Level::Error),
            ("2024-02-29 LOG:  database system is ready", Level::Info),
            ("wrote the log", Level::Unknown),
            ("errors are not an err or", Level::Error),
            ("CRITICAL: x", Level::Fatal),
            ("", Level::Unknown),
        ] {
            assert_eq!(Level::of_line(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for level in Level::ALL {
            assert_eq!(Level::of_name(level.name().as_bytes()), level);
        }
    }
}
