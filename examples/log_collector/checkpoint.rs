//! Checkpoints: how far all streams were, and the totals, in a topic of which compaction keeps the last record of each key.
//!
//! ```text
//! key of a bookmark    stream (8 bytes)      value  length of the bookmark (4), bookmark, name of the file
//! key of the totals    "totals"              value  the ends of the partitions of lines (8 each), lines by level (8 each),
//!                                                   lines whose time was not understood (8), lines that were missed (8)
//! ```
//! It is written after the lines before it were synced, so it is never ahead of them. Earlier versions wrote totals without a key
//! and without the lines that were missed, into a topic that was not compacted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla::{Broker, ProducerRecord, Topic};

use crate::Result;
use crate::bookmark::{Bookmark, take};
use crate::journal::{PARTITIONS, READ_BYTES, read_from};
use crate::level::LevelCounts;
use crate::streams::Streams;

pub(crate) const BOOKMARKS: &str = "bookmarks";
const TOTALS_KEY: &[u8] = b"totals";

/// What the log holds in all, besides what the bookmarks say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) ends: [u64; PARTITIONS],
    pub(crate) levels: LevelCounts,
    pub(crate) not_understood: u64,
    /// Lines that were gone before they were in a checkpoint, because the collector was killed. Of these no more is known.
    pub(crate) missed: u64,
}

/// The totals of the last checkpoint. What it says of streams is noted in `streams`.
pub(crate) fn last(bookmarks: &Topic, streams: &Streams) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut newest = BTreeMap::new();
    read_from(&bookmarks.partition(0)?, 0, READ_BYTES, |records| {
        for record in records {
            let value = record.value().unwrap_or_default();
            if matches!(record.key(), None | Some(TOTALS_KEY)) {
                totals = Totals::decode(value).ok_or("a checkpoint is of another form")?;
            } else {
                let (bookmark, path) = decode_entry(value).ok_or("a checkpoint is of another form")?;
                newest.insert(bookmark.stream, (bookmark, path));
            }
        }
        Ok(true)
    })?;
    for (bookmark, path) in newest.into_values() {
        streams.note(bookmark, path, false);
    }
    Ok(totals)
}

/// Writes a checkpoint, in one piece.
pub(crate) fn write(broker: &Broker, streams: &Streams, totals: &Totals) -> Result<()> {
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
    records.push(ProducerRecord::to(BOOKMARKS).partition(0).key(TOTALS_KEY).value(&totals));
    broker.producer().send_batch(BOOKMARKS, &records)?;
    Ok(())
}

/// Writes the last totals again, with a key, before the topic becomes compacted: compaction removes what has none.
pub(crate) fn give_keys(broker: &Broker) -> Result<()> {
    let topic = broker.existing_topic(BOOKMARKS)?;
    let partition = topic.partition(0)?;
    if partition.log_start_offset() == partition.log_end_offset() {
        return Ok(());
    }
    let nothing_new = Streams::default();
    let totals = last(&topic, &Streams::default())?;
    write(broker, &nothing_new, &totals)?;
    Ok(broker.flush()?)
}

impl Totals {
    fn encode(&self) -> Vec<u8> {
        let numbers = self.ends.iter().chain(&self.levels).chain([&self.not_understood, &self.missed]);
        numbers.flat_map(|number| number.to_be_bytes()).collect()
    }

    fn decode(mut bytes: &[u8]) -> Option<Totals> {
        let mut totals = Totals::default();
        let numbers = totals.ends.iter_mut().chain(&mut totals.levels).chain([&mut totals.not_understood]);
        for number in numbers {
            *number = u64::from_be_bytes(take(&mut bytes)?);
        }
        if !bytes.is_empty() {
            totals.missed = u64::from_be_bytes(take(&mut bytes)?);
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
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use ottla::TopicConfig;

    use super::*;
    use crate::journal::Journal;
    use crate::keep::Keep;

    fn totals() -> Totals {
        Totals { ends: [0; PARTITIONS], levels: [1, 2, 3, 4, 5, 6, 7], not_understood: 9, missed: 0 }
    }

    fn bookmark(position: u64) -> Bookmark {
        Bookmark { stream: 3, position, value_bytes: 7, ..Bookmark::default() }
    }

    fn streams(bookmark: Bookmark) -> Streams {
        let streams = Streams::default();
        streams.note(bookmark, "a.log".into(), true);
        streams
    }

    #[test]
    fn a_checkpoint_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let totals = Totals { missed: 3, ..totals() };
        {
            let journal = Journal::open(dir.path(), &Keep::default()).unwrap();
            let streams = streams(bookmark(8));
            journal.checkpoint(&streams, &Totals::default()).unwrap();
            journal.checkpoint(&streams, &totals).unwrap();
        }
        let (streams, found) = Journal::open(dir.path(), &Keep::default()).unwrap().history().unwrap();
        assert_eq!(found, totals);
        assert_eq!(streams.bookmarks(), [bookmark(8)]);
    }

    #[test]
    fn of_many_checkpoints_compaction_leaves_one() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { bytes: Some(6_000_000), ..Keep::default() };
        let journal = Journal::open(dir.path(), &keep).unwrap();
        for position in 8..2008 {
            journal.checkpoint(&streams(bookmark(position)), &totals()).unwrap();
        }
        journal.broker.admin().compact(BOOKMARKS).unwrap();
        let bookmarks = journal.broker.existing_topic(BOOKMARKS).unwrap().partition(0).unwrap();
        assert!(bookmarks.iter_from(0).count() < 2000, "of 4000");
        let (streams, found) = journal.history().unwrap();
        assert_eq!((found, streams.bookmarks()), (totals(), vec![bookmark(2007)]));
    }

    #[test]
    fn a_log_of_an_earlier_version_opens_and_its_totals_outlive_compaction() {
        let dir = tempfile::tempdir().unwrap();
        {
            let broker = Broker::open(dir.path()).unwrap();
            let config = TopicConfig::new().max_message_bytes(256 << 20);
            broker.create_topic(BOOKMARKS, config).unwrap();
            let (bookmark, totals) = (encode_entry(&bookmark(8), Path::new("a.log")), totals().encode());
            let stream = 3_u64.to_be_bytes();
            let without_missed = &totals[..totals.len() - 8];
            let records = [
                ProducerRecord::to(BOOKMARKS).partition(0).key(&stream).value(&bookmark),
                ProducerRecord::to(BOOKMARKS).partition(0).value(without_missed),
            ];
            broker.producer().send_batch(BOOKMARKS, &records).unwrap();
        }
        // Segments that are closed by each checkpoint, so that compaction comes to the first ones.
        let journal = Journal::open(dir.path(), &Keep { bytes: Some(6_000_000), ..Keep::default() }).unwrap();
        journal.broker.admin().alter_topic(BOOKMARKS, |config| config.segment_bytes(1024)).unwrap();
        let long_path = PathBuf::from("x".repeat(2000));
        for stream in 10..20 {
            let streams = Streams::default();
            streams.note(Bookmark { stream, ..bookmark(8) }, long_path.clone(), true);
            journal.checkpoint(&streams, &totals()).unwrap();
        }
        journal.broker.admin().compact(BOOKMARKS).unwrap();
        let bookmarks = journal.broker.existing_topic(BOOKMARKS).unwrap().partition(0).unwrap();
        assert!(bookmarks.iter_from(0).all(|record| record.unwrap().key().is_some()));
        let (streams, found) = journal.history().unwrap();
        assert_eq!((found, streams.bookmarks().len()), (totals(), 11));
    }
}
