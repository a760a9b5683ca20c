//! An embedded commit log. (Front page comes with the first public types.)
#![allow(dead_code, reason = "the layers are being built bottom-up")]
mod disk;
mod error;
mod format;
mod record;
mod segment;
mod topic_partition;

/// The simulated disk: power cuts, process crashes and failing system calls on demand, in memory.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    pub use crate::disk::simulated::{Call, CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
}

pub use error::{Corruption, Error, Result};
pub use topic_partition::TopicPartition;
