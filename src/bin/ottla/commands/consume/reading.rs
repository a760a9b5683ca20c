//! The loop: what a poll returns is printed, and what was printed counts as read.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ottla::{Consumer, ConsumerRecords, Error, SeekTo, Timestamp, TopicPartition};

use super::printer::Printer;
use super::range::{self, Start};
use crate::failure::{Failure, say};
use crate::interrupt::Interrupt;

/// So often it is looked for new partitions, and whether somebody still reads stdout, while there is nothing to print.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// So often the group commits while there is more to print.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// So long it waits for whoever reads stdout to take what is there, each time before it looks again.
const READER_PAUSE: Duration = Duration::from_millis(1);

/// Records on their way to stdout.
pub struct Reading {
    pub consumer: Consumer,
    pub printer: Printer,
    pub interrupt: Interrupt,
    /// From here on partitions are not read; those that are not here are read as long as something comes.
    pub ends: BTreeMap<TopicPartition, u64>,
    /// So many records are printed, if not all.
    pub count: Option<u64>,
    /// Whether what was printed is committed.
    pub commits: bool,
    pub skips_corrupt: bool,
    /// How many offsets could not be read.
    pub skipped: u64,
    /// Why it ended early.
    pub failure: Option<Failure>,
}

impl Reading {
    /// Begins with these partitions.
    pub fn assign(
        &mut self,
        partitions: &[TopicPartition],
        start: Start,
        until: Option<Timestamp>,
        follows: bool,
    ) -> Result<(), Failure> {
        self.consumer.assign(partitions)?;
        let mut is_there = false;
        for partition in partitions {
            let end = self.offset_at(partition, SeekTo::Latest)?;
            if !follows {
                let until = until.map(|time| self.offset_at(partition, SeekTo::Time(time))).transpose()?;
                self.ends.insert(partition.clone(), until.map_or(end, |until| until.min(end)));
            }
            is_there |= range::go_to(&mut self.consumer, partition, start, end)?;
        }
        match start {
            Start::Offset(offset) if !is_there => {
                let of = if let [only] = partitions { only.to_string() } else { "every partition".to_owned() };
                Err(Failure::refused(format_args!("offset {offset} is past the end of {of}")))
            }
            _ => Ok(()),
        }
    }

    fn offset_at(&mut self, partition: &TopicPartition, place: SeekTo) -> Result<u64, Failure> {
        self.consumer.seek(partition, place)?;
        Ok(self.consumer.position(partition).unwrap_or_default())
    }

    /// Prints what is there, up to the ends, or until enough was printed.
    pub fn print_to_the_end(&mut self) -> Result<(), Failure> {
        let mut committed_at = Instant::now();
        loop {
            let before = self.positions();
            let Some(records) = self.poll(Duration::ZERO) else { return Ok(()) };
            if self.print(&records)? || self.pause_those_at_their_ends()? {
                return Ok(());
            }
            // A poll that finds nothing and passes nothing has found every partition read as far as that can be done now.
            if records.is_empty() && before == self.positions() {
                return Ok(());
            }
            if self.commits && committed_at.elapsed() > COMMIT_INTERVAL {
                self.printer.flush()?;
                if self.printer.is_taken()? {
                    self.consumer.commit()?;
                }
                committed_at = Instant::now();
            }
        }
    }

    /// Prints what is there and what comes, until enough was printed or somebody asks to end. `partitions` says which there are by
    /// now: new ones are read from their beginning.
    pub fn print_on_and_on(
        &mut self,
        partitions: impl Fn() -> Result<Vec<TopicPartition>, Failure>,
    ) -> Result<(), Failure> {
        let (mut looked_at, mut wait) = (Instant::now(), Duration::ZERO);
        loop {
            let Some(records) = self.poll(wait) else { return Ok(()) };
            if self.print(&records)? {
                return Ok(());
            }
            wait = Duration::ZERO;
            if records.is_empty() {
                self.printer.flush()?;
                self.printer.is_taken()?;
                wait = LOOK_INTERVAL;
            }
            if looked_at.elapsed() >= LOOK_INTERVAL {
                let partitions = match partitions() {
                    Ok(partitions) => partitions,
                    Err(failure) => {
                        self.failure = Some(failure);
                        return Ok(());
                    }
                };
                if partitions.len() != self.consumer.assignment().len() {
                    self.consumer.assign(&partitions)?;
                }
                looked_at = Instant::now();
            }
        }
    }

    /// Ends: all is printed, and what was printed is committed. Returns how many offsets could not be read.
    ///
    /// # Errors
    /// Why it ended early, if it did.
    pub fn end(mut self) -> Result<u64, Failure> {
        self.printer.end()?;
        if self.commits {
            while !self.printer.is_taken()? {
                thread::sleep(READER_PAUSE);
            }
            self.consumer.commit()?;
        }
        match self.failure {
            Some(failure) if 0 < self.printer.printed() => Err(failure.midway()),
            Some(failure) => Err(failure),
            None => Ok(self.skipped),
        }
    }

    fn positions(&self) -> Vec<Option<u64>> {
        self.ends.keys().map(|partition| self.consumer.position(partition)).collect()
    }

    /// The next records; `None` if somebody asks to end, or if it cannot go on.
    fn poll(&mut self, timeout: Duration) -> Option<ConsumerRecords> {
        let failure = loop {
            match self.consumer.poll(timeout) {
                Ok(records) => return Some(records),
                Err(Error::Wakeup) => return None,
                Err(Error::Corrupt(damage)) if self.skips_corrupt => match self.consumer.skip_corrupt(&damage) {
                    Ok(skipped) => {
                        say(&*damage);
                        self.skipped += skipped.end - skipped.start;
                    }
                    Err(error) => break error.into(),
                },
                Err(Error::Corrupt(damage)) if damage.offsets.is_some() => {
                    break Failure::failed(format_args!("{damage}; --skip-corrupt goes on after it"));
                }
                Err(error) => break error.into(),
            }
        };
        self.failure = Some(failure);
        None
    }

    /// Prints records, up to the ends and as many as are wanted. Whether that is enough. What was not printed
    /// is left to the group.
    fn print(&mut self, records: &ConsumerRecords) -> Result<bool, Failure> {
        let mut is_enough = self.is_enough();
        for partition in records.partitions() {
            let end = self.ends.get(partition).copied().unwrap_or(u64::MAX);
            for record in records.records(partition) {
                if is_enough || record.offset() >= end {
                    if self.commits {
                        self.consumer.seek(partition, SeekTo::Offset(record.offset()))?;
                    }
                    break;
                }
                self.printer.print(&record)?;
                is_enough = self.is_enough();
            }
        }
        Ok(is_enough)
    }

    fn is_enough(&self) -> bool {
        let is_asked = self.printer.is_terminal() && self.interrupt.is_asked();
        is_asked || self.count.is_some_and(|count| count <= self.printer.printed())
    }

    /// Reads no more where a partition has come to its end. Whether all have.
    fn pause_those_at_their_ends(&mut self) -> Result<bool, Failure> {
        let mut is_end = true;
        for (partition, end) in &self.ends {
            if self.consumer.position(partition).is_some_and(|position| *end <= position) {
                self.consumer.pause(std::slice::from_ref(partition))?;
            } else {
                is_end = false;
            }
        }
        Ok(is_end)
    }
}
