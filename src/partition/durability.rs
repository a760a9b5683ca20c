//! What a send survives when it returns: the one choice between speed and safety, in a file of its own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config_key;
use crate::error::Result;
use crate::parse_error::ParseError;
use crate::text::serde_as_text;

/// The setting's name, as text.
pub(crate) const DURABILITY: &str = "ottla.durability";

/// What a record survives once its send has returned. The end of the process it always survives; this says what it takes for a
/// power cut. If a record cannot be made as durable as that, the error says what became of it: see
/// [`Error::outcome`](crate::Error::outcome).
///
/// As text: `always`, `interval:<ms>`, `os`. With the feature `serde` it is written so, too.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::Durability;
///
/// let durability: Durability = "interval:250".parse()?;
/// assert_eq!(durability, Durability::Interval(Duration::from_millis(250)));
/// assert_eq!(durability.to_string(), "interval:250");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The record survives a power cut: a send returns when its record is synced, together with those of all other senders that
    /// wait. Consumers see the record from then on. The default.
    #[doc(alias = "flush.messages")]
    #[default]
    Always,
    /// A power cut takes at most the records of this last interval (whole milliseconds, at least 1): a thread syncs behind the
    /// senders.
    #[doc(alias = "flush.ms")]
    Interval(Duration),
    /// A power cut takes every record that neither `flush` nor the operating system has synced yet.
    Os,
}

impl Durability {
    /// Reads the text form. `interval` takes milliseconds.
    pub(crate) fn parse(text: &str) -> Result<Durability> {
        match text.trim().split_once(':') {
            None if text.trim() == "always" => Ok(Durability::Always),
            None if text.trim() == "os" => Ok(Durability::Os),
            Some(("interval", ms)) => config_key::parse_duration_ms(DURABILITY, ms).map(Durability::Interval),
            _ => Err(config_key::invalid(DURABILITY, text, "expected always, os or interval:<ms>")),
        }
    }

    /// Refuses an interval that is not a whole number of milliseconds, at least one.
    pub(crate) fn validate(self) -> Result<()> {
        match self {
            Durability::Interval(interval) => config_key::check_duration_ms(DURABILITY, interval),
            Durability::Always | Durability::Os => Ok(()),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Always => f.write_str("always"),
            Durability::Interval(interval) => write!(f, "interval:{}", interval.as_millis()),
            Durability::Os => f.write_str("os"),
        }
    }
}

impl FromStr for Durability {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Durability, ParseError> {
        let parsed = Durability::parse(text).and_then(|durability| durability.validate().map(|()| durability));
        parsed.map_err(|_| ParseError::new("durability", text, "always, os or interval:<ms>, such as interval:100"))
    }
}

serde_as_text!(Durability);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        let interval = Durability::Interval(Duration::from_millis(250));
        for (durability, text) in [(Durability::Always, "always"), (interval, "interval:250"), (Durability::Os, "os")] {
            assert_eq!(durability.to_string(), text);
            assert_eq!(Durability::parse(text).unwrap(), durability);
            assert_eq!(text.parse(), Ok(durability));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "never", "interval", "interval:", "interval:-1", "interval:1s", "always:1", "os:"] {
            assert!(Durability::parse(text).is_err(), "{text}");
        }
        for text in ["never", "interval:0", "interval:18446744073709551615"] {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_is_at_least_a_millisecond() {
        assert!(Durability::Interval(Duration::ZERO).validate().is_err());
        assert!(Durability::Interval(Duration::from_micros(1)).validate().is_err());
        Durability::Interval(Duration::from_millis(1)).validate().unwrap();
    }
}
