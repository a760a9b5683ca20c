//! What came out for one row.

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Of `value`: `/s` are records in a second, `us` and `ms` the median of a call.
    pub(crate) unit: &'static str,
    pub(crate) mb_per_s: Option<f64>,
    /// p50, p99, p99.9 and the most, in microseconds.
    pub(crate) quantiles_us: Option<[f64; 4]>,
    /// What it is compared with, and that one's value in the same unit.
    pub(crate) limit: Option<(&'static str, f64)>,
    /// Times the limit.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<Goal>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) of: Of,
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Ratio,
    Value,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Outcome {
    /// How much of its goal was reached: 1.0 and more is all of it.
    pub(crate) fn reached(&self) -> Option<f64> {
        let goal = self.goal?;
        let got = if goal.of == Of::Ratio { self.ratio? } else { self.value };
        Some(match goal.bound {
            Bound::AtLeast(bound) => got / bound,
            Bound::AtMost(bound) => bound / got,
        })
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        self.reached().map(|reached| reached >= 1.0)
    }

    pub(crate) fn value_text(&self) -> String {
        text_of(self.value, self.unit)
    }

    pub(crate) fn limit_text(&self) -> String {
        self.limit.as_ref().map_or(String::new(), |(what, value)| format!("{} {what}", text_of(*value, self.unit)))
    }

    /// How much better it is than what it is compared with: 1.0 is just as good, more is better.
    pub(crate) fn advantage(&self) -> Option<f64> {
        self.ratio.map(|ratio| if self.is_latency() { 1.0 / ratio } else { ratio })
    }

    /// Whether less is better.
    fn is_latency(&self) -> bool {
        self.unit == "us"
    }

    /// How it compares, in words.
    pub(crate) fn beside_text(&self) -> String {
        let (Some((what, value)), Some(ratio)) = (self.limit, self.ratio) else { return String::new() };
        let measure = if self.is_latency() { "the time of" } else { "the rate of" };
        format!("{} x {measure} {what} ({})", digits(ratio), text_of(value, self.unit))
    }

    pub(crate) fn ratio_text(&self) -> String {
        self.ratio.map_or(String::new(), |ratio| format!("{} x", digits(ratio)))
    }

    pub(crate) fn goal_text(&self) -> String {
        let Some(goal) = self.goal else { return String::new() };
        let (sign, bound) = match goal.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        match goal.of {
            Of::Ratio => format!("{sign} {bound} x"),
            Of::Value => format!("{sign} {}", text_of(bound, self.unit)),
        }
    }
}

/// A number with three digits or so, and its unit.
fn text_of(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "/s" if value >= 1e6 => (value / 1e6, "M/s"),
        "/s" if value >= 1e3 => (value / 1e3, "k/s"),
        "us" if value >= 1e3 => (value / 1e3, "ms"),
        "us" if value < 1.0 => (value * 1e3, "ns"),
        _ => (value, unit),
    };
    format!("{} {unit}", digits(value))
}

/// Enough digits to compare with, and not more.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
