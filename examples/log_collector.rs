//! Collects the lines of log files, by several threads into four partitions, while a consumer counts their levels.
//! Run it with `cargo run --release --example log_collector -- [--data DIR] [--max-mb N] [FILE or FOLDER]...`.
//! You will see how much, how fast, and a bar chart of levels; run it again, and only what is new is collected.

#![allow(clippy::disallowed_types, reason = "the files that are read here are the user's, not the log's")]
#![allow(
    clippy::indexing_slicing,
    reason = "indexes are bounded by what was measured just before; an example may stop"
)]

#[path = "log_collector/bookmark.rs"]
mod bookmark;
#[path = "log_collector/collector.rs"]
mod collector;
#[path = "log_collector/line.rs"]
mod line;
#[path = "log_collector/sources.rs"]
mod sources;
#[path = "log_collector/summary.rs"]
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{Broker, ConsumerConfig, ConsumerRecord, Durability, Topic, TopicConfig, TopicPartition};

use bookmark::{BOOKMARK, Bookmark, Bookmarks};
use collector::{Collected, Fingerprint, Work, collect};
use line::Level;
use sources::Sources;
use summary::{ProgressBar, Summary};

pub(crate) const TOPIC: &str = "lines";
pub(crate) const PARTITIONS: usize = 4;
/// The header that names a line's level.
pub(crate) const LEVEL: &str = "level";

/// How many lines have each level, in the order of [`Level::ALL`].
pub(crate) type LevelCounts = [u64; Level::ALL.len()];

const GROUP: &str = "level-counter";
const COLLECTORS: usize = 4;
/// Without arguments, so much is read at most.
const DEFAULT_MEGABYTES: u64 = 200;
const READ_BYTES: usize = 4 << 20;
const USAGE: &str = "usage: log_collector [--data DIR] [--max-mb N] [FILE or FOLDER]...";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log_collector: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::from_args()?;
    let sources = options.sources();
    // What was collected survives a kill at any moment; a power cut at most takes what is then collected again.
    let broker = Broker::builder(&options.data_dir).durability(Durability::Os).open()?;
    let partitions = u32::try_from(PARTITIONS)?;
    let topic = match broker.create_topic(TOPIC, TopicConfig::new().partitions(partitions)) {
        Err(ottla::Error::TopicExists { .. }) => broker.topic(TOPIC)?,
        created => created?,
    };
    let mut history = History::read(&topic)?;
    println!("{} files, into {}", sources.files.len(), options.data_dir.display());

    let work = Work {
        files: &sources.files,
        bookmarks: &history.bookmarks,
        run: history.bookmarks.last_run() + 1,
        next_file: AtomicUsize::new(0),
        bytes_done: AtomicU64::new(0),
        bytes_left: AtomicU64::new(options.bytes_max),
    };
    let mut counter = Counter::new(&history, &broker)?;
    let mut progress = ProgressBar::new(sources.bytes.min(options.bytes_max));
    let producer = broker.producer();
    let begin = Instant::now();
    let mut collected = thread::scope(|scope| {
        let collectors: Vec<_> = (0..COLLECTORS).map(|_| scope.spawn(|| collect(&work, &producer))).collect();
        loop {
            // Asked before polling: what was sent before the end is polled after it.
            let is_end = collectors.iter().all(thread::ScopedJoinHandle::is_finished);
            let count = counter.poll(if is_end { Duration::ZERO } else { Duration::from_millis(20) })?;
            progress.draw(work.bytes_done.load(Ordering::Relaxed));
            if is_end && count == 0 {
                break;
            }
        }
        let mut collected = Collected::default();
        for collector in collectors {
            collected.merge(&collector.join().map_err(|_| "a collector panicked")??);
        }
        Result::Ok(collected)
    })?;
    drop(progress);
    counter.consumer.commit()?;
    let elapsed = begin.elapsed();
    broker.flush()?;

    collected.unreadable += sources.unreadable;
    counter.check(&collected)?;
    let consumed = counter.fingerprints.iter().map(|fingerprint| fingerprint.records).sum();
    counter.levels.iter().zip(&mut history.levels).for_each(|(new, all)| *all += new);
    drop((counter, topic, producer));
    broker.close()?;
    Summary {
        collected: &collected,
        consumed,
        elapsed,
        levels: history.levels,
        payload_bytes: history.payload_bytes + collected.bytes,
        disk_bytes: disk_bytes(&options.data_dir)?,
    }
    .print();
    Ok(())
}

struct Options {
    data_dir: PathBuf,
    bytes_max: u64,
    paths: Vec<PathBuf>,
}

