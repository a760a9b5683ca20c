//! Looks for files and collects them, round after round, until nothing was rotated meanwhile, or until the user stops it.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::Result;
use crate::collector::{Outcome, Work};
use crate::failure::Failure;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::options::Options;
use crate::sources::{FileKey, Source, Sources};
use crate::streams::Streams;
use crate::tally::Tally;

const COLLECTORS: usize = 4;
/// Files are kept open in case they lose their names before their last lines were read: so many, and so long without a name.
const HELD_FILES_MAX: usize = 128;
const HELD_WITHOUT_NAME: Duration = Duration::from_secs(30);
/// A file may change and still have the same time of change, if that is no older than this.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// What is remembered from round to round.
#[derive(Debug)]
pub(crate) struct Rounds<'r> {
    pub(crate) journal: &'r Journal,
    pub(crate) streams: &'r Streams,
    pub(crate) notices: &'r Notices,
    pub(crate) stop: &'r AtomicBool,
    pub(crate) bytes_left: AtomicU64,
    paths: Vec<PathBuf>,
    data_dir: PathBuf,
    settle: Duration,
    /// After so many bytes of records a round ends, for a checkpoint.
    checkpoint_bytes: Option<u64>,
    is_following: bool,
    is_first: bool,
    /// Files that need not be looked at while they look the same.
    settled: HashMap<PathBuf, Settled>,
    held: HashMap<FileKey, Held>,
    /// Every stream that a file held, and whether something of it was new.
    pub(crate) seen: HashMap<u64, bool>,
    /// What the last round found, by name.
    listing: Vec<(PathBuf, FileKey)>,
}

/// A file that was dealt with, and the stream that it holds.
#[derive(Debug)]
struct Settled {
    key: FileKey,
    length: u64,
    modified: SystemTime,
    stream: Option<u64>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    file: File,
    without_name_since: Option<Instant>,
}

impl Settled {
    fn is_still(&self, key: FileKey, metadata: &Metadata) -> bool {
        let modified = metadata.modified().ok();
        self.key == key && self.length == metadata.len() && Some(self.modified) == modified
    }
}

/// What one round found and did.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) tally: Tally,
    pub(crate) other_names: u64,
    pub(crate) specials: u64,
    pub(crate) dangling: u64,
    /// Whether files came, went or changed their names since the round before.
    pub(crate) has_moved: bool,
    /// Whether there is more to collect, after a checkpoint.
    pub(crate) is_checkpoint_due: bool,
}

impl<'r> Rounds<'r> {
    pub(crate) fn new(
        (journal, streams, notices): (&'r Journal, &'r Streams, &'r Notices),
        stop: &'r AtomicBool,
        paths: Vec<PathBuf>,
        options: &Options,
    ) -> Rounds<'r> {
        Rounds {
            journal,
            streams,
            notices,
            stop,
            bytes_left: AtomicU64::new(options.bytes_max),
            paths,
            data_dir: options.data_dir.clone(),
            settle: options.settle,
            checkpoint_bytes: options.keep.checkpoint_bytes(),
            is_following: options.is_following,
            is_first: true,
            settled: HashMap::new(),
            held: HashMap::new(),
            seen: HashMap::new(),
            listing: Vec::new(),
        }
    }

    /// Looks for files and collects them. `meanwhile` is called again and again while that goes on, with the part of it that is
    /// done, from 0 to 1, and once more at its end.
    pub(crate) fn run(&mut self, mut meanwhile: impl FnMut(f64) -> Result<()>) -> Result<Round> {
        let mut sources = Sources::find(&self.paths_to_look_at(), &self.data_dir, self.notices);
        let listing: Vec<_> = sources.files.iter().map(|source| (source.path.clone(), source.key)).collect();
        let mut round = Round {
            other_names: sources.other_names,
            specials: sources.specials,
            dangling: sources.dangling,
            has_moved: is_other(&self.listing, &listing),
            ..Round::default()
        };
        self.streams.begin_round();
        let mut files = self.without_settled(mem::take(&mut sources.files));
        self.listing = listing;
        files.extend(self.without_name());
        let outcomes = self.collect(&files, &mut round, &mut meanwhile)?;
        for outcome in outcomes {
            self.remember(&files, outcome);
        }
        Ok(round)
    }

    /// Whether as many bytes were collected as may be.
    pub(crate) fn is_limit_reached(&self) -> bool {
        self.bytes_left.load(Ordering::Relaxed) == 0
    }

