//! One record inside a batch.
//!
//! ```text
//! field             type       rules
//! length            varint     bytes after this field
//! attributes        i8         written as 0, not looked at
//! timestamp_delta   varlong    timestamp minus the batch's base timestamp; may be negative
//! offset_delta      varint     offset minus the batch's base offset; rises within a batch
//! key               varint n, n bytes    −1 is null; 0 is present and empty
//! value             varint n, n bytes    −1 is null: a tombstone; 0 is present and empty
//! headers           varint count, then for each:
//!                     key      varint n, n bytes of UTF-8; never null, may be empty, may repeat
//!                     value    varint n, n bytes           −1 is null
//! ```
//! The smallest record has 7 bytes.

use super::header_list::HeaderList;
use super::reader::Reader;
use super::record_start::{RecordStart, short_bytes, short_end};
use super::{Headers, Invalid, varint};

/// A record to encode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordFields<'a> {
    /// Milliseconds from the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    /// Offsets from the batch's base offset, not negative.
    pub(crate) offset_delta: i32,
    /// The key, if it has one.
    pub(crate) key: Option<&'a [u8]>,
    /// The value; none makes it a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// The headers, in the order given.
    pub(crate) headers: HeaderList<'a>,
}

impl RecordFields<'_> {
    /// The size of the encoded record in bytes, its length prefix included. It is the caller's duty to keep it below 2 GiB.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let body = self.body_len();
        varint::signed_len(signed(body)) + body
    }

    /// Writes the record to the start of `out` and returns its size in bytes.
    ///
    /// # Panics
    /// If `out` is shorter than [`encoded_len`](Self::encoded_len).
    #[inline]
    pub(crate) fn encode(&self, out: &mut [u8]) -> usize {
        self.encode_body(self.body_len(), out)
    }

    /// Both ways, the shorter one first, as whoever writes records takes them.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn try_encode(&self, out: &mut [u8]) -> Option<usize> {
        self.try_encode_short(out).or_else(|| self.try_encode_any(out))
    }

    /// Writes the record to the start of `out` and returns its size in bytes; `None` if it does not fit, or only just fits, or is
    /// not as nearly every record is. Cheaper than asking for the size first. What is in `out` behind the record may be anything
    /// after this.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "fields that were just put together stay in registers: 20 of 930 instructions"
    )]
    pub(crate) fn try_encode_short(&self, out: &mut [u8]) -> Option<usize> {
        ShortRecord::of(self)?.try_encode(out)
    }

    /// [`try_encode_short`](RecordFields::try_encode_short) for any record: `None` only if it does not fit.
    #[cold]
    #[inline(never)]
    pub(crate) fn try_encode_any(self, out: &mut [u8]) -> Option<usize> {
        let body = self.body_len();
        (body + varint::signed_len(signed(body)) <= out.len()).then(|| self.encode_body(body, out))
    }

    #[inline]
    fn encode_body(&self, body: usize, out: &mut [u8]) -> usize {
        let mut at = put_varlong(out, 0, signed(body));
        at = put(out, at, &[0]);
        at = put_varlong(out, at, self.timestamp_delta);
        at = put_varlong(out, at, i64::from(self.offset_delta));
        at = put_nullable(out, at, self.key);
        at = put_nullable(out, at, self.value);
        at = put_varlong(out, at, signed(self.headers.len()));
        for header in self.headers.iter() {
            at = put_nullable(out, at, Some(header.key().as_bytes()));
            at = put_nullable(out, at, header.value());
        }
        at
    }

    #[inline]
    fn body_len(&self) -> usize {
        let mut body = size_of::<i8>()
            + varint::signed_len(self.timestamp_delta)
            + varint::signed_len(i64::from(self.offset_delta))
            + bytes_len(self.key)
            + bytes_len(self.value)
            + varint::signed_len(signed(self.headers.len()));
        for header in self.headers.iter() {
            body += bytes_len(Some(header.key().as_bytes())) + bytes_len(header.value());
        }
        body
    }
}

