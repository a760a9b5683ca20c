//! What a round is like, and what happens in it, as it follows from its seed.

use std::time::Duration;

use ottla::testing::CrashModel;
use ottla::{CleanupPolicy, Durability, TopicConfig};

use crate::random::Random;

/// What is consumed.
pub(crate) const INPUT: &str = "in";
pub(crate) const INPUTS_MAX: usize = 3;
pub(crate) const GROUP: &str = "workers";
/// What is written: topics and partitions. For each record of the input there is one in the first topic and one in the second, and
/// for some one in each of the others.
pub(crate) const OUTPUTS: [(&str, u32); 5] = [("x", 0), ("x", 1), ("y", 0), ("bounded", 0), ("compacted", 0)];
pub(crate) const TOPICS: [&str; 4] = ["x", "y", "bounded", "compacted"];
/// Its oldest records go.
pub(crate) const BOUNDED: usize = 3;
/// Of each key the last record stays.
pub(crate) const COMPACTED: usize = 4;
pub(crate) const WORKERS_MAX: usize = 4;
/// Time in which a transaction has to end.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// What happens to the broker while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Seconds pass, and what is due is done: timeouts, interval syncs, rolls, retention.
    Maintain(u64),
    Compact,
    /// Deletes the first records: of the input, of what is done, and of the bounded topic so many per cent.
    DeleteRecords(u64),
    /// The disk is full, with so many bytes to go.
    FillDisk(u64),
    FreeDisk,
    /// The nth sync from now fails.
    FailSync(u64),
    /// The nth write from now ends early.
    ShortWrite(u64),
    Close,
    Kill,
    CutPower(CrashModel),
}

impl Act {
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Act::FillDisk(_) | Act::FailSync(_) | Act::ShortWrite(_))
    }

    fn is_end(self) -> bool {
        matches!(self, Act::Close | Act::Kill | Act::CutPower(_))
    }
}

/// A round: some lives of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) inputs: usize,
    pub(crate) lives: u64,
    /// Turns of all workers together in a life.
    pub(crate) turns: u64,
    /// Records in a transaction, at most.
    pub(crate) records_max: u32,
    /// Somebody else opens the names now and then.
    pub(crate) has_rivals: bool,
    /// Commits survive a power cut; if not, the power is never cut: what it leaves of them then is anything.
    pub(crate) are_durable: bool,
    /// Calls fail.
    pub(crate) can_fail: bool,
    /// By topic.
    pub(crate) durabilities: [Durability; TOPICS.len()],
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let are_durable = random.chance(65);
        let durabilities = std::array::from_fn(|_| match random.below(4) {
            0 => Durability::Os,
            1 => Durability::Interval(Duration::from_secs(5)),
            _ if are_durable => Durability::Always,
            _ => Durability::Os,
        });
        Plan {
            seed,
            workers: 1 + super::usize_below(&mut random, WORKERS_MAX),
            inputs: 1 + super::usize_below(&mut random, INPUTS_MAX),
            lives: 2 + random.below(4),
            turns: 100 + random.below(500),
            records_max: u32::try_from(1 + random.below(12)).unwrap(),
            has_rivals: random.chance(50),
            are_durable,
            can_fail: random.chance(40),
            durabilities,
        }
    }

    pub(crate) fn durability(&self) -> Durability {
        if self.are_durable { Durability::Always } else { Durability::Os }
    }

    /// How a topic of the outputs is made. Segments are small, so that they roll.
    pub(crate) fn config_of(&self, topic: usize) -> TopicConfig {
        let config = TopicConfig::new().durability(self.durabilities[topic]).segment_bytes(4000);
        match TOPICS[topic] {
            "x" => config.partitions(2),
            "bounded" => config.retention_bytes(10_000),
            "compacted" => config.cleanup_policy(CleanupPolicy::Compact),
            _ => config,
        }
    }

    /// Whether a power cut leaves of a log all that was acknowledged, plain records too.
    pub(crate) fn is_always(&self, log: usize) -> bool {
        let topic = TOPICS.iter().position(|topic| *topic == OUTPUTS[log].0);
        topic.is_some_and(|topic| self.durabilities[topic] == Durability::Always)
    }

    /// The random numbers of one thread in one life.
    pub(crate) fn random(&self, life: u64, thread: usize) -> Random {
        Random::new(self.seed ^ (life + 1) << 48 ^ (thread as u64 + 1) << 40)
    }

    /// What happens in a life, each once so many turns were taken.
    pub(crate) fn acts(&self, life: u64) -> Vec<(u64, Act)> {
        let mut random = self.random(life, usize::from(u8::MAX));
        let mut acts = Vec::new();
        for _ in 0..random.below(16) {
            let at = random.below(self.turns);
            let act = match random.below(14) {
                0 | 1 => Act::Compact,
                2 | 3 => Act::DeleteRecords(random.below(101)),
                // Beyond the timeout of transactions.
                4 => Act::Maintain(TIMEOUT.as_secs() + 1),
                // Beyond the time in which members must poll.
                5 => Act::Maintain(20 * 60),
                6 => Act::Maintain(8 * 24 * 3600),
                7 if self.can_fail => Act::FillDisk(random.below(1 << 16)),
                8 | 9 if self.can_fail => Act::FreeDisk,
                10 if self.can_fail && random.chance(30) => Act::FailSync(1 + random.below(10)),
                11 if self.can_fail => Act::ShortWrite(1 + random.below(20)),
                _ => Act::Maintain(7),
            };
            acts.push((at, act));
        }
        acts.push((self.turns / 3 + random.below(self.turns * 2 / 3), self.end(&mut random)));
        acts.sort_by_key(|(at, _)| *at);
        let end = acts.iter().position(|(_, act)| act.is_end()).unwrap_or(acts.len());
        acts.truncate(end + 1);
        acts
    }

    fn end(&self, random: &mut Random) -> Act {
        // What shows another log's old blocks could show its transactions.
        let models: Vec<_> = CrashModel::ALL.into_iter().filter(|model| *model != CrashModel::StaleBlocks).collect();
        match random.below(5) {
            0 => Act::Close,
            1..=3 if self.are_durable => Act::CutPower(random.choose(&models).copied().unwrap_or(CrashModel::Subset)),
            _ => Act::Kill,
        }
    }
}
