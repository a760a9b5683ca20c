//! Which offset is the last one of each key, in the part of a log that is being compacted.
//!
//! Whole keys are kept and not hashes of them: two keys are never taken for one, whatever somebody chooses them to be. What
//! that costs is bounded by counting bytes. Where the keys of one segment are more than fit, those are kept whose hash is in a
//! range, which is halved until they do; the next pass takes the keys above it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use crate::canary::{Canary, planted};

/// What an entry takes beside its key: the place in the table, its share of free places, and what an allocation costs.
const ENTRY_BYTES: usize = 64;

/// Key → last offset.
#[derive(Debug)]
pub(super) struct KeyOffsets {
    offsets: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    bytes_max: usize,
    /// Hashes of the keys that are noted, both included.
    first_hash: u64,
    last_hash: u64,
}

/// The same for a key in every pass.
fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

impl KeyOffsets {
    /// Takes keys from this hash on, for about `bytes_max` bytes.
    pub(super) fn from(first_hash: u64, bytes_max: usize) -> KeyOffsets {
        KeyOffsets { offsets: HashMap::new(), bytes: 0, bytes_max, first_hash, last_hash: u64::MAX }
    }

    /// Notes that `key` occurs at `offset`, which is above all that were noted before.
    pub(super) fn note(&mut self, key: &[u8], offset: u64) {
        if let Some(last) = self.offsets.get_mut(key) {
            if !planted(Canary::CompactToOldest) {
                *last = offset;
            }
            return;
        }
        let takes_all = self.first_hash == 0 && self.last_hash == u64::MAX;
        if !takes_all && !(self.first_hash..=self.last_hash).contains(&hash_of(key)) {
            return;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        self.offsets.insert(key.into(), offset);
    }

    /// Whether `key` is known to occur again behind `offset`.
    pub(super) fn is_superseded(&self, key: &[u8], offset: u64) -> bool {
        let last = self.offsets.get(key);
        if planted(Canary::CompactToOldest) {
            return last.is_some_and(|&first| first < offset);
        }
        last.is_some_and(|&last| offset < last)
    }

    /// Whether these are more than are to be kept.
    pub(super) fn is_full(&self) -> bool {
        self.bytes_max < self.bytes
    }

    /// Gives up the keys with the higher hashes until the others fit; those with the very same hash always stay.
    pub(super) fn shrink(&mut self) {
        while self.is_full() && self.first_hash < self.last_hash {
            self.last_hash = self.first_hash + (self.last_hash - self.first_hash) / 2;
            let last_hash = self.last_hash;
            self.offsets.retain(|key, _| hash_of(key) <= last_hash);
            self.bytes = self.offsets.keys().map(|key| key.len() + ENTRY_BYTES).sum();
        }
    }

    /// The first hash of the keys that are left for another pass, if there may be some.
    pub(super) fn next_hash(&self) -> Option<u64> {
        self.last_hash.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_occurs_again_is_superseded() {
        let mut keys = KeyOffsets::from(0, 1000);
        keys.note(b"a", 3);
        keys.note(b"", 4);
        keys.note(b"a", 9);
        assert_eq!([2, 3, 8, 9, 10].map(|offset| keys.is_superseded(b"a", offset)), [true, true, true, false, false]);
        assert!(!keys.is_superseded(b"", 4) && !keys.is_superseded(b"b", 0));
        assert_eq!(keys.bytes, 2 * ENTRY_BYTES + 1);
    }

    #[test]
    fn more_keys_than_fit_are_taken_part_by_part_and_each_once() {
        const KEYS: u64 = 1000;
        let key = |number: u64| (number % KEYS).to_be_bytes();
        let bytes_max = 100 * (8 + ENTRY_BYTES);
        let (mut from, mut taken, mut passes) = (Some(0), vec![0; 1000], 0);
        while let Some(first_hash) = from {
            let mut keys = KeyOffsets::from(first_hash, bytes_max);
            for offset in 0..2 * KEYS {
                keys.note(&key(offset), offset);
                keys.shrink();
                assert!(!keys.is_full());
            }
            for (number, taken) in (0..).zip(&mut taken) {
                *taken += u32::from(keys.is_superseded(&key(number), number));
                assert!(!keys.is_superseded(&key(number), number + KEYS));
            }
            from = keys.next_hash();
            passes += 1;
        }
        assert!(taken.iter().all(|&count| count == 1));
        assert!((10..=40).contains(&passes), "{passes}");
    }
}
