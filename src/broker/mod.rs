//! A data directory: who may open it, and which topics are in it.

pub(crate) mod catalog;
pub(crate) mod directory_lock;
pub(crate) mod topic_name;
