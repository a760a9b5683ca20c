//! Reads back the lines of a stream, and compares them with a content. The oldest may be gone, also while this goes on.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla::ConsumerRecord;

use crate::bookmark::Bookmark;
use crate::content::Content;
use crate::failure::Failure;
use crate::fingerprint::{FINGERPRINT_BYTES, Trail};
use crate::journal::{Journal, LineHeaders, read_from};
use crate::lines::{Lines, Piece};
use crate::sender::LINE_BYTES_MAX;
use crate::streams::Link;

/// So much is read at a time: most files are small, and what stands behind them is of others.
const READ_BYTES: usize = 64 << 10;

/// What was compared, in lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) equal: u64,
    /// In the content before what is kept.
    pub(crate) no_longer_kept: u64,
    /// Kept, but an earlier version did not say where in the content.
    pub(crate) not_placed: u64,
}

/// How a content compares with what was collected of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// All that is kept of what was collected, and perhaps more.
    Whole(Extent),
    /// Equal as far as it goes, which is not to the end.
    Beginning { position: u64, line_number: u64 },
    /// It does not go to the end, and too little is kept to tell whether it is the beginning.
    Unknown,
    /// Another line was collected than this one, counted from 1, or none.
    Differs { line_number: u64 },
}

/// Compares `content`, from its beginning, with the stream that is made of `chain`, value by value, until `stop` says no. What is
/// no longer kept of the stream is passed over.
pub(crate) fn compare(
    content: &mut Content,
    chain: &[Link],
    journal: &Journal,
    stop: &AtomicBool,
) -> Result<Comparison, Failure> {
    content.seek(0, &[])?;
    let lines = Lines::new(Trail::default(), 0, LINE_BYTES_MAX, Vec::new());
    let mut compared = Compared { lines, extent: Extent::default(), kept_from: 0 };
    for link in chain {
        // Where nothing is known any more of the stream that it begins with.
        if let Some(end) = compared.pass_over(content, link.begin)? {
            return Ok(end);
        }
        let mut stored = StoredLines::new(journal, *link)?;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            // Behind the last batch there may be what was taken off or skipped, but no line.
            let batch = stored.next_batch()?;
            let is_last = batch.is_none();
            let batch = batch.unwrap_or_else(|| stored.end());
            if let Some(begin) = batch.kept_from
                && let Some(end) = compared.pass_over(content, begin.min(link.end))?
            {
                return Ok(end);
            }
            compared.extent.not_placed += batch.not_placed;
            compared.extent.no_longer_kept = compared.extent.no_longer_kept.saturating_sub(batch.not_placed);
            if let Some(end) = compared.go_on(content, &batch, link.end)? {
                return Ok(end);
            }
            if is_last || link.end <= batch.position {
                break;
            }
        }
    }
    Ok(Comparison::Whole(compared.extent))
}

struct Compared {
    lines: Lines,
    extent: Extent,
    /// Up to here something was passed over, so only what lies behind it was compared without a gap.
    kept_from: u64,
}

impl Compared {
    /// Passes over what lies before `end` and is no longer kept. `None` if the content goes so far.
    fn pass_over(&mut self, content: &mut Content, end: u64) -> Result<Option<Comparison>, Failure> {
        if end <= self.lines.read_position() {
            return Ok(None);
        }
        loop {
            while let Some(piece) = self.lines.next() {
                self.extent.no_longer_kept += u64::from(matches!(piece, Piece::Line(_)));
            }
            let left = end.saturating_sub(self.lines.read_position());
            if left == 0 {
                break;
            }
            if self.lines.fill(content, left)? == 0 {
                return Ok(Some(Comparison::Unknown));
            }
        }
        // A line without an end that was taken as one.
        let rest = self.lines.take_rest();
        self.extent.no_longer_kept += u64::from(matches!(rest, Some(Piece::Line(_))));
        self.kept_from = end;
        Ok(None)
    }

