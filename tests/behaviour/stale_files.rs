//! Files as file systems leave them after a crash: too long, with zeros, old blocks or nothing in them, or as they were before.
//! The log ends where its last whole batch ends, goes on from there, and never shows what was not its own.

use std::path::{Path, PathBuf};

use ottla::testing::{CrashModel, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Partition, ProducerRecord, Result, Timestamp, TopicConfig};

fn try_open(disk: &SimulatedDisk) -> Result<Broker> {
    let config = TopicConfig::new().segment_bytes(700 << 10).index_interval_bytes(64);
    let builder = Broker::builder("/data").disk(disk).durability(Durability::Os).background(false);
    builder.topic_defaults(config).open()
}

fn open(disk: &SimulatedDisk) -> Broker {
    try_open(disk).unwrap()
}

fn partition(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

/// Batches of one record each, too large for the tail, so that they go into the segment at once. The value says which
/// generation of the log wrote it.
fn append(partition: &Partition, generation: u8, count: u64) {
    for offset in partition.log_end_offset()..partition.log_end_offset() + count {
        let time = Timestamp::from_millis(i64::try_from(1000 + 10 * offset).unwrap());
        let value = vec![generation; 66_000 + 500 * usize::try_from(offset % 7).unwrap()];
        partition.append(&ProducerRecord::to("t").value(&value).timestamp(time)).unwrap();
    }
}

/// The generations of all records, which must have no gap.
fn generations(broker: &Broker) -> Vec<u8> {
    let records = crate::all_from(&partition(broker), 0);
    assert!((0_u64..).zip(&records).all(|(offset, record)| record.offset() == offset));
    records.iter().map(|record| record.value().unwrap()[0]).collect()
}

fn logs(disk: &SimulatedDisk) -> Vec<PathBuf> {
    named(disk, "log")
}

fn named(disk: &SimulatedDisk, extension: &str) -> Vec<PathBuf> {
    let is_wanted = |path: &PathBuf| path.starts_with("/data/t-0") && path.extension().is_some_and(|e| e == extension);
    disk.files().into_iter().map(|(path, _)| path).filter(is_wanted).collect()
}

/// In the logs that `stopped` gives.
const RECORDS: usize = 26;

/// A log of some segments, of which the older ones are known to be durable; with what may be in it after the process died, and
/// after a power cut of which everything survived.
fn stopped() -> Vec<(&'static str, SimulatedDisk)> {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    append(&partition(&broker), 1, 16);
    broker.flush().unwrap();
    append(&partition(&broker), 1, RECORDS as u64 - 16);
    assert!(3 <= logs(&disk).len());
    vec![("killed", disk.kill(1)), ("power cut", disk.crash_keeping(disk.unsynced(), false, 1))]
}

/// Noise that is the same each time (splitmix64).
fn noise(bytes: usize) -> Vec<u8> {
    let mixed = |n: u64| {
        let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb).to_be_bytes()
    };
    (1..).flat_map(|n: u64| mixed(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).take(bytes).collect()
}

/// The log has its records, goes on, and has them all when it is opened again.
#[track_caller]
fn check_goes_on(image: &SimulatedDisk, what: &str) {
    let broker = open(image);
    assert_eq!(generations(&broker), [1; RECORDS], "{what}");
    append(&partition(&broker), 2, 3);
    let again = open(&image.kill(1));
    assert_eq!(generations(&again), [&[1; RECORDS][..], &[2; 3]].concat(), "{what}, opened again");
    assert_eq!(again.recovery_report().damage().count(), 0, "{what}");
}

#[test]
fn what_stands_behind_the_last_whole_batch_is_no_record() {
    for (end, image) in stopped() {
        let logs = logs(&image);
        let active = logs.last().unwrap();
        let (whole, oldest) = (image.read(active).unwrap(), image.read(&logs[0]).unwrap());
        // What would have come next, had what comes before it not been lost.
        let next = {
            let ahead = image.kill(1);
            append(&partition(&open(&ahead)), 3, 2);
            ahead.read(active).unwrap()[whole.len()..].to_vec()
        };
        let behind_next = next[next.len() / 2..].to_vec();
        let tails: [(&str, Vec<u8>); 9] = [
            ("zeros, as much as XFS preallocates", vec![0; 1 << 20]),
            ("garbage, as ext4 shows with data=writeback", noise(65_019)),
            ("the batches of an old segment", oldest.clone()),
            ("the batches of this one, again", whole.clone()),
            ("half a batch", next[..next.len() / 4].to_vec()),
            ("half a batch and zeros", [&next[..next.len() / 4], &[0; 5000]].concat()),
            ("a hole, and whole batches behind it", [&[0; 4096][..], &next].concat()),
            ("not the next batch, but the one after it", behind_next),
            ("old batches behind garbage", [noise(100), oldest].concat()),
        ];
        for (what, tail) in tails {
            let image = image.kill(1);
            image.put(active, &[whole.clone(), tail].concat());
            check_goes_on(&image, &format!("{end}: {what}"));
        }
    }
}

#[test]
fn a_newest_segment_without_a_whole_batch_begins_again_at_the_same_offset() {
    for (end, image) in stopped() {
        let first_batch = image.read(&logs(&image)[0]).unwrap();
        let contents: [(&str, Vec<u8>); 6] = [
            ("nothing", vec![]),
            ("a sector of zeros", vec![0; 512]),
            ("a mebibyte of zeros", vec![0; 1 << 20]),
            ("garbage", noise(700)),
            ("the beginning of a header", first_batch[..30].to_vec()),
            ("the batches of an old segment", first_batch),
        ];
        for (what, content) in contents {
            let image = image.kill(1);
            let newest = PathBuf::from(format!("/data/t-0/{RECORDS:020}.log"));
            image.put(&newest, &content);
            for index in ["index", "timeindex"] {
                image.put(newest.with_extension(index), &[]);
            }
            check_goes_on(&image, &format!("{end}: {what}"));
        }
    }
}

/// Recovery cuts a log, others go on with it, and the power goes: the truncation may be lost then, but what it cut off must not
/// be taken for what comes behind the new records.
#[test]
fn what_was_cut_off_does_not_come_back() {
    let (_, image) = stopped().pop().unwrap();
    let active = logs(&image).pop().unwrap();
    let bytes = image.read(&active).unwrap();
    let batch_bytes = 12 + usize::try_from(u32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    let base_offset: usize = active.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let kept = base_offset + 1;
    assert!(kept + 3 < RECORDS, "whole batches stand behind the one that is torn");
    assert!(image.flip_bit(&active, (batch_bytes + 100) as u64, 0));
    for (seed, model) in (0..10).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let what = format!("seed {seed}, {model:?}");
        let cut = image.kill(1);
        let broker = open(&cut);
        assert_eq!(generations(&broker).len(), kept);
        append(&partition(&broker), 2, 2);
        let left = generations(&open(&cut.crash(seed, model)));
        let all = [vec![1; kept], vec![2; 2]].concat();
        assert!(kept <= left.len() && all.starts_with(&left), "{what}: {left:?}");
        broker.flush().unwrap();
        assert_eq!(generations(&open(&cut.crash(seed, model))), all, "{what}, after a flush");
    }
    for calls in 0.. {
        let stopping = image.kill(1);
        stopping.stop_after(calls);
        let is_open = try_open(&stopping).is_ok();
        for model in CrashModel::ALL {
            assert_eq!(
                generations(&open(&stopping.crash(calls, model))).len(),
                kept,
                "stopped after {calls}, {model:?}"
            );
        }
        if is_open {
            break;
        }
    }
}

/// What lookups say: the batch at each offset and the first offset at each time.
fn answers(broker: &Broker) -> Vec<(u64, Option<u64>)> {
    let log = partition(broker);
    let at = |offset| log.read(offset, 1).unwrap().iter().next().unwrap().offset();
    let since = |time: i64| log.offset_for_time(Timestamp::from_millis(time)).unwrap();
    (0..log.log_end_offset()).zip((995..).step_by(10)).map(|(offset, time)| (at(offset), since(time))).collect()
}

#[test]
fn an_index_of_an_earlier_day_or_of_another_segment_changes_no_answer() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    append(&partition(&broker), 1, 25);
    broker.close().unwrap();
    let earlier = disk.kill(1);
    let broker = open(&disk);
    append(&partition(&broker), 1, 20);
    let expected = answers(&broker);
    broker.close().unwrap();
    let mut changed = 0;
    for kind in ["index", "timeindex"] {
        let files = named(&disk, kind);
        for (at, from) in files.iter().flat_map(|at| files.iter().map(move |from| (at, from))) {
            for source in [&disk, &earlier] {
                let Some(other) = source.read(from).filter(|other| *other != disk.read(at).unwrap()) else { continue };
                changed += 1;
                for is_clean in [true, false] {
                    let image = disk.kill(1);
                    image.put(at, &other);
                    if !is_clean {
                        assert!(image.delete("/data/clean-shutdown"));
                    }
                    let what = format!("{} in the place of {}, clean {is_clean}", from.display(), at.display());
                    assert_eq!(answers(&open(&image)), expected, "{what}");
                }
            }
        }
    }
    assert!(changed > 10, "{changed}");
}

