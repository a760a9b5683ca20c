//! A data directory: who may open it, which topics are in it, and how it is closed.
//!
//! [`Broker`] is the handle; `store` is what it points at; `builder` says how to open it, and `opening` does; `catalog` says which
//! topics there are, and `topic_registry` finds them; `shutdown` says how the last writer ended.

mod admin;
mod alter_topic;
pub(crate) mod backup_report;
pub(crate) mod beside;
mod budget_settings;
mod builder;
pub(crate) mod catalog;
mod compaction;
pub(crate) mod copying;
mod delete_records;
pub(crate) mod directory_lock;
mod disk_budget;
mod disk_usage;
mod events;
pub(crate) mod filling;
pub(crate) mod going_back;
mod group_admin;
mod health;
mod into_topic_config;
pub(crate) mod measuring;
mod name_hash;
pub(crate) mod opened;
pub(crate) mod opening;
pub(crate) mod partition_dir;
mod read_mode;
mod read_only;
mod recovery_report;
pub(crate) mod replica_mark;
mod reset_offsets;
pub(crate) mod shutdown;
pub(crate) mod staging;
pub(crate) mod store;
mod store_config;
mod topic;
mod topic_changes;
pub(crate) mod topic_entry;
pub(crate) mod topic_name;
mod topic_partitions;
pub(crate) mod topic_registry;
mod transactions;
pub(crate) mod unfinished;
pub(crate) mod unfinished_mark;
mod verification;
pub(crate) mod written_directory;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use admin::{Admin, PartitionDescription, TopicDescription};
pub use backup_report::BackupReport;
pub use builder::BrokerBuilder;
pub use compaction::CompactionReport;
pub use disk_usage::DiskUsage;
pub use health::{Health, HeldBack, HeldByTransaction, PartitionFailure, ReplicaFailure, ReplicaFailureEffect};
pub use into_topic_config::IntoTopicConfig;
pub use read_mode::ReadMode;
pub use recovery_report::RecoveryReport;
pub use reset_offsets::{OffsetChange, ResetOffsets, ResetTo};
pub use topic::Topic;
pub use verification::{VerifyOptions, VerifyReport};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::partition::recovery_mode::RecoveryMode;
use store::Store;

/// A data directory, open in this process: where everything begins. A cheap handle; clones name the same broker.
///
/// One process opens a directory for writing, once; others may open it read-only. The broker is closed when its last handle
/// is gone, or by [`close`](Broker::close), which returns an error if something fails. Topics, partitions, producers and consumers are
/// handles, too: as long as one of them is there, opening the directory again is [`Error::AlreadyOpen`](crate::Error::AlreadyOpen).
///
/// A child that was forked off while the broker was open cannot use it: every call that can fail does, with
/// [`Error::Forked`](crate::Error::Forked), and to drop handles or to exit changes nothing. Records that were read before are the
/// parent's, too: a child must not look at them, since the memory that they lie in may hold others by then. A child may open
/// a broker of its own, on another directory, if no thread of its parent was in a call of this crate when it was forked off.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = ottla::Broker::open(dir.path())?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     println!("{}", record.value_str()?);
/// }
/// consumer.commit()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Broker {
    pub(crate) store: Arc<Store>,
}

