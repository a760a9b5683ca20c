//! One log: which record is at which offset.

use std::collections::BTreeMap;

use super::clock::Clock;
use super::compaction::Compaction;
use super::starts::{Age, Starts};
use super::{Checked, Pieces};
use crate::events::{Id, Limits, Moment, Outcome, Piece, producer_of};

/// What the checker is told of a log beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogRules {
    /// Whether its topic is `Durability::Always`.
    pub(crate) is_always: bool,
    pub(crate) segment_bytes: u64,
    /// What it is created with.
    pub(crate) limits: Limits,
    /// For how many milliseconds tombstones stay, at least, if it is ever compacted. Its records have keys then.
    pub(crate) tombstone_ms: Option<u64>,
}

/// What is known of one log.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) is_always: bool,
    /// By offset; 0 where it is not known what is there, or nothing is any more.
    pub(super) ids: Vec<Id>,
    /// When these were sent, at the earliest; 0 where that is not known.
    pub(super) sent: Vec<Moment>,
    /// All below was found when this life began.
    pub(super) settled: usize,
    /// All below was said to survive a power cut then.
    pub(super) durable: usize,
    /// By producer: its newest record below `settled`.
    pub(super) newest: BTreeMap<usize, Id>,
    pub(super) starts: Starts,
    pub(super) compaction: Option<Compaction>,
}

impl LogState {
    pub(super) fn new(rules: &LogRules) -> LogState {
        LogState {
            is_always: rules.is_always,
            ids: Vec::new(),
            sent: Vec::new(),
            settled: 0,
            durable: 0,
            newest: BTreeMap::new(),
            starts: Starts::new(rules.limits, rules.segment_bytes),
            compaction: rules.tombstone_ms.map(Compaction::new),
        }
    }

