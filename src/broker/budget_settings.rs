//! What the builder was told of a disk budget, as it was told: `disk_budget` says whether it makes sense.

use crate::partition::budget_policy::BudgetPolicy;

pub(super) const BUDGET_BYTES: &str = "ottla.disk.budget.bytes";

/// What the builder was told of a budget.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BudgetSettings {
    pub(super) bytes: Option<u64>,
    pub(super) policy: Option<BudgetPolicy>,
}
