//! The process that kills: starts the child, stops it, and compares what is there with what was reported.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ottla::{Broker, OwnedRecord, TopicPartition};

use crate::child::{next_number_of, open, partition_of, value_of};
use crate::copying::Copied;
use crate::kept::Kept;
use crate::{CHILD_DIR, GROUPS, PARTITIONS, SENDERS, TOPIC};

/// In one cycle of so many the parent does the maintenance; else it is left to the child.
const MAINTENANCE_CYCLES: u64 = 10;

/// Kills and checks so many times.
pub(crate) fn run(cycles: u64, seed: u64) {
    println!("OTTLA_KILL_SEED={seed} OTTLA_KILL_CYCLES={cycles}");
    let dir = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for cycle in 0..cycles {
        let reports = kill_after(dir.path(), &known, moment(seed, cycle));
        let checked = known.take_in(&reports);
        let checked = checked.and_then(|()| known.compare(dir.path(), cycle % MAINTENANCE_CYCLES == 9));
        checked.unwrap_or_else(|problem| panic!("cycle {cycle} of seed {seed}: {problem}"));
    }
    known.compare_everything(dir.path()).unwrap();
    let is_worth = known.kept.check_worth(dir.path());
    assert!(cycles < 100 || is_worth.is_ok(), "{is_worth:?}");
    let sent: u64 = known.next_number.iter().sum();
    println!("{sent} records sent, all there; committed: {:?}; copied: {}", known.committed, known.copied.count());
    assert!(cycles < 100 || known.copied.count() > 100, "hardly anything was copied");
    assert!(cycles < 10 || sent > 1000, "the child has hardly done anything");
    let is_shared = known.committed.iter().flatten().all(|&position| position > 0);
    assert!(cycles < 100 || is_shared, "the groups have hardly done anything: {:?}", known.committed);
}

/// How long the child may run once it is open: mostly short, so that recoveries come in quick succession; sometimes not even
/// until it is open (`None`).
fn moment(seed: u64, cycle: u64) -> Option<Duration> {
    let mut x = (seed << 32 | cycle).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    match x % 10 {
        0 => None,
        1..=7 => Some(Duration::from_micros(x / 10 % 20_000)),
        _ => Some(Duration::from_micros(x / 10 % 150_000)),
    }
}

/// Runs the child, kills it, and returns all that it had reported.
fn kill_after(dir: &Path, known: &Known, moment: Option<Duration>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env(CHILD_DIR, dir);
    for (sender, next) in known.next_number.iter().enumerate() {
        command.env(next_number_of(sender), next.to_string());
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let (opened, is_open) = std::sync::mpsc::channel();
    // The pipe is read while the child runs, or it would stop when the pipe is full.
    let reader = thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 1 << 13]);
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            all.extend_from_slice(&piece[..length]);
            // Nobody may be waiting for it any more.
            _ = opened.send(());
        }
        String::from_utf8(all).unwrap()
    });
    match moment {
        None => thread::sleep(Duration::from_millis(3)),
        Some(moment) => {
            // An error is the child's end, of which its reports tell.
            _ = is_open.recv();
            thread::sleep(moment);
        }
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let reports = reader.join().unwrap();
    let last = reports.char_indices().rev().nth(500).map_or(0, |(at, _)| at);
    assert!(status.code().is_none(), "the child ended by itself ({status}): …{}", &reports[last..]);
    reports
}

/// By group and partition.
type Positions = [[u64; PARTITIONS as usize]; GROUPS.len()];

/// What the child was told, over all cycles.
#[derive(Default)]
struct Known {
    /// By sender: all below are there.
    next_number: [u64; SENDERS],
    /// By partition: up to where the log was compared.
    compared: [u64; PARTITIONS as usize],
    /// Sent in the last cycle: sender, number, partition, offset.
    sent: Vec<(usize, u64, u32, u64)>,
    /// By group and partition: where the group stands, and where it may stand.
    committed: Positions,
    committing: Positions,
    copied: Copied,
    kept: Kept,
}

