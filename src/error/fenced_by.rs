//! Who fenced what is refused from then on.

use std::fmt;
use std::time::Duration;

/// What has fenced the object that returned [`Error::Fenced`](crate::Error::Fenced).
///
/// # Examples
/// ```
/// use ottla::{Error, FencedBy, ProducerRecord};
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// let mut former = broker.transactional_producer("payments")?;
/// let newer = broker.transactional_producer("payments")?;
/// assert!(matches!(former.begin(), Err(Error::Fenced { by: FencedBy::Newer, .. })));
/// # Ok::<_, Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FencedBy {
    /// A newer holder of the same name, which goes on.
    Newer,
    /// Its transaction was open for longer than this, its timeout, and was aborted.
    Timeout(Duration),
    /// [`Admin::abort_transaction`](crate::Admin::abort_transaction).
    Admin,
}

impl fmt::Display for FencedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FencedBy::Newer => f.write_str("a newer one of its name goes on; stop this one"),
            FencedBy::Timeout(timeout) => write!(
                f,
                "its transaction was open for longer than the {timeout:?} of transaction.timeout.ms and was aborted; open \
                 the name anew, and begin again"
            ),
            FencedBy::Admin => f.write_str(
                "its transaction was aborted by Admin::abort_transaction; open the name anew, and begin again",
            ),
        }
    }
}