/// The integers of a record that has no headers and of which none takes more than two bytes: nearly every record up to 8 KiB.
/// They are put together in registers, and each is looked at once, where to ask for the size first looks at it twice. Takes
/// a third less time than the general way: 20 ns in place of 30 for a record of 100 bytes.
struct ShortRecord<'a> {
    length: Joined,
    /// Attributes, timestamp delta, offset delta and the length of the key.
    head: Joined,
    key: &'a [u8],
    value_length: Joined,
    value: &'a [u8],
}

/// At most seven bytes in a row, the first one lowest.
#[derive(Clone, Copy)]
struct Joined {
    word: u64,
    bits: u32,
}

impl Joined {
    /// The bytes of a code below `0x4000`.
    #[inline]
    fn of(code: u64) -> Joined {
        if code < 0x80 {
            Joined { word: code, bits: 8 }
        } else {
            Joined { word: code & 0x7f | 0x80 | code >> 7 << 8, bits: 16 }
        }
    }

    #[inline]
    fn then(self, next: Joined) -> Joined {
        Joined { word: self.word | next.word << self.bits, bits: self.bits + next.bits }
    }

    #[inline]
    fn bytes(self) -> usize {
        (self.bits / 8) as usize
    }

    /// Writes the bytes at `at`, and zeros behind them in the eight from there on; returns where they end.
    #[inline]
    #[allow(clippy::little_endian_bytes, reason = "the first byte stands lowest here")]
    fn put(self, out: &mut [u8], at: usize) -> Option<usize> {
        let place = out.get_mut(at..)?.first_chunk_mut::<8>()?;
        *place = self.word.to_le_bytes();
        Some(at + self.bytes())
    }
}

impl<'a> ShortRecord<'a> {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as `RecordFields::try_encode_short`")]
    fn of(fields: &RecordFields<'a>) -> Option<ShortRecord<'a>> {
        let timestamp_delta = varint::zigzag(fields.timestamp_delta);
        let offset_delta = varint::zigzag(i64::from(fields.offset_delta));
        let (key_code, key) = coded(fields.key);
        let (value_code, value) = coded(fields.value);
        let all = timestamp_delta | offset_delta | key_code | value_code;
        if !fields.headers.is_empty() || 0x4000 <= all {
            return None;
        }
        let head = Joined { word: 0, bits: 8 };
        let head = head.then(Joined::of(timestamp_delta)).then(Joined::of(offset_delta)).then(Joined::of(key_code));
        let value_length = Joined::of(value_code);
        // Not negative, so this is its code.
        let length = 2 * (head.bytes() + key.len() + value_length.bytes() + value.len() + 1) as u64;
        (length < 0x4000).then(|| ShortRecord { length: Joined::of(length), head, key, value_length, value })
    }

    /// As [`RecordFields::try_encode_any`], but `None` also where it only just fits: integers are written eight bytes at a time.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    fn try_encode(&self, out: &mut [u8]) -> Option<usize> {
        let at = self.length.put(out, 0)?;
        let at = self.head.put(out, at)?;
        let at = try_put(out, at, self.key)?;
        let at = self.value_length.put(out, at)?;
        let at = try_put(out, at, self.value)?;
        *out.get_mut(at)? = 0;
        Some(at + 1)
    }
}

/// The code of the length of nullable bytes, and the bytes.
#[inline]
fn coded(bytes: Option<&[u8]>) -> (u64, &[u8]) {
    match bytes {
        // A length is not negative, so this is its code.
        Some(bytes) => (2 * bytes.len() as u64, bytes),
        None => (1, &[]),
    }
}

/// Writes `bytes` at `at`, and returns where they end if there is room. Keys are often numbers of eight bytes, and to call for
/// the copying of those takes longer than to copy them.
#[inline]
fn try_put(out: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at + bytes.len();
    let place = out.get_mut(at..end)?;
    match (place.split_first_chunk_mut::<8>(), bytes.split_first_chunk::<8>()) {
        (Some((place, [])), Some((bytes, []))) => *place = *bytes,
        _ => out.get_mut(at..end)?.copy_from_slice(bytes),
    }
    Some(end)
}

