//! A record's time: milliseconds since 1970 UTC, as Kafka counts.
//!
//! `now()` is for applications. The crate itself asks the disk seam for the time, so that tests can set the clock.

mod parsing;

use std::fmt;
use std::time::Duration;
#[allow(clippy::disallowed_types, reason = "converted here, never asked for the time")]
use std::time::SystemTime;

const DAY_MS: i64 = 86_400_000;
/// From 0000-03-01 to 1970-01-01.
const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;
/// The calendar repeats after 400 years of this many days.
const DAYS_OF_400_YEARS: i64 = 146_097;

/// A moment in milliseconds since 1970-01-01 00:00 UTC, leap seconds not counted; negative before.
///
/// Shown as RFC 3339 in UTC with milliseconds, and read from any text of RFC 3339; with the feature `serde` it is written as the
/// number of milliseconds.
///
/// # Examples
/// ```
/// use ottla::Timestamp;
/// let t = Timestamp::from_millis(1_700_000_000_042);
/// assert_eq!(t.as_millis(), 1_700_000_000_042);
/// assert_eq!(t.to_string(), "2023-11-14T22:13:20.042Z");
/// assert_eq!("2023-11-14T23:13:20.042+01:00".parse(), Ok(t));
///
/// assert!(Timestamp::now() > t);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after 1970-01-01 00:00 UTC.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// This moment by the system's clock, rounded down to a whole millisecond.
    ///
    /// A record without a timestamp of its own gets that of its append, so there is no need to set this one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{ResetTo, Timestamp};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let an_hour_ago = Timestamp::now().checked_sub(Duration::from_secs(3600)).unwrap();
    /// broker.admin().reset_offsets("billing").topic("orders").to(ResetTo::Time(an_hour_ago)).execute()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    #[allow(clippy::disallowed_types, reason = "for applications, which have no other clock")]
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }

    /// Milliseconds since 1970-01-01 00:00 UTC.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `duration` later, of which only whole milliseconds count; `None` beyond the last moment that there is.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::Timestamp;
    /// let t = Timestamp::from_millis(5000);
    /// assert_eq!(t.checked_add(Duration::from_secs(1)), Some(Timestamp::from_millis(6000)));
    /// assert_eq!(t.checked_sub(Duration::from_secs(6)), Some(Timestamp::from_millis(-1000)));
    /// assert_eq!(t.checked_add(Duration::MAX), None);
    /// ```
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        self.0.checked_add_unsigned(u64::try_from(duration.as_millis()).ok()?).map(Timestamp)
    }

    /// The moment `duration` earlier, of which only whole milliseconds count; `None` beyond the first moment that there is.
    #[must_use]
    pub fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        self.0.checked_sub_unsigned(u64::try_from(duration.as_millis()).ok()?).map(Timestamp)
    }

    /// The time from `earlier` until this moment; `None` if `earlier` is the later one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::Timestamp;
    /// let (noon, later) = (Timestamp::from_millis(0), Timestamp::from_millis(250));
    /// assert_eq!(later.duration_since(noon), Some(Duration::from_millis(250)));
    /// assert_eq!(noon.duration_since(later), None);
    /// ```
    #[must_use]
    pub fn duration_since(self, earlier: Timestamp) -> Option<Duration> {
        (earlier <= self).then(|| Duration::from_millis(self.0.abs_diff(earlier.0)))
    }
}

/// Rounds down to a whole millisecond. What lies beyond the range of 64 bits becomes its end.
#[allow(clippy::disallowed_types, reason = "converted here, never asked for the time")]
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        Timestamp(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                let up = before.duration() + Duration::from_nanos(999_999);
                i64::try_from(up.as_millis()).map_or(i64::MIN, |millis| -millis)
            }
        })
    }
}

