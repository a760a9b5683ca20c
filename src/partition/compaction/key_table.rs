//! [`KeyTable`]: a hash table from keys to offsets whose places can be fetched before they are needed.
//!
//! A million keys take far more than the caches, so each look-up waits for memory, twice in a table that keeps its keys elsewhere. Here
//! short keys lie in the table, and the places of many keys are [fetched](KeyTable::fetch) at once: that takes a third of the time.
//!
//! Open addressing with linear probing (D. Knuth, "Notes on open addressing", 1963). The hash is keyed by chance, so that nobody
//! can choose keys which all want the same place.

use std::hash::{BuildHasher, RandomState};
use std::hint;

/// Keys up to this size lie in the table itself.
const SHORT_MAX: usize = 22;
/// What an allocation takes beside its bytes.
const ALLOCATION_BYTES: usize = 16;
/// Places at first; always a power of two.
const PLACES_MIN: usize = 1 << 4;

/// A key, in 24 bytes.
#[derive(Debug)]
enum Key {
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

impl Key {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Key::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Key::Long(bytes) => bytes,
        }
    }
}

impl Key {
    /// What it takes on the heap, about.
    fn heap_bytes(&self) -> usize {
        match self {
            Key::Short { .. } => 0,
            Key::Long(bytes) => bytes.len() + ALLOCATION_BYTES,
        }
    }
}

impl From<&[u8]> for Key {
    #[allow(clippy::cast_possible_truncation, reason = "a short key has few bytes")]
    fn from(key: &[u8]) -> Key {
        let mut bytes = [0; SHORT_MAX];
        match bytes.get_mut(..key.len()) {
            Some(place) => place.copy_from_slice(key),
            None => return Key::Long(key.into()),
        }
        Key::Short { len: key.len() as u8, bytes }
    }
}

#[derive(Debug)]
struct Entry {
    offset: u64,
    key: Key,
}

/// The hash of a key in one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyHash(u64);

/// Key → offset.
#[derive(Debug)]
pub(super) struct KeyTable {
    /// A power of two, of which at least a quarter is free; none before the first key.
    places: Vec<Option<Entry>>,
    count: usize,
    /// What the keys take that lie elsewhere.
    long_bytes: usize,
    hasher: RandomState,
}