/// A length as it is written.
#[inline]
#[allow(clippy::cast_possible_wrap, reason = "no slice is that long")]
fn signed(length: usize) -> i64 {
    length as i64
}

/// The size of nullable bytes behind their length.
#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::signed_len(signed(bytes.len())) + bytes.len())
}

/// Writes `bytes` at `at`, and returns where they end. The position goes through registers; in a cursor behind a reference it
/// would go through memory, which makes encoding twice as slow.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a buffer that is too short is a mistake in this crate, not on the disk")]
fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

/// Writes an integer at `at`, and returns where it ends.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a buffer that is too short is a mistake in this crate, not on the disk")]
fn put_varlong(out: &mut [u8], at: usize, value: i64) -> usize {
    at + varint::encode_signed(value, &mut out[at..])
}

/// Writes nullable bytes behind their length at `at`, and returns where they end.
#[inline]
fn put_nullable(out: &mut [u8], at: usize, bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => {
            let at = put_varlong(out, at, signed(bytes.len()));
            put(out, at, bytes)
        }
        None => put_varlong(out, at, -1),
    }
}

/// A record as it lies in a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Not used by the format so far; whatever the writer put there.
    pub(crate) attributes: i8,
    /// Milliseconds from the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    /// Offsets from the batch's base offset.
    pub(crate) offset_delta: i32,
    /// The key, if it has one.
    pub(crate) key: Option<&'a [u8]>,
    /// The value; none makes it a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// The headers, which have been checked.
    pub(crate) headers: Headers<'a>,
}

