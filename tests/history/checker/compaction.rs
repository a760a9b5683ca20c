//! What compaction may take out of one log: records of which a later one has the key, and tombstones that are old enough.

use std::collections::HashMap;

use super::log::name;
use super::starts::Age;
use super::{Checked, Pieces};
use crate::events::{Cut, FoundLog, Id, Moment, Outcome, Piece, is_tombstone, key_of};

/// What is known of the keys of one log.
#[derive(Debug)]
pub(super) struct Compaction {
    tombstone_ms: u64,
    /// Sent in this life, and nobody knows whether they are there.
    open: Vec<Piece>,
    /// By offset: the next one with the same key.
    next: Vec<usize>,
}

impl Compaction {
    pub(super) fn new(tombstone_ms: u64) -> Compaction {
        Compaction { tombstone_ms, open: Vec::new(), next: Vec::new() }
    }

    pub(super) fn take_life(&mut self, number: usize, pieces: &Pieces<'_>) {
        let is_open = |piece: &&&Piece| piece.partition == number && piece.outcome == Outcome::Unknown;
        self.open = pieces.by_id.iter().filter(is_open).map(|piece| **piece).collect();
    }

    /// Gets to know which record follows which.
    pub(super) fn index(&mut self, ids: &[Id]) {
        let mut last: HashMap<u64, usize> = HashMap::new();
        self.next.clear();
        self.next.resize(ids.len(), usize::MAX);
        for (offset, &id) in ids.iter().enumerate().filter(|(_, id)| **id != 0) {
            if let Some(earlier) = last.insert(key_of(id), offset) {
                self.next[earlier] = offset;
            }
        }
    }

    /// Whether the record at an offset must be there at some moment, unless the log begins behind it.
    pub(super) fn keeps(&self, offset: u64, at: Moment, ids: &[Id], age: &Age<'_>) -> bool {
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        let id = ids.get(place).copied().unwrap_or(0);
        // Unknown, or known to be gone.
        if id == 0 {
            return false;
        }
        let later = |&place: &usize| self.next.get(place).copied().filter(|next| *next != usize::MAX);
        let mut others = std::iter::successors(later(&place), later);
        let has_later = others.any(|other| age.sent.get(other).is_some_and(|&sent| sent < at));
        !has_later && !self.is_over(id, place, at, age) && !self.open_ids(at).any(|other| key_of(other) == key_of(id))
    }

    /// Whether a tombstone may be gone.
    fn is_over(&self, id: Id, place: usize, at: Moment, age: &Age<'_>) -> bool {
        let sent = age.sent.get(place).copied().unwrap_or(0);
        is_tombstone(id) && self.tombstone_ms <= age.clock.most_between(sent, at)
    }

    /// Records that may be there, for all that is known.
    fn open_ids(&self, at: Moment) -> impl Iterator<Item = Id> {
        let sent = self.open.iter().filter(move |piece| piece.began < at);
        sent.flat_map(|piece| piece.id..piece.id + piece.count)
    }

    /// Of each key the last record is there, or it was a tombstone, and then no other one is.
    pub(super) fn check_found(&self, found: &FoundLog, cut: Cut, ids: &[Id], age: &Age<'_>) -> Checked {
        let at = cut.after.saturating_add(1);
        let mut last: HashMap<u64, Option<Id>> = HashMap::new();
        for offset in (found.start..found.end()).rev() {
            let (there, place) = (found.at(offset), usize::try_from(offset).map_err(|e| e.to_string())?);
            let id = if there == 0 { ids.get(place).copied().unwrap_or(0) } else { there };
            if id == 0 {
                continue;
            }
            match last.get(&key_of(id)) {
                Some(Some(tombstone)) if there != 0 => {
                    return Err(format!("{} is there, and not {}, which deleted its key", name(id), name(*tombstone)));
                }
                Some(_) => {}
                None if there != 0 => _ = last.insert(key_of(id), None),
                None => {
                    let is_over = |id, sent| is_tombstone(id) && self.tombstone_ms <= age.clock.most_between(sent, at);
                    let mut open = self.open_ids(at).filter(|open| key_of(*open) == key_of(id));
                    let tombstone = if self.is_over(id, place, at, age) {
                        Some(id)
                    } else {
                        open.find(|open| is_over(*open, self.sent_at(*open)))
                    };
                    let Some(tombstone) = tombstone else {
                        return Err(format!("{} is gone, the last one of its key", name(id)));
                    };
                    last.insert(key_of(id), Some(tombstone));
                }
            }
        }
        Ok(())
    }

    fn sent_at(&self, open: Id) -> Moment {
        let piece = self.open.iter().find(|piece| (piece.id..piece.id + piece.count).contains(&open));
        piece.map_or(0, |piece| piece.began)
    }
}

/// Whether each key is there once.
pub(super) fn check_unique(start: usize, ids: &[Id]) -> Checked {
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for (offset, &id) in (start..).zip(ids).filter(|(_, id)| **id != 0) {
        if let Some(earlier) = seen.insert(key_of(id), offset) {
            return Err(format!("what is at {earlier} and at {offset} has the same key, and all of it was compacted"));
        }
    }
    Ok(())
}
