//! An embedded commit log. (Front page comes with the first public types.)
#![allow(dead_code, reason = "the layers are being built bottom-up")]
mod disk;
mod error;
mod format;
mod record;
mod segment;
mod topic_partition;

pub use error::{Corruption, Error, Result};
pub use format::{Codec as Compression, Headers, HeadersIter};
pub use record::Header;
pub use topic_partition::TopicPartition;
