//! What was asked of a broker and what it answered: everything that the oracle knows.

use std::collections::BTreeMap;

use ottla::{Durability, OwnedRecord, TopicPartition};

use crate::random::Random;

/// What does not hold, in words.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// One record that was sent. Key and value follow from these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sent {
    /// Different for every record of a run, the refused ones included.
    pub(crate) serial: u64,
    pub(crate) value_bytes: usize,
    /// Whether it is of one piece with the record before it.
    pub(crate) continues: bool,
}

impl Sent {
    pub(crate) fn key(self) -> [u8; 8] {
        self.serial.to_be_bytes()
    }

    /// Half of it repeats, so that compression has something to do.
    pub(crate) fn value(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.value_bytes + 16);
        let mut words = self.words();
        while value.len() < self.value_bytes {
            value.extend(words.next().unwrap_or_default());
        }
        value.truncate(self.value_bytes);
        value
    }

    fn words(self) -> impl Iterator<Item = [u8; 16]> {
        let mut random = Random::new(self.serial);
        let word = u128::from(random.next()) << 64;
        std::iter::repeat_with(move || (word | u128::from(random.next())).to_be_bytes())
    }

    fn is(self, record: &OwnedRecord) -> bool {
        let value = record.value().unwrap_or_default();
        record.key() == Some(&self.key())
            && value.len() == self.value_bytes
            && value.chunks(16).zip(self.words()).all(|(piece, word)| word.starts_with(piece))
    }
}

/// What one partition was sent.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct LogHistory {
    /// The acknowledged ones, by offset.
    pub(crate) records: Vec<Sent>,
    /// Pieces whose answer was an error or never came: at most one of them is behind the acknowledged records.
    pub(crate) open: Vec<Vec<Sent>>,
    /// So many survive a power cut, says the broker.
    pub(crate) durable: usize,
    /// So many were seen by a reader.
    pub(crate) seen: usize,
    /// From here on they are in the log, and readers may not see them yet.
    pub(crate) hidden_from: Option<usize>,
    /// What is below was deleted.
    pub(crate) start: u64,
    /// What is below may have been: that was asked for, and not acknowledged.
    pub(crate) start_asked: u64,
    /// Whether the topic keeps its records for a time only: any of them may go.
    pub(crate) has_retention: bool,
}

impl LogHistory {
    pub(crate) fn acked(&self) -> usize {
        self.records.len()
    }

    /// So many must be there for readers.
    pub(crate) fn visible(&self) -> usize {
        self.hidden_from.unwrap_or_else(|| self.acked())
    }

    /// Notes an answer: the offset of the first of `sent`. That it was given shows that nothing open is there.
    pub(crate) fn acknowledge(&mut self, sent: &[Sent], offset: u64) -> Checked {
        if offset != self.acked() as u64 {
            return Err(format!("offset {offset} was given out, but the log ended at {}", self.acked()));
        }
        self.open.clear();
        self.records.extend_from_slice(sent);
        Ok(())
    }

    /// Deleting what is below `offset` was acknowledged. It was made durable before, and all that came before it.
    pub(crate) fn deleted(&mut self, offset: u64) {
        self.start = self.start.max(offset);
        self.durable = self.durable.max(usize::try_from(offset).unwrap_or(usize::MAX));
    }

    /// Compares where the log begins.
    pub(crate) fn compare_start(&self, found: u64) -> Checked {
        let allowed = self.start..=if self.has_retention { u64::MAX } else { self.start_asked };
        if allowed.contains(&found) { Ok(()) } else { Err(format!("begins at {found}, and should in {allowed:?}")) }
    }

    /// Compares records that begin at offset `from`.
    pub(crate) fn compare(&self, from: u64, found: &[OwnedRecord]) -> Checked {
        if let Some((offset, record)) = (from..).zip(found).find(|(offset, record)| *offset != record.offset()) {
            return Err(format!("offset {} where {offset} should be", record.offset()));
        }
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let known = self.records.get(from..).unwrap_or_default();
        if let Some((sent, record)) = known.iter().zip(found).find(|(sent, record)| !sent.is(record)) {
            return Err(format!("offset {}: not record {sent:?}", record.offset()));
        }
        let Some(beyond) = found.get(known.len()).map(OwnedRecord::offset) else { return Ok(()) };
        match self.piece(from + known.len(), found) {
            Some(_) => Ok(()),
            None => Err(format!("offset {beyond}: neither acknowledged nor in any open piece, or not all of one")),
        }
    }

    /// The open piece that is, as a whole, what was found behind the acknowledged records, from offset `from` on.
    fn piece(&self, from: usize, found: &[OwnedRecord]) -> Option<&Vec<Sent>> {
        let found = found.iter().filter(|record| usize::try_from(record.offset()).is_ok_and(|offset| offset >= from));
        let found: Vec<_> = found.collect();
        let skipped = from.checked_sub(self.acked())?;
        let is_it = |piece: &&Vec<Sent>| {
            let piece = piece.get(skipped..).unwrap_or_default();
            piece.len() == found.len() && piece.iter().zip(&found).all(|(sent, record)| sent.is(record))
        };
        self.open.iter().find(is_it)
    }