    /// What the user named. What was there in the first round may be gone for a moment while it is rotated.
    fn paths_to_look_at(&mut self) -> Vec<PathBuf> {
        let is_first = mem::take(&mut self.is_first);
        self.paths.iter().filter(|path| is_first || path.exists()).cloned().collect()
    }

    /// Leaves out what looks as it did when all of it was dealt with.
    fn without_settled(&self, mut files: Vec<Source>) -> Vec<Source> {
        files.retain(|source| {
            let Some(settled) = self.settled.get(&source.path) else { return true };
            let Ok(metadata) = std::fs::metadata(&source.path) else { return true };
            let is_still = settled.is_still(FileKey::of(&source.path, &metadata), &metadata);
            if let (true, Some(stream)) = (is_still, settled.stream) {
                self.streams.keep(stream);
            }
            !is_still
        });
        files
    }

    /// Files that were open in the last round and have no name any more: their last lines may not have been read.
    fn without_name(&mut self) -> Vec<Source> {
        let mut files = Vec::new();
        let listing = &self.listing;
        self.held.retain(|key, held| {
            if listing.iter().any(|(_, listed)| listed == key) {
                held.without_name_since = None;
                return true;
            }
            if let (Ok(metadata), Ok(file)) = (held.file.metadata(), held.file.try_clone()) {
                let path = held.path.clone();
                files.push(Source { path, key: *key, length: metadata.len(), file: Some(file) });
            }
            held.without_name_since.get_or_insert_with(Instant::now).elapsed() < HELD_WITHOUT_NAME
        });
        files
    }

    fn collect(
        &self,
        sources: &[Source],
        round: &mut Round,
        meanwhile: &mut impl FnMut(f64) -> Result<()>,
    ) -> Result<Vec<Outcome>> {
        let work = Work {
            sources,
            journal: self.journal,
            streams: self.streams,
            notices: self.notices,
            settle: self.settle,
            stop: self.stop,
            bytes_left: &self.bytes_left,
            unchecked_bytes_left: AtomicU64::new(self.checkpoint_bytes.unwrap_or(u64::MAX)),
            bytes_done: AtomicU64::new(0),
            next_source: AtomicUsize::new(0),
        };
        let producer = self.journal.broker.producer();
        let mut outcomes = Vec::new();
        thread::scope(|scope| {
            let threads = COLLECTORS.min(sources.len());
            let collectors: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.collect(&producer))).collect();
            let mut shown = Ok(());
            while !collectors.iter().all(thread::ScopedJoinHandle::is_finished) && shown.is_ok() {
                shown = meanwhile(work.done());
            }
            for collector in collectors {
                let (theirs, found) =
                    collector.join().map_err(|_| "a collector panicked")?.map_err(Failure::into_error)?;
                round.tally.merge(theirs);
                outcomes.extend(found);
            }
            shown
        })?;
        meanwhile(1.0)?;
        round.is_checkpoint_due = work.is_checkpoint_due();
        Ok(outcomes)
    }

    fn remember(&mut self, sources: &[Source], outcome: Outcome) {
        let Outcome { source, metadata, stream, is_done, has_news } = outcome;
        if let Some(stream) = stream {
            *self.seen.entry(stream).or_default() |= has_news;
        }
        let Some(Source { path, file: None, .. }) = sources.get(source) else { return };
        let key = FileKey::of(path, &metadata);
        if is_done && let Some(modified) = metadata.modified().ok().filter(is_surely_past) {
            self.settled.insert(path.clone(), Settled { key, length: metadata.len(), modified, stream });
        } else {
            self.settled.remove(path);
        }
        let has_room = self.held.len() < HELD_FILES_MAX && !self.held.contains_key(&key);
        // By its name another file may have come into its place, which is looked at in the next round.
        if self.is_following
            && has_news
            && has_room
            && let Ok(file) = File::open(path)
        {
            let is_same = file.metadata().is_ok_and(|metadata| FileKey::of(path, &metadata) == key);
            if is_same {
                self.held.insert(key, Held { path: path.clone(), file, without_name_since: None });
            }
        }
    }
}

/// Whether a file that changes from now on will have another time of change.
fn is_surely_past(modified: &SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age > CLOCK_STEP)
}

/// Whether two listings differ in anything but their order.
fn is_other(one: &[(PathBuf, FileKey)], other: &[(PathBuf, FileKey)]) -> bool {
    let known: HashMap<_, _> = one.iter().map(|(path, key)| (path, key)).collect();
    one.len() != other.len() || other.iter().any(|(path, key)| known.get(path) != Some(&key))
}
