//! Bytes that nobody wrote.
//!
//! The failure that this is about: a disk hands back what a stranger, a bug or a cosmic ray has made of a file, with every
//! checksum right, and a length in it claims four gigabytes, a count says a billion, an offset goes back. A checksum is no
//! defence, so whatever is read is decoded as hostile: no panic, no endless loop, no more memory than is stated, and what comes
//! out keeps the rules that the writer keeps. Each file in `targets/` turns a string of bytes into such an attempt and checks
//! what comes of it. `directory` does so with a whole data directory, and `operations` takes the bytes for calls of the API,
//! power cuts among them, and compares with a model.
//!
//! Here, on stable Rust, each target gets the inputs that are kept in `corpus/` and seeded mutations of them. `fuzz_targets/`
//! has the same for a fuzzer that looks at the code:
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz -s none batch
//! OTTLA_FUZZ_RUNS=…          mutations for each target (directory, operations: fewer, as they take longer)
//! OTTLA_FUZZ_SEED=…          of the mutations
//! OTTLA_FUZZ_CASE=batch:17   only this target and mutation, as a failed test has named it
//! OTTLA_FUZZ_INPUT=batch:…   only this target, with the content of a file, as the fuzzer leaves it
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod allocation;
mod mutation;
mod seeds;
mod targets {
    pub(crate) mod batch;
    pub(crate) mod compression;
    pub(crate) mod directory;
    pub(crate) mod files;
    pub(crate) mod group;
    pub(crate) mod index;
    pub(crate) mod log;
    pub(crate) mod operations;
    pub(crate) mod properties;
    pub(crate) mod record;
    pub(crate) mod segment;
    pub(crate) mod stream;
    pub(crate) mod tail;
    pub(crate) mod transaction;
}

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use mutation::mutated;
use targets::{
    batch, compression, directory, files, group, index, log, operations, properties, record, segment, stream, tail,
    transaction,
};

/// One target: its name, what it does with an input, and one of how many mutations it gets.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    one_in: u64,
}

const TARGETS: [Target; 14] = [
    Target { name: "batch", run: batch::run, one_in: 1 },
    Target { name: "compression", run: compression::run, one_in: 4 },
    Target { name: "directory", run: directory::run, one_in: 400 },
    Target { name: "files", run: files::run, one_in: 2 },
    Target { name: "group", run: group::run, one_in: 1 },
    Target { name: "index", run: index::run, one_in: 1 },
    Target { name: "log", run: log::run, one_in: 1 },
    Target { name: "operations", run: operations::run, one_in: 400 },
    Target { name: "properties", run: properties::run, one_in: 8 },
    Target { name: "record", run: record::run, one_in: 1 },
    Target { name: "segment", run: segment::run, one_in: 10 },
    Target { name: "stream", run: stream::run, one_in: 4 },
    Target { name: "tail", run: tail::run, one_in: 2 },
    Target { name: "transaction", run: transaction::run, one_in: 1 },
];

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The inputs kept for a target, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Runs a target, and says how to do so again if that fails.
fn run(target: &Target, input: &[u8], again: &str) {
    if let Err(panic) = catch_unwind(|| (target.run)(input)) {
        eprintln!("run it again: {again} cargo test --all-features --test fuzz any_{}", target.name);
        std::panic::resume_unwind(panic);
    }
}

fn fuzz(name: &str) {
    let target = target(name);
    if let Some(input) = variable("OTTLA_FUZZ_INPUT") {
        let (wanted, path) = input.split_once(':').unwrap();
        if wanted == name {
            (target.run)(&std::fs::read(path).unwrap());
        }
        return;
    }
    let kept = corpus(name);
    let seed = variable("OTTLA_FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let inputs: Vec<Vec<u8>> = kept.iter().map(|(_, bytes)| bytes.clone()).collect();
    let run_mutation = |number: u64| {
        let again = format!("OTTLA_FUZZ_SEED={seed} OTTLA_FUZZ_CASE={name}:{number}");
        run(target, &mutated(&inputs, seed, number), &again);
    };
    if let Some(case) = variable("OTTLA_FUZZ_CASE") {
        let (wanted, number) = case.split_once(':').unwrap();
        if wanted == name {
            run_mutation(number.parse().unwrap());
        }
        return;
    }
    for (path, input) in &kept {
        run(target, input, &format!("OTTLA_FUZZ_INPUT={name}:{}", path.display()));
    }
    let runs = variable("OTTLA_FUZZ_RUNS").map_or(10_000, |runs| runs.parse().unwrap());
    let mutations = runs / target.one_in;
    println!("{name}: {} inputs kept, {mutations} mutations with seed {seed}", kept.len());
    (0..mutations).for_each(run_mutation);
}

/// A test for each target, so that they run side by side.
macro_rules! tests {
    ($($name:ident $target:literal),* $(,)?) => { $(#[test] fn $name() { fuzz($target); })* };
}

tests! {
    any_batch "batch",
    any_compression "compression",
    any_directory "directory",
    any_files "files",
    any_group "group",
    any_index "index",
    any_log "log",
    any_operations "operations",
    any_properties "properties",
    any_record "record",
    any_segment "segment",
    any_stream "stream",
    any_tail "tail",
    any_transaction "transaction",
}