impl Known {
    fn take_in(&mut self, reports: &str) -> Result<(), String> {
        self.sent.clear();
        for line in reports.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let mut words = line.split(' ');
            let word = words.next().unwrap_or_default();
            let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            match (word, numbers.as_slice()) {
                ("sent", &[sender, number, count, partition, offset]) => {
                    let (sender, partition) = (usize::try_from(sender).unwrap(), u32::try_from(partition).unwrap());
                    self.sent.extend((0..count).map(|n| (sender, number + n, partition, offset + n)));
                }
                ("committing", [group, positions @ ..]) => take_positions(&mut self.committing, *group, positions),
                ("committed", [group, positions @ ..]) => take_positions(&mut self.committed, *group, positions),
                (word, numbers) => self.kept.take_in(word, numbers)?,
            }
        }
        Ok(())
    }

    /// Opens what is there and compares what came in the last cycle.
    fn compare(&mut self, dir: &Path, is_maintained: bool) -> Result<(), String> {
        let broker = open(dir, false).map_err(|e| e.to_string())?;
        if let Some(damage) = broker.recovery_report().damage().next() {
            return Err(damage.to_string());
        }
        let topic = broker.topic(TOPIC).map_err(|e| e.to_string())?;
        let mut found = Vec::new();
        for partition in topic.partitions() {
            let number = partition.topic_partition().partition();
            let from = &mut self.compared[number as usize];
            let records: Result<Vec<_>, _> = partition.iter_from(*from).collect();
            let records = records.map_err(|e| e.to_string())?;
            check_offsets(&records, *from)?;
            *from += records.len() as u64;
            for record in &records {
                let (sender, sent) = parse(record)?;
                found.push((sender, sent, number, record.offset()));
            }
        }
        self.compare_sent(&found)?;
        self.compare_committed(&broker)?;
        self.copied.compare(&broker)?;
        self.kept.compare(&broker, is_maintained)
    }

    /// Everything sent is there, where it was said to be; beyond that at most the call that each sender was in.
    fn compare_sent(&mut self, found: &[(usize, u64, u32, u64)]) -> Result<(), String> {
        for sender in 0..SENDERS {
            let of_sender = |records: &[(usize, u64, u32, u64)]| {
                let mut records: Vec<_> = records.iter().filter(|record| record.0 == sender).copied().collect();
                records.sort_unstable_by_key(|record| record.1);
                records
            };
            let (sent, found) = (of_sender(&self.sent), of_sender(found));
            if let Some((sent, found)) = sent.iter().zip(&found).find(|(sent, found)| sent != found) {
                return Err(format!("sent {sent:?} (sender, number, partition, offset), found {found:?}"));
            }
            let (Some(more), true) = (found.get(sent.len()..), found.len() >= sent.len()) else {
                return Err(format!("sender {sender} sent {} records, {} are there", sent.len(), found.len()));
            };
            let first = self.next_number[sender] + sent.len() as u64;
            let whole = if first.is_multiple_of(50) { 5 } else { 1 };
            let is_next = (first..).zip(more).all(|(number, record)| record.1 == number);
            if !is_next || !(more.is_empty() || more.len() == whole) {
                return Err(format!("sender {sender} was about to send {first}, found {more:?}"));
            }
            self.next_number[sender] = first + more.len() as u64;
        }
        Ok(())
    }

    /// Each group stands where it last heard that it did, or where it was about to; never behind the end.
    fn compare_committed(&mut self, broker: &Broker) -> Result<(), String> {
        for (group, number) in (0..GROUPS.len()).flat_map(|group| (0..PARTITIONS).map(move |number| (group, number))) {
            let partition = TopicPartition::new(TOPIC, number);
            let found = broker.committed(GROUPS[group], &partition).map_err(|e| e.to_string())?;
            let found = found.map_or(0, |committed| committed.offset());
            let (least, most) = (self.committed[group][number as usize], self.committing[group][number as usize]);
            if found != least && found != most {
                return Err(format!("{partition}: {} stands at {found}, not at {least} or {most}", GROUPS[group]));
            }
            if found > self.compared[number as usize] {
                return Err(format!("{partition}: {} stands at {found}, behind the end", GROUPS[group]));
            }
            self.committed[group][number as usize] = found;
            self.committing[group][number as usize] = found;
        }
        Ok(())
    }

    /// Reads all there is once more: every record of every cycle is there, once, and in the order of its sender.
    fn compare_everything(&self, dir: &Path) -> Result<(), String> {
        let broker = open(dir, false).map_err(|e| e.to_string())?;
        let mut seen: Vec<Vec<bool>> =
            self.next_number.iter().map(|&count| vec![false; usize::try_from(count).unwrap()]).collect();
        for partition in broker.topic(TOPIC).map_err(|e| e.to_string())?.partitions() {
            let mut last = [None; SENDERS];
            for (offset, record) in (0..).zip(partition.iter_from(0)) {
                let record = record.map_err(|e| e.to_string())?;
                check_offsets(std::slice::from_ref(&record), offset)?;
                let (sender, number) = parse(&record)?;
                let is_first = !std::mem::replace(&mut seen[sender][usize::try_from(number).unwrap()], true);
                if !is_first || last[sender] >= Some(number) {
                    return Err(format!("record {number} of sender {sender} is there twice or out of order"));
                }
                last[sender] = Some(number);
            }
        }
        if seen.iter().flatten().all(|seen| *seen) {
            Ok(())
        } else {
            Err("a record of an earlier cycle is gone".to_owned())
        }
    }
}

/// Takes in pairs of a partition and a position in it.
fn take_positions(all: &mut Positions, group: u64, positions: &[u64]) {
    let of_group = &mut all[usize::try_from(group).unwrap()];
    for pair in positions.chunks_exact(2) {
        of_group[usize::try_from(pair[0]).unwrap()] = pair[1];
    }
}

fn check_offsets(records: &[OwnedRecord], from: u64) -> Result<(), String> {
    match (from..).zip(records).find(|(offset, record)| *offset != record.offset()) {
        None => Ok(()),
        Some((offset, record)) => Err(format!("offset {} where {offset} should be", record.offset())),
    }
}

/// Who sent a record, and its number; the contents must be what was sent, and where.
fn parse(record: &OwnedRecord) -> Result<(usize, u64), String> {
    let value = record.value().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let mut words = value.split(' ').map(str::parse);
    let (Some(Ok(sender)), Some(Ok(number))) = (words.next(), words.next()) else {
        return Err(format!("not what was sent: {record:?}"));
    };
    let sender_index = usize::try_from(sender).unwrap_or(usize::MAX);
    let piece = if number % 50 < 5 { number - number % 50 } else { number };
    let is_right = sender_index < SENDERS
        && value == value_of(sender_index, number)
        && record.topic_partition().partition() == partition_of(piece);
    if is_right { Ok((sender_index, number)) } else { Err(format!("not what was sent: {record:?}")) }
}
