//! The table, for programs.

use std::fmt::Write as _;

use crate::outcome::Outcome;

/// An array with an object for each line of the table; what a line does not have is null.
pub(crate) fn document(outcomes: &[Outcome]) -> String {
    let objects: Vec<_> = outcomes.iter().map(object).collect();
    format!("[\n{}\n]\n", objects.join(",\n"))
}

fn object(outcome: &Outcome) -> String {
    let [p50, p99, p999, most] = outcome.quantiles_us.map_or([None; 4], |quantiles| quantiles.map(Some));
    let (limit_name, limit) = outcome.limit.unzip();
    let fields = [
        ("name", string(&outcome.name)),
        ("value", number(Some(outcome.value))),
        ("unit", string(outcome.unit)),
        ("mb_per_s", number(outcome.mb_per_s)),
        ("p50_us", number(p50)),
        ("p99_us", number(p99)),
        ("p99_9_us", number(p999)),
        ("max_us", number(most)),
        ("limit_name", limit_name.map_or("null".into(), string)),
        ("limit", number(limit)),
        ("ratio", number(outcome.ratio)),
        ("target", string(&outcome.goal_text())),
        ("met", outcome.is_met().map_or("null".into(), |is_met| is_met.to_string())),
    ];
    let fields = fields.map(|(name, value)| format!("{}: {value}", string(name)));
    format!("  {{{}}}", fields.join(", "))
}

/// JSON knows no infinities.
fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or("null".into(), |value| value.to_string())
}

fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted + "\""
}
