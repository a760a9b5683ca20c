//! Entries of index files, and whether they are what the log beside them makes of it.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Item;
use super::inspected::{Inspected, Visit, problem};
use super::item::{AbortedTransaction, OffsetEntry, TimeEntry, shown};
use super::log_file::rules;
use crate::disk::DiskFile;
use crate::format::{BatchHeader, HEADER_BYTES, Reader};
use crate::record::Timestamp;
use crate::segment::{Located, LogWalk, Piece, offset_index, reason_of, time_index, transaction_index};

/// Read at a time.
const CHUNK_ENTRIES: usize = 4096;

/// Shows the entries of an offset index.
pub(super) fn show_offsets(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (base_offset, log) = (inspected.base_offset(), open_log(inspected, visit)?);
    // No entry points at the start, and the first one may be about offset 0 all the same.
    let mut least = (0, 1);
    for_entries(inspected, visit, |file_position, bytes, visit| {
        let entry = offset_index::OffsetEntry::decode(bytes);
        let (offset, batch_position) = (base_offset.saturating_add(entry.relative_offset.into()), entry.file_position);
        visit(Item::OffsetEntry(OffsetEntry { offset, file_position: batch_position.into() }))?;
        let rises = least.0 <= entry.relative_offset && least.1 <= batch_position;
        least = (entry.relative_offset.saturating_add(1), batch_position.saturating_add(1));
        if !rises {
            return problem(visit, file_position, "the entry is not above the one before");
        }
        let Some(log) = &log else { return ControlFlow::Continue(()) };
        match header_at(&**log, batch_position.into()) {
            Some(header) if header.last_offset() == offset => ControlFlow::Continue(()),
            Some(header) => {
                let offsets = header.base_offset()..=header.last_offset();
                let reason =
                    format!("the batch at byte {batch_position} of the log is {offsets:?}, not up to {offset}");
                problem(visit, file_position, reason)
            }
            None => problem(visit, file_position, format!("at byte {batch_position} of the log there is no batch")),
        }
    })
}

/// Shows the entries of a time index.
pub(super) fn show_times(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (base_offset, log) = (inspected.base_offset(), open_log(inspected, visit)?);
    with_cursor(inspected, log.as_ref(), |mut cursor| {
        let mut least = (0, 0);
        for_entries(inspected, visit, |file_position, bytes, visit| {
            let entry = time_index::TimeEntry::decode(bytes);
            let offset = base_offset.saturating_add(entry.relative_offset.into());
            visit(Item::TimeEntry(TimeEntry { timestamp: Timestamp::from_millis(entry.timestamp), offset }))?;
            let rises = least.0 <= entry.timestamp && least.1 <= entry.relative_offset;
            least = (entry.timestamp.saturating_add(1), entry.relative_offset.saturating_add(1));
            if !rises {
                return problem(visit, file_position, "the entry is not above the one before");
            }
            let Some(cursor) = &mut cursor else { return ControlFlow::Continue(()) };
            match cursor.seek(offset, file_position, visit)? {
                _ if cursor.is_lost => ControlFlow::Continue(()),
                Some(batch) if batch.header.last_offset() != offset => {
                    problem(visit, file_position, format!("no batch of the log ends at offset {offset}"))
                }
                Some(_) if cursor.max_timestamp != entry.timestamp => {
                    let max = cursor.max_timestamp;
                    problem(
                        visit,
                        file_position,
                        format!("the largest time of the log up to offset {offset} is {max} ms"),
                    )
                }
                Some(_) => ControlFlow::Continue(()),
                None => problem(visit, file_position, format!("the log ends before offset {offset}")),
            }
        })
    })
}

/// Shows the entries of a transaction index.
pub(super) fn show_aborted(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let log = open_log(inspected, visit)?;
    let mut least = inspected.base_offset();
    with_cursor(inspected, log.as_ref(), |mut cursor| {
        for_entries(inspected, visit, |file_position, bytes: [u8; transaction_index::ENTRY_BYTES], visit| {
            let entry = match transaction_index::AbortedTransaction::decode(&mut Reader::new(&bytes)) {
                Ok(entry) => entry,
                Err(invalid) => return problem(visit, file_position, reason_of(invalid)),
            };
            let transaction_index::AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset } =
                entry;
            let shown = AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
            visit(Item::AbortedTransaction(shown))?;
            let rises = least <= last_offset;
            least = last_offset.saturating_add(1);
            if !rises {
                return problem(visit, file_position, "the entry is not above the one before, or below its segment");
            }
            let Some(cursor) = &mut cursor else { return ControlFlow::Continue(()) };
            match cursor.seek(last_offset, file_position, visit)? {
                _ if cursor.is_lost => ControlFlow::Continue(()),
                Some(Located { header, .. })
                    if header.base_offset() == last_offset
                        && header.start.attributes.is_control()
                        && header.start.stamp.producer_id == producer_id =>
                {
                    ControlFlow::Continue(())
                }
                _ => problem(
                    visit,
                    file_position,
                    format!("at offset {last_offset} the log has no marker of producer {producer_id}"),
                ),
            }
        })
    })
}

