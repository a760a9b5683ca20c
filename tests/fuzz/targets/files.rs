//! The small files: a byte says which, and whether it comes with right checksums.

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let fix = kind & 0x80 == 0;
    capped(64 * bytes.len() + (1 << 16), || match kind % 5 {
        0 => ottla::fuzzing::manifest(bytes, fix),
        1 => ottla::fuzzing::catalog(bytes, fix),
        2 => ottla::fuzzing::recovery_point(bytes, fix),
        3 => ottla::fuzzing::leader_epochs(bytes),
        _ => ottla::fuzzing::partition_metadata(bytes),
    });
}
