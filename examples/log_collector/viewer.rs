//! Consumes what the collectors send: checks that it comes once and in order, and shows what the user asked for.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, ConsumerRecord, Partition, Timestamp, TruncationReset};

use crate::Result;
use crate::dating::Dating;
use crate::journal::{Journal, LINES, LineHeaders, PARTITIONS, READ_BYTES, read_from};
use crate::level::Level;
use crate::tally::Checksum;

const GROUP: &str = "viewer";

/// Which lines are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    /// Whether any is.
    pub(crate) is_shown: bool,
    pub(crate) since: Option<Timestamp>,
    /// This level and what is worse.
    pub(crate) level: Option<Level>,
}

pub(crate) struct Viewer<'v> {
    consumer: Consumer,
    filter: Filter,
    out: &'v mut dyn Write,
    /// Whether the last line of each file was shown; what belongs to it goes with it.
    shown: HashMap<Vec<u8>, bool>,
    /// The offset that must come next in each partition, from where the log ended before this run. Below that lies what a killed
    /// run left to be consumed.
    next_offsets: [u64; PARTITIONS],
    sums: [Checksum; PARTITIONS],
    /// So many records were gone before they could be consumed.
    passed_over: [u64; PARTITIONS],
    partitions: Vec<Partition>,
    /// Nobody reads what is shown any more.
    pub(crate) is_closed: bool,
}

impl<'v> Viewer<'v> {
    pub(crate) fn new(journal: &Journal, filter: Filter, out: &'v mut dyn Write) -> Result<Viewer<'v>> {
        let config = ConsumerConfig::new(GROUP).topics([LINES]).max_poll_records(10_000);
        // What a power cut takes is collected again.
        let config = config.truncation_reset(TruncationReset::Continue);
        let consumer = journal.broker.consumer_with(config)?;
        let partitions = (0..PARTITIONS as u64).map(|partition| journal.lines_of(partition).cloned());
        let mut viewer = Viewer {
            consumer,
            filter,
            out,
            shown: HashMap::new(),
            next_offsets: journal.ends(),
            sums: <[_; PARTITIONS]>::default(),
            passed_over: [0; PARTITIONS],
            partitions: partitions.collect::<Result<_>>()?,
            is_closed: false,
        };
        viewer.show_earlier(journal)?;
        Ok(viewer)
    }

    /// With a time since when, the lines of earlier runs are shown, too.
    fn show_earlier(&mut self, journal: &Journal) -> Result<()> {
        let Some(since) = self.filter.since.filter(|_| self.filter.is_shown) else { return Ok(()) };
        for partition in 0..PARTITIONS as u64 {
            let partition = journal.lines_of(partition)?;
            let Some(offset) = partition.offset_for_time(since)? else { continue };
            read_from(partition, offset, READ_BYTES, |records| {
                for record in records {
                    self.show(&record)?;
                }
                Ok(!self.is_closed)
            })?;
        }
        Ok(())
    }

    /// Polls once; returns how many records came.
    pub(crate) fn poll(&mut self, timeout: Duration) -> Result<usize> {
        let records = self.consumer.poll(timeout)?;
        for record in &records {
            let partition = record.partition() as usize;
            if self.next_offsets.get(partition).is_some_and(|next| *next < record.offset()) {
                self.pass_over(partition);
            }
            let next = self.next_offsets.get_mut(partition).ok_or("a partition that is not there")?;
            if record.offset() < *next {
                continue;
            }
            if *next < record.offset() {
                return Err(format!("{LINES}-{partition}: {} came, {next} was to come next", record.offset()).into());
            }
            *next += 1;
            if let Some(sum) = self.sums.get_mut(partition) {
                sum.add(record.offset(), record.value().unwrap_or_default());
            }
            self.show(&record)?;
        }
        if !records.is_empty() {
            self.flush()?;
        }
        Ok(records.len())
    }

    /// Passes over what is no longer kept of a partition.
    fn pass_over(&mut self, partition: usize) {
        let start = self.partitions.get(partition).map_or(0, Partition::log_start_offset);
        if let (Some(next), Some(count)) = (self.next_offsets.get_mut(partition), self.passed_over.get_mut(partition)) {
            *count += start.saturating_sub(*next);
            *next = start.max(*next);
        }
    }

    /// Commits what was consumed.
    pub(crate) fn commit(&mut self) -> Result<()> {
        Ok(self.consumer.commit()?)
    }

    /// Fails unless exactly what was sent was consumed, but for what was no longer kept. Returns how many lines that were.
    pub(crate) fn check(&mut self, sent: &[Checksum; PARTITIONS]) -> Result<u64> {
        (0..PARTITIONS).for_each(|partition| self.pass_over(partition));
        for (partition, ((consumed, sent), passed_over)) in self.sums.iter().zip(sent).zip(self.passed_over).enumerate()
        {
            let is_all =
                if passed_over == 0 { consumed == sent } else { consumed.records + passed_over == sent.records };
            if !is_all {
                let reason = format!("sent {sent:?}, consumed {consumed:?}, passed over {passed_over}");
                return Err(format!("{LINES}-{partition}: {reason}").into());
            }
        }
        Ok(self.passed_over.iter().sum())
    }

    fn show(&mut self, record: &ConsumerRecord<'_>) -> Result<()> {
        if !self.filter.is_shown || self.is_closed {
            return Ok(());
        }
        let headers = LineHeaders::of(record);
        let file = record.key().unwrap_or_default();
        let is_wanted = match self.shown.get(file) {
            Some(is_wanted) if headers.dating == Dating::Belongs => *is_wanted,
            _ => self.filter.takes(record.timestamp(), headers.level),
        };
        match self.shown.get_mut(file) {
            Some(shown) => *shown = is_wanted,
            None => {
                self.shown.insert(file.to_vec(), is_wanted);
            }
        }
        if is_wanted {
            let value = record.value().unwrap_or_default();
            let line = [file, b": ", value, b"\n"].concat();
            let written = self.out.write_all(&line);
            self.note(written)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }

    /// A reader that has seen enough, as `head` does, is no error.
    fn note(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_closed = true,
            written => written?,
        }
        Ok(())
    }
}

impl Filter {
    fn takes(&self, time: Timestamp, level: Level) -> bool {
        self.since.is_none_or(|since| since <= time) && self.level.is_none_or(|worst| level <= worst)
    }
}