/// The log file beside an index. If it is missing, that is said, and the index is looked at alone.
fn open_log(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<(), Option<Arc<dyn DiskFile>>> {
    match inspected.log() {
        Ok(log) => ControlFlow::Continue(log),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let reason = format!("there is no log beside {}", shown(&inspected.path));
            problem(visit, 0, reason)?;
            ControlFlow::Continue(None)
        }
        Err(error) => {
            problem(visit, 0, format!("the log beside it cannot be opened: {error}"))?;
            ControlFlow::Continue(None)
        }
    }
}

/// Shows each entry of `N` bytes with its place in the file. Zeros at its end are what a file has that was not cut to its entries.
fn for_entries<const N: usize>(
    inspected: &Inspected<'_>,
    visit: &mut Visit<'_>,
    mut each: impl FnMut(u64, [u8; N], &mut Visit<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut buffer = vec![0; N * CHUNK_ENTRIES];
    let zeros_from = match zeros_from(&*inspected.file, &mut buffer) {
        // The entry that they may begin in.
        Ok(zeros_from) => zeros_from.next_multiple_of(N as u64),
        Err(error) => return problem(visit, 0, format!("cannot be read: {error}")),
    };
    let mut file_position = 0;
    loop {
        let read = match inspected.file.read_at(&mut buffer, file_position) {
            Ok(read) => read,
            Err(error) => return problem(visit, file_position, format!("cannot be read: {error}")),
        };
        let (entries, rest) = buffer.get(..read).unwrap_or_default().as_chunks::<N>();
        for entry in entries {
            // The first entry of a time index may be time 0 at the segment's first offset.
            if zeros_from.max(N as u64) <= file_position {
                let reason = "from here on there are only zeros: the file was not cut to its entries";
                return problem(visit, file_position, reason);
            }
            each(file_position, *entry, visit)?;
            file_position += N as u64;
        }
        if read < buffer.len() {
            let is_whole = rest.is_empty();
            return if is_whole {
                ControlFlow::Continue(())
            } else {
                problem(visit, file_position, "the file ends within an entry")
            };
        }
    }
}

/// The byte from which on there are only zeros.
fn zeros_from(file: &dyn DiskFile, buffer: &mut [u8]) -> std::io::Result<u64> {
    let (mut position, mut from) = (0, 0);
    loop {
        let read = file.read_at(buffer, position)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            from = position + last as u64 + 1;
        }
        position += read as u64;
        if read < buffer.len() {
            return Ok(from);
        }
    }
}

fn header_at(log: &dyn DiskFile, file_position: u64) -> Option<BatchHeader> {
    let mut bytes = [0; HEADER_BYTES];
    let read = log.read_at(&mut bytes, file_position).ok()?;
    BatchHeader::decode(bytes.get(..read)?).ok()
}

/// Goes along a log while the entries of an index are shown, by its headers alone.
struct Cursor<'c> {
    walk: LogWalk<'c>,
    /// The last batch that was come to.
    batch: Option<Located>,
    /// The largest time up to and including that.
    max_timestamp: i64,
    /// Whether the log is damaged, so that entries cannot be compared any more.
    is_lost: bool,
}

/// Calls `body` with a cursor at the start of the log, if there is one.
fn with_cursor<R>(
    inspected: &Inspected<'_>,
    log: Option<&Arc<dyn DiskFile>>,
    body: impl FnOnce(Option<Cursor<'_>>) -> R,
) -> R {
    let Some(log) = log else { return body(None) };
    let read_at = |buffer: &mut [u8], position| log.read_at(buffer, position);
    let base_offset = inspected.base_offset();
    let walk = LogWalk::of_headers(&read_at, log.size_when_opened(), rules(base_offset), base_offset);
    body(Some(Cursor { walk, batch: None, max_timestamp: -1, is_lost: false }))
}

impl Cursor<'_> {
    /// The first batch that ends at `offset` or above; `None` if there is none. What is wrong with the log is said of the entry at
    /// `file_position`.
    fn seek(&mut self, offset: u64, file_position: u64, visit: &mut Visit<'_>) -> ControlFlow<(), Option<Located>> {
        while !self.is_lost && self.batch.is_none_or(|batch| batch.header.last_offset() < offset) {
            let log_position = self.walk.file_position();
            let reason = match self.walk.next(u64::MAX) {
                Ok(Piece::Batch(batch)) => {
                    self.max_timestamp = self.max_timestamp.max(batch.header.max_timestamp);
                    self.batch = Some(batch);
                    continue;
                }
                Ok(Piece::End) => return ControlFlow::Continue(None),
                Ok(Piece::Damage(damage)) => damage.reason.to_owned(),
                Ok(Piece::Tail(reason)) => reason.to_owned(),
                Err(error) => error.to_string(),
            };
            self.is_lost = true;
            let reason = format!("not compared from here on: at byte {log_position} of the log, {reason}");
            problem(visit, file_position, reason)?;
        }
        ControlFlow::Continue(self.batch)
    }
}
