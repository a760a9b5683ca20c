//! gzip: one member of RFC 1952, nothing behind it. Header fields are free; the checksum at its end is verified.

use std::io::Read as _;

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::output::Output;
use crate::format::invalid::Invalid;

const MALFORMED: Invalid = Invalid::Malformed("malformed gzip");

/// How much is expanded at a time.
const STEP_BYTES: usize = 16 * 1024;

/// Appends the member for `plain`.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::default());
    // A vector takes every write.
    std::io::Write::write_all(&mut encoder, plain).and_then(|()| encoder.finish()).map_err(|_| MALFORMED)?;
    Ok(())
}

/// Appends what a member expands to.
pub(super) fn decompress(bytes: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    let mut decoder = GzDecoder::new(bytes);
    let mut step = [0; STEP_BYTES];
    loop {
        let count = decoder.read(&mut step).map_err(|_| MALFORMED)?;
        if count == 0 {
            break;
        }
        out.push(step.get(..count).unwrap_or_default())?;
    }
    if !decoder.into_inner().is_empty() {
        return Err(Invalid::Malformed("bytes behind the gzip member"));
    }
    Ok(())
}
