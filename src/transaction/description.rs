//! A transactional id at one moment, for people and tools.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::TransactionCoordinator;
use super::holder::{Holder, Sent};
use super::name::Name;
use super::state_records::{Covered, Status, TransactionRecord};
use crate::coordinator::{Replayed, replay};
use crate::error::Result;
use crate::partition::PartitionSource;
use crate::topic_partition::TopicPartition;

/// How far the transaction of a [transactional id](TransactionDescription) is. The names are Kafka's.
///
/// # Examples
/// ```
/// use ottla::TransactionState;
/// # let broker = ottla::Broker::temporary()?;
/// let mut payments = broker.transactional_producer("payments")?;
/// assert_eq!(broker.admin().describe_transaction("payments")?.state(), TransactionState::Empty);
/// let transaction = payments.begin()?;
/// assert_eq!(broker.admin().describe_transaction("payments")?.state(), TransactionState::Ongoing);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum TransactionState {
    /// None was ended since the name was taken over, and none is open.
    Empty,
    /// One is open.
    Ongoing,
    /// It is committed, and markers are being written.
    PrepareCommit,
    /// It is aborted, and markers are being written.
    PrepareAbort,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted.
    CompleteAbort,
}

/// Kafka's name for it, as it is written there.
impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        })
    }
}

/// A transactional id at one moment; made by [`Admin::describe_transaction`](crate::Admin::describe_transaction).
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("ledger")?;
/// let mut payments = broker.transactional_producer("payments")?;
/// let transaction = payments.begin()?;
/// transaction.send(ProducerRecord::to("ledger").value("-5.00"))?;
/// let description = broker.admin().describe_transaction("payments")?;
/// println!("{}: {} for {:?}", description.transactional_id(), description.state(), description.age());
/// for open in description.partitions() {
///     println!("{} waits from offset {} on", open.topic_partition(), open.first_offset());
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TransactionDescription {
    transactional_id: String,
    state: TransactionState,
    producer_id: i64,
    producer_epoch: i16,
    timeout: Duration,
    age: Option<Duration>,
    partitions: Vec<OpenPartition>,
    groups: Vec<String>,
    checkpoint: Option<Vec<u8>>,
}

/// Where an open transaction has sent something; one of [`TransactionDescription::partitions`], where the example is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OpenPartition {
    partition: TopicPartition,
    first_offset: u64,
}

impl OpenPartition {
    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset of its first record there: readers of committed records see nothing from there on until it ends.
    #[must_use]
    pub fn first_offset(&self) -> u64 {
        self.first_offset
    }
}

impl TransactionDescription {
    fn of_record(id: &str, record: &TransactionRecord) -> TransactionDescription {
        TransactionDescription {
            transactional_id: id.to_owned(),
            state: match record.status {
                Status::Empty => TransactionState::Empty,
                Status::Ongoing => TransactionState::Ongoing,
                Status::PrepareCommit => TransactionState::PrepareCommit,
                Status::PrepareAbort | Status::PrepareEpochFence => TransactionState::PrepareAbort,
                Status::CompleteCommit => TransactionState::CompleteCommit,
                Status::CompleteAbort | Status::Dead => TransactionState::CompleteAbort,
            },
            producer_id: record.producer_id,
            producer_epoch: record.producer_epoch,
            timeout: Duration::from_millis(u64::try_from(record.timeout_ms).unwrap_or_default()),
            age: None,
            partitions: Vec::new(),
            groups: Vec::new(),
            checkpoint: record.checkpoint.clone(),
        }
    }

    fn of(name: &Name, now: Duration) -> Option<TransactionDescription> {
        let mut description = TransactionDescription::of_record(&name.id, name.record.as_ref()?);
        if let Some(decided) = &name.decided {
            let (commit, abort) = (TransactionState::PrepareCommit, TransactionState::PrepareAbort);
            description.state = if decided.is_commit { commit } else { abort };
            description.note_sent(&decided.sent);
        } else if let Some(holder) = &name.holder {
            description.note_holder(holder, now);
        }
        Some(description)
    }

    fn note_holder(&mut self, holder: &Holder, now: Duration) {
        if let Some(ongoing) = &holder.lock().transaction {
            self.state = TransactionState::Ongoing;
            self.age = Some(now.saturating_sub(ongoing.begun));
            self.note_sent(&ongoing.sent);
        }
    }

