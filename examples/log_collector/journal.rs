//! The log: a topic of lines, and a topic of bookmarks.
//!
//! **Once, whatever happens.** The lines of a batch and the bookmark behind them are one append, all or nothing, and what a send
//! returned survives `kill -9`. So at the next start the bookmarks of the lines say exactly what was collected, and every line
//! is collected once. A power cut may take the last lines, with their bookmarks: then those are collected again.
//!
//! The topic of bookmarks saves reading all lines at each start, and outlives lines that are no longer kept ([`keep`]): a
//! [`checkpoint`] in it says how far the streams were when the lines ended at certain offsets, and the lines from there on are
//! read. A checkpoint is written long before lines go that it must know of. If they have gone all the same and the collector was
//! killed, it collects them again, and says so: no line is kept twice.
//!
//! [`checkpoint`]: crate::checkpoint
//! [`keep`]: crate::keep

use std::path::Path;

use ottla::{Broker, ConsumerRecord, ConsumerRecords, Error, Partition, Topic, TopicConfig};

use crate::Result;
use crate::bookmark::Bookmark;
use crate::checkpoint::{self, BOOKMARKS, Totals};
use crate::dating::Dating;
use crate::keep::{Keep, with_limits_of};
use crate::last_offsets::LastOffsets;
use crate::level::Level;
use crate::streams::Streams;

pub(crate) const LINES: &str = "lines";
pub(crate) const PARTITIONS: usize = 4;
/// Names of headers.
pub(crate) const BOOKMARK: &str = "bookmark";
/// Where the batch begins that the bookmark is behind: 8 bytes, big-endian. Earlier versions did not say.
pub(crate) const BEGIN: &str = "begin";
pub(crate) const LEVEL: &str = "level";
pub(crate) const TIME: &str = "time";
pub(crate) const READ_BYTES: usize = 4 << 20;

/// An open log.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) broker: Broker,
    lines: Vec<Partition>,
    bookmarks: Topic,
    last_offsets: LastOffsets,
}

/// How many lines there are, by the offsets of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) kept: u64,
    pub(crate) no_longer_kept: u64,
}

/// What a record of a line says besides its value.
#[derive(Debug)]
pub(crate) struct LineHeaders<'r> {
    pub(crate) level: Level,
    pub(crate) dating: Dating,
    pub(crate) bookmark: Option<&'r [u8]>,
    pub(crate) begin: Option<u64>,
}

/// A topic of the same name that is configured otherwise was not made here.
fn of_another_program(error: Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        Error::TopicConfigDiffers { .. } => format!("{error}; choose another folder with --data").into(),
        error => error.into(),
    }
}

/// The topic, configured so from now on, whatever limits an earlier run had.
fn topic(broker: &Broker, name: &str, wanted: &TopicConfig) -> Result<Topic> {
    let error = match broker.topic_with(name, wanted.clone()) {
        Err(error @ Error::TopicConfigDiffers { .. }) => error,
        topic => return Ok(topic?),
    };
    let found = broker.existing_topic(name)?.config();
    if with_limits_of(&found, wanted) != *wanted {
        return Err(of_another_program(error));
    }
    if !found.get_cleanup_policy().has_compact() && wanted.get_cleanup_policy().has_compact() {
        checkpoint::give_keys(broker)?;
    }
    broker.admin().alter_topic(name, |_| wanted.clone())?;
    Ok(broker.topic_with(name, wanted.clone())?)
}

fn topics(broker: &Broker, keep: &Keep) -> Result<(Topic, Topic)> {
    let lines = topic(broker, LINES, &keep.lines(u32::try_from(PARTITIONS)?))?;
    Ok((lines, topic(broker, BOOKMARKS, &keep.bookmarks())?))
}

impl Journal {
    /// Opens the log, or makes it. From now on `keep` says what is kept of it.
    pub(crate) fn open(data_dir: &Path, keep: &Keep) -> Result<Journal> {
        let broker = match keep.broker(data_dir).open() {
            // The segments of an earlier run may be too large for the budget; if it is too small at all, that is said again.
            Err(Error::InvalidConfig { .. }) if keep.bytes.is_some() => {
                let unlimited = Keep { bytes: None, ..*keep }.broker(data_dir).open()?;
                drop(topics(&unlimited, keep)?);
                unlimited.close()?;
                keep.broker(data_dir).open()?
            }
            broker => broker?,
        };
        let (lines, bookmarks) = topics(&broker, keep)?;
        Ok(Journal { lines: lines.partitions().collect(), bookmarks, broker, last_offsets: LastOffsets::default() })
    }

    /// All lines of a stream go to one partition, so they keep their order.
    pub(crate) fn partition_of(stream: u64) -> usize {
        usize::try_from(stream % PARTITIONS as u64).unwrap_or(0)
    }

    pub(crate) fn lines_of(&self, stream: u64) -> Result<&Partition> {
        Ok(self.lines.get(Self::partition_of(stream)).ok_or("a partition of lines is missing")?)
    }

