//! Reads files and sends their lines. Any number of threads do this at a time, each with one file.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ottla::{Header, Producer, ProducerRecord, Timestamp};

use crate::bookmark::{BOOKMARK, Bookmark, Bookmarks, FileId};
use crate::line::{Level, timestamp_of};
use crate::{LEVEL, PARTITIONS, TOPIC};

/// So much of a file is read at a time; a longer line becomes several records.
const CHUNK_BYTES: usize = 256 << 10;
/// A batch is sent when it has about so many bytes: well within what a topic takes by default.
const BATCH_BYTES: usize = 512 << 10;
/// What a record takes besides its key and value, generously.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// A file with a zero byte so near its start is no text.
const HEAD_BYTES: usize = 8 << 10;
/// A last line without its end may still be being written, unless the file has not changed for so long.
const QUIET: Duration = Duration::from_secs(5);

/// What all collectors work on.
#[derive(Debug)]
pub(crate) struct Work<'w> {
    pub(crate) files: &'w [PathBuf],
    pub(crate) bookmarks: &'w Bookmarks,
    pub(crate) run: u64,
    /// The next file that nobody has taken.
    pub(crate) next_file: AtomicUsize,
    /// Bytes that are dealt with, for the progress bar.
    pub(crate) bytes_done: AtomicU64,
    /// Bytes that may still be collected in this run.
    pub(crate) bytes_left: AtomicU64,
}

/// What was collected, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) files: usize,
    pub(crate) unchanged: usize,
    pub(crate) binary: usize,
    pub(crate) unreadable: usize,
    pub(crate) cut_short: usize,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) fingerprints: [Fingerprint; PARTITIONS],
}

/// Stands for a set of records and their offsets, in whatever order they come: equal sets have equal fingerprints.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) records: u64,
    sum: u64,
}

