//! What a round is like, and all that its threads do, as it follows from its seed.

use std::ops::Range;

use ottla::Durability;
use ottla::testing::CrashModel;

use crate::events::Limits;
use crate::keeping::{Keeping, of_topics};
use crate::random::Random;

/// The topics, and what each promises. The first letters tell them apart.
pub(crate) const TOPICS: [&str; 3] = ["os", "interval", "always"];
/// A topic may get so many.
pub(crate) const PARTITIONS_MAX: usize = 4;
/// Logs of all topics together, those included that are not there yet.
pub(crate) const LOGS: usize = TOPICS.len() * PARTITIONS_MAX;
pub(crate) const GROUPS: [&str; 3] = ["billing", "shipping", "audit"];

/// The place of a partition in lists of logs.
pub(crate) fn log_of(topic: usize, partition: u32) -> usize {
    topic * PARTITIONS_MAX + partition as usize
}

/// All logs of a topic, those included that are not there yet.
pub(crate) fn logs_of(topic: usize) -> Range<usize> {
    log_of(topic, 0)..log_of(topic + 1, 0)
}

/// Where the data directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Simulated,
    /// In the system's temporary directory.
    Directory,
}

/// What happens to the broker while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    AddPartition,
    /// The disk is full, with so many bytes to go.
    FillDisk(u64),
    /// There is space again.
    FreeDisk,
    /// The nth sync from now fails.
    FailSync(u64),
    /// The nth write from now ends early.
    ShortWrite(u64),
    /// Seconds pass, and what is due is done: interval syncs, checkpoints, compaction.
    Maintain(u64),
    Flush,
    /// Deletes the first records of a topic's partitions: so many per cent of what can be read.
    DeleteRecords {
        topic: usize,
        percent: u64,
    },
    /// Gives a topic other limits.
    Alter {
        topic: usize,
        limits: Limits,
    },
    Compact {
        topic: usize,
    },
    Close,
    Kill,
    CutPower(CrashModel),
}

impl Act {
    fn is_end(self) -> bool {
        matches!(self, Act::Close | Act::Kill | Act::CutPower(_))
    }
}

/// How consumers of a group remember how far they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    /// After every poll.
    Always,
    /// Every now and then.
    Sometimes,
    /// By themselves, when time passes, and when partitions are given up.
    Auto,
}

/// A round: some lives of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) place: Place,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) commits: Vec<Commits>,
    pub(crate) lives: u64,
    /// So many are sent in a life, unless it ends before.
    pub(crate) records_per_life: u64,
    /// Records in a piece, at most.
    pub(crate) piece_max: u64,
    /// Of the broker, and so of commits.
    pub(crate) durability: Durability,
    /// By topic.
    pub(crate) keeping: [Keeping; TOPICS.len()],
    /// Nobody dies and nothing fails: every record is to be delivered exactly once.
    pub(crate) is_calm: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64, place: Place) -> Plan {
        let mut random = Random::new(seed);
        // Most rounds are for the number of records, every fourth for the number of things that happen.
        let is_bulk = !(seed / 2).is_multiple_of(4);
        let groups = 1 + usize_below(&mut random, GROUPS.len());
        let is_calm = random.chance(25);
        let commits = (0..groups).map(|_| match random.below(3) {
            0 => Commits::Always,
            1 if !is_calm => Commits::Sometimes,
            _ => Commits::Auto,
        });
        let commits = commits.collect();
        Plan {
            seed,
            place,
            producers: 1 + usize_below(&mut random, 8),
            consumers: groups.max(1 + usize_below(&mut random, 8)),
            commits,
            lives: 2 + random.below(4),
            records_per_life: if is_bulk { 100_000 } else { 3000 },
            piece_max: if is_bulk { 1000 } else { 20 },
            durability: if random.chance(50) { Durability::Always } else { Durability::Os },
            keeping: of_topics(seed, place, is_bulk),
            is_calm,
        }
    }

    pub(crate) fn group_count(&self) -> usize {
        self.commits.len()
    }

    /// The random numbers of one thread in one life.
    pub(crate) fn random(&self, life: u64, thread: usize) -> Random {
        Random::new(self.seed ^ (life + 1) << 48 ^ (thread as u64 + 1) << 40)
    }

    /// What happens in a life, each once so many records were sent.
    pub(crate) fn acts(&self, life: u64) -> Vec<(u64, Act)> {
        let mut random = self.random(life, usize::from(u8::MAX));
        let mut acts = Vec::new();
        let is_whole = self.keeping.iter().all(|keeping| keeping.is_whole);
        for _ in 0..random.below(if is_whole { 12 } else { 24 }) {
            let at = random.below(self.records_per_life);
            let act = match random.below(if is_whole { 10 } else { 16 }) {
                0 | 1 => Act::AddPartition,
                2 => Act::Flush,
                3 if self.can_fail() => Act::FillDisk(random.below(1 << 18)),
                4 if self.can_fail() => Act::FreeDisk,
                5 if self.can_fail() && random.chance(30) => Act::FailSync(1 + random.below(10)),
                6 if self.can_fail() => Act::ShortWrite(1 + random.below(20)),
                // So long that segments roll, also that of the committed offsets, which are compacted then.
                7 => Act::Maintain(8 * 24 * 3600),
                10.. => self.act_on_records(&mut random),
                _ => Act::Maintain(7),
            };
            acts.push((at, act));
        }
        let at = self.records_per_life / 2 + random.below(self.records_per_life / 2);
        acts.push((at, self.end(&mut random)));
        acts.sort_by_key(|(at, _)| *at);
        // Nothing happens behind the end.
        let end = acts.iter().position(|(_, act)| act.is_end()).unwrap_or(acts.len());
        acts.truncate(end + 1);
        acts
    }

    /// Something that takes records out of a topic, now or later.
    fn act_on_records(&self, random: &mut Random) -> Act {
        let partial: Vec<usize> = (0..TOPICS.len()).filter(|topic| !self.keeping[*topic].is_whole).collect();
        let topic = random.choose(&partial).copied().unwrap_or(0);
        let keeping = &self.keeping[topic];
        match random.below(6) {
            0 => Act::DeleteRecords { topic, percent: random.below(101) },
            1 => Act::Alter { topic, limits: keeping.other_limits(self.place, random) },
            2 if keeping.is_keyed() => Act::Compact { topic },
            _ => Act::Maintain(7),
        }
    }

    fn can_fail(&self) -> bool {
        self.place == Place::Simulated && !self.is_calm
    }

    fn end(&self, random: &mut Random) -> Act {
        match random.below(5) {
            1 | 2 if self.can_fail() => Act::Kill,
            3 | 4 if self.can_fail() => {
                let model = random.choose(&CrashModel::ALL).copied().unwrap_or(CrashModel::Subset);
                // Old blocks of another log's removed segment, which begin at just the offset that comes next, cannot be told from
                // the log's own: a limit that the guide states. So none are shown where segments are removed all the time.
                let is_whole = self.keeping.iter().all(|keeping| keeping.is_whole);
                let shows_removed = model == CrashModel::StaleBlocks && !is_whole;
                Act::CutPower(if shows_removed { CrashModel::ZeroedTail } else { model })
            }
            _ => Act::Close,
        }
    }
}

pub(crate) fn usize_below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or(0)
}
