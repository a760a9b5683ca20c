//! What the journal of a replica has beyond its logs: all that was acknowledged since it caught up last, by a broker that
//! [keeps](crate::BrokerBuilder::replica) it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::offer::DirectoryOffer;
use super::state::ReplicaState;
use super::target::Target;
use crate::broker::catalog::{CatalogEntry, TopicState};
use crate::broker::topic_name;
use crate::error::{Error, Result};
use crate::format::{self, BatchHeader, Compression};
use crate::partition::log_id::LogId;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_state::LogState;
use crate::partition::mirror::journal::{self, BlockNumber};
use crate::partition::mirror::{MirrorEntry, MirroredSlot};
use crate::partition::recovery::seal_anew;
use crate::tail::Salvaged;
use crate::topic_partition::TopicPartition;

/// Appends to the logs what the journal has beyond them. All of it counts at once, and the journal does not any more.
///
/// # Errors
/// [`Error::Corrupt`] if the journal is not what was written; those of the disk.
pub(super) fn take_over(target: &mut Target) -> Result<()> {
    let generation = target.state().mirror_generation;
    if generation == 0 {
        return Ok(());
    }
    add_topics(target, generation)?;
    let (disk, dir) = (Arc::clone(target.disk()), target.dir().to_owned());
    let path = dir.clone();
    let logs = target.logs_mut().values_mut().map(|log| (log.settled().log, Continued::new(log, &path)));
    let mut logs: BTreeMap<LogId, Continued<'_>> = logs.collect();
    journal::visit(&*disk, &dir, generation, &mut |_, entry| match entry {
        // The replica has them by now.
        MirrorEntry::Void | MirrorEntry::Topic { .. } | MirrorEntry::Deleted { .. } => Ok(()),
        MirrorEntry::Records { slot, from, records, .. } => {
            logs.get_mut(&slot.log()).map_or(Ok(()), |log| log.take_records(slot, from, records))
        }
        // Of a log that is not there the topic was deleted.
        MirrorEntry::Batch { log, batch } => logs.get_mut(&log).map_or(Ok(()), |log| log.take_batch(batch)),
    })?;
    let states = logs.into_values().map(Continued::finish).collect::<Result<Vec<_>>>()?;
    let before = target.state().clone();
    target.commit(ReplicaState { logs: states, mirror_generation: 0, ..before })?;
    // Has each log be what is noted.
    target.resume()?;
    journal::remove(&*disk, &dir)
}

/// Has the replica have the topics that the journal names, and not those that were deleted.
fn add_topics(target: &mut Target, generation: u64) -> Result<()> {
    let (disk, dir) = (Arc::clone(target.disk()), target.dir().to_owned());
    let owned = |(name, entry): (&Arc<str>, &CatalogEntry)| (Arc::clone(name), entry.clone());
    let mut topics: BTreeMap<Arc<str>, CatalogEntry> = target.catalog().live_topics().map(owned).collect();
    journal::visit(&*disk, &dir, generation, &mut |_, entry| {
        match entry {
            MirrorEntry::Topic { topic_id, name, config, ignored } => {
                let checked = topic_name::validate(name);
                checked.map_err(|_| damaged(&dir, "a topic of the journal has a name that none may have"))?;
                topics.insert(name.into(), CatalogEntry { topic_id, state: TopicState::Live, config, ignored });
            }
            MirrorEntry::Deleted { topic_id } => topics.retain(|_, entry| entry.topic_id != topic_id),
            MirrorEntry::Void | MirrorEntry::Records { .. } | MirrorEntry::Batch { .. } => {}
        }
        Ok(())
    })?;
    let identity = target.catalog().identity();
    target.follow_topics(identity, &topics.into_iter().collect::<Vec<_>>())
}

fn damaged(dir: &std::path::Path, reason: &'static str) -> Error {
    Error::corrupt_file(dir, 0, reason)
}

/// A log that goes on with what the journal has.
struct Continued<'t> {
    log: &'t mut LogReplica,
    /// What is settled, and what was appended behind that.
    state: LogState,
    /// What is known of the slot that comes next.
    open: Option<(MirroredSlot, Vec<u8>)>,
    dir: PathBuf,
}

