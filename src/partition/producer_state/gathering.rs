//! What a log has of producers when it is opened: from files as far as they are those that were noted, and else from the batches.
//!
//! ```text
//! [ sealed ][ sealed ][ sealed ][ active )[ open batches )
//!  .txnindex .txnindex .txnindex
//!                              ^ .snapshot, the newest: behind it the batches are replayed
//! ```
//! Each sealed segment has its index of aborted transactions noted in the manifest, and the snapshot at its end; the recovery point
//! says the same of the active segment, once that is closed. The first index that is not right has everything replayed from a
//! snapshot before that segment. If there is none, it begins at the front of the log, where nothing is known of producers: so all
//! of these files may be missing, and it comes to the same.
//!
//! Nothing is written here, for readers of another process come here, too.

use std::path::PathBuf;
use std::sync::Arc;

use super::aborted::AbortedTransactions;
use super::snapshot;
use super::{DataBatch, ProducerStates};
use crate::error::{Error, Result};
use crate::partition::manifest::ManifestSegment;
use crate::partition::recovery_point::RecoveryPoint;
use crate::segment::file_name::{FileKind, FileName, Stage};
use crate::segment::{AbortedTransaction, FileSum, ProducerFiles, Segment, SegmentDir};

/// Where to look for producers.
pub(in crate::partition) struct ProducerSources<'s> {
    pub(in crate::partition) dir: &'s SegmentDir,
    /// The sealed segments as the manifest has them.
    pub(in crate::partition) noted: &'s [ManifestSegment],
    pub(in crate::partition) point: Option<&'s RecoveryPoint>,
    /// All that are there, sealed or not.
    pub(in crate::partition) segments: &'s [Arc<Segment>],
    /// What lies behind them.
    pub(in crate::partition) tail: &'s [DataBatch],
    /// Batches from here on are left out.
    pub(in crate::partition) end: u64,
}

/// What a log has of producers.
#[derive(Debug, Default)]
pub(in crate::partition) struct LogProducers {
    /// At the end of the log.
    pub(in crate::partition) states: ProducerStates,
    /// All transactions that were aborted, in any order.
    pub(in crate::partition) aborted: Vec<AbortedTransaction>,
    /// What was not in files that were noted: by segment, ascending.
    pub(in crate::partition) gathered: Vec<SegmentProducers>,
    /// Files that are not those that were noted.
    pub(in crate::partition) stale: Vec<PathBuf>,
}

/// What the producers in one segment come to.
#[derive(Debug, Clone)]
pub(in crate::partition) struct SegmentProducers {
    pub(in crate::partition) base_offset: u64,
    /// Transactions that were aborted in it.
    pub(in crate::partition) aborted: Vec<AbortedTransaction>,
    /// All producers at its end.
    pub(in crate::partition) at_end: ProducerStates,
    /// Whether there is anything to be told.
    pub(in crate::partition) are_any: bool,
}

/// What who reads committed records has to know of a log.
#[derive(Debug, Default)]
pub(in crate::partition) struct Transactions {
    /// Where the first transaction begins that is open, if there is one.
    pub(in crate::partition) first_unstable_offset: Option<u64>,
    /// Those that never happened.
    pub(in crate::partition) aborted: AbortedTransactions,
}

impl Transactions {
    /// Those of a log with these producers and `aborted` transactions; `None` if none is open and none was aborted.
    pub(in crate::partition) fn new(
        states: &ProducerStates,
        aborted: Vec<AbortedTransaction>,
    ) -> Option<Arc<Transactions>> {
        let first_unstable_offset = states.first_unstable_offset();
        let are_any = first_unstable_offset.is_some() || !aborted.is_empty();
        are_any.then(|| Arc::new(Transactions { first_unstable_offset, aborted: AbortedTransactions::new(aborted) }))
    }
}

impl SegmentProducers {
    /// What the batches of a segment below `end` come to, behind those that came to `states`.
    ///
    /// # Errors
    /// The disk's. Where the log is damaged, that is reported elsewhere, and what is there counts.
    pub(in crate::partition) fn replay(
        segment: &Segment,
        states: &mut ProducerStates,
        end: u64,
    ) -> Result<SegmentProducers> {
        let (mut aborted, mut are_any) = (Vec::new(), !states.is_empty());
        let visited = segment.visit_producers(|header, marker| {
            if header.base_offset() < end {
                are_any = true;
                aborted.extend(states.replay(header, marker));
            }
        });
        match visited {
            Err(Error::Corrupt(_)) => {}
            visited => visited?,
        }
        let (base_offset, at_end) = (segment.base_offset(), states.clone());
        Ok(SegmentProducers { base_offset, aborted, at_end, are_any })
    }

    /// Writes the files of a segment that ends here. What cannot be written is noted as something that only the log tells.
    pub(in crate::partition) fn store(&self, dir: &SegmentDir, segment: &Segment) -> ProducerFiles {
        if !self.are_any {
            return ProducerFiles::default();
        }
        let index = segment.write_transaction_index(Stage::Live, &self.aborted);
        let snapshot = self.at_end.store(dir, segment.next_offset());
        ProducerFiles {
            transaction_index: index.unwrap_or(Some(ProducerFiles::UNKNOWN)),
            snapshot: Some(snapshot.unwrap_or(ProducerFiles::UNKNOWN)),
        }
    }
}

