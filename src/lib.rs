//! An embedded commit log. (Front page comes with the first public types.)
#![allow(dead_code, reason = "the layers are being built bottom-up")]
mod config_key;
mod disk;
mod error;
mod format;
mod partition;
mod record;
mod segment;
mod topic_partition;

pub use error::{Corruption, Error, Result};
pub use format::compression::Codec as Compression;
pub use partition::{config::TopicConfig, durability::Durability};
pub use record::{Header, ProducerRecord, RecordMetadata, Timestamp};
pub use topic_partition::TopicPartition;
