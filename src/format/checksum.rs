//! CRC-32C (Castagnoli), the checksum of record batches. The only file that names the crate that computes it.

use super::crc32c_words::{SHORT_BYTES_MAX, append_short};

/// The checksum of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The checksum of what `crc` covers followed by `bytes`; 0 covers nothing.
#[inline]
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    let short = if bytes.len() <= SHORT_BYTES_MAX { append_short(crc, bytes) } else { None };
    short.unwrap_or_else(|| ::crc32c::crc32c_append(crc, bytes))
}

/// The checksum of two pieces put together, from the checksum of each and the second one's size in bytes.
///
/// Takes less than a microsecond for any size. The crate has this too, but squares a matrix for every bit of the size, which
/// takes longer than reading 64 KiB again.
pub(crate) fn crc32c_combine(first: u32, second: u32, second_bytes: usize) -> u32 {
    // Bytes behind a piece multiply its checksum by x⁸ each, modulo the polynomial. The second piece's checksum has been
    // started and ended by the same inversions, which cancel out.
    let mut shifted = first;
    let mut bytes = second_bytes;
    for power in POWERS {
        if bytes & 1 != 0 {
            shifted = multiply(power, shifted);
        }
        bytes >>= 1;
        if bytes == 0 {
            break;
        }
    }
    shifted ^ second
}

/// The polynomial without its highest term; bit 31 stands for x⁰, as in everything here.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x to the 8th, 16th, 32nd …: what 2ⁿ bytes multiply by.
const POWERS: [u32; usize::BITS as usize] = {
    let mut powers = [0; usize::BITS as usize];
    let mut power = 1 << (31 - 8);
    let mut rest: &mut [u32] = &mut powers;
    while let Some((place, behind)) = rest.split_first_mut() {
        *place = power;
        power = multiply(power, power);
        rest = behind;
    }
    powers
};

/// The product of two polynomials of bits, modulo [`POLYNOMIAL`].
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut a, mut b, mut product) = (a, b, 0);
    // No branch on the bits: they are random, and a wrong guess costs more than the whole step.
    while a != 0 {
        product ^= b & (a >> 31).wrapping_neg();
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_pieces_combine_to_the_whole(bytes: Vec<u8>, cut: prop::sample::Index) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let combined = crc32c_combine(crc32c(first), crc32c(second), second.len());
            prop_assert_eq!(combined, crc32c(&bytes));
            prop_assert_eq!(crc32c_append(crc32c(first), second), combined);
        }
    }

    #[test]
    fn large_sizes_combine_as_the_crate_does() {
        for bytes in [65_473, 1 << 20, (1 << 31) - 1, (1 << 40) + 12_345] {
            assert_eq!(crc32c_combine(123, 456, bytes), ::crc32c::crc32c_combine(123, 456, bytes));
        }
    }
}
