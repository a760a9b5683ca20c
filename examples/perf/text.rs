//! The table, as text: each line first beside another way to do the same, then beside our own target.

use crate::outcome::{Outcome, digits};

pub(crate) fn head() -> String {
    format!(
        "{:<44} {:>9} {:>7}  {:<58} {:>34}  {:<10}",
        "what", "value", "MB/s", "beside another way to do it", "p50 / p99 / p99.9 / most us", "our target"
    )
}

pub(crate) fn line(outcome: &Outcome) -> String {
    let quantiles = outcome.quantiles_us.map_or(String::new(), |quantiles| quantiles.map(digits).join(" / "));
    format!(
        "{:<44} {:>9} {:>7}  {:<58} {:>34}  {:<10} {}",
        outcome.name,
        outcome.value_text(),
        outcome.mb_per_s.map_or(String::new(), digits),
        outcome.beside_text(),
        quantiles,
        outcome.goal_text(),
        outcome.is_met().map_or("", |is_met| if is_met { "met" } else { "short of our own target" }),
    )
}

/// What came out of all lines: beside the other ways to do it first, then beside our own targets.
pub(crate) fn verdict(outcomes: &[Outcome]) -> String {
    let compared: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.advantage()?))).collect();
    let (ahead, behind): (Vec<_>, Vec<_>) = compared.iter().partition(|(_, advantage)| *advantage >= 1.0);
    let judged: Vec<_> = outcomes.iter().filter_map(Outcome::is_met).collect();
    let met = judged.iter().filter(|is_met| **is_met).count();
    let list = |lines: &[&(&Outcome, f64)]| -> String {
        let lines = lines.iter().map(|(outcome, _)| format!("  {:<44} {}\n", outcome.name, outcome.beside_text()));
        lines.collect::<Vec<_>>().concat()
    };
    format!(
        "\nAt least as fast as the other way to do it: {} of {} lines\n{}Slower than the other way, or than what the machine \
         allows: {}\n{}Our own targets: {met} of {} met, {} short\n",
        ahead.len(),
        compared.len(),
        list(&ahead),
        behind.len(),
        list(&behind),
        judged.len(),
        judged.len() - met,
    )
}
