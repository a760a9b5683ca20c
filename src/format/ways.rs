//! The careful way to read records beside the quick one: whatever the bytes are, both have the same answers. For tests alone.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

use super::record::{Record, RecordDeltas, end_of_any, skip, skip_any, step_over};
#[cfg(feature = "testing")]
use super::{BatchHeader, batch, check_records, varint};
use super::{Header, Invalid};

/// Everything about a record.
#[derive(Debug, PartialEq)]
struct Seen<'a> {
    attributes: i8,
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header<'a>>,
}

impl<'a> Seen<'a> {
    fn of(record: Record<'a>) -> Seen<'a> {
        let Record { attributes, timestamp_delta, offset_delta, key, value, headers } = record;
        Seen { attributes, timestamp_delta, offset_delta, key, value, headers: headers.iter().collect() }
    }
}

/// Compares all that is done with one record at the start of `bytes`, and with all records there.
pub(super) fn compare(bytes: &[u8]) {
    assert_eq!(seen(Record::decode(bytes)), seen(Record::decode_any(bytes)));
    assert_eq!(Record::check(bytes), check_carefully(bytes));
    assert_eq!(skip(bytes), skip_any(bytes));
    for (count_max, bytes_max) in [(1, usize::MAX), (usize::MAX, usize::MAX), (usize::MAX, bytes.len() / 2), (2, 13)] {
        let carefully = step_over_carefully(bytes, count_max, bytes_max);
        assert_eq!(step_over(bytes, count_max, bytes_max), carefully, "{count_max} records, {bytes_max} bytes");
    }
}

fn seen(decoded: Result<(Record<'_>, usize), Invalid>) -> Result<(Seen<'_>, usize), Invalid> {
    decoded.map(|(record, size)| (Seen::of(record), size))
}

/// Compares what is said of the records of a batch.
#[cfg(feature = "testing")]
pub(super) fn compare_checks(header: &BatchHeader, records: &[u8]) {
    assert_eq!(check_records(header, records), batch::check_records_by(check_carefully, header, records));
}

fn check_carefully(bytes: &[u8]) -> Result<(RecordDeltas, usize), Invalid> {
    let (Record { timestamp_delta, offset_delta, .. }, size) = Record::decode_any(bytes)?;
    Ok((RecordDeltas { timestamp_delta, offset_delta }, size))
}

fn step_over_carefully(bytes: &[u8], count_max: usize, bytes_max: usize) -> Result<(usize, usize), Invalid> {
    let (mut count, mut at) = (0, 0);
    while count < count_max && at < bytes.len() {
        let Some(end) = end_of_any(bytes, at, bytes_max)? else { break };
        at = end;
        count += 1;
    }
    Ok((count, at))
}

/// Up to three records with integers of all sizes, also in longer forms than needed, lengths around those where a form ends, and
/// now and then a record length that is wrong. The bytes of `choices` decide; where they end, zeros do.
#[cfg(feature = "testing")]
pub(super) fn unusual_records(choices: &[u8]) -> Vec<u8> {
    let mut choices = Choices(choices);
    let mut records = Vec::new();
    for _ in 0..=choices.below(3) {
        let body = choices.record_body();
        let is_wrong = choices.below(8) == 0;
        let length = i64::try_from(body.len()).unwrap() + if is_wrong { choices.below(5) - 2 } else { 0 };
        let is_negative = is_wrong && choices.below(4) == 0;
        choices.put(if is_negative { -length } else { length }, &mut records);
        records.extend_from_slice(&body);
    }
    let cut = usize::try_from(choices.below(16)).unwrap();
    records.truncate(records.len() - if cut < 8 { cut } else { 0 });
    records
}

#[cfg(feature = "testing")]
struct Choices<'a>(&'a [u8]);

#[cfg(feature = "testing")]
impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (&byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        byte
    }

    fn below(&mut self, end: u8) -> i64 {
        i64::from(self.byte() % end)
    }

    fn record_body(&mut self) -> Vec<u8> {
        let mut body = vec![self.byte()];
        let (timestamp_delta, offset_delta) = (self.integer(), self.integer());
        self.put(timestamp_delta, &mut body);
        self.put(offset_delta, &mut body);
        self.put_bytes(&mut body);
        self.put_bytes(&mut body);
        let headers = self.below(16) - 12;
        self.put(headers.max(0), &mut body);
        for _ in 0..headers {
            self.put_bytes(&mut body);
            self.put_bytes(&mut body);
        }
        body
    }

    /// Of any size, the small ones more often.
    fn integer(&mut self) -> i64 {
        let bits = u32::from(self.byte() % 66);
        let value = i64::from_be_bytes(std::array::from_fn(|_| self.byte()));
        value >> (63 - if bits < 64 { bits / (1 + u32::from(self.byte() % 4)) } else { 7 * (bits - 63) })
    }

    fn put_bytes(&mut self, out: &mut Vec<u8>) {
        const LENGTHS: [i64; 15] = [-2, -1, -1, 0, 0, 1, 2, 5, 8, 20, 62, 63, 64, 65, 100];
        // The large ones not so often: they all have the same form.
        let length = match self.byte() {
            255 => 8192,
            254 => 8191,
            choice => LENGTHS[usize::from(choice) % LENGTHS.len()],
        };
        self.put(length, out);
        out.resize(out.len() + usize::try_from(length).unwrap_or(0), self.byte());
    }

    /// Mostly in the shortest form.
    fn put(&mut self, value: i64, out: &mut Vec<u8>) {
        let longer = usize::try_from(self.below(32) - 26).unwrap_or(0);
        let mut bytes = [0; 2 * varint::VARLONG_BYTES_MAX];
        let size = varint::encode_signed(value, &mut bytes);
        let last = size - 1 + longer;
        bytes.iter_mut().take(last).skip(size - 1).for_each(|byte| *byte |= 0x80);
        out.extend_from_slice(&bytes[..=last]);
    }
}
