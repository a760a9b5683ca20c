//! Kafka's record batches, read without any of the crate's own code but the checksum: the second opinion.
//!
//! Panics on whatever is not exactly as Kafka's writers leave it: this reads files that must be right.

const DELETE_HORIZON: i16 = 1 << 6;

/// A batch as it stands in a log file.
pub(crate) struct Batch {
    /// The byte in the file where it begins.
    pub(crate) position: usize,
    pub(crate) bytes: usize,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) codec: i16,
    /// From when on compaction may remove its tombstones, if it has set that.
    pub(crate) delete_horizon: Option<i64>,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) records: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Reads a whole log file, as writers leave it.
pub(crate) fn batches(log: &[u8]) -> Vec<Batch> {
    let batches = compacted_batches(log);
    for batch in &batches {
        assert_eq!(batch.delete_horizon, None);
        let offsets = batch.records.iter().map(|record| record.offset);
        assert!(offsets.eq(batch.base_offset..=batch.last_offset), "offset deltas count up");
        assert_eq!(batch.records[0].timestamp, batch.base_timestamp, "the base is the first record's");
    }
    batches
}

/// Reads a whole log file, as compaction may leave it.
pub(crate) fn compacted_batches(log: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut position = 0;
    while position < log.len() {
        let batch = batch(log, position);
        position += batch.bytes;
        batches.push(batch);
    }
    batches
}

fn batch(log: &[u8], position: usize) -> Batch {
    let mut reader = Reader(&log[position..]);
    let base_offset = reader.i64();
    let length = reader.i32();
    let bytes = usize::try_from(length).unwrap() + 12;
    let whole = &log[position..position + bytes];
    let leader_epoch = reader.i32();
    assert!(leader_epoch >= 0);
    assert_eq!(reader.take(1), [2], "magic");
    assert_eq!(reader.i32().cast_unsigned(), crc32c::crc32c(&whole[21..]), "checksum at {position}");
    let attributes = reader.i16();
    assert_eq!(attributes & !(7 | DELETE_HORIZON), 0, "nothing but a codec and a delete horizon");
    let last_offset_delta = reader.i32();
    let base_timestamp = reader.i64();
    let max_timestamp = reader.i64();
    assert_eq!((reader.i64(), reader.i16(), reader.i32()), (-1, -1, -1), "no producer");
    let record_count = reader.i32();
    assert!(record_count <= last_offset_delta + 1);
    let codec = attributes & 7;
    let plain = match codec {
        0 => whole[61..].to_vec(),
        2 => snappy_stream(&whole[61..]),
        other => panic!("codec {other}"),
    };
    let mut reader = Reader(&plain);
    let records: Vec<_> = (0..record_count).map(|_| reader.record(base_offset, base_timestamp)).collect();
    assert!(reader.0.is_empty(), "bytes behind the last record");
    let last_offset = base_offset + i64::from(last_offset_delta);
    let offsets = || records.iter().map(|record| record.offset);
    assert!(
        offsets().is_sorted_by(|a, b| a < b) && offsets().all(|offset| (base_offset..=last_offset).contains(&offset))
    );
    let delete_horizon = (attributes & DELETE_HORIZON != 0).then_some(base_timestamp);
    match records.first() {
        Some(first) => {
            assert!(delete_horizon.is_some() || first.timestamp == base_timestamp);
            assert_eq!(records.iter().map(|record| record.timestamp).max(), Some(max_timestamp));
        }
        None => assert_eq!((bytes, base_timestamp, attributes), (61, -1, 0), "an emptied batch"),
    }
    let codec = attributes & 7;
    Batch {
        position,
        bytes,
        base_offset,
        last_offset,
        leader_epoch,
        codec,
        delete_horizon,
        base_timestamp,
        max_timestamp,
        records,
    }
}

/// The stream of snappy-java, which is what Kafka means by snappy.
fn snappy_stream(compressed: &[u8]) -> Vec<u8> {
    let mut reader = Reader(compressed);
    assert_eq!(reader.take(8), b"\x82SNAPPY\0");
    assert_eq!((reader.i32(), reader.i32()), (1, 1));
    let mut plain = Vec::new();
    while !reader.0.is_empty() {
        let length = usize::try_from(reader.i32()).unwrap();
        plain.extend(snap::raw::Decoder::new().decompress_vec(reader.take(length)).unwrap());
    }
    plain
}

/// Reads big-endian fields and takes them off.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    pub(crate) fn string(&mut self) -> String {
        let length = usize::try_from(self.i16()).unwrap();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn varint(&mut self) -> i64 {
        let mut zigzag = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.take(1)[0];
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
    }

    fn nullable(&mut self) -> Option<Vec<u8>> {
        match self.varint() {
            -1 => None,
            length => Some(self.take(usize::try_from(length).unwrap()).to_vec()),
        }
    }

    fn record(&mut self, base_offset: i64, base_timestamp: i64) -> Record {
        let length = usize::try_from(self.varint()).unwrap();
        let mut reader = Reader(self.take(length));
        assert_eq!(reader.take(1), [0], "attributes of a record");
        let timestamp = base_timestamp.wrapping_add(reader.varint());
        let offset = base_offset + reader.varint();
        let (key, value) = (reader.nullable(), reader.nullable());
        let header_count = reader.varint();
        let headers = (0..header_count)
            .map(|_| (String::from_utf8(reader.nullable().unwrap()).unwrap(), reader.nullable()))
            .collect();
        assert!(reader.0.is_empty(), "bytes behind the last field");
        Record { offset, timestamp, key, value, headers }
    }
}
