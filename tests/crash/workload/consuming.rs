//! The one group: polls, commits, and reads of a log.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, Durability, Error, ResetTo, SeekTo, SendOutcome, TopicPartition};

use super::{GROUP, PASSING, Run};
use crate::history::{Checked, Existence, TopicHistory};
use crate::oracle::read_from;

impl Run {
    pub(super) fn consumer(&mut self) -> Checked<Option<&mut Consumer>> {
        if self.consumer.is_none() {
            let broker = self.broker()?;
            let config = ConsumerConfig::new(GROUP).topics(["always", "os", "interval", PASSING]);
            // They come and go.
            match broker.consumer_with(config.wait_for_topics(true)) {
                Ok(consumer) => self.consumer = Some(consumer),
                Err(error) => self.failed("make a consumer", error)?,
            }
        }
        Ok(self.consumer.as_mut())
    }

    /// Polls once. Returns whether anything came.
    pub(super) fn poll(&mut self) -> Checked {
        self.poll_some().map(|_| ())
    }

    pub(super) fn poll_some(&mut self) -> Checked<bool> {
        let Some(consumer) = self.consumer()? else { return Ok(false) };
        let polled = consumer.poll(Duration::ZERO);
        self.unknown_to_consumer.clear();
        match polled {
            Ok(records) => {
                let mut found: BTreeMap<TopicPartition, Vec<_>> = BTreeMap::new();
                for record in &records {
                    found.entry(record.topic_partition().clone()).or_default().push(record.detach());
                }
                for (partition, records) in &found {
                    self.saw(partition, records)?;
                }
                Ok(!found.is_empty())
            }
            Err(Error::LogTruncated { partition, requested, truncated_to, .. }) => {
                self.seek_back(&partition, requested, truncated_to)
            }
            Err(error) => self.failed("poll", error).map(|()| false),
        }
    }

    /// Goes to where the log went on after a power cut took what the group had passed.
    pub(super) fn seek_back(&mut self, partition: &TopicPartition, requested: u64, truncated_to: u64) -> Checked<bool> {
        let expected = self.history.truncated.remove(partition);
        let told = self.history.told.insert((partition.clone(), requested), truncated_to);
        if expected != Some(truncated_to) && told.is_none_or(|told| told < truncated_to) {
            return Err(format!("{partition}: truncated to {truncated_to}, says poll, and the oracle {expected:?}"));
        }
        // What the log went on with may be gone by now.
        let found = self.broker()?.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        let start = found.map_or(0, |found| found.log_start_offset());
        let Some(consumer) = self.consumer()? else { return Ok(false) };
        let sought = consumer.seek(partition, SeekTo::Offset(truncated_to.max(start)));
        sought.or_else(|error| self.failed("seek", error)).map(|()| true)
    }

