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

use std::fmt;

use super::reader::Reader;
use super::{Invalid, varint};
use crate::record::Header;

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
    pub(crate) headers: &'a [Header<'a>],
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
        let mut writer = Writer { out, at: 0 };
        writer.varlong(signed(self.body_len()));
        writer.bytes(&[0]);
        writer.varlong(self.timestamp_delta);
        writer.varlong(i64::from(self.offset_delta));
        writer.nullable(self.key);
        writer.nullable(self.value);
        writer.varlong(signed(self.headers.len()));
        for header in self.headers {
            writer.nullable(Some(header.key().as_bytes()));
            writer.nullable(header.value());
        }
        writer.at
    }

    #[inline]
    fn body_len(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| bytes_len(Some(header.key().as_bytes())) + bytes_len(header.value()))
            .sum();
        size_of::<i8>()
            + varint::signed_len(self.timestamp_delta)
            + varint::signed_len(i64::from(self.offset_delta))
            + bytes_len(self.key)
            + bytes_len(self.value)
            + varint::signed_len(signed(self.headers.len()))
            + headers
    }
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

/// Writes fields one behind the other.
struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

#[allow(
    clippy::indexing_slicing,
    reason = "a buffer that is too short is a mistake in this crate, not on the disk"
)]
impl Writer<'_> {
    #[inline]
    fn varlong(&mut self, value: i64) {
        self.at += varint::encode_signed(value, &mut self.out[self.at..]);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.varlong(signed(bytes.len()));
                self.bytes(bytes);
            }
            None => self.varlong(-1),
        }
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

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`, and returns it with its size in bytes.
    ///
    /// # Errors
    /// If a length is negative where it must not be or runs past the record, if bytes are left over in the record, or if the
    /// key of a header is not UTF-8.
    #[inline]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<(Record<'a>, usize), Invalid> {
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

/// Steps over the record at the start of `bytes`: its offset delta and its size in bytes. Nothing behind the offset delta is
/// looked at.
#[inline]
pub(crate) fn skip(bytes: &[u8]) -> Result<(i32, usize), Invalid> {
    let (size, mut reader) = body(bytes)?;
    reader.i8()?;
    reader.varlong()?;
    Ok((reader.varint()?, size))
}

/// The size of the record at the start of `bytes`, and its bytes behind the length.
#[inline]
fn body(bytes: &[u8]) -> Result<(usize, Reader<'_>), Invalid> {
    let mut reader = Reader::new(bytes);
    let length = usize::try_from(reader.varint()?)
        .map_err(|_| Invalid::Malformed("a record has a negative length"))?;
    let prefix = bytes.len() - reader.rest().len();
    let body = reader
        .take(length)
        .map_err(|_| Invalid::Malformed("a record runs past the end of its batch"))?;
    Ok((prefix + length, Reader::new(body)))
}

/// The headers of a record, in the order in which the producer gave them. Names may repeat.
///
/// A view into the batch; costs nothing until it is iterated.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    /// The headers' bytes behind their count, checked when this was made.
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Headers<'a> {
    /// Checks what is left of a record to be headers and nothing else.
    #[inline]
    fn check(mut reader: Reader<'a>) -> Result<Headers<'a>, Invalid> {
        let count = usize::try_from(reader.varint()?)
            .map_err(|_| Invalid::Malformed("a negative count of headers"))?;
        let bytes = reader.rest();
        // Each step takes at least two bytes or fails, so a huge count ends with the bytes.
        for _ in 0..count {
            read_header(&mut reader)?;
        }
        if !reader.is_empty() {
            return Err(Invalid::Malformed("bytes are left over in a record"));
        }
        Ok(Headers { bytes, count })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last header of this name; for all of them, iterate.
    #[must_use]
    #[doc(alias = "lastHeader")]
    pub fn get(&self, key: &str) -> Option<Header<'a>> {
        self.iter().filter(|header| header.key() == key).last()
    }

    /// The headers in order.
    #[must_use]
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { reader: Reader::new(self.bytes), count: self.count }
    }
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, Invalid> {
    let key = reader.varint_bytes()?.ok_or(Invalid::Malformed("the key of a header is null"))?;
    let key =
        str::from_utf8(key).map_err(|_| Invalid::Malformed("the key of a header is not UTF-8"))?;
    let value = reader.varint_bytes()?;
    Ok(value.map_or(Header::null(key), |value| Header::new(key, value)))
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Headers`].
#[derive(Debug, Clone)]
pub struct HeadersIter<'a> {
    reader: Reader<'a>,
    count: usize,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        // Checked when the headers were made; a failure could only end the iteration early.
        read_header(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}
