//! [`SharedBytes`]: bytes that keep alive what they lie in, so that a record outlives the segment that it was read from.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::Mapping;

/// A piece of a mapped file or of a buffer. Cloning and slicing copy no bytes.
///
/// The bytes never change. The range is checked when it is made, so that looking at the bytes cannot fail.
#[derive(Clone)]
pub(crate) struct SharedBytes {
    owner: Owner,
    /// Lies within the owner.
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Mapped(Arc<Mapping>),
    // A vector and not a slice: a buffer that was just filled becomes shared without being copied again.
    Heap(Arc<Vec<u8>>),
}

impl SharedBytes {
    /// The bytes of `range` in a mapped file, or `None` if it leaves the map.
    ///
    /// All of the range must be published: see `mapping.rs`.
    pub(in crate::disk) fn mapped(mapping: &Arc<Mapping>, range: Range<usize>) -> Option<SharedBytes> {
        let is_inside = range.start <= range.end && range.end <= mapping.len();
        is_inside.then(|| SharedBytes { owner: Owner::Mapped(Arc::clone(mapping)), range })
    }

    /// These bytes without what is not in `range`, counted from their start; none of them if it leaves them.
    pub(crate) fn into_slice(mut self, range: Range<usize>) -> SharedBytes {
        let is_inside = range.start <= range.end && range.end <= self.range.len();
        let start = self.range.start;
        self.range = if is_inside { start + range.start..start + range.end } else { start..start };
        self
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.owner {
            Owner::Mapped(mapping) => mapping.bytes(self.range.clone()),
            Owner::Heap(bytes) => bytes.get(self.range.clone()).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> SharedBytes {
        let range = 0..bytes.len();
        SharedBytes { owner: Owner::Heap(Arc::new(bytes)), range }
    }
}

impl Default for SharedBytes {
    fn default() -> SharedBytes {
        SharedBytes::from(Vec::new())
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = match self.owner {
            Owner::Mapped(_) => "mapped",
            Owner::Heap(_) => "heap",
        };
        write!(f, "SharedBytes({} bytes, {owner})", self.range.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_from_their_own_start() {
        let whole = SharedBytes::from(b"0123456789".to_vec());
        let part = whole.into_slice(2..8);
        assert_eq!(*part, *b"234567");
        assert_eq!(*part.clone().into_slice(1..3), *b"34");
        assert!(part.clone().into_slice(0..7).is_empty());
        let (start, end) = (3, 2);
        assert!(part.clone().into_slice(start..end).is_empty());
        assert!(part.into_slice(6..6).is_empty());
    }

    #[test]
    fn a_piece_keeps_its_map_alive() {
        let mapping = Arc::new(Mapping::copied(Arc::from(&b"hello"[..])));
        assert!(SharedBytes::mapped(&mapping, 0..6).is_none());
        let piece = SharedBytes::mapped(&mapping, 1..3).unwrap();
        let weak = Arc::downgrade(&mapping);
        drop(mapping);
        assert_eq!(*piece, *b"el");
        assert_eq!(format!("{piece:?}"), "SharedBytes(2 bytes, mapped)");
        drop(piece);
        assert!(weak.upgrade().is_none());
    }
}
