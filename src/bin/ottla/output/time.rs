//! Times as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp as Moment};
use ottla::Timestamp;

/// Reads a time: RFC 3339 with a zone, or how long ago, such as `-15m` or `-1h30m`.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = text.strip_prefix('-') {
        let past = Timestamp::now().checked_sub(duration(ago)?);
        return past.ok_or_else(|| "that is before all times".to_owned());
    }
    let moment: Moment = text.parse().map_err(|_| {
        "expected a time with its zone, such as 2026-12-01T15:00:00Z or 2026-12-01T15:00:00+01:00, or how long ago, such as -15m"
            .to_owned()
    })?;
    Ok(Timestamp::from_millis(moment.as_millisecond()))
}

/// Reads a duration, such as `500ms`, `15m`, `1h30m`, `2d` or `P1DT12H`. A day is 24 hours here, whatever clocks are set to.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let duration = span.ok().and_then(|duration| duration.try_into().ok());
    duration.ok_or_else(|| format!("{text:?} is no duration: expected one such as 500ms, 15m, 1h30m, 2d or P1DT12H"))
}

/// A time as RFC 3339 in UTC, with milliseconds; as a number of milliseconds where the calendar has no such time.
pub fn show(time: Timestamp) -> String {
    let moment = Moment::from_millisecond(time.as_millis());
    moment.map_or_else(|_| time.as_millis().to_string(), |moment| format!("{moment:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_a_zone_go_in_and_come_out_in_utc() {
        for (text, shown) in [
            ("2024-05-06T07:08:09+05:30", "2024-05-06T01:38:09.000Z"),
            ("2024-05-06T01:38:09.5Z", "2024-05-06T01:38:09.500Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(show(parse(text).unwrap()), shown);
        }
        assert_eq!(show(Timestamp::from_millis(i64::MAX)), i64::MAX.to_string());
    }

    #[test]
    fn a_time_without_a_zone_is_refused() {
        for text in ["2024-05-06T07:08:09", "2024-05-06", "yesterday", "", "-", "-x", "15m"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn how_long_ago_counts_from_now() {
        let (now, past) = (Timestamp::now(), parse("-15m").unwrap());
        let ago = now.duration_since(past).unwrap_or_default();
        assert!(Duration::from_secs(899) < ago && ago <= Duration::from_secs(900), "{ago:?}");
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in
            [("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("1d12h", 129_600), ("0s", 0), ("P1DT12H", 129_600)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "m", "-5m", "d", "4294967296d", "1 fortnight", "1mo", "P1Y", "-PT1H", "1h ago"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
