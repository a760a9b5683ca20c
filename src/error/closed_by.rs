//! Who closed what does not answer any more.

use std::fmt;

/// What has closed the object that returned [`Error::Closed`](crate::Error::Closed).
///
/// # Examples
/// ```
/// use ottla::{ClosedBy, Error};
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// broker.admin().delete_topic("orders")?;
/// assert!(matches!(topic.produce("k", "v"), Err(Error::Closed { by: ClosedBy::Deletion, .. })));
/// # Ok::<_, Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClosedBy {
    /// [`Broker::close`](crate::Broker::close), on any handle of the broker.
    Broker,
    /// [`Consumer::close`](crate::Consumer::close), or [`ConsumerHandle::close`](crate::ConsumerHandle::close).
    Consumer,
    /// [`Admin::delete_topic`](crate::Admin::delete_topic); read-only, in the process that writes.
    Deletion,
}

impl fmt::Display for ClosedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClosedBy::Broker => "the broker is closed",
            ClosedBy::Consumer => "the consumer is closed",
            ClosedBy::Deletion => "the topic was deleted",
        })
    }
}