impl KeyTable {
    pub(super) fn new() -> KeyTable {
        KeyTable { places: Vec::new(), count: 0, long_bytes: 0, hasher: RandomState::new() }
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hasher.hash_one(key))
    }

    /// Has the places of these keys in the cache for what follows. The looks do not depend on one another, so the processor has
    /// many of them under way.
    pub(super) fn fetch(&self, hashes: impl Iterator<Item = KeyHash>) {
        // Both ends of an entry, which may lie in two lines of the cache.
        let looked = hashes.map(|hash| match self.places.get(self.first_place(hash)) {
            Some(Some(entry)) => entry.offset ^ u64::from(entry.key.bytes().first().copied().unwrap_or_default()),
            _ => 0,
        });
        hint::black_box(looked.fold(0, |all, offset| all ^ offset));
    }

    /// Where a key of this hash lies, or the nearest place behind that was free.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
    fn first_place(&self, hash: KeyHash) -> usize {
        hash.0 as usize & self.places.len().wrapping_sub(1)
    }

    /// The place of the key, or the free one where it belongs; `None` in a table without any.
    #[inline]
    fn find(&self, key: &[u8], hash: KeyHash) -> Option<usize> {
        let mut place = self.first_place(hash);
        loop {
            match self.places.get(place)? {
                Some(entry) if entry.key.bytes() != key => place = (place + 1) & (self.places.len() - 1),
                _ => return Some(place),
            }
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<u64> {
        self.places.get(self.find(key, self.hash(key))?)?.as_ref().map(|entry| entry.offset)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<&mut u64> {
        let place = self.find(key, hash)?;
        self.places.get_mut(place)?.as_mut().map(|entry| &mut entry.offset)
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: &[u8], hash: KeyHash, offset: u64) {
        if self.is_crowded() {
            self.grow();
        }
        self.put(Entry { offset, key: key.into() }, hash);
    }

    fn put(&mut self, entry: Entry, hash: KeyHash) {
        let place = self.find(entry.key.bytes(), hash).and_then(|place| self.places.get_mut(place));
        if let Some(place) = place {
            self.count += usize::from(place.is_none());
            self.long_bytes += entry.key.heap_bytes();
            *place = Some(entry);
        }
    }

    /// Whether the next key makes it grow.
    fn is_crowded(&self) -> bool {
        self.places.len() * 3 <= self.count * 4
    }

    fn next_len(&self) -> usize {
        (2 * self.places.len()).max(PLACES_MIN)
    }

    #[cold]
    fn grow(&mut self) {
        let mut places = Vec::new();
        places.resize_with(self.next_len(), || None);
        let former = std::mem::replace(&mut self.places, places);
        self.refill(former.into_iter().flatten());
    }

    /// Removes the keys for which this does not hold.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        // Those that stay, and not a second table beside the first.
        let kept = self.places.iter_mut().filter_map(Option::take).filter(|entry| is_kept(entry.key.bytes()));
        let kept: Vec<_> = kept.collect();
        self.refill(kept.into_iter());
    }

    /// Fills the places, all of which are free.
    fn refill(&mut self, entries: impl Iterator<Item = Entry>) {
        (self.count, self.long_bytes) = (0, 0);
        for entry in entries {
            let hash = self.hash(entry.key.bytes());
            self.put(entry, hash);
        }
    }

    /// What it takes in memory with one key more, in bytes.
    pub(super) fn bytes_with_next(&self) -> usize {
        let places = if self.is_crowded() { self.next_len() } else { self.places.len() };
        places * size_of::<Option<Entry>>() + self.long_bytes
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().flatten().map(|entry| entry.key.bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn keys() -> Vec<Vec<u8>> {
        // Around the size up to which they lie in the table, and as many as make it grow several times.
        let sizes = [0, 1, 8, SHORT_MAX - 1, SHORT_MAX, SHORT_MAX + 1, 200];
        let of_size =
            |size: usize| (0..2000_u32).map(move |n| n.to_be_bytes().iter().copied().cycle().take(size).collect());
        let mut keys: Vec<Vec<u8>> = sizes.into_iter().flat_map(of_size).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn note(table: &mut KeyTable, key: &[u8], offset: u64) -> Option<u64> {
        let hash = table.hash(key);
        table.fetch([hash].into_iter());
        if let Some(last) = table.get_mut(key, hash) {
            return Some(std::mem::replace(last, offset));
        }
        table.insert(key, hash, offset);
        None
    }

    #[test]
    fn it_is_a_map_from_each_key_to_its_last_offset() {
        let (mut table, mut map) = (KeyTable::new(), HashMap::new());
        assert_eq!(table.get(b"a"), None);
        for (offset, key) in (0..).zip(keys().iter().chain(keys().iter().step_by(3))) {
            assert_eq!(note(&mut table, key, offset), map.insert(key.clone(), offset));
        }
        assert!(map.iter().all(|(key, &offset)| table.get(key) == Some(offset)));
        assert_eq!((table.count, table.keys().count()), (map.len(), map.len()));
        assert!(table.places.len().is_power_of_two() && map.len() < table.places.len());
    }

    #[test]
    fn what_is_not_retained_is_gone_and_can_come_back() {
        let mut table = KeyTable::new();
        for (offset, key) in (0..).zip(&keys()) {
            note(&mut table, key, offset);
        }
        let bytes = table.bytes_with_next();
        table.retain(|key| key.len() == 8);
        assert!(table.bytes_with_next() < bytes && table.long_bytes == 0);
        for (offset, key) in (0..).zip(&keys()) {
            assert_eq!(table.get(key), Some(offset).filter(|_| key.len() == 8));
        }
        assert_eq!(note(&mut table, b"", 7), None);
        assert_eq!(table.get(b""), Some(7));
    }
}