    /// Whether lines of the stream are gone that may begin at `first_offset`, and all of them are.
    pub(crate) fn is_gone(&self, stream: u64, first_offset: u64) -> Result<bool> {
        let partition = self.lines_of(stream)?;
        let may_be_gone = first_offset < partition.log_start_offset();
        Ok(may_be_gone && !self.last_offsets.has_lines(stream, Self::partition_of(stream), partition)?)
    }

    pub(crate) fn ends(&self) -> [u64; PARTITIONS] {
        let mut ends = [0; PARTITIONS];
        ends.iter_mut().zip(&self.lines).for_each(|(end, partition)| *end = partition.log_end_offset());
        ends
    }

    pub(crate) fn extent(&self) -> Extent {
        let mut extent = Extent { kept: 0, no_longer_kept: 0 };
        for partition in &self.lines {
            let start = partition.log_start_offset();
            extent.kept += partition.log_end_offset() - start;
            extent.no_longer_kept += start;
        }
        extent
    }

    /// Everything that is known: the last checkpoint, and the lines since.
    pub(crate) fn history(&self) -> Result<(Streams, Totals)> {
        let streams = Streams::default();
        let mut totals = checkpoint::last(&self.bookmarks, &streams)?;
        for (partition, end) in self.lines.iter().zip(&mut totals.ends) {
            let (levels, not_understood) = (&mut totals.levels, &mut totals.not_understood);
            let (from, mut read) = (*end, 0);
            *end = read_from(partition, from, READ_BYTES, |records| {
                for record in records {
                    let headers = LineHeaders::of(&record);
                    if let Some(count) = levels.get_mut(headers.level as usize) {
                        *count += 1;
                    }
                    *not_understood += u64::from(headers.dating == Dating::NotUnderstood);
                    read += 1;
                    if let Some(bytes) = headers.bookmark {
                        let bookmark = Bookmark::decode(bytes).ok_or("a line has a bookmark of another form")?;
                        streams.note(bookmark, checkpoint::path_of(record.key().unwrap_or_default()), true);
                    }
                }
                Ok(true)
            })?;
            totals.missed += *end - from - read;
        }
        Ok((streams, totals))
    }

    /// Writes down how far everything is, in one piece. Nobody collects meanwhile.
    pub(crate) fn checkpoint(&self, streams: &Streams, totals: &Totals) -> Result<()> {
        self.broker.flush()?;
        checkpoint::write(&self.broker, streams, totals)
    }

    /// Closes the log, with everything synced.
    pub(crate) fn close(self) -> Result<()> {
        let Journal { broker, lines, bookmarks, .. } = self;
        drop((lines, bookmarks));
        Ok(broker.close()?)
    }

    /// What the lines' files take on the disk: segments and their indexes.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        Ok(self.broker.admin().describe(LINES)?.allocated_bytes())
    }
}

/// Hands the records of `partition` to `take`, from `offset` on or from the first that is still there, about `bytes_max` bytes at a
/// time, until it says false or they end. Returns where to go on.
pub(crate) fn read_from(
    partition: &Partition,
    mut offset: u64,
    bytes_max: usize,
    mut take: impl FnMut(&ConsumerRecords) -> Result<bool>,
) -> Result<u64> {
    loop {
        let records = match partition.read(offset, bytes_max) {
            // Lines may go at any time.
            Err(Error::OffsetOutOfRange { log_start_offset, .. }) if offset < log_start_offset => {
                offset = log_start_offset;
                continue;
            }
            records => records?,
        };
        match records.next_offset(partition.topic_partition()) {
            Some(next) if offset < next => offset = next,
            _ => return Ok(offset),
        }
        if !take(&records)? {
            return Ok(offset);
        }
    }
}

impl<'r> LineHeaders<'r> {
    pub(crate) fn of(record: &ConsumerRecord<'r>) -> LineHeaders<'r> {
        let mut headers = LineHeaders { level: Level::Unknown, dating: Dating::Own, bookmark: None, begin: None };
        for header in record.headers() {
            match (header.key(), header.value()) {
                (LEVEL, Some(name)) => headers.level = Level::of_name(name).unwrap_or(Level::Unknown),
                (TIME, Some(name)) => headers.dating = Dating::of_name(name).unwrap_or(Dating::Own),
                (BOOKMARK, bytes) => headers.bookmark = bytes,
                (BEGIN, Some(bytes)) => headers.begin = bytes.try_into().ok().map(u64::from_be_bytes),
                _ => {}
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_topics_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Broker::open(dir.path()).unwrap().topic(LINES).unwrap();
        let error = Journal::open(dir.path(), &Keep::default()).unwrap_err();
        assert!(error.to_string().contains("--data"), "{error}");
    }

    #[test]
    fn a_budget_that_is_too_small_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { bytes: Some(1_000_000), ..Keep::default() };
        let error = Journal::open(dir.path(), &keep).unwrap_err();
        assert!(error.to_string().contains("ottla.disk.budget.bytes"), "{error}");
    }
}