impl ProducerSources<'_> {
    /// Whether there is any producer in the log. Without one nothing else is to be looked at.
    pub(in crate::partition) fn are_any(&self) -> bool {
        self.noted.iter().any(|noted| noted.producers.are_any())
            || self.unnoted().any(|segment| segment.has_producers())
            || self.tail.iter().any(|batch| batch.stamp.has_producer())
    }

    /// The segments that the manifest does not have.
    fn unnoted(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let noted_end = self.noted_end();
        self.segments.iter().filter(move |segment| !segment.is_sealed() && noted_end <= segment.base_offset())
    }

    fn noted_end(&self) -> u64 {
        self.noted.last().map_or(0, |noted| noted.sealed.next_offset)
    }

    /// What there is.
    ///
    /// # Errors
    /// Those of the disk in reading the log. What is wrong with other files is none.
    pub(in crate::partition) fn gather(&self) -> Result<LogProducers> {
        let mut gathered = LogProducers::default();
        let whole_count = self.load_indexes(&mut gathered);
        if whole_count == self.noted.len() && self.take_closed(&mut gathered) {
            return Ok(gathered);
        }
        let loaded =
            (0..=whole_count).rev().find_map(|count| Some((count, self.at_end_of(count, &mut gathered.stale)?)));
        let (count, states) = loaded.unwrap_or_default();
        gathered.states = states;
        let start = match count.checked_sub(1).and_then(|last| self.noted.get(last)) {
            Some(last) => last.sealed.next_offset,
            None => 0,
        };
        gathered.aborted.retain(|entry| entry.last_offset < start);
        for segment in self.segments.iter().filter(|segment| start <= segment.base_offset()) {
            let found = SegmentProducers::replay(segment, &mut gathered.states, self.end)?;
            gathered.aborted.extend(&found.aborted);
            gathered.gathered.push(found);
        }
        for batch in self.tail.iter().filter(|batch| batch.stamp.has_producer() && batch.base_offset < self.end) {
            gathered.states.replay_data(batch);
        }
        Ok(gathered)
    }

    /// Loads the indexes of sealed segments; the number of those that come before the first one that is not right.
    fn load_indexes(&self, gathered: &mut LogProducers) -> usize {
        for (count, noted) in self.noted.iter().enumerate() {
            let Some(sum) = noted.producers.transaction_index else { continue };
            let base_offset = noted.sealed.base_offset;
            let at = self.segments.binary_search_by_key(&base_offset, |segment| segment.base_offset());
            let segment = at.ok().and_then(|at| self.segments.get(at));
            let loaded = segment.and_then(|segment| load_index(segment, sum));
            let Some(entries) = loaded else {
                let path = FileName::live(base_offset, FileKind::TransactionIndex).path(&self.dir.path);
                gathered.stale.extend(Some(path).filter(|_| sum != ProducerFiles::UNKNOWN));
                return count;
            };
            gathered.aborted.extend(entries);
        }
        self.noted.len()
    }

    /// What is known of all producers at the end of the first so many sealed segments, if a file tells.
    fn at_end_of(&self, count: usize, stale: &mut Vec<PathBuf>) -> Option<ProducerStates> {
        let Some(last) = count.checked_sub(1) else { return Some(ProducerStates::default()) };
        let noted = self.noted.get(last)?;
        let Some(sum) = noted.producers.snapshot else { return Some(ProducerStates::default()) };
        if sum == ProducerFiles::UNKNOWN {
            return None;
        }
        let offset = noted.sealed.next_offset;
        let loaded = ProducerStates::load(self.dir, offset, sum);
        if loaded.is_none() {
            stale.push(snapshot::path(self.dir, offset));
        }
        loaded
    }

    /// Takes what the recovery point notes of the active segment, if that is as it was closed.
    fn take_closed(&self, gathered: &mut LogProducers) -> bool {
        let mut unnoted = self.unnoted();
        let (Some(active), None, Some(point)) = (unnoted.next(), unnoted.next(), self.point) else { return false };
        let end = active.next_offset();
        let is_at_end = point.base_offset == active.base_offset() && point.synced.next_offset == end;
        if !is_at_end || !self.tail.is_empty() || self.end < end {
            return false;
        }
        let ProducerFiles { transaction_index, snapshot } = point.producers;
        let states = match snapshot {
            None if active.has_producers() => None,
            None => Some(ProducerStates::default()),
            Some(ProducerFiles::UNKNOWN) => None,
            Some(sum) => ProducerStates::load(self.dir, end, sum).or_else(|| {
                gathered.stale.push(snapshot::path(self.dir, end));
                None
            }),
        };
        let index = match transaction_index {
            None => Some(Vec::new()),
            Some(ProducerFiles::UNKNOWN) => None,
            Some(sum) => load_index(active, sum).or_else(|| {
                let path = FileName::live(active.base_offset(), FileKind::TransactionIndex).path(&self.dir.path);
                gathered.stale.push(path);
                None
            }),
        };
        let Some((states, aborted)) = states.zip(index) else { return false };
        gathered.aborted.extend(&aborted);
        gathered.states = states.clone();
        let (base_offset, are_any) = (active.base_offset(), point.producers.are_any());
        gathered.gathered.push(SegmentProducers { base_offset, aborted, at_end: states, are_any });
        true
    }
}

fn load_index(segment: &Segment, sum: FileSum) -> Option<Vec<AbortedTransaction>> {
    if sum == ProducerFiles::UNKNOWN { None } else { segment.load_transaction_index(sum) }
}
