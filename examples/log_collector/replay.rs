//! Reads back the lines of a stream, and compares them with a content.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bookmark::Bookmark;
use crate::content::Content;
use crate::failure::Failure;
use crate::fingerprint::Trail;
use crate::journal::{Journal, LineHeaders, read_from};
use crate::lines::{Lines, Piece};
use crate::sender::LINE_BYTES_MAX;
use crate::streams::Link;

/// So much is read at a time: most files are small, and what stands behind them is of others.
const READ_BYTES: usize = 64 << 10;

/// How a content compares with what was collected of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// All that was collected, and perhaps more. So many lines were compared.
    Whole(u64),
    /// Equal as far as it goes, which is not to the end.
    Beginning { position: u64, line_number: u64 },
    /// Another line was collected than this one, counted from 1, or none.
    Differs { line_number: u64 },
}

/// Compares `content`, from its beginning, with the stream that is made of `chain`, value by value, until `stop` says no.
pub(crate) fn compare(
    content: &mut Content,
    chain: &[Link],
    journal: &Journal,
    stop: &AtomicBool,
) -> Result<Comparison, Failure> {
    content.seek(0, &[])?;
    let mut compared = Compared { lines: Lines::new(Trail::default(), 0, LINE_BYTES_MAX, Vec::new()), line_count: 0 };
    for link in chain {
        let mut stored = StoredLines::new(journal, *link);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            // Behind the last batch there may be what was taken off or skipped, but no line.
            let batch = stored.next_batch()?;
            let is_last = batch.is_none();
            let batch = batch.unwrap_or(StoredBatch { position: link.end, ..StoredBatch::default() });
            if let Some(end) = compared.go_on(content, &batch, link.end)? {
                return Ok(end);
            }
            if is_last || link.end <= batch.position {
                break;
            }
        }
    }
    Ok(Comparison::Whole(compared.line_count))
}

struct Compared {
    lines: Lines,
    line_count: u64,
}

impl Compared {
    /// Compares up to the batch's position, but not beyond `end`. `None` if all is equal up to there.
    fn go_on(&mut self, content: &mut Content, batch: &StoredBatch, end: u64) -> Result<Option<Comparison>, Failure> {
        let mut expected = batch.values.iter().map(|value| batch.bytes.get(value.clone()).unwrap_or_default());
        let is_cut = end < batch.position;
        let end = end.min(batch.position);
        loop {
            while let Some(piece) = self.lines.next() {
                if let Piece::Line(line) = piece {
                    if expected.next() != Some(self.lines.value(&line)) {
                        return Ok(Some(Comparison::Differs { line_number: self.lines.line_number }));
                    }
                    self.line_count += 1;
                }
            }
            let left = end.saturating_sub(self.lines.read_position());
            if left > 0 && self.lines.fill(content, left)? > 0 {
                continue;
            }
            let is_short = left > 0;
            if !is_short && !is_cut {
                // A line without an end that was taken as one.
                let rest = self.lines.pending().to_vec();
                let is_equal = (rest.is_empty() || expected.next() == Some(&rest)) && expected.next().is_none();
                self.lines.take_rest();
                let line_number = self.lines.line_number;
                return Ok((!is_equal).then_some(Comparison::Differs { line_number }));
            }
            let rest = self.lines.pending();
            let without_return = rest.strip_suffix(b"\r").unwrap_or(rest);
            let is_equal = rest.is_empty() || expected.next().is_some_and(|value| value.starts_with(without_return));
            let (position, line_number) = (self.lines.read_position(), self.lines.line_number);
            return Ok(match (is_equal, is_short) {
                (true, true) => Some(Comparison::Beginning { position, line_number }),
                (true, false) => None,
                (false, _) => Some(Comparison::Differs { line_number: line_number + 1 }),
            });
        }
    }
}

/// Lines that were sent in one piece, up to a position of their stream.
#[derive(Debug, Default)]
struct StoredBatch {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
    position: u64,
}

/// The batches of one stream. Between them stand those of others, which end with the others' bookmarks.
struct StoredLines<'j> {
    journal: &'j Journal,
    link: Link,
    offset: u64,
    /// Of whom it is not yet known.
    open: StoredBatch,
    ready: VecDeque<StoredBatch>,
}

impl<'j> StoredLines<'j> {
    fn new(journal: &'j Journal, link: Link) -> StoredLines<'j> {
        let offset = link.first_offset;
        StoredLines { journal, link, offset, open: StoredBatch::default(), ready: VecDeque::new() }
    }

    fn next_batch(&mut self) -> Result<Option<StoredBatch>, Failure> {
        while self.ready.is_empty() {
            let before = self.offset;
            let partition = self.journal.lines_of(self.link.stream).map_err(Failure::Log)?;
            let (open, ready, stream) = (&mut self.open, &mut self.ready, self.link.stream);
            self.offset = read_from(partition, self.offset, READ_BYTES, |records| {
                for record in records {
                    let start = open.bytes.len();
                    open.bytes.extend_from_slice(record.value().unwrap_or_default());
                    open.values.push(start..open.bytes.len());
                    if let Some(bytes) = LineHeaders::of(&record).bookmark {
                        let bookmark = Bookmark::decode(bytes).ok_or("a line has a bookmark of another form")?;
                        open.position = bookmark.position;
                        let batch = std::mem::take(open);
                        if bookmark.stream == stream {
                            ready.push_back(batch);
                        }
                    }
                }
                Ok(ready.is_empty())
            })
            .map_err(Failure::Log)?;
            if self.offset == before {
                break;
            }
        }
        Ok(self.ready.pop_front())
    }
}
