//! What holds for all records and all bytes: there and back again, one wrong byte is noticed, and nothing panics.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::header::Header;
use super::*;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn codecs() -> impl Strategy<Value = Compression> {
    let available: Vec<Compression> = CODECS.into_iter().filter(|codec| codec.is_available()).collect();
    prop::sample::select(available)
}

#[derive(Debug, Clone)]
struct OwnedRecord {
    timestamp_delta: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    fn headers(&self) -> Vec<Header<'_>> {
        let mut headers = Vec::new();
        for (key, value) in &self.headers {
            headers.push(value.as_ref().map_or(Header::null(key), |value| Header::new(key, value)));
        }
        headers
    }
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..200))
}

fn records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    let deltas = prop_oneof![0..1000i64, -5_000_000_000..5_000_000_000i64];
    let headers = vec((".{0,8}", bytes()), 0..4);
    let record = (deltas, bytes(), bytes(), headers).prop_map(|(timestamp_delta, key, value, headers)| OwnedRecord {
        timestamp_delta,
        key,
        value,
        headers,
    });
    vec(record, 1..20)
}

const BASE_TIMESTAMP: i64 = 1_700_000_000_000;

fn build(records: &[OwnedRecord], codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.clear(1000, BASE_TIMESTAMP);
    for record in records {
        let timestamp_ms = BASE_TIMESTAMP + record.timestamp_delta;
        builder.push(timestamp_ms, record.key.as_deref(), record.value.as_deref(), &record.headers());
    }
    let mut fields = builder.fields();
    fields.start = fields.start.with_codec(codec);
    builder.finish(&fields).unwrap().to_vec()
}

fn same(record: &Record<'_>, owned: &OwnedRecord) -> bool {
    record.timestamp_delta == owned.timestamp_delta
        && record.key == owned.key.as_deref()
        && record.value == owned.value.as_deref()
        && record.headers.iter().eq(owned.headers())
}