    /// One above the last offset that is known to have a record.
    pub(super) fn end(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Takes in the pieces that were acknowledged, and who saw the log's start.
    pub(super) fn take_life(&mut self, number: usize, pieces: &Pieces<'_>) -> Checked {
        for piece in pieces.by_id.iter().filter(|piece| piece.partition == number) {
            if let Outcome::At(offset) = piece.outcome {
                self.put(piece, offset)?;
            }
        }
        if let Some(compaction) = &mut self.compaction {
            compaction.take_life(number, pieces);
        }
        self.starts.take_life(number, pieces.life)
    }

    /// Checks how its start moved, and gets ready to say what need not be delivered. Once all that was read is known.
    pub(super) fn check_moves(&mut self, clock: &Clock) -> Checked {
        if let Some(compaction) = &mut self.compaction {
            compaction.index(&self.ids);
        }
        self.starts.check_moves(&Age { clock, sent: &self.sent })
    }

    /// The first offset of these that a reader at some moment had to get: above the start, and no later record of its key there.
    pub(super) fn first_needed(&self, from: u64, to: u64, at: Moment, clock: &Clock) -> Option<u64> {
        let from = from.max(self.starts.most_at(at));
        let Some(compaction) = &self.compaction else { return (from < to).then_some(from) };
        (from..to).find(|&offset| compaction.keeps(offset, at, &self.ids, &Age { clock, sent: &self.sent }))
    }

    /// Puts a piece where it is said or was seen to be.
    fn put(&mut self, piece: &Piece, offset: u64) -> Checked {
        let start = usize::try_from(offset).map_err(|e| e.to_string())?;
        let end = start + usize::try_from(piece.count).map_err(|e| e.to_string())?;
        if start < self.settled {
            return Err(format!("offset {offset} was given out again, for {}", name(piece.id)));
        }
        if self.ids.len() < end {
            self.ids.resize(end, 0);
            self.sent.resize(end, 0);
        }
        self.sent[start..end].fill(piece.began);
        for (place, id) in self.ids[start..end].iter_mut().zip(piece.id..) {
            if *place != 0 && *place != id {
                return Err(format!(
                    "an offset has two values: {} and {}, at {offset} or above",
                    name(*place),
                    name(id)
                ));
            }
            *place = id;
        }
        Ok(())
    }

    /// Compares what a poll returned.
    pub(super) fn take_read(
        &mut self,
        number: usize,
        pieces: &Pieces<'_>,
        offset: u64,
        ids: &[Id],
        at: Moment,
    ) -> Checked {
        let start = usize::try_from(offset).map_err(|e| e.to_string())?;
        // Nearly always this is all.
        if self.ids.get(start..start + ids.len()).is_some_and(|known| known == ids) {
            return Ok(());
        }
        for (offset, &id) in (offset..).zip(ids) {
            let known = usize::try_from(offset).ok().and_then(|offset| self.ids.get(offset)).copied().unwrap_or(0);
            if known == id {
                continue;
            }
            if known != 0 {
                return Err(format!("offset {offset} was read as {}, and has {}", name(id), name(known)));
            }
            let piece = attempted(pieces, number, id)?;
            if at < piece.began {
                return Err(format!("{} was read before it was sent", name(id)));
            }
            let first = offset.checked_sub(id - piece.id);
            if let Outcome::At(told) = piece.outcome
                && Some(told) != first
            {
                return Err(format!("{} was read at {offset}; its piece was acknowledged at {told}", name(id)));
            }
            self.put(piece, first.ok_or_else(|| format!("{} was read at {offset}, too low", name(id)))?)?;
        }
        Ok(())
    }

    /// Each producer's records are in its order; offsets without a known record can be explained.
    pub(super) fn check_order(&self, number: usize, pieces: &Pieces<'_>) -> Checked {
        let unsettled = self.ids.get(self.settled..).unwrap_or_default();
        let holes = unsettled.iter().filter(|id| **id == 0).count() as u64;
        let is_open = |piece: &&&Piece| piece.partition == number && piece.outcome == Outcome::Unknown;
        let open: u64 = pieces.by_id.iter().filter(is_open).map(|piece| piece.count).sum();
        if holes > open {
            return Err(format!("{holes} offsets below the end were given to nobody"));
        }
        check_order(&mut self.newest.clone(), unsettled)
    }

    /// What a log holds of which all that is closed was compacted, `closed` being where that ends: a key once.
    pub(super) fn check_compacted(&self, closed: u64) -> Checked {
        let start = to_place(self.starts.settled)?;
        let ids = self.ids.get(start..to_place(closed)?.min(self.ids.len())).unwrap_or_default();
        self.compaction.as_ref().map_or(Ok(()), |_| super::compaction::check_unique(start, ids))
    }
}

/// The piece of a record that was found, if that may be.
pub(super) fn attempted<'l>(pieces: &Pieces<'l>, number: usize, id: Id) -> Checked<&'l Piece> {
    match pieces.of(id) {
        None => Err(format!("{} is there, and was not sent in this life", name(id))),
        Some(piece) if piece.partition != number => {
            Err(format!("{} is there, and was sent to partition {}", name(id), piece.partition))
        }
        Some(piece) if piece.outcome == Outcome::Refused => Err(format!("{} is there, and was refused", name(id))),
        Some(piece) => Ok(piece),
    }
}

/// Goes on from the newest record of each producer.
pub(super) fn check_order(newest: &mut BTreeMap<usize, Id>, ids: &[Id]) -> Checked {
    // Records of one producer come in a row.
    let (mut of, mut last) = (usize::MAX, 0);
    for &id in ids.iter().filter(|id| **id != 0) {
        let producer = producer_of(id);
        if producer != of {
            if last != 0 {
                newest.insert(of, last);
            }
            (of, last) = (producer, newest.get(&producer).copied().unwrap_or(0));
        }
        if id <= last {
            return Err(format!("{} is behind {}, which was sent later, or there twice", name(id), name(last)));
        }
        last = id;
    }
    if last != 0 {
        newest.insert(of, last);
    }
    Ok(())
}

pub(super) fn to_place(offset: u64) -> Checked<usize> {
    usize::try_from(offset).map_err(|e| e.to_string())
}

pub(super) fn name(id: Id) -> String {
    format!("record {} of producer {}", id & ((1 << 48) - 1), producer_of(id))
}
