//! The live view as it is drawn.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::history::{History, LOOKS, Sort};
use super::sample::Sample;
use crate::output::text;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, history: &History) {
    let groups = history.newest.as_ref().map_or(0, |sample| sample.groups.len());
    // Groups take what they need, up to half of the window; topics get the rest.
    let groups = u16::try_from(groups + 1).unwrap_or(u16::MAX).min(frame.area().height / 2);
    let heights = [Constraint::Length(2), Constraint::Fill(1), Constraint::Length(groups), Constraint::Length(1)];
    let [head, topics, groups, foot] = Layout::vertical(heights).spacing(1).areas(frame.area());
    frame.render_widget(Paragraph::new(head_of(history)), head);
    match &history.newest {
        None => frame.render_widget(Paragraph::new("looking ..."), topics),
        Some(sample) => {
            draw_topics(frame, topics, history, sample);
            draw_groups(frame, groups, history, sample);
        }
    }
    let sort = match history.sort {
        Sort::Name => "name",
        Sort::Rate => "rate",
        Sort::Size => "size",
    };
    let keys = format!("q quit   s sort (by {sort})   p pause   up, down scroll");
    frame.render_widget(Paragraph::new(keys).style(DIM), foot);
}

fn head_of(history: &History) -> Text<'_> {
    let paused = if history.is_paused { "   paused" } else { "" };
    let first = format!("{}   every {:?}{paused}", text::escaped(history.dir.as_bytes()), history.interval);
    let second = history.newest.as_ref().map_or_else(String::new, |sample| {
        let rate: f64 = sample.topics.iter().map(|topic| topic.records_per_second).sum();
        let bytes: u64 = sample.topics.iter().map(|topic| topic.log_bytes).sum();
        let lag: u64 = sample.groups.iter().map(|group| group.lag).sum();
        let lag = text::grouped(lag.into());
        format!("{}   {} records/s   {}   lag {lag}", sample.time, shown_rate(rate), text::bytes(bytes))
    });
    Text::from(vec![Line::styled(first, BOLD), Line::raw(second)])
}

fn draw_topics(frame: &mut Frame<'_>, area: Rect, history: &History, sample: &Sample) {
    let rows = sample.topics.iter().skip(history.skipped).map(|topic| {
        Row::new([
            Cell::new(topic.topic.clone()),
            right(topic.partitions.to_string()),
            right(shown_rate(topic.records_per_second)),
            Cell::new(sparkline(history.rates(&topic.topic))),
            right(text::grouped(topic.records.into())),
            right(text::bytes(topic.log_bytes)),
        ])
    });
    let looks = Constraint::Length(u16::try_from(LOOKS).unwrap_or_default());
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(5),
        Constraint::Length(10),
        looks,
        Constraint::Length(14),
        Constraint::Length(9),
    ];
    let header = ["TOPIC", "PARTS", "RECORDS/S", "", "RECORDS", "SIZE"];
    frame.render_widget(Table::new(rows, widths).header(header_of(header, &[1, 2, 4, 5])).column_spacing(2), area);
}

fn draw_groups(frame: &mut Frame<'_>, area: Rect, history: &History, sample: &Sample) {
    let rows = sample.groups.iter().map(|group| {
        Row::new([
            Cell::new(text::escaped(group.group.as_bytes())),
            Cell::new(group.state.clone()),
            right(shown_rate(group.committed_per_second)),
            Cell::new(sparkline(history.lags(&group.group))),
            right(text::grouped(group.lag.into())),
        ])
    });
    let looks = Constraint::Length(u16::try_from(LOOKS).unwrap_or_default());
    let widths = [Constraint::Fill(1), Constraint::Length(9), Constraint::Length(11), looks, Constraint::Length(14)];
    let header = ["GROUP", "STATE", "COMMITTED/S", "", "LAG"];
    frame.render_widget(Table::new(rows, widths).header(header_of(header, &[2, 4])).column_spacing(2), area);
}

