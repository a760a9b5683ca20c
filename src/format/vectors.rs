//! The golden bytes of `tests/format/kafka-vectors.json`, made and judged by Kafka's own classes and three of its clients.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::header::Header;
use super::*;

/// Larger than what any of the vectors expands to.
const BYTES_MAX: usize = 1 << 20;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/format/kafka-vectors.json")).unwrap()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex_or_null(text: &Value) -> Option<Vec<u8>> {
    (!text.is_null()).then(|| hex(text))
}

/// The records of a batch, decompressed.
fn plain(header: &BatchHeader, batch: &[u8]) -> Result<Vec<u8>, Invalid> {
    let mut records = Vec::new();
    decompress(header.start.attributes.codec(), &batch[HEADER_BYTES..], BYTES_MAX, &mut records)?;
    Ok(records)
}

fn decode_all<'a>(header: &BatchHeader, plain: &'a [u8]) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    let mut rest = plain;
    for _ in 0..header.record_count {
        let (record, size) = Record::decode(rest).unwrap();
        assert_eq!(skip(rest), Ok((record.offset_delta, size)));
        records.push(record);
        rest = &rest[size..];
    }
    records
}

/// The vectors' digest over everything that a reader of the batch sees.
fn digest(header: &BatchHeader, records: &[Record<'_>]) -> String {
    fn length(bytes: Option<&[u8]>) -> [u8; 4] {
        bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap()).to_be_bytes()
    }
    let mut sha = Sha256::new();
    for record in records {
        sha.update((header.base_offset().cast_signed() + i64::from(record.offset_delta)).to_be_bytes());
        for field in [record.key, record.value] {
            sha.update(length(field));
            sha.update(field.unwrap_or_default());
        }
        sha.update(i32::try_from(record.headers.len()).unwrap().to_be_bytes());
        for header in record.headers {
            sha.update(length(Some(header.key().as_bytes())));
            sha.update(header.key());
            sha.update(length(header.value()));
            sha.update(header.value().unwrap_or_default());
        }
        sha.update(header.timestamp(record.timestamp_delta).to_be_bytes());
    }
    to_hex(&sha.finalize())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn check_header(header: &BatchHeader, stated: &Value, name: &str) {
    let number = |field: &str| stated[field].as_i64().unwrap();
    assert_eq!(header.base_offset().cast_signed(), number("base_offset"), "{name}");
    assert_eq!(header.last_offset().cast_signed(), number("last_offset"), "{name}");
    assert_eq!(i64::from(header.batch_bytes), number("batch_length") + 12, "{name}");
    assert_eq!(i64::from(header.start.leader_epoch), number("partition_leader_epoch"), "{name}");
    assert_eq!(format!("{:08x}", header.crc), stated["crc"].as_str().unwrap(), "{name}");
    assert_eq!(
        i64::from(header.start.attributes.bits(header.start.stamp.is_transactional)),
        number("attributes"),
        "{name}"
    );
    assert_eq!(i64::from(header.last_offset_delta), number("last_offset_delta"), "{name}");
    assert_eq!(header.start.base_timestamp, number("base_timestamp"), "{name}");
    assert_eq!(header.max_timestamp, number("max_timestamp"), "{name}");
    assert_eq!(header.start.stamp.producer_id, number("producer_id"), "{name}");
    assert_eq!(i64::from(header.start.stamp.producer_epoch), number("producer_epoch"), "{name}");
    assert_eq!(i64::from(header.start.stamp.base_sequence), number("base_sequence"), "{name}");
    assert_eq!(i64::from(header.last_sequence()), number("last_sequence"), "{name}");
    assert_eq!(i64::from(header.record_count), number("records_count"), "{name}");
    assert_eq!(header.delete_horizon(), stated["delete_horizon_ms"].as_i64(), "{name}");
}

fn check_record(header: &BatchHeader, record: &Record<'_>, stated: &Value, name: &str) {
    assert_eq!(
        header.base_offset().cast_signed() + i64::from(record.offset_delta),
        stated["offset"].as_i64().unwrap(),
        "{name}"
    );
    assert_eq!(header.timestamp(record.timestamp_delta), stated["timestamp"].as_i64().unwrap(), "{name}");
    assert_eq!(record.key, hex_or_null(&stated["key_hex"]).as_deref(), "{name}");
    assert_eq!(record.value, hex_or_null(&stated["value_hex"]).as_deref(), "{name}");
    let headers = stated["headers"].as_array().unwrap();
    assert_eq!(record.headers.len(), headers.len(), "{name}");
    for (header, stated) in record.headers.iter().zip(headers) {
        assert_eq!(header.key(), stated[0].as_str().unwrap(), "{name}");
        assert_eq!(header.value(), hex_or_null(&stated[1]).as_deref(), "{name}");
    }
}

/// The batch made anew from what was decoded.
fn encode(header: &BatchHeader, records: &[Record<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.clear(header.base_offset(), header.start.base_timestamp);
    for record in records {
        let headers: Vec<Header<'_>> = record.headers.iter().collect();
        let timestamp_ms = header.start.base_timestamp + record.timestamp_delta;
        builder.push_at(record.offset_delta, timestamp_ms, record.key, record.value, &headers);
    }
    let is_stated = records.is_empty() || header.start.attributes.is_log_append_time();
    let fields = builder.fields();
    let fields = SealFields {
        start: header.start,
        // Compaction keeps these two when records are gone.
        last_offset_delta: header.last_offset_delta,
        max_timestamp: if is_stated { header.max_timestamp } else { fields.max_timestamp },
        ..fields
    };
    builder.finish(&fields).unwrap().to_vec()
}

#[test]
fn valid_batches_decode_to_the_stated_values() {
    for vector in vectors()["batches"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let batch = hex(&vector["hex"]);
        let header = verify(&batch).unwrap_or_else(|invalid| panic!("{name}: {invalid:?}"));
        assert_eq!(header.batch_bytes as usize, batch.len(), "{name}");
        check_header(&header, &vector["decoded"], name);

        let plain = plain(&header, &batch);
        if !header.start.attributes.codec().is_available() {
            assert_eq!(plain, Err(Invalid::Codec(header.start.attributes.codec())), "{name}");
            continue;
        }
        let plain = plain.unwrap_or_else(|invalid| panic!("{name}: {invalid:?}"));
        if let Some(stated) = vector["records_plain_sha256"].as_str() {
            assert_eq!(to_hex(&Sha256::digest(&plain)), stated, "{name}");
        }
        assert_eq!(check_records(&header, &plain), Ok(()), "{name}");
        let records = decode_all(&header, &plain);
        assert_eq!(digest(&header, &records), vector["decoded"]["record_digest_sha256"].as_str().unwrap(), "{name}");
        if let Some(stated) = vector["decoded"]["records"].as_array() {
            assert_eq!(records.len(), stated.len(), "{name}");
            for (record, stated) in records.iter().zip(stated) {
                check_record(&header, record, stated, name);
            }
        }
    }
}

#[test]
fn batches_are_encoded_to_the_same_bytes() {
    for vector in vectors()["batches"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let batch = hex(&vector["hex"]);
        let header = verify(&batch).unwrap();
        assert_eq!(header.encode()[..], batch[..HEADER_BYTES], "{name}");
        let codec = header.start.attributes.codec();
        if !codec.is_available() {
            continue;
        }
        let plain = plain(&header, &batch).unwrap();
        let encoded = encode(&header, &decode_all(&header, &plain));
        if vector["encode_exact"].as_bool().unwrap() {
            assert_eq!(to_hex(&encoded), to_hex(&batch), "{name}");
            continue;
        }
        // Compressors differ; what they compress does not.
        let header = verify(&encoded).unwrap();
        assert!(
            header.start.attributes.codec() == codec || header.start.attributes.codec() == Compression::None,
            "{name}"
        );
        assert_eq!(self::plain(&header, &encoded).unwrap(), plain, "{name}");
    }
}

#[test]
fn invalid_batches_are_refused() {
    for vector in vectors()["invalid_batches"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let batch = hex(&vector["hex"]);
        let header = verify(&batch);
        if vector["expect"] == "accept" {
            let header = header.unwrap();
            assert_eq!(check_records(&header, &plain(&header, &batch).unwrap()), Ok(()), "{name}");
            continue;
        }
        if ["batch", "log"].contains(&vector["layer"].as_str().unwrap()) || name == "record_count_negative" {
            assert!(matches!(header, Err(Invalid::Malformed(_))), "{name}");
            continue;
        }
        // From here on only what is behind the header is wrong.
        let header = header.unwrap_or_else(|invalid| panic!("{name}: {invalid:?}"));
        let checked = plain(&header, &batch).and_then(|plain| check_records(&header, &plain));
        match checked {
            Err(Invalid::Malformed(_)) => {}
            Err(Invalid::Codec(codec)) => assert!(!codec.is_available(), "{name}"),
            Ok(()) => panic!("{name} is accepted"),
        }
    }
}

#[test]
fn a_torn_batch_is_told_from_a_bad_one_by_its_size() {
    let vectors = vectors();
    let torn =
        vectors["invalid_batches"].as_array().unwrap().iter().find(|vector| vector["expect"] == "end_of_log").unwrap();
    let torn = hex(&torn["hex"]);
    assert!(torn.len() < BatchHeader::decode(&torn).unwrap().batch_bytes as usize);
}

#[test]
fn markers_decode_and_encode() {
    for vector in vectors()["batches"].as_array().unwrap() {
        let stated = &vector["decoded"]["records"][0];
        let Some(control_type) = stated["control_type"].as_str() else { continue };
        let batch = hex(&vector["hex"]);
        let header = verify(&batch).unwrap();
        let marker = EndTransactionMarker::decode(&header, &batch[HEADER_BYTES..]).unwrap().unwrap();
        assert_eq!(marker.is_commit, control_type == "COMMIT");
        assert_eq!(i64::from(marker.coordinator_epoch), stated["coordinator_epoch"].as_i64().unwrap());
        assert_eq!(marker.encode_key()[..], hex(&stated["key_hex"]));
        assert_eq!(marker.encode_value()[..], hex(&stated["value_hex"]));
    }
}

#[test]
fn every_batch_of_the_sample_partition_is_valid() {
    let vectors = vectors();
    let files = vectors["partition"]["files"].as_object().unwrap();
    let (mut batches, mut records, mut next_offset) = (0, 0, 0);
    // The map is in the order of the names, and those in the order of the offsets.
    for (_, log) in files.iter().filter(|(name, _)| name.strip_suffix(".log").is_some()) {
        let log = hex(log);
        let mut rest = &log[..];
        while !rest.is_empty() {
            let header = verify(rest).unwrap();
            let (batch, behind) = rest.split_at(header.batch_bytes as usize);
            let plain = plain(&header, batch).unwrap();
            assert_eq!(check_records(&header, &plain), Ok(()));
            assert_eq!(encode(&header, &decode_all(&header, &plain)), batch);
            assert_eq!(header.base_offset(), next_offset);
            (batches, records, next_offset) = (batches + 1, records + header.record_count, header.next_offset());
            rest = behind;
        }
    }
    let stated = &vectors["partition"]["expect"];
    assert_eq!(stated["batches"], batches);
    assert_eq!(stated["records_including_control"], records);
    assert_eq!(stated["log_end_offset"], next_offset);
}

#[test]
fn checksums_are_castagnoli() {
    for vector in vectors()["crc32c"].as_array().unwrap() {
        let bytes = vector["ascii"].as_str().map_or_else(|| hex(&vector["hex"]), |ascii| ascii.as_bytes().to_vec());
        assert_eq!(format!("{:08x}", crc32c(&bytes)), vector["crc"].as_str().unwrap());
    }
}

#[test]
fn variable_length_integers_have_kafkas_bytes() {
    for vector in vectors()["zigzag_varints"].as_array().unwrap() {
        let bytes = hex(&vector["hex"]);
        let value: i64 = vector["value"].as_str().unwrap().parse().unwrap();
        let mut out = [0; varint::VARLONG_BYTES_MAX];
        let size = varint::encode_signed(value, &mut out);
        assert_eq!(out[..size], bytes);
        assert_eq!(varint::signed_len(value), size);
        assert_eq!(varint::decode_i64(&bytes), Ok((value, size)));
        if vector["width"] == "varint32" {
            assert_eq!(varint::decode_i32(&bytes), Ok((i32::try_from(value).unwrap(), size)));
        }
    }
}
