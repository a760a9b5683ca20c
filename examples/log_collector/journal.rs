//! The log: a topic of lines, and a topic of bookmarks.
//!
//! **Once, whatever happens.** The lines of a batch and the bookmark behind them are one append, all or nothing, and what a send
//! returned survives `kill -9`. So at the next start the bookmarks of the lines say exactly what was collected, and every line
//! is collected once. A power cut may take the last lines, with their bookmarks: then those are collected again.
//!
//! The topic of bookmarks only saves reading all lines at each start. A checkpoint in it says how far the streams were when the
//! lines ended at certain offsets; the lines from there on are read. It is written after the lines before it were synced, so
//! it is never ahead of them.
//!
//! ```text
//! key of a bookmark    stream (8 bytes)      value  length of the bookmark (4), bookmark, name of the file
//! key of the totals    none                  value  the ends of the partitions of lines (8 each), lines by level (8 each),
//!                                                   lines whose time was not understood (8)
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ottla::{
    Broker, Compression, ConsumerRecord, ConsumerRecords, Durability, Partition, ProducerRecord, Topic, TopicConfig,
};

use crate::Result;
use crate::bookmark::{Bookmark, take};
use crate::dating::Dating;
use crate::level::{Level, LevelCounts};
use crate::streams::Streams;

pub(crate) const LINES: &str = "lines";
const BOOKMARKS: &str = "bookmarks";
pub(crate) const PARTITIONS: usize = 4;
/// A batch of lines is at most so large.
pub(crate) const BATCH_BYTES_MAX: u32 = 16 << 20;
/// A checkpoint is one batch: enough for a million files.
const CHECKPOINT_BYTES_MAX: u32 = 256 << 20;
/// Names of headers.
pub(crate) const BOOKMARK: &str = "bookmark";
pub(crate) const LEVEL: &str = "level";
pub(crate) const TIME: &str = "time";
pub(crate) const READ_BYTES: usize = 4 << 20;
/// Segments are closed by size alone: lines come from files of different years, in no order.
const SEGMENT_AGE: std::time::Duration = std::time::Duration::from_secs(3_000 * 365 * 86_400);

/// An open log.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) broker: Broker,
    lines: Vec<Partition>,
    bookmarks: Topic,
    data_dir: PathBuf,
}

/// What the log holds in all, besides what the bookmarks say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) ends: [u64; PARTITIONS],
    pub(crate) levels: LevelCounts,
    pub(crate) not_understood: u64,
}

/// What a record of a line says besides its value.
#[derive(Debug)]
pub(crate) struct LineHeaders<'r> {
    pub(crate) level: Level,
    pub(crate) dating: Dating,
    pub(crate) bookmark: Option<&'r [u8]>,
}

/// A topic of the same name that is configured otherwise was not made here.
fn of_another_program(error: ottla::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        ottla::Error::TopicConfigDiffers { .. } => format!("{error}; choose another folder with --data").into(),
        error => error.into(),
    }
}

impl Journal {
    pub(crate) fn open(data_dir: &Path) -> Result<Journal> {
        let broker = Broker::builder(data_dir).durability(Durability::Os).open()?;
        let lines = TopicConfig::new()
            .partitions(u32::try_from(PARTITIONS)?)
            .compression(Compression::Snappy)
            .max_message_bytes(BATCH_BYTES_MAX)
            .segment_ms(SEGMENT_AGE);
        let lines = broker.topic_with(LINES, lines).map_err(of_another_program)?.partitions().collect();
        let bookmarks = TopicConfig::new().max_message_bytes(CHECKPOINT_BYTES_MAX).segment_ms(SEGMENT_AGE);
        let bookmarks = broker.topic_with(BOOKMARKS, bookmarks).map_err(of_another_program)?;
        Ok(Journal { broker, lines, bookmarks, data_dir: data_dir.to_owned() })
    }

    /// All lines of a stream go to one partition, so they keep their order.
    pub(crate) fn partition_of(stream: u64) -> usize {
        usize::try_from(stream % PARTITIONS as u64).unwrap_or(0)
    }

    pub(crate) fn lines_of(&self, stream: u64) -> Result<&Partition> {
        Ok(self.lines.get(Self::partition_of(stream)).ok_or("a partition of lines is missing")?)
    }

    pub(crate) fn ends(&self) -> [u64; PARTITIONS] {
        let mut ends = [0; PARTITIONS];
        ends.iter_mut().zip(&self.lines).for_each(|(end, partition)| *end = partition.log_end_offset());
        ends
    }

    /// Everything that is known: the last checkpoint, and the lines since.
    pub(crate) fn history(&self) -> Result<(Streams, Totals)> {
        let streams = Streams::default();
        let mut totals = self.last_checkpoint(&streams)?;
        for (partition, end) in self.lines.iter().zip(&mut totals.ends) {
            let (levels, not_understood) = (&mut totals.levels, &mut totals.not_understood);
            *end = read_from(partition, *end, READ_BYTES, |records| {
                for record in records {
                    let headers = LineHeaders::of(&record);
                    if let Some(count) = levels.get_mut(headers.level as usize) {
                        *count += 1;
                    }
                    *not_understood += u64::from(headers.dating == Dating::NotUnderstood);
                    if let Some(bytes) = headers.bookmark {
                        let bookmark = Bookmark::decode(bytes).ok_or("a line has a bookmark of another form")?;
                        streams.note(bookmark, path_of(record.key().unwrap_or_default()), true);
                    }
                }
                Ok(true)
            })?;
        }
        Ok((streams, totals))
    }

