//! A replica becomes a data directory of its own.
//!
//! ```text
//! following ─→ append what the journal has, if there is one
//!           ─→ cut off what goes beyond the last point; end what a cut at several moments has left open
//!           ─→ `replica` says that it is being promoted: it follows nobody any more
//!           ─→ another identity, and leader epochs above all that are known                 broker/going_back
//!           ─→ opened as after a crash, which ends transactions; groups are moved back; closed
//!           ─→ `replica` goes
//! ```
//! If it is interrupted it is done again from where it was.

use std::path::Path;
use std::sync::Arc;

use super::journal;
use super::report::PromoteReport;
use super::state::{ReplicaStage, ReplicaState};
use super::target::Target;
use crate::backup::cut_transactions::{CutLog, Endings};
use crate::backup::losses::Losses;
use crate::backup::moving_back::move_groups_back;
use crate::broker::catalog::{Catalog, Origin};
use crate::broker::{Broker, going_back, replica_mark, shutdown};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::{BatchHeader, EndTransactionMarker};
use crate::partition::log_replica::LogReplica;
use crate::topic_partition::TopicPartition;

/// Makes `target` a data directory of its own, whose leader epochs are above all that are known: its own, and `latest_epoch`.
///
/// # Errors
/// Those of [`Replica::promote`](crate::Replica::promote).
pub(super) fn promote(mut target: Target, latest_epoch: i32) -> Result<PromoteReport> {
    let mut report = PromoteReport::default();
    if target.state().stage == ReplicaStage::Following {
        report = leave_source(&mut target, latest_epoch)?;
    }
    let ends = target.ends();
    let (disk, dir, source_id) = (Arc::clone(target.disk()), target.dir().to_owned(), target.state().source_id);
    let mut catalog = Catalog::open_read_only(Arc::clone(&disk), &dir)?;
    if catalog.identity().origin != Origin::Promoted(source_id) {
        let latest = going_back::latest_leader_epoch(&*disk, &dir, &catalog)?.max(latest_epoch);
        catalog.replace_identity(catalog.identity().gone_back(&*disk, Origin::Promoted(source_id), latest))?;
    }
    // It is recovered like one whose process was stopped.
    shutdown::begin_running(&*disk, &dir)?;
    // The lock goes to who opens it.
    drop(target);
    let broker = Broker::open_copy(Arc::clone(&disk), &dir)?;
    report.losses.moved_back = move_groups_back(&broker, |partition| ends.get(partition).copied())?;
    broker.close()?;
    leave_mark(&*disk, &dir)?;
    Ok(report)
}

/// Has it follow nobody any more.
fn leave_source(target: &mut Target, latest_epoch: i32) -> Result<PromoteReport> {
    target.resume()?;
    journal::take_over(target)?;
    let endings = if target.state().is_of_one_moment { Endings::default() } else { endings_of(target)? };
    let identity = target.catalog().identity();
    let latest = going_back::latest_leader_epoch(&**target.disk(), target.dir(), target.catalog())?.max(latest_epoch);
    let leader_epoch = identity.gone_back(&**target.disk(), Origin::Promoted(identity.id), latest).least_leader_epoch();
    let now_ms = target.disk().now_ms();
    let mut logs = Vec::new();
    for (number, log) in target.logs_mut().values_mut().enumerate() {
        log.leave_only_what_counts()?;
        let mut state = log.settled().clone();
        for (offset, ending) in (state.next_offset..).zip(endings.of_logs.get(number).into_iter().flatten()) {
            let (header, batch) = ending.marker.batch(offset, leader_epoch, ending.producer, now_ms);
            log.append_behind(&mut state, &header, &batch)?;
        }
        if state != *log.settled() {
            log.sync_appended(&mut state)?;
        }
        logs.push(state);
    }
    let before = target.state().clone();
    target.commit(ReplicaState { stage: ReplicaStage::BeingPromoted, logs, ..before })?;
    Ok(PromoteReport { losses: Losses { torn: endings.torn, ..Losses::default() } })
}

fn endings_of(target: &mut Target) -> Result<Endings> {
    let logs: Vec<&LogReplica> = target.logs_mut().values().map(|log| log as &LogReplica).collect();
    Endings::of(&logs)
}

impl CutLog for &LogReplica {
    fn partition(&self) -> &TopicPartition {
        &self.spec().partition
    }

    fn cut(&self) -> u64 {
        self.settled().next_offset
    }

    fn visit_producers(&self, visit: &mut dyn FnMut(&BatchHeader, Option<EndTransactionMarker>)) -> Result<()> {
        LogReplica::visit_producers(self, visit)
    }
}

/// Removes what says that it is a replica.
fn leave_mark(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(replica_mark::FILE_NAME);
    disk.remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
    disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))
}
