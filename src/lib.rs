//! An embedded commit log: topics, partitions, producers, consumers and consumer groups as one synchronous library, over
//! files in one directory. No server, no network, no async runtime.
//!
//! ```
//! use std::time::Duration;
//! use ottla::Broker;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let broker = Broker::open(dir)?;
//! broker.topic("orders")?.produce("customer-1", "2 coffees")?;
//! let mut consumer = broker.consumer("billing", ["orders"])?;
//! for record in &consumer.poll(Duration::from_secs(1))? { println!("{}", record.value_str()?); }
//! consumer.commit()?;
//! # Ok::<_, ottla::Error>(())
//! ```
//!
//! When `produce` returns, the record survives a power cut: that is the default. `billing` is a consumer group; what it has
//! committed is not read again, also after a restart.
//!
//! It is **not** a client for a Kafka cluster, not a key-value store, not replicated over a network by itself, and not for network file systems.
//! One process writes a data directory; others may open it read-only.
//!
//! # The manual
//! The [`guide`] has a chapter for each question. If logs are new to you, begin with the [concepts](guide::concepts); if you know
//! Kafka, with [what differs](guide::coming_from_kafka). Then: [what is guaranteed](guide::guarantees), [groups](guide::groups),
//! [exactly once](guide::exactly_once), [errors and damage](guide::errors_and_damage), [a second copy](guide::second_copy),
//! [operations](guide::operations), [metrics](guide::metrics), [events](guide::events), [testing your code](guide::testing_your_code),
//! [async code](guide::async_code), [performance](guide::performance), [proof](guide::proof).
//!
//! # Where things are
//! - [`Broker`]: a data directory, open. [`Topic`] and [`Partition`]: the logs in it. [`Admin`]: looks at them and changes them.
//! - [`Producer`] and [`ProducerRecord`]: sending. [`Consumer`], [`ConsumerRecords`] and [`ConsumerRecord`]: reading.
//! - [`TransactionalProducer`] and [`Transaction`]: what counts as a whole or not at all.
//! - [`ConsumerConfig`], [`RebalanceListener`] and [`Assignor`]: how a group shares its partitions. [`GroupDescription`],
//!   [`CommittedOffset`] and [`ResetOffsets`]: how far it is, and how to change that.
//! - [`Metrics`] and [`Rates`]: what is done, how fast, and who is behind.
//! - [`BackupOptions`], [`BackupReport`], [`RestoreOptions`] and [`RestoreReport`]: a second copy, and going on from it.
//!   [`Replica`]: one that follows. [`BrokerBuilder::replica`] and [`ReplicaPolicy`]: one that has all that is acknowledged.
//!   [`ReplicaStream`] and [`RemoteReplica`]: the same over a connection.
//! - [`Durability`]: when a send returns. [`RecoveryReport`]: what opening found. [`Error`]: what can go wrong, and what to do.
//!
//! # Crate features
//! None is on by default. Uncompressed and Snappy batches need none.
//! - `gzip`, `lz4`, `zstd`: the [`Compression`] of that name, for writing and reading. `zstd` needs a C compiler.
//! - `futures`: [`Consumer`]`::stream`, its records as a stream for any executor.
//! - `metrics`: `MetricsPublisher`, which gives [`Metrics`] to the recorder that is installed for the crate of that name.
//! - `serde`: plain values, such as [`TopicPartition`], [`Timestamp`], [`TopicConfig`] and descriptions, go in and out of any format.
//! - `tracing`: [events](guide::events) for subscribers of the crate of that name: what happens rarely, and what goes wrong.
//! - `cli`: the command `ottla`, and the module `inspect`, which looks at single files of a log.
//! - `testing`: the module `testing`, a simulated disk that cuts the power, kills the process and fails any call.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backup;
mod broker;
mod canary;
mod config_key;
mod consumer;
mod coordinator;
mod disk;
mod error;
mod events;
mod exchange;
mod format;
mod group;
pub mod guide;
#[cfg(feature = "cli")]
pub mod inspect;
mod maintenance;
mod metrics;
mod parallel;
mod parse_error;
mod partition;
mod producer;
mod record;
mod replica;
mod segment;
mod sync;
mod tail;
mod text;
mod topic_partition;
mod transaction;

