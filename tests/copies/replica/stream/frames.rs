//! The frames of a message, taken apart and put together again: with right checksums, whatever is in them.

const OPENING_BYTES: usize = 20;
const HEADER_BYTES: usize = 13;

pub(super) const DESCRIPTION: u8 = 1;
pub(super) const PIECE: u8 = 2;
pub(super) const DATA: u8 = 3;
pub(super) const REFUSAL: u8 = 6;

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) opening: Vec<u8>,
    /// Kind and payload of each frame.
    pub(super) frames: Vec<(u8, Vec<u8>)>,
}

impl Message {
    /// Takes a message apart, and looks whether it is as documented.
    pub(super) fn parse(bytes: &[u8]) -> Message {
        let (opening, mut rest) = bytes.split_at(OPENING_BYTES);
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let payload_bytes = u32::from_be_bytes(rest[9..13].try_into().unwrap()) as usize;
            let payload = &rest[HEADER_BYTES..][..payload_bytes];
            frames.push((rest[8], payload.to_vec()));
            rest = &rest[HEADER_BYTES + payload_bytes + 4..];
        }
        let message = Message { opening: opening.to_vec(), frames };
        assert!(message.bytes() == bytes, "the frames are as documented");
        message
    }

    /// Puts it together again.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.opening.clone();
        for (sequence, (kind, payload)) in (0_u64..).zip(&self.frames) {
            let mut frame = sequence.to_be_bytes().to_vec();
            frame.push(*kind);
            frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
            frame.extend(payload);
            let crc = crc32fast::hash(&[&self.opening[12..], &frame[..]].concat());
            bytes.extend(frame);
            bytes.extend(crc.to_be_bytes());
        }
        bytes
    }

    /// Where each frame begins, and the end.
    pub(super) fn boundaries(&self) -> Vec<usize> {
        let mut at = OPENING_BYTES;
        let mut boundaries = vec![at];
        for (_, payload) in &self.frames {
            at += HEADER_BYTES + payload.len() + 4;
            boundaries.push(at);
        }
        boundaries
    }

    /// The description, without its size.
    pub(super) fn description(&self) -> Vec<u8> {
        let parts = self.frames.iter().filter(|(kind, _)| *kind == DESCRIPTION).flat_map(|(_, payload)| payload);
        parts.copied().skip(4).collect()
    }

    /// The same message with another description.
    pub(super) fn with_description(&self, description: &[u8]) -> Message {
        let size = u32::try_from(description.len()).unwrap().to_be_bytes();
        let sized = [&size[..], description].concat();
        let mut frames: Vec<_> = sized.chunks(256 << 10).map(|chunk| (DESCRIPTION, chunk.to_vec())).collect();
        frames.extend(self.frames.iter().filter(|(kind, _)| *kind != DESCRIPTION).cloned());
        Message { opening: self.opening.clone(), frames }
    }

    /// The same with all places of some bytes in the description replaced, of which there are any.
    pub(super) fn replaced(&self, from: &[u8], to: &[u8]) -> Message {
        let (description, mut replaced, mut at, mut found) = (self.description(), Vec::new(), 0, 0);
        while at < description.len() {
            if description[at..].starts_with(from) {
                replaced.extend(to);
                at += from.len();
                found += 1;
            } else {
                replaced.push(description[at]);
                at += 1;
            }
        }
        assert!(0 < found, "{from:?} is not there");
        self.with_description(&replaced)
    }
}
