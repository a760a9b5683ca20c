//! What users are promised, one module per promise.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::items_after_statements,
    clippy::large_stack_arrays,
    clippy::needless_for_each,
    reason = "a test reads better in one piece"
)]

mod altering;
#[cfg(feature = "testing")]
mod altering_durability;
#[cfg(feature = "testing")]
mod append_time;
mod async_sends;
mod batches;
mod closing;
mod committed_offsets;
#[cfg(feature = "testing")]
mod compaction;
mod compression;
mod consumers;
mod copy_on_write;
mod damage;
mod delete_records;
mod directories;
#[cfg(feature = "testing")]
mod disk_budget;
#[cfg(feature = "testing")]
mod disk_trouble;
mod durability;
mod error_texts;
#[cfg(all(feature = "testing", feature = "tracing"))]
mod events;
#[cfg(feature = "testing")]
mod extremes;
mod files;
mod first_opening;
mod forwarding;
#[cfg(feature = "testing")]
mod full_batches;
#[cfg(feature = "testing")]
mod full_disk;
#[cfg(feature = "testing")]
mod group_time;
mod groups;
mod handed_out;
mod handles;
mod hard_links;
mod health;
mod hostile_names;
mod locking;
mod metrics;
#[cfg(feature = "testing")]
mod offsets_expiry;
mod offsets_topic;
mod one_partition;
mod partitioning;
mod produce_consume;
#[cfg(feature = "testing")]
mod protection;
#[cfg(feature = "metrics")]
mod publishing;
mod read_only;
mod read_only_consumers;
#[cfg(feature = "testing")]
mod read_only_damage;
mod reading;
#[cfg(feature = "testing")]
mod refused_files;
mod reopen;
mod reset_offsets;
#[cfg(feature = "testing")]
mod retention;
#[cfg(feature = "testing")]
mod stale_files;
#[cfg(feature = "futures")]
mod streams;
mod subscriptions;
mod timestamps;
mod topics;
#[cfg(feature = "testing")]
mod transactions;
mod values;
mod waiting;

use std::path::Path;
use std::process::Command;

use ottla::{Broker, Durability, OwnedRecord, Partition, TopicConfig};

/// A broker that does not wait for the disk: what is promised but for durability is the same.
fn open(dir: impl AsRef<Path>) -> Broker {
    Broker::builder(dir).durability(Durability::Os).open().unwrap()
}

/// The smallest segments that do not roll at every batch.
fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(16 << 10)
}

/// All records from `from` on.
fn all_from(partition: &Partition, from: u64) -> Vec<OwnedRecord> {
    partition.iter_from(from).collect::<Result<_, _>>().unwrap()
}

fn values(partition: &Partition) -> Vec<String> {
    all_from(partition, 0).iter().map(|record| text(record.value().unwrap())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The directory that a test of this binary is to work on, where `run_in_child` runs it.
fn dir_from_parent() -> Option<String> {
    std::env::var("OTTLA_TEST_DIR").ok()
}

/// Runs an ignored test of this binary in a process of its own, on `dir`, and expects it to pass.
fn run_in_child(test: &str, dir: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]).env("OTTLA_TEST_DIR", dir);
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
