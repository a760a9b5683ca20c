//! Collects files. Any number of threads do this at a time, each with one file.

use std::fs::Metadata;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use ottla::{Producer, Timestamp};

use crate::content::{Content, Opened};
use crate::failure::Failure;
use crate::identify::identify;
use crate::journal::Journal;
use crate::lines::{Lines, Piece};
use crate::notices::Notices;
use crate::open_file::OpenFile;
use crate::sender::{LINE_BYTES_MAX, Sender};
use crate::sources::Source;
use crate::streams::{Claimed, Identity, Streams};
use crate::tally::Tally;

/// No copy takes longer to be made.
const COPYING_MAX: Duration = Duration::from_secs(60);

/// What all collectors of a round work on.
#[derive(Debug)]
pub(crate) struct Work<'w> {
    pub(crate) sources: &'w [Source],
    pub(crate) journal: &'w Journal,
    pub(crate) streams: &'w Streams,
    pub(crate) notices: &'w Notices,
    /// A last line without its end may still be being written, unless the file has not changed for so long.
    pub(crate) settle: Duration,
    /// The user wants it to end.
    pub(crate) stop: &'w AtomicBool,
    /// Bytes that may still be collected.
    pub(crate) bytes_left: &'w AtomicU64,
    /// Bytes of records that may still be sent before the next checkpoint, for which nobody may be collecting.
    pub(crate) unchecked_bytes_left: AtomicU64,
    /// Bytes that are dealt with, for the progress bar.
    pub(crate) bytes_done: AtomicU64,
    /// The next source that nobody has taken.
    pub(crate) next_source: AtomicUsize,
}

/// What became of a source.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) source: usize,
    /// As it was when it was opened.
    pub(crate) metadata: Metadata,
    /// What it holds; an empty file holds nothing.
    pub(crate) stream: Option<u64>,
    /// Whether all that was there is dealt with.
    pub(crate) is_done: bool,
    pub(crate) has_news: bool,
}

