//! A log that may be served, once all others are recovered, too.

use std::sync::Arc;

use super::{LoadedState, Recovered, RecoveryConditions, recover};
use crate::disk::open_files::OpenFiles;
use crate::error::Result;
use crate::partition::broken::Broken;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery_report::PartitionRecovery;
use crate::tail::{Identity, Salvaged};

/// A log that was recovered and waits for the environment to be ready.
#[derive(Debug)]
pub(crate) struct RecoveredLog {
    pub(in crate::partition) spec: LogSpec,
    pub(in crate::partition) recovered: Recovered,
    pub(in crate::partition) broken: Option<Broken>,
    /// What the tails hold for a log that is broken: it may be whole again the next time.
    left_in_tail: Vec<(Identity, u64)>,
}

impl RecoveredLog {
    /// Recovers the log of an existing partition, whose small files are `loaded`; `salvaged` are the batches that the tails held
    /// for it. Returns a report if there was anything to tell.
    pub(crate) fn recover(
        spec: LogSpec,
        files: &Arc<OpenFiles>,
        conditions: RecoveryConditions,
        loaded: LoadedState,
        salvaged: Vec<Salvaged>,
    ) -> Result<(RecoveredLog, Option<PartitionRecovery>)> {
        let (recovered, report) = recover(&spec, files, conditions, loaded, salvaged)?;
        Ok((RecoveredLog { spec, recovered, broken: None, left_in_tail: Vec::new() }, report))
    }

    /// A log of which nothing can be known: every call fails with the error that says why, and its files are left alone, as are the
    /// slots of the tails that hold batches of it.
    pub(crate) fn broken(
        spec: LogSpec,
        files: &Arc<OpenFiles>,
        broken: Broken,
        left_in_tail: Vec<(Identity, u64)>,
    ) -> (RecoveredLog, PartitionRecovery) {
        let report = broken.clone().report(spec.partition.clone());
        let recovered = Recovered::empty(&spec, files);
        (RecoveredLog { spec, recovered, broken: Some(broken), left_in_tail }, report)
    }

    /// The slots of the tail that have to stay as they are, durable, since there was no room elsewhere for what they hold, or nobody
    /// can tell where it belongs.
    pub(crate) fn kept_slots(&self) -> impl Iterator<Item = (Identity, u64)> {
        self.recovered.unsealed.iter().map(|batch| batch.slot()).chain(self.left_in_tail.iter().copied())
    }
}