    fn note_sent(&mut self, sent: &Sent) {
        let open = |sent: &super::holder::SentTo| OpenPartition {
            partition: sent.log.partition().clone(),
            first_offset: sent.offsets.start,
        };
        self.partitions = sent.logs.values().map(open).collect();
        self.sort_partitions();
        self.groups = sent.groups.iter().map(|(_, group)| group.clone()).collect();
    }

    /// A log says that it has an open transaction of the name, which is not over unless that was decided since.
    pub(crate) fn note_open(&mut self, partition: &TopicPartition, first_offset: u64) {
        if !self.is_open() {
            self.state = TransactionState::Ongoing;
        }
        self.partitions.push(OpenPartition { partition: partition.clone(), first_offset });
    }

    pub(crate) fn sort_partitions(&mut self) {
        self.partitions.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
    }

    /// The name.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// How far its transaction is.
    #[must_use]
    pub fn state(&self) -> TransactionState {
        self.state
    }

    /// Whether a transaction is open, or lacks markers still.
    #[must_use]
    pub fn is_open(&self) -> bool {
        use TransactionState::{Ongoing, PrepareAbort, PrepareCommit};
        matches!(self.state, Ongoing | PrepareCommit | PrepareAbort)
    }

    /// The producer id, which all batches of the name have.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// The epoch of its present holder, or of its last one.
    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        self.producer_epoch
    }

    /// So long a transaction may be open before it is aborted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long ago the transaction that is open was begun; `None` if none is, or another process has the name.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Where the transaction that is open has sent something, by topic and partition. Read-only, a transaction that has sent nothing yet
    /// is not known to be open.
    #[must_use]
    pub fn partitions(&self) -> &[OpenPartition] {
        &self.partitions
    }

    /// The groups for which the transaction that is open has staged offsets. Read-only, nothing is known of them.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The checkpoint of the last transaction that was committed with one.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }
}

impl TransactionCoordinator {
    /// What there is to know of a name now; `None` if it is not there.
    pub(crate) fn describe(&self, id: &str) -> Option<TransactionDescription> {
        let now = self.now();
        self.names.look(id, |name| TransactionDescription::of(name, now)).flatten()
    }

    /// What there is to know of all names now, in ascending order.
    pub(crate) fn describe_all(&self) -> Vec<TransactionDescription> {
        self.names.ids().iter().filter_map(|id| self.describe(id)).collect()
    }

    /// How many transactions are open, and for how long the oldest of them has been.
    pub(crate) fn open_ages(&self) -> (u64, Option<Duration>) {
        let now = self.now();
        let age = |name: &Name| {
            let holder = name.holder.as_ref().filter(|_| name.decided.is_none())?;
            holder.lock().transaction.as_ref().map(|ongoing| now.saturating_sub(ongoing.begun))
        };
        let ages = self.names.ids().into_iter().filter_map(|id| self.names.look(&id, age).flatten());
        ages.fold((0, None), |(count, oldest), age| (count + 1, oldest.max(Some(age))))
    }

    /// The name whose transactions have this producer id.
    pub(crate) fn name_of(&self, producer_id: i64) -> Option<String> {
        let is_it = |name: &Name| {
            let has_it = |record: &TransactionRecord| {
                record.producer_id == producer_id || record.previous_producer_id == producer_id
            };
            name.record.as_ref().is_some_and(has_it)
        };
        self.names.ids().into_iter().find(|id| self.names.look(id, is_it).unwrap_or(false))
    }
}

/// What `sources`, the partitions of `__transaction_state`, say of all names: for a broker that only reads.
///
/// # Errors
/// As [`replay`].
pub(crate) fn descriptions(sources: &[PartitionSource]) -> Result<BTreeMap<String, TransactionDescription>> {
    let now = Duration::ZERO;
    let Replayed { states, .. } = replay(sources, false, |names, record| Name::apply(names, record, now))?;
    Ok(states.iter().filter_map(|(id, name)| Some((id.clone(), TransactionDescription::of(name, now)?))).collect())
}
/// What committed transactions have covered, by producer id, as far as `sources`, the partitions of `__transaction_state`, still say.
///
/// # Errors
/// As [`replay`].
pub(crate) fn covered_by_commits(sources: &[PartitionSource]) -> Result<Vec<(i64, Covered)>> {
    let Replayed { states, .. } = replay(sources, false, |names, record| Name::apply(names, record, Duration::ZERO))?;
    let records = states.into_values().filter_map(|name| name.record);
    let covered = |record: TransactionRecord| {
        let producer_id = record.producer_id;
        record.covered.into_iter().map(move |covered| (producer_id, covered))
    };
    Ok(records.flat_map(covered).collect())
}
