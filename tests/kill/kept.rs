//! Two topics that do not keep everything: one is bounded in bytes, of the other the last record of each key stays. One thread
//! sends to both, and now and then deletes records of the first. A record says its number, which is its offset.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use ottla::{Broker, CleanupPolicy, Partition, ProducerRecord, TopicConfig, TopicPartition};

use crate::child::report;

const BOUNDED: &str = "readings";
const COMPACTED: &str = "states";
const RETENTION_BYTES: u64 = 128 << 10;
const SEGMENT_BYTES: u32 = 32 << 10;
/// What one sealed batch takes at most, and so a segment however small its limit is.
const BATCH_BYTES_MAX: u64 = (64 << 10) + 61;
/// Records of one call.
const PIECE: u64 = 20;

/// Makes the topics, unless they are there.
pub(crate) fn create(broker: &Broker) -> ottla::Result<()> {
    let bounded = TopicConfig::new().segment_bytes(SEGMENT_BYTES).retention_bytes(RETENTION_BYTES);
    let compacted = TopicConfig::new().segment_bytes(SEGMENT_BYTES).cleanup_policy(CleanupPolicy::Compact);
    for (topic, config) in [(BOUNDED, bounded), (COMPACTED, compacted)] {
        if !broker.admin().list_topics()?.iter().any(|name| name == topic) {
            broker.create_topic(topic, config)?;
        }
    }
    Ok(())
}

/// A few keys have most of the records.
fn key_of(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed / 8 % (1 << (mixed % 8))).to_string()
}

/// Of the compacted topic, some have no value.
fn state_of(number: u64) -> Option<String> {
    (!number.is_multiple_of(11)).then(|| format!("{number} {}", ".".repeat(usize::try_from(number % 90).unwrap())))
}

fn reading_of(number: u64) -> String {
    format!("{number} {}", ".".repeat(usize::try_from(number % 500).unwrap()))
}

/// Works until the process is killed.
pub(crate) fn send(broker: &Broker) -> ! {
    let bounded = broker.topic(BOUNDED).unwrap().partition(0).unwrap();
    let compacted = broker.topic(COMPACTED).unwrap().partition(0).unwrap();
    for turn in 0_u64.. {
        let first = bounded.log_end_offset();
        let values: Vec<String> = (first..first + PIECE).map(reading_of).collect();
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to(BOUNDED).value(value)).collect();
        let offsets = bounded.append_batch(&records).unwrap();
        report(&format!("reading {first} {} {}\n", offsets.start, offsets.end));
        report(&format!("begins {}\n", bounded.log_start_offset()));

        let first = compacted.log_end_offset();
        let contents: Vec<_> = (first..first + PIECE).map(|number| (key_of(number), state_of(number))).collect();
        let records: Vec<_> = contents
            .iter()
            .map(|(key, value)| value.iter().fold(ProducerRecord::to(COMPACTED).key(key), ProducerRecord::value))
            .collect();
        let offsets = compacted.append_batch(&records).unwrap();
        report(&format!("state {first} {} {}\n", offsets.start, offsets.end));

        if turn % 64 == 63 {
            let before = bounded.log_end_offset() - PIECE / 2;
            report(&format!("deleting {before}\n"));
            let starts = broker.admin().delete_records(&[(TopicPartition::new(BOUNDED, 0), before)]).unwrap();
            report(&format!("deleted {}\n", starts[0].1));
        }
        // The others are to have their share of the machine.
        std::thread::sleep(Duration::from_micros(200));
    }
    unreachable!("nobody sends for so long");
}

/// What the child was told, over all cycles.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// All below was sent, by topic.
    readings_end: u64,
    states_end: u64,
    states_read: u64,
    /// Where the bounded topic begins, at least.
    start: u64,
    /// What somebody asked to delete, at most.
    asked: u64,
    /// By key: the last state below `states_read`.
    last: HashMap<String, u64>,
}

impl Kept {
    /// Takes in a report, if it is about this.
    pub(crate) fn take_in(&mut self, word: &str, numbers: &[u64]) -> Result<(), String> {
        match (word, numbers) {
            ("reading" | "state", [number, offset, end]) => {
                if number != offset || number + PIECE != *end {
                    return Err(format!("{word} {number} was sent, and the answer was {offset}..{end}"));
                }
                let known = if word == "reading" { &mut self.readings_end } else { &mut self.states_end };
                *known = *end;
            }
            ("begins" | "deleted", [start]) => {
                if *start < self.start {
                    return Err(format!("{BOUNDED} began at {}, and later at {start}", self.start));
                }
                self.start = *start;
            }
            ("deleting", [before]) => self.asked = self.asked.max(*before),
            _ => {}
        }
        Ok(())
    }

