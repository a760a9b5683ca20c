//! Sends the lines of one file in batches, each with a bookmark on its last line.

use std::ops::Range;
use std::path::Path;

use ottla::{Header, Producer, ProducerRecord, Timestamp};

use crate::bookmark::Bookmark;
use crate::dating::{Dating, LastTime};
use crate::journal::{BEGIN, BOOKMARK, Journal, LEVEL, LINES, TIME};
use crate::keep::BATCH_BYTES_MAX;
use crate::level::Level;
use crate::lines::Lines;
use crate::tally::Tally;

/// A batch is sent when it has about so many bytes; a longer line goes alone.
const BATCH_BYTES: usize = 512 << 10;
/// What a record takes besides its key and value, generously.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// A longer line does not fit into a batch, with the longest name of a file for its key.
pub(crate) const LINE_BYTES_MAX: usize = BATCH_BYTES_MAX as usize - (8 << 10);
/// So much of a line is shown as a sample.
const SAMPLE_BYTES: usize = 100;

pub(crate) struct Sender<'s> {
    producer: &'s Producer,
    partition: u32,
    path: &'s Path,
    modified: Timestamp,
    bookmark: &'s mut Bookmark,
    /// That of the last line that was added, sent or not.
    last_time: LastTime,
    /// For each level and origin of the time, borrowed by all records that have them.
    headers: [[LineHeaders; Dating::ALL.len()]; Level::ALL.len()],
    batch: Vec<Line>,
    batch_bytes: usize,
    /// About so many bytes of records were sent.
    pub(crate) sent_bytes: u64,
    /// Not yet in the bookmark.
    skipped_bytes: u64,
}

/// A line whose value stands there in the buffer.
struct Line {
    value: Range<usize>,
    level: Level,
    time: Timestamp,
    dating: Dating,
}

/// The headers of a level and of where the time comes from.
type LineHeaders = [Header<'static>; 2];

impl<'s> Sender<'s> {
    /// Sends the lines of the file at `path`, last `modified` then, that follow `bookmark`.
    pub(crate) fn new(
        producer: &'s Producer,
        path: &'s Path,
        modified: Timestamp,
        bookmark: &'s mut Bookmark,
    ) -> Sender<'s> {
        let partition = u32::try_from(Journal::partition_of(bookmark.stream)).unwrap_or(0);
        let last_time = bookmark.last_time;
        let headers = Level::ALL.map(|level| {
            Dating::ALL.map(|dating| [Header::new(LEVEL, level.name()), Header::new(TIME, dating.name())])
        });
        Sender {
            producer,
            partition,
            path,
            modified,
            bookmark,
            last_time,
            headers,
            batch: Vec::new(),
            batch_bytes: 0,
            sent_bytes: 0,
            skipped_bytes: 0,
        }
    }

    /// Adds the line that `lines` has just taken, and sends the batch if it is full.
    pub(crate) fn add(&mut self, value: Range<usize>, lines: &Lines, tally: &mut Tally) -> ottla::Result<()> {
        let line = lines.value(&value);
        let (time, dating) = self.last_time.date(line, self.modified);
        if dating == Dating::NotUnderstood {
            let path = self.path.display();
            let shown = line.get(..SAMPLE_BYTES).unwrap_or(line).escape_ascii();
            tally.sample(|| format!("{path}:{}: {shown}", lines.line_number));
        }
        self.batch_bytes += line.len() + self.path.as_os_str().len() + RECORD_OVERHEAD_BYTES;
        self.batch.push(Line { level: Level::of_line(line), value, time, dating });
        if self.batch_bytes < BATCH_BYTES { Ok(()) } else { self.send(lines, tally) }
    }

    pub(crate) fn path(&self) -> &'s Path {
        self.path
    }

    /// Notes that the line that was just taken is skipped, being too long. The next batch says so.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.skipped_bytes += bytes;
    }

    /// Sends what was added, and moves the bookmark to where `lines` is: with the lines, or without if there are none.
    pub(crate) fn send(&mut self, lines: &Lines, tally: &mut Tally) -> ottla::Result<()> {
        let value_bytes: usize = self.batch.iter().map(|line| line.value.len()).sum();
        let mut bookmark = self.bookmark.clone();
        bookmark.move_to(lines.trail());
        bookmark.line_number = lines.line_number;
        bookmark.line_count += self.batch.len() as u64;
        bookmark.value_bytes += value_bytes as u64;
        bookmark.skipped_bytes += std::mem::take(&mut self.skipped_bytes);
        bookmark.last_time = self.last_time;
        self.send_batch(&bookmark, lines, tally)?;
        *self.bookmark = bookmark;
        tally.lines += self.batch.len() as u64;
        tally.value_bytes += value_bytes as u64;
        for line in &self.batch {
            tally.not_understood += u64::from(line.dating == Dating::NotUnderstood);
            if let Some(count) = tally.levels.get_mut(line.level as usize) {
                *count += 1;
            }
        }
        self.batch.clear();
        self.sent_bytes += std::mem::take(&mut self.batch_bytes) as u64;
        Ok(())
    }

    fn send_batch(&self, bookmark: &Bookmark, lines: &Lines, tally: &mut Tally) -> ottla::Result<()> {
        let Some(last) = self.batch.last() else { return Ok(()) };
        let bookmark = bookmark.encode();
        let mut last_headers = self.headers_of(last).to_vec();
        let begin = self.bookmark.position.to_be_bytes();
        last_headers.push(Header::new(BOOKMARK, &bookmark));
        last_headers.push(Header::new(BEGIN, &begin));
        let mut records: Vec<_> = self.batch.iter().map(|line| self.record(line, lines)).collect();
        if let Some(last) = records.pop() {
            records.push(last.headers(&last_headers));
        }
        let sent = self.producer.send_batch(LINES, &records)?;
        if let Some(sum) = tally.sums.get_mut(self.partition as usize) {
            for (line, sent) in self.batch.iter().zip(&sent) {
                sum.add(sent.offset(), lines.value(&line.value));
            }
        }
        Ok(())
    }

    fn record<'r>(&'r self, line: &Line, lines: &'r Lines) -> ProducerRecord<'r> {
        ProducerRecord::to(LINES)
            .partition(self.partition)
            .key(self.path.as_os_str().as_encoded_bytes())
            .value(lines.value(&line.value))
            .headers(self.headers_of(line))
            .timestamp(line.time)
    }

    /// A time of its own is the rule, so that is not said.
    fn headers_of(&self, line: &Line) -> &[Header<'static>] {
        let of_level = self.headers.get(line.level as usize);
        let headers =
            of_level.and_then(|of_level| of_level.get(line.dating as usize)).map_or(&[][..], |headers| headers);
        if line.dating == Dating::Own { headers.get(..1).unwrap_or(headers) } else { headers }
    }
}
