//! Batches, records and compressed records made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use super::batch::CRC_FIELD;
use super::header::Header;
use super::{
    BatchBuilder, BatchHeader, CRC_START, Compression, EndTransactionMarker, HEADER_BYTES, Invalid, Record,
    RecordFields, SealFields, check_records, compress, crc32c, decompress, skip, varint, verify, ways,
};

/// Reads a batch, with its checksum put right, and writes it again.
pub fn batch(bytes: &[u8], expanded_bytes_max: usize) {
    let Ok(header) = BatchHeader::decode(bytes) else {
        assert!(verify(bytes).is_err(), "a batch with a bad header is no batch");
        return;
    };
    assert_eq!(Some(&header.encode()[..]), bytes.get(..HEADER_BYTES), "a header comes back from its bytes");
    assert!(header.base_offset() < header.next_offset() && i64::try_from(header.next_offset()).is_ok());
    assert!(header.last_sequence() >= -1);
    let Some(batch) = bytes.get(..header.batch_bytes as usize) else {
        assert!(verify(bytes).is_err(), "a batch that is cut short is no batch");
        return;
    };
    let batch = with_checksum(batch);
    let header = verify(&batch).unwrap();
    let stored = batch.get(HEADER_BYTES..).unwrap();
    let mut plain = Vec::new();
    let expanded = decompress(header.start.attributes.codec(), stored, expanded_bytes_max, &mut plain);
    assert!(plain.len() <= expanded_bytes_max);
    if expanded.is_err() {
        assert!(plain.is_empty(), "nothing is left of what cannot be expanded");
        return;
    }
    let checked = check_records(&header, &plain);
    ways::compare_checks(&header, &plain);
    if header.start.attributes.is_control() {
        // Any answer will do: a later version may write what is not understood here.
        _ = EndTransactionMarker::decode(&header, &plain);
    }
    if checked.is_ok() {
        rewrite(&header, &plain);
    }
}

/// Makes the batch once more from its records, and compares.
fn rewrite(header: &BatchHeader, plain: &[u8]) {
    let mut builder = BatchBuilder::new();
    builder.clear(header.base_offset(), header.start.base_timestamp);
    for record in records(plain) {
        let headers: Vec<Header<'_>> = record.headers.iter().collect();
        let timestamp_ms = header.start.base_timestamp.checked_add(record.timestamp_delta).unwrap();
        builder.push_at(record.offset_delta, timestamp_ms, record.key, record.value, &headers);
    }
    assert_eq!(builder.record_count(), header.record_count);
    let start = header.start.with_codec(Compression::None);
    let BatchHeader { last_offset_delta, max_timestamp, .. } = *header;
    let fields = SealFields { start, last_offset_delta, max_timestamp, ..builder.fields() };
    let written = builder.finish(&fields).unwrap();
    let again = verify(written).unwrap();
    let BatchHeader { batch_bytes, crc, .. } = again;
    assert_eq!(again, BatchHeader { start, batch_bytes, crc, ..*header });
    let written = written.get(HEADER_BYTES..).unwrap();
    assert_eq!(check_records(&again, written), Ok(()));
    assert!(written.len() <= plain.len(), "what is written is the shortest form");
    assert!(records(plain).map(Seen::of).eq(records(written).map(Seen::of)));
}

/// What an application sees of a record.
#[derive(Debug, PartialEq)]
struct Seen<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Seen<'a> {
    fn of(record: Record<'a>) -> Seen<'a> {
        let Record { timestamp_delta, offset_delta, key, value, .. } = record;
        let headers = record.headers.iter().map(|header| (header.key(), header.value())).collect();
        Seen { timestamp_delta, offset_delta, key, value, headers }
    }
}

/// The records in bytes that were checked.
fn records(mut rest: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (record, size) = (!rest.is_empty()).then(|| Record::decode(rest).unwrap())?;
        rest = rest.get(size..).unwrap();
        Some(record)
    })
}

fn with_checksum(batch: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    let crc = crc32c(batch.get(CRC_START..).unwrap());
    *batch.get_mut(CRC_FIELD..).unwrap().first_chunk_mut().unwrap() = crc.to_be_bytes();
    batch
}

/// Reads a record and writes it again.
pub fn record(bytes: &[u8]) {
    ways::compare(bytes);
    let skipped = skip(bytes);
    let Ok((record, size)) = Record::decode(bytes) else { return };
    assert_eq!(skipped, Ok((record.offset_delta, size)), "skipping goes as far as reading");
    let whole = bytes.get(..size).unwrap();
    assert_eq!(Seen::of(Record::decode(whole).unwrap().0), Seen::of(record), "bytes behind a record do not count");
    let headers: Vec<Header<'_>> = record.headers.iter().collect();
    assert_eq!(headers.len(), record.headers.len(), "all headers are there that were counted");
    if let Some(last) = headers.last() {
        assert_eq!(record.headers.get(last.key()), Some(*last));
    }
    let Record { timestamp_delta, offset_delta, key, value, .. } = record;
    let fields = RecordFields { timestamp_delta, offset_delta, key, value, headers: (&headers).into() };
    let mut written = vec![0; fields.encoded_len()];
    assert_eq!(fields.encode(&mut written), written.len());
    assert!(written.len() <= size, "what is written is the shortest form");
    let (again, again_size) = Record::decode(&written).unwrap();
    assert_eq!((Seen::of(again), again_size), (Seen::of(record), written.len()));
    let mut exact = vec![0; written.len()];
    assert_eq!(fields.try_encode(&mut exact), Some(written.len()));
    assert_eq!(exact, written);
    assert_eq!(fields.try_encode(exact.get_mut(1..).unwrap()), None, "one byte too few");
}

