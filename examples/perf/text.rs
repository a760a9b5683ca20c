//! The table, as text.

use crate::outcome::{Outcome, digits};

pub(crate) fn head() -> String {
    format!(
        "{:<44} {:>9} {:>7}  {:>34}  {:<40} {:>7}  {:<10}",
        "what", "value", "MB/s", "p50 / p99 / p99.9 / most us", "limit", "ratio", "target"
    )
}

pub(crate) fn line(outcome: &Outcome) -> String {
    let quantiles = outcome.quantiles_us.map_or(String::new(), |quantiles| quantiles.map(digits).join(" / "));
    format!(
        "{:<44} {:>9} {:>7}  {:>34}  {:<40} {:>7}  {:<10} {}",
        outcome.name,
        outcome.value_text(),
        outcome.mb_per_s.map_or(String::new(), digits),
        quantiles,
        outcome.limit_text(),
        outcome.ratio_text(),
        outcome.goal_text(),
        outcome.is_met().map_or("", |is_met| if is_met { "met" } else { "NOT MET" }),
    )
}
