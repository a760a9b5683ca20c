//! How far a content was collected, and how to find it again.
//!
//! A bookmark is a header of the last record of each batch: a batch is there as a whole or not at all, so the bookmark is never
//! ahead of the lines, nor behind them, whenever the collector is killed.
//!
//! ```text
//! byte  size  field           all integers big-endian
//!    0     8  stream          the content's number, from 1
//!    8     8  parent          the stream whose bytes it begins with, or 0
//!   16     8  start           so many bytes are the parent's
//!   24     8  position        so many bytes are dealt with
//!   32     8  line_number     so many lines ended before the position
//!   40     8  line_count      so many of them were collected
//!   48     8  value_bytes     the bytes of their values
//!   56     8  skipped_bytes   bytes of lines that were too long
//!   64     8  first_offset    its records are not before this offset of its partition
//!   72     8  time_ms         the last time that a line said, or -1
//!   80     1  is_in_trace     whether the last lines were a trace
//!   81    20  head            length and hash of the first bytes before the position
//!  101    20  tail            length and hash of the last bytes before the position
//!  121   ..64 first           the first bytes before the position, as they are
//! ```

use ottla::Timestamp;

use crate::dating::LastTime;
use crate::fingerprint::{FINGERPRINT_BYTES, FIRST_BYTES, Fingerprint, Trail};

const FIXED_BYTES: usize = 121;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bookmark {
    pub(crate) stream: u64,
    pub(crate) parent: u64,
    pub(crate) start: u64,
    pub(crate) position: u64,
    pub(crate) line_number: u64,
    pub(crate) line_count: u64,
    pub(crate) value_bytes: u64,
    pub(crate) skipped_bytes: u64,
    pub(crate) first_offset: u64,
    pub(crate) last_time: LastTime,
    pub(crate) head: Fingerprint,
    pub(crate) tail: Fingerprint,
    pub(crate) first: Vec<u8>,
}

impl Bookmark {
    /// Moves to the end of `trail`.
    pub(crate) fn move_to(&mut self, trail: &Trail) {
        self.position = trail.position();
        self.head = trail.head_fingerprint();
        self.tail = trail.tail_fingerprint();
        self.first = trail.first().to_vec();
    }

    /// Whether a content that begins with `head` may be this one, as far as its first bytes tell. If not, it is another.
    pub(crate) fn may_begin(&self, head: &[u8]) -> bool {
        let head = head.get(..FIRST_BYTES).unwrap_or(head);
        head.starts_with(&self.first) || self.first.starts_with(head)
    }

    /// The same with all first bytes of a content that is shorter than the position.
    pub(crate) fn may_have_head(&self, head: &[u8]) -> bool {
        head.len() < FINGERPRINT_BYTES || self.head == Fingerprint::of(head)
    }

    /// Whether a content with this trail up to the bookmark's position is the one that was marked.
    pub(crate) fn is_at(&self, trail: &Trail) -> bool {
        self.position == trail.position()
            && self.tail == trail.tail_fingerprint()
            && self.head == trail.head_fingerprint()
    }

    /// Line ends, and NULs at the head of lines.
    pub(crate) fn taken_off_bytes(&self) -> u64 {
        self.position - self.start - self.value_bytes - self.skipped_bytes
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let time_ms = self.last_time.time.map_or(-1, Timestamp::as_millis);
        let mut bytes = Vec::with_capacity(FIXED_BYTES + FIRST_BYTES);
        for number in self.numbers() {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&time_ms.to_be_bytes());
        bytes.push(u8::from(self.last_time.is_in_trace));
        for fingerprint in [self.head, self.tail] {
            bytes.extend_from_slice(&fingerprint.length.to_be_bytes());
            bytes.extend_from_slice(&fingerprint.hash);
        }
        bytes.extend_from_slice(&self.first);
        bytes
    }

    fn numbers(&self) -> [u64; 9] {
        [
            self.stream,
            self.parent,
            self.start,
            self.position,
            self.line_number,
            self.line_count,
            self.value_bytes,
            self.skipped_bytes,
            self.first_offset,
        ]
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Bookmark> {
        let bytes = &mut bytes;
        let mut numbers = [0; 9];
        for number in &mut numbers {
            *number = u64::from_be_bytes(take(bytes)?);
        }
        let [stream, parent, start, position, line_number, line_count, value_bytes, skipped_bytes, first_offset] =
            numbers;
        let time_ms = i64::from_be_bytes(take(bytes)?);
        let time = (time_ms >= 0).then(|| Timestamp::from_millis(time_ms));
        let [is_in_trace] = take(bytes)?;
        let last_time = LastTime { time, is_in_trace: is_in_trace != 0 };
        let mut fingerprints = [Fingerprint::default(); 2];
        for fingerprint in &mut fingerprints {
            *fingerprint = Fingerprint { length: u32::from_be_bytes(take(bytes)?), hash: take(bytes)? };
        }
        let [head, tail] = fingerprints;
        let accounted = start.checked_add(value_bytes)?.checked_add(skipped_bytes)?;
        (accounted <= position && bytes.len() <= FIRST_BYTES).then(|| Bookmark {
            stream,
            parent,
            start,
            position,
            line_number,
            line_count,
            value_bytes,
            skipped_bytes,
            first_offset,
            last_time,
            head,
            tail,
            first: bytes.to_vec(),
        })
    }
}

/// The first bytes of `from`, which are taken off it.
pub(crate) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookmark() -> Bookmark {
        let mut trail = Trail::default();
        trail.push(b"first\nline\n");
        let time = Some(Timestamp::from_millis(7));
        let mut bookmark = Bookmark {
            stream: 1,
            parent: 2,
            start: 3,
            line_number: 5,
            line_count: 6,
            value_bytes: 4,
            skipped_bytes: 2,
            first_offset: 9,
            last_time: LastTime { time, is_in_trace: true },
            ..Bookmark::default()
        };
        bookmark.move_to(&trail);
        bookmark
    }

    #[test]
    fn bytes_go_there_and_back() {
        let bookmark = bookmark();
        let bytes = bookmark.encode();
        assert_eq!(bytes.len(), FIXED_BYTES + bookmark.first.len());
        assert_eq!(Bookmark::decode(&bytes), Some(bookmark.clone()));
        assert_eq!(Bookmark::decode(&bytes[..FIXED_BYTES - 1]), None);
        let timeless = Bookmark { last_time: LastTime::default(), ..bookmark };
        assert_eq!(Bookmark::decode(&timeless.encode()), Some(timeless));
    }

    #[test]
    fn every_byte_before_the_position_is_accounted_for() {
        let bookmark = bookmark();
        assert_eq!(bookmark.taken_off_bytes(), 11 - 3 - 4 - 2);
        let impossible = Bookmark { value_bytes: 12, ..bookmark };
        assert_eq!(Bookmark::decode(&impossible.encode()), None);
    }

    #[test]
    fn a_content_is_the_marked_one_if_both_ends_are() {
        let bookmark = bookmark();
        for (content, expected) in
            [(b"first\nline\n", true), (b"other\nline\n", false), (b"first\nlime\n", false), (b"first\nline\0", false)]
        {
            let mut trail = Trail::default();
            trail.push(content);
            assert_eq!(bookmark.is_at(&trail), expected, "{}", content.escape_ascii());
        }
        assert!(bookmark.may_begin(b"first"));
        assert!(bookmark.may_begin(b"first\nline\nand more"));
        assert!(!bookmark.may_begin(b"fist"));
    }
}
