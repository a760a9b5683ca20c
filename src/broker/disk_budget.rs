//! The bound for what the data directory takes: whether it makes sense, and what it is for the logs.

use std::path::Path;
use std::sync::Arc;

use super::budget_settings::BUDGET_BYTES;
use super::catalog::Catalog;
use super::store::Store;
use super::store_config::StoreConfig;
use super::topic_name;
use crate::config_key::invalid;
use crate::disk::metered::MeteredDisk;
use crate::error::{Error, Result};
use crate::partition::budget::{Budget, BudgetConfig};
use crate::partition::budget_policy::{BUDGET_POLICY, BudgetPolicy};
use crate::partition::config::{SEGMENT_BYTES, SEGMENT_BYTES_MIN, TopicConfig};

/// What a tail file has before its slots.
const TAIL_HEADER_BYTES: u64 = 4096;

impl StoreConfig {
    /// The budget, if there is one.
    fn budget(&self) -> Option<BudgetConfig> {
        // Nothing is deleted unless that was asked for.
        let policy = self.budget.policy.unwrap_or(BudgetPolicy::Reject);
        let tails_bytes = self.tail_bytes.saturating_add(TAIL_HEADER_BYTES).saturating_mul(2);
        self.budget.bytes.map(|bytes| BudgetConfig { bytes, policy, tails_bytes })
    }

    /// Checks that the budget has room for what is always there, and for a segment.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub(super) fn check_budget(&self) -> Result<()> {
        let Some(budget) = self.budget() else {
            return self.budget.policy.map_or(Ok(()), |policy| {
                Err(invalid(BUDGET_POLICY, policy, format!("there is no budget: set {BUDGET_BYTES}, too")))
            });
        };
        if u64::from(SEGMENT_BYTES_MIN) <= budget.segment_bytes_max() {
            return Ok(());
        }
        let (tails, reserve) = (budget.tails_bytes, budget.reserve_bytes());
        let least = tails + reserve + u64::from(SEGMENT_BYTES_MIN);
        let reason = format!(
            "must be at least {least}: {tails} for the two tails (ottla.tail.bytes), {reserve} for internal topics, and a \
             segment; raise it, or set ottla.tail.bytes lower"
        );
        Err(invalid(BUDGET_BYTES, budget.bytes, reason))
    }

    /// Has everything below the data directory counted from now on, if there is a budget, of which a segment of each topic can take
    /// its part.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::Io`]; nothing was changed.
    pub(super) fn begin_budget(&mut self) -> Result<Option<Arc<Budget>>> {
        let Some(budget) = self.budget() else { return Ok(None) };
        let counted = MeteredDisk::begin(Arc::clone(&self.disk), &self.dir, is_of_internal_topic);
        let disk = counted.map_err(|(path, error)| Error::io("look at", &path, error))?;
        let meter = Arc::clone(disk.meter());
        self.disk = Arc::new(disk);
        Ok(Some(Arc::new(Budget::new(self.dir.clone(), budget, meter, self.background))))
    }
}

/// Whether the file lies in the directory of an internal topic.
fn is_of_internal_topic(path: &Path) -> bool {
    let dir = path.parent().and_then(Path::file_name);
    dir.and_then(|name| name.to_str()).is_some_and(topic_name::is_internal)
}

/// Checks that the budget has room for a segment of each topic that is there.
///
/// # Errors
/// [`Error::InvalidConfig`].
pub(super) fn check_topics(budget: &Budget, catalog: &Catalog) -> Result<()> {
    let (bytes, max) = (budget.config().bytes, budget.config().segment_bytes_max());
    let topics = catalog.live_topics().filter(|(name, _)| !topic_name::is_internal(name));
    for (name, entry) in topics {
        let segment_bytes = entry.config.segment_bytes;
        if max < u64::from(segment_bytes) {
            let reason = format!(
                "there is room for segments of {max} bytes, beside the tails and what is kept for internal topics, and topic \
                 {name:?} has {SEGMENT_BYTES}={segment_bytes}; raise the budget, or open without one and alter the topic"
            );
            return Err(invalid(BUDGET_BYTES, bytes, reason));
        }
    }
    Ok(())
}

impl Store {
    /// Checks that the budget has room for a segment of a topic of this configuration.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub(super) fn check_fits_budget(&self, config: &TopicConfig) -> Result<()> {
        let Some(budget) = self.disk_budget() else { return Ok(()) };
        let (bytes, max) = (budget.config().bytes, budget.config().segment_bytes_max());
        if u64::from(config.segment_bytes) <= max {
            return Ok(());
        }
        let tails = budget.config().tails_bytes;
        let reason = format!(
            "a segment must fit in the disk budget ({BUDGET_BYTES}={bytes}), which has room for {max} bytes beside {tails} for the \
             two tails (ottla.tail.bytes) and what is kept for internal topics; set {SEGMENT_BYTES} or ottla.tail.bytes lower, \
             or raise the budget"
        );
        Err(invalid(SEGMENT_BYTES, config.segment_bytes, reason))
    }

    /// Tells the budget of the size of the segments that there are now.
    pub(super) fn note_segment_bytes(&self) {
        let Some(budget) = self.disk_budget() else { return };
        let topics = self.registry.all();
        let of_users = topics.values().filter(|topic| !topic_name::is_internal(&topic.name));
        let largest = of_users.map(|topic| topic.settings.load().segment_bytes).max();
        budget.set_segment_bytes(u64::from(largest.unwrap_or(SEGMENT_BYTES_MIN)));
        // A topic may have come to be one whose records may go.
        budget.note_more();
    }
}
