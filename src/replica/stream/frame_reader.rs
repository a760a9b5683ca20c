//! [`FrameReader`]: a message as it is read. No byte behind its last frame is touched.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::frame::{
    CRC_BYTES, DESCRIPTION_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES, OPENING_BYTES, VERSION, checksum, invalid,
};
use crate::error::{Error, Result};

/// A message as it is read. What it returns has the right checksum, and stands in its place; it may be hostile all the same.
pub(super) struct FrameReader<'p, R> {
    reader: R,
    /// Whose stream it is, for messages.
    place: &'p Path,
    nonce: u64,
    sequence: u64,
    /// The payload of the last frame, and its checksum.
    buffer: Vec<u8>,
}

impl<'p, R: Read> FrameReader<'p, R> {
    /// Begins with a message that is to have this magic. `None` if the stream has ended before its first byte.
    ///
    /// # Errors
    /// [`Error::InvalidStream`]; the stream's.
    pub(super) fn begin(mut reader: R, place: &'p Path, magic: [u8; 8]) -> Result<Option<FrameReader<'p, R>>> {
        let mut opening = [0; OPENING_BYTES];
        let (first, rest) = opening.split_at_mut(1);
        let read = loop {
            match reader.read(first) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|source| Error::io(READ, place, source))?,
            }
        };
        if read == 0 {
            return Ok(None);
        }
        read_exact(&mut reader, rest, place)?;
        let (found, rest) = opening.split_first_chunk::<8>().expect("longer than that");
        if *found != magic {
            return Err(invalid("it does not begin as it should: what is at the other end of the connection?"));
        }
        let (version, nonce) = rest.split_first_chunk::<4>().expect("longer than that");
        if u32::from_be_bytes(*version) != VERSION {
            return Err(invalid("it is of another version: have the same version of the crate at both ends"));
        }
        let nonce = nonce.first_chunk().map_or(0, |nonce| u64::from_be_bytes(*nonce));
        Ok(Some(FrameReader { reader, place, nonce, sequence: 0, buffer: Vec::new() }))
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`Error::InvalidStream`]; the stream's.
    pub(super) fn next(&mut self) -> Result<(FrameKind, &[u8])> {
        let mut bytes = [0; HEADER_BYTES];
        read_exact(&mut self.reader, &mut bytes, self.place)?;
        let header = FrameHeader::decode(bytes)?;
        // Bounded by now.
        let payload_bytes = header.payload_bytes as usize;
        self.buffer.resize(payload_bytes + CRC_BYTES, 0);
        read_exact(&mut self.reader, &mut self.buffer, self.place)?;
        let (payload, crc) = self.buffer.split_at(payload_bytes);
        if crc != checksum(self.nonce, &bytes, payload).to_be_bytes() {
            return Err(invalid("the checksum of a frame does not match"));
        }
        if header.sequence != self.sequence {
            return Err(invalid("a frame is missing, or not in its place"));
        }
        self.sequence += 1;
        Ok((header.kind, payload))
    }

    /// A description, with which the message is to go on, or the payload of a refusal.
    ///
    /// # Errors
    /// [`Error::InvalidStream`]; the stream's.
    pub(super) fn description(&mut self) -> Result<Result<Vec<u8>, Vec<u8>>> {
        let (mut description, mut size) = (Vec::new(), None);
        loop {
            match self.next()? {
                (FrameKind::Description, payload) => {
                    // Grows as the bytes come, and not because a size says so.
                    description.extend_from_slice(payload);
                }
                (FrameKind::Refusal, payload) => return Ok(Err(payload.to_vec())),
                _ => return Err(invalid("a message does not begin with its description")),
            }
            let size = match size {
                None => *size.insert(take_size(&mut description)?),
                Some(size) => size,
            };
            if size < description.len() {
                return Err(invalid("a description is longer than it says"));
            }
            if size == description.len() {
                return Ok(Ok(description));
            }
        }
    }

    /// The end of the message, which is to come next.
    ///
    /// # Errors
    /// [`Error::InvalidStream`]; the stream's.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.next()? {
            (FrameKind::End, []) => Ok(()),
            _ => Err(invalid("a message does not end where it should")),
        }
    }
}

/// Takes the size of a description from its beginning.
fn take_size(description: &mut Vec<u8>) -> Result<usize> {
    let Some(size) = description.first_chunk().map(|size| u32::from_be_bytes(*size)) else {
        return Err(invalid("a description has no size"));
    };
    description.drain(..size_of::<u32>());
    match usize::try_from(size) {
        Ok(size) if size <= DESCRIPTION_BYTES_MAX => Ok(size),
        _ => Err(invalid("a description is larger than any may be")),
    }
}

const READ: &str = "read the stream of";

fn read_exact(reader: &mut impl Read, buffer: &mut [u8], place: &Path) -> Result<()> {
    reader.read_exact(buffer).map_err(|source| {
        let is_cut = source.kind() == ErrorKind::UnexpectedEof;
        let cut = || io::Error::new(ErrorKind::UnexpectedEof, "the stream ended in the middle of a message");
        Error::io(READ, place, if is_cut { cut() } else { source })
    })
}
