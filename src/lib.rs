//! An embedded commit log. (Front page comes with the first public types.)
#![allow(dead_code, reason = "the layers are being built bottom-up")]
mod broker;
mod config_key;
mod disk;
mod error;
mod format;
mod group;
mod partition;
mod producer;
mod record;
mod segment;
mod topic_partition;

pub use error::{Corruption, Error, Result};
pub use format::{Codec as Compression, Headers, HeadersIter};
pub use partition::{config::TopicConfig, durability::Durability};
pub use producer::partitioner::{DefaultPartitioner, Partitioner};
pub use record::{Header, ProducerRecord, RecordMetadata, Timestamp};
pub use topic_partition::TopicPartition;
