//! How transactions end in logs that are cut.
//!
//! A transaction with a marker within the cut of one log ends in every log as that marker says; any other is aborted. Which markers are of
//! one transaction is told by their time, which is that of the decision in all logs. Two that were committed in the same millisecond, and
//! have no log in common, are taken for one here; both were committed. Those of an imported log have markers of times of their own, and end
//! there as these say.

use std::collections::BTreeMap;

use super::losses::TornTransaction;
use super::source_log::SourceLog;
use crate::error::Result;
use crate::format::{EndTransactionMarker, ProducerIdAndEpoch};

/// A log, and where it is cut, whatever there is behind that.
type CutLog = (SourceLog, u64);

/// A transaction in one log.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Which of the logs.
    log: usize,
    producer: ProducerIdAndEpoch,
    /// Where its records begin and end.
    first_offset: u64,
    end_offset: u64,
    /// Where it was ended, when, and how.
    marker: Option<(u64, i64, EndTransactionMarker)>,
}

/// A transaction that is open at the cut of a log, and is to be ended there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    first_offset: u64,
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) marker: EndTransactionMarker,
}

/// What becomes of the transactions.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// For each log, in the order in which its transactions began.
    pub(super) of_logs: Vec<Vec<Ending>>,
    /// Committed ones of which something is left out.
    pub(super) torn: Vec<TornTransaction>,
}

impl Endings {
    /// What becomes of those in `logs`.
    ///
    /// # Errors
    /// Those of the disk; [`Error::Corrupt`](crate::Error::Corrupt) if a file is missing.
    pub(super) fn of(logs: &[CutLog]) -> Result<Endings> {
        let mut by_producer: BTreeMap<i64, Vec<Part>> = BTreeMap::new();
        for (number, (log, _)) in logs.iter().enumerate() {
            for part in parts_of(number, log)? {
                by_producer.entry(part.producer.id).or_default().push(part);
            }
        }
        let mut endings = Endings { of_logs: vec![Vec::new(); logs.len()], torn: Vec::new() };
        for transaction in by_producer.into_values().flat_map(transactions_of) {
            endings.add(logs, &transaction);
        }
        endings.of_logs.iter_mut().for_each(|of_log| of_log.sort_unstable_by_key(|ending| ending.first_offset));
        Ok(endings)
    }

    fn add(&mut self, logs: &[CutLog], transaction: &[Part]) {
        let cut_of = |part: &Part| logs.get(part.log).map_or(u64::MAX, |(_, cut)| *cut);
        let marker_within = |part: &&Part| part.marker.is_some_and(|(offset, ..)| offset < cut_of(part));
        let decided = transaction.iter().find(marker_within).and_then(|part| part.marker);
        let marker = decided.map_or(ABORT, |(.., marker)| marker);
        for part in transaction {
            let cut = cut_of(part);
            if part.first_offset < cut
                && !marker_within(&part)
                && let Some(of_log) = self.of_logs.get_mut(part.log)
            {
                of_log.push(Ending { first_offset: part.first_offset, producer: part.producer, marker });
            }
            if marker.is_commit
                && cut < part.end_offset
                && let Some((log, _)) = logs.get(part.log)
            {
                self.torn.push(TornTransaction {
                    producer_id: part.producer.id,
                    partition: log.partition().clone(),
                    offsets: part.first_offset.max(cut)..part.end_offset,
                });
            }
        }
    }
}

const ABORT: EndTransactionMarker = EndTransactionMarker { is_commit: false, coordinator_epoch: 0 };

/// The transactions in one log.
fn parts_of(number: usize, log: &SourceLog) -> Result<Vec<Part>> {
    let (mut parts, mut open): (Vec<Part>, BTreeMap<i64, Part>) = Default::default();
    log.visit_producers(&mut |header, marker| {
        let stamp = header.start.stamp;
        if let Some(marker) = marker {
            if let Some(part) = open.remove(&stamp.producer_id) {
                parts.push(Part { marker: Some((header.last_offset(), header.max_timestamp, marker)), ..part });
            }
        } else if stamp.is_transactional && !header.start.attributes.is_control() {
            let part = open.entry(stamp.producer_id).or_insert(Part {
                log: number,
                producer: ProducerIdAndEpoch { id: stamp.producer_id, epoch: stamp.producer_epoch },
                first_offset: header.base_offset(),
                end_offset: 0,
                marker: None,
            });
            part.end_offset = header.next_offset();
        }
    })?;
    parts.extend(open.into_values());
    Ok(parts)
}

/// The transactions of one producer, of which these are the parts.
fn transactions_of(mut parts: Vec<Part>) -> Vec<Vec<Part>> {
    // Within one log, offsets tell the order, whatever the clock did.
    parts.sort_by_key(|part| (ended(part), part.first_offset));
    let mut transactions: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        let is_same =
            |other: &Part| other.log != part.log && other.producer == part.producer && ended(other) == ended(&part);
        match transactions.last_mut() {
            Some(last) if last.iter().all(is_same) => last.push(part),
            _ => transactions.push(vec![part]),
        }
    }
    transactions
}

/// When a transaction was ended, and whether by a commit; what was not ended comes last.
fn ended(part: &Part) -> (bool, i64, bool) {
    part.marker.map_or((true, 0, false), |(_, timestamp, marker)| (false, timestamp, marker.is_commit))
}
