//! What tells one content from another: its first bytes, and the bytes before a position.

use sha2::{Digest as _, Sha256};

/// So many bytes make a fingerprint, where there are so many.
pub(crate) const FINGERPRINT_BYTES: usize = 4 << 10;
/// So many first bytes are kept as they are.
pub(crate) const FIRST_BYTES: usize = 64;
/// The tail is cut when it has grown to this, not at every line.
const TAIL_BYTES_MAX: usize = 16 * FINGERPRINT_BYTES;

/// The length and hash of up to [`FINGERPRINT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fingerprint {
    pub(crate) length: u32,
    /// The first half of a SHA-256: nobody comes upon two equal ones, and nobody makes them.
    pub(crate) hash: [u8; 16],
}

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Fingerprint {
        let mut hash = [0; 16];
        hash.iter_mut().zip(Sha256::digest(bytes)).for_each(|(to, from)| *to = from);
        Fingerprint { length: u32::try_from(bytes.len()).unwrap_or(u32::MAX), hash }
    }
}

/// The way that a reader has come through a content: how far, and what it needs to be found again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    position: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Trail {
    /// A trail up to `position`, of a content that begins with `head` and has `tail` before the position. Both are as long as
    /// they can be, up to [`FINGERPRINT_BYTES`].
    pub(crate) fn new(position: u64, head: &[u8], tail: Vec<u8>) -> Trail {
        let length = usize::try_from(position).unwrap_or(usize::MAX).min(head.len());
        Trail { position, head: head.get(..length).unwrap_or(head).to_vec(), tail }
    }

    /// Goes on over `bytes`, which come next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = FINGERPRINT_BYTES - self.head.len();
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() >= FINGERPRINT_BYTES {
            self.tail.clear();
        } else if self.tail.len() + bytes.len() > TAIL_BYTES_MAX {
            let kept = self.tail.len() - self.tail().len();
            self.tail.drain(..kept);
        }
        self.tail.extend_from_slice(last(bytes, FINGERPRINT_BYTES));
        self.position += bytes.len() as u64;
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes before the position.
    pub(crate) fn tail(&self) -> &[u8] {
        last(&self.tail, FINGERPRINT_BYTES)
    }

    pub(crate) fn head_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.head)
    }

    pub(crate) fn tail_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.tail())
    }

    /// The first bytes, as they are.
    pub(crate) fn first(&self) -> &[u8] {
        self.head.get(..FIRST_BYTES).unwrap_or(&self.head)
    }
}

/// The last `count` bytes, or all if there are fewer.
pub(crate) fn last(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(count)..).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_the_same_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for step in [1, 100, FINGERPRINT_BYTES - 1, FINGERPRINT_BYTES, 70_000] {
            let mut trail = Trail::default();
            for chunk in bytes.chunks(step) {
                trail.push(chunk);
            }
            assert_eq!(trail.position(), 300_000);
            assert_eq!(trail.head_fingerprint(), Fingerprint::of(&bytes[..FINGERPRINT_BYTES]), "{step}");
            assert_eq!(trail.tail(), &bytes[bytes.len() - FINGERPRINT_BYTES..], "{step}");
            assert_eq!(trail.first(), &bytes[..FIRST_BYTES]);
        }
    }

    #[test]
    fn a_trail_that_was_left_goes_on_as_if_it_had_not_been() {
        let bytes: Vec<u8> = (0..9000_u32).map(|n| (n % 251) as u8).collect();
        for position in [0, 1, 63, 64, 4095, 4096, 4097, 8999] {
            let before = last(&bytes[..position], FINGERPRINT_BYTES).to_vec();
            let mut trail = Trail::new(position as u64, &bytes[..FINGERPRINT_BYTES], before);
            trail.push(&bytes[position..]);
            assert_eq!(trail.head_fingerprint(), Fingerprint::of(&bytes[..FINGERPRINT_BYTES]), "{position}");
            assert_eq!(trail.tail_fingerprint(), Fingerprint::of(last(&bytes, FINGERPRINT_BYTES)), "{position}");
        }
    }

    #[test]
    fn one_bit_makes_another_fingerprint() {
        assert_ne!(Fingerprint::of(b"a"), Fingerprint::of(b"b"));
        assert_ne!(Fingerprint::of(b""), Fingerprint::of(b"\0"));
    }
}