/// What a record counts from its batch's base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordDeltas {
    /// Milliseconds from the batch's base timestamp.
    pub(super) timestamp_delta: i64,
    /// Offsets from the batch's base offset.
    pub(super) offset_delta: i32,
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`, and returns it with its size in bytes.
    ///
    /// # Errors
    /// If a length is negative where it must not be or runs past the record, if bytes are left over in the record, or if the
    /// key of a header is not UTF-8.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "in the loop of the application: fields that it does not use cost nothing")]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<(Record<'a>, usize), Invalid> {
        if let Some(decoded) = Record::decode_short(bytes) {
            return Ok(decoded);
        }
        // Field by field: a record that is handed on as it was returned would have to lie in memory on the quick way, too (119
        // instructions where all fields are used, 107 like this).
        let (record, size) = Record::decode_any(bytes)?;
        let Record { attributes, timestamp_delta, offset_delta, key, value, headers } = record;
        Ok((Record { attributes, timestamp_delta, offset_delta, key, value, headers }, size))
    }

    /// [`decode`](Record::decode) for who only wants to know that the record is right: its deltas and its size. Apart, since to keep
    /// the other fields until the end takes a fifth of the time.
    ///
    /// # Errors
    /// As [`decode`](Record::decode).
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "in the loop over the records of a batch")]
    pub(super) fn check(bytes: &[u8]) -> Result<(RecordDeltas, usize), Invalid> {
        let checked = |(record, size): (Record<'_>, usize)| {
            let Record { timestamp_delta, offset_delta, .. } = record;
            (RecordDeltas { timestamp_delta, offset_delta }, size)
        };
        match Record::decode_short(bytes).map(checked) {
            Some(checked) => Ok(checked),
            None => Record::decode_any(bytes).map(checked),
        }
    }

    /// Reads nearly all records, those whose integers are short, out of registers. `None` for any other, and where something is
    /// wrong. See `record_start.rs`.
    ///
    /// Measured for a record of 100 bytes, against arithmetic in place of branches: 77 instructions in place of 105 if the value alone
    /// is used (4.0 ns, 5.2), 107 in place of 187 if everything is (4.9 ns, 9.3), 99 in place of 186 to check a batch (5.3 ns, 9.7).
    /// Sizes and times at random do not change that.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    fn decode_short(bytes: &'a [u8]) -> Option<(Record<'a>, usize)> {
        let RecordStart { size, attributes, timestamp_delta, offset_delta, key_at } = RecordStart::of(bytes)?;
        let (key, value_at) = short_bytes(bytes, key_at)?;
        let (value, headers_at) = short_bytes(bytes, value_at)?;
        // Key and value lie within the record if the headers do.
        let headers = if headers_at + 1 == size && bytes.get(headers_at) == Some(&0) {
            Headers::NONE
        } else {
            Headers::check(Reader::new(bytes.get(headers_at..size)?)).ok()?
        };
        Some((Record { attributes, timestamp_delta, offset_delta, key, value, headers }, size))
    }

    /// Reads any record, and says what is wrong with one that is not valid.
    #[cold]
    #[inline(never)]
    pub(super) fn decode_any(bytes: &'a [u8]) -> Result<(Record<'a>, usize), Invalid> {
        let (size, mut reader) = body(bytes)?;
        let record = Record {
            attributes: reader.i8()?,
            timestamp_delta: reader.varlong()?,
            offset_delta: reader.varint()?,
            key: reader.varint_bytes()?,
            value: reader.varint_bytes()?,
            headers: Headers::check(reader)?,
        };
        Ok((record, size))
    }
}

/// Steps over records at the start of `bytes`: at most `count_max`, that take at most `bytes_max` bytes together. Returns how
/// many they are and their bytes. Nothing but their lengths is looked at.
///
/// # Errors
/// If a length is malformed, or a record runs past the end of `bytes`.
pub(crate) fn step_over(bytes: &[u8], count_max: usize, bytes_max: usize) -> Result<(usize, usize), Invalid> {
    let room = bytes.len().min(bytes_max);
    let (mut count, mut at) = (0, 0);
    while count < count_max && at < bytes.len() {
        at = match short_end(bytes, at) {
            Some(end) if end <= room => end,
            _ => match end_of_any(bytes, at, bytes_max)? {
                Some(end) => end,
                None => break,
            },
        };
        count += 1;
    }
    Ok((count, at))
}

/// Where the record at `at` ends; `None` if that is behind `bytes_max`.
#[cold]
#[inline(never)]
pub(super) fn end_of_any(bytes: &[u8], at: usize, bytes_max: usize) -> Result<Option<usize>, Invalid> {
    let (size, _) = body(bytes.get(at..).unwrap_or_default())?;
    Ok(Some(at + size).filter(|&end| end <= bytes_max))
}

/// Steps over the record at the start of `bytes`: its offset delta and its size in bytes. Nothing behind the offset delta is
/// looked at.
///
/// # Errors
/// If a field up to there is malformed, or the record runs past the end of `bytes`.
#[inline]
pub(crate) fn skip(bytes: &[u8]) -> Result<(i32, usize), Invalid> {
    match RecordStart::of(bytes) {
        Some(start) if start.key_at <= start.size && start.size <= bytes.len() => Ok((start.offset_delta, start.size)),
        _ => skip_any(bytes),
    }
}

/// [`skip`] for any record.
#[cold]
#[inline(never)]
pub(super) fn skip_any(bytes: &[u8]) -> Result<(i32, usize), Invalid> {
    let (size, mut reader) = body(bytes)?;
    reader.i8()?;
    reader.varlong()?;
    Ok((reader.varint()?, size))
}

/// The size of the record at the start of `bytes`, and its bytes behind the length.
#[cold]
fn body(bytes: &[u8]) -> Result<(usize, Reader<'_>), Invalid> {
    let mut reader = Reader::new(bytes);
    let length = usize::try_from(reader.varint()?).map_err(|_| Invalid::Malformed("a record has a negative length"))?;
    let prefix = bytes.len() - reader.rest().len();
    let body = reader.take(length).map_err(|_| Invalid::Malformed("a record runs past the end of its batch"))?;
    Ok((prefix + length, Reader::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Header;

    fn encode(headers: &[Header<'_>]) -> Vec<u8> {
        let fields =
            RecordFields { timestamp_delta: 0, offset_delta: 0, key: None, value: None, headers: headers.into() };
        let mut bytes = vec![0; fields.encoded_len()];
        fields.encode(&mut bytes);
        bytes
    }

    fn reason(bytes: &[u8]) -> &'static str {
        match Record::decode(bytes) {
            Err(Invalid::Malformed(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_smallest_record_has_seven_bytes() {
        assert_eq!(encode(&[]), [0x0c, 0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn records_are_encoded_alike_with_and_without_much_room() {
        let bytes = vec![7; 1 << 16];
        let lengths = [0, 1, 7, 8, 9, 63, 64, 65, 8000, 8100, 8181, 8182, 8183, 8191, 8192, 8193, 1 << 16];
        let options = || lengths.iter().map(|&length| bytes.get(..length)).chain([None]);
        let deltas = [(0, 0), (-1, 63), (64, 64), (8191, 8191), (-8192, 8192), (8192, 0), (1 << 40, i32::MAX)];
        for (key, value) in options().flat_map(|key| options().map(move |value| (key, value))) {
            for (timestamp_delta, offset_delta) in deltas {
                let fields = RecordFields { timestamp_delta, offset_delta, key, value, headers: (&[]).into() };
                let mut expected = vec![0; fields.encoded_len()];
                fields.encode(&mut expected);
                for room in [0, 1, 7, 8, 100] {
                    let mut encoded = vec![0xff; expected.len() + room];
                    assert_eq!(fields.try_encode(&mut encoded), Some(expected.len()));
                    assert!(encoded[..expected.len()] == expected, "{room} bytes of room, {fields:?}");
                }
                assert_eq!(fields.try_encode(&mut vec![0; expected.len() - 1]), None);
            }
        }
    }

    #[test]
    fn the_last_header_of_a_name_is_found() {
        let bytes = encode(&[Header::new("a", "1"), Header::new("b", "2"), Header::null("a"), Header::new("", "4")]);
        let headers = Record::decode(&bytes).unwrap().0.headers;
        assert_eq!(headers.get("a"), Some(Header::null("a")));
        assert_eq!(headers.get("").unwrap().value(), Some(&b"4"[..]));
        assert_eq!(headers.get("c"), None);
        assert_eq!((headers.len(), headers.iter().len(), headers.is_empty()), (4, 4, false));
    }

    #[test]
    fn any_negative_length_is_null() {
        // As -1, but written as -2 and -3.
        let (record, _) = Record::decode(&[0x0c, 0, 0, 0, 3, 5, 0]).unwrap();
        assert_eq!((record.key, record.value), (None, None));
    }

    #[test]
    fn attributes_are_not_looked_at() {
        assert_eq!(Record::decode(&[0x0c, 0xff, 0, 0, 1, 1, 0]).unwrap().0.attributes, -1);
    }

    #[test]
    fn a_record_that_contradicts_itself_is_refused() {
        assert_eq!(reason(&[0x01, 0, 0, 0, 1, 1, 0]), "a record has a negative length");
        assert_eq!(reason(&[0x0e, 0, 0, 0, 1, 1, 0]), "a record runs past the end of its batch");
        assert_eq!(reason(&[0x0e, 0, 0, 0, 1, 1, 0, 0]), "bytes are left over in a record");
        assert_eq!(reason(&[0x0c, 0, 0, 0, 1, 1, 1]), "a negative count of headers");
        assert_eq!(reason(&[0x10, 0, 0, 0, 1, 1, 2, 1, 0]), "the key of a header is null");
        assert_eq!(reason(&[0x12, 0, 0, 0, 1, 1, 2, 2, 0xff, 1]), "the key of a header is not UTF-8");
    }

    #[test]
    fn a_record_that_ends_before_its_key_is_refused_whatever_lies_behind_it() {
        let bytes = [0x04, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(Record::decode(&bytes).is_err());
        assert!(skip(&bytes).is_err());
    }

    #[test]
    fn a_huge_count_of_headers_ends_with_the_bytes() {
        let record = [0x16, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(Record::decode(&record), Err(Invalid::Malformed(_))));
    }
}
