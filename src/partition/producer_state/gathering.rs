//! What a log has of producers when it is opened: from files as far as they are those that were noted, and else from the batches.
//!
//! ```text
//! [ sealed ][ sealed ][ sealed ][ active    )[ open batches )
//!  .txnindex .txnindex .txnindex .txnindex
//!                                     ^ .snapshot, the newest: behind it the batches are replayed
//! ```
//! Each sealed segment has its index of aborted transactions noted in the manifest, and the snapshot at its end; the recovery point
//! says the same of the active segment up to there, so that after a kill little is read twice. The first index that is not right has
//! everything replayed from a snapshot before that segment. If there is none, it begins at the front of the log, where nothing is
//! known of producers: so all of these files may be missing, and it comes to the same.
//!
//! Nothing is written here, for readers of another process come here, too.

use std::path::PathBuf;
use std::sync::Arc;

use super::aborted::AbortedTransactions;
use super::batch::ProducerBatch;
use super::snapshot;
use super::{OpenTransaction, ProducerStates};
use crate::canary::{Canary, planted};
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
    pub(in crate::partition) tail: &'s [ProducerBatch],
    /// Batches from here on are left out.
    pub(in crate::partition) end: u64,
}

/// What a log has of producers.
#[derive(Debug, Default)]
pub(in crate::partition) struct LogProducers {
    /// At the end of the segments.
    pub(in crate::partition) in_segments: ProducerStates,
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
    pub(in crate::partition) aborted: Arc<Vec<AbortedTransaction>>,
    /// All producers at its end.
    pub(in crate::partition) at_end: Arc<ProducerStates>,
    /// Whether there is anything to be told.
    pub(in crate::partition) are_any: bool,
}

/// What who reads committed records of another process's log has to know of it.
#[derive(Debug, Default)]
pub(in crate::partition) struct Transactions {
    /// Those that are open, by their first offsets.
    pub(in crate::partition) open: Vec<OpenTransaction>,
    /// Those that never happened, if there are any.
    pub(in crate::partition) aborted: Option<Arc<AbortedTransactions>>,
}

impl Transactions {
    /// Those of a log with these producers and `aborted` transactions; `None` if none is open and none was aborted.
    pub(in crate::partition) fn new(
        states: &ProducerStates,
        aborted: Vec<AbortedTransaction>,
    ) -> Option<Arc<Transactions>> {
        let (open, aborted) = (states.open_transactions(), AbortedTransactions::new(aborted));
        let are_any = !open.is_empty() || aborted.is_some();
        are_any.then(|| Arc::new(Transactions { open, aborted }))
    }

    /// Where the first transaction begins that is open, if there is one.
    pub(in crate::partition) fn first_unstable_offset(&self) -> Option<u64> {
        self.open.first().map(|open| open.first_offset)
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
        let begin = ReplayFrom { base_offset: segment.base_offset(), ..ReplayFrom::default() };
        SegmentProducers::replay_from(segment, begin, states, end)
    }

    fn replay_from(
        segment: &Segment,
        begin: ReplayFrom,
        states: &mut ProducerStates,
        end: u64,
    ) -> Result<SegmentProducers> {
        let ReplayFrom { base_offset, file_position, next_offset, mut aborted } = begin;
        let mut are_any = !states.is_empty() || !aborted.is_empty();
        let visited = segment.visit_producers((file_position, next_offset.max(base_offset)), |header, marker| {
            if header.base_offset() < end {
                are_any = true;
                aborted.extend(ProducerBatch::of(header, marker).and_then(|batch| states.replay(&batch)));
            }
        });
        match visited {
            Err(Error::Corrupt(_)) => {}
            visited => visited?,
        }
        Ok(SegmentProducers { base_offset, aborted: Arc::new(aborted), at_end: Arc::new(states.clone()), are_any })
    }

    /// Writes the files of a segment, of which this is what there is below `offset`. What cannot be written is noted as something
    /// that only the log tells.
    pub(in crate::partition) fn store(&self, dir: &SegmentDir, segment: &Segment, offset: u64) -> ProducerFiles {
        if !self.are_any {
            return ProducerFiles::default();
        }
        let lost = usize::from(planted(Canary::ShortTransactionIndex));
        let aborted = self.aborted.get(..self.aborted.len().saturating_sub(lost)).unwrap_or_default();
        let index = segment.write_transaction_index(Stage::Live, aborted);
        let snapshot = self.at_end.store(dir, offset);
        ProducerFiles {
            transaction_index: index.unwrap_or(Some(ProducerFiles::UNKNOWN)),
            snapshot: Some(snapshot.unwrap_or(ProducerFiles::UNKNOWN)),
        }
    }
}

