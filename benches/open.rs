//! How long does opening take, after a clean close and after the process was killed?
//!
//! 200,000 records of 100 bytes in 4 partitions. What a kill leaves is a copy of the files of an open broker: everything
//! written is in the page cache, and nothing was closed. The files are copied anew for every opening, which is not counted.

#![allow(missing_docs, reason = "criterion's macros make functions of their own")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ottla::{Broker, Durability, TopicConfig};

const RECORDS: u64 = 200_000;

fn filled(dir: &Path) -> Broker {
    let defaults = TopicConfig::new().partitions(4);
    let broker =
        Broker::builder(dir).durability(Durability::Os).topic_defaults(defaults).open().expect("an empty directory");
    let topic = broker.topic("orders").expect("a new topic");
    for number in 0..RECORDS {
        topic.produce(number.to_be_bytes(), [b'v'; 92]).expect("there is space");
    }
    broker
}

/// Copies a data directory: files, and folders of files.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn open(criterion: &mut Criterion) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let broker = filled(&place.path().join("data"));
    copy(&place.path().join("data"), &place.path().join("killed")).expect("there is space");
    broker.close().expect("a disk that syncs");
    copy(&place.path().join("data"), &place.path().join("closed")).expect("there is space");

    let mut group = criterion.benchmark_group("open");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(2));
    for (name, image) in [("after_clean_close/20MB", "closed"), ("after_kill/20MB", "killed")] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let dir = tempfile::tempdir_in(place.path()).expect("a temporary directory");
                    copy(&place.path().join(image), dir.path()).expect("there is space");
                    dir
                },
                |dir| {
                    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("recovers");
                    // Given back, so that closing and removing it are not counted.
                    (broker, dir)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
