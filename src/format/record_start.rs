//! [`RecordStart`]: what comes before the key of a record; and key and value behind it. The quick way to read records.
//!
//! It knows integers of the sizes that nearly all have: lengths of one byte or two (below 8 KiB), deltas of at most four. Whatever
//! is longer, and whatever is wrong, is `None` here and left to the careful way, [`Record::decode_any`](super::Record::decode_any),
//! which says what it is. So what is answered here has to be the careful way's answer, and nothing has to be answered.
//!
//! Where a field begins is known from the fields before it, but a CPU does not wait for that: it guesses the sizes of integers as
//! those of the record before, which they are as a rule. Hence branches here, and no arithmetic that does without them.

use super::varint;

/// The largest size of an integer that counts as short.
const SHORT_BYTES_MAX: usize = 2;
/// So many bytes are looked at without asking at each step whether they are there: those before the key, and its length. Smaller
/// records at the end of a batch take the careful way.
const HEAD_BYTES: usize = SHORT_BYTES_MAX + size_of::<i8>() + size_of::<u64>() + SHORT_BYTES_MAX;

/// The fields before the key of a record.
pub(super) struct RecordStart {
    /// The size of the record in bytes as its length says; not compared with the bytes that there are. Larger than any if the
    /// length is negative.
    pub(super) size: usize,
    pub(super) attributes: i8,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    /// Where the fields behind begin.
    pub(super) key_at: usize,
}

impl RecordStart {
    /// Reads it from the start of `bytes`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "so that only what the caller needs is computed")]
    #[allow(clippy::cast_possible_truncation, reason = "as Kafka does, bits above the 32nd are dropped")]
    pub(super) fn of(bytes: &[u8]) -> Option<RecordStart> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        let (length, attributes_at) = short_at(head, 0)?;
        let attributes = head.get(attributes_at)?.cast_signed();
        let deltas_at = attributes_at + size_of::<i8>();
        // The first byte lowest, as the groups of a variable-length integer lie.
        let word = head.get(deltas_at..)?.first_chunk().map(|&bytes| u64::from_be_bytes(bytes).swap_bytes())?;
        let (timestamp_code, word, timestamp_bytes) = varint::take_small(word)?;
        let (offset_code, _, offset_bytes) = varint::take_small(word)?;
        Some(RecordStart {
            size: attributes_at + unsigned(length),
            attributes,
            timestamp_delta: varint::unzigzag(timestamp_code),
            offset_delta: varint::unzigzag(offset_code) as i32,
            key_at: deltas_at + timestamp_bytes + offset_bytes,
        })
    }
}

/// Where the record at `at` ends as its length says; larger than any size if that is negative. `None` if the length is not short.
#[inline(always)]
#[allow(clippy::inline_always, reason = "in the loop over the records of a batch")]
pub(super) fn short_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (length, behind) = short_at(bytes, at)?;
    Some(behind.saturating_add(unsigned(length)))
}

/// Nullable bytes behind their length at `at`, and where they end. `None` if the length is not short, or if they are not all there.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call takes as long")]
pub(super) fn short_bytes(bytes: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let (code, start) = short_at(bytes, at)?;
    if code % 2 != 0 {
        return Some((None, start));
    }
    let end = start + code / 2;
    Some((Some(bytes.get(start..end)?), end))
}

/// The zig-zag code of a short length at `at`, and where it ends. Behind any length in a record there is another byte of it, so that
/// both bytes can be asked for at once.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a few instructions, four times a record")]
fn short_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let &[first, second] = bytes.get(at..at + SHORT_BYTES_MAX)?.first_chunk()?;
    if first < 0x80 {
        Some((usize::from(first), at + 1))
    } else if second < 0x80 {
        Some((usize::from(first & 0x7f) | usize::from(second) << 7, at + 2))
    } else {
        None
    }
}

/// The value of a length's code, and for that of a negative one a number that is larger than any size: its lowest bit becomes the
/// highest one. To look for that bit would cost two instructions more.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
fn unsigned(code: usize) -> usize {
    code.rotate_right(1)
}
