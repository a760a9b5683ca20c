//! The small files beside the segments, and the tails.

use std::ops::ControlFlow;

use super::Item;
use super::inspected::{Inspected, Visit, problem};
use super::item::{Directory, LeaderEpoch, Manifest, OpenBatch, Producer, RecoveryPoint, Segment, Topic, TopicId};
use crate::broker::catalog::{self, Catalog, Origin, TopicState};
use crate::disk::{Open, generations};
use crate::error::{Error, Result};
use crate::format;
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::manifest;
use crate::partition::partition_metadata::{self, encode_id};
use crate::partition::producer_state::snapshot;
use crate::partition::recovery_point;
use crate::record::Timestamp;
use crate::segment::file_name::{self, FileName};
use crate::segment::{SealedSegment, reason_of};
use crate::tail::{self, Salvaged};

/// Shows the entries of a snapshot of producers.
pub(super) fn show_producers(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = read(inspected, visit)? else { return ControlFlow::Continue(()) };
    let entries = match snapshot::entries(&bytes, inspected.base_offset()) {
        Ok(entries) => entries,
        Err(invalid) => return problem(visit, 0, reason_of(invalid)),
    };
    for entry in entries {
        visit(Item::Producer(Producer {
            producer_id: entry.producer_id,
            producer_epoch: entry.epoch,
            coordinator_epoch: entry.coordinator_epoch,
            last_timestamp: Timestamp::from_millis(entry.last_timestamp),
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset,
            transaction_first_offset: entry.transaction_first_offset,
        }))?;
    }
    ControlFlow::Continue(())
}

/// Shows the lines of a list of leader epochs.
pub(super) fn show_epochs(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = read(inspected, visit)? else { return ControlFlow::Continue(()) };
    let Some(epochs) = std::str::from_utf8(&bytes).ok().and_then(LeaderEpochs::parse) else {
        return problem(visit, 0, "not the text that lists leader epochs");
    };
    let mut epochs = epochs.entries().iter();
    epochs.try_for_each(|&(epoch, first_offset)| visit(Item::LeaderEpoch(LeaderEpoch { epoch, first_offset })))
}

/// Shows the topic that a partition's directory belongs to.
pub(super) fn show_topic_id(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = read(inspected, visit)? else { return ControlFlow::Continue(()) };
    match partition_metadata::decode(&bytes) {
        Some(topic_id) => visit(Item::TopicId(TopicId { topic_id: encode_id(topic_id) })),
        None => problem(visit, 0, "not the text that names a topic's id"),
    }
}

/// Shows a manifest and its segments, and whether their log files are there and as large.
pub(super) fn show_manifest(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let loaded = manifest::Manifest::read(inspected.disk, &inspected.path);
    let Some(loaded) = or_problem(loaded, visit)?.flatten() else { return ControlFlow::Continue(()) };
    if loaded.fell_back || !is_whole(inspected, manifest::KIND) {
        problem(visit, 0, "a generation of the manifest is damaged or missing")?;
    }
    let manifest::Manifest { log, log_start_offset, ref segments, .. } = loaded.manifest;
    visit(Item::Manifest(Manifest {
        topic_id: encode_id(log.topic_id),
        partition: log.partition,
        log_start_offset,
        clean_offset: loaded.manifest.clean_offset(),
        segment_count: segments.len(),
    }))?;
    for manifest::ManifestSegment { sealed, log_crc32, delete_horizon, .. } in segments {
        let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
        visit(Item::Segment(Segment {
            base_offset: sealed.base_offset,
            next_offset: sealed.next_offset,
            log_bytes: sealed.log_bytes,
            max_timestamp: time(sealed.max_timestamp),
            has_gaps: sealed.has_gaps,
            created: time(sealed.created_ms),
            rolled: time(sealed.rolled_ms),
            log_crc32: *log_crc32,
            delete_horizon: time(*delete_horizon),
        }))?;
        if !inspected.options.is_apart && log_start_offset < sealed.next_offset {
            check_log(inspected, sealed, visit)?;
        }
    }
    ControlFlow::Continue(())
}

/// Whether the log file of a sealed segment is there, as large as it was.
fn check_log(inspected: &Inspected<'_>, sealed: &SealedSegment, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let name = FileName::live(sealed.base_offset, file_name::FileKind::Log);
    let Some(dir) = inspected.path.parent() else { return ControlFlow::Continue(()) };
    match inspected.disk.open(&name.path(dir), Open::Read) {
        Ok(file) if file.size_when_opened() == sealed.log_bytes => ControlFlow::Continue(()),
        Ok(file) => {
            let (found, noted) = (file.size_when_opened(), sealed.log_bytes);
            problem(visit, 0, format!("{name} has {found} bytes, and the manifest says {noted}"))
        }
        Err(error) => problem(visit, 0, format!("{name} cannot be opened: {error}")),
    }
}

