//! Whose clock a record's timestamp is: the sender's, or that of the log.

use std::fmt;
use std::str::FromStr;

use crate::config_key::invalid;
use crate::error::Result;
use crate::parse_error::ParseError;
use crate::text::serde_as_text;

/// The setting's name, as text.
pub(crate) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const EXPECTED: &str = "CreateTime or LogAppendTime";

/// Whose time the timestamps of a topic's records are.
///
/// As text: `CreateTime`, `LogAppendTime`. With the feature `serde` it is written so, too.
///
/// # Examples
/// ```
/// use ottla::TimestampType;
///
/// let whose: TimestampType = "LogAppendTime".parse()?;
/// assert_eq!(whose, TimestampType::LogAppendTime);
/// assert_eq!(TimestampType::default().to_string(), "CreateTime");
/// # Ok::<_, ottla::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TimestampType {
    /// The sender's: what the record was sent with, and the time of its append if it was sent without. The default.
    #[default]
    CreateTime,
    /// The time of the append, whatever the record was sent with.
    LogAppendTime,
}

impl TimestampType {
    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Result<TimestampType> {
        named(text).ok_or_else(|| invalid(TIMESTAMP_TYPE, text, format!("expected {EXPECTED}")))
    }
}

fn named(text: &str) -> Option<TimestampType> {
    match text.trim() {
        "CreateTime" => Some(TimestampType::CreateTime),
        "LogAppendTime" => Some(TimestampType::LogAppendTime),
        _ => None,
    }
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        })
    }
}

impl FromStr for TimestampType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<TimestampType, ParseError> {
        named(text).ok_or_else(|| ParseError::new("timestamp type", text, EXPECTED))
    }
}

serde_as_text!(TimestampType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for whose in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            assert_eq!(TimestampType::parse(&whose.to_string()).unwrap(), whose);
            assert_eq!(whose.to_string().parse(), Ok(whose));
        }
        assert_eq!(TimestampType::parse(" LogAppendTime ").unwrap(), TimestampType::LogAppendTime);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "logappendtime", "LogAppend", "1"] {
            assert!(TimestampType::parse(text).is_err(), "{text}");
            assert!(text.parse::<TimestampType>().is_err(), "{text}");
        }
    }
}
