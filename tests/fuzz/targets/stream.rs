//! The stream of a replica: a byte says whether it is what a request or a reply describes, or a whole reply, and whether that comes with
//! right checksums.

use crate::allocation::capped;

/// What frames, a directory that is begun, and its disk take, whatever comes.
const FIXED_BYTES: usize = 4 << 20;

pub(crate) fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => capped(64 * bytes.len() + (1 << 16), || ottla::fuzzing::stream_request(bytes)),
        1 => capped(64 * bytes.len() + (1 << 16), || ottla::fuzzing::stream_reply(bytes)),
        kind => capped(256 * bytes.len() + FIXED_BYTES, || ottla::fuzzing::stream_message(bytes, kind == 2)),
    }
}