    /// Polls until there is nothing more.
    pub(crate) fn poll_all(&mut self) -> Checked {
        while self.poll_some()? {}
        match self.history.truncated.first_key_value() {
            Some((partition, end)) if !self.expects_faults => {
                Err(format!("{partition}: the group was behind the end {end}, and was not told"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn saw(&mut self, partition: &TopicPartition, records: &[ottla::OwnedRecord]) -> Checked {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let end = usize::try_from(last.offset() + 1).unwrap_or(usize::MAX);
        let Some(log) = self.history.log(partition) else {
            return Err(format!("{partition}: records of a topic that is gone"));
        };
        log.compare(first.offset(), records).map_err(|problem| format!("{partition}: {problem}"))?;
        log.seen = log.seen.max(end);
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Checked {
        let Some(consumer) = self.consumer()? else { return Ok(()) };
        let assignment = consumer.assignment();
        let positions: Vec<_> =
            assignment.into_iter().map(|partition| (consumer.position(&partition), partition)).collect();
        let positions: Vec<_> = positions
            .into_iter()
            .filter(|(position, tp)| position.is_some() && !self.unknown_to_consumer.contains(tp.topic()))
            .collect();
        for (position, partition) in &positions {
            self.history.commits.entry(partition.clone()).or_default().attempt(*position, false, false);
        }
        self.note_version();
        let Some(consumer) = self.consumer()? else { return Ok(()) };
        let committed = consumer.commit();
        if has_taken_place(&committed) {
            let is_durable = committed.is_ok() && self.settings.durability == Durability::Always;
            for (_, partition) in positions {
                self.history.commits.entry(partition).or_default().acknowledge(is_durable);
            }
        }
        committed.or_else(|error| self.failed("commit", error))
    }

    /// Moves the whole group to where a log begins, or forgets it; nobody is in it meanwhile.
    pub(super) fn move_group(&mut self, is_deleted: bool) -> Checked {
        self.consumer = None;
        let broker = self.broker()?;
        let admin = broker.admin();
        let mut moved: Vec<(TopicPartition, Option<u64>)> = Vec::new();
        let reset = admin.reset_offsets(GROUP).to(ResetTo::Earliest);
        if is_deleted {
            moved.extend(self.history.commits.keys().map(|partition| (partition.clone(), None)));
        } else {
            match reset.plan() {
                Ok(plan) => {
                    let changes = plan.iter().map(|change| (change.topic_partition().clone(), Some(change.after())));
                    moved.extend(changes);
                }
                Err(Error::UnknownGroup { .. }) => return Ok(()),
                Err(error) => return self.failed("plan a reset", error),
            }
        }
        for (partition, to) in &moved {
            self.history.commits.entry(partition.clone()).or_default().attempt(*to, false, false);
        }
        self.note_version();
        let done = if is_deleted { admin.delete_group(GROUP) } else { reset.execute().map(|_| ()) };
        let done = match done {
            Err(Error::UnknownGroup { .. }) => Ok(()),
            done => done,
        };
        if has_taken_place(&done) {
            let is_durable = done.is_ok() && self.settings.durability == Durability::Always;
            for (partition, _) in moved {
                self.history.truncated.remove(&partition);
                self.history.commits.entry(partition).or_default().acknowledge(is_durable);
            }
        }
        done.or_else(|error| self.failed("move the group", error))
    }

    /// Reads one log from a random offset on.
    pub(super) fn read(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let end = self.history.log(&partition).map_or(0, |log| log.visible() as u64);
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        let start = found.as_ref().map_or(0, ottla::Partition::log_start_offset).min(end);
        let from = start + self.random.below(end - start + 1);
        let found = found.and_then(|log| log.iter_from(from).collect::<Result<Vec<_>, _>>());
        match found {
            Ok(records) => {
                if records.len() as u64 != end - from && !self.expects_faults {
                    return Err(format!("{partition}: {} records from {from}, not to the end {end}", records.len()));
                }
                self.saw(&partition, &records)
            }
            Err(error) => self.failed("read", error),
        }
    }

    /// Reads everything there is, while calls no longer fail: what was acknowledged, and nothing else.
    pub(crate) fn read_everything(&mut self) -> Checked {
        let broker = self.broker()?;
        for partition in self.history.partitions() {
            let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
            let found = found.map_err(|e| e.to_string())?;
            let start = found.log_start_offset();
            let records = read_from(&found, start).map_err(|e| format!("{partition}: {e}"))?;
            let Some(log) = self.history.log(&partition) else { continue };
            log.compare_start(start).map_err(|e| format!("{partition}: {e}"))?;
            let end = usize::try_from(start).unwrap_or(usize::MAX) + records.len();
            if end < log.visible() {
                return Err(format!("{partition}: read to {end}, {} were acknowledged", log.visible()));
            }
            self.saw(&partition, &records)?;
        }
        Ok(())
    }

    /// What the group stands at now is what it committed last, or tried to and got no answer. Of a topic that may be gone, that may be gone, too.
    pub(crate) fn check_commits_now(&self) -> Checked {
        let broker = self.broker()?;
        let may_be_gone = |topic: &TopicHistory| topic.existence == Existence::MaybeDeleted;
        for (partition, commits) in &self.history.commits {
            if self.history.topics.get(partition.topic()).is_some_and(may_be_gone) {
                continue;
            }
            let found = broker.committed(GROUP, partition).map_err(|e| e.to_string())?.map(|found| found.offset());
            if !commits.since_acked().contains(&found) {
                return Err(format!("{partition}: the group stands at {found:?}, not {:?}", commits.since_acked()));
            }
        }
        Ok(())
    }
}

/// Whether a group stands where it was told to, durably or not.
fn has_taken_place(done: &Result<(), Error>) -> bool {
    done.as_ref().map_or_else(|error| error.outcome() == SendOutcome::Appended, |()| true)
}
