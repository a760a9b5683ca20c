//! What becomes of old records: the choice between deleting them by age and size, and keeping the last one of each key.

use std::fmt;
use std::str::FromStr;

use crate::config_key;
use crate::error::Result;
use crate::parse_error::ParseError;
use crate::text::serde_as_text;

/// The setting's name, as text.
pub(crate) const CLEANUP_POLICY: &str = "cleanup.policy";

/// What becomes of the old records of a topic.
///
/// As text: `delete`, `compact`, `compact,delete`. With the feature `serde` it is written so, too.
///
/// # Examples
/// ```
/// use ottla::CleanupPolicy;
///
/// let policy: CleanupPolicy = "delete, compact".parse()?;
/// assert_eq!(policy, CleanupPolicy::CompactAndDelete);
/// assert_eq!(policy.to_string(), "compact,delete");
/// assert!(policy.has_compact() && policy.has_delete());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CleanupPolicy {
    /// Limits of time and size, as far as some are set, delete whole segments. The default.
    #[default]
    Delete,
    /// Of each key the last record stays, however old it is. Limits of time and size have no effect.
    Compact,
    /// Of each key the last record stays until limits of time or size delete its segment.
    CompactAndDelete,
}

impl CleanupPolicy {
    /// Whether only the last record of each key is kept. Every record must have a key then.
    #[must_use]
    pub fn has_compact(self) -> bool {
        self != CleanupPolicy::Delete
    }

    /// Whether limits of time and size count.
    #[must_use]
    pub fn has_delete(self) -> bool {
        self != CleanupPolicy::Compact
    }

    /// Reads the text form: a list, in any order.
    pub(crate) fn parse(text: &str) -> Result<CleanupPolicy> {
        let (mut has_compact, mut has_delete) = (false, false);
        for name in text.split(',') {
            match name.trim() {
                "compact" => has_compact = true,
                "delete" => has_delete = true,
                _ => {
                    return Err(config_key::invalid(
                        CLEANUP_POLICY,
                        text,
                        "expected delete, compact or compact,delete",
                    ));
                }
            }
        }
        Ok(match (has_compact, has_delete) {
            (true, true) => CleanupPolicy::CompactAndDelete,
            (true, false) => CleanupPolicy::Compact,
            (false, _) => CleanupPolicy::Delete,
        })
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::CompactAndDelete => "compact,delete",
        })
    }
}

impl FromStr for CleanupPolicy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<CleanupPolicy, ParseError> {
        let expected = "delete, compact or compact,delete";
        CleanupPolicy::parse(text).map_err(|_| ParseError::new("cleanup policy", text, expected))
    }
}

serde_as_text!(CleanupPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for policy in [CleanupPolicy::Delete, CleanupPolicy::Compact, CleanupPolicy::CompactAndDelete] {
            assert_eq!(CleanupPolicy::parse(&policy.to_string()).unwrap(), policy);
        }
        assert_eq!(CleanupPolicy::parse(" delete , compact ").unwrap(), CleanupPolicy::CompactAndDelete);
        assert_eq!(CleanupPolicy::parse("compact,compact").unwrap(), CleanupPolicy::Compact);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", ",", "compact,", "Compact", "compact delete", "none"] {
            assert!(CleanupPolicy::parse(text).is_err(), "{text}");
            assert!(text.parse::<CleanupPolicy>().is_err(), "{text}");
        }
    }
}