/// Shows both records of a recovery point.
pub(super) fn show_recovery_point(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = read(inspected, visit)? else { return ControlFlow::Continue(()) };
    for (file_position, record) in recovery_point::records(&bytes) {
        let (generation, log, point) = match record {
            Ok(Some(record)) => record,
            Ok(None) => continue,
            Err(reason) => {
                problem(visit, file_position, reason)?;
                continue;
            }
        };
        visit(Item::RecoveryPoint(RecoveryPoint {
            generation,
            topic_id: encode_id(log.topic_id),
            partition: log.partition,
            base_offset: point.base_offset,
            file_position: point.synced.file_position,
            next_offset: point.synced.next_offset,
            leader_epoch: point.synced.leader_epoch,
            max_timestamp: point.max_timestamp.map(Timestamp::from_millis),
            has_gaps: point.synced.has_gaps,
        }))?;
    }
    ControlFlow::Continue(())
}

/// Shows what a catalog says of the directory, and its topics.
pub(super) fn show_catalog(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let loaded = Catalog::read(inspected.disk, &inspected.path);
    let Some(loaded) = or_problem(loaded, visit)?.flatten() else { return ControlFlow::Continue(()) };
    let (identity, topics, fell_back) = loaded;
    if fell_back || !is_whole(inspected, catalog::KIND) {
        problem(visit, 0, "a generation of the catalog is damaged or missing")?;
    }
    let (origin, source_id) = match identity.origin {
        Origin::MadeHere => ("made-here", None),
        Origin::Restored(source_id) => ("restored", Some(source_id)),
        Origin::Promoted(source_id) => ("promoted", Some(source_id)),
    };
    visit(Item::Directory(Directory {
        directory_id: format!("{:032x}", identity.id),
        origin,
        source_id: source_id.map(|id| format!("{id:032x}")),
        least_leader_epoch: identity.least_leader_epoch(),
    }))?;
    for (name, entry) in topics {
        visit(Item::Topic(Topic {
            name: name.as_ref().to_owned(),
            topic_id: encode_id(entry.topic_id),
            partitions: entry.config.get_partitions(),
            is_being_deleted: entry.state == TopicState::BeingDeleted,
        }))?;
    }
    ControlFlow::Continue(())
}

/// Shows the batches in the slots of a tail.
pub(super) fn show_tail(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    if or_problem(tail::check_version(inspected.disk, &inspected.path), visit)? == Some(false) {
        problem(visit, 0, "the file does not begin as a tail")?;
    }
    let Some(contents) = or_problem(tail::examine(inspected.disk, &inspected.path, true), visit)? else {
        return ControlFlow::Continue(());
    };
    for (file_position, reason) in contents.damage {
        problem(visit, file_position, reason)?;
    }
    for batch in &contents.batches {
        let (file_position, start) = (batch.file_position(), &batch.identity.start);
        visit(Item::OpenBatch(OpenBatch {
            file_position,
            topic_id: encode_id(batch.identity.topic_id),
            partition: batch.identity.partition,
            base_offset: batch.identity.base_offset(),
            leader_epoch: start.leader_epoch,
            record_count: count_records(batch),
            records_bytes: batch.records.len(),
            durable_bytes: batch.durable_bytes,
            producer_id: start.stamp.producer_id,
            producer_epoch: start.stamp.producer_epoch,
            is_transactional: start.stamp.is_transactional,
        }))?;
        if batch.torn {
            problem(visit, file_position, "the records are not those that were published")?;
        }
    }
    ControlFlow::Continue(())
}

fn count_records(batch: &Salvaged) -> u64 {
    let (mut rest, mut count) = (&batch.records[..], 0);
    while let Ok((_, size)) = format::Record::decode(rest) {
        rest = rest.get(size..).unwrap_or_default();
        count += 1;
    }
    count
}

/// The bytes of a small file; `None` if it cannot be one, which is said.
fn read(inspected: &Inspected<'_>, visit: &mut Visit<'_>) -> ControlFlow<(), Option<Vec<u8>>> {
    let read = or_problem(generations::read_file(inspected.disk, &inspected.path), visit)?;
    ControlFlow::Continue(read.flatten())
}

/// What was read; `None` if that failed, which is said.
fn or_problem<T>(read: Result<T>, visit: &mut Visit<'_>) -> ControlFlow<(), Option<T>> {
    match read {
        Ok(read) => return ControlFlow::Continue(Some(read)),
        Err(Error::Corrupt(damage)) => problem(visit, damage.file_position, damage.reason)?,
        Err(error) => problem(visit, 0, error.with_causes().to_string())?,
    }
    ControlFlow::Continue(None)
}

fn is_whole(inspected: &Inspected<'_>, kind: generations::Kind) -> bool {
    generations::is_whole(inspected.disk, &inspected.path, kind).unwrap_or(false)
}
