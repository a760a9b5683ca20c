//! Where one log begins: it never moves back, and no further than somebody asked for or the topic's limits allow.

use super::Checked;
use super::clock::Clock;
use crate::events::{Altered, Cut, Deletion, End, FoundLog, Life, Limits, Moment, Seen};

/// What one sealed batch takes at most, and so a segment however small its limit is.
const BATCH_BYTES_MAX: u64 = (64 << 10) + 61;

/// What is known of the start of one log.
#[derive(Debug)]
pub(super) struct Starts {
    /// What the topic is configured with when a life begins.
    limits: Limits,
    segment_bytes: u64,
    /// Where the log began when this life did.
    pub(super) settled: u64,
    seen: Vec<Seen>,
    deletions: Vec<Deletion>,
    altered: Vec<Altered>,
    /// By the moment at which somebody had seen it: the furthest start until then.
    least: Vec<(Moment, u64)>,
    /// By the moment at which somebody began to look: the nearest start that was seen from then on.
    most: Vec<(Moment, u64)>,
}

/// When records were sent of which some are gone, for whether they were old enough.
pub(super) struct Age<'l> {
    pub(super) clock: &'l Clock,
    /// By offset; 0 where that is not known.
    pub(super) sent: &'l [Moment],
}

impl Age<'_> {
    /// Whether every record between two offsets may have been older than that at some moment.
    fn allows(&self, from: u64, to: u64, at: Moment, age_ms: u64) -> bool {
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX).min(self.sent.len());
        let sent = self.sent.get(place(from)..place(to)).unwrap_or_default();
        sent.iter().max().is_none_or(|&youngest| age_ms <= self.clock.most_between(youngest, at))
    }
}

impl Starts {
    pub(super) fn new(limits: Limits, segment_bytes: u64) -> Starts {
        Starts {
            limits,
            segment_bytes,
            settled: 0,
            seen: Vec::new(),
            deletions: Vec::new(),
            altered: Vec::new(),
            least: Vec::new(),
            most: Vec::new(),
        }
    }

    /// Takes in who saw the start of log `number` where, and who moved it.
    pub(super) fn take_life(&mut self, number: usize, life: &Life) -> Checked {
        self.seen = life.seen.iter().filter(|seen| seen.partition == number).copied().collect();
        self.deletions = life.deletions.iter().filter(|deletion| deletion.partition == number).copied().collect();
        self.altered = life.altered.iter().filter(|altered| altered.partitions.contains(&number)).cloned().collect();
        for deletion in &self.deletions {
            let Deletion { partition, before, began, ended, start } = *deletion;
            let Some(start) = start else { continue };
            if start < before {
                return Err(format!("what is below {before} was deleted, and the log is said to begin at {start}"));
            }
            self.seen.push(Seen { partition, start, end: start, bytes: None, began, ended });
        }
        self.seen.sort_unstable_by_key(|seen| seen.ended);
        self.least.clear();
        for seen in &self.seen {
            let furthest = self.least.last().map_or(self.settled, |least| least.1);
            self.least.push((seen.ended, seen.start.max(furthest)));
        }
        self.seen.sort_unstable_by_key(|seen| seen.began);
        self.most.clear();
        for seen in self.seen.iter().rev() {
            let nearest = self.most.last().map_or(u64::MAX, |most| most.1);
            self.most.push((seen.began, seen.start.min(nearest)));
        }
        self.most.reverse();
        for seen in &self.seen {
            let least = self.least_at(seen.began);
            if seen.start < least {
                return Err(format!("the log began at {least}, and later at {}", seen.start));
            }
            if seen.end < seen.start {
                return Err(format!("the log begins at {} and ends at {}", seen.start, seen.end));
            }
        }
        Ok(())
    }

    /// Where the log began at a moment, at least.
    pub(super) fn least_at(&self, at: Moment) -> u64 {
        let earlier = self.least.partition_point(|least| least.0 <= at);
        earlier.checked_sub(1).map_or(self.settled, |newest| self.least[newest].1)
    }

    /// Where it began at a moment, at most. If nobody looked since, it has not moved.
    pub(super) fn most_at(&self, at: Moment) -> u64 {
        let earlier = self.most.partition_point(|most| most.0 <= at);
        self.most.get(earlier).map_or(self.least_at(Moment::MAX), |most| most.1)
    }

