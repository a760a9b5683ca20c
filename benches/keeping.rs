//! What it costs to keep less: how long compaction takes, and whether a sender notices that files are deleted.
//!
//! *Compaction*: 10 M records over 1 M keys are compacted by one call. Its limit is what nobody can do without: the records are
//! read and verified twice, once for their keys and once to be written, and what is left is written and synced.
//!
//! *Deleting*: 20 GB of segments are deleted while a sender sends 10,000 records a second to another topic by a timetable. The
//! time runs from the moment in which a record was **due**, so nothing hides in what was not sent. Its limit is the same sender
//! while nothing is deleted.
//!
//! `cargo bench --bench keeping`; `OTTLA_BENCH_SHARE=0.1` makes both a tenth as large, and
//! `OTTLA_BENCH_ONLY=compaction` or `deleting` is one of the two. Files are in the system's temporary
//! directory, with `Durability::Os`: 30 GB must be free there, and two cores should have nothing else to do.

#[path = "../examples/perf/suite/latencies.rs"]
#[allow(
    dead_code,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "these are measurements, of which three digits count"
)]
mod latencies;

use std::hint;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use latencies::Latencies;
use ottla::{
    Broker, CleanupPolicy, Durability, Partition, PartitionDescription, ProducerRecord, Result, TopicConfig,
    TopicDescription,
};

