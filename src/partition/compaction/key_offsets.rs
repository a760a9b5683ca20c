//! Which offset is the last one of each key, in the part of a log that is being compacted.
//!
//! Whole keys are kept and not hashes of them: two keys are never taken for one, whatever somebody chooses them to be. What
//! that costs is bounded by counting bytes.

use std::collections::HashMap;

use crate::canary::{Canary, planted};

/// What an entry takes beside its key: the place in the table, its share of free places, and what an allocation costs.
const ENTRY_BYTES: usize = 64;

/// Key → last offset.
#[derive(Debug, Default)]
pub(super) struct KeyOffsets {
    offsets: HashMap<Box<[u8]>, u64>,
    bytes: usize,
}

impl KeyOffsets {
    /// Notes that `key` occurs at `offset`, which is above all that were noted before.
    pub(super) fn note(&mut self, key: &[u8], offset: u64) {
        if let Some(last) = self.offsets.get_mut(key) {
            if !planted(Canary::CompactToOldest) {
                *last = offset;
            }
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

    /// About how many bytes of memory this takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_occurs_again_is_superseded() {
        let mut keys = KeyOffsets::default();
        keys.note(b"a", 3);
        keys.note(b"", 4);
        keys.note(b"a", 9);
        assert_eq!([2, 3, 8, 9, 10].map(|offset| keys.is_superseded(b"a", offset)), [true, true, true, false, false]);
        assert!(!keys.is_superseded(b"", 4) && !keys.is_superseded(b"b", 0));
        assert_eq!(keys.bytes(), 2 * ENTRY_BYTES + 1);
    }
}