    /// Compares what is there; `maintained`, also after doing all that there is to do.
    pub(crate) fn compare(&mut self, broker: &Broker, maintained: bool) -> Result<(), String> {
        create(broker).map_err(|e| e.to_string())?;
        let [bounded, compacted] = [BOUNDED, COMPACTED].map(|topic| broker.topic(topic).unwrap().partition(0).unwrap());
        self.compare_bounded(broker, &bounded)?;
        self.compare_compacted(&compacted)?;
        if maintained {
            maintain(broker)?;
            self.compare_bounded(broker, &bounded)?;
            self.compare_compacted(&compacted)?;
        }
        Ok(())
    }

    /// All from the start to the end is there; the start is where nobody has seen a later one, and enough bytes are left.
    fn compare_bounded(&mut self, broker: &Broker, log: &Partition) -> Result<(), String> {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        if start < self.start {
            return Err(format!("{BOUNDED} begins at {start}, and had begun at {}", self.start));
        }
        let is_end_right = (self.readings_end..=self.readings_end + PIECE).contains(&end) && end % PIECE == 0;
        if !is_end_right {
            return Err(format!("{BOUNDED} ends at {end}, and what is below {} was acknowledged", self.readings_end));
        }
        let bytes = bounded_bytes(broker)?;
        if self.start.max(self.asked) < start && bytes < RETENTION_BYTES {
            return Err(format!("{BOUNDED} begins at {start}, of which nobody knew, and has {bytes} bytes"));
        }
        let mut next = start;
        for record in log.iter_from(start) {
            let record = record.map_err(|e| e.to_string())?;
            if record.offset() != next || record.value() != Some(reading_of(next).as_bytes()) {
                return Err(format!("not what was sent, at {next}: {record:?}"));
            }
            next += 1;
        }
        if next != end {
            return Err(format!("{BOUNDED} can be read up to {next}, and ends at {end}"));
        }
        (self.start, self.readings_end) = (start, end);
        Ok(())
    }

    /// Of each key the last record is there, and nothing that was not sent.
    fn compare_compacted(&mut self, log: &Partition) -> Result<(), String> {
        let (acked, end) = (self.states_end, log.log_end_offset());
        if !(acked..=acked + PIECE).contains(&end) || end % PIECE != 0 {
            return Err(format!("{COMPACTED} ends at {end}, and what is below {acked} was acknowledged"));
        }
        self.last.extend((self.states_read..end).map(|number| (key_of(number), number)));
        (self.states_end, self.states_read) = (end, end);
        let mut found = HashMap::new();
        let mut next = 0;
        for record in log.iter_from(0) {
            let record = record.map_err(|e| e.to_string())?;
            let number = record.offset();
            let is_sent = record.key() == Some(key_of(number).as_bytes())
                && record.value() == state_of(number).as_ref().map(String::as_bytes);
            if number < next || end <= number || !is_sent {
                return Err(format!("not what was sent, between {next} and {end}: {record:?}"));
            }
            found.insert(key_of(number), number);
            next = number + 1;
        }
        match self.last.iter().find(|(key, number)| found.get(*key) != Some(*number)) {
            None => Ok(()),
            Some((key, number)) => Err(format!("of key {key} state {number} is the last, found {:?}", found.get(key))),
        }
    }

    /// Whether all of this was put to the test; for after many cycles.
    pub(crate) fn check_worth(&self, dir: &Path) -> Result<(), String> {
        let broker = crate::child::open(dir, false).map_err(|e| e.to_string())?;
        let states = broker.topic(COMPACTED).and_then(|topic| topic.partition(0)).map_err(|e| e.to_string())?;
        let left = states.iter_from(0).count() as u64;
        println!("{} readings from {} on, {left} states of {}", self.readings_end, self.start, self.states_end);
        if self.start == 0 || left == self.states_end {
            return Err("nothing was deleted, or nothing compacted".to_owned());
        }
        Ok(())
    }
}

fn bounded_bytes(broker: &Broker) -> Result<u64, String> {
    let description = broker.admin().describe(BOUNDED).map_err(|e| e.to_string())?;
    Ok(description.partitions()[0].log_bytes())
}

/// Does all that there is to do; no more is left then than the limit says.
fn maintain(broker: &Broker) -> Result<(), String> {
    broker.run_maintenance().map_err(|e| e.to_string())?;
    let bytes = bounded_bytes(broker)?;
    if bytes < RETENTION_BYTES + BATCH_BYTES_MAX {
        return Ok(());
    }
    Err(format!("{BOUNDED} still has {bytes} bytes"))
}
