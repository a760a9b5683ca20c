//! [`Superseded`]: the offsets of records that a later one replaces, one bit for each.
//!
//! Whoever goes through a part of a log for its keys learns it on the way. So nobody has to look each key up once more when that
//! part is cleaned, which is most of what a pass would do: a table of a million keys is far larger than the caches.

/// Offsets from a first one on, as many as have room.
#[derive(Debug)]
pub(super) struct Superseded {
    first_offset: u64,
    bits: Vec<u64>,
    /// The offsets that are known of, from the first one on; what is behind is looked up by its key.
    offsets_max: u64,
}

impl Superseded {
    /// The share of the memory for the keys that the bits may take on top of it.
    const SHARE: usize = 8;

    /// None yet, of those from `first_offset` on.
    pub(super) fn from(first_offset: u64, key_bytes_max: usize) -> Superseded {
        let offsets_max = (key_bytes_max / Superseded::SHARE) as u64 * u64::from(u8::BITS);
        Superseded { first_offset, bits: Vec::new(), offsets_max }
    }

    /// The number of the word, and of the bit in it; `None` for an offset that is not known of.
    #[allow(clippy::cast_possible_truncation, reason = "so many words fit the memory for them")]
    fn place(&self, offset: u64) -> Option<(usize, u32)> {
        let delta = offset.checked_sub(self.first_offset).filter(|&delta| delta < self.offsets_max)?;
        Some(((delta / u64::from(u64::BITS)) as usize, (delta % u64::from(u64::BITS)) as u32))
    }

    /// Notes that the record at `offset` is superseded.
    pub(super) fn insert(&mut self, offset: u64) {
        let Some((word, bit)) = self.place(offset) else { return };
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Whether the record at `offset` is superseded; `None` if that is not known.
    pub(super) fn contains(&self, offset: u64) -> Option<bool> {
        let (word, bit) = self.place(offset)?;
        Some(self.bits.get(word).is_some_and(|word| word & 1 << bit != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_outside_of_the_range_are_not_known() {
        // 16 bytes of bits.
        let mut superseded = Superseded::from(100, 128);
        for offset in [99, 100, 163, 164, 227, 228, u64::MAX] {
            superseded.insert(offset);
        }
        let found = [0, 99, 100, 101, 163, 164, 165, 227, 228, u64::MAX].map(|offset| superseded.contains(offset));
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(found, [None, None, yes, no, yes, yes, no, yes, None, None]);
        assert_eq!(superseded.bits.len(), 2);
    }
}
