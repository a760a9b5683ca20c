//! Files of generations with any payload, for what reads payloads.

use super::Kind;

/// A file with this payload in both generations.
pub(crate) fn framed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut file = super::encode(kind.magic, kind.version, 1, payload);
    file.extend(super::encode(kind.magic, kind.version, 2, payload));
    file
}