/// How often opening `image` reads in logs, after which all `count` records are there.
fn log_reads_to_open(image: &SimulatedDisk, count: usize) -> usize {
    let calls = image.calls();
    let broker = open(image);
    let is_log = |path: &Path| path.extension().is_some_and(|e| e == "log");
    let reads = image.log().into_iter().filter(|call| call.number > calls && call.operation == Operation::Read);
    let reads = reads.filter(|call| is_log(&call.path)).count();
    assert_eq!(generations(&broker), vec![1; count]);
    assert!(broker.recovery_report().damage().next().is_none());
    reads
}

/// What was synced and noted by the maintenance is not read again, since its index is there: however long the log is.
#[test]
fn after_a_kill_only_what_is_above_the_recovery_point_is_read() {
    let disk = SimulatedDisk::new(1);
    let config = TopicConfig::new().segment_bytes(1 << 30);
    let builder = Broker::builder("/data").disk(&disk).durability(Durability::Os).background(false);
    let broker = builder.topic_defaults(config).open().unwrap();
    for _ in 0..2 {
        append(&partition(&broker), 1, 140);
        broker.run_maintenance().unwrap();
    }
    append(&partition(&broker), 1, 3);
    let image = disk.kill(1);
    let reads = log_reads_to_open(&image.kill(2), 283);
    assert!(reads < 8, "{reads}");
    // Whoever dies before anything is synced leaves the next one no more to do.
    let again = image.kill(3);
    let killed = open(&again);
    let third = again.kill(4);
    drop(killed);
    assert_eq!(log_reads_to_open(&third, 283), reads);

    for path in named(&image, "index").into_iter().chain(named(&image, "timeindex")) {
        let bytes = image.read(&path).unwrap();
        for other in [vec![], vec![0; bytes.len()], bytes[..bytes.len() - 1].to_vec(), noise(bytes.len())] {
            let image = image.kill(2);
            image.put(&path, &other);
            let reads = log_reads_to_open(&image, 283);
            assert!(70 < reads, "all of it, since {} says nothing: {reads}", path.display());
        }
    }
}