pub use backup::{BackupOptions, BackupProgress, RestoreOptions, RestoreReport, TornTransaction};
pub use broker::{
    Admin, BackupReport, Broker, BrokerBuilder, CompactionReport, DiskUsage, Health, HeldBack, HeldByTransaction,
    IntoTopicConfig, OffsetChange, PartitionDescription, PartitionFailure, ReadMode, RecoveryReport, ReplicaFailure,
    ReplicaFailureEffect, ResetOffsets, ResetTo, Topic, TopicDescription, VerifyOptions, VerifyReport,
};
pub use consumer::Consumer;
pub use consumer::config::ConsumerConfig;
pub use consumer::handle::ConsumerHandle;
pub use consumer::listener::{Rebalance, RebalanceListener};
pub use consumer::ready::Ready;
pub use consumer::reset::{OffsetReset, PositionReset, TruncationReset};
pub use consumer::seek::SeekTo;
#[cfg(feature = "futures")]
pub use consumer::stream::RecordStream;
pub use disk::file_mode::FileMode;
pub use error::{ClosedBy, Corruption, Error, FencedBy, Result, SendOutcome, WithCauses};
pub use exchange::{
    ExportOptions, ExportReport, ExportedPartition, ImportOptions, ImportReport, ImportedOffset, ImportedPartition,
    ImportedTopic, TornEnd,
};
pub use format::{Compression, Headers, HeadersIter};
pub use group::assignor::{
    Assignment, AssignmentRequest, Assignor, CooperativeStickyAssignor, GroupMember, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor,
};
pub use group::committed_offset::CommittedOffset;
pub use group::description::{GroupDescription, GroupPartition, GroupState, MemberDescription};
pub use group::late_poll::LatePoll;
#[cfg(feature = "metrics")]
pub use metrics::MetricsPublisher;
pub use metrics::{CounterRates, GroupMetrics, GroupRates, Metrics, Rates, TopicMetrics, TopicRates, WriterMetrics};
pub use parse_error::ParseError;
pub use partition::Partition;
pub use partition::budget_policy::BudgetPolicy;
pub use partition::cleanup_policy::CleanupPolicy;
pub use partition::compaction::report::{LeftOut, PartitionCompaction};
pub use partition::config::TopicConfig;
pub use partition::durability::Durability;
pub use partition::isolation::Isolation;
pub use partition::mirror::policy::ReplicaPolicy;
pub use partition::partition_metrics::{PartitionCounters, PartitionMetrics};
pub use partition::recovery_mode::RecoveryMode;
pub use partition::recovery_report::PartitionRecovery;
pub use partition::tail_metrics::TailMetrics;
pub use partition::time_histogram::TimeHistogram;
pub use partition::timestamp_type::TimestampType;
pub use partition::verification::PartitionVerification;
pub use producer::Producer;
pub use producer::config::ProducerConfig;
pub use producer::partitioner::{DefaultPartitioner, Partitioner};
pub use producer::sending::Sending;
pub use producer::transactional::{Transaction, TransactionalProducer};
pub use record::{
    BatchMetadata, BatchMetadataIter, ConsumerRecord, ConsumerRecords, ConsumerRecordsIter, Header, IntoHeaders,
    IntoRecordBytes, OwnedHeadersIter, OwnedRecord, ProducerRecord, ReadRecord, RecordAddress, RecordMetadata,
    Timestamp,
};
pub use replica::{
    CatchUpReport, PromoteReport, RemoteReplica, Replica, ReplicaAnswer, ReplicaLag, ReplicaOptions, ReplicaSource,
    ReplicaStream, ReplicaThread,
};
pub use topic_partition::TopicPartition;
pub use transaction::{OpenPartition, TransactionDescription, TransactionState};

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzzing;

/// A disk in memory that can cut the power, kill the process and fail any call, to test what your own code makes of it.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    pub use crate::disk::simulated::*;
}

/// What synchronises by atomics alone, each a model for loom to check; `tests/interleavings` runs them.
#[cfg(loom)]
#[doc(hidden)]
pub mod models {
    pub use crate::partition::bell::models::*;
    pub use crate::partition::offsets::models::*;
    pub use crate::partition::waiters::models::*;
    pub use crate::segment::entries::models::*;
    pub use crate::tail::models::*;
}

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
