//! Integers of variable length: seven bits per byte, lowest first, the high bit set on every byte but the last.
//!
//! Signed ones are zig-zag coded first, so that small negative numbers stay short: 0, −1, 1, −2 become 0, 1, 2, 3. Written is
//! always the shortest form; read is any form of at most 5 bytes (32 bits) or 10 bytes (64 bits), as Kafka does: bits that
//! do not fit in the last byte are dropped.

use super::Invalid;

/// The largest size of a 32-bit integer in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 5;
/// The largest size of a 64-bit integer in bytes.
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

const UNFINISHED: Invalid = Invalid::Malformed("a variable-length integer does not end");

/// The zig-zag code of `value`. A 32-bit value has the same bytes whether it is written as 32 or 64 bits.
#[inline]
fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The value of a zig-zag code.
#[inline]
fn unzigzag(code: u64) -> i64 {
    (code >> 1).cast_signed() ^ -(code & 1).cast_signed()
}

/// The size of `value` in bytes, 1 to 10.
#[inline]
pub(crate) fn unsigned_len(value: u64) -> usize {
    // 7 bits per byte, rounded up; zero takes a byte too. The multiplication is exact division by 7 for up to 64 bits.
    let bits = (u64::BITS - (value | 1).leading_zeros()) as usize;
    (bits * 37 + 6 * 37) >> 8
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
#[inline]
#[allow(
    clippy::indexing_slicing,
    reason = "a buffer that is too short is a mistake in this crate, not on the disk"
)]
#[allow(clippy::cast_possible_truncation, reason = "the lowest seven bits are what is wanted")]
pub(crate) fn encode_unsigned(value: u64, out: &mut [u8]) -> usize {
    let mut rest = value;
    let mut at = 0;
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
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
    #[allow(
        clippy::cast_possible_truncation,
        reason = "as Kafka does, bits above the 32nd are dropped"
    )]
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

/// One byte is by far the most frequent case, and the scan of a log consists of little else.
#[inline]
fn decode<const BYTES_MAX: usize>(bytes: &[u8]) -> Result<(u64, usize), Invalid> {
    match bytes.first() {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), 1)),
        _ => decode_long::<BYTES_MAX>(bytes),
    }
}

fn decode_long<const BYTES_MAX: usize>(bytes: &[u8]) -> Result<(u64, usize), Invalid> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok((value, at + 1));
        }
    }
    Err(UNFINISHED)
}
