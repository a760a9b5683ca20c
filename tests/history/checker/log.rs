//! One log: which record is at which offset.

use std::collections::BTreeMap;

use super::{Checked, Pieces};
use crate::events::{Cut, End, Id, Life, Moment, Outcome, Piece, Step, producer_of};

/// What is known of one log.
#[derive(Debug)]
pub(super) struct LogState {
    is_always: bool,
    /// By offset; 0 where it is not known what is there.
    ids: Vec<Id>,
    /// All below was found when this life began.
    settled: usize,
    /// All below was said to survive a power cut then.
    durable: usize,
    /// By producer: its newest record below `settled`.
    newest: BTreeMap<usize, Id>,
}

impl LogState {
    pub(super) fn new(is_always: bool) -> LogState {
        LogState { is_always, ids: Vec::new(), settled: 0, durable: 0, newest: BTreeMap::new() }
    }

    /// One above the last offset that is known to have a record.
    pub(super) fn end(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Takes in the pieces that were acknowledged.
    pub(super) fn take_acknowledged(&mut self, number: usize, pieces: &Pieces<'_>) -> Checked {
        for piece in pieces.by_id.iter().filter(|piece| piece.partition == number) {
            if let Outcome::At(offset) = piece.outcome {
                self.put(piece, offset)?;
            }
        }
        Ok(())
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
        }
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

    /// Compares what the next life found, and goes on from that.
    pub(super) fn settle(
        &mut self,
        number: usize,
        pieces: &Pieces<'_>,
        life: &Life,
        cut: Cut,
        found: &[Id],
        durable: u64,
    ) -> Checked {
        let required = self.required(number, life, cut);
        if found.len() < required {
            let (found, end) = (found.len(), cut.end);
            return Err(format!("{end:?}: {found} records are left of the {required} that had to stay"));
        }
        let known = self.ids.get(..required.max(self.settled.min(found.len()))).unwrap_or_default();
        let differs = |(known, found): (&Id, &Id)| *known != *found && *known != 0;
        if let Some(offset) = known.iter().zip(found).position(differs) {
            let (known, found) = (name(known[offset]), name(found[offset]));
            return Err(format!("offset {offset} had {known} and has {found} after {:?}", cut.end));
        }
        let mut offset = self.settled;
        while let Some(&id) = found.get(offset) {
            let piece = attempted(pieces, number, id).map_err(|e| format!("{e}, after {:?}", cut.end))?;
            if piece.began > cut.after {
                return Err(format!("{} is there, and was sent after {:?}", name(id), cut.end));
            }
            if let Outcome::At(told) = piece.outcome
                && told != offset as u64
            {
                return Err(format!("{} is at {offset}, acknowledged at {told}, after {:?}", name(id), cut.end));
            }
            let end = offset + usize::try_from(piece.count).map_err(|e| e.to_string())?;
            let is_whole = found.get(offset..end).is_some_and(|ids| ids.iter().zip(piece.id..).all(|(a, b)| *a == b));
            if !is_whole {
                return Err(format!("offset {offset}: the piece of {} is not whole after {:?}", name(id), cut.end));
            }
            offset = end;
        }
        check_order(&mut self.newest, found.get(self.settled..).unwrap_or_default())?;
        self.ids.clear();
        self.ids.extend_from_slice(found);
        self.settled = found.len();
        self.durable = usize::try_from(durable).map_err(|e| e.to_string())?;
        if self.settled < self.durable || self.is_always && self.durable < self.settled {
            return Err(format!("{durable} of {} records are said to be durable", self.settled));
        }
        Ok(())
    }

    /// Up to where everything must still be there.
    fn required(&self, number: usize, life: &Life, cut: Cut) -> usize {
        let is_all_kept = cut.end != End::PowerCut || self.is_always;
        let durable = life.durable.iter().filter(|(partition, _, at)| *partition == number && *at < cut.before);
        let durable = durable.map(|(_, offset, _)| *offset).max().unwrap_or(0);
        let acked = life.pieces.iter().filter(|piece| piece.partition == number && piece.ended < cut.before);
        let acked = acked.filter_map(|piece| match piece.outcome {
            Outcome::At(offset) => Some(offset + piece.count),
            Outcome::Refused | Outcome::Unknown => None,
        });
        let read = life.members.iter().flat_map(|member| &member.steps).filter_map(|step| match step {
            Step::Delivered { partition, offset, ids, at } if *partition == number && *at < cut.before => {
                Some(offset + ids.len() as u64)
            }
            _ => None,
        });
        let kept = if is_all_kept { acked.chain(read).max().unwrap_or(0) } else { 0 };
        let found = if is_all_kept { self.settled } else { self.durable };
        usize::try_from(durable.max(kept)).unwrap_or(usize::MAX).max(found)
    }
}

/// The piece of a record that was found, if that may be.
fn attempted<'l>(pieces: &Pieces<'l>, number: usize, id: Id) -> Checked<&'l Piece> {
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
fn check_order(newest: &mut BTreeMap<usize, Id>, ids: &[Id]) -> Checked {
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

fn name(id: Id) -> String {
    format!("record {} of producer {}", id & ((1 << 48) - 1), producer_of(id))
}
