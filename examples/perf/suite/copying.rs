//! A second copy: a backup of all bytes, one of links, and what a replica that follows takes from who sends.

use std::cell::LazyCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ottla::{BackupOptions, Broker, Durability, Replica, TopicConfig};

use super::latencies::Latencies;
use super::opening::filled;
use super::place::{File, Place, SPACE, bytes_below, payload, record};
use super::row::{EACH, Figure, Row, Target, timed};
use super::sharing::by_threads;

/// Rows over a directory of so many bytes.
pub(crate) fn rows(bytes: u64) -> Vec<Row> {
    let dir = Rc::new(LazyCell::new(move || filled(bytes)));
    vec![
        backup(&dir, bytes, "all", true).target(Target::Times(0.7)),
        backup(&dir, bytes, "links", false),
        sending_beside_a_replica(),
        sending_to_both_disks(1).target(Target::Times(0.45)),
        sending_to_both_disks(16).target(Target::Times(0.45)),
    ]
}

fn backup<F: FnOnce() -> tempfile::TempDir + 'static>(
    dir: &Rc<LazyCell<tempfile::TempDir, F>>,
    bytes: u64,
    what: &str,
    copies: bool,
) -> Row {
    let (source, same) = (Rc::clone(dir), Rc::clone(dir));
    let row = Row::new(format!("copy/backup/{what}/{}MiB", bytes >> 20), 1, bytes as usize, move || {
        let broker = Broker::builder(source.path()).durability(Durability::Os).open().expect("it can be opened");
        // The directory stays as long as the broker.
        let open = (broker, source);
        move |calls, _: &mut Latencies| {
            let (broker, _directory) = &open;
            timed_copies(calls, |target| {
                let options = BackupOptions::new().copy_all(copies);
                broker.admin().backup_with(target, &options).expect(SPACE);
            })
        }
    });
    let row = row.calls_max(4);
    if !copies {
        return row;
    }
    row.limit("copy the files, and sync each", move || {
        move |calls, _: &mut Latencies| timed_copies(calls, |target| copy_below(same.path(), target))
    })
}

/// Times making copies in a new directory, and not removing them.
fn timed_copies(calls: u64, copy: impl Fn(&Path)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..calls {
        let place = tempfile::tempdir().expect("a temporary directory");
        let begin = Instant::now();
        copy(&place.path().join("copy"));
        total += begin.elapsed();
    }
    total
}

fn copy_below(from: &Path, to: &Path) {
    fs::create_dir(to).expect(SPACE);
    for entry in fs::read_dir(from).expect("a directory of files") {
        let entry = entry.expect("a directory of files");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_below(&from, &to);
        } else {
            fs::copy(&from, &to).expect(SPACE);
            File::open(&to).and_then(|copy| copy.sync_all()).expect("a disk that syncs");
        }
    }
}

fn sending_beside_a_replica() -> Row {
    Row::new("copy/replica/send/os/100B", 1, payload().len(), || {
        let (place, second) = (Place::with_topic(Durability::Os, TopicConfig::new()), second());
        let replica = Replica::open(&place.broker, second.path()).and_then(Replica::spawn).expect("an empty directory");
        move |calls: u64, latencies: &mut Latencies| {
            // As long as the replica.
            let _second = &second;
            place.fresh_topic(TopicConfig::new());
            let producer = place.producer();
            let took = timed(calls, latencies, || _ = producer.send(record()).expect(SPACE));
            assert_eq!(replica.error(), None);
            took
        }
    })
    .limit("the same without a replica", || {
        let place = Place::with_topic(Durability::Os, TopicConfig::new());
        move |calls: u64, latencies: &mut Latencies| {
            place.fresh_topic(TopicConfig::new());
            let producer = place.producer();
            timed(calls, latencies, || _ = producer.send(record()).expect(SPACE))
        }
    })
}

/// Sends that are on both disks when they return: here on one, which does the work of two.
fn sending_to_both_disks(threads: u32) -> Row {
    let by_threads = move |place: &Place, calls: u64, latencies: &mut Latencies| {
        by_threads(threads, EACH, calls, latencies, |thread| {
            let producer = place.producer();
            move || _ = producer.send(record().partition(thread)).expect(SPACE)
        })
    };
    let config = move || TopicConfig::new().partitions(threads).durability(Durability::Always);
    Row::new(format!("copy/replica/kept/always/100B/{threads}_threads"), 1, payload().len(), move || {
        let second = second();
        let place = Place::of(|builder| builder.replica(second.path()));
        place.fresh_topic(config());
        move |calls: u64, latencies: &mut Latencies| {
            // As long as the broker.
            let _second = &second;
            by_threads(&place, calls, latencies)
        }
    })
    .limit("the same without a replica", move || {
        let place = Place::with_topic(Durability::Always, config());
        move |calls: u64, latencies: &mut Latencies| by_threads(&place, calls, latencies)
    })
}

fn second() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The most that a replica is behind while so many bytes are sent at full speed.
pub(crate) fn lag(bytes: u64) -> Figure {
    Figure::new("copy/replica/lag/100B", "MiB", move || {
        let (place, second) = (Place::with_topic(Durability::Os, TopicConfig::new()), second());
        let mut replica = Replica::open(&place.broker, second.path()).expect("an empty directory");
        replica.catch_up().expect(SPACE);
        let producer = place.producer();
        let size = payload().len() as u64;
        let records = bytes / size;
        let sender = std::thread::spawn(move || {
            for _ in 0..records {
                producer.send(record()).expect(SPACE);
            }
        });
        let mut most = 0;
        while !sender.is_finished() {
            // Before it catches up it is behind most.
            most = most.max(replica.lag().expect("the broker is open").offsets());
            replica.catch_up().expect(SPACE);
        }
        sender.join().expect("it has sent all");
        replica.catch_up().expect(SPACE);
        assert_eq!(replica.lag().expect("the broker is open").offsets(), 0);
        assert!(records * size < bytes_below(second.path()).expect("a directory of files"));
        (most * size) as f64 / f64::from(1 << 20)
    })
}
