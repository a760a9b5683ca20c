//! What one log holds when the next life begins, compared with what is known of it.

use super::clock::Clock;
use super::log::{LogState, attempted, check_order, name, to_place};
use super::starts::Age;
use super::{Checked, Pieces};
use crate::events::{Cut, End, FoundLog, Id, Life, Outcome, Piece, Step};

/// What a record takes at most in a log without keys, if it is a batch of its own.
const RECORD_BYTES_MAX: u64 = 128;

impl LogState {
    /// Compares what the next life found, and goes on from that.
    pub(super) fn settle(
        &mut self,
        number: usize,
        pieces: &Pieces<'_>,
        cut: Cut,
        found: &FoundLog,
        durable: u64,
        clock: &Clock,
    ) -> Checked {
        let required = self.required(number, pieces.life, cut);
        let (start, end) = (to_place(found.start)?, to_place(found.end())?);
        if end < required {
            return Err(format!("{:?}: {end} records are left of the {required} that had to stay", cut.end));
        }
        self.compare_known(found, required.max(self.settled.min(end)), cut)?;
        let open = self.check_start(number, pieces, cut, found, clock)?;
        self.take_found(number, pieces, cut, found)?;
        let from = self.settled.max(start).min(end);
        let holes = self.ids[from..end].iter().filter(|id| **id == 0).count() as u64;
        if holes > open {
            return Err(format!(
                "{holes} offsets have nothing, and {open} records could be there, after {:?}",
                cut.end
            ));
        }
        check_order(&mut self.newest, self.ids.get(self.settled..end).unwrap_or_default())?;
        if let Some(compaction) = &self.compaction {
            let checked = compaction.check_found(found, cut, &self.ids, &Age { clock, sent: &self.sent });
            checked.map_err(|problem| format!("{problem}, after {:?}", cut.end))?;
        }
        self.ids[start..end].copy_from_slice(&found.ids);
        self.settled = end;
        self.durable = to_place(durable)?;
        if self.settled < self.durable || self.is_always && self.durable < self.settled {
            return Err(format!("{durable} of {} records are said to be durable", self.settled));
        }
        if self.durable < start {
            return Err(format!("the log begins at {start}, and only what is below {durable} is said to be durable"));
        }
        Ok(())
    }

    /// What was known up to `to` is what is there; or nothing is, which is looked at later.
    fn compare_known(&self, found: &FoundLog, to: usize, cut: Cut) -> Checked {
        let start = to_place(found.start)?;
        let known = self.ids.get(start..to.min(self.ids.len())).unwrap_or_default();
        if found.ids.get(..known.len()).is_some_and(|found| found == known) {
            return Ok(());
        }
        for ((offset, &known), &there) in (start..).zip(known).zip(&found.ids) {
            let is_gone = known == 0 && offset < self.settled;
            if there != 0 && there != known && (known != 0 || is_gone) {
                let known = if is_gone { "nothing any more".to_owned() } else { name(known) };
                return Err(format!("offset {offset} had {known} and has {} after {:?}", name(there), cut.end));
            }
            if there == 0 && self.compaction.is_none() {
                return Err(format!("nothing is at offset {offset} after {:?}", cut.end));
            }
        }
        Ok(())
    }

    /// Compares where the log begins. Returns how many records of this life may be there that nobody knows of.
    fn check_start(
        &mut self,
        number: usize,
        pieces: &Pieces<'_>,
        cut: Cut,
        found: &FoundLog,
        clock: &Clock,
    ) -> Checked<u64> {
        let is_open = |piece: &&&Piece| piece.partition == number && piece.outcome == Outcome::Unknown;
        let open: u64 = pieces.by_id.iter().filter(is_open).map(|piece| piece.count).sum();
        let lost = self.end().saturating_sub(found.end()) + open;
        let age = Age { clock, sent: &self.sent };
        self.starts.settle(cut, found, lost * RECORD_BYTES_MAX, &age)?;
        Ok(open)
    }

    /// Goes through what was sent in this life and is there, piece by piece, and takes it for what is known.
    fn take_found(&mut self, number: usize, pieces: &Pieces<'_>, cut: Cut, found: &FoundLog) -> Checked {
        let (start, end) = (to_place(found.start)?, to_place(found.end())?);
        let mut offset = self.settled.max(start);
        self.ids.resize(end.max(self.settled), 0);
        self.sent.resize(end.max(self.settled), 0);
        while offset < end {
            let id = found.at(offset as u64);
            if id == 0 {
                self.take_gone(offset, pieces, cut)?;
                offset += 1;
                continue;
            }
            let piece = attempted(pieces, number, id).map_err(|e| format!("{e}, after {:?}", cut.end))?;
            if piece.began > cut.after {
                return Err(format!("{} is there, and was sent after {:?}", name(id), cut.end));
            }
            let first = offset.checked_sub(to_place(id - piece.id)?).filter(|first| self.settled <= *first);
            let first = first.ok_or_else(|| format!("{} is at {offset}, too low, after {:?}", name(id), cut.end))?;
            if let Outcome::At(told) = piece.outcome
                && told != first as u64
            {
                return Err(format!(
                    "{} is at {offset}, its piece acknowledged at {told}, after {:?}",
                    name(id),
                    cut.end
                ));
            }
            let behind = first + to_place(piece.count)?;
            let may_be_gone = self.compaction.is_some();
            let is_there = |(offset, id): (usize, Id)| {
                let there = found.at(offset as u64);
                there == id || offset < start || there == 0 && may_be_gone
            };
            if end < behind || !(first..behind).zip(piece.id..).all(is_there) {
                return Err(format!("offset {offset}: the piece of {} is not whole after {:?}", name(id), cut.end));
            }
            for (offset, id) in (first..behind).zip(piece.id..) {
                (self.ids[offset], self.sent[offset]) = (id, piece.began);
            }
            offset = behind;
        }
        // Now all below the end is known that ever will be.
        self.ids.truncate(end);
        self.sent.truncate(end);
        Ok(())
    }

    /// Nothing is at an offset where something may be known to have been.
    fn take_gone(&mut self, offset: usize, pieces: &Pieces<'_>, cut: Cut) -> Checked {
        if self.compaction.is_none() {
            return Err(format!("nothing is at offset {offset} after {:?}", cut.end));
        }
        // What was only sent afterwards was never there.
        if pieces.of(self.ids[offset]).is_some_and(|piece| cut.after < piece.began) {
            self.ids[offset] = 0;
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
            Step::Delivered { partition, offset, ids, at, .. } if *partition == number && *at < cut.before => {
                Some(offset + ids.len() as u64)
            }
            _ => None,
        });
        let kept = if is_all_kept { acked.chain(read).max().unwrap_or(0) } else { 0 };
        let found = if is_all_kept { self.settled } else { self.durable };
        usize::try_from(durable.max(kept)).unwrap_or(usize::MAX).max(found)
    }
}
