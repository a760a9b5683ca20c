//! From where on and up to where: what `-o` takes.

use std::str::FromStr;

use ottla::{Consumer, Error, SeekTo, Timestamp, TopicPartition};

use crate::output::time;

/// One `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    From(Start),
    /// Up to the first record of this time or a later one, which is left out.
    Until(Timestamp),
}

/// Where to begin in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Beginning,
    End,
    /// Where the group is.
    Stored,
    /// At this offset.
    Offset(u64),
    /// So many offsets before the end.
    Last(u64),
    /// At the first record of this time or a later one.
    Time(Timestamp),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Bound, String> {
        let start = match text {
            "beginning" => Start::Beginning,
            "end" => Start::End,
            "stored" => Start::Stored,
            _ => match text.split_once('@') {
                Some(("s", moment)) => Start::Time(moment_of(moment)?),
                Some(("e", moment)) => return moment_of(moment).map(Bound::Until),
                _ => of_number(text)?,
            },
        };
        Ok(Bound::From(start))
    }
}

fn of_number(text: &str) -> Result<Start, String> {
    let start = match text.strip_prefix('-') {
        Some(last) => last.parse().map(Start::Last),
        None => text.parse().map(Start::Offset),
    };
    start.map_err(|_| "expected beginning, end, stored, an offset, -N for the last N, s@TIME or e@TIME".to_owned())
}

/// A time; also as Kafka has them, in milliseconds.
fn moment_of(text: &str) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(millis) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Timestamp::from_millis(millis)),
        _ => time::parse(text),
    }
}

/// Goes to `start` in a partition; to the nearest offset that there is, if there is no such one. Whether there was.
///
/// # Errors
/// Those of [`Consumer::seek`].
pub fn go_to(consumer: &mut Consumer, partition: &TopicPartition, start: Start, end: u64) -> Result<bool, Error> {
    let to = match start {
        Start::Beginning => SeekTo::Earliest,
        Start::End => SeekTo::Offset(end),
        Start::Stored => SeekTo::Committed,
        Start::Offset(offset) => SeekTo::Offset(offset),
        Start::Last(count) => SeekTo::Offset(end.saturating_sub(count)),
        Start::Time(moment) => SeekTo::Time(moment),
    };
    match consumer.seek(partition, to) {
        Err(Error::OffsetOutOfRange { requested, log_start_offset, log_end_offset, .. }) => {
            let nearest = if requested < log_start_offset { SeekTo::Earliest } else { SeekTo::Offset(log_end_offset) };
            consumer.seek(partition, nearest)?;
            Ok(requested < log_start_offset)
        }
        sought => sought.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_words_offsets_and_times() {
        let time = Timestamp::from_millis;
        for (text, bound) in [
            ("beginning", Bound::From(Start::Beginning)),
            ("end", Bound::From(Start::End)),
            ("stored", Bound::From(Start::Stored)),
            ("0", Bound::From(Start::Offset(0))),
            ("-5", Bound::From(Start::Last(5))),
            ("s@1000", Bound::From(Start::Time(time(1000)))),
            ("s@1970-01-01T00:00:01Z", Bound::From(Start::Time(time(1000)))),
            ("e@1970-01-01T01:00:01+01:00", Bound::Until(time(1000))),
        ] {
            assert_eq!(text.parse(), Ok(bound), "{text}");
        }
        assert!(matches!("e@-15m".parse(), Ok(Bound::Until(_))));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "-", "last", "1.5", "s@", "e@yesterday", "x@1000", "@1000", "s@1970-01-01", "--5", "+5x"] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }
}
