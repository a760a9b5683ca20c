//! The parts that times are written with. Each function takes what it understands from the front of `text`, or takes nothing
//! that matters: whoever gets `None` gives up on this form and begins again with another.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
pub(super) const DAY_MS: i64 = 86_400_000;
/// The offset of a time zone is at most this far from UTC.
const OFFSET_HOURS_MAX: i64 = 15;

/// `hh:mm:ss`, in milliseconds since midnight. A leap second is the first one of the next minute.
pub(super) fn time_of_day(text: &mut &[u8]) -> Option<i64> {
    let hour = digits(text, 2)?;
    one_of(text, b":")?;
    let minute = digits(text, 2)?;
    one_of(text, b":")?;
    let second = digits(text, 2)?;
    of_parts(hour, minute, second)
}

/// `hhmmss`.
pub(super) fn time_of_day_without_colons(text: &mut &[u8]) -> Option<i64> {
    let (hour, minute, second) = (digits(text, 2)?, digits(text, 2)?, digits(text, 2)?);
    of_parts(hour, minute, second)
}

fn of_parts(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let exists = hour < 24 && minute < 60 && second <= 60;
    exists.then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// `.123456` or `,123`, down to milliseconds; 0 if there is none.
pub(super) fn fraction(text: &mut &[u8]) -> i64 {
    let mut ms = 0;
    let mut ahead = *text;
    if one_of(&mut ahead, b".,").is_some() {
        let mut weight = 100;
        while let Some(digit) = digits(&mut ahead, 1) {
            ms += digit * weight;
            weight /= 10;
            *text = ahead;
        }
    }
    ms
}

/// `Z`, `+02:00`, ` -0700`, in milliseconds; 0 if there is none.
pub(super) fn offset(text: &mut &[u8]) -> i64 {
    let mut ahead = *text;
    one_of(&mut ahead, b" ");
    let Some(sign) = one_of(&mut ahead, b"+-") else { return 0 };
    let (Some(hours), _, Some(minutes)) = (digits(&mut ahead, 2), one_of(&mut ahead, b":"), digits(&mut ahead, 2))
    else {
        return 0;
    };
    if hours > OFFSET_HOURS_MAX || minutes >= 60 || ahead.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    *text = ahead;
    let ms = (hours * 60 + minutes) * 60_000;
    if sign == b'-' { -ms } else { ms }
}

/// A number of exactly so many digits; what follows may be a digit, too.
pub(super) fn digits(text: &mut &[u8], count: usize) -> Option<i64> {
    let (number, rest) = text.split_at_checked(count)?;
    let value = number
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
    *text = rest;
    Some(value)
}

/// A day of a month with two digits, or with a space and one, or with one.
pub(super) fn day(text: &mut &[u8]) -> Option<i64> {
    if one_of(text, b" ").is_some() { digits(text, 1) } else { digits(text, 2).or_else(|| digits(text, 1)) }
}

/// One byte out of `bytes`.
pub(super) fn one_of(text: &mut &[u8], bytes: &[u8]) -> Option<u8> {
    let (&first, rest) = text.split_first()?;
    bytes.contains(&first).then(|| {
        *text = rest;
        first
    })
}

/// The number of a month by its first three letters, from 1.
pub(super) fn month(text: &mut &[u8]) -> Option<i64> {
    let (name, rest) = text.split_first_chunk::<3>()?;
    let index = (1..).zip(MONTHS).find(|(_, month)| *month == name)?.0;
    *text = rest;
    Some(index)
}

/// The first three letters of a day of the week; which one does not matter.
pub(super) fn weekday(text: &mut &[u8]) -> Option<()> {
    let (name, rest) = text.split_first_chunk::<3>()?;
    WEEKDAYS.contains(&name).then(|| *text = rest)
}

/// The beginning of a day of the Gregorian calendar, in milliseconds since 1970, if there is such a day.
pub(super) fn date(year: i64, month: i64, day: i64) -> Option<i64> {
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
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    Some(days * DAY_MS)
}

/// The last such day and time that is not after `now_ms`, for forms without a year.
pub(super) fn date_before(now_ms: i64, month: i64, day: i64, time_ms: i64) -> Option<i64> {
    // A year is 365.2425 days; that may be wrong by one near its ends, so the neighbours are tried too, and for the 29th of
    // February those up to the last leap year.
    let year = 1970 + now_ms.div_euclid(31_556_952_000);
    (year - 8..=year + 1).rev().find_map(|year| {
        let ms = date(year, month, day)? + time_ms;
        // A day of grace: the line's time zone is not known.
        (ms <= now_ms + DAY_MS).then_some(ms)
    })
}