impl Fingerprint {
    pub(crate) fn add(&mut self, offset: u64, value: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(offset);
        hasher.write(value);
        self.records += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    pub(crate) fn merge(&mut self, other: Fingerprint) {
        self.records += other.records;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Collected {
    pub(crate) fn merge(&mut self, other: &Collected) {
        self.files += other.files;
        self.unchanged += other.unchanged;
        self.binary += other.binary;
        self.unreadable += other.unreadable;
        self.cut_short += other.cut_short;
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.fingerprints.iter_mut().zip(other.fingerprints).for_each(|(mine, other)| mine.merge(other));
    }
}

/// Why a file was not collected to its end: the file's fault is no reason to stop, the log's is.
enum Failure {
    File,
    Log(ottla::Error),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Failure {
        Failure::File
    }
}

impl From<ottla::Error> for Failure {
    fn from(error: ottla::Error) -> Failure {
        Failure::Log(error)
    }
}

/// Collects files until none is left.
pub(crate) fn collect(work: &Work<'_>, producer: &Producer) -> ottla::Result<Collected> {
    let mut collected = Collected::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Some(path) = work.files.get(work.next_file.fetch_add(1, Ordering::Relaxed)) {
        if work.bytes_left.load(Ordering::Relaxed) == 0 {
            collected.cut_short += 1;
            continue;
        }
        match collect_file(work, producer, path, &mut buffer, &mut collected) {
            Ok(()) => {}
            Err(Failure::File) => collected.unreadable += 1,
            Err(Failure::Log(error)) => return Err(error),
        }
    }
    Ok(collected)
}

fn collect_file(
    work: &Work<'_>,
    producer: &Producer,
    path: &Path,
    buffer: &mut [u8],
    collected: &mut Collected,
) -> Result<(), Failure> {
    let mut file = File::open(path)?;
    // Of the open file: the name may belong to another one by now.
    let metadata = file.metadata()?;
    let id = FileId::of(path, &metadata);
    let mut head = Vec::new();
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    if head.contains(&0) {
        collected.binary += 1;
        work.bytes_done.fetch_add(metadata.len(), Ordering::Relaxed);
        return Ok(());
    }
    let modified = metadata.modified()?;
    let start = work.bookmarks.position_in(id, metadata.len(), &head);
    work.bytes_done.fetch_add(start, Ordering::Relaxed);
    file.seek(SeekFrom::Start(start))?;

    let mut sender = Sender {
        producer,
        key: path.as_os_str().as_encoded_bytes(),
        modified: Timestamp::from(modified),
        levels: Level::ALL.map(|level| [Header::new(LEVEL, level.name())]),
        bookmark: &|position| Bookmark::new(work.run, id, position, &head),
        position: start,
        collected,
    };
    // What is appended from here on is for the next run; a busy log would keep this one for ever.
    let mut rest = file.take(metadata.len() - start);
    let is_quiet = modified.elapsed().is_ok_and(|age| age > QUIET);
    let mut filled = 0;
    loop {
        let read = rest.read(&mut buffer[filled..])?;
        filled += read;
        let is_end = read == 0;
        let lines_end = buffer[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let takes_all = filled == buffer.len() && lines_end == 0 || is_end && is_quiet;
        let ready = if takes_all { filled } else { lines_end };
        sender.send(&buffer[..ready])?;
        buffer.copy_within(ready..filled, 0);
        filled -= ready;
        work.bytes_done.fetch_add(read as u64, Ordering::Relaxed);
        let is_over_limit = is_limit_reached(&work.bytes_left, ready as u64);
        if is_end || is_over_limit {
            sender.collected.cut_short += usize::from(!is_end);
            let changed = sender.position > start;
            collected.files += usize::from(changed);
            collected.unchanged += usize::from(!changed);
            return Ok(());
        }
    }
}

/// Takes `bytes` from what is left; whether that was the last of it.
fn is_limit_reached(bytes_left: &AtomicU64, bytes: u64) -> bool {
    let take = |left: u64| Some(left.saturating_sub(bytes));
    let before = bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    before.unwrap_or_default() <= bytes
}

/// Sends the lines of one file.
struct Sender<'s> {
    producer: &'s Producer,
    key: &'s [u8],
    modified: Timestamp,
    /// The headers of each level, borrowed by every record that has it.
    levels: [[Header<'static>; 1]; Level::ALL.len()],
    bookmark: &'s dyn Fn(u64) -> Bookmark,
    position: u64,
    collected: &'s mut Collected,
}

impl Sender<'_> {
    /// Sends all lines of `text`, which follows what was sent before.
    fn send(&mut self, text: &[u8]) -> ottla::Result<()> {
        let mut batch: Vec<(&[u8], Level)> = Vec::new();
        let mut batch_bytes = 0;
        let mut position = self.position;
        for line_with_end in text.split_inclusive(|byte| *byte == b'\n') {
            let line = line_with_end.strip_suffix(b"\n").unwrap_or(line_with_end);
            let bytes = line.len() + self.key.len() + RECORD_OVERHEAD_BYTES;
            if batch_bytes + bytes > BATCH_BYTES && !batch.is_empty() {
                self.send_batch(&batch, position)?;
                batch.clear();
                batch_bytes = 0;
            }
            batch.push((line, Level::of_line(line)));
            batch_bytes += bytes;
            position += line_with_end.len() as u64;
        }
        self.send_batch(&batch, position)
    }

    /// Sends lines in one piece, with a bookmark on the last.
    fn send_batch(&mut self, lines: &[(&[u8], Level)], end: u64) -> ottla::Result<()> {
        let Some((_, last_level)) = lines.last() else { return Ok(()) };
        let bookmark = (self.bookmark)(end).encode();
        let last_headers = [self.levels[*last_level as usize][0], Header::new(BOOKMARK, &bookmark)];
        let mut records: Vec<ProducerRecord<'_>> = Vec::with_capacity(lines.len());
        for (line, level) in lines {
            let record = ProducerRecord::to(TOPIC).key(self.key).value(*line).headers(&self.levels[*level as usize]);
            let timestamp = timestamp_of(line, self.modified);
            records.push(timestamp.into_iter().fold(record, ProducerRecord::timestamp));
        }
        if let Some(last) = records.pop() {
            records.push(last.headers(&last_headers));
        }
        let sent = self.producer.send_batch(TOPIC, &records)?;
        for ((line, _), sent) in lines.iter().zip(&sent) {
            self.collected.fingerprints[sent.partition() as usize].add(sent.offset(), line);
            self.collected.bytes += line.len() as u64;
        }
        self.collected.lines += lines.len() as u64;
        self.position = end;
        Ok(())
    }
}
