//! Files of generations with any payload, for what reads payloads.

/// A file with this payload in both generations, of version 1.
pub(crate) fn framed(magic: [u8; 8], payload: &[u8]) -> Vec<u8> {
    let mut file = super::encode(magic, 1, 1, payload);
    file.extend(super::encode(magic, 1, 2, payload));
    file
}