proptest! {
    #[test]
    fn records_come_back_from_their_bytes(records in records(), offset_delta in 0..i32::MAX) {
        for owned in &records {
            let headers = owned.headers();
            let (key, value) = (owned.key.as_deref(), owned.value.as_deref());
            let fields = RecordFields { timestamp_delta: owned.timestamp_delta, offset_delta, key, value, headers: (&headers).into() };
            let mut bytes = vec![0xaa; fields.encoded_len() + 3];
            prop_assert_eq!(fields.encode(&mut bytes), fields.encoded_len());
            let size = fields.encoded_len();
            let mut exact = vec![0; size];
            prop_assert_eq!(fields.try_encode(&mut exact), Some(size));
            prop_assert_eq!(fields.try_encode(&mut vec![0; size - 1]), None);
            prop_assert_eq!(&bytes[..size], &exact[..]);

            let (record, decoded_size) = Record::decode(&bytes).unwrap();
            prop_assert_eq!(decoded_size, size);
            prop_assert_eq!(record.offset_delta, offset_delta);
            prop_assert!(same(&record, owned));
            prop_assert_eq!(skip(&bytes), Ok((offset_delta, size)));
            for cut in 0..size {
                prop_assert!(Record::decode(&bytes[..cut]).is_err());
                prop_assert!(skip(&bytes[..cut]).is_err());
            }
        }
    }

    /// Lengths and deltas of all sizes, and one byte that is wrong: what the fast way takes, the careful one takes, too.
    #[test]
    fn the_fast_way_to_read_a_record_has_the_answers_of_the_careful_one(
        timestamp_delta in any::<i64>(),
        delta_bits in (0..64_u32, 0..31_u32),
        offset_delta in 0..i32::MAX,
        lengths in (option::of(0..300_usize), option::of(0..20_000_usize)),
        changed in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let (key, value) = (lengths.0.map(|length| vec![b'k'; length]), lengths.1.map(|length| vec![b'v'; length]));
        let (key, value) = (key.as_deref(), value.as_deref());
        let (timestamp_delta, offset_delta) = (timestamp_delta >> delta_bits.0, offset_delta >> delta_bits.1);
        let fields = RecordFields { timestamp_delta, offset_delta, key, value, headers: (&[]).into() };
        let mut bytes = vec![0; fields.encoded_len() + 9];
        let size = fields.encode(&mut bytes);
        ways::compare(&bytes[..size]);
        ways::compare(&bytes);
        prop_assert_eq!(step_over(&bytes[..size], 9, usize::MAX), Ok((1, size)));
        prop_assert_eq!(step_over(&bytes[..size], 9, size - 1), Ok((0, 0)));
        // Nearly always among the fields before the key and value.
        bytes[changed.0.index(size.min(24))] = changed.1;
        ways::compare(&bytes);
    }

    #[test]
    fn batches_come_back_from_their_bytes(records in records(), codec in codecs()) {
        let batch = build(&records, codec);
        let header = verify(&batch).unwrap();
        prop_assert_eq!(header.batch_bytes as usize, batch.len());
        prop_assert_eq!(header.next_offset(), 1000 + records.len() as u64);
        prop_assert_eq!(&header.encode()[..], &batch[..HEADER_BYTES]);

        let mut plain = Vec::new();
        decompress(header.start.attributes.codec(), &batch[HEADER_BYTES..], 1 << 20, &mut plain).unwrap();
        prop_assert_eq!(check_records(&header, &plain), Ok(()));
        let mut rest = &plain[..];
        for owned in &records {
            let (record, size) = Record::decode(rest).unwrap();
            prop_assert!(same(&record, owned));
            rest = &rest[size..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_changed_byte_is_noticed_or_outside_the_checksum(
        records in records(),
        codec in codecs(),
        at: prop::sample::Index,
        change in 1..=255u8,
    ) {
        let mut batch = build(&records, codec);
        let before = verify(&batch).unwrap();
        let at = at.index(batch.len());
        batch[at] ^= change;
        if let Ok(after) = verify(&batch) {
            let BatchStart { base_offset, leader_epoch, .. } = before.start;
            let start = BatchStart { base_offset, leader_epoch, ..after.start };
            let restored = BatchHeader { start, ..after };
            prop_assert_eq!(restored, before);
            prop_assert!(after != before);
        }
    }

    #[test]
    fn a_batch_that_is_cut_is_refused(records in records(), cut: prop::sample::Index) {
        let batch = build(&records, Compression::None);
        prop_assert!(verify(&batch[..cut.index(batch.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        ways::compare(&bytes);
        _ = BatchHeader::decode(&bytes);
        _ = verify(&bytes);
        _ = ControlType::decode_key(&bytes);
        for codec in CODECS {
            _ = decompress(codec, &bytes, 1 << 16, &mut Vec::new());
        }
    }

    /// As [`any_bytes_are_read_without_a_panic`], but near enough to the truth to get far.
    #[test]
    fn damaged_records_are_read_without_a_panic(
        records in records(),
        codec in codecs(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let batch = build(&records, codec);
        let header = verify(&batch).unwrap();
        let mut records = batch[HEADER_BYTES..].to_vec();
        for (at, byte) in damage {
            let at = at.index(records.len());
            records[at] = byte;
        }
        let mut plain = Vec::new();
        if decompress(header.start.attributes.codec(), &records, 1 << 16, &mut plain).is_ok() {
            _ = check_records(&header, &plain);
            let start = BatchStart { attributes: header.start.attributes.with_control(), ..header.start };
            _ = EndTransactionMarker::decode(&BatchHeader { start, ..header }, &plain);
        }
    }

    #[test]
    fn compressed_bytes_expand_within_the_bound(
        piece in vec(any::<u8>(), 0..200),
        count in 0..600usize,
        codec in codecs(),
    ) {
        let plain = piece.repeat(count);
        let mut compressed = b"before".to_vec();
        compress(codec, &plain, &mut compressed).unwrap();
        let compressed = compressed.strip_prefix(b"before").unwrap();

        let mut out = b"kept".to_vec();
        prop_assert_eq!(decompress(codec, compressed, plain.len(), &mut out), Ok(()));
        prop_assert_eq!(out.strip_prefix(b"kept").unwrap(), &plain[..]);
        if let Some(too_few) = plain.len().checked_sub(1) {
            let mut out = b"kept".to_vec();
            prop_assert!(decompress(codec, compressed, too_few, &mut out).is_err());
            prop_assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn integers_come_back_from_their_bytes(value: i64, narrow: i32, unsigned: u32) {
        let mut out = [0; varint::VARLONG_BYTES_MAX];
        let size = varint::encode_signed(value, &mut out);
        prop_assert_eq!(size, varint::signed_len(value));
        prop_assert_eq!(varint::decode_i64(&out), Ok((value, size)));
        prop_assert!(varint::decode_i64(&out[..size - 1]).is_err());

        let size = varint::encode_signed(i64::from(narrow), &mut out);
        prop_assert!(size <= varint::VARINT_BYTES_MAX);
        prop_assert_eq!(varint::decode_i32(&out), Ok((narrow, size)));

        let size = varint::encode_unsigned(u64::from(unsigned), &mut out);
        prop_assert_eq!(size, varint::unsigned_len(u64::from(unsigned)));
        prop_assert_eq!(varint::decode_u32(&out), Ok((unsigned, size)));
    }
}
