//! The frames of a stream: what a request and a reply are cut into, so that damage, and what is missing, is noticed before it counts.
//!
//! ```text
//! byte  size  field             one message, big-endian
//!    0     8  magic             "OTTLARRQ" a request, "OTTLARRP" a reply
//!    8     4  version           1
//!   12     8  nonce             random; in the checksum of each frame, so that no frame of another message passes for one of this
//!   20     -  frames            the last one is an end, or a refusal
//!
//! byte  size  field             one frame
//!    0     8  sequence          from 0, one more with each frame
//!    8     1  kind              1 description, 2 piece, 3 data, 4 end of piece, 5 end, 6 refusal
//!    9     4  payload_bytes     at most 256 KiB
//!   13     n  payload
//! 13+n     4  crc32             CRC-32 of the nonce and of all before
//! ```
//! A description is what `request.rs` and `reply.rs` say, behind its size in 4 bytes, in as many frames as it takes. A piece is what
//! `piece.rs` says; its bytes are the data frames up to its end, of which the one byte says what has become of it.

use crate::error::Error;

pub(super) const REQUEST: [u8; 8] = *b"OTTLARRQ";
pub(super) const REPLY: [u8; 8] = *b"OTTLARRP";
pub(super) const VERSION: u32 = 1;

/// The most that a frame carries.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// The largest description. It says of each segment some hundred bytes.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 64 << 20;

const MAGIC_BYTES: usize = 8;
const NONCE_BYTES: usize = size_of::<u64>();
/// The size of what comes before the frames.
pub(super) const OPENING_BYTES: usize = MAGIC_BYTES + size_of::<u32>() + NONCE_BYTES;
const _: () = assert!(OPENING_BYTES == 20);

const KIND: usize = size_of::<u64>();
const PAYLOAD_BYTES: usize = KIND + size_of::<u8>();
/// The size of what comes before a payload.
pub(super) const HEADER_BYTES: usize = PAYLOAD_BYTES + size_of::<u32>();
const _: () = assert!(HEADER_BYTES == 13);

/// The size of what comes behind a payload.
pub(super) const CRC_BYTES: usize = size_of::<u32>();

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Description,
    Piece,
    Data,
    EndOfPiece,
    End,
    Refusal,
}

impl FrameKind {
    const ALL: [FrameKind; 6] = [
        FrameKind::Description,
        FrameKind::Piece,
        FrameKind::Data,
        FrameKind::EndOfPiece,
        FrameKind::End,
        FrameKind::Refusal,
    ];

    fn code(self) -> u8 {
        match self {
            FrameKind::Description => 1,
            FrameKind::Piece => 2,
            FrameKind::Data => 3,
            FrameKind::EndOfPiece => 4,
            FrameKind::End => 5,
            FrameKind::Refusal => 6,
        }
    }
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) sequence: u64,
    pub(super) kind: FrameKind,
    pub(super) payload_bytes: u32,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let (sequence, rest) = bytes.split_at_mut(KIND);
        let (kind, payload_bytes) = rest.split_at_mut(size_of::<u8>());
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        kind.copy_from_slice(&[self.kind.code()]);
        payload_bytes.copy_from_slice(&self.payload_bytes.to_be_bytes());
        bytes
    }

    /// Reads what [`encode`](FrameHeader::encode) wrote. The bytes may be anything; the size is within its bounds.
    ///
    /// # Errors
    /// [`Error::InvalidStream`].
    pub(super) fn decode(bytes: [u8; HEADER_BYTES]) -> Result<FrameHeader, Error> {
        let [s0, s1, s2, s3, s4, s5, s6, s7, kind, p0, p1, p2, p3] = bytes;
        let sequence = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let payload_bytes = u32::from_be_bytes([p0, p1, p2, p3]);
        let kind = FrameKind::ALL.into_iter().find(|known| known.code() == kind);
        let kind = kind.ok_or_else(|| invalid("a frame is of an unknown kind"))?;
        if usize::try_from(payload_bytes).is_ok_and(|bytes| bytes <= PAYLOAD_BYTES_MAX) {
            Ok(FrameHeader { sequence, kind, payload_bytes })
        } else {
            Err(invalid("a frame is larger than any may be"))
        }
    }
}

/// The checksum of a frame: of the nonce of its message, its header, and its payload.
pub(super) fn checksum(nonce: u64, header: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&nonce.to_be_bytes());
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

/// The error for bytes that the other end cannot have meant.
#[cold]
pub(super) fn invalid(reason: &'static str) -> Error {
    Error::InvalidStream { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_version_1_stay() {
        let header = FrameHeader { sequence: 258, kind: FrameKind::Data, payload_bytes: 7 };
        assert_eq!(header.encode(), [0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 7]);
        for (code, kind) in (1..).zip(FrameKind::ALL) {
            let header = FrameHeader { kind, ..header };
            assert_eq!(header.encode()[8], code);
            assert_eq!(FrameHeader::decode(header.encode()).unwrap(), header);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = FrameHeader { sequence: 0, kind: FrameKind::End, payload_bytes: 0 }.encode();
            bytes[at] = byte;
            FrameHeader::decode(bytes)
        };
        assert!(with(8, 0).is_err() && with(8, 7).is_err(), "unknown kinds");
        assert!(with(10, 4).is_ok() && with(10, 5).is_err() && with(9, 1).is_err(), "sizes");
    }
}
