//! State that is kept in an internal compacted topic. Here: which partition keeps what belongs to an id.

pub(crate) mod coordinator_partition;
