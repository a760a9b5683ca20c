//! A data directory of which a stranger has changed the files: opened, read, written to, opened again.
//!
//! ```text
//! byte 0     bit 0: closed rather than killed; bit 1: checksums put right; bit 2: the machine was restarted
//! then each  file, what to do with it, place (2 bytes), size, and for some as many bytes
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Compression, Durability, Error, Partition, ProducerRecord, Result, TopicConfig};

use crate::allocation::capped;

const DIR: &str = "/data";
/// What a reader may take, and what the disk in memory needs for two tails and their copies.
const BYTES_MAX: usize = (2 << 20) + (16 << 20) + (24 << 20);
/// Looked at of one topic: a catalog may claim many thousands.
const PARTITIONS_MAX: u32 = 8;
/// Tried for one partition: what is lost can be many small pieces.
const READS_MAX: usize = 1000;

/// What a partition holds, by offset.
type Records = BTreeMap<u64, Vec<u8>>;
/// All partitions that could be looked at.
type Contents = BTreeMap<(String, u32), Records>;

/// A data directory, and what was written to it.
pub(crate) struct Golden {
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    contents: Contents,
}

/// A small data directory after a close or a kill.
pub(crate) fn golden(is_clean: bool) -> &'static Golden {
    static GOLDEN: [OnceLock<Golden>; 2] = [const { OnceLock::new() }; 2];
    GOLDEN[usize::from(is_clean)].get_or_init(|| make(is_clean).expect("nothing fails on a new disk"))
}

fn make(is_clean: bool) -> Result<Golden> {
    let disk = SimulatedDisk::new(0);
    let broker = open(&disk)?;
    let config = TopicConfig::new().segment_bytes(1024);
    broker.create_topic("always", config.clone().partitions(2).durability(Durability::Always))?;
    broker.create_topic("os", config.durability(Durability::Os).compression(Compression::Snappy))?;
    for (topic, partition) in [("always", 0), ("always", 1), ("os", 0)] {
        let partition = broker.topic(topic)?.partition(partition)?;
        for n in 0..12_u64 {
            let value = format!("{} {n} {}", partition.topic_partition(), "value ".repeat(8));
            partition.append(&ProducerRecord::to(topic).key(&n.to_be_bytes()).value(&value).header("n", "1"))?;
            if n == 8 {
                broker.flush()?;
                broker.run_maintenance()?;
            }
            if n % 4 == 3 {
                // Batches of some size make segments roll.
                let values: Vec<String> = (0..3).map(|m| format!("{value}{m}")).collect();
                let batch: Vec<_> = values.iter().map(|value| ProducerRecord::to(topic).value(value)).collect();
                partition.append_batch(&batch)?;
            }
        }
    }
    let contents = read_all(&broker);
    let image = if is_clean {
        broker.close()?;
        disk
    } else {
        disk.kill(0)
    };
    let paths = image.files().into_iter().map(|(path, _)| path);
    let files = paths.map(|path| (path.clone(), image.read(path).unwrap_or_default())).collect();
    Ok(Golden { files, contents })
}

fn open(disk: &SimulatedDisk) -> Result<Broker> {
    Broker::builder(DIR).disk(disk).background(false).tail_bytes(1 << 20).open()
}

pub(crate) fn run(data: &[u8]) {
    let Some((&flags, patches)) = data.split_first() else { return };
    let golden = golden(flags & 1 == 1);
    let mut files = golden.files.clone();
    let is_forged = patch(&mut files, patches) || flags & 2 == 2;
    if flags & 2 == 2 {
        for (path, bytes) in &mut files {
            put_checksums_right(path, bytes);
        }
    }
    let disk = SimulatedDisk::new(u64::from(flags >> 2 & 1));
    for (path, bytes) in files {
        disk.put(path, &bytes);
    }
    capped(BYTES_MAX, || use_all(&disk, (!is_forged).then_some(&golden.contents)));
}

/// Opens, reads, writes and opens again. What is read is what was `written`, if that is given.
fn use_all(disk: &SimulatedDisk, written: Option<&Contents>) {
    let Ok(broker) = open(disk) else { return };
    let mut contents = read_all(&broker);
    for (key, records) in &contents {
        for (offset, value) in records {
            let Some(written) = written else { break };
            let expected = written.get(key).and_then(|records| records.get(offset));
            assert_eq!(Some(value), expected, "{key:?}: offset {offset} is another record");
        }
    }
    for ((topic, number), records) in &mut contents {
        let Ok(partition) = broker.topic(topic).and_then(|topic| topic.partition(*number)) else { continue };
        if let Ok(offset) = partition.append(&ProducerRecord::to(topic).value("new")) {
            assert!(records.last_key_value().is_none_or(|(last, _)| *last < offset), "an offset is given twice");
            records.insert(offset, b"new".to_vec());
        }
    }
    _ = broker.close();
    let again = open(disk).expect("what could be opened once can be opened again");
    assert_eq!(read_all(&again), contents);
}