    fn last_checkpoint(&self, streams: &Streams) -> Result<Totals> {
        let mut totals = Totals::default();
        let mut newest = BTreeMap::new();
        read_from(&self.bookmarks.partition(0)?, 0, READ_BYTES, |records| {
            for record in records {
                let value = record.value().unwrap_or_default();
                match record.key() {
                    Some(_) => {
                        let (bookmark, path) = decode_entry(value).ok_or("a checkpoint is of another form")?;
                        newest.insert(bookmark.stream, (bookmark, path));
                    }
                    None => totals = Totals::decode(value).ok_or("a checkpoint is of another form")?,
                }
            }
            Ok(true)
        })?;
        for (bookmark, path) in newest.into_values() {
            streams.note(bookmark, path, false);
        }
        Ok(totals)
    }

    /// Writes down how far everything is, in one piece. Nobody collects meanwhile.
    pub(crate) fn checkpoint(&self, streams: &Streams, totals: &Totals) -> Result<()> {
        self.broker.flush()?;
        let entries: Vec<_> = streams
            .take_changed()
            .iter()
            .map(|(bookmark, path)| (bookmark.stream.to_be_bytes(), encode_entry(bookmark, path)))
            .collect();
        let totals = totals.encode();
        let mut records: Vec<_> = entries
            .iter()
            .map(|(stream, entry)| ProducerRecord::to(BOOKMARKS).partition(0).key(stream).value(entry))
            .collect();
        records.push(ProducerRecord::to(BOOKMARKS).partition(0).value(&totals));
        self.broker.producer().send_batch(BOOKMARKS, &records)?;
        Ok(())
    }

    /// Closes the log, with everything synced.
    pub(crate) fn close(self) -> Result<()> {
        let Journal { broker, lines, bookmarks, .. } = self;
        drop((lines, bookmarks));
        Ok(broker.close()?)
    }

    /// The bytes of the lines' files: segments and their indexes.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for partition in 0..PARTITIONS {
            for file in fs::read_dir(self.data_dir.join(format!("{LINES}-{partition}")))? {
                bytes += file?.metadata()?.len();
            }
        }
        Ok(bytes)
    }
}

/// Hands the records of `partition` to `take`, from `offset` on, about `bytes_max` bytes at a time, until it says false or they end. Returns where to go on.
pub(crate) fn read_from(
    partition: &Partition,
    mut offset: u64,
    bytes_max: usize,
    mut take: impl FnMut(&ConsumerRecords) -> Result<bool>,
) -> Result<u64> {
    loop {
        let records = partition.read(offset, bytes_max)?;
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
        let mut headers = LineHeaders { level: Level::Unknown, dating: Dating::Own, bookmark: None };
        for header in record.headers() {
            match (header.key(), header.value()) {
                (LEVEL, Some(name)) => headers.level = Level::of_name(name).unwrap_or(Level::Unknown),
                (TIME, Some(name)) => headers.dating = Dating::of_name(name).unwrap_or(Dating::Own),
                (BOOKMARK, bytes) => headers.bookmark = bytes,
                _ => {}
            }
        }
        headers
    }
}

impl Totals {
    fn encode(&self) -> Vec<u8> {
        let numbers = self.ends.iter().chain(&self.levels).chain([&self.not_understood]);
        numbers.flat_map(|number| number.to_be_bytes()).collect()
    }

    fn decode(mut bytes: &[u8]) -> Option<Totals> {
        let mut totals = Totals::default();
        let numbers = totals.ends.iter_mut().chain(&mut totals.levels).chain([&mut totals.not_understood]);
        for number in numbers {
            *number = u64::from_be_bytes(take(&mut bytes)?);
        }
        bytes.is_empty().then_some(totals)
    }
}

fn encode_entry(bookmark: &Bookmark, path: &Path) -> Vec<u8> {
    let bookmark = bookmark.encode();
    let length = u32::try_from(bookmark.len()).unwrap_or(0);
    [&length.to_be_bytes(), bookmark.as_slice(), path.as_os_str().as_encoded_bytes()].concat()
}

fn decode_entry(mut bytes: &[u8]) -> Option<(Bookmark, PathBuf)> {
    let length = u32::from_be_bytes(take(&mut bytes)?);
    let (bookmark, path) = bytes.split_at_checked(length as usize)?;
    Some((Bookmark::decode(bookmark)?, path_of(path)))
}

/// For showing and comparing; where a name is not UTF-8, it is not quite the same.
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let totals = Totals { ends: [0; PARTITIONS], levels: [1, 2, 3, 4, 5, 6, 7], not_understood: 9 };
        let bookmark = Bookmark { stream: 3, position: 8, value_bytes: 7, ..Bookmark::default() };
        {
            let journal = Journal::open(dir.path()).unwrap();
            let streams = Streams::default();
            streams.note(bookmark.clone(), "a.log".into(), true);
            journal.checkpoint(&streams, &Totals::default()).unwrap();
            journal.checkpoint(&streams, &totals).unwrap();
        }
        let (streams, found) = Journal::open(dir.path()).unwrap().history().unwrap();
        assert_eq!(found, totals);
        assert_eq!(streams.bookmarks(), [bookmark]);
    }

    #[test]
    fn a_directory_with_other_topics_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Broker::open(dir.path()).unwrap().topic(LINES).unwrap();
        assert!(Journal::open(dir.path()).unwrap_err().to_string().contains("--data"));
    }
}
