//! Kafka's tool that dumps log files reads ours without a complaint, and sees in them what a decoder of our own sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ottla::ExportOptions;

use crate::decoder::{Batch, batches};
use crate::kafka::Kafka;
use crate::topics::{copy, with_topics};

const KINDS: [&str; 5] = ["log", "index", "timeindex", "txnindex", "snapshot"];
/// How the lines begin that the tool prints of good files.
const GOOD: [&str; 8] = [
    "Dumping ",
    "Log starting offset: ",
    "baseOffset: ",
    "| offset: ",
    "offset: ",
    "timestamp: ",
    "version: ",
    "producerId: ",
];

/// What the tool printed, a file after the other.
type Dump = BTreeMap<PathBuf, Vec<String>>;

/// What it was printed of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) files: usize,
    pub(crate) batches: usize,
    pub(crate) aborted: usize,
}

/// The files of all partitions in a directory that have one of these endings, in ascending order.
fn files(dir: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for partition in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let paths = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| kinds.iter().any(|kind| path.extension().is_some_and(|own| own == *kind))));
    }
    found.sort_unstable();
    found
}

/// Dumps files; fails if the tool has anything to say of one.
fn dump(kafka: &Kafka, files: &[PathBuf]) -> Dump {
    let list: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let printed = kafka.run(kafka.program("kafka-dump-log.sh").args(["--deep-iteration", "--files", &list.join(",")]));
    let (mut dumped, mut current) = (Dump::new(), Vec::new());
    for line in printed.lines().rev().filter(|line| !line.is_empty()) {
        if let Some(path) = line.strip_prefix("Dumping ") {
            current.reverse();
            dumped.insert(path.into(), std::mem::take(&mut current));
        } else {
            let is_good = GOOD.iter().any(|good| line.starts_with(good)) || line.ends_with(".index is empty.");
            assert!(is_good && !line.contains("isvalid: false"), "{line}");
            current.push(line.to_owned());
        }
    }
    assert!(dumped.keys().eq(files), "each file was dumped");
    dumped
}

/// What follows a name in a line of the tool.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let rest = line.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {line}")).1;
    rest.split(' ').next().unwrap()
}

/// A batch as the tool shows it.
fn shown(batch: &Batch) -> [String; 6] {
    let Batch { base_offset, last_offset, record_count, producer_id, .. } = batch;
    let numbers = [*base_offset, *last_offset, i64::from(*record_count), *producer_id].map(|number| number.to_string());
    let [base, last, count, producer] = numbers;
    [base, last, count, producer, batch.is_transactional().to_string(), batch.is_control().to_string()]
}

/// A transaction that was aborted: producer, first and last offset, and where the log was stable then.
type Aborted = [i64; 4];

/// Those of a log, by its markers.
fn aborted(batches: &[Batch]) -> Vec<Aborted> {
    let (mut open, mut found) = (BTreeMap::new(), Vec::new());
    for batch in batches.iter().filter(|batch| batch.is_transactional()) {
        if !batch.is_control() {
            open.entry(batch.producer_id).or_insert(batch.base_offset);
            continue;
        }
        // Its key has the kind at its end, and behind that come a value of 6 bytes with its length, and the number of headers.
        let kind_end = batch.bytes.len() - 8;
        let first = open.remove(&batch.producer_id);
        if let (Some(first), 0) = (first, batch.bytes[kind_end - 1]) {
            let stable = open.values().copied().min().unwrap_or(batch.last_offset + 1);
            found.push([batch.producer_id, first, batch.last_offset, stable]);
        }
    }
    found
}

/// Dumps what is in a directory, and compares it with what the decoder sees.
pub(crate) fn look_at(kafka: &Kafka, dir: &Path, kinds: &[&str]) -> Looked {
    let files = files(dir, kinds);
    let dumped = dump(kafka, &files);
    let mut looked = Looked { files: files.len(), ..Looked::default() };
    let mut logs: BTreeMap<PathBuf, (Vec<Batch>, Vec<Aborted>)> = BTreeMap::new();
    for (path, lines) in &dumped {
        let (of_log, indexed) = logs.entry(path.parent().unwrap().to_owned()).or_default();
        if path.extension().unwrap() == "log" {
            let found = batches(&fs::read(path).unwrap());
            let names = ["baseOffset", "lastOffset", "count", "producerId", "isTransactional", "isControl"];
            let batch_lines = lines.iter().filter(|line| line.starts_with("baseOffset: "));
            let seen: Vec<_> = batch_lines.map(|line| names.map(|name| field(line, name).to_owned())).collect();
            assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), seen, "{}", path.display());
            looked.batches += found.len();
            of_log.extend(found);
        } else if path.extension().unwrap() == "txnindex" {
            let names = ["producerId", "firstOffset", "lastOffset", "lastStableOffset"];
            indexed.extend(lines.iter().map(|line| names.map(|name| field(line, name).parse().unwrap())));
        }
    }
    for (dir, (batches, indexed)) in logs.iter().filter(|_| kinds.contains(&"txnindex")) {
        assert_eq!(aborted(batches), *indexed, "{}", dir.display());
        looked.aborted += indexed.len();
    }
    looked
}

/// All kinds of files.
pub(crate) fn look_at_all(kafka: &Kafka, dir: &Path) -> Looked {
    look_at(kafka, dir, &KINDS)
}

#[test]
fn the_tool_finds_nothing_wrong_in_our_directories_and_sees_the_same_in_them() {
    let Some(kafka) = Kafka::of_environment() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [data, target, shown] = ["data", "exported", "shown"].map(|name| dir.path().join(name));
    with_topics(&data, |ours| _ = ours.admin().export(&target, &ExportOptions::new()).unwrap());
    // The tool opens the offset index beside a time index, and a file without entries is none here.
    copy(&data, &shown);
    for log in files(&shown, &["log"]) {
        fs::OpenOptions::new().append(true).create(true).open(log.with_extension("index")).unwrap();
    }
    let ours = look_at_all(&kafka, &shown);
    let exported = look_at(&kafka, &target, &["log"]);
    println!("{ours:?}, {exported:?}");
    assert!(ours.aborted > 10 && exported.batches > 500);
    let all = files(&data, &["log"]).into_iter().flat_map(|path| batches(&fs::read(path).unwrap()));
    let epochs: BTreeSet<i32> = all.map(|batch| batch.leader_epoch).collect();
    assert!(epochs.len() > 2, "there are unclean ends between them: {epochs:?}");
    let indexes = files(&data, &["index"]).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(indexes > 500, "there is something in the indexes: {indexes} bytes");
}
