//! Which log it is, wherever its directory lies and whatever it is called.

/// A partition of one topic, which no other topic of the same name has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogId {
    /// Tells the topic from an earlier or later one of the same name.
    pub(crate) topic_id: u128,
    /// The number of the partition.
    pub(crate) partition: u32,
}

/// Whose a file says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The log's that it was read for.
    Own,
    /// Another log's.
    Another,
    /// It is not there, or damaged.
    Unknown,
}
