//! Takes a content apart into lines, within a bounded buffer.
//!
//! A line's *value* is the line without its `\n` or `\r\n`, and without NULs at its head: those are what a power cut or a
//! writer without `O_APPEND` leaves. A line of nothing but NULs is taken off whole; an empty line is a line. So every byte of a
//! content is part of a value, or taken off, or part of a line that is skipped because it is too long.
//!
//! A last line without an end may still be being written, so it is left until [`take_rest`](Lines::take_rest). If its end comes
//! after all, that is taken off: it is not an empty line.

use std::io::{self, Read};
use std::ops::Range;

use crate::content::Content;
use crate::fingerprint::{FINGERPRINT_BYTES, Trail, last};

/// So much is read at a time.
pub(crate) const CHUNK_BYTES: usize = 512 << 10;

/// What comes next in a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line, whose value stands there in the buffer until that is filled again.
    Line(Range<usize>),
    /// A line of so many bytes, its end included, which is more than may be collected.
    TooLong(u64),
}

/// The lines of a content from some position on.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// What is in the buffer and not yet taken: from `start` to `end`.
    start: usize,
    end: usize,
    /// So much behind `start` is known to have no line end.
    searched: usize,
    line_bytes_max: usize,
    /// Up to where everything is dealt with.
    trail: Trail,
    /// Where a line begins that is being skipped, and how many bytes of it have gone by.
    skipping: Option<(Trail, u64)>,
    /// How many lines ended before the trail's position.
    pub(crate) line_number: u64,
    /// Line ends, and NULs at the head of lines, that this has passed.
    pub(crate) taken_off_bytes: u64,
}

impl Lines {
    /// Lines of at most `line_bytes_max` bytes, from the end of `trail` on, behind so many lines. `buffer` is used again.
    pub(crate) fn new(trail: Trail, line_number: u64, line_bytes_max: usize, buffer: Vec<u8>) -> Lines {
        Lines {
            buffer,
            start: 0,
            end: 0,
            searched: 0,
            line_bytes_max,
            trail,
            skipping: None,
            line_number,
            taken_off_bytes: 0,
        }
    }

    /// The buffer, for the next content, if it is of an ordinary size.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        if self.buffer.len() <= 2 * CHUNK_BYTES { self.buffer } else { Vec::new() }
    }

    /// Up to where everything is dealt with, be it as part of a value or not. Not within a line that is being skipped.
    pub(crate) fn trail(&self) -> &Trail {
        self.skipping.as_ref().map_or(&self.trail, |(before, _)| before)
    }

    /// Up to where the content was read into the buffer.
    pub(crate) fn read_position(&self) -> u64 {
        self.trail.position() + self.pending().len() as u64
    }

    /// The last bytes that were read, up to [`FINGERPRINT_BYTES`].
    pub(crate) fn last_read(&self) -> &[u8] {
        if self.pending().is_empty() { self.trail.tail() } else { last(self.pending(), FINGERPRINT_BYTES) }
    }

    /// What is read and not yet taken: the beginning of a line.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn value(&self, line: &Range<usize>) -> &[u8] {
        self.buffer.get(line.clone()).unwrap_or_default()
    }

    /// Reads on, at most `bytes_max` bytes. 0 at the end of the content. Ranges that were returned are void after this.
    pub(crate) fn fill(&mut self, content: &mut Content, bytes_max: u64) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + CHUNK_BYTES {
            // Twice as much at least, so that a long line is not copied again and again.
            self.buffer.resize((self.end + CHUNK_BYTES).max(2 * self.end), 0);
        }
        let room = self.buffer.get_mut(self.end..self.end + CHUNK_BYTES).unwrap_or_default();
        let mut filled = 0;
        let mut rest = content.take(bytes_max);
        loop {
            match rest.read(room.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before it can be used; the error comes again.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.end += filled;
        Ok(filled)
    }

    /// Throws away what is read and not yet taken, because the file is no longer what it was.
    pub(crate) fn forget_pending(&mut self) {
        self.start = self.end;
        self.searched = 0;
    }

    /// The next piece that is whole.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        if self.skipping.is_some() {
            return self.skip_to_line_end();
        }
        loop {
            let nuls = self.pending().iter().take_while(|byte| **byte == 0).count();
            self.take_off(nuls);
            match self.belated_line_end()? {
                0 => break,
                end => self.take_off(end),
            }
        }
        let found = self.pending().iter().skip(self.searched).position(|byte| *byte == b'\n');
        let Some(at) = found.map(|at| at + self.searched) else {
            self.searched = self.pending().len();
            // A carriage return more may belong to the end.
            if self.line_bytes_max + 1 < self.searched {
                self.skipping = Some((self.trail.clone(), 0));
                return self.skip_to_line_end();
            }
            return None;
        };
        let has_return = at > 0 && self.pending().get(at - 1) == Some(&b'\r');
        let value = self.start..self.start + at - usize::from(has_return);
        self.consume(at + 1);
        self.line_number += 1;
        if self.line_bytes_max < value.len() {
            return Some(Piece::TooLong(at as u64 + 1));
        }
        self.taken_off_bytes += 1 + u64::from(has_return);
        Some(Piece::Line(value))
    }

    /// What is left when nothing follows: a line without an end.
    pub(crate) fn take_rest(&mut self) -> Option<Piece> {
        if let Some((_, bytes)) = self.skipping.take() {
            self.line_number += 1;
            return Some(Piece::TooLong(bytes));
        }
        let value = self.start..self.end;
        if value.is_empty() {
            return None;
        }
        self.consume(value.len());
        self.line_number += 1;
        Some(Piece::Line(value))
    }

    /// How many bytes come next of a line end whose line was taken before it came, or was nothing but NULs. `None` if that is
    /// not yet known.
    fn belated_line_end(&mut self) -> Option<usize> {
        let last = self.trail.tail().last().copied().unwrap_or(b'\n');
        let end = match self.pending() {
            _ if last == b'\n' => 0,
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => return None,
            _ => 0,
        };
        // A line that was taken is counted already.
        self.line_number += u64::from(end > 0 && last == 0);
        Some(end)
    }

    fn skip_to_line_end(&mut self) -> Option<Piece> {
        let end = self.pending().iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let count = end.unwrap_or(self.pending().len());
        self.consume(count);
        let (_, bytes) = self.skipping.as_mut()?;
        *bytes += count as u64;
        let bytes = *bytes;
        end.map(|_| {
            self.skipping = None;
            self.line_number += 1;
            Piece::TooLong(bytes)
        })
    }

    fn take_off(&mut self, count: usize) {
        self.taken_off_bytes += count as u64;
        self.consume(count);
    }

    fn consume(&mut self, count: usize) {
        self.trail.push(self.buffer.get(self.start..self.start + count).unwrap_or_default());
        self.start += count;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests;