/// Where to begin in a segment, and the transactions that were aborted in it before.
#[derive(Debug, Default)]
struct ReplayFrom {
    base_offset: u64,
    file_position: u64,
    next_offset: u64,
    aborted: Vec<AbortedTransaction>,
}

impl ProducerSources<'_> {
    /// Whether there is any producer in the log. Without one nothing else is to be looked at.
    pub(in crate::partition) fn are_any(&self) -> bool {
        self.noted.iter().any(|noted| noted.producers.are_any())
            || self.unnoted().any(|segment| segment.has_producers())
            || self.tail.iter().any(ProducerBatch::has_producer)
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
        let mut noted = None;
        let mut start = self.noted_end();
        if let Some((states, begin)) = self.noted_in_active(whole_count, &mut gathered.stale) {
            gathered.states = states;
            noted = Some(begin);
        } else {
            let loaded =
                (0..=whole_count).rev().find_map(|count| Some((count, self.at_end_of(count, &mut gathered.stale)?)));
            let (count, states) = loaded.unwrap_or_default();
            gathered.states = states;
            let last = count.checked_sub(1).and_then(|last| self.noted.get(last));
            start = last.map_or(0, |last| last.sealed.next_offset);
        }
        gathered.aborted.retain(|entry| entry.last_offset < start);
        for segment in self.segments.iter().filter(|segment| start <= segment.base_offset()) {
            let states = &mut gathered.states;
            let found = match noted.take_if(|begin| begin.base_offset == segment.base_offset()) {
                Some(begin) => SegmentProducers::replay_from(segment, begin, states, self.end),
                None => SegmentProducers::replay(segment, states, self.end),
            }?;
            gathered.aborted.extend(found.aborted.iter());
            gathered.gathered.push(found);
        }
        gathered.in_segments = gathered.states.clone();
        for batch in self.tail.iter().filter(|batch| batch.has_producer() && batch.base_offset() < self.end) {
            gathered.aborted.extend(gathered.states.replay(batch));
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

    /// What the recovery point notes of the first segment that the manifest does not have, where the indexes of so many sealed ones
    /// are right.
    fn noted_in_active(&self, whole_count: usize, stale: &mut Vec<PathBuf>) -> Option<(ProducerStates, ReplayFrom)> {
        let point = self.point.filter(|_| whole_count == self.noted.len())?;
        let active = self.unnoted().next().filter(|active| active.base_offset() == point.base_offset)?;
        let (base_offset, file_position, next_offset) =
            (point.base_offset, point.synced.file_position, point.synced.next_offset);
        if self.end < next_offset || active.next_offset() < next_offset || active.log_bytes() < file_position {
            return None;
        }
        let ProducerFiles { transaction_index, snapshot } = point.producers;
        // Files that were written while the log was open may be any after a power cut.
        let mut is_stale = |path| stale.extend(Some(path).filter(|_| next_offset == active.next_offset()));
        let states = match snapshot {
            None if active.has_producers() => None,
            None => Some(ProducerStates::default()),
            Some(ProducerFiles::UNKNOWN) => None,
            Some(sum) => ProducerStates::load(self.dir, next_offset, sum).or_else(|| {
                is_stale(snapshot::path(self.dir, next_offset));
                None
            }),
        };
        let aborted = match transaction_index {
            None => Some(Vec::new()),
            Some(ProducerFiles::UNKNOWN) => None,
            Some(sum) => load_index(active, sum).or_else(|| {
                is_stale(FileName::live(base_offset, FileKind::TransactionIndex).path(&self.dir.path));
                None
            }),
        };
        Some((states?, ReplayFrom { base_offset, file_position, next_offset, aborted: aborted? }))
    }
}

fn load_index(segment: &Segment, sum: FileSum) -> Option<Vec<AbortedTransaction>> {
    if sum == ProducerFiles::UNKNOWN { None } else { segment.load_transaction_index(sum) }
}