/// Where the operating system's clock does not reach (on Windows, some 29,000 years from now), the last moment that it knows.
#[allow(clippy::disallowed_types, reason = "converted here, never asked for the time")]
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> SystemTime {
        let from_epoch = Duration::from_millis(timestamp.0.unsigned_abs());
        match timestamp.0 {
            0.. => farthest(|duration| SystemTime::UNIX_EPOCH.checked_add(duration), from_epoch),
            _ => farthest(|duration| SystemTime::UNIX_EPOCH.checked_sub(duration), from_epoch),
        }
        .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// What `go` reaches after `duration`, or else after the longest shorter one, in milliseconds, that it knows.
fn farthest<T>(go: impl Fn(Duration) -> Option<T>, duration: Duration) -> Option<T> {
    go(duration).or_else(|| {
        let longer = |reached: u64, bit: u32| {
            let further = reached | 1 << bit;
            if go(Duration::from_millis(further)).is_some() { further } else { reached }
        };
        go(Duration::from_millis((0..u64::BITS).rev().fold(0, longer)))
    })
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms_of_day = self.0.rem_euclid(DAY_MS);
        let (seconds, ms) = (ms_of_day / 1000, ms_of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // RFC 3339 ends at the year 9999; what lies outside has a sign, as in ISO 8601.
        if (0..=9999).contains(&year) {
            write!(f, "{year:04}")?;
        } else {
            write!(f, "{year:+05}")?;
        }
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is a year's last day and months follow one rule.
    let days = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "the conversion is what is tested")]
mod tests {
    use super::*;

    #[test]
    fn is_shown_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+10000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-0001-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_shown_too() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "+292278994-08-17T07:12:55.807Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "-292275055-05-16T16:47:04.192Z");
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let mut before = civil_from_days(-146_097);
        for days in -146_096..146_097 {
            let (year, month, day) = civil_from_days(days);
            let next_day = (year, month) == (before.0, before.1) && day == before.2 + 1;
            let next_month = (year, month, day) == (before.0, before.1 + 1, 1) && before.2 >= 28;
            let next_year = (year, month, day) == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31);
            assert!(next_day || next_month || next_year, "{before:?} then {:?}", (year, month, day));
            before = (year, month, day);
        }
    }

    #[test]
    fn goes_to_the_systems_time_and_back() {
        for millis in [0, 1, -1, 999, -1001, 1_700_000_000_042, i64::from(i32::MIN) * 1000] {
            let timestamp = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::from(SystemTime::from(timestamp)), timestamp);
        }
    }

    #[test]
    fn a_system_that_does_not_reach_so_far_gives_its_last_moment() {
        let up_to = |limit: u64| move |duration: Duration| (duration.as_millis() <= limit.into()).then_some(duration);
        for limit in [0, 1, 12_345, u64::MAX] {
            let longest = Duration::from_millis(limit);
            assert_eq!(farthest(up_to(limit), Duration::MAX), Some(longest));
            assert_eq!(farthest(up_to(limit), longest), Some(longest));
        }
        assert_eq!(farthest(|_| None::<()>, Duration::ZERO), None);
    }

    #[test]
    fn sums_and_differences_end_where_time_does() {
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let (ms, age) = (Duration::from_millis(1), Duration::from_millis(u64::MAX));
        assert_eq!((last.checked_add(ms), first.checked_sub(ms)), (None, None));
        assert_eq!((first.checked_add(age), last.checked_sub(age)), (Some(last), Some(first)));
        assert_eq!((last.duration_since(first), first.duration_since(last)), (Some(age), None));
        assert_eq!(first.duration_since(first), Some(Duration::ZERO));
        assert_eq!(last.checked_add(Duration::from_nanos(999_999)), Some(last), "less than a millisecond");
    }

    #[test]
    fn system_time_is_rounded_down() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(Timestamp::from(epoch + Duration::from_micros(1999)).as_millis(), 1);
        assert_eq!(Timestamp::from(epoch - Duration::from_micros(1)).as_millis(), -1);
        assert_eq!(Timestamp::from(epoch - Duration::from_millis(5)).as_millis(), -5);
    }
}