impl Options {
    fn from_args() -> Result<Options> {
        let mut options =
            Options { data_dir: std::env::temp_dir().join("ottla-log-collector"), bytes_max: 0, paths: Vec::new() };
        let mut megabytes = None;
        let mut args = std::env::args_os().skip(1);
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--data") => options.data_dir = args.next().ok_or(USAGE)?.into(),
                Some("--max-mb") => {
                    let number = args.next().and_then(|number| number.to_str()?.parse::<u64>().ok());
                    megabytes = Some(number.ok_or(USAGE)?);
                }
                Some(option) if option.starts_with("--") => return Err(USAGE.into()),
                _ => options.paths.push(arg.into()),
            }
        }
        let default_megabytes = if options.paths.is_empty() { DEFAULT_MEGABYTES } else { u64::MAX };
        options.bytes_max = megabytes.unwrap_or(default_megabytes).saturating_mul(1_000_000);
        Ok(options)
    }

    fn sources(&self) -> Sources {
        match self.paths.as_slice() {
            [] => Sources::find_default(&self.data_dir),
            paths => Sources::find(paths, &self.data_dir),
        }
    }
}

/// What earlier runs have put into the log.
struct History {
    bookmarks: Bookmarks,
    levels: LevelCounts,
    payload_bytes: u64,
    ends: [u64; PARTITIONS],
}

impl History {
    fn read(topic: &Topic) -> Result<History> {
        let mut history = History {
            bookmarks: Bookmarks::default(),
            levels: LevelCounts::default(),
            payload_bytes: 0,
            ends: [0; PARTITIONS],
        };
        for (partition, end) in topic.partitions().zip(&mut history.ends) {
            let mut next_offset = partition.log_start_offset();
            loop {
                let records = partition.read(next_offset, READ_BYTES)?;
                for record in &records {
                    let (level, bookmark) = read_headers(&record);
                    history.levels[level as usize] += 1;
                    history.payload_bytes += record.value().map_or(0, <[u8]>::len) as u64;
                    if let Some(bookmark) = bookmark {
                        history.bookmarks.note(bookmark);
                    }
                }
                match records.next_offset(partition.topic_partition()) {
                    Some(next) if next > next_offset => next_offset = next,
                    _ => break,
                }
            }
            *end = next_offset;
        }
        Ok(history)
    }
}

fn read_headers(record: &ConsumerRecord<'_>) -> (Level, Option<Bookmark>) {
    let (mut level, mut bookmark) = (Level::Unknown, None);
    for header in record.headers() {
        match (header.key(), header.value()) {
            (LEVEL, Some(name)) => level = Level::of_name(name),
            (BOOKMARK, Some(bytes)) => bookmark = Bookmark::decode(bytes),
            _ => {}
        }
    }
    (level, bookmark)
}

/// Consumes what the collectors send, and checks that it comes once and in order.
struct Counter {
    consumer: ottla::Consumer,
    /// The offset that must come next in each partition.
    next_offsets: [u64; PARTITIONS],
    /// The log ends before this run; what a killed run left to be consumed lies below.
    ends_before: [u64; PARTITIONS],
    levels: LevelCounts,
    fingerprints: [Fingerprint; PARTITIONS],
}

impl Counter {
    fn new(history: &History, broker: &Broker) -> Result<Counter> {
        let config = ConsumerConfig::new(GROUP).topics([TOPIC]).max_poll_records(10_000);
        let consumer = broker.consumer_with(config)?;
        let mut next_offsets = [0; PARTITIONS];
        for (partition, next) in (0..).zip(&mut next_offsets) {
            let committed = consumer.committed(&TopicPartition::new(TOPIC, partition));
            *next = committed.map_or(0, |committed| committed.offset());
        }
        let levels = LevelCounts::default();
        Ok(Counter {
            consumer,
            next_offsets,
            ends_before: history.ends,
            levels,
            fingerprints: <[_; PARTITIONS]>::default(),
        })
    }

    /// Polls once and counts; returns how many records came.
    fn poll(&mut self, timeout: Duration) -> Result<usize> {
        let records = self.consumer.poll(timeout)?;
        for record in &records {
            let partition = record.partition() as usize;
            let next = &mut self.next_offsets[partition];
            if record.offset() != *next {
                return Err(format!("{}: {next} was to come next", record.offset()).into());
            }
            *next += 1;
            if record.offset() >= self.ends_before[partition] {
                let (level, _) = read_headers(&record);
                self.levels[level as usize] += 1;
                self.fingerprints[partition].add(record.offset(), record.value().unwrap_or_default());
            }
        }
        Ok(records.len())
    }

    /// Fails unless exactly what was collected was consumed.
    fn check(&self, collected: &Collected) -> Result<()> {
        for (partition, (consumed, sent)) in self.fingerprints.iter().zip(&collected.fingerprints).enumerate() {
            if consumed != sent {
                return Err(format!("{TOPIC}-{partition}: sent {sent:?}, consumed {consumed:?}").into());
            }
        }
        Ok(())
    }
}

/// The bytes of the topic's files: its segments and their indexes.
fn disk_bytes(data_dir: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for partition in 0..PARTITIONS {
        for file in std::fs::read_dir(data_dir.join(format!("{TOPIC}-{partition}")))? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok(bytes)
}
