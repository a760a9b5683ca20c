//! A record batch, of which the first byte says how much its records may expand to.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let Some((&bound, bytes)) = data.split_first() else { return };
    let bytes_max = usize::from(bound) << 6;
    // Copies of the batch and lists of its headers besides what is expanded; and what the decoders need for themselves.
    capped(8 * (bytes_max + 16 * bytes.len()) + (1 << 20), || ottla::fuzzing::batch(bytes, bytes_max));
}
