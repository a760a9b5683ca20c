//! What becomes of the records of topics: whether they stay, until when, and what is configured for that.

use std::time::Duration;

use ottla::{CleanupPolicy, TopicConfig};

use crate::events::Limits;
use crate::plan::{Place, TOPICS};
use crate::random::Random;

/// What becomes of a topic's records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    /// What the topic is created with.
    pub(crate) limits: Limits,
    /// Its records have keys, some have no value, and it may be compacted. For how long tombstones stay, in milliseconds, then.
    pub(crate) tombstone_ms: Option<u64>,
    pub(crate) segment_bytes: u32,
    /// Every record stays for ever.
    pub(crate) is_whole: bool,
}

impl Keeping {
    pub(crate) fn is_keyed(&self) -> bool {
        self.tombstone_ms.is_some()
    }

    /// Other limits, and at times those that it began with.
    pub(crate) fn other_limits(&self, place: Place, random: &mut Random) -> Limits {
        let age_ms = (place == Place::Simulated).then(|| some_age_ms(random));
        let limits = self.limits;
        match random.below(4) {
            0 => limits,
            1 => Limits { age_ms, ..limits },
            // Another policy for records with keys; no end for those without.
            2 => Limits { bytes: None, age_ms: None, is_compacted: false },
            _ => Limits { bytes: limits.bytes.map(|bytes| 4 * bytes), ..limits },
        }
    }

    /// A configuration with these limits.
    pub(crate) fn configure(&self, config: TopicConfig, limits: Limits) -> TopicConfig {
        let policy = match (limits.is_compacted, limits.age_ms.is_some()) {
            (true, true) => CleanupPolicy::CompactAndDelete,
            (true, false) => CleanupPolicy::Compact,
            (false, _) => CleanupPolicy::Delete,
        };
        let config = config
            .segment_bytes(self.segment_bytes)
            .cleanup_policy(policy)
            .retention_bytes(limits.bytes)
            .retention_ms(limits.age_ms.map(Duration::from_millis));
        if self.is_whole {
            return config;
        }
        let tombstones = Duration::from_millis(self.tombstone_ms.unwrap_or(0));
        config.segment_ms(Duration::from_millis(SEGMENT_MS)).delete_retention_ms(tombstones)
    }
}

/// The limits in a configuration.
pub(crate) fn limits_in(config: &TopicConfig) -> Limits {
    let age = config.get_retention_ms().and_then(|age| u64::try_from(age.as_millis()).ok());
    Limits { bytes: config.get_retention_bytes(), age_ms: age, is_compacted: config.get_cleanup_policy().has_compact() }
}

/// After such a time a segment is closed, where its records do not stay for ever: with nearly every `Act::Maintain`.
pub(crate) const SEGMENT_MS: u64 = 5000;
/// The longest time for which records or tombstones are kept, if not for ever.
pub(crate) const AGE_MS_MAX: u64 = 3 * 24 * 3_600_000;

/// What becomes of the records of each topic. In one round of four all stay, as in one topic of three of the others.
pub(crate) fn of_topics(seed: u64, place: Place, is_bulk: bool) -> [Keeping; TOPICS.len()] {
    let mut random = Random::new(seed ^ 1 << 32);
    let whole = Keeping {
        limits: Limits::default(),
        tombstone_ms: None,
        segment_bytes: if is_bulk { 1 << 20 } else { 16 << 10 },
        is_whole: true,
    };
    if random.chance(25) {
        return [whole; TOPICS.len()];
    }
    TOPICS.map(|_| match random.below(3) {
        0 => whole,
        1 => {
            // The clock of a simulated disk is the plan's; how long things take in a directory nobody can tell.
            let age_ms = (place == Place::Simulated && random.chance(50)).then(|| some_age_ms(&mut random));
            let bytes = if is_bulk { (32 + random.below(256)) << 10 } else { 500 + random.below(8000) };
            let bytes = (age_ms.is_none() || random.chance(50)).then_some(bytes);
            let limits = Limits { bytes, age_ms, is_compacted: false };
            Keeping { limits, segment_bytes: small_segment(&mut random, is_bulk), is_whole: false, ..whole }
        }
        _ => {
            let age_ms = (place == Place::Simulated && random.chance(30)).then(|| some_age_ms(&mut random));
            let limits = Limits { bytes: None, age_ms, is_compacted: true };
            let tombstone_ms = match place {
                _ if random.chance(50) => 0,
                Place::Simulated => some_age_ms(&mut random),
                Place::Directory => AGE_MS_MAX,
            };
            Keeping {
                limits,
                tombstone_ms: Some(tombstone_ms),
                segment_bytes: small_segment(&mut random, is_bulk),
                is_whole: false,
            }
        }
    })
}

fn small_segment(random: &mut Random, is_bulk: bool) -> u32 {
    let sizes = if is_bulk { [32 << 10, 64 << 10, 256 << 10] } else { [1 << 10, 4 << 10, 16 << 10] };
    random.choose(&sizes).copied().unwrap_or(16 << 10)
}

fn some_age_ms(random: &mut Random) -> u64 {
    random.choose(&[4000, 30_000, AGE_MS_MAX]).copied().unwrap_or(AGE_MS_MAX)
}