    /// Each move was asked for, or the limits allow it.
    pub(super) fn check_moves(&self, age: &Age<'_>) -> Checked {
        let mut checked = self.settled;
        for seen in &self.seen {
            // Whoever looks later finds more bytes, if not a further start.
            let Some(bytes) = seen.bytes.filter(|_| checked != seen.start) else { continue };
            checked = seen.start;
            let lower = self.seen.iter().filter(|other| other.ended <= seen.began && other.start < seen.start);
            let from = lower.map(|other| other.began).max().unwrap_or(0);
            self.check_move(seen.start, bytes, from, seen.ended, age)?;
        }
        Ok(())
    }

    /// Whether the log could come to begin at `start` between two moments, if it had so many bytes then.
    fn check_move(&self, start: u64, bytes: u64, from: Moment, to: Moment, age: &Age<'_>) -> Checked {
        let asked = self.deletions.iter().filter(|deletion| deletion.began < to).map(|deletion| deletion.before);
        if start <= asked.max().unwrap_or(0).max(self.settled) {
            return Ok(());
        }
        let allows = |limits: &Limits| {
            limits.bytes.is_some_and(|min| min <= bytes)
                || limits.age_ms.is_some_and(|age_ms| age.allows(self.settled, start, to, age_ms))
        };
        let limits = self.limits_between(from, to);
        if limits.iter().any(allows) {
            return Ok(());
        }
        Err(format!(
            "the log begins at {start} and has {bytes} bytes, nobody asked for that, and its limits were {limits:?}"
        ))
    }

    /// What may have counted at some time between two moments.
    fn limits_between(&self, from: Moment, to: Moment) -> Vec<Limits> {
        let mut possible = vec![self.limits];
        for altered in self.altered.iter().filter(|altered| altered.began < to) {
            if altered.is_acked && altered.ended < from {
                possible.clear();
            }
            possible.push(altered.limits);
        }
        possible
    }

    /// Compares where the next life found it, and goes on from that. At most `lost` bytes are gone with the end of the log.
    pub(super) fn settle(&mut self, cut: Cut, found: &FoundLog, lost: u64, age: &Age<'_>) -> Checked {
        let told = self.seen.iter().filter(|seen| seen.ended < cut.before).map(|seen| seen.start);
        let least = told.max().unwrap_or(0).max(self.settled);
        if found.start < least {
            return Err(format!("{:?}: the log begins at {}, and had begun at {least}", cut.end, found.start));
        }
        let possible = self.limits_between(cut.before, cut.after.saturating_add(1));
        if !possible.contains(&found.limits) {
            return Err(format!("{:?}: the limits are {:?}, not one of {possible:?}", cut.end, found.limits));
        }
        let was_seen = self.seen.iter().any(|seen| seen.began <= cut.after && found.start <= seen.start);
        if !was_seen {
            let lower = self.seen.iter().filter(|seen| seen.ended < cut.before && seen.start < found.start);
            let from = lower.map(|seen| seen.began).max().unwrap_or(0);
            let lost = if cut.end == End::PowerCut { lost } else { 0 };
            let checked = self.check_move(found.start, found.bytes + lost, from, cut.after.saturating_add(1), age);
            checked.map_err(|problem| format!("{:?}: {problem}", cut.end))?;
        }
        self.limits = found.limits;
        self.settled = found.start;
        self.seen.clear();
        self.deletions.clear();
        self.altered.clear();
        self.least.clear();
        self.most.clear();
        Ok(())
    }

    /// What was seen once the maintenance was done and nobody sent anything: no more is kept than the limits say; nothing at all if
    /// all records `have_aged` beyond them.
    pub(super) fn check_maintained(&self, seen: &Seen, have_aged: bool) -> Checked {
        let bytes = seen.bytes.unwrap_or(0);
        let segment = self.segment_bytes.max(BATCH_BYTES_MAX);
        if self.limits.bytes.is_some_and(|min| min + segment <= bytes) {
            return Err(format!(
                "{bytes} bytes are kept, the limits are {:?}, a segment has up to {segment}",
                self.limits
            ));
        }
        if have_aged && self.limits.age_ms.is_some() && seen.start != seen.end {
            return Err(format!("{}..{} is kept for longer than {:?}", seen.start, seen.end, self.limits));
        }
        Ok(())
    }
}
