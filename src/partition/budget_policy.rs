//! What happens when a disk budget is used up.

use std::fmt;
use std::str::FromStr;

use crate::config_key;
use crate::error::Result;
use crate::parse_error::ParseError;
use crate::text::serde_as_text;

/// The setting's name, as text.
pub(crate) const BUDGET_POLICY: &str = "ottla.disk.budget.policy";
const EXPECTED: &str = "drop-oldest or reject";

/// What happens when a [disk budget](crate::BrokerBuilder::disk_budget) is used up.
///
/// As text: `drop-oldest`, `reject`. With the feature `serde` it is written so, too.
///
/// # Examples
/// ```
/// use ottla::BudgetPolicy;
///
/// let policy: BudgetPolicy = "drop-oldest".parse()?;
/// assert_eq!(policy, BudgetPolicy::DropOldest);
/// assert_eq!(policy.to_string(), "drop-oldest");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetPolicy {
    /// The oldest segments of all topics whose [`cleanup.policy`](crate::TopicConfig::cleanup_policy) has `delete` are deleted, whoever
    /// has not read them yet. Sends fail with [`Error::OverBudget`](crate::Error::OverBudget) once nothing of that is left.
    DropOldest,
    /// Nothing is deleted. Sends fail with [`Error::OverBudget`](crate::Error::OverBudget) until there is room.
    Reject,
}

impl BudgetPolicy {
    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Result<BudgetPolicy> {
        match text.trim() {
            "drop-oldest" => Ok(BudgetPolicy::DropOldest),
            "reject" => Ok(BudgetPolicy::Reject),
            _ => Err(config_key::invalid(BUDGET_POLICY, text, format!("expected {EXPECTED}"))),
        }
    }
}

impl fmt::Display for BudgetPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BudgetPolicy::DropOldest => "drop-oldest",
            BudgetPolicy::Reject => "reject",
        })
    }
}

impl FromStr for BudgetPolicy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<BudgetPolicy, ParseError> {
        BudgetPolicy::parse(text).map_err(|_| ParseError::new("budget policy", text, EXPECTED))
    }
}

serde_as_text!(BudgetPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back_and_other_text_is_refused() {
        for policy in [BudgetPolicy::DropOldest, BudgetPolicy::Reject] {
            assert_eq!(BudgetPolicy::parse(&policy.to_string()).unwrap(), policy);
        }
        for text in ["", "DropOldest", "drop oldest", "none"] {
            assert!(BudgetPolicy::parse(text).is_err() && text.parse::<BudgetPolicy>().is_err(), "{text}");
        }
    }
}
