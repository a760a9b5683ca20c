//! What a reader sees of transactions.

use std::fmt;

/// What a consumer sees of transactions that are not committed.
///
/// A record that is sent outside a [transaction](crate::TransactionalProducer) counts as committed as soon as it is visible.
///
/// # Examples
/// ```
/// use ottla::Isolation;
/// assert_eq!(Isolation::default(), Isolation::ReadCommitted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "isolation.level")]
#[non_exhaustive]
pub enum Isolation {
    /// Up to the [last stable offset](crate::Partition::last_stable_offset), without what was aborted: the default.
    #[default]
    ReadCommitted,
    /// Up to the [high watermark](crate::Partition::high_watermark), with what is not committed, or was aborted.
    ReadUncommitted,
}

/// As Kafka's `isolation.level` takes it.
impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        })
    }
}
