//! Directories that released versions wrote, read by this one.
//!
//! The failure that this is about: a field is added, a default changes, a check becomes stricter, and the data that people have
//! does not open any more, or opens with other offsets; or a directory of a version to come is opened by this one, which does
//! not understand it and writes into it. So `v2/` keeps what version 2 of the format left, after a close (`clean`) and after a
//! kill (`killed`), as files, with a listing of all that a user could see in it. Files there are never written again; a
//! new version adds its own. `generate.rs` makes those of this version; `versions.rs` makes directories of the next one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod generate;
mod image;
mod listing;
mod versions;

use std::path::Path;

use ottla::Broker;
use ottla::testing::SimulatedDisk;

use image::{Image, golden_dir};

/// Every directory that is kept.
const GOLDEN: [&str; 2] = ["v2/clean", "v2/killed"];

fn listing_of(name: &str) -> String {
    std::fs::read_to_string(golden_dir(name).with_extension("txt")).unwrap()
}

/// Makes the golden directories of this version in the new directory that `OTTLA_GOLDEN_NEW` names:
/// `OTTLA_GOLDEN_NEW=/tmp/v3 cargo test --all-features --test golden -- --ignored generate`
#[test]
#[ignore = "writes files; run by hand once per format version"]
fn generate_golden_directories() {
    let dir = std::env::var("OTTLA_GOLDEN_NEW").expect("OTTLA_GOLDEN_NEW names a new directory");
    generate::generate(Path::new(&dir)).unwrap();
}

#[test]
fn what_was_written_is_read_on_a_copy_and_again_after_a_close() {
    for name in GOLDEN {
        let dir = tempfile::tempdir().unwrap();
        image::write_tree(dir.path(), &image::load(&golden_dir(name)));
        for opened in ["first", "second"] {
            // Whose maintenance would compact the offsets before they are listed.
            let broker = Broker::builder(dir.path()).background(false).open().unwrap();
            let report = broker.recovery_report();
            assert_eq!(report.damage().count(), 0, "{name}, opened a {opened} time: {report:?}");
            assert_eq!(report.was_clean_shutdown(), opened == "second" || name.ends_with("clean"));
            assert_eq!(listing::of(&broker).unwrap(), listing_of(name), "{name}, opened a {opened} time");
            broker.close().unwrap();
        }
    }
}

#[test]
fn what_was_written_is_read_after_a_kill_and_after_a_power_cut() {
    // On the machine that wrote it the boot is the same, on another one it is not.
    for (name, seed) in GOLDEN.into_iter().flat_map(|name| [(name, 1), (name, 2)]) {
        let disk = SimulatedDisk::new(seed);
        let mut image = image::load(&golden_dir(name));
        image.remove(Path::new("clean-shutdown"));
        image::put(&disk, &image);
        let broker = Broker::builder(image::DATA).disk(&disk).background(false).open().unwrap();
        assert!(!broker.recovery_report().was_clean_shutdown());
        assert_eq!(listing::of(&broker).unwrap(), listing_of(name), "{name}, machine {seed}");
    }
}

#[test]
fn read_only_everything_is_there_and_no_byte_changes() {
    for name in GOLDEN {
        let dir = tempfile::tempdir().unwrap();
        image::write_tree(dir.path(), &image::load(&golden_dir(name)));
        let before = image::read_tree(dir.path());
        let broker = Broker::open_read_only(dir.path()).unwrap();
        assert_eq!(listing::of(&broker).unwrap(), listing_of(name), "{name}");
        broker.close().unwrap();
        assert_same(&before, &image::read_tree(dir.path()), name);
    }
    // In place, where the tails are not: after a close nothing is in them.
    let dir = golden_dir("v2/clean");
    let before = image::read_tree(&dir);
    let broker = Broker::open_read_only(&dir).unwrap();
    assert_eq!(listing::of(&broker).unwrap(), listing_of("v2/clean"));
    broker.close().unwrap();
    assert_same(&before, &image::read_tree(&dir), "v2/clean in place");
}

/// What the listings are worth depends on what is in them.
#[test]
fn the_directories_hold_something_of_everything() {
    let clean = image::load(&golden_dir("v2/clean"));
    let count = |end: &str| clean.keys().filter(|path| path.to_string_lossy().ends_with(end)).count();
    assert!(count(".log") >= 8 && count("/manifest") >= 3 && count(".timeindex") >= 5, "{:?}", clean.keys());
    assert!(clean.contains_key(Path::new("clean-shutdown")));
    let bytes: usize = clean.iter().filter(|(path, _)| !image::is_tail(path)).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= 20 << 10, "{bytes} bytes are more than a test can flip bit by bit");
    let killed = image::load(&golden_dir("v2/killed"));
    assert!(!killed.contains_key(Path::new("clean-shutdown")));
    for tail in ["tail", "tail-always"] {
        assert!(killed[Path::new(tail)].windows(4).any(|bytes| bytes == b"OTSL"), "no open batch in {tail}");
    }
    for (name, wanted) in [("v2/clean", "invoice 7"), ("v2/killed", "invoice 9")] {
        let listed = listing_of(name);
        for part in
            [wanted, "key null", "value null", "empty=null", "num.partitions=2", "compression.type=snappy", "auditor-1"]
        {
            assert!(listed.contains(part), "{part} is not in {listed}");
        }
        // From compaction: the records of superseded commits are missing in between.
        assert!(!listed.contains("invoice 2") && !listed.contains("topic gone"), "{listed}");
    }
}

#[track_caller]
fn assert_same(before: &Image, after: &Image, what: &str) {
    for path in before.keys().chain(after.keys()) {
        assert!(before.get(path) == after.get(path), "{what}: {} is not what it was", path.display());
    }
}
