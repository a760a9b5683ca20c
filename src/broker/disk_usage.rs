//! What a broker takes on the disk.

use super::Admin;
use super::store::Store;
use crate::disk::usage;
use crate::error::{Error, Result};
use crate::partition::budget_policy::BudgetPolicy;

/// What a data directory takes on the disk at one moment; made by [`Admin::disk_usage`].
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let usage = broker.admin().disk_usage()?;
/// println!("{} bytes", usage.used_bytes());
/// assert_eq!(usage.budget_bytes(), None);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiskUsage {
    used_bytes: u64,
    budget_bytes: Option<u64>,
    policy: Option<BudgetPolicy>,
    reserve_bytes: u64,
}

impl DiskUsage {
    /// What all files in the directory take, in bytes that the file system has given to them: segments, indexes, the tails, what was
    /// quarantined, internal topics, and what is being written beside them. Files that were deleted and that a reader still holds
    /// do not count, and nor do directories.
    ///
    /// With a budget this is counted as it changes; what others put there is counted at the next opening.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// The [disk budget](crate::BrokerBuilder::disk_budget) in bytes, if there is one.
    #[must_use]
    pub fn budget_bytes(&self) -> Option<u64> {
        self.budget_bytes
    }

    /// What happens when the budget is used up, if there is one.
    #[must_use]
    pub fn policy(&self) -> Option<BudgetPolicy> {
        self.policy
    }

    /// How many bytes of the budget are kept for internal topics and bookkeeping, which are a part of what is
    /// [used](DiskUsage::used_bytes); 0 without a budget.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }
}

impl Admin<'_> {
    /// What the data directory takes on the disk, and what it may take. With a budget that is known, and without one every file is
    /// looked at.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] if a directory or file cannot be looked at.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        self.broker.store.disk_usage()
    }
}

impl Store {
    fn disk_usage(&self) -> Result<DiskUsage> {
        self.check_open()?;
        if let Some(budget) = self.disk_budget() {
            let config = budget.config();
            return Ok(DiskUsage {
                used_bytes: budget.used_bytes(),
                budget_bytes: Some(config.bytes),
                policy: Some(config.policy),
                reserve_bytes: config.reserve_bytes(),
            });
        }
        let used_bytes = self.allocated_below(self.dir())?;
        Ok(DiskUsage { used_bytes, budget_bytes: None, policy: None, reserve_bytes: 0 })
    }

    /// What the files below a directory take.
    pub(super) fn allocated_below(&self, dir: &std::path::Path) -> Result<u64> {
        let counted = usage::allocated_below(&*self.config.disk, dir);
        counted.map_err(|(path, error)| Error::io("look at", &path, error))
    }
}