/// Reads records in the quick way and in the careful one; the bytes decide what is strange about them.
pub fn unusual_records(choices: &[u8]) {
    let records = ways::unusual_records(choices);
    ways::compare(&records);
    let mut rest = &records[..];
    let (mut record_count, mut last_offset_delta, mut max_timestamp) = (0, 0, i64::MIN);
    while let Ok((record, size)) = Record::decode(rest) {
        let Record { timestamp_delta, offset_delta, .. } = record;
        (record_count, last_offset_delta) = (record_count + 1, offset_delta);
        max_timestamp = max_timestamp.max(timestamp_delta);
        rest = rest.get(size..).unwrap();
        ways::compare(rest);
    }
    let start = BatchBuilder::new().fields().start;
    ways::compare_checks(
        &BatchHeader { start, batch_bytes: 61, crc: 0, last_offset_delta, max_timestamp, record_count },
        &records,
    );
}

/// Reads integers of variable length and writes them again.
pub fn varints(bytes: &[u8]) {
    let mut out = [0; varint::VARLONG_BYTES_MAX];
    if let Ok((value, size)) = varint::decode_i64(bytes) {
        assert!((1..=varint::VARLONG_BYTES_MAX).contains(&size));
        let written = varint::encode_signed(value, &mut out);
        assert!(written == varint::signed_len(value) && written <= size, "what is written is the shortest form");
        assert_eq!(varint::decode_i64(&out), Ok((value, written)));
    }
    if let Ok((value, size)) = varint::decode_i32(bytes) {
        assert!((1..=varint::VARINT_BYTES_MAX).contains(&size));
        let written = varint::encode_signed(value.into(), &mut out);
        assert!(written <= size, "what is written is the shortest form");
        assert_eq!(varint::decode_i32(&out), Ok((value, written)));
    }
    if let Ok((value, size)) = varint::decode_u32(bytes) {
        let written = varint::encode_unsigned(value.into(), &mut out);
        assert!(written == varint::unsigned_len(value.into()) && written <= size);
        assert_eq!(varint::decode_u32(&out), Ok((value, written)));
    }
}

/// Reads the records of a control batch.
pub fn control(bytes: &[u8]) {
    let mut builder = BatchBuilder::new();
    let (key, value) = bytes.split_at(bytes.len().min(4));
    builder.push(0, Some(key), Some(value), &[]);
    let mut fields = builder.fields();
    fields.start.attributes = fields.start.attributes.with_control();
    fields.start.stamp.is_transactional = true;
    let batch = builder.finish(&fields).unwrap();
    let header = BatchHeader::decode(batch).unwrap();
    let marker = EndTransactionMarker::decode(&header, batch.get(HEADER_BYTES..).unwrap());
    if let Ok(Some(marker)) = marker {
        let (key, value) = (marker.encode_key(), marker.encode_value());
        let mut builder = BatchBuilder::new();
        builder.push(0, Some(&key), Some(&value), &[]);
        let batch = builder.finish(&SealFields { start: fields.start, ..builder.fields() }).unwrap();
        let header = BatchHeader::decode(batch).unwrap();
        assert_eq!(EndTransactionMarker::decode(&header, batch.get(HEADER_BYTES..).unwrap()), Ok(Some(marker)));
    }
}

fn codec(number: u8) -> Compression {
    Compression::from_id(i16::from(number % 5)).unwrap()
}

/// Expands bytes that may never have been compressed.
pub fn compression(codec_number: u8, bytes: &[u8], expanded_bytes_max: usize) {
    let codec = codec(codec_number);
    let mut out = b"before".to_vec();
    let result = decompress(codec, bytes, expanded_bytes_max, &mut out);
    assert!(out.starts_with(b"before") && out.len() - 6 <= expanded_bytes_max);
    assert!(result.is_ok() || out.len() == 6, "after an error all is as it was");
    let mut again = b"before".to_vec();
    assert_eq!(decompress(codec, bytes, expanded_bytes_max, &mut again), result, "the same answer twice");
    assert_eq!(again, out);
    if result.is_ok() && out.len() > 6 {
        let mut short = Vec::new();
        let bound = out.len() - 7;
        assert!(matches!(decompress(codec, bytes, bound, &mut short), Err(Invalid::Malformed(_))), "one byte too few");
        assert!(short.is_empty());
    }
}

/// Compresses and expands.
pub fn round_trip(codec_number: u8, plain: &[u8]) {
    let codec = codec(codec_number);
    let (mut compressed, mut expanded) = (Vec::new(), Vec::new());
    compress(codec, plain, &mut compressed).unwrap();
    assert_eq!(decompress(codec, &compressed, plain.len(), &mut expanded), Ok(()));
    assert_eq!(expanded, plain);
}