fn read_all(broker: &Broker) -> Contents {
    let mut contents = Contents::new();
    for name in broker.admin().list_topics().unwrap_or_default() {
        let Ok(topic) = broker.topic(&name) else { continue };
        for number in 0..PARTITIONS_MAX {
            if let Ok(partition) = topic.partition(number) {
                contents.insert((name.clone(), number), read(&partition));
            }
        }
    }
    contents
}

fn read(partition: &Partition) -> Records {
    let (mut offset, mut records) = (partition.log_start_offset(), Records::new());
    let end = partition.log_end_offset();
    for _ in 0..READS_MAX {
        if end <= offset {
            break;
        }
        match partition.read(offset, 1 << 16) {
            Ok(read) => {
                for record in &read {
                    assert!(offset <= record.offset() && record.offset() < end, "offsets ascend, up to the end");
                    offset = record.offset() + 1;
                    records.insert(record.offset(), record.value().unwrap_or_default().to_vec());
                }
                let next_offset = read.next_offset(partition.topic_partition()).unwrap_or(offset);
                assert!(!read.is_empty() || offset < next_offset, "reading goes on");
                offset = next_offset.max(offset);
            }
            Err(Error::Corrupt(corruption)) => {
                let lost = corruption.offsets.expect("it is known which offsets are lost");
                assert!(lost.contains(&offset), "{lost:?} does not say why {offset} cannot be read");
                offset = lost.end;
            }
            Err(_) => break,
        }
    }
    records
}

/// Does to the files what the bytes say. Returns whether one was put in the place of another, which its checksums do not tell.
fn patch(files: &mut Vec<(PathBuf, Vec<u8>)>, mut patches: &[u8]) -> bool {
    let mut is_swapped = false;
    while let [file, what, high, low, size, rest @ ..] = patches {
        patches = rest;
        if files.is_empty() {
            break;
        }
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        let (index, other) = (usize::from(*file) % files.len(), usize::from(*size) % files.len());
        let Some(bytes) = files.get_mut(index).map(|(_, bytes)| bytes) else { break };
        let at = at % (bytes.len() + 1);
        let mut payload = || {
            let (payload, behind) = rest.split_at(rest.len().min(usize::from(*size % 64)));
            patches = behind;
            payload
        };
        match what % 8 {
            0 => bytes.iter_mut().skip(at).zip(payload()).for_each(|(to, from)| *to = *from),
            1 => bytes.iter_mut().skip(at).zip(payload()).for_each(|(to, from)| *to ^= *from),
            2 => bytes.truncate(at),
            3 => bytes.iter_mut().skip(at / 512 * 512).take(512).for_each(|byte| *byte = 0),
            4 => drop(files.remove(index)),
            5 => bytes.extend_from_slice(payload()),
            6 => {
                let payload = payload().to_vec();
                bytes.splice(at..at, payload);
            }
            _ => {
                let (from, is_same) = (files[other].1.clone(), index == other);
                files[index].1 = from;
                is_swapped |= !is_same;
            }
        }
    }
    is_swapped
}

fn put_checksums_right(path: &std::path::Path, bytes: &mut [u8]) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        "catalog" | "manifest" => frames(bytes),
        "recovery-point" => bytes.chunks_mut(512).for_each(|sector| {
            if let Some((checked, crc)) = sector.get_mut(..256).and_then(<[u8]>::split_last_chunk_mut) {
                *crc = crc32fast::hash(checked).to_be_bytes();
            }
        }),
        _ if path.extension().is_some_and(|extension| extension == "log") => batches(bytes),
        _ => {}
    }
}

/// Frames of generations, one behind the other: 24 bytes, of which the last 4 are the payload's size, the payload, a checksum.
fn frames(mut rest: &mut [u8]) {
    while let Some(payload) = rest.get(20..24).and_then(|size| size.first_chunk()) {
        let size = 28_usize.saturating_add(usize::try_from(u32::from_be_bytes(*payload)).unwrap_or(usize::MAX));
        let Some((frame, behind)) = std::mem::take(&mut rest).split_at_mut_checked(size) else { break };
        if let Some((checked, crc)) = frame.split_last_chunk_mut() {
            *crc = crc32fast::hash(checked).to_be_bytes();
        }
        rest = behind;
    }
}

/// Batches, one behind the other: their size stands at byte 8, their checksum of what follows at byte 17.
fn batches(mut rest: &mut [u8]) {
    while let Some(length) = rest.get(8..12).and_then(|length| length.first_chunk()) {
        let size = 12_usize.saturating_add(usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX));
        let Some((batch, behind)) = std::mem::take(&mut rest).split_at_mut_checked(size) else { break };
        if let Some((head, checked)) = batch.split_at_mut_checked(21)
            && let Some((_, crc)) = head.split_last_chunk_mut()
        {
            *crc = crc32c::crc32c(checked).to_be_bytes();
        }
        rest = behind;
    }
}
