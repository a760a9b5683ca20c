//! CRC-32C (Castagnoli), the checksum of record batches. The only file that names the crate that computes it.

/// The checksum of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The checksum of what `crc` covers followed by `bytes`; 0 covers nothing.
#[inline]
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// The checksum of two pieces put together, from the checksum of each and the second one's size in bytes.
pub(crate) fn crc32c_combine(first: u32, second: u32, second_bytes: usize) -> u32 {
    ::crc32c::crc32c_combine(first, second, second_bytes)
}
