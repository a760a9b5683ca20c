//! A list of fixed-size entries that one writer appends to while any number of readers search it, without a lock.
//!
//! Entries lie in chunks that double in size and never move, so a reader needs no copy and the writer no reallocation. The
//! length is published after the entry: readers see whole entries only.

use std::sync::OnceLock;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Entries in the first chunk. The second has as many, every later one twice as many as the one before.
const FIRST_CHUNK: usize = 32;

/// Enough for 2³¹ entries, more than a segment has bytes to point at.
const CHUNKS: usize = 27;

/// An append-only list of entries of `WORDS` 64-bit words.
///
/// [`push`](Entries::push) is for one writer at a time. Two at once would mix their entries, but nothing worse.
pub(crate) struct Entries<const WORDS: usize> {
    first: Chunk,
    /// Apart, and made when they are needed: most segments of many partitions never have them, and they take 624 bytes.
    later: OnceLock<Box<[Chunk; CHUNKS - 1]>>,
    len: AtomicUsize,
}

type Chunk = OnceLock<Box<[AtomicU64]>>;

impl<const WORDS: usize> Entries<WORDS> {
    /// An empty list, which takes no memory beyond itself.
    pub(crate) fn new() -> Entries<WORDS> {
        Entries { first: OnceLock::new(), later: OnceLock::new(), len: AtomicUsize::new(0) }
    }

    /// The number of entries that readers may see.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Appends an entry and then makes it visible.
    ///
    /// # Panics
    /// At 2³¹ entries, which no segment can reach.
    pub(crate) fn push(&self, entry: [u64; WORDS]) {
        let len = self.len.load(Ordering::Relaxed);
        let (chunk, at, chunk_entries) = place(len);
        let chunk = match chunk.checked_sub(1) {
            None => Some(&self.first),
            Some(later) => self.later.get_or_init(|| Box::new([const { OnceLock::new() }; CHUNKS - 1])).get(later),
        };
        let words = chunk
            .expect("a segment has fewer bytes than this list entries")
            .get_or_init(|| (0..chunk_entries * WORDS).map(|_| AtomicU64::new(0)).collect());
        for (word, value) in words.iter().skip(at * WORDS).zip(entry) {
            word.store(value, Ordering::Relaxed);
        }
        self.len.store(len + 1, Ordering::Release);
    }

    /// The entry at `index`, or `None` at the end.
    pub(crate) fn get(&self, index: usize) -> Option<[u64; WORDS]> {
        (index < self.len()).then(|| self.get_published(index))?
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<[u64; WORDS]> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The number of entries at the front for which `is_in_front` holds; entries must be ordered so that it holds for those
    /// first and for none after.
    pub(crate) fn partition_point(&self, mut is_in_front: impl FnMut([u64; WORDS]) -> bool) -> usize {
        let len = self.len();
        // The later half of the entries lies in the last chunk, the later half of the rest in the one before.
        for chunk in (0..=place(len).0).rev() {
            let first = if chunk == 0 { 0 } else { FIRST_CHUNK << (chunk - 1) };
            let entries = self.chunk(chunk).unwrap_or_default();
            let entries = entries.get(..entries.len().min(len - first)).unwrap_or_default();
            if chunk == 0 || entries.first().is_some_and(|entry| is_in_front(load(entry))) {
                return first + entries.partition_point(|entry| is_in_front(load(entry)));
            }
        }
        0
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = [u64; WORDS]> {
        (0..self.len()).filter_map(|index| self.get_published(index))
    }

    /// Reads an entry below a length that was loaded before.
    fn get_published(&self, index: usize) -> Option<[u64; WORDS]> {
        let (chunk, at, _) = place(index);
        self.chunk(chunk)?.get(at).map(load)
    }

    fn chunk(&self, chunk: usize) -> Option<&[[AtomicU64; WORDS]]> {
        let chunk = match chunk.checked_sub(1) {
            None => &self.first,
            Some(later) => self.later.get()?.get(later)?,
        };
        Some(chunk.get()?.as_chunks().0)
    }
}

#[inline]
fn load<const WORDS: usize>(entry: &[AtomicU64; WORDS]) -> [u64; WORDS] {
    entry.each_ref().map(|word| word.load(Ordering::Relaxed))
}

impl<const WORDS: usize> std::fmt::Debug for Entries<WORDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The chunk that holds an entry, the entry's place in it, and how many entries it holds in all.
fn place(index: usize) -> (usize, usize, usize) {
    // Chunk 0 holds 0..F, chunk n > 0 holds F·2ⁿ⁻¹..F·2ⁿ.
    let chunk = (usize::BITS - (index / FIRST_CHUNK).leading_zeros()) as usize;
    match chunk.checked_sub(1) {
        None => (0, index, FIRST_CHUNK),
        Some(doublings) => {
            let first = FIRST_CHUNK << doublings;
            (chunk, index - first, first)
        }
    }
}

#[cfg(loom)]
pub(crate) mod models;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn what_was_pushed_is_found_in_order() {
        let entries = Entries::<2>::new();
        assert_eq!((entries.len(), entries.get(0), entries.last()), (0, None, None));
        for n in 0..10_000_u64 {
            entries.push([n * 3, n]);
        }
        assert_eq!(entries.len(), 10_000);
        assert!(entries.iter().zip(0..).all(|(entry, n)| entry == [n * 3, n]));
        assert_eq!(entries.last(), Some([29_997, 9_999]));
        for wanted in [0, 1, 3, 96, 97, 29_997, 40_000] {
            let expected = (0..10_000).filter(|n| n * 3 < wanted).count();
            assert_eq!(entries.partition_point(|[key, _]| key < wanted), expected);
        }
    }

    #[test]
    fn places_follow_each_other_without_gaps() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            let (chunk, at, chunk_entries) = place(index);
            assert_eq!((chunk, at), expected);
            expected = if at + 1 == chunk_entries { (chunk + 1, 0) } else { (chunk, at + 1) };
        }
        assert_eq!(place((1 << 31) - 1).0, CHUNKS - 1);
    }

    #[test]
    fn readers_see_whole_entries_while_the_writer_appends() {
        let entries = Entries::<2>::new();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        if let Some([key, twin]) = entries.last() {
                            assert_eq!(key, twin);
                            assert_eq!(entries.partition_point(|[k, _]| k < key) as u64, key);
                        }
                    }
                });
            }
            (0..20_000).for_each(|n| entries.push([n, n]));
            done.store(true, Ordering::Relaxed);
        });
    }
}
