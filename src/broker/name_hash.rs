//! Hashing of topic names for their lookup at every send: a multiplication per eight bytes, under a key of the process.
//!
//! The standard library's hasher takes about 170 instructions for a short name, a tenth of a whole send; this one 30. Names are
//! chosen by the application and compared when found: all that a guessed collision could cost is another comparison.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Makes hashers that all have the same key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameHash {
    key: u64,
}

impl Default for NameHash {
    fn default() -> NameHash {
        NameHash { key: RandomState::new().build_hasher().finish() }
    }
}

impl BuildHasher for NameHash {
    type Hasher = NameHasher;

    #[inline]
    fn build_hasher(&self) -> NameHasher {
        NameHasher { state: self.key }
    }
}

/// The state after the bytes so far.
#[derive(Debug)]
pub(crate) struct NameHasher {
    state: u64,
}

/// Odd, with as many ones as zeros, in no order: the fraction of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    /// Both halves of the product, so that every bit of `word` has a part in every bit of the state.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(MULTIPLIER);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for NameHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_be_bytes(*word));
        }
        self.mix(rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
    }

    /// What ends a string, so that of two in a row it is known where the second begins; there is only one here.
    #[inline]
    fn write_u8(&mut self, _end: u8) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_differ_a_little_spread_over_high_and_low_bits() {
        let hash = NameHash { key: 7 };
        let hashes: Vec<u64> = (0..4096).map(|number| hash.hash_one(format!("topic-{number}"))).collect();
        for shift in [0, 52] {
            // 4096 draws out of as many: about 63 % are hit when they are independent.
            let hit: HashSet<_> = hashes.iter().map(|hash| hash >> shift & 0xfff).collect();
            assert!(2400 < hit.len(), "{} of 4096 at bit {shift}", hit.len());
        }
    }

    #[test]
    fn zeros_at_the_end_of_a_name_count() {
        let hash = NameHash { key: 7 };
        let names = ["", "\0", "\0\0", "\0\0\0\0\0\0\0\0", "a", "a\0"];
        let hashes: HashSet<u64> = names.iter().map(|name| hash.hash_one(name)).collect();
        assert_eq!(hashes.len(), names.len());
    }
}