const BATCH: u64 = 1000;
const PER_SECOND: u64 = 10_000;
/// A second before anything is deleted, and one afterwards.
const QUIET: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let share = std::env::var("OTTLA_BENCH_SHARE").ok().and_then(|share| share.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    // Without `--bench` this is `cargo test`, which only wants to see it run.
    let share = if is_bench { share.unwrap_or(1.0) } else { 0.0001 };
    let only = std::env::var("OTTLA_BENCH_ONLY").unwrap_or_default();
    if only != "deleting" {
        compaction(share)?;
    }
    if only != "compaction" {
        deleting(share)?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
fn part(share: f64, of: u64) -> u64 {
    (share * of as f64) as u64
}

fn open(dir: &Path) -> Result<Broker> {
    Broker::builder(dir).durability(Durability::Os).open()
}

/// Without a thread that compacts beside what is measured.
fn open_alone(dir: &Path) -> Result<Broker> {
    Broker::builder(dir).durability(Durability::Os).background(false).open()
}

fn compaction(share: f64) -> Result<()> {
    let (records, keys) = (part(share, 10_000_000), part(share, 1_000_000).max(1));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = open(dir.path())?;
    let config = TopicConfig::new()
        .cleanup_policy(CleanupPolicy::Compact)
        // It is to come when it is asked for.
        .min_compaction_lag_ms(Duration::from_secs(3600))
        .segment_bytes(256 << 20);
    let table = broker.create_topic("table", config)?;
    fill_table(&broker, records, keys)?;
    // The last segment is closed, so that there is nothing that is left out.
    broker.admin().alter_topic("table", |config| config.segment_bytes(1024))?;
    table.produce("k", vec![0; 70_000])?;
    table.produce("k", vec![0; 70_000])?;
    broker
        .admin()
        .alter_topic("table", |config| config.segment_bytes(256 << 20).min_compaction_lag_ms(Duration::ZERO))?;
    broker.close()?;

    let mut scans = Duration::ZERO;
    for _ in 0..2 {
        let broker = open_alone(dir.path())?;
        scans += timed(|| scan(&broker.topic("table")?.partition(0)?))?.1;
    }
    let broker = open_alone(dir.path())?;
    let before = log_bytes(&broker, "table")?;
    let (report, took) = timed(|| broker.admin().compact("table"))?;
    let after = log_bytes(&broker, "table")?;
    let ((), write) = timed(|| {
        write_synced(&dir.path().join("plain"), after);
        Ok(())
    })?;
    println!("{report}");
    println!(
        "compaction of {records} records over {keys} keys, {} to {} MiB: {took:.2?}; \
         two verified scans {scans:.2?} and a synced write {write:.2?}: {:.2} times these",
        before >> 20,
        after >> 20,
        took.as_secs_f64() / (scans + write).as_secs_f64(),
    );
    Ok(())
}

/// Keys in an order that looks random: each comes once before any comes again.
fn fill_table(broker: &Broker, records: u64, keys: u64) -> Result<()> {
    let producer = broker.producer();
    let value = [7; 100];
    for first in (0..records).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let keys: Vec<_> = (first..first + BATCH).map(|n| (n * 7_368_787 % keys).to_be_bytes()).collect();
        let records: Vec<_> = keys.iter().map(|key| ProducerRecord::to("table").key(key).value(&value)).collect();
        producer.send_batch("table", &records)?;
    }
    Ok(())
}

fn scan(partition: &Partition) -> Result<u64> {
    let (mut offset, mut count) = (0, 0);
    loop {
        let records = partition.read(offset, 4 << 20)?;
        let Some(last) = records.iter().last() else { return Ok(count) };
        offset = last.offset() + 1;
        count += records.len() as u64;
    }
}

#[allow(clippy::disallowed_types, reason = "what the machine does without the crate")]
fn write_synced(path: &Path, bytes: u64) {
    let mut file = std::fs::File::create(path).expect("a file");
    let piece = vec![7; 1 << 20];
    for _ in 0..bytes >> 20 {
        file.write_all(&piece).expect("there is space");
    }
    file.sync_data().expect("a disk");
}

fn deleting(share: f64) -> Result<()> {
    let bytes = part(share, 20_000_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = open(dir.path())?;
    let config =
        TopicConfig::new().segment_bytes(u32::try_from((bytes / 20).clamp(1 << 16, 1 << 30)).unwrap_or(1 << 30));
    broker.create_topic("old", config)?;
    let orders = broker.topic("orders")?.partition(0)?;
    let producer = broker.producer();
    let value = vec![7; 1 << 16];
    for _ in 0..bytes >> 16 {
        producer.send(ProducerRecord::to("old").value(&value))?;
    }
    broker.flush()?;
    let before = log_bytes(&broker, "old")?;
    let quiet = by_timetable(&orders, |elapsed| elapsed < 2 * QUIET);
    // As short as can be: all but the segment that is written to goes.
    broker.admin().alter_topic("old", |config| config.retention_bytes(0))?;
    let mut gone = None;
    let busy = by_timetable(&orders, |elapsed| {
        if gone.is_none() && broker.admin().describe("old").is_ok_and(|old| has_one_segment(&old)) {
            gone = Some(elapsed);
        }
        gone.is_none_or(|gone| elapsed < gone + QUIET)
    });
    let mib = (before - log_bytes(&broker, "old")?) >> 20;
    print("a sender by timetable, nothing else", &quiet);
    print(&format!("while {mib} MiB were deleted, in {:.2?}", gone.unwrap_or_default()), &busy);
    Ok(())
}

/// Sends as long as wanted, and tells how late each record was in the log.
fn by_timetable(partition: &Partition, mut goes_on: impl FnMut(Duration) -> bool) -> Latencies {
    let (begin, mut latencies) = (Instant::now(), Latencies::new());
    let gap = Duration::from_nanos(1_000_000_000 / PER_SECOND);
    let mut due = Duration::ZERO;
    // Whoever asks does it seldom.
    while !latencies.count().is_multiple_of(PER_SECOND / 100) || goes_on(due) {
        while begin.elapsed() < due {
            hint::spin_loop();
        }
        partition.append(&ProducerRecord::new().value(&[7; 100])).expect("there is space");
        latencies.add(begin.elapsed().saturating_sub(due));
        due += gap;
    }
    latencies
}

fn has_one_segment(topic: &TopicDescription) -> bool {
    topic.partitions().iter().all(|partition| partition.segment_count() == 1)
}

fn print(what: &str, latencies: &Latencies) {
    let [median, p99, p999] = [0.5, 0.99, 0.999].map(|share| latencies.quantile(share));
    let most = latencies.most();
    println!(
        "{what}: {} records, p50 {median:.2?}, p99 {p99:.2?}, p99.9 {p999:.2?}, most {most:.2?}",
        latencies.count()
    );
}

fn log_bytes(broker: &Broker, topic: &str) -> Result<u64> {
    Ok(broker.admin().describe(topic)?.partitions().iter().map(PartitionDescription::log_bytes).sum())
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begin = Instant::now();
    let result = work()?;
    Ok((result, begin.elapsed()))
}
