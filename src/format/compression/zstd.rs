//! Zstandard: standard frames without a dictionary. A checksum in a frame is verified.
//!
//! Frames are expanded in one go into their place. A stream decoder would take as much memory as the window that a frame
//! claims to need, and a frame may claim any.

use super::output::Output;
use crate::format::invalid::Invalid;

const MALFORMED: Invalid = Invalid::Malformed("malformed zstd");

/// Appends one frame, with its size in its header, at Kafka's default level.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let start = out.len();
    out.resize(start + zstd_safe::compress_bound(plain.len()), 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let size = zstd_safe::compress(place, plain, zstd_safe::CLEVEL_DEFAULT).map_err(|_| MALFORMED)?;
    out.truncate(start + size);
    Ok(())
}

/// Appends what the frames expand to.
pub(super) fn decompress(bytes: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    if bytes.is_empty() {
        return Err(Invalid::Malformed("no zstd frame"));
    }
    // Frames of Kafka's own producers do not tell their size; the bound is that of their blocks, which is often more than
    // they expand to, and need not be allowed as a whole.
    let bound = zstd_safe::decompress_bound(bytes).map_err(|_| MALFORMED)?;
    let count = usize::try_from(bound).unwrap_or(usize::MAX).min(out.remaining());
    out.fill(count, |place| zstd_safe::decompress(place, bytes).map_err(|_| MALFORMED))
}
