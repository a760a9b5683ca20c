//! The headers of a record, read where they lie.

use std::fmt;

use super::Invalid;
use super::header::Header;
use super::reader::Reader;

/// The headers of a record, in the order in which the producer gave them. Names may repeat.
///
/// A view into the batch; costs nothing until it is iterated.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// let partition = broker.topic("orders")?.partition(0)?;
/// partition.append(&ProducerRecord::new().header("trace", "af76").header("attempt", "1").header("attempt", "2"))?;
/// let records = partition.read(0, 1024)?;
/// let headers = records.iter().next().unwrap().headers();
/// assert_eq!(headers.len(), 3);
/// assert_eq!(headers.get("attempt").unwrap().value_str()?, "2");
/// for header in headers {
///     println!("{}: {}", header.key(), header.value_str()?);
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    /// The headers' bytes behind their count, checked when this was made.
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub(super) const NONE: Headers<'static> = Headers { bytes: &[], count: 0 };

    /// Checks what is left of a record to be headers and nothing else.
    #[inline]
    pub(super) fn check(rest: Reader<'a>) -> Result<Headers<'a>, Invalid> {
        if rest.rest() == [0] { Ok(Headers::NONE) } else { Headers::check_some(rest) }
    }

    #[inline(never)]
    fn check_some(mut reader: Reader<'a>) -> Result<Headers<'a>, Invalid> {
        let count = usize::try_from(reader.varint()?).map_err(|_| Invalid::Malformed("a negative count of headers"))?;
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
    let key = str::from_utf8(key).map_err(|_| Invalid::Malformed("the key of a header is not UTF-8"))?;
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

/// Iterates over [`Headers`]; made by [`Headers::iter`].
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