/// In short: the store beneath it is a long story.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the data directory `dir` for writing, creating it if it is absent, and those above it.
    ///
    /// # Errors
    /// As [`BrokerBuilder::open`].
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let dir = dir.path();
    /// let broker = ottla::Broker::open(dir.join("var/lib/orders"))?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>) -> Result<Broker> {
        Broker::builder(dir).open()
    }

    /// Opens a copy that is about to be finished, to put it in order.
    pub(crate) fn open_copy(disk: Arc<dyn Disk>, dir: &Path) -> Result<Broker> {
        BrokerBuilder::of_copy(disk, dir).open()
    }

    /// Begins to open `dir` with other settings.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Durability};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = Broker::builder(dir.path()).durability(Durability::Os).open()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn builder(dir: impl AsRef<Path>) -> BrokerBuilder {
        BrokerBuilder::new(dir.as_ref())
    }

    /// Opens `dir` for reading only, whether or not another process writes it. Nothing there is changed, not even repaired.
    /// Partitions follow the writer: each read sees what is published by then.
    ///
    /// The files `tail` and `tail-always`, in which the writer has the newest records, are mapped into memory if the writer maps them,
    /// too. No process that uses this crate makes them shorter. If another program does, this process is ended by a signal, as with
    /// any map.
    ///
    /// # Errors
    /// [`Error::NotADataDirectory`](crate::Error::NotADataDirectory), also if there is no such directory,
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion),
    /// [`Error::Corrupt`](crate::Error::Corrupt).
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let writer = ottla::Broker::open(dir.path())?;
    /// writer.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let reader = ottla::Broker::open_read_only(dir.path())?;
    /// assert_eq!(reader.topic("orders")?.partition(0)?.read(0, 1024)?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Broker> {
        Broker::builder(dir).recovery_mode(RecoveryMode::ReadOnly).open()
    }

    /// Opens a broker in a directory of the system's temporary ones; it is removed with the broker's last handle.
    ///
    /// # Errors
    /// As [`BrokerBuilder::open`].
    ///
    /// # Examples
    /// ```
    /// let broker = ottla::Broker::temporary()?; // For tests and examples.
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn temporary() -> Result<Broker> {
        let mut builder = Broker::builder("");
        let config = &mut builder.config;
        let dir = std::env::temp_dir().join(format!("ottla-{:032x}", config.disk.random()));
        config.dir = config.disk.absolute(&dir).map_err(|e| Error::io("find", &dir, e))?;
        config.is_temporary = true;
        let (disk, dir) = (Arc::clone(&config.disk), config.dir.clone());
        builder.open().inspect_err(|_| {
            // What there is of it is of no use to anybody.
            _ = partition_dir::remove_all(&*disk, &dir);
        })
    }

    /// The data directory: from the root on, and with the links that led there resolved when it was opened. What becomes of them,
    /// or of the working directory, changes nothing for a broker that is open.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`Error::TopicExists`](crate::Error::TopicExists), [`Error::InvalidTopic`](crate::Error::InvalidTopic),
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig), [`Error::ReadOnly`](crate::Error::ReadOnly).
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.create_topic("orders", TopicConfig::new().partitions(4))?;
    /// assert_eq!(topic.partitions().len(), 4);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let entry = self.store.create_topic(name, config)?;
        Ok(Topic::new(entry, Arc::clone(&self.store)))
    }

    /// The topic of this name, created with the [broker's defaults](BrokerBuilder::topic_defaults) if there is none. One that is
    /// there may be configured otherwise.
    ///
    /// # Errors
    /// As [`create_topic`](Broker::create_topic); read-only, [`Error::UnknownTopic`](crate::Error::UnknownTopic).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn topic(&self, name: &str) -> Result<Topic> {
        let entry = self.store.topic_or_create(name, &self.store.config.topic_defaults)?;
        Ok(Topic::new(entry, Arc::clone(&self.store)))
    }

    /// The topic of this name, if there is one; creates nothing.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), or [`Error::InvalidTopic`](crate::Error::InvalidTopic) if no topic can
    /// have this name.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// assert!(matches!(broker.existing_topic("orders"), Err(ottla::Error::UnknownTopic { .. })));
    /// broker.topic("orders")?;
    /// assert_eq!(broker.existing_topic("orders")?.name(), "orders");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn existing_topic(&self, name: &str) -> Result<Topic> {
        Ok(Topic::new(self.store.topic(name)?, Arc::clone(&self.store)))
    }

    /// The topic of this name with this configuration, created with it if there is none: what a program says that needs the
    /// topic to be just so.
    ///
    /// The configuration is compared with the present one, whoever set that. So after an operator has
    /// [altered](Admin::alter_topic) the topic, or [added partitions](Admin::add_partitions), a program that asks for what it was created
    /// with gets an error at its next start, which names the setting and both values: neither takes back what the operator wanted, nor
    /// runs with something that it does not expect. Either change what the program asks for, or write it so that it takes a topic
    /// that is there as it is, as below.
    ///
    /// # Errors
    /// [`Error::TopicConfigDiffers`](crate::Error::TopicConfigDiffers) if the topic is there and configured otherwise, be it in the
    /// number of its partitions; else as [`topic`](Broker::topic).
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = TopicConfig::new().partitions(4);
    /// // At the first start it is created, and at each later one found.
    /// broker.topic_with("orders", config.clone())?;
    /// broker.topic_with("orders", config)?;
    /// let error = broker.topic_with("orders", TopicConfig::new().partitions(8)).unwrap_err();
    /// assert!(error.to_string().starts_with(r#"topic "orders" exists with num.partitions=4, not 8: "#));
    ///
    /// // A configuration for the first start only, of which operators may change everything later.
    /// let orders = match broker.create_topic("orders", TopicConfig::new().partitions(8)) {
    ///     Err(ottla::Error::TopicExists { .. }) => broker.existing_topic("orders")?,
    ///     created => created?,
    /// };
    /// assert_eq!(orders.partition_count(), 4);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "as `create_topic`, and a configuration is made in the call")]
    pub fn topic_with(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let entry = self.store.topic_or_create(name, &config)?;
        entry.check_config(&config)?;
        Ok(Topic::new(entry, Arc::clone(&self.store)))
    }

    /// Looks at topics and groups, and changes them.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// println!("{:?}", broker.admin().list_topics()?);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn admin(&self) -> Admin<'_> {
        Admin::new(self)
    }

    /// What opening found, and what it did about it. Read-only, nothing was done; the first call looks at all logs.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = ottla::Broker::open(dir.path())?;
    /// if !broker.recovery_report().is_clean() {
    ///     eprintln!("{}", broker.recovery_report());
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.store.recovery_report()
    }

    /// Returns when everything appended before, to any topic, survives a power cut.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned) if a write or sync failed, now or before, for any partition;
    /// [`Error::DiskFull`](crate::Error::DiskFull), [`Error::Io`](crate::Error::Io) if a sync could not begin. If the error is
    /// retriable, the next flush may succeed.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Durability};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = Broker::builder(dir.path()).durability(Durability::Os).open()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?; // Survives the end of the process.
    /// broker.flush()?; // Survives a power cut, too.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.store.flush()
    }

    /// Does now, on this thread, all that the broker's threads do when it is due: the syncs of [`Durability::Interval`](crate::Durability::Interval) and of
    /// segments, waking tasks, deleting what is kept no longer, compaction. For brokers opened with [`background(false)`](BrokerBuilder::background).
    ///
    /// # Errors
    /// The first one met; every partition got its turn, and the next call tries again what can be tried again.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{Broker, Durability};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let every_second = Durability::Interval(Duration::from_secs(1));
    /// let broker = Broker::builder(dir.path()).background(false).durability(every_second).open()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// broker.run_maintenance()?; // Once a second, say, from a loop of your own.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn run_maintenance(&self) -> Result<()> {
        self.store.run_maintenance()
    }

    /// Closes the broker: writes everything into segments, syncs it, and notes that it did, so that the next opening is quick. Other
    /// handles get [`Error::Closed`](crate::Error::Closed) from here on, and keep no file open. Records that were read stay as they
    /// are.
    ///
    /// # Errors
    /// The first one met; nothing is lost by it, but the next opening has to recover.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = ottla::Broker::open(dir.path())?;
    /// let orders = broker.topic("orders")?;
    /// broker.close()?;
    /// assert!(matches!(orders.produce("k", "v"), Err(ottla::Error::Closed { .. })));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        self.store.close()
    }
}