    /// Takes what was found after a crash, from offset `start` on, for the whole truth, once it was compared. What was durable before
    /// stays so, whether or not the broker still knows.
    pub(crate) fn settle(&mut self, start: u64, found: &[OwnedRecord], durable_offset: u64) -> Checked {
        let end = usize::try_from(start).unwrap_or(usize::MAX) + found.len();
        if self.records.get(end).is_some_and(|next| next.continues) {
            return Err(format!("a piece was cut in two: the log ends at {end}"));
        }
        let piece = self.piece(self.acked(), found).cloned().unwrap_or_default();
        self.records.truncate(end);
        self.records.extend(piece);
        self.open.clear();
        self.hidden_from = None;
        self.durable = self.durable.max(usize::try_from(durable_offset).unwrap_or(usize::MAX)).min(end);
        self.seen = end;
        (self.start, self.start_asked) = (start, start);
        Ok(())
    }
}

/// Whether a topic is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Existence {
    Certain,
    /// Creating it was not acknowledged.
    MaybeCreated,
    /// Deleting it was not acknowledged.
    MaybeDeleted,
}

/// What was done to one topic.
#[derive(Debug, Clone, Hash)]
pub(crate) struct TopicHistory {
    pub(crate) existence: Existence,
    pub(crate) durability: Durability,
    /// It may have this durability already, or still.
    pub(crate) maybe_durability: Option<Durability>,
    pub(crate) logs: Vec<LogHistory>,
    /// It may have so many partitions already.
    pub(crate) maybe_partitions: Option<usize>,
}

impl TopicHistory {
    /// Whether it was `Always` for certain, whatever became of altering that.
    pub(crate) fn is_always(&self) -> bool {
        [Some(self.durability), self.maybe_durability].into_iter().flatten().all(|known| known == Durability::Always)
    }

    /// There are so many partitions.
    pub(crate) fn resize(&mut self, count: usize) {
        let has_retention = self.logs.iter().any(|log| log.has_retention);
        self.logs.resize(count, LogHistory { has_retention, ..LogHistory::default() });
    }
}

/// What a group committed in one partition, oldest first; `None` for nothing.
#[derive(Debug, Clone, Hash)]
pub(crate) struct CommitHistory {
    pub(crate) attempts: Vec<Option<u64>>,
    /// The newest acknowledged one.
    pub(crate) acked: usize,
    /// The newest one that survives a power cut.
    pub(crate) durable: usize,
}

impl Default for CommitHistory {
    fn default() -> CommitHistory {
        CommitHistory { attempts: vec![None], acked: 0, durable: 0 }
    }
}

impl CommitHistory {
    pub(crate) fn attempt(&mut self, offset: Option<u64>, is_acked: bool, is_durable: bool) {
        self.attempts.push(offset);
        if is_acked {
            self.acked = self.attempts.len() - 1;
        }
        if is_acked && is_durable {
            self.durable = self.acked;
        }
    }

    /// The newest attempt has succeeded. Nothing is committed twice: one that changes nothing leaves no trace.
    pub(crate) fn acknowledge(&mut self, is_durable: bool) {
        let newest = self.attempts.len() - 1;
        if self.acked + 1 == newest && self.attempts[newest] == self.attempts[self.acked] {
            self.attempts.pop();
            return;
        }
        self.acked = newest;
        if is_durable {
            self.durable = newest;
        }
    }

    /// The newest acknowledged one, and what was attempted since.
    pub(crate) fn since_acked(&self) -> &[Option<u64>] {
        self.attempts.get(self.acked..).unwrap_or_default()
    }

    pub(crate) fn settle(&mut self, found: Option<u64>) {
        *self = CommitHistory { attempts: vec![found], acked: 0, durable: 0 };
    }
}

/// Everything.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct History {
    pub(crate) topics: BTreeMap<String, TopicHistory>,
    pub(crate) commits: BTreeMap<TopicPartition, CommitHistory>,
    /// Partitions whose group stands behind the end of the log, since a power cut took records that it had passed; and that
    /// end.
    pub(crate) truncated: BTreeMap<TopicPartition, u64>,
    /// The same, of groups that were told and have committed something else since: another power cut may bring the old
    /// position back. With the position.
    pub(crate) told: BTreeMap<(TopicPartition, u64), u64>,
}

impl History {
    pub(crate) fn log(&mut self, partition: &TopicPartition) -> Option<&mut LogHistory> {
        self.topics.get_mut(partition.topic())?.logs.get_mut(partition.partition() as usize)
    }

    /// All partitions of topics that are there for certain.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let topics = self.topics.iter().filter(|(_, topic)| topic.existence == Existence::Certain);
        topics
            .flat_map(|(name, topic)| {
                (0..).zip(&topic.logs).map(|(number, _)| TopicPartition::new(name.as_str(), number))
            })
            .collect()
    }

    /// The topic is gone for certain, and with it what was committed.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
        for (partition, commits) in &mut self.commits {
            if partition.topic() == topic {
                commits.attempt(None, true, true);
            }
        }
        self.truncated.retain(|partition, _| partition.topic() != topic);
        self.told.retain(|(partition, _), _| partition.topic() != topic);
    }
}