    /// Compares up to the batch's position, but not beyond `end`. `None` if all is equal up to there.
    fn go_on(&mut self, content: &mut Content, batch: &StoredBatch, end: u64) -> Result<Option<Comparison>, Failure> {
        // What was passed over lies behind the whole batch, or behind all of it that is of this content.
        let is_passed = batch.position.min(end) <= self.kept_from && self.kept_from > 0;
        if is_passed {
            return Ok(None);
        }
        let mut expected = batch.values.iter().map(|value| batch.bytes.get(value.clone()).unwrap_or_default());
        let is_cut = end < batch.position;
        let end = end.min(batch.position);
        loop {
            while let Some(piece) = self.lines.next() {
                if let Piece::Line(line) = piece {
                    if expected.next() != Some(self.lines.value(&line)) {
                        return Ok(Some(Comparison::Differs { line_number: self.lines.line_number }));
                    }
                    self.extent.equal += 1;
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
                self.extent.equal += u64::from(!rest.is_empty());
                self.lines.take_rest();
                let line_number = self.lines.line_number;
                return Ok((!is_equal).then_some(Comparison::Differs { line_number }));
            }
            let rest = self.lines.pending();
            let without_return = rest.strip_suffix(b"\r").unwrap_or(rest);
            let is_equal = rest.is_empty() || expected.next().is_some_and(|value| value.starts_with(without_return));
            let (position, line_number) = (self.lines.read_position(), self.lines.line_number);
            return Ok(match (is_equal, is_short) {
                (true, true) if self.is_too_little(position) => Some(Comparison::Unknown),
                (true, true) => Some(Comparison::Beginning { position, line_number }),
                (true, false) => None,
                (false, _) => Some(Comparison::Differs { line_number: line_number + 1 }),
            });
        }
    }

    /// Whether what was compared before `position` is less than what tells one content from another.
    fn is_too_little(&self, position: u64) -> bool {
        self.kept_from > 0 && position < self.kept_from + FINGERPRINT_BYTES as u64
    }
}

/// Lines that were sent in one piece, up to a position of their stream.
#[derive(Debug, Default)]
struct StoredBatch {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
    position: u64,
    /// What lies before may be no longer kept: from this position of the stream on it is.
    kept_from: Option<u64>,
    /// Lines that are not among the values, since it is not known where they begin.
    not_placed: u64,
}

/// The batches of one stream. Between them stand those of others, which end with the others' bookmarks.
struct StoredLines<'j> {
    journal: &'j Journal,
    link: Link,
    offset: u64,
    /// Of whom it is not yet known.
    open: StoredBatch,
    ready: VecDeque<StoredBatch>,
    is_gone: bool,
    /// Whether lines are gone since the last batch of the stream, perhaps some of it.
    has_gap: bool,
}

impl<'j> StoredLines<'j> {
    fn new(journal: &'j Journal, link: Link) -> Result<StoredLines<'j>, Failure> {
        let offset = link.first_offset;
        // To look for what is gone would be to read to the end of the log.
        let is_gone = journal.is_gone(link.stream, offset).map_err(Failure::Log)?;
        let (open, ready) = (StoredBatch::default(), VecDeque::new());
        Ok(StoredLines { journal, link, offset, open, ready, is_gone, has_gap: is_gone })
    }

    /// What follows the last batch: nothing that is kept.
    fn end(&self) -> StoredBatch {
        let position = self.link.end;
        StoredBatch { position, kept_from: self.has_gap.then_some(position), ..StoredBatch::default() }
    }

    fn next_batch(&mut self) -> Result<Option<StoredBatch>, Failure> {
        while self.ready.is_empty() && !self.is_gone {
            let before = self.offset;
            let partition = self.journal.lines_of(self.link.stream).map_err(Failure::Log)?;
            let mut next = before;
            self.offset = read_from(partition, before, READ_BYTES, |records| {
                for record in records {
                    if next < record.offset() {
                        self.open = StoredBatch::default();
                        self.has_gap = true;
                    }
                    next = record.offset() + 1;
                    self.add(&record)?;
                }
                Ok(self.ready.is_empty())
            })
            .map_err(Failure::Log)?;
            // With nothing behind it, what is gone is only seen by where reading goes on.
            if next < self.offset {
                self.open = StoredBatch::default();
                self.has_gap = true;
            }
            if self.offset == before {
                break;
            }
        }
        Ok(self.ready.pop_front())
    }

    fn add(&mut self, record: &ConsumerRecord<'_>) -> crate::Result<()> {
        let start = self.open.bytes.len();
        self.open.bytes.extend_from_slice(record.value().unwrap_or_default());
        self.open.values.push(start..self.open.bytes.len());
        let headers = LineHeaders::of(record);
        let Some(bytes) = headers.bookmark else { return Ok(()) };
        let bookmark = Bookmark::decode(bytes).ok_or("a line has a bookmark of another form")?;
        let mut batch = std::mem::take(&mut self.open);
        if bookmark.stream != self.link.stream {
            return Ok(());
        }
        batch.position = bookmark.position;
        if std::mem::take(&mut self.has_gap) {
            let is_first = bookmark.line_count == batch.values.len() as u64;
            let begin = if is_first { Some(bookmark.start) } else { headers.begin };
            if begin.is_none() {
                batch.not_placed = std::mem::take(&mut batch.values).len() as u64;
            }
            batch.kept_from = Some(begin.unwrap_or(bookmark.position));
        }
        self.ready.push_back(batch);
        Ok(())
    }
}
