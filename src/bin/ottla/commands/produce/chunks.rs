//! The input in pieces of whole lines, as they come.

use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::failure::Failure;

/// A file is read in pieces of this size.
const CHUNK_BYTES: usize = 1 << 20;
/// So many pieces are read ahead.
const AHEAD: usize = 2;

/// What came.
pub enum Chunk {
    /// Whole lines, each but the last of the input with its end.
    Lines(Vec<u8>),
    /// The end of the input.
    End,
    /// A line that has more bytes than any record may have.
    LineTooLong,
    /// Nothing: somebody asks to stop.
    Stop,
}

/// Where the lines come from.
pub struct Source {
    input: Box<dyn Read + Send>,
}

/// Ends the wait for the next piece.
pub struct Stop {
    chunks: SyncSender<io::Result<Chunk>>,
}

impl Stop {
    pub fn stop(&self) {
        // Where pieces wait already, nobody waits for one.
        _ = self.chunks.try_send(Ok(Chunk::Stop));
    }
}

impl Source {
    /// The file, or stdin.
    #[allow(clippy::disallowed_types, reason = "the user's file, not the log's")]
    pub fn open(file: Option<&Path>) -> Result<Source, Failure> {
        let Some(path) = file else { return Ok(Source { input: Box::new(io::stdin()) }) };
        let opened = std::fs::File::open(path);
        let file =
            opened.and_then(
                |file| {
                    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
                },
            );
        let refused = |error| Failure::refused(format_args!("cannot read {}: {error}", path.display()));
        Ok(Source { input: Box::new(file.map_err(refused)?) })
    }

    /// Reads on a thread of its own, which ends with the input, or with the process. A line has `line_bytes_max` bytes at most.
    pub fn read(self, line_bytes_max: usize) -> (Receiver<io::Result<Chunk>>, Stop) {
        let (sender, chunks) = sync_channel(AHEAD);
        let stop = Stop { chunks: sender.clone() };
        thread::spawn(move || read(self.input, line_bytes_max, |chunk| sender.send(chunk).is_ok()));
        (chunks, stop)
    }
}

/// Reads pieces and sends them, until the input ends or nobody takes them any more.
fn read(mut input: impl Read, line_bytes_max: usize, send: impl Fn(io::Result<Chunk>) -> bool) {
    let mut buffer = vec![0; CHUNK_BYTES];
    // A line of which the end is still to come.
    let mut begun = Vec::new();
    loop {
        let read = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                send(Err(error));
                return;
            }
            Ok(length) => buffer.get(..length).unwrap_or_default(),
        };
        if read.is_empty() {
            _ = (begun.is_empty() || send(Ok(Chunk::Lines(begun)))) && send(Ok(Chunk::End));
            return;
        }
        let end = read.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let (lines, rest) = read.split_at(end);
        if !lines.is_empty() {
            begun.extend_from_slice(lines);
            if !send(Ok(Chunk::Lines(mem::take(&mut begun)))) {
                return;
            }
        }
        begun.extend_from_slice(rest);
        if begun.len() > line_bytes_max {
            send(Ok(Chunk::LineTooLong));
            return;
        }
    }
}

/// The lines of a piece, without their ends.
pub fn lines(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Behind the last end there is no line.
    chunk.strip_suffix(b"\n").unwrap_or(chunk).split(|&byte| byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// An input that comes in these pieces.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            self.0.remove(0).read(buffer)
        }
    }

    fn chunks(pieces: &[&'static [u8]], line_bytes_max: usize) -> Vec<String> {
        let chunks = RefCell::new(Vec::new());
        read(Pieces(pieces.to_vec()), line_bytes_max, |chunk| {
            chunks.borrow_mut().push(match chunk.unwrap() {
                Chunk::Lines(bytes) => String::from_utf8(bytes).unwrap(),
                Chunk::End => "END".to_owned(),
                Chunk::LineTooLong => "TOO LONG".to_owned(),
                Chunk::Stop => unreachable!("nobody stops it"),
            });
            true
        });
        chunks.into_inner()
    }

    #[test]
    fn lines_stay_whole_however_they_come() {
        assert_eq!(chunks(&[b"a\nb", b"b", b"b\nc\nd", b"d"], 9), ["a\n", "bbb\nc\n", "dd", "END"]);
        assert_eq!(chunks(&[b"a\n"], 9), ["a\n", "END"]);
        assert_eq!(chunks(&[], 9), ["END"]);
    }

    #[test]
    fn a_line_that_does_not_end_takes_no_more_memory_than_one_may_have() {
        assert_eq!(chunks(&[b"a\nbb", b"bb", b"bb\n"], 3), ["a\n", "TOO LONG"]);
    }

    #[test]
    fn every_end_ends_a_line_and_the_last_one_needs_none() {
        let of = |chunk: &'static str| lines(chunk.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("a\nb\n"), [b"a", b"b"]);
        assert_eq!(of("a\nb"), [b"a", b"b"]);
        assert_eq!(of("\n\n"), [b"", b""]);
        assert_eq!(of("\n"), [b""]);
    }
}