impl Work<'_> {
    /// Collects sources until none is left.
    pub(crate) fn collect(&self, producer: &Producer) -> Result<(Tally, Vec<Outcome>), Failure> {
        let (mut tally, mut outcomes, mut buffer) = (Tally::default(), Vec::new(), Vec::new());
        loop {
            let index = self.next_source.fetch_add(1, Ordering::Relaxed);
            let Some(source) = self.sources.get(index) else { return Ok((tally, outcomes)) };
            if self.is_over() {
                tally.files_cut_short += 1;
                continue;
            }
            match self.collect_source(source, producer, &mut buffer, &mut tally) {
                Ok(outcome) => outcomes.extend(outcome.map(|outcome| Outcome { source: index, ..outcome })),
                // It was there a moment ago: it has another name now, under which it will be found.
                Err(Failure::File(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(Failure::File(error)) => self.notices.fail(&source.path, error),
                Err(Failure::Stopped) => tally.files_cut_short += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The part that is done, from 0 to 1.
    #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
    pub(crate) fn done(&self) -> f64 {
        let all: u64 = self.sources.iter().map(|source| source.length).sum();
        self.bytes_done.load(Ordering::Relaxed) as f64 / all.max(1) as f64
    }

    /// Whether a file that was `modified` then is not being written. So is one from the future: its clock is another one.
    fn is_settled(&self, modified: SystemTime) -> bool {
        modified.elapsed().unwrap_or_else(|future| future.duration()) > self.settle
    }

    /// Whether a file is being written and so new that it may be a copy that is being made. A log that is written without a pause
    /// is not left for long.
    fn is_settling(&self, metadata: &Metadata) -> Result<bool, Failure> {
        let age = metadata.created().ok().and_then(|created| created.elapsed().ok());
        Ok(!self.is_settled(metadata.modified()?) && age.is_some_and(|age| age < COPYING_MAX))
    }

    fn is_over(&self) -> bool {
        let is_used_up = |bytes_left: &AtomicU64| bytes_left.load(Ordering::Relaxed) == 0;
        self.stop.load(Ordering::Relaxed) || is_used_up(self.bytes_left) || self.is_checkpoint_due()
    }

    /// Whether this round ended because it is time for a checkpoint.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        self.unchecked_bytes_left.load(Ordering::Relaxed) == 0
    }

    fn collect_source(
        &self,
        source: &Source,
        producer: &Producer,
        buffer: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<Option<Outcome>, Failure> {
        let file = source.open()?;
        // Of the open file: the name may belong to another one by now.
        let metadata = file.metadata()?;
        let mut outcome = Outcome { source: 0, metadata, stream: None, is_done: true, has_news: false };
        let mut content = match Content::of(file)? {
            Opened::Content(content) => content,
            Opened::Other(codec) => {
                self.skip_file(&source.path, outcome.metadata.len(), codec, tally);
                return Ok(Some(outcome));
            }
        };
        let head = content.head()?;
        if head.is_empty() && content.damage().is_none() {
            return Ok(Some(outcome));
        }
        let Some(mut claimed) = self.claim(&mut content, &head, &source.path, &outcome.metadata, tally)? else {
            tally.left_bytes += outcome.metadata.len();
            return Ok(None);
        };
        outcome.stream = Some(claimed.bookmark.stream);
        let start = claimed.bookmark.position;
        let mut file = OpenFile {
            content,
            path: &source.path,
            length: outcome.metadata.len(),
            modified: outcome.metadata.modified()?,
        };
        outcome.is_done = self.collect_content(&mut file, &head, &mut claimed, producer, buffer, tally)?;
        outcome.has_news = claimed.bookmark.position > start;
        Ok(Some(outcome))
    }

    /// A file that is not read counts as read and skipped, once.
    fn skip_file(&self, path: &Path, length: u64, codec: &str, tally: &mut Tally) {
        if self.notices.tell(path, format!("skipped, {length} bytes: compressed with {codec}, which is not read here"))
        {
            tally.files_skipped += 1;
            tally.read_bytes += length;
            tally.skipped_bytes += length;
        }
    }

    /// Finds out what a file holds, and makes it the holder. `None` if that cannot be told yet: it is no more than what another
    /// content begins with, and may be a copy that is still being made.
    fn claim(
        &self,
        content: &mut Content,
        head: &[u8],
        path: &Path,
        metadata: &Metadata,
        tally: &mut Tally,
    ) -> Result<Option<Claimed<'_>>, Failure> {
        loop {
            let candidates = self.streams.candidates(head);
            let identity = identify(content, head, &candidates, path, (self.streams, self.journal), self.stop)?;
            let is_left = match identity {
                Identity::BeginningOf(..) => !self.is_settled(metadata.modified()?),
                Identity::NewOrBeginningOf(_) => self.is_settling(metadata)?,
                Identity::New | Identity::Known(_) => false,
            };
            if is_left {
                return Ok(None);
            }
            let Some(mut claimed) = self.streams.claim(&identity, head, &candidates, path) else { continue };
            if let Identity::NewOrBeginningOf(stream) = identity {
                let of = candidates.streams.iter().find(|candidate| candidate.bookmark.stream == stream);
                let other = of.map_or(Path::new("another"), |candidate| &candidate.path).display();
                let reason = format!("collected, but it may be a copy of what is no longer kept of {other}");
                self.notices.tell(path, reason);
            }
            let ends = self.journal.ends();
            let bookmark = &mut claimed.bookmark;
            if bookmark.position == bookmark.start {
                bookmark.first_offset = ends.get(Journal::partition_of(bookmark.stream)).copied().unwrap_or(0);
            }
            if let Some(original) = &claimed.copy_of {
                let (bytes, lines) = (claimed.bookmark.start, claimed.bookmark.line_number);
                let original = original.display();
                self.notices.tell(path, format!("lines 1 to {lines} skipped, {bytes} bytes: a copy of {original}"));
                tally.copies += 1;
                tally.read_bytes += bytes;
                tally.skipped_bytes += bytes;
                tally.copied_bytes += bytes;
            }
            return Ok(Some(claimed));
        }
    }

    /// Collects what lies behind the claimed bookmark, and moves it. Whether that was all there is.
    fn collect_content(
        &self,
        file: &mut OpenFile<'_>,
        head: &[u8],
        claimed: &mut Claimed<'_>,
        producer: &Producer,
        buffer: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<bool, Failure> {
        let Some(trail) = file.content.seek(claimed.bookmark.position, head)? else { return Ok(false) };
        let before = trail.position();
        let mut lines = Lines::new(trail, claimed.bookmark.line_number, LINE_BYTES_MAX, std::mem::take(buffer));
        let mut sender = Sender::new(producer, file.path, Timestamp::from(file.modified), &mut claimed.bookmark);
        let (mut is_end, mut sent_before) = (false, 0);
        while !is_end && !self.is_over() {
            let position_before = lines.trail().position();
            is_end = !file.fill(&mut lines)?;
            while let Some(piece) = lines.next() {
                self.deal_with(piece, &lines, &mut sender, tally)?;
            }
            if is_end && file.is_final(lines.read_position(), self.is_settled(file.modified))? {
                while let Some(piece) = lines.take_rest() {
                    self.deal_with(piece, &lines, &mut sender, tally)?;
                }
            }
            sender.send(&lines, tally)?;
            use_up(self.bytes_left, lines.trail().position() - position_before);
            use_up(&self.unchecked_bytes_left, sender.sent_bytes - sent_before);
            sent_before = sender.sent_bytes;
            if !file.content.is_compressed() {
                self.bytes_done.fetch_add(lines.trail().position() - position_before, Ordering::Relaxed);
            }
        }
        tally.files_cut_short += u64::from(!is_end);
        tally.read_bytes += lines.trail().position() - before;
        tally.taken_off_bytes += lines.taken_off_bytes;
        let left = lines.read_position() - lines.trail().position();
        tally.left_bytes += left;
        *buffer = lines.into_buffer();
        if is_end && let Some(damage) = file.content.damage() {
            self.tell_damage(file, damage);
            return Ok(false);
        }
        Ok(is_end && left == 0)
    }

    fn deal_with(&self, piece: Piece, lines: &Lines, sender: &mut Sender<'_>, tally: &mut Tally) -> ottla::Result<()> {
        match piece {
            Piece::Line(value) => sender.add(value, lines, tally),
            Piece::TooLong(bytes) => {
                let line = lines.line_number;
                let reason = format!("line {line} skipped, {bytes} bytes: longer than {LINE_BYTES_MAX} bytes");
                self.notices.tell(sender.path(), reason);
                tally.lines_skipped += 1;
                tally.skipped_bytes += bytes;
                sender.skip(bytes);
                Ok(())
            }
        }
    }

    /// A compressed file that is still being written is not damaged.
    fn tell_damage(&self, file: &OpenFile<'_>, damage: &str) {
        if self.is_settled(file.modified) {
            self.notices.fail(file.path, format!("not read to its end: {damage}"));
        }
    }
}

fn use_up(bytes_left: &AtomicU64, bytes: u64) {
    let take = |left: u64| Some(left.saturating_sub(bytes));
    let _ = bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
}
