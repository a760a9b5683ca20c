//! Which offset is the last one of each key, in the part of a log that is being compacted.
//!
//! Whole keys are kept and not hashes of them: two keys are never taken for one, whatever somebody chooses them to be. What
//! that costs is bounded by counting bytes. Where the keys of the first segment are more than fit, those are kept whose hash is in a
//! range, which is halved until they do, also for what the others have; the next pass takes the keys above it.

use std::hash::{DefaultHasher, Hasher};

use super::key_table::{KeyHash, KeyTable};
use super::superseded::Superseded;
use crate::canary::{Canary, planted};

/// So many keys are looked up at once.
const AT_ONCE: usize = 64;

/// What to do about keys that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Nothing more is noted.
    Stop,
    /// A part of the keys is given up.
    Shrink,
}

/// Key → last offset.
#[derive(Debug)]
pub(super) struct KeyOffsets {
    offsets: KeyTable,
    /// Of the part that is gone through for its keys.
    superseded: Superseded,
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
    /// Takes keys from this hash on, for about `bytes_max` bytes, of records from `first_offset` on.
    pub(super) fn from(first_hash: u64, bytes_max: usize, first_offset: u64) -> KeyOffsets {
        let superseded = Superseded::from(first_offset, bytes_max);
        KeyOffsets { offsets: KeyTable::new(), superseded, bytes_max, first_hash, last_hash: u64::MAX }
    }

    /// Notes which key occurs at which offset, in the order of the offsets, which are above all that were noted before.
    pub(super) fn note_all(&mut self, occurrences: &[(&[u8], u64)], overflow: Overflow) {
        for some in occurrences.chunks(AT_ONCE) {
            let mut hashes = [None; AT_ONCE];
            for (hash, (key, _)) in hashes.iter_mut().zip(some) {
                *hash = Some(self.offsets.hash(key));
            }
            self.offsets.fetch(hashes.iter().flatten().copied());
            for (&(key, offset), hash) in some.iter().zip(hashes.into_iter().flatten()) {
                match overflow {
                    Overflow::Stop if self.is_full() => return,
                    Overflow::Stop => self.note(key, hash, offset),
                    Overflow::Shrink => {
                        self.note(key, hash, offset);
                        self.shrink();
                    }
                }
            }
        }
    }

    #[inline]
    fn note(&mut self, key: &[u8], hash: KeyHash, offset: u64) {
        if let Some(last) = self.offsets.get_mut(key, hash) {
            if !planted(Canary::CompactToOldest) {
                self.superseded.insert(*last);
                *last = offset;
            }
            return;
        }
        let takes_all = self.first_hash == 0 && self.last_hash == u64::MAX;
        if !takes_all && !(self.first_hash..=self.last_hash).contains(&hash_of(key)) {
            return;
        }
        self.offsets.insert(key, hash, offset);
    }

    /// Whether `key` is known to occur again behind `offset`. What is asked for from the first offset on, was noted.
    pub(super) fn is_superseded(&self, key: &[u8], offset: u64) -> bool {
        if planted(Canary::CompactToOldest) {
            return self.offsets.get(key).is_some_and(|first| first < offset);
        }
        match self.superseded.contains(offset) {
            Some(is_superseded) => is_superseded,
            None => self.offsets.get(key).is_some_and(|last| offset < last),
        }
    }

    /// Whether these are more than are to be kept.
    pub(super) fn is_full(&self) -> bool {
        self.bytes_max < self.offsets.bytes_with_next()
    }

    /// Gives up the keys with the higher hashes until the others fit; those with the very same hash always stay.
    fn shrink(&mut self) {
        while self.is_full() && self.first_hash < self.last_hash {
            self.last_hash = self.first_hash + (self.last_hash - self.first_hash) / 2;
            let last_hash = self.last_hash;
            self.offsets.retain(|key| hash_of(key) <= last_hash);
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
        let mut keys = KeyOffsets::from(0, 1000, 3);
        keys.note_all(&[(b"a", 3), (b"", 4)], Overflow::Stop);
        keys.note_all(&[(b"a", 9)], Overflow::Stop);
        // What lies before the first offset is looked up, and the rest was noted.
        assert_eq!([2, 3, 9].map(|offset| keys.is_superseded(b"a", offset)), [true, true, false]);
        assert!(!keys.is_superseded(b"", 4) && !keys.is_superseded(b"b", 0));
        assert!(!keys.is_full());
    }

    #[test]
    fn more_keys_than_fit_are_taken_part_by_part_and_each_once() {
        const KEYS: u64 = 1000;
        let key = |number: u64| (number % KEYS).to_be_bytes();
        // 128 places, of which at most three quarters are used.
        let bytes_max = 128 * 32;
        let (mut from, mut taken, mut passes) = (Some(0), vec![0; 1000], 0);
        while let Some(first_hash) = from {
            let mut keys = KeyOffsets::from(first_hash, bytes_max, 0);
            for offset in 0..2 * KEYS {
                keys.note_all(&[(&key(offset), offset)], Overflow::Shrink);
                assert!(!keys.is_full());
            }
            for (number, taken) in (0..).zip(&mut taken) {
                *taken += u32::from(keys.is_superseded(&key(number), number));
                assert!(!keys.is_superseded(&key(number), number + KEYS));
            }
            from = keys.next_hash();
            passes += 1;
        }
        assert!(taken.iter().all(|&count| count > 0), "a key that was given up may be known to be superseded, too");
        assert!((10..=40).contains(&passes), "{passes}");
    }
}
