//! Records that are compressed or say so: a byte for the codec, one for the bound, and the rest.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let [codec, bound, bytes @ ..] = data else { return };
    let bytes_max = usize::from(*bound) << 6;
    // Zstandard keeps tables of a size of its own for each level and stream.
    capped(4 * bytes_max + 4 * bytes.len() + (4 << 20), || {
        if codec & 0x80 == 0 {
            ottla::fuzzing::compression(*codec, bytes, bytes_max);
        } else {
            ottla::fuzzing::round_trip(*codec, bytes);
        }
    });
}
