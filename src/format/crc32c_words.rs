//! CRC-32C of short pieces, by the processor's instruction for it.
//!
//! Of a record of 100 bytes the crate's way takes 183 instructions, since it is made for long ones: it looks for the way to go, aligns,
//! and has three runs of 8 bytes at a time and pieces of three sizes. One run takes 60. From about 256 bytes on the crate is faster.
//!
//! The instruction: Intel, "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", 2011.
#![allow(
    unsafe_code,
    reason = "a call of a function for processors that have the instruction, behind the question whether they do"
)]

/// So many bytes are a short piece.
pub(super) const SHORT_BYTES_MAX: usize = 256;

/// The checksum of what `crc` covers followed by `bytes`; `None` where the processor lacks the instruction.
#[inline]
pub(super) fn append_short(crc: u32, bytes: &[u8]) -> Option<u32> {
    // Miri has no such instruction.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has SSE 4.2, which is all that the function asks for.
        return Some(unsafe { append_by_words(crc, bytes) });
    }
    let _ = (crc, bytes);
    None
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "sse4.2")]
#[allow(clippy::little_endian_bytes, reason = "the order in which the instruction takes bytes")]
fn append_by_words(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let (words, rest) = bytes.as_chunks::<8>();
    // Two at a time: the loop itself would be a third of the instructions.
    let (pairs, last) = words.as_chunks::<2>();
    let mut state = u64::from(!crc);
    for [first, second] in pairs {
        state = _mm_crc32_u64(state, u64::from_le_bytes(*first));
        state = _mm_crc32_u64(state, u64::from_le_bytes(*second));
    }
    for word in last {
        state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
    }
    #[allow(clippy::cast_possible_truncation, reason = "the upper half is always zero")]
    let mut state = state as u32;
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        state = _mm_crc32_u32(state, u32::from_le_bytes(*half));
    }
    for byte in rest {
        state = _mm_crc32_u8(state, *byte);
    }
    !state
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size and every alignment, from any state: what the crate computes.
    #[test]
    fn short_pieces_have_the_checksums_that_the_crate_computes() {
        let bytes: Vec<u8> = (0..600_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        for begin in 0..9 {
            for length in 0..=2 * SHORT_BYTES_MAX {
                let piece = &bytes[begin..begin + length];
                for crc in [0, 1, 0x8000_0000, u32::MAX, 0x1234_5678] {
                    if let Some(short) = append_short(crc, piece) {
                        assert_eq!(short, ::crc32c::crc32c_append(crc, piece), "{begin} {length} {crc:x}");
                    }
                }
            }
        }
    }

    /// The vector of RFC 3720, B.4: 32 bytes of zeros.
    #[test]
    fn the_vector_of_the_standard() {
        assert!(append_short(0, &[0; 32]).is_none_or(|crc| crc == 0x8a91_36aa));
    }
}
