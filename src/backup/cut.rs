//! Where a log is cut that is restored as of a time, and the batch in which it is.

use std::ops::Range;

use super::source_log::SourceLog;
use crate::error::{Corruption, Error, Result};
use crate::format::{
    BatchBuilder, BatchHeader, HEADER_BYTES, Invalid, Record, SealFields, check_records, plain_records,
};
use crate::record::Header;
use crate::segment::Segment;

/// Where a log is to end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cut {
    /// One above the last offset that is kept.
    pub(super) offset: u64,
    /// Of what is left out, the offsets of records that are not later than the time.
    pub(super) not_later: Vec<Range<u64>>,
}

impl Cut {
    /// The prefix of a log before its first record that is later than `time_ms`. Markers are no records.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::CodecUnavailable`]; those of the disk.
    pub(super) fn at_time(log: &SourceLog, time_ms: i64) -> Result<Cut> {
        let mut cut = Cut { offset: log.bounds.next_offset, not_later: Vec::new() };
        let mut is_cut = false;
        let mut reader = RecordReader::default();
        for segment in &log.segments {
            if !is_cut && segment.max_timestamp().is_none_or(|latest| latest <= time_ms) {
                continue;
            }
            segment.visit_batches(&mut |header, batch| {
                if header.start.attributes.is_control() || !is_cut && header.max_timestamp <= time_ms {
                    return Ok(true);
                }
                reader.visit(log, segment, header, batch, |offset, timestamp, _| {
                    if offset < log.bounds.log_start_offset {
                        return;
                    }
                    if !is_cut && time_ms < timestamp {
                        (is_cut, cut.offset) = (true, offset);
                    } else if is_cut && timestamp <= time_ms {
                        add(&mut cut.not_later, offset);
                    }
                })?;
                Ok(true)
            })?;
        }
        Ok(cut)
    }
}

/// Adds an offset to ranges that ascend.
fn add(ranges: &mut Vec<Range<u64>>, offset: u64) {
    match ranges.last_mut() {
        Some(last) if last.end == offset => last.end += 1,
        _ => ranges.push(offset..offset + 1),
    }
}

/// Reads the records of batches; keeps its memory from one to the next.
#[derive(Default)]
pub(super) struct RecordReader {
    plain: Vec<u8>,
    builder: BatchBuilder,
}

impl RecordReader {
    /// Shows the records of a batch: offset, timestamp, and what each is.
    fn visit(
        &mut self,
        log: &SourceLog,
        segment: &Segment,
        header: &BatchHeader,
        batch: &[u8],
        mut visit: impl FnMut(u64, i64, &Record<'_>),
    ) -> Result<()> {
        let visited = self.try_visit(log, header, batch, |offset, timestamp, record| {
            visit(offset, timestamp, record);
            Ok(())
        });
        visited.map_err(|invalid| refused(log, segment, header, invalid))
    }

    fn try_visit(
        &mut self,
        log: &SourceLog,
        header: &BatchHeader,
        batch: &[u8],
        mut visit: impl FnMut(u64, i64, &Record<'_>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
        let expanded_bytes_max = log.spec.segment_config().expanded_bytes_max;
        let mut rest = plain_records(header, stored, expanded_bytes_max, &mut self.plain)?;
        // Whoever made the backup: a checksum that is right says nothing of what is in it.
        check_records(header, rest)?;
        while !rest.is_empty() {
            let (record, bytes) = Record::decode(rest)?;
            let offset = header.base_offset().wrapping_add_signed(i64::from(record.offset_delta));
            visit(offset, header.timestamp(record.timestamp_delta), &record)?;
            rest = rest.get(bytes..).unwrap_or_default();
        }
        Ok(())
    }

    /// The same batch without its records from `end` on, and its header; `None` if none is left.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::CodecUnavailable`].
    pub(super) fn prefix(
        &mut self,
        log: &SourceLog,
        segment: &Segment,
        (header, batch): (&BatchHeader, &[u8]),
        end: u64,
    ) -> Result<Option<(BatchHeader, &[u8])>> {
        let refuse = |invalid| refused(log, segment, header, invalid);
        let mut builder = std::mem::take(&mut self.builder);
        builder.clear(header.base_offset(), header.start.base_timestamp);
        let built = self.try_visit(log, header, batch, |offset, timestamp, record| {
            if offset < end {
                let headers: Vec<Header<'_>> = record.headers.iter().collect();
                builder.push_at(record.offset_delta, timestamp, record.key, record.value, &headers);
            }
            Ok(())
        });
        self.builder = builder;
        built.map_err(refuse)?;
        if self.builder.record_count() == 0 {
            return Ok(None);
        }
        let delta = end.saturating_sub(header.base_offset()).saturating_sub(1);
        let last_offset_delta = i32::try_from(delta).unwrap_or(i32::MAX);
        let fields = SealFields { start: header.start, last_offset_delta, ..self.builder.fields() };
        let bytes = self.builder.finish(&fields).map_err(refuse)?;
        let cut = BatchHeader::decode(bytes).map_err(refuse)?;
        Ok(Some((cut, bytes)))
    }
}

#[cold]
fn refused(log: &SourceLog, segment: &Segment, header: &BatchHeader, invalid: Invalid) -> Error {
    let (partition, offsets) = (log.partition().clone(), header.base_offset()..header.next_offset());
    match invalid {
        Invalid::Codec(codec) => Error::CodecUnavailable { partition, offsets, codec: codec.name() },
        Invalid::Malformed(reason) => Error::Corrupt(Box::new(Corruption {
            partition: Some(partition),
            path: segment.path(),
            file_position: 0,
            offsets: Some(offsets),
            reason,
        })),
    }
}
