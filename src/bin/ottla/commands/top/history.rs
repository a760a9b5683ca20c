//! What the live view remembers: the newest look, and the rates of those before.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::sample::{Sample, TopicSample};

/// So many looks are drawn.
pub const LOOKS: usize = 20;

/// By what the topics are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Name,
    Rate,
    Size,
}

/// The looks so far.
#[derive(Debug)]
pub struct History {
    pub dir: String,
    pub interval: Duration,
    /// The newest one; `None` before the first.
    pub newest: Option<Sample>,
    pub sort: Sort,
    pub is_paused: bool,
    /// So many topics stand above the first that is shown.
    pub skipped: usize,
    rates: HashMap<String, VecDeque<f64>>,
    lags: HashMap<String, VecDeque<f64>>,
}

impl History {
    pub fn new(dir: String, interval: Duration) -> History {
        let (rates, lags) = (HashMap::new(), HashMap::new());
        History { dir, interval, newest: None, sort: Sort::Name, is_paused: false, skipped: 0, rates, lags }
    }

    /// Takes in the next look.
    pub fn add(&mut self, mut sample: Sample) {
        push(&mut self.rates, sample.topics.iter().map(|topic| (topic.topic.as_str(), topic.records_per_second)));
        #[allow(clippy::cast_precision_loss, reason = "it becomes one of eight heights")]
        push(&mut self.lags, sample.groups.iter().map(|group| (group.group.as_str(), group.lag as f64)));
        sort(&mut sample.topics, self.sort);
        self.newest = Some(sample);
    }

    pub fn sort_by_next(&mut self) {
        self.sort = match self.sort {
            Sort::Name => Sort::Rate,
            Sort::Rate => Sort::Size,
            Sort::Size => Sort::Name,
        };
        if let Some(sample) = &mut self.newest {
            sort(&mut sample.topics, self.sort);
        }
    }

    /// Moves the topics up or down by so many.
    pub fn scroll(&mut self, by: isize) {
        let topics = self.newest.as_ref().map_or(0, |sample| sample.topics.len());
        self.skipped = self.skipped.saturating_add_signed(by).min(topics.saturating_sub(1));
    }

    /// The last rates of a topic, the oldest first.
    pub fn rates(&self, topic: &str) -> impl Iterator<Item = f64> {
        self.rates.get(topic).into_iter().flatten().copied()
    }

    /// The last lags of a group, the oldest first.
    pub fn lags(&self, group: &str) -> impl Iterator<Item = f64> {
        self.lags.get(group).into_iter().flatten().copied()
    }
}

/// Appends a value for each name; names that are not there any more are forgotten.
fn push<'n>(all: &mut HashMap<String, VecDeque<f64>>, values: impl Iterator<Item = (&'n str, f64)>) {
    let mut before = std::mem::take(all);
    for (name, value) in values {
        let mut values = before.remove(name).unwrap_or_default();
        if values.len() == LOOKS {
            values.pop_front();
        }
        values.push_back(value);
        all.insert(name.to_owned(), values);
    }
}

fn sort(topics: &mut [TopicSample], by: Sort) {
    topics.sort_by(|one, other| {
        let first = match by {
            Sort::Name => Ordering::Equal,
            Sort::Rate => other.records_per_second.total_cmp(&one.records_per_second),
            Sort::Size => other.log_bytes.cmp(&one.log_bytes),
        };
        first.then_with(|| one.topic.cmp(&other.topic))
    });
}
