//! Records in: the producer, and how it chooses a partition.

pub(crate) mod partitioner;
