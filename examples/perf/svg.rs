//! The table, as a chart: a bar for each line that has a target, as long as what was reached of it.

use crate::outcome::Outcome;

const LINE: usize = 22;
const TOP: usize = 40;
const NAMES: usize = 330;
/// Of a bar that reaches its target.
const TARGET: f64 = 220.0;
/// What reached more than that often its target ends here.
const MOST: f64 = 2.0;

pub(crate) fn chart(outcomes: &[Outcome]) -> String {
    let bars: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.reached()?))).collect();
    let height = TOP + LINE * bars.len() + 10;
    let line_at = NAMES as f64 + TARGET;
    let bars: String = bars.into_iter().enumerate().map(|(row, bar)| draw(row, bar)).collect();
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="1180" height="{height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="{line_at}" y="18" text-anchor="middle">target</text>
{bars}<line x1="{line_at}" y1="24" x2="{line_at}" y2="{height}" stroke="black" stroke-dasharray="4 3"/>
</svg>
"#
    )
}

fn draw(row: usize, (outcome, reached): (&Outcome, f64)) -> String {
    let top = TOP + LINE * row;
    let text_at = top + 12;
    let length = TARGET * reached.clamp(0.0, MOST);
    let colour = if reached >= 1.0 { "#4c956c" } else { "#d1603d" };
    let facts = [outcome.value_text(), outcome.ratio_text(), outcome.limit_text(), outcome.goal_text()];
    let [value, ratio, limit, goal] = facts.map(|fact| escape(&fact));
    let against = if ratio.is_empty() { String::new() } else { format!(": {ratio} {limit}") };
    let (names_end, bar_at, facts_at) = (NAMES - 8, NAMES, NAMES as f64 + TARGET * MOST + 10.0);
    let name = escape(&outcome.name);
    format!(
        r#"<text x="{names_end}" y="{text_at}" text-anchor="end">{name}</text>
<rect x="{bar_at}" y="{top}" width="{length:.0}" height="16" fill="{colour}"/>
<text x="{facts_at}" y="{text_at}">{value}{against} (target {goal})</text>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
