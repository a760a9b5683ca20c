//! [`FrameWriter`]: a message as it is written.

use std::io::Write;
use std::path::Path;

use super::frame::{CRC_BYTES, FrameHeader, FrameKind, HEADER_BYTES, PAYLOAD_BYTES_MAX, VERSION, checksum};
use crate::error::{Error, Result};

/// Written at a time: as much as a large frame, or several small ones.
const WRITE_BYTES: usize = PAYLOAD_BYTES_MAX;

/// A message as it is written.
pub(super) struct FrameWriter<'p, W> {
    writer: W,
    /// Whose stream it is, for messages.
    place: &'p Path,
    nonce: u64,
    sequence: u64,
    /// What is not written yet.
    out: Vec<u8>,
    /// Where a data frame begins in that, to which more may come.
    data_start: Option<usize>,
}

impl<'p, W: Write> FrameWriter<'p, W> {
    /// Begins a message with this magic.
    pub(super) fn begin(writer: W, place: &'p Path, magic: [u8; 8], nonce: u64) -> FrameWriter<'p, W> {
        let mut out = magic.to_vec();
        out.extend(VERSION.to_be_bytes());
        out.extend(nonce.to_be_bytes());
        FrameWriter { writer, place, nonce, sequence: 0, out, data_start: None }
    }

    /// A description, in as many frames as it takes.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn description(&mut self, description: &[u8]) -> Result<()> {
        let bytes = u32::try_from(description.len()).unwrap_or(u32::MAX);
        let sized = [&bytes.to_be_bytes()[..], description].concat();
        sized.chunks(PAYLOAD_BYTES_MAX).try_for_each(|chunk| self.frame(FrameKind::Description, chunk))
    }

    /// A frame with this payload, which fits.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn frame(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        self.end_data();
        self.append_frame(kind, payload);
        self.write_if_full()
    }

    /// Bytes of a piece.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn data(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let start = *self.data_start.get_or_insert_with(|| {
                let start = self.out.len();
                self.out.extend([0; HEADER_BYTES]);
                start
            });
            let room = PAYLOAD_BYTES_MAX - (self.out.len() - start - HEADER_BYTES);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.out.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.end_data();
                self.write_if_full()?;
            }
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn end(mut self) -> Result<()> {
        self.frame(FrameKind::End, &[])?;
        self.flush()
    }

    /// Ends the message with a refusal. Data that was not written yet is left out.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn refuse(mut self, refusal: &[u8]) -> Result<()> {
        if let Some(start) = self.data_start.take() {
            self.out.truncate(start);
        }
        self.frame(FrameKind::Refusal, refusal)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.writer.flush().map_err(|source| Error::io(WRITE, self.place, source))
    }

    fn append_frame(&mut self, kind: FrameKind, payload: &[u8]) {
        let header = self.next_header(kind, payload.len());
        self.out.extend(header);
        self.out.extend_from_slice(payload);
        self.out.extend(checksum(self.nonce, &header, payload).to_be_bytes());
    }

    fn end_data(&mut self) {
        let Some(start) = self.data_start.take() else { return };
        let header = self.next_header(FrameKind::Data, self.out.len() - start - HEADER_BYTES);
        if let Some((place, payload)) =
            self.out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(HEADER_BYTES))
        {
            place.copy_from_slice(&header);
            let crc = checksum(self.nonce, &header, payload);
            self.out.extend(crc.to_be_bytes());
        }
    }

    fn next_header(&mut self, kind: FrameKind, payload_bytes: usize) -> [u8; HEADER_BYTES] {
        debug_assert!(payload_bytes <= PAYLOAD_BYTES_MAX);
        let payload_bytes = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
        let header = FrameHeader { sequence: self.sequence, kind, payload_bytes };
        self.sequence += 1;
        header.encode()
    }

    fn write_if_full(&mut self) -> Result<()> {
        if WRITE_BYTES <= self.out.len() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.writer.write_all(&self.out).map_err(|source| Error::io(WRITE, self.place, source))?;
        self.out.clear();
        Ok(())
    }
}

const WRITE: &str = "write the stream of";

// What is not written yet never grows beyond this.
const _: () = assert!(WRITE_BYTES + HEADER_BYTES + PAYLOAD_BYTES_MAX + CRC_BYTES < 1 << 20);
