//! Syncs that nobody waits for: those of topics with an interval, and of what was appended for nobody in particular.
//!
//! All logs of one interval are synced together, in one round of the group commit. A sender does not say when it has appended
//! something: that would cost it something each time. So each interval is a beat, at which its logs are looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::log::Log;

/// How long what was appended for nobody who waits, such as who is in a group, may be without a sync.
const UNWAITED: Duration = Duration::from_secs(1);

/// Makes durable whatever is to become so by itself, whether or not it is time.
pub(super) fn sync_all(logs: &[Arc<Log>], environment: &Environment) {
    sync(logs.iter().filter(|log| log.durability() != Durability::Os), environment);
}

/// The shortest time for which something may be without a sync; `None` if nothing ever needs one.
pub(super) fn shortest_interval(logs: &[Arc<Log>]) -> Option<Duration> {
    logs.iter().filter_map(|log| interval_of(log)).min()
}

fn sync<'l>(logs: impl Iterator<Item = &'l Arc<Log>>, environment: &Environment) {
    let behind: Vec<_> = logs.filter(|log| is_behind(log)).cloned().collect();
    if !behind.is_empty() {
        Log::commit_all(&behind, environment);
    }
}

fn is_behind(log: &Log) -> bool {
    log.durable_offset() < log.log_end_offset()
}

/// How long a log may be without a sync; `None` if it needs none.
fn interval_of(log: &Log) -> Option<Duration> {
    match log.durability() {
        Durability::Interval(interval) => Some(interval),
        Durability::Always => is_behind(log).then_some(UNWAITED),
        Durability::Os => None,
    }
}

/// When each interval is over.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    ends: BTreeMap<Duration, Duration>,
}

impl Syncs {
    /// Syncs the logs whose interval is over, and begins the next one. Returns when the first is over.
    pub(super) fn run(&mut self, logs: &[Arc<Log>], environment: &Environment, now: Duration) -> Option<Duration> {
        let mut ends = BTreeMap::new();
        for interval in logs.iter().filter_map(|log| interval_of(log)) {
            let end = self.ends.get(&interval).copied();
            ends.insert(interval, end.unwrap_or_else(|| now.saturating_add(interval)));
        }
        let is_over = |log: &&Arc<Log>| {
            let end = interval_of(log).and_then(|interval| ends.get(&interval));
            end.is_some_and(|end| *end <= now)
        };
        sync(logs.iter().filter(is_over), environment);
        for (interval, end) in ends.iter_mut().filter(|(_, end)| **end <= now) {
            *end = now.saturating_add(*interval);
        }
        self.ends = ends;
        self.ends.values().min().copied()
    }
}