impl<'t> Continued<'t> {
    fn new(log: &'t mut LogReplica, dir: &std::path::Path) -> Continued<'t> {
        let state = log.settled().clone();
        Continued { log, state, open: None, dir: dir.to_owned() }
    }

    fn take_records(&mut self, slot: MirroredSlot, from: usize, records: &[u8]) -> Result<()> {
        if slot.identity.base_offset() < self.state.next_offset {
            return Ok(());
        }
        match &mut self.open {
            // From the beginning on once more, or what follows.
            Some((known, bytes)) if *known == slot && from <= bytes.len() => {
                bytes.truncate(from);
                bytes.extend(records);
            }
            _ => {
                self.append_open()?;
                if from != 0 {
                    return Err(damaged(&self.dir, "the journal lacks the beginning of a slot"));
                }
                self.open = Some((slot, records.to_vec()));
            }
        }
        Ok(())
    }

    fn take_batch(&mut self, batch: &[u8]) -> Result<()> {
        let header = format::verify(batch).ok().filter(|header| header.batch_bytes as usize == batch.len());
        let Some(header) = header else { return Err(damaged(&self.dir, "a batch of the journal is damaged")) };
        if header.next_offset() <= self.state.next_offset {
            return Ok(());
        }
        // It was sealed since.
        self.open = self.open.take().filter(|(slot, _)| slot.identity.base_offset() != header.base_offset());
        self.append_open()?;
        self.append(&header, batch)
    }

    fn append_open(&mut self) -> Result<()> {
        let Some((slot, records)) = self.open.take() else { return Ok(()) };
        let codec: Compression = self.log.spec().settings.load().compression;
        let salvaged = Salvaged::of(slot.identity, slot.class, slot.generation, records);
        let batch =
            seal_anew(&salvaged, codec).map_err(|_| damaged(&self.dir, "a slot of the journal has no records"))?;
        let header = format::verify(&batch).map_err(|_| damaged(&self.dir, "a slot of the journal makes no batch"))?;
        self.append(&header, &batch)
    }

    fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        if header.base_offset() != self.state.next_offset {
            return Err(damaged(&self.dir, "the journal does not go on where the log ends"));
        }
        self.log.append_behind(&mut self.state, header, batch)
    }

    /// What it is to be. All of it survives a power cut.
    fn finish(mut self) -> Result<LogState> {
        self.append_open()?;
        if self.state != *self.log.settled() {
            self.log.sync_appended(&mut self.state)?;
        }
        Ok(self.state)
    }
}

/// Where the source of a replica lacks something that the journal has, as far as it was acknowledged: then it is not followed, or that
/// would be gone here, too.
///
/// # Errors
/// As [`take_over`].
pub(super) fn first_lacking(target: &Target, offer: &DirectoryOffer) -> Result<Option<(TopicPartition, u64)>> {
    let acknowledged = acknowledged(target)?;
    for log in &offer.logs {
        let Some((next_offset, leader_epoch)) = acknowledged.get(&log.id) else { continue };
        let (epochs, end) = &log.has.seen;
        let is_there = next_offset <= end
            && next_offset.checked_sub(1).is_none_or(|last| epochs.epoch_of(last) == Some(*leader_epoch));
        if !is_there {
            return Ok(Some((log.partition.clone(), (*end).min(next_offset.saturating_sub(1)))));
        }
    }
    Ok(None)
}

/// Where logs end, and in which leader epoch.
type Ends = HashMap<LogId, (u64, i32)>;

/// Where each log ends by the journal, as far as that was acknowledged: of the last block nobody may know.
fn acknowledged(target: &Target) -> Result<Ends> {
    let (mut known, mut before, mut of_block): (Ends, Ends, Ends) = Default::default();
    let mut block: Option<BlockNumber> = None;
    journal::visit(&**target.disk(), target.dir(), target.state().mirror_generation, &mut |number, entry| {
        if block.replace(number) != Some(number) {
            known.extend(before.drain());
            before = std::mem::take(&mut of_block);
        }
        match entry {
            MirrorEntry::Topic { .. } | MirrorEntry::Deleted { .. } => {}
            MirrorEntry::Void => before.clear(),
            MirrorEntry::Records { slot, next_offset, .. } => {
                of_block.insert(slot.log(), (next_offset, slot.identity.start.leader_epoch));
            }
            MirrorEntry::Batch { log, batch } => {
                let header = BatchHeader::decode(batch);
                let header = header.map_err(|_| damaged(target.dir(), "a batch of the journal is damaged"))?;
                of_block.insert(log, (header.next_offset(), header.start.leader_epoch));
            }
        }
        Ok(())
    })?;
    known.extend(before);
    Ok(known)
}
