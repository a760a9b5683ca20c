use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::*;
use crate::broker::Broker;
use crate::partition::config::TopicConfig;
use crate::record::ProducerRecord;

/// What is shown of a file, in words.
fn shown(path: &Path, options: &Options) -> Vec<String> {
    let mut shown = Vec::new();
    file(path, options, &mut |item| {
        shown.push(format!("{item:?}"));
        ControlFlow::Continue(())
    })
    .unwrap();
    shown
}

fn problems(path: &Path, options: &Options) -> Vec<Problem> {
    let mut problems = Vec::new();
    file(path, options, &mut |item| {
        if let Item::Problem(problem) = item {
            problems.push(problem);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    problems
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Base offset 50, epoch 3, producer 9000 of epoch 5, sequences 10 to 12; then the commit of the same producer at 56.
const IDEMPOTENT: &str = "00000000000000320000005e0000000302ee51ae600000000000020000018bcfe568000000018bcfe56802000000000000232800050000000a000000031c000000086b6579300876616c30001c000202086b6579310876616c31001c000404086b6579320876616c3200";
const COMMIT: &str = "000000000000003800000042000000030246e972740030000000000000018bcfe56be70000018bcfe56be700000000000023280005ffffffff000000012000000008000000010c00000000000700";

#[test]
fn a_log_of_kafkas_is_shown_batch_by_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000050.log");
    fs::write(&path, [from_hex(IDEMPOTENT), from_hex(COMMIT)].concat()).unwrap();
    let mut batches = Vec::new();
    let mut keys = Vec::new();
    file(&path, &Options::new().records(true), &mut |item| {
        match item {
            Item::Batch(batch) => batches.push(batch),
            Item::Record(record) => keys.push((record.offset, record.sequence, record.key.unwrap().to_vec())),
            other => panic!("{other:?}"),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let [data, commit] = &batches[..] else { panic!("{batches:?}") };
    assert_eq!((data.base_offset, data.last_offset, data.record_count, data.leader_epoch), (50, 52, 3, 3));
    assert_eq!((data.producer_id, data.producer_epoch, data.base_sequence, data.last_sequence), (9000, 5, 10, 12));
    assert_eq!((data.crc, data.codec, data.bytes), (0xee51_ae60, "none", 106));
    assert_eq!(
        (data.base_timestamp.as_millis(), data.max_timestamp.as_millis()),
        (1_700_000_000_000, 1_700_000_000_002)
    );
    assert!(data.is_valid && !data.is_control && data.marker.is_none());
    assert_eq!((commit.file_position, commit.base_offset, commit.is_control), (106, 56, true));
    assert_eq!(commit.marker, Some(Decoded::Marker { is_commit: true, coordinator_epoch: 7 }));
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[1], (51, 11, b"key1".to_vec()));
}

#[test]
fn a_walk_ends_where_it_is_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000050.log");
    fs::write(&path, [from_hex(IDEMPOTENT), from_hex(COMMIT)].concat()).unwrap();
    let mut count = 0;
    file(&path, &Options::new().records(true), &mut |_| {
        count += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn behind_what_is_damaged_the_walk_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000050.log");
    let garbage = [0x55; 300];
    fs::write(&path, [&garbage[..], &from_hex(IDEMPOTENT), &from_hex(COMMIT), &[0; 10]].concat()).unwrap();
    let shown = shown(&path, &Options::new());
    assert_eq!(shown.iter().filter(|item| item.starts_with("Batch")).count(), 2, "{shown:#?}");
    let positions: Vec<_> = problems(&path, &Options::new()).iter().map(|problem| problem.file_position).collect();
    assert_eq!(positions, [0, 484]);
}

#[test]
fn what_is_no_file_of_a_log_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    let inspected = || file(&path, &Options::new(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(inspected(), Err(Error::Io { action: "open", .. })));
    fs::write(&path, "mine").unwrap();
    assert!(matches!(inspected(), Err(Error::Io { action: "inspect", .. })));
}

/// A data directory with a file of each kind, and those files.
fn files_of_every_kind(dir: &Path) -> Vec<PathBuf> {
    let broker = Broker::builder(dir).background(false).tail_bytes(1 << 20).open().unwrap();
    let config = TopicConfig::new().segment_bytes(16 << 10).index_interval_bytes(1024);
    let topic = broker.create_topic("t", config).unwrap();
    let mut producer = broker.transactional_producer("p").unwrap();
    for number in 0..60 {
        let transaction = producer.begin().unwrap();
        let value = format!("{number:0900}");
        transaction.send(ProducerRecord::to("t").key("k").value(&value)).unwrap();
        if number % 3 == 0 { transaction.abort().unwrap() } else { transaction.commit().unwrap() }
    }
    topic.produce("k", "v").unwrap();
    drop((topic, producer));
    // The tails, with what is in their slots now.
    let tails = crate::tail::TAIL_NAMES.map(|name| (name, fs::read(dir.join(name)).unwrap()));
    broker.close().unwrap();
    for (name, bytes) in tails {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if FileKind::of(&path).is_some() {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn every_file_of_a_directory_holds() {
    let dir = tempfile::tempdir().unwrap();
    let files = files_of_every_kind(dir.path());
    for file in &files {
        for options in [Options::new(), Options::new().records(true), Options::new().apart(true)] {
            assert_eq!(problems(file, &options), [], "{}", file.display());
        }
    }
    let mut kinds: Vec<_> = files.iter().filter_map(FileKind::of).map(|kind| format!("{kind:?}")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 11, "{kinds:?}");
    let tail = shown(&dir.path().join("tail-always"), &Options::new());
    assert!(tail.iter().any(|item| item.starts_with("OpenBatch")), "{tail:?}");
}

/// The failure that this is about: somebody looks at a damaged file to see what is wrong with it, and the program that shows it panics,
/// never ends, or takes all the memory.
#[test]
fn any_bytes_are_shown_or_said_to_be_wrong() {
    const SEED: u64 = 7;
    println!("seed {SEED}");
    let dir = tempfile::tempdir().unwrap();
    let mut state = SEED;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let all = Options::new().records(true).decoder(Decoder::Transactions);
    for path in files_of_every_kind(dir.path()) {
        let whole = fs::read(&path).unwrap();
        let rounds = if FileKind::of(&path) == Some(FileKind::Tail) { 20 } else { 60 };
        for round in 0..rounds {
            let mut bytes = whole.clone();
            match round % 6 {
                0 => bytes = (0..random(3000)).map(|_| byte(random(256))).collect(),
                1 => bytes.truncate(random(whole.len())),
                2 => bytes.extend((0..random(500)).map(|_| byte(random(2)))),
                3 => {
                    let at = random(whole.len());
                    bytes.drain(at..(at + random(100)).min(whole.len()));
                }
                _ => {
                    for _ in 0..=random(8) {
                        let at = random(bytes.len().min(if round % 2 == 0 { 256 } else { usize::MAX }));
                        if let Some(place) = bytes.get_mut(at) {
                            *place = [0, 0xff, 0x7f, 0x80, byte(random(256))][random(5)];
                        }
                    }
                }
            }
            fs::write(&path, &bytes).unwrap();
            let options = if round % 3 == 0 { Options::new().apart(true) } else { all.clone() };
            let items = shown(&path, &options).len();
            // Nothing has fewer than 7 bytes, and of each at most two things are said.
            assert!(items <= 2 + bytes.len() / 3, "{items} items of {} bytes", bytes.len());
        }
        fs::write(&path, &whole).unwrap();
    }
}
