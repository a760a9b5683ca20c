//! Batches and records of a log file.

use std::ops::ControlFlow;

use super::inspected::{Inspected, Visit, problem};
use super::item::{Batch, Record};
use super::{Decoded, Item};
use crate::format::{self, BatchHeader, EndTransactionMarker, HEADER_BYTES, Invalid, check_records, plain_records};
use crate::record::Timestamp;
use crate::segment::{Located, LogWalk, Piece, Rules, reason_of};

/// The most bytes that the records of a compressed batch may expand to. More than any topic allows unless it is told to.
const EXPANDED_BYTES_MAX: usize = 256 << 20;

/// What holds of a log file of which nothing is known but its base offset: it may have been compacted.
pub(super) fn rules(base_offset: u64) -> Rules {
    Rules { base_offset, end_offset: u64::MAX, end_position: 0, may_skip: true, leader_epoch: None }
}

/// Shows the batches of a log file.
pub(super) fn show(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let read_at = |buffer: &mut [u8], position| inspected.file.read_at(buffer, position);
    let (end, base_offset) = (inspected.file.size_when_opened(), inspected.base_offset());
    let shown_end = inspected.options.max_bytes.unwrap_or(u64::MAX);
    let mut walk = LogWalk::new(&read_at, end, rules(base_offset), 0, base_offset);
    let mut plain = Vec::new();
    loop {
        let file_position = walk.file_position();
        if shown_end <= file_position {
            return ControlFlow::Continue(());
        }
        // Every offset is taken for one that was written, so that the walk goes on behind whatever is wrong.
        match walk.next(u64::MAX) {
            Ok(Piece::Batch(batch)) if shown_end < batch.end() => return ControlFlow::Continue(()),
            Ok(Piece::Batch(batch)) => show_batch(inspected, &mut walk, &batch, &mut plain, visit)?,
            Ok(Piece::Damage(damage)) => {
                show_bad_header(inspected, file_position, visit)?;
                problem(visit, file_position, format!("{} ({} bytes passed over)", damage.reason, damage.bytes))?;
            }
            Ok(Piece::Tail(reason)) => return problem(visit, file_position, reason),
            Ok(Piece::End) => return ControlFlow::Continue(()),
            Err(error) => return problem(visit, file_position, format!("cannot be read: {error}")),
        }
    }
}

/// The header of a batch that is not right, if it is one at all: it tells what was there.
fn show_bad_header(inspected: &Inspected<'_>, file_position: u64, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let mut bytes = [0; HEADER_BYTES];
    let read = inspected.file.read_at(&mut bytes, file_position).unwrap_or_default();
    match BatchHeader::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) => visit(Item::Batch(Batch::new(file_position, &header, false))),
        Err(_) => ControlFlow::Continue(()),
    }
}

/// Shows a batch whose checksum is right, and its records if they are wanted.
fn show_batch(
    inspected: &Inspected<'_>,
    walk: &mut LogWalk<'_>,
    batch: &Located,
    plain: &mut Vec<u8>,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let (header, file_position) = (&batch.header, batch.file_position);
    let is_control = header.start.attributes.is_control();
    let mut shown = Batch::new(file_position, header, true);
    if !is_control && !inspected.options.records {
        return visit(Item::Batch(shown));
    }
    let bytes = match walk.batch_bytes(batch) {
        Ok(bytes) => bytes,
        Err(error) => {
            visit(Item::Batch(shown))?;
            return problem(visit, file_position, format!("cannot be read: {error}"));
        }
    };
    let stored = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let marker = is_control.then(|| EndTransactionMarker::decode(header, stored));
    shown.marker = marker.and_then(Result::ok).flatten().map(Decoded::of_marker);
    visit(Item::Batch(shown))?;
    if let Some(Err(invalid)) = marker {
        problem(visit, file_position, reason_of(invalid))?;
    }
    if !inspected.options.records {
        return ControlFlow::Continue(());
    }
    match plain_records(header, stored, EXPANDED_BYTES_MAX, plain) {
        Ok(records) => show_records(inspected, batch, records, visit),
        Err(Invalid::Codec(codec)) => {
            let reason = format!("the records are compressed with {}, which this build cannot expand", codec.name());
            problem(visit, file_position, reason)
        }
        Err(invalid) => problem(visit, file_position, reason_of(invalid)),
    }
}

fn show_records(inspected: &Inspected<'_>, batch: &Located, records: &[u8], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (header, mut rest) = (&batch.header, records);
    while let Ok((record, size)) = format::Record::decode(rest) {
        rest = rest.get(size..).unwrap_or_default();
        // What this says of offsets that cannot be is said below.
        let Some(offset) = header.base_offset().checked_add_signed(record.offset_delta.into()) else { continue };
        let decoded = if header.start.attributes.is_control() {
            EndTransactionMarker::decode(header, records).ok().flatten().map(Decoded::of_marker)
        } else {
            inspected.options.decoder.and_then(|decoder| decoder.decode(record.key, record.value))
        };
        if let Some(Decoded::Unreadable { reason }) = &decoded {
            problem(visit, batch.file_position, format!("the record at offset {offset}: {reason}"))?;
        }
        visit(Item::Record(Record {
            offset,
            timestamp: Timestamp::from_millis(header.timestamp(record.timestamp_delta)),
            sequence: header.start.stamp.last_sequence(record.offset_delta),
            key: record.key,
            value: record.value,
            headers: record.headers,
            decoded,
        }))?;
        if rest.is_empty() {
            break;
        }
    }
    match check_records(header, records) {
        Ok(()) => ControlFlow::Continue(()),
        Err(invalid) => problem(visit, batch.file_position, reason_of(invalid)),
    }
}
