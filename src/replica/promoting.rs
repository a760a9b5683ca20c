//! A replica becomes a data directory of its own.
//!
//! ```text
//! following ─→ append what the journal has, if there is one
//!           ─→ cut off what goes beyond the last point
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
use crate::backup::losses::TornTransaction;
use crate::backup::moving_back::move_groups_back;
use crate::broker::catalog::{Catalog, Origin};
use crate::broker::{Broker, going_back, replica_mark, shutdown};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log_replica::LogReplica;

/// Makes `target` a data directory of its own, whose leader epochs are above all that are known: its own, and `latest_epoch`.
///
/// # Errors
/// Those of [`Replica::promote`](crate::Replica::promote).
pub(super) fn promote(mut target: Target, latest_epoch: i32) -> Result<PromoteReport> {
    let mut report = PromoteReport::default();
    if target.state().stage == ReplicaStage::Following {
        leave_source(&mut target)?;
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
    let torn = broker.store.torn_transactions(|partition| ends.get(partition).copied())?;
    report.losses.torn =
        torn.into_iter().map(|(id, partition, lost)| TornTransaction::new(id, partition, lost)).collect();
    report.losses.moved_back = move_groups_back(&broker, |partition| ends.get(partition).copied())?;
    broker.close()?;
    leave_mark(&*disk, &dir)?;
    Ok(report)
}

/// Has it follow nobody any more.
fn leave_source(target: &mut Target) -> Result<()> {
    target.resume()?;
    journal::take_over(target)?;
    target.logs_mut().values().try_for_each(LogReplica::leave_only_what_counts)?;
    let before = target.state().clone();
    target.commit(ReplicaState { stage: ReplicaStage::BeingPromoted, ..before })
}

/// Removes what says that it is a replica.
fn leave_mark(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(replica_mark::FILE_NAME);
    disk.remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
    disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))
}