fn header_of<const N: usize>(names: [&'static str; N], numbers: &[usize]) -> Row<'static> {
    let cells = names
        .into_iter()
        .enumerate()
        .map(|(at, name)| if numbers.contains(&at) { right(name.to_owned()) } else { Cell::new(name) });
    Row::new(cells).style(BOLD)
}

fn right(text: String) -> Cell<'static> {
    Cell::new(Text::from(text).right_aligned())
}

/// A rate with a decimal where it is small.
fn shown_rate(rate: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "a rate of records is far below")]
    let whole = rate.round() as i64;
    if 0.0 < rate && rate < 9.95 { format!("{rate:.1}") } else { text::grouped(whole.into()) }
}

/// Values as heights, the highest of them as a full block, and nothing as the lowest; the newest stands on the right.
fn sparkline(values: impl Iterator<Item = f64>) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<f64> = values.collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let height = |value: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
        let at = if 0.0 < most { (value.max(0.0) / most * 7.0).ceil() as usize } else { 0 };
        HEIGHTS.get(at).copied().unwrap_or('█')
    };
    let line: String = values.iter().map(|value| height(*value)).collect();
    format!("{line:>LOOKS$}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::sample::{GroupSample, TopicSample};
    use super::*;

    fn topic(name: &str, partitions: usize, rate: f64, records: u64, log_bytes: u64) -> TopicSample {
        let log_bytes_per_second = rate * 110.0;
        let topic = name.to_owned();
        TopicSample { topic, partitions, records_per_second: rate, log_bytes_per_second, log_bytes, records }
    }

    fn group(name: &str, lag: u64, committed: f64) -> GroupSample {
        let (group, state) = (name.to_owned(), "Stable".to_owned());
        GroupSample { group, state, members: 2, lag, lag_per_second: 0.0, committed_per_second: committed }
    }

    fn history() -> History {
        let mut history = History::new("/var/lib/shop".to_owned(), Duration::from_secs(1));
        for look in 0..25_u32 {
            let rate = f64::from(look * look % 97) * 100.0;
            history.add(Sample {
                time: format!("2026-12-01T12:00:{look:02}.000Z"),
                topics: vec![
                    topic("orders", 8, rate, 1_204_311, 133 << 20),
                    topic("payments", 4, 2.5, 88_012, 9 << 20),
                    topic("refunds", 1, 0.0, 12, 1400),
                ],
                groups: vec![group("billing", u64::from(look) * 1000, rate / 2.0), group("audit", 0, 2.5)],
            });
        }
        history
    }

    fn drawn(history: &History, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, history)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |row: u16| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        let lines: Vec<String> = (0..height).map(|row| line(row).trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    #[test]
    fn the_guide_shows_what_is_drawn() {
        let guide = include_str!("../../../../guide/command.md");
        let drawn = drawn(&history(), 80, 14);
        assert!(guide.contains(&drawn), "the guide shows something else than this:\n{drawn}");
    }

    #[test]
    fn a_window_of_any_size_is_drawn() {
        let history = history();
        for (width, height) in [(1, 1), (10, 3), (40, 8), (200, 60)] {
            drawn(&history, width, height);
        }
        drawn(&History::new(String::new(), Duration::ZERO), 80, 24);
    }

    #[test]
    fn topics_are_sorted_and_scrolled() {
        let mut history = history();
        let first = |history: &History| drawn(history, 80, 14).lines().nth(4).unwrap().to_owned();
        assert!(first(&history).starts_with("orders"));
        history.scroll(1);
        assert!(first(&history).starts_with("payments"));
        history.scroll(100);
        assert!(first(&history).starts_with("refunds"), "the last one stays");
        history.scroll(-100);
        let sorts: Vec<Sort> = (0..3).map(|_| (history.sort_by_next(), history.sort).1).collect();
        assert_eq!(sorts, [Sort::Rate, Sort::Size, Sort::Name]);
    }

    #[test]
    fn the_highest_value_is_a_full_block_and_nothing_is_the_lowest() {
        assert_eq!(sparkline([0.0, 0.1, 4.0, 8.0].into_iter()).trim_start(), "▁▂▅█");
        assert_eq!(sparkline([0.0, 0.0].into_iter()).trim_start(), "▁▁");
        assert_eq!(sparkline(std::iter::empty()).trim_start(), "");
    }
}
