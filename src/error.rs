//! What can go wrong, as one enum. Every variant says where it happened and, in its documentation, what to do next.
//!
//! A message does not repeat what its source says: who prints a chain of errors prints each cause once. `Debug`, which is what
//! `main` prints of an error that it returns, is the message, and then each cause on a line of its own.

mod closed_by;
mod fenced_by;
pub(crate) mod os;
mod outcome;
mod with_causes;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::parse_error::ParseError;
use crate::topic_partition::TopicPartition;
pub use closed_by::ClosedBy;
pub use fenced_by::FencedBy;
use os::is_disk_full;
pub(crate) use os::is_passing;
pub use outcome::SendOutcome;
pub use with_causes::WithCauses;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What disks and callers do wrong.
///
/// From a call that sends, all but three mean that nothing was appended: after [`NotDurable`](Error::NotDurable) the records are
/// in the log, after [`InDoubt`](Error::InDoubt) nobody knows, and [`PartlySent`](Error::PartlySent) tells which are.
/// [`outcome`](Error::outcome) says it in one word.
///
/// The message (`Display`) says what went wrong here, and [`source`](std::error::Error::source) why; for a line of a log that
/// says both, there is [`with_causes`](Error::with_causes). A `main` that returns this error prints both, too.
///
/// # Examples
/// ```
/// use ottla::{Broker, Error};
/// # let broker = Broker::temporary()?;
/// match broker.existing_topic("orders") {
///     Err(Error::UnknownTopic { name, .. }) => println!("nobody has made {name:?} yet"),
///     Err(error) => eprintln!("{}", error.with_causes()),
///     Ok(topic) => println!("{} partitions", topic.partitions().len()),
/// }
/// # Ok::<_, Error>(())
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. If [`is_retriable`](Error::is_retriable), trying again may work; else look at the source.
    #[error("cannot {action} {}", path.display())]
    #[non_exhaustive]
    Io {
        /// What was tried: a verb, as in "cannot *open* …".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },

    /// No space, quota or file size is left. Nothing was appended; free some space and try again, without reopening.
    ///
    /// Of the process's limit on the size of files (`RLIMIT_FSIZE`, `ulimit -f`) the kernel tells by the signal `SIGXFSZ`, which ends
    /// a process that does not ignore it: this error comes only to one that does. A library changes nothing about signals, so it
    /// is up to the program: `signal(SIGXFSZ, SIG_IGN)`, or no such limit.
    #[error("cannot {action} {}: the disk is full; free some space and try again", path.display())]
    #[non_exhaustive]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file that could not grow.
        path: PathBuf,
    },

    /// The [disk budget](crate::BrokerBuilder::disk_budget) has no room for this, and nothing that may go for it. Nothing was appended.
    /// Commits, and deleting records and topics, still work: delete some, or open with a larger budget, and try again. Of a
    /// compaction it means that its copy waits for room.
    #[error(
        "{}: no room for {needed_bytes} bytes in the disk budget of {budget_bytes}, of which {used_bytes} are taken and \
         {reserve_bytes} kept for internal topics (ottla.disk.budget.bytes): delete records or topics, or raise it",
        path.display()
    )]
    #[non_exhaustive]
    OverBudget {
        /// The data directory.
        path: PathBuf,
        /// The budget, in bytes.
        budget_bytes: u64,
        /// What all files take, in bytes.
        used_bytes: u64,
        /// How many bytes of the budget are kept for internal topics and bookkeeping; some of them may be taken.
        reserve_bytes: u64,
        /// What was to be taken, in bytes: for a send, room for the whole batch that its record begins.
        needed_bytes: u64,
    },

    /// A write or sync of this partition failed, so what is on the disk is no longer known. Reads of durable records go on;
    /// writes are refused until the broker is reopened, which checks and repairs the log. Nothing was appended.
    #[error("{partition}: refuses writes until reopened, because a write or sync failed: {reason}")]
    #[non_exhaustive]
    Poisoned {
        /// The partition that refuses writes.
        partition: TopicPartition,
        /// What failed first.
        reason: String,
    },

    /// The records were appended, but the sync could not begin: there was no file handle left, say. Do not send them again: they
    /// are in the log, and survive the end of the process. The next sync of the partition makes them durable, and visible if the
    /// topic has [`Always`](crate::Durability::Always). To make one, call [`wait_durable`](crate::Partition::wait_durable) or flush.
    #[error("{partition}: offsets {}..{} were appended and are not durable yet; flush, and do not send them again", offsets.start, offsets.end)]
    #[non_exhaustive]
    NotDurable {
        /// Where they are.
        partition: TopicPartition,
        /// Their offsets.
        offsets: Range<u64>,
        /// What kept the sync from being made. If it is retriable, waiting for durability once more may succeed.
        source: Box<Error>,
    },

    /// The write or sync of these very records failed. Either all of them are in the log or none, and nobody can know which yet. The
    /// partition refuses writes from now on. Open the broker again, and read from these offsets on to see what is there.
    #[error("{partition}: it is not known whether offsets {}..{} were appended; open the broker again to see", offsets.start, offsets.end)]
    #[non_exhaustive]
    InDoubt {
        /// Where they were to go.
        partition: TopicPartition,
        /// The offsets that they have if they are there.
        offsets: Range<u64>,
        /// What failed.
        source: Box<Error>,
    },

    /// What was sent in several pieces was not appended as a whole: some pieces are in the log, one failed, and those after it
    /// were not tried. Comes from [`send_batch`](crate::Producer::send_batch) to several partitions, and from a commit of more
    /// offsets than fit in a batch.
    #[error("sent in part ({} in the log, not to be sent again), and the next one failed", count(appended.len(), "piece"))]
    #[non_exhaustive]
    PartlySent {
        /// The pieces that are in the log, as durable as they were to be: partition and offsets, in the order of their sending.
        appended: Vec<(TopicPartition, Range<u64>)>,
        /// Why the next piece failed; its own [`outcome`](Error::outcome) is that of the piece.
        source: Box<Error>,
    },

    /// Bytes on the disk are not what was written. The offsets before and after the damage stay readable: to go on behind
    /// it, [`skip_corrupt`](crate::Consumer::skip_corrupt), or read from the end of [`Corruption::offsets`]. Without offsets it is
    /// a whole file or directory: bring it back from a backup, or delete the topic.
    #[error("{}{}", .0, read_on(.0))]
    Corrupt(Box<Corruption>),

    /// The data directory is open in another process or elsewhere in this one. Close that first, or open read-only.
    #[error("{} is already open for writing{}: close that first, or open it read-only", path.display(), pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    #[non_exhaustive]
    AlreadyOpen {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },

    /// This process was forked off from the one that opened the broker, and nothing was done: the files are the parent's, which
    /// goes on writing them. Every call on a handle from before the fork fails like this, to read too; dropping handles and
    /// exiting change nothing. Fork first and open then, or open another directory in the child; programs that are started
    /// ([`std::process::Command`]) need not care. The parent's directory stays locked until the parent has closed the broker
    /// and the child has dropped its handles or ended.
    #[error(
        "the broker was opened by the process that this one was forked off from, and only that one can use it: fork first, then open"
    )]
    Forked,

    /// No log is kept in this directory, or it is none. Check the path; to begin a log there, open it for writing.
    #[error("{} is not a data directory: {reason}", path.display())]
    #[non_exhaustive]
    NotADataDirectory {
        /// What was to be opened.
        path: PathBuf,
        /// What it is, and what to do.
        reason: &'static str,
    },

    /// The directory has files of others in it and no log, and nothing was changed: it may have been given by mistake. Choose an
    /// empty or a new one, or allow it with [`allow_other_files`](crate::BrokerBuilder::allow_other_files).
    #[error(
        "{} holds other files, {found:?} among them, and no log: choose an empty or a new directory, \
         or allow it with BrokerBuilder::allow_other_files",
        path.display()
    )]
    #[non_exhaustive]
    OtherFiles {
        /// The directory.
        path: PathBuf,
        /// The name of one that is not ours.
        found: OsString,
    },

    /// The directory that a copy was to be made in has something in it, and nothing was changed. Choose an empty or a new one.
    #[error("{} is not empty, {found:?} is in it: choose an empty or a new directory for the copy", path.display())]
    #[non_exhaustive]
    TargetNotEmpty {
        /// The directory.
        path: PathBuf,
        /// The name of something in it.
        found: OsString,
    },

    /// A copy was begun in this directory and not finished: the process was stopped, say, or it is still at it. Nothing of it counts, and
    /// nothing was changed. Unless somebody is making it, remove the directory, and make the copy again.
    #[error("{} holds an unfinished copy: unless it is just being made, remove the directory, and make the copy again", path.display())]
    #[non_exhaustive]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },

    /// The directory is not a backup, or was opened for writing since it was made, which makes it a data directory like any other.
    #[error("{} is not a backup: {reason}", path.display())]
    #[non_exhaustive]
    NotABackup {
        /// The directory.
        path: PathBuf,
        /// What it is, and what to do.
        reason: &'static str,
    },

    /// The directory is a replica, which only its source changes, and nothing was changed. Open it read-only, or
    /// [promote](crate::Replica::promote) it.
    #[error("{} is a replica: open it read-only, or promote it if its source is to be given up", path.display())]
    #[non_exhaustive]
    IsReplica {
        /// The directory.
        path: PathBuf,
    },

    /// The directory is not a replica, so that it cannot follow a source, or be promoted.
    #[error("{} is not a replica: {reason}", path.display())]
    #[non_exhaustive]
    NotAReplica {
        /// The directory.
        path: PathBuf,
        /// What it is, and what to do.
        reason: &'static str,
    },

    /// What the source of a replica has is not what the replica has a part of: the source was lost and made anew, restored, or put back as
    /// it had been. Nothing of the replica was changed. If it has what is to be kept, [promote](crate::Replica::promote) it; if the
    /// source has, remove the directory of the replica and begin another one.
    #[error(
        "the replica {} cannot follow its source: {}{}: {reason}; promote the replica if it has what is to be kept, or begin a new one",
        path.display(),
        partition.as_ref().map_or_else(|| topic.clone(), ToString::to_string),
        offset.map(|offset| format!(", offset {offset}")).unwrap_or_default()
    )]
    #[non_exhaustive]
    ReplicaDiverged {
        /// The directory of the replica. At the source of a [stream](crate::ReplicaStream), which does not know it, words that say so.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// The partition, if the source has the topic.
        partition: Option<TopicPartition>,
        /// The first offset at which the two differ. Over a [stream](crate::ReplicaStream) it may be that with which the segment begins in which
        /// they do.
        offset: Option<u64>,
        /// How they differ.
        reason: &'static str,
    },

    /// The replica that a broker [keeps](crate::BrokerBuilder::replica) has failed, and what is on one disk only is not acknowledged. The
    /// broker tries again and again to have it catch up; once that went well sends do, too. Until then nothing is appended to
    /// [`Durability::Always`](crate::Durability::Always) topics. To go on without it, open the broker without it.
    #[error("the replica {} has failed, and is tried again: {reason}; to go on without it, open the broker without it", path.display())]
    #[non_exhaustive]
    ReplicaFailed {
        /// The directory of the replica.
        path: PathBuf,
        /// What went wrong, with its causes.
        reason: String,
    },

    /// The bytes of a [stream](crate::ReplicaStream) are not what its other end can have meant: they are damaged, hostile, of another version,
    /// or a reply to another request. Nothing of them counts. Ask again, on a new connection; if it stays so, look at who is at the other end,
    /// and in which version.
    #[error("the stream of a replica cannot be taken: {reason}")]
    #[non_exhaustive]
    InvalidStream {
        /// What is wrong with them.
        reason: &'static str,
    },

    /// The source of a [`RemoteReplica`](crate::RemoteReplica) did not bring what was asked for, and nothing was changed. If this
    /// [is retriable](Error::is_retriable), ask again; else look at the source.
    #[error("the source does not serve its replica: {reason}")]
    #[non_exhaustive]
    ReplicaNotServed {
        /// What the source says.
        reason: String,
        /// Whether to ask again may help: files came or went while they were read, say.
        is_passing: bool,
    },

    /// The caller's own function said that the work is to end. What was made of it is removed.
    #[error("the {what} was cancelled by the program")]
    #[non_exhaustive]
    Cancelled {
        /// What was cancelled.
        what: &'static str,
    },

    /// The directory has no log of its own and lies inside a data directory, and nothing was changed. Most often it is the directory of
    /// a partition, and what is meant is the data directory above: open that. A log of its own has its place outside.
    #[error("{} {} the data directory {}: open that one{}", path.display(), describe_inside(partition.as_ref()), data_dir.display(), if partition.is_some() { "" } else { ", or choose a directory outside of it" })]
    #[non_exhaustive]
    InsideDataDirectory {
        /// What was to be opened.
        path: PathBuf,
        /// The data directory above it.
        data_dir: PathBuf,
        /// The partition whose directory it is, or lies in.
        partition: Option<TopicPartition>,
    },

    /// The file is of a format that this version of the crate does not read, and nothing was changed. If it is a newer one,
    /// update the crate; format 1 was never released, and nothing reads it.
    #[error("{} has format version {found}; this version of the crate reads {supported}{}", path.display(), if found > supported { ": update the crate" } else { "" })]
    #[non_exhaustive]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The version it states.
        found: u32,
        /// The version that is understood here.
        supported: u32,
    },

    /// The name cannot be a topic's. Choose 1 to 249 of `[a-zA-Z0-9._-]`.
    #[error("invalid topic name {name:?}: {reason}")]
    #[non_exhaustive]
    InvalidTopic {
        /// The name as given.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },

    /// A setting is unknown, malformed, out of bounds, or contradicts another one.
    #[error("invalid configuration {key}={value}: {reason}")]
    #[non_exhaustive]
    InvalidConfig {
        /// The setting, by Kafka's property name where it has one.
        key: &'static str,
        /// The value, as it was given or understood.
        value: String,
        /// What is wrong and what would be right.
        reason: String,
    },

    /// No property has this name. Take the one that is suggested, or look at the keys that the documentation of `set` names, such as
    /// [`TopicConfig::set`](crate::TopicConfig::set).
    #[error("unknown configuration {key:?}: {}", nearest.map_or_else(|| "the documentation of `set` names the keys".to_owned(), |name| format!("did you mean {name:?}?")))]
    #[non_exhaustive]
    UnknownConfig {
        /// The name as given.
        key: String,
        /// The known name that resembles it most, if any does.
        nearest: Option<&'static str>,
    },

    /// There is no topic of this name. Create it first, with [`Broker::topic`](crate::Broker::topic), say; a consumer can also
    /// [wait](crate::ConsumerConfig::wait_for_topics) for it.
    #[error("there is no topic {name:?}; create it first")]
    #[non_exhaustive]
    UnknownTopic {
        /// The name as given.
        name: String,
    },

    /// The topic has no partition of this number. Choose a lower one, or [add](crate::Admin::add_partitions) partitions.
    #[error("{partition}: the topic has {}, numbered from 0; Admin::add_partitions adds more", count(*partition_count as usize, "partition"))]
    #[non_exhaustive]
    UnknownPartition {
        /// The address as given.
        partition: TopicPartition,
        /// The topic's number of partitions.
        partition_count: u32,
    },

    /// The consumer does not read this partition. Subscribe or assign it first.
    #[error("{partition} is not among the partitions that the consumer reads: subscribe to its topic, or assign it")]
    #[non_exhaustive]
    NotAssigned {
        /// The address as given.
        partition: TopicPartition,
    },

    /// The topic exists, and a setting of it is not the one that was asked for: the program's configuration is a new one, or somebody
    /// has altered the topic. Take it as it is, with [`Broker::existing_topic`](crate::Broker::existing_topic), or make the two
    /// alike: with [`Admin::alter_topic`](crate::Admin::alter_topic), or by asking for what it has.
    #[error(
        "topic {name:?} exists with {key}={found}, not {wanted}: alter it, or take it as it is with Broker::existing_topic"
    )]
    #[non_exhaustive]
    TopicConfigDiffers {
        /// The topic.
        name: String,
        /// The first setting that differs, by its property name.
        key: &'static str,
        /// What the topic has.
        found: Box<str>,
        /// What was asked for.
        wanted: Box<str>,
    },

    /// A topic of this name exists, perhaps with another configuration; or one is being deleted, and its name is not free yet.
    /// [`Broker::topic`](crate::Broker::topic) gives the one that is there, or creates it.
    #[error("topic {name:?} exists already: take it with Broker::topic, or choose another name")]
    #[non_exhaustive]
    TopicExists {
        /// The name as given.
        name: String,
    },

    /// The record or batch is larger than the topic allows: make it smaller, or raise
    /// [`max_message_bytes`](crate::TopicConfig::max_message_bytes) with [`Admin::alter_topic`](crate::Admin::alter_topic). Nothing was
    /// appended.
    #[error("{partition}: {size} bytes exceed the limit of {limit}: send less at a time, or raise max.message.bytes")]
    #[non_exhaustive]
    RecordTooLarge {
        /// Where it was to go.
        partition: TopicPartition,
        /// The encoded size in bytes, headers included.
        size: u64,
        /// The largest size allowed, in bytes.
        limit: u64,
    },

    /// The record is not one that the format can hold. Nothing was appended.
    #[error("{partition}: invalid record: {reason}")]
    #[non_exhaustive]
    InvalidRecord {
        /// Where it was to go.
        partition: TopicPartition,
        /// What is wrong and what would be right.
        reason: &'static str,
    },

    /// The record names no topic, and the call does not know one. Begin the record with
    /// [`ProducerRecord::to`](crate::ProducerRecord::to), or name one with [`topic`](crate::ProducerRecord::topic), also where it was
    /// made of one that was read. Nothing was appended.
    #[error("the record names no topic: begin it with ProducerRecord::to, or set one with topic")]
    NoTopic,

    /// The offset is below the log's start or above its end. Seek to an offset within.
    #[error("{partition}: offset {requested} is outside {log_start_offset}..={log_end_offset}; choose one within")]
    #[non_exhaustive]
    OffsetOutOfRange {
        /// The log that was read.
        partition: TopicPartition,
        /// The offset asked for.
        requested: u64,
        /// The first offset that can be read.
        log_start_offset: u64,
        /// One above the last offset that can be read; asking for it is not an error.
        log_end_offset: u64,
    },

    /// The group has committed nothing here, so there is nothing to go on from: a consumer has
    /// [`OffsetReset::Error`](crate::OffsetReset::Error), or an offset was to be [shifted](crate::ResetTo::ShiftBy). Say where to begin:
    /// [seek](crate::Consumer::seek), or [reset](crate::Admin::reset_offsets) the group's offsets.
    #[error("{partition}: the group has no committed offset: say where to begin, by a seek or Admin::reset_offsets")]
    #[non_exhaustive]
    NoCommittedOffset {
        /// The log that was to be read.
        partition: TopicPartition,
    },

    /// Records that this position had passed are gone: a power cut took them (possible below `Durability::Always`), or the directory was
    /// restored from a copy. Seek to `truncated_to` to go on with what came after.
    #[error(
        "{partition}: offset {requested} was lost in a power cut, or the directory went back to a copy; \
         seek to {truncated_to}, where the log then continued"
    )]
    #[non_exhaustive]
    LogTruncated {
        /// The log that was read.
        partition: TopicPartition,
        /// The position that no longer stands for the same record.
        requested: u64,
        /// The first offset that was given out anew.
        truncated_to: u64,
    },

    /// The batch is compressed with a codec that is not compiled in. Enable the feature of that name.
    #[error("{partition}: offsets {}..{} need the codec {codec}; enable the feature of that name", offsets.start, offsets.end)]
    #[non_exhaustive]
    CodecUnavailable {
        /// The log that was read.
        partition: TopicPartition,
        /// The offsets of the batch.
        offsets: Range<u64>,
        /// The codec's name, which is also the feature's.
        codec: &'static str,
    },

    /// A newer holder has taken over, or the transaction of a producer was taken from it. Stop this one: whatever is sent or committed
    /// with it is refused.
    #[error("{what} was fenced: {by}")]
    #[non_exhaustive]
    Fenced {
        /// What was fenced: a group's member, or a transactional producer.
        what: String,
        /// What has fenced it.
        by: FencedBy,
    },

    /// A call in a transaction failed, and the transaction can only be aborted: whoever commits is to be sure that nothing is missing.
    /// Abort it, or drop it, and do it again from [`begin`](crate::TransactionalProducer::begin) on: with the same records, or after
    /// [`Consumer::seek_to_committed`](crate::Consumer::seek_to_committed).
    #[error("the transaction of {transactional_id:?} cannot be committed any more; abort it and begin again")]
    #[non_exhaustive]
    TransactionFailed {
        /// The name of the producer.
        transactional_id: String,
        /// What failed.
        source: Box<Error>,
    },

    /// The transaction was not committed: it was aborted, and readers of committed records never see anything of it, in any topic. Do it
    /// again from [`begin`](crate::TransactionalProducer::begin) on, once what the source says is mended: with the same records, or after
    /// [`Consumer::seek_to_committed`](crate::Consumer::seek_to_committed).
    #[error("the transaction of {transactional_id:?} was aborted instead of committed; begin it again")]
    #[non_exhaustive]
    TransactionAborted {
        /// The name of the producer.
        transactional_id: String,
        /// Why it could not be committed.
        source: Box<Error>,
    },

    /// The disk failed under the decision to commit, and nobody can know yet whether the transaction is committed. Open the broker again:
    /// then it is, as a whole, or it is not. The producer takes nothing any more.
    #[error(
        "it is not known whether the last transaction of {transactional_id:?} is committed; open the broker again to see"
    )]
    #[non_exhaustive]
    TransactionInDoubt {
        /// The name of the producer.
        transactional_id: String,
        /// What failed; `None` if that was told before.
        source: Option<Box<Error>>,
    },

    /// A transaction is open here, and what was to be deleted reaches beyond its first record. Wait until it has ended, or
    /// [abort](crate::Admin::abort_transaction) it.
    #[error(
        "{partition}: the transaction of {transactional_id:?} is open from offset {first_offset} on: nothing is deleted \
         behind it until it ends"
    )]
    #[non_exhaustive]
    TransactionOpen {
        /// The log.
        partition: TopicPartition,
        /// The name of the producer.
        transactional_id: String,
        /// The offset of its first record.
        first_offset: u64,
    },

    /// There is no transactional id of this name: no [`transactional_producer`](crate::Broker::transactional_producer) was ever opened
    /// under it, or it has expired. [`Admin::list_transactions`](crate::Admin::list_transactions) lists those there are.
    #[error("there is no transactional id {transactional_id:?}; Admin::list_transactions lists those there are")]
    #[non_exhaustive]
    UnknownTransactionalId {
        /// The name as given.
        transactional_id: String,
    },

    /// The group's partitions are being handed out anew. Poll again.
    #[error("group {group:?} is rebalancing; poll again")]
    #[non_exhaustive]
    RebalanceInProgress {
        /// The group.
        group: String,
    },

    /// The commit was refused, and nothing was committed: the partition is not this consumer's (any more). Poll: it tells what
    /// is, and goes on from what was committed.
    #[error("group {group:?}: cannot commit {partition}: {reason}")]
    #[non_exhaustive]
    CommitRefused {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// Why it is not to be committed from here, and what to do.
        reason: &'static str,
    },

    /// The consumer did not poll for too long, and its partitions went to other members of its group. The next poll joins
    /// the group again.
    #[error(
        "group {group:?}: no poll for {idle:?}, more than the {max_poll_interval:?} of max.poll.interval.ms: the partitions went to others; poll to join again"
    )]
    #[non_exhaustive]
    PollTooLate {
        /// The group.
        group: String,
        /// How long the consumer did not poll.
        idle: Duration,
        /// The longest time between two polls that it was configured with.
        max_poll_interval: Duration,
    },

    /// The members of a group must agree on how to divide the partitions. Join with the group's assignor.
    #[error("group {group:?} divides its partitions by {expected:?}, not by {given:?}; join with its assignor")]
    #[non_exhaustive]
    InconsistentAssignor {
        /// The group.
        group: String,
        /// The assignor of the members that it has.
        expected: String,
        /// The assignor of the one that was to join.
        given: String,
    },

    /// The assignor gave no valid assignment, or panicked. Members keep what they have; every poll tries again.
    #[error("group {group:?}: assignor {assignor:?} failed, and each poll tries again: {reason}")]
    #[non_exhaustive]
    AssignorFailed {
        /// The group.
        group: String,
        /// The assignor's name.
        assignor: String,
        /// What it did.
        reason: String,
    },

    /// A rebalance listener panicked, and the rebalance went on without it. Poll again.
    #[error("the rebalance listener of group {group:?} panicked; poll to go on without it: {reason}")]
    #[non_exhaustive]
    ListenerPanicked {
        /// The group.
        group: String,
        /// The panic's message.
        reason: String,
    },

    /// There is no group of this name: it has neither members nor committed offsets. Is the name right? A group begins with its first
    /// consumer, or with a [reset](crate::Admin::reset_offsets) that names partitions.
    #[error("there is no group {group:?} with members or committed offsets; Admin::list_groups lists those there are")]
    #[non_exhaustive]
    UnknownGroup {
        /// The name as given.
        group: String,
    },

    /// The group has members, so it cannot be deleted. Close their consumers first.
    #[error("group {group:?} has {}: close the consumers first", count(*member_count, "member"))]
    #[non_exhaustive]
    GroupNotEmpty {
        /// The group.
        group: String,
        /// How many members it has.
        member_count: usize,
    },

    /// A transaction that is open has staged offsets for the group, so it cannot be deleted. Try again once the transaction is over:
    /// commit or abort it.
    #[error(
        "the open transaction of {transactional_id:?} has staged offsets for group {group:?}: commit or abort it first"
    )]
    #[non_exhaustive]
    OffsetsPending {
        /// The group.
        group: String,
        /// The name of the transactional producer.
        transactional_id: String,
    },

    /// Partition directories of a Kafka broker cannot be taken over as they are, and nothing was changed. The reason says what to do.
    #[error("cannot import {}{}: {reason}", if topic.is_empty() { String::new() } else { format!("topic {topic:?} from ") }, path.display())]
    #[non_exhaustive]
    CannotImport {
        /// The topic; empty if it is about all of them.
        topic: String,
        /// The log directory of the broker, or a file in it.
        path: PathBuf,
        /// What is in the way, and what to do.
        reason: String,
    },

    /// Of several topics the first ones were imported, each as a whole, one failed, of which nothing is there, and those behind it were
    /// not tried. Import the rest once what the source says is mended.
    #[error("imported {} and not {topic:?}, nor what comes behind it", quoted(imported))]
    #[non_exhaustive]
    PartlyImported {
        /// The topics that were imported.
        imported: Vec<String>,
        /// The topic that was not.
        topic: String,
        /// Why.
        source: Box<Error>,
    },

    /// The call is not possible in the state that the object is in.
    #[error("invalid state: {reason}")]
    #[non_exhaustive]
    InvalidState {
        /// What is wrong and what to do first.
        reason: &'static str,
    },

    /// A text was not what it was to be read as: a topic partition, a timestamp, a durability. Its message says what is expected.
    #[error(transparent)]
    Parse(#[from] ParseError),

    /// A value or key that was asked for as text is not UTF-8. Take the bytes, with [`value`](crate::ConsumerRecord::value) or
    /// [`key`](crate::ConsumerRecord::key).
    #[error("{partition}@{offset} is not UTF-8 text; take its bytes, with `value` or `key`")]
    #[non_exhaustive]
    NotText {
        /// The record's log.
        partition: TopicPartition,
        /// The record's offset.
        offset: u64,
    },

    /// The value of a header that was asked for as text is not UTF-8. Take the bytes, with [`Header::value`](crate::Header::value).
    #[error("the value of header {key:?} is not UTF-8 text; take its bytes, with `value`")]
    HeaderNotText {
        /// The header's name.
        key: String,
    },

    /// The broker is open read-only. Open it for writing.
    #[error("cannot {action}: the broker is open read-only; open it with Broker::open for that")]
    #[non_exhaustive]
    ReadOnly {
        /// What was tried.
        action: &'static str,
    },

    /// Another thread called `wakeup` on this consumer. Nothing was consumed; poll again when ready.
    #[error("the consumer was woken up by its handle; poll again to go on")]
    Wakeup,

    /// The broker or consumer was closed, or the topic deleted, by this program. Open or create it again, if that is wanted.
    #[error("{what}: {by}")]
    #[non_exhaustive]
    Closed {
        /// What does not answer any more: a data directory, a partition, or a consumer's group.
        what: String,
        /// What has closed it.
        by: ClosedBy,
    },

    /// An error of the application's own, made with [`Error::other`]: what its
    /// [`RebalanceListener`](crate::RebalanceListener) returns, say. Nothing in this crate returns it of itself.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// The message, and then each cause on a line of its own: what is on the screen when `main` returns the error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.causes().try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

/// Where bytes on the disk are not what was written, and which offsets are lost with them.
///
/// # Examples
/// ```
/// use ottla::Broker;
/// # let dir = tempfile::tempdir().unwrap();
/// # let broker = Broker::open(dir.path())?;
/// for damage in broker.admin().verify()?.damage() {
///     match &damage.offsets {
///         Some(offsets) => println!("{}: {} offsets are lost", damage.path.display(), offsets.end - offsets.start),
///         None => println!("{damage}"),
///     }
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{}: corrupt at byte {file_position}: {reason}{}", path.display(), describe_offsets(partition.as_ref(), offsets.as_ref()))]
pub struct Corruption {
    /// The log, if the file belongs to one.
    pub partition: Option<TopicPartition>,
    /// The damaged file.
    pub path: PathBuf,
    /// The byte in the file where the damaged piece begins.
    pub file_position: u64,
    /// The offsets that cannot be read, if the file holds records: the end is excluded and is where to seek to skip them.
    pub offsets: Option<Range<u64>>,
    /// What does not hold.
    pub reason: &'static str,
}

impl Corruption {
    /// Whether the record at this offset is among those that cannot be read.
    pub(crate) fn is_at(&self, offset: u64) -> bool {
        self.offsets.as_ref().is_some_and(|offsets| offsets.contains(&offset))
    }
}

/// What to do about damage in a log. Reports, which list a lot of it, do not repeat it.
fn read_on(damage: &Corruption) -> String {
    damage.offsets.as_ref().map(|lost| format!("; to read on, skip to {}", lost.end)).unwrap_or_default()
}

/// How a directory lies in a data directory.
fn describe_inside(partition: Option<&TopicPartition>) -> String {
    partition.map_or_else(|| "lies inside".to_owned(), |partition| format!("belongs to partition {partition} of"))
}

/// Names as a list.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// A number of things, in words.
pub(crate) fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn describe_offsets(partition: Option<&TopicPartition>, offsets: Option<&Range<u64>>) -> String {
    match (partition, offsets) {
        (Some(partition), Some(offsets)) => {
            format!(" ({partition}: offsets {}..{})", offsets.start, offsets.end)
        }
        (Some(partition), None) => format!(" ({partition})"),
        _ => String::new(),
    }
}

impl Error {
    /// Whether the same call may succeed later without reopening anything: after space was freed, or a handle or signal
    /// limit was relieved. To make it again does nothing twice: what was appended and is not durable yet is not retriable.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{Error, Topic};
    ///
    /// fn produce_patiently(orders: &Topic, value: &str) -> ottla::Result<()> {
    ///     loop {
    ///         match orders.produce("customer-1", value) {
    ///             Err(error) if error.is_retriable() => std::thread::sleep(Duration::from_secs(1)),
    ///             sent => return sent.map(|_| ()),
    ///         }
    ///     }
    /// }
    /// # let broker = ottla::Broker::temporary()?;
    /// produce_patiently(&broker.topic("orders")?, "2 coffees")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::DiskFull { .. }
            | Error::OverBudget { .. }
            | Error::RebalanceInProgress { .. }
            | Error::OffsetsPending { .. }
            | Error::ReplicaFailed { .. }
            | Error::ReplicaNotServed { is_passing: true, .. }
            | Error::Wakeup => true,
            Error::Io { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// Whether the object that returned this error will refuse every later call of the same kind until it is reopened.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let orders = broker.topic("orders")?;
    /// broker.close()?;
    /// assert!(orders.produce("customer-1", "2 coffees").unwrap_err().is_fatal());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Error::Poisoned { .. }
            | Error::InDoubt { .. }
            | Error::TransactionInDoubt { .. }
            | Error::Fenced { .. }
            | Error::Closed { .. }
            | Error::ReadOnly { .. }
            | Error::Forked => true,
            Error::PartlySent { source, .. } => source.is_fatal(),
            // To begin again where the disk has failed comes to the same, and where a topic was deleted it does not.
            Error::TransactionFailed { source, .. } | Error::TransactionAborted { source, .. } => {
                matches!(**source, Error::Poisoned { .. } | Error::InDoubt { .. } | Error::Forked)
            }
            _ => false,
        }
    }

    /// Whether this call has failed in a transaction that can only be aborted now: abort it, and do it again. Other errors of a call in a
    /// transaction have changed nothing: it can go on, unless the error [is fatal](Error::is_fatal).
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let mut payments = broker.transactional_producer("payments")?;
    /// let transaction = payments.begin()?;
    /// let error = transaction.send(ProducerRecord::to("no-such-topic").value("5.00")).unwrap_err();
    /// assert!(!error.requires_abort()); // As if the call had not been made.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn requires_abort(&self) -> bool {
        matches!(self, Error::TransactionFailed { .. })
    }

    /// An error of the application's own, for code that returns this crate's [`Result`], such as a
    /// [`RebalanceListener`](crate::RebalanceListener).
    ///
    /// # Examples
    /// ```
    /// let error = ottla::Error::other("the invoices are not ready");
    /// assert_eq!(error.to_string(), "the invoices are not ready");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// The error for what was to go in several pieces, of which these are in the log and the next one failed.
    pub(crate) fn partly_sent(mut appended: Vec<(TopicPartition, Range<u64>)>, source: Error) -> Error {
        match source {
            Error::PartlySent { appended: more, source } => {
                appended.extend(more);
                Error::PartlySent { appended, source }
            }
            source => Error::PartlySent { appended, source: Box::new(source) },
        }
    }

    /// Wraps an error of the operating system with what was tried, telling a full disk apart.
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        let source = source.into();
        if is_disk_full(&source) {
            return Error::DiskFull { action, path: path.to_owned() };
        }
        Error::Io { action, path: path.to_owned(), source }
    }

    /// A damaged file that holds no records of a partition: the catalog, say.
    pub(crate) fn corrupt_file(path: &Path, file_position: u64, reason: &'static str) -> Error {
        let path = path.to_owned();
        Error::Corrupt(Box::new(Corruption { partition: None, path, file_position, offsets: None, reason }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_in_a_log_says_where_to_read_on_and_damage_of_a_file_says_what_it_is() {
        let mut damage = Corruption {
            partition: Some(TopicPartition::new("orders", 0)),
            path: PathBuf::from("orders-0/00000000000000000000.log"),
            file_position: 61,
            offsets: Some(3..5),
            reason: "the checksum does not match",
        };
        let place = "orders-0/00000000000000000000.log: corrupt at byte 61: the checksum does not match";
        assert_eq!(damage.to_string(), format!("{place} (orders-0: offsets 3..5)"));
        let error = Error::Corrupt(Box::new(damage.clone()));
        assert_eq!(error.to_string(), format!("{place} (orders-0: offsets 3..5); to read on, skip to 5"));
        assert!(std::error::Error::source(&error).is_none());
        damage.offsets = None;
        assert_eq!(Error::Corrupt(Box::new(damage.clone())).to_string(), damage.to_string());
    }

    #[test]
    fn a_newer_version_is_met_with_an_update_and_an_older_one_is_not() {
        let of = |found| Error::UnsupportedVersion { path: PathBuf::from("catalog"), found, supported: 2 }.to_string();
        assert_eq!(of(3), "catalog has format version 3; this version of the crate reads 2: update the crate");
        assert_eq!(of(1), "catalog has format version 1; this version of the crate reads 2");
    }

    #[test]
    fn what_stops_half_way_says_what_not_to_send_again() {
        let source = Error::Wakeup;
        let appended = vec![(TopicPartition::new("orders", 0), 0..3)];
        let error = Error::partly_sent(appended, source);
        assert_eq!(
            error.to_string(),
            "sent in part (1 piece in the log, not to be sent again), and the next one failed"
        );
    }
}
