//! Integers of variable length: seven bits per byte, lowest first, the high bit set on every byte but the last.
//!
//! Signed ones are zig-zag coded first, so that small negative numbers stay short: 0, −1, 1, −2 become 0, 1, 2, 3. Written is
//! always the shortest form; read is any form of at most 5 bytes (32 bits) or 10 bytes (64 bits), as Kafka does: bits that
//! do not fit in the last byte are dropped.

use super::invalid::Invalid;

/// The largest size of a 32-bit integer in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 5;
/// The largest size of a 64-bit integer in bytes.
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

/// Set on a byte that is followed by another.
const MORE: u8 = 0x80;

const UNFINISHED: Invalid = Invalid::Malformed("a variable-length integer does not end");

/// The zig-zag code of `value`. A 32-bit value has the same bytes whether it is written as 32 or 64 bits.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The value of a zig-zag code.
#[inline]
pub(crate) fn unzigzag(code: u64) -> i64 {
    (code >> 1).cast_signed() ^ -(code & 1).cast_signed()
}

/// The size of `value` in bytes, 1 to 10.
#[inline]
pub(crate) fn unsigned_len(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => unsigned_len_long(value),
    }
}

#[cold]
fn unsigned_len_long(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).div_ceil(7) as usize
}

/// The size of a signed `value` in bytes, 1 to 5 for those of 32 bits, else up to 10.
#[inline]
pub(crate) fn signed_len(value: i64) -> usize {
    unsigned_len(zigzag(value))
}

/// Writes `value` to the start of `out` and returns its size in bytes.
///
/// # Panics
/// If `out` is shorter than [`unsigned_len`].
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call for each of five or more integers is a third of the time of a record")]
#[allow(clippy::indexing_slicing, reason = "a buffer that is too short is a mistake in this crate, not on the disk")]
pub(crate) fn encode_unsigned(value: u64, out: &mut [u8]) -> usize {
    // Nearly every length and delta takes one byte or two.
    match value {
        0..0x80 => {
            out[0] = group(value);
            1
        }
        0x80..0x4000 => {
            out[0] = group(value) | MORE;
            out[1] = group(value >> 7);
            2
        }
        _ => encode_long(value, out),
    }
}

#[cold]
#[allow(clippy::indexing_slicing, reason = "a buffer that is too short is a mistake in this crate, not on the disk")]
fn encode_long(value: u64, out: &mut [u8]) -> usize {
    let last = unsigned_len(value) - 1;
    for (at, byte) in out[..last].iter_mut().enumerate() {
        *byte = group(value >> (7 * at)) | MORE;
    }
    out[last] = group(value >> (7 * last));
    last + 1
}

/// The lowest seven bits.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "they fit")]
fn group(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// Writes a signed `value` of 32 or 64 bits to the start of `out` and returns its size in bytes.
///
/// # Panics
/// If `out` is shorter than [`signed_len`].
#[inline]
pub(crate) fn encode_signed(value: i64, out: &mut [u8]) -> usize {
    encode_unsigned(zigzag(value), out)
}

/// Reads an unsigned 32-bit integer from the start of `bytes`, as the flexible schemas have it, and returns it with its size.
#[inline]
pub(crate) fn decode_u32(bytes: &[u8]) -> Result<(u32, usize), Invalid> {
    let (value, size) = decode::<VARINT_BYTES_MAX>(bytes)?;
    #[allow(clippy::cast_possible_truncation, reason = "as Kafka does, bits above the 32nd are dropped")]
    Ok((value as u32, size))
}

/// Reads a signed 32-bit integer from the start of `bytes`, and returns it with its size.
#[inline]
pub(crate) fn decode_i32(bytes: &[u8]) -> Result<(i32, usize), Invalid> {
    let (code, size) = decode_u32(bytes)?;
    Ok(((code >> 1).cast_signed() ^ -(code & 1).cast_signed(), size))
}

/// Reads a signed 64-bit integer from the start of `bytes`, and returns it with its size.
#[inline]
pub(crate) fn decode_i64(bytes: &[u8]) -> Result<(i64, usize), Invalid> {
    let (code, size) = decode::<VARLONG_BYTES_MAX>(bytes)?;
    Ok((unzigzag(code), size))
}

/// The code of an integer of at most four bytes in the lowest bytes of `word`; what follows it in the word; and its size in bytes.
/// `None` if it is longer.
#[inline(always)]
#[allow(clippy::inline_always, reason = "in registers; the code is not computed if nobody asks for it")]
pub(crate) fn take_small(word: u64) -> Option<(u64, u64, usize)> {
    let code = word & 0x7f;
    if word & 0x80 == 0 {
        return Some((code, word >> 8, 1));
    }
    let code = code | word >> 1 & (0x7f << 7);
    if word & 0x8000 == 0 {
        return Some((code, word >> 16, 2));
    }
    let code = code | word >> 2 & (0x7f << 14);
    if word & 0x0080_0000 == 0 {
        return Some((code, word >> 24, 3));
    }
    let code = code | word >> 3 & (0x7f << 21);
    (word & 0x8000_0000 == 0).then_some((code, word >> 32, 4))
}

/// One byte is by far the most frequent case where a record is not decoded as a whole.
#[inline]
fn decode<const BYTES_MAX: usize>(bytes: &[u8]) -> Result<(u64, usize), Invalid> {
    match bytes.first() {
        Some(&byte) if byte < MORE => Ok((u64::from(byte), 1)),
        _ => decode_long::<BYTES_MAX>(bytes),
    }
}

fn decode_long<const BYTES_MAX: usize>(bytes: &[u8]) -> Result<(u64, usize), Invalid> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & !MORE) << (7 * at);
        if byte < MORE {
            return Ok((value, at + 1));
        }
    }
    Err(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_forms_than_needed_are_read() {
        assert_eq!(decode_i32(&[0x82, 0x80, 0x80, 0x80, 0x00]), Ok((1, 5)));
        assert_eq!(decode_i64(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Ok((1, 10)));
    }

    #[test]
    fn bits_that_do_not_fit_are_dropped() {
        assert_eq!(decode_u32(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Ok((u32::MAX, 5)));
        assert_eq!(decode_i64(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Ok((i64::MIN, 10)));
    }

    #[test]
    fn an_integer_that_does_not_end_in_time_is_refused() {
        assert_eq!(decode_i32(&[0x80; 5]), Err(UNFINISHED));
        assert_eq!(decode_i32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(UNFINISHED));
        assert_eq!(decode_i64(&[0x80; 10]), Err(UNFINISHED));
        assert_eq!(decode_u32(&[]), Err(UNFINISHED));
    }

    #[test]
    fn sizes_change_where_seven_bits_are_full() {
        for size in 1..=9 {
            let first_above = 1 << (7 * size);
            assert_eq!(unsigned_len(first_above - 1), size);
            assert_eq!(unsigned_len(first_above), size + 1);
        }
        assert_eq!((unsigned_len(0), unsigned_len(u64::MAX)), (1, 10));
    }
}
