//! What the groups of a broker have committed, read from its `__consumer_offsets`.
//!
//! The newest record of a key counts. Those of a transaction count once its marker commits it, at the place where they stand: what was
//! committed or removed behind them since stays.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::broker_dir::BrokerDir;
use super::log_reading::{SegmentReading, corrupt_here};
use super::segment_files::segment_files;
use crate::error::{Error, Result};
use crate::format::{BatchHeader, EndTransactionMarker, HEADER_BYTES, Invalid, Record, check_readable, plain_records};
use crate::group::OFFSETS_TOPIC;
use crate::group::offset_records::{Key, OffsetCommit};
use crate::segment::reason_of;
use crate::topic_partition::TopicPartition;

/// What the records of a batch may expand to.
const EXPANDED_BYTES_MAX: usize = 256 << 20;

/// A group and a partition that it has read.
type Place = (String, TopicPartition);

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupOffset {
    pub(super) offset: u64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) metadata: String,
    pub(super) topic_id: Option<u128>,
}

/// What all groups have committed.
#[derive(Debug, Default)]
pub(super) struct GroupOffsets {
    /// What was said last of a place, and the offset of the record that said it; removed if nothing.
    latest: BTreeMap<Place, (u64, Option<GroupOffset>)>,
    /// What is to be said if a transaction is committed, by producer id.
    pending: HashMap<i64, Vec<(Place, u64, Option<GroupOffset>)>>,
}

impl GroupOffsets {
    /// Reads what is beside the partitions of a broker; nothing if there is no such topic.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for damage that is not at the end, [`Error::CodecUnavailable`]; the disk's.
    pub(super) fn read(source: &BrokerDir) -> Result<GroupOffsets> {
        let mut all = GroupOffsets::default();
        for (partition, dir) in source.internal(OFFSETS_TOPIC) {
            let mut next_offset = 0;
            for file in segment_files(&*source.disk, dir, &partition)? {
                let reading = SegmentReading::open(&*source.disk, &file, &partition)?;
                let visited = reading.read(next_offset, &mut |header, batch| all.take(&partition, header, batch))?;
                next_offset = visited.next_offset;
            }
            // Of what is open at the end nothing counts.
            all.pending.clear();
        }
        Ok(all)
    }

    /// What there is for the partitions of a topic: of each group, in ascending order.
    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (&str, &TopicPartition, &GroupOffset)> {
        let of_topic = self.latest.iter().filter(move |((_, partition), _)| partition.topic() == topic);
        of_topic.filter_map(|((group, partition), (_, said))| Some((group.as_str(), partition, said.as_ref()?)))
    }

    fn take(&mut self, partition: &TopicPartition, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let invalid = |invalid| match invalid {
            Invalid::Codec(codec) => Error::CodecUnavailable {
                partition: partition.clone(),
                offsets: header.base_offset()..header.next_offset(),
                codec: codec.name(),
            },
            malformed @ Invalid::Malformed(_) => corrupt_here(reason_of(malformed)),
        };
        check_readable(&header.start).map_err(invalid)?;
        let (stored, mut plain) = (batch.get(HEADER_BYTES..).unwrap_or_default(), Vec::new());
        let mut records = plain_records(header, stored, EXPANDED_BYTES_MAX, &mut plain).map_err(invalid)?;
        let stamp = header.start.stamp;
        if header.start.attributes.is_control() {
            if let Some(marker) = EndTransactionMarker::decode(header, records).map_err(invalid)? {
                self.end(stamp.producer_id, marker.is_commit);
            }
            return Ok(());
        }
        while !records.is_empty() {
            let (record, size) = Record::decode(records).map_err(invalid)?;
            records = records.get(size..).unwrap_or_default();
            let at = header.base_offset().saturating_add_signed(record.offset_delta.into());
            let Some((place, said)) = said_by(record.key, record.value) else { continue };
            if stamp.is_transactional {
                self.pending.entry(stamp.producer_id).or_default().push((place, at, said));
            } else {
                self.say(place, at, said);
            }
        }
        Ok(())
    }

    fn end(&mut self, producer_id: i64, is_commit: bool) {
        for (place, at, said) in self.pending.remove(&producer_id).unwrap_or_default() {
            if is_commit {
                self.say(place, at, said);
            }
        }
    }

    fn say(&mut self, place: Place, at: u64, said: Option<GroupOffset>) {
        match self.latest.entry(place) {
            Entry::Vacant(free) => _ = free.insert((at, said)),
            Entry::Occupied(mut known) => {
                if known.get().0 <= at {
                    known.insert((at, said));
                }
            }
        }
    }
}

/// What a record says, if it is about a committed offset and can be understood.
fn said_by(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<(Place, Option<GroupOffset>)> {
    let Ok(Key::Offset { group, topic, partition }) = Key::decode(key?) else { return None };
    let said = match value.map(OffsetCommit::decode) {
        None => None,
        Some(Ok(commit)) => Some(GroupOffset {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata.to_owned(),
            topic_id: commit.topic_id,
        }),
        Some(Err(_)) => return None,
    };
    Some(((group.to_owned(), TopicPartition::new(topic, partition)), said))
}
