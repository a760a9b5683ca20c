//! How to open a broker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::beside::OpensBeside;
use super::budget_settings::{BUDGET_BYTES, BudgetSettings};
use super::read_mode::ReadMode;
use super::store_config::{NewLog, Purpose, StoreConfig};
use super::{Broker, RecoveryReport, catalog, opening};
use crate::config_key::{
    check_duration_ms, check_range, invalid, parse_bool, parse_duration_ms, parse_number, unknown,
};
use crate::disk::file_mode::FileMode;
use crate::disk::os::OsDisk;
use crate::disk::overlay::OverlayDisk;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::events::Stopwatch;
use crate::partition::budget_policy::{BUDGET_POLICY, BudgetPolicy};
use crate::partition::compaction::config::CleanerConfig;
use crate::partition::config::{self, TopicConfig};
use crate::partition::durability::{DURABILITY, Durability};
use crate::partition::recovery_mode::{RECOVERY_MODE, RecoveryMode};

const BACKGROUND: &str = "ottla.background";
const MAX_OPEN_FILES: &str = "ottla.max.open.files";
const TAIL_BYTES: &str = "ottla.tail.bytes";
const READ_MODE: &str = "ottla.read.mode";
const FILE_MODE: &str = "ottla.file.mode";
const CREATE: &str = "ottla.create";
const ALLOW_OTHER_FILES: &str = "ottla.allow.other.files";
const CLEANER_BUFFER: &str = "log.cleaner.dedupe.buffer.size";
const OFFSETS_RETENTION: &str = "offsets.retention.minutes";
const ID_EXPIRATION: &str = "transactional.id.expiration.ms";
const CLEANER_IO: &str = "log.cleaner.io.max.bytes.per.second";

/// Beside those of topics.
const KEYS: [&str; 14] = [
    BACKGROUND,
    MAX_OPEN_FILES,
    TAIL_BYTES,
    BUDGET_BYTES,
    BUDGET_POLICY,
    READ_MODE,
    FILE_MODE,
    CREATE,
    ALLOW_OTHER_FILES,
    CLEANER_BUFFER,
    CLEANER_IO,
    OFFSETS_RETENTION,
    ID_EXPIRATION,
    RECOVERY_MODE,
];

const MAX_OPEN_FILES_BOUNDS: std::ops::RangeInclusive<u32> = 8..=1_000_000;
const TAIL_BYTES_BOUNDS: std::ops::RangeInclusive<u64> = 1 << 20..=448 << 20;
/// Enough for some dozen short keys, so that tests have several passes.
const CLEANER_BUFFER_BOUNDS: std::ops::RangeInclusive<usize> = 4 << 10..=1 << 40;

/// Opens a broker with other than the default settings; made by [`Broker::builder`].
///
/// # Examples
/// ```
/// use ottla::{Broker, Durability, TopicConfig};
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::builder(dir.path())
///     .durability(Durability::Os)
///     .topic_defaults(TopicConfig::new().partitions(4))
///     .open()?;
/// assert_eq!(broker.topic("orders")?.partitions().len(), 4);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct BrokerBuilder {
    pub(super) config: StoreConfig,
}

impl BrokerBuilder {
    pub(super) fn new(dir: &Path) -> BrokerBuilder {
        let config = StoreConfig {
            dir: dir.to_owned(),
            disk: Arc::new(OsDisk::new()),
            durability: Durability::default(),
            topic_defaults: TopicConfig::new(),
            background: true,
            leaves_full_batches: false,
            max_open_files: 128,
            tail_bytes: 64 << 20,
            read_mode: ReadMode::Map,
            recovery_mode: RecoveryMode::default(),
            new_log: NewLog { is_allowed: true, among_other_files: false },
            is_temporary: false,
            budget: BudgetSettings::default(),
            cleaner: CleanerConfig::default(),
            offsets_retention: None,
            transactional_id_expiration: None,
            settles_transactions: true,
            purpose: Purpose::Use,
            beside: None,
        };
        BrokerBuilder { config }
    }

    /// When a send of a topic without a durability of its own returns. Default: [`Durability::Always`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// The configuration of topics that [`Broker::topic`] creates. Default: [`TopicConfig::new`].
    pub fn topic_defaults(mut self, config: TopicConfig) -> Self {
        self.config.topic_defaults = config;
        self
    }

    /// Whether threads of the broker do the maintenance and write full batches to segments, with another one for compaction once there
    /// is some. Default: true. Without them, sends write to segments themselves; call [`Broker::run_maintenance`] at least as often as
    /// the shortest [`Durability::Interval`]; and a task that awaits a [durable send](crate::Producer::send_async) holds its thread
    /// meanwhile.
    pub fn background(mut self, background: bool) -> Self {
        self.config.background = background;
        self
    }

    /// How many segment files are kept open at a time. Default: 128; from 8. Partitions may be many more.
    #[doc(alias = "max.open.files")]
    pub fn max_open_files(mut self, files: u32) -> Self {
        self.config.max_open_files = files;
        self
    }

    /// Bound in bytes of each of the two [tail files](crate::guide::concepts), which hold the newest records until they go into
    /// segments: a partition that is being written to takes 4 KiB, a busy one 64 KiB. Default: 64 MiB; from 1 MiB to 448 MiB.
    pub fn tail_bytes(mut self, bytes: u64) -> Self {
        self.config.tail_bytes = bytes;
        self
    }

    /// How segments are read. Default: [`ReadMode::Map`].
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.config.read_mode = mode;
        self
    }

    /// About how many bytes of memory the keys of one pass of compaction may take. More keys than fit take several passes. Default:
    /// 128 MiB, as Kafka's; from 4 KiB to 1 TiB.
    #[doc(alias = "log.cleaner.dedupe.buffer.size")]
    pub fn cleaner_dedupe_buffer_bytes(mut self, bytes: u64) -> Self {
        self.config.cleaner.key_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
        self
    }

    /// How many bytes compaction may read and write a second, in all topics together. Default: as many as the disk allows; at
    /// least 1.
    #[doc(alias = "log.cleaner.io.max.bytes.per.second")]
    pub fn cleaner_io_bytes_per_second(mut self, bytes: u64) -> Self {
        self.config.cleaner.io_bytes_per_second = Some(bytes);
        self
    }

    /// What the whole data directory may take on the disk, in bytes, and what happens then. It counts what the file system has given to
    /// all files below it: segments and their indexes, the tails, what was quarantined, internal topics, and what compaction writes.
    /// It is exceeded by no more than one segment's size, which is that of the largest [`segment_bytes`](TopicConfig::segment_bytes)
    /// of any topic. Default: no bound. It is given anew at each opening.
    ///
    /// A sixteenth of it, from 1 MiB to 64 MiB, is kept for internal topics and bookkeeping: commits, and deleting records and topics,
    /// work also when sends are refused. Beside that there must be room for both tails (twice [`tail_bytes`](Self::tail_bytes)) and one
    /// segment of each topic's size: a budget below that is refused with [`Error::InvalidConfig`], here or when a topic is created or
    /// altered, and nothing was changed then.
    ///
    /// [`Admin::disk_usage`](crate::Admin::disk_usage) tells how much is taken. As text: `ottla.disk.budget.bytes` and
    /// `ottla.disk.budget.policy`, which is `reject` unless it is set.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, BudgetPolicy, TopicConfig};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = Broker::builder(dir.path())
    ///     .tail_bytes(4 << 20)
    ///     .disk_budget(100 << 20, BudgetPolicy::DropOldest)
    ///     .topic_defaults(TopicConfig::new().segment_bytes(4 << 20))
    ///     .open()?;
    /// broker.topic("log")?.produce("k", "v")?;
    /// let usage = broker.admin().disk_usage()?;
    /// assert!(usage.used_bytes() < usage.budget_bytes().unwrap());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "ottla.disk.budget.bytes")]
    #[doc(alias = "ottla.disk.budget.policy")]
    pub fn disk_budget(mut self, bytes: u64, policy: BudgetPolicy) -> Self {
        self.config.budget = BudgetSettings { bytes: Some(bytes), policy: Some(policy) };
        self
    }

    /// How long the offsets of a group are kept that nobody uses. Default: for ever (Kafka's: 7 days); by text in whole minutes, at
    /// least 1.
    ///
    /// The time is counted while the directory is open and the group has no member: from its last commit, or from when its last
    /// member has left, or from the opening, whichever is later. Then all that the group has committed goes, and the group with it, at
    /// the latest when a 60th of the time more has passed. A static member counts as one for its
    /// [`session_timeout`](crate::ConsumerConfig::session_timeout) after it has gone. A consumer that was
    /// [assigned](crate::Consumer::assign) its partitions is no member: it keeps its offsets by committing.
    ///
    /// Give it more than the longest time for which you stop a consumer. Whoever comes later begins by the
    /// [reset policy](crate::OffsetReset), as a new group does.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let a_month = Duration::from_secs(30 * 24 * 3600);
    /// let broker = ottla::Broker::builder(dir.path()).offsets_retention(a_month).open()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "offsets.retention.minutes")]
    pub fn offsets_retention(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.config.offsets_retention = time.into();
        self
    }

    /// How long the name of a [transactional producer](crate::TransactionalProducer) is kept that nobody uses, with its
    /// [checkpoint](crate::TransactionalProducer::checkpoint). Default: for ever (Kafka's: 7 days); by text in milliseconds.
    ///
    /// The time is counted while the directory is open: from when the last producer of the name was dropped, or from the opening. A name
    /// goes at the latest when a 60th of the time more has passed. Whoever opens it later begins as with a new one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let a_month = Duration::from_secs(30 * 24 * 3600);
    /// let broker = ottla::Broker::builder(dir.path()).transactional_id_expiration(a_month).open()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "transactional.id.expiration.ms")]
    pub fn transactional_id_expiration(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.config.transactional_id_expiration = time.into();
        self
    }

    /// What opening may do about what a crash or a medium left. Default: [`RecoveryMode::TolerateTail`].
    pub fn recovery_mode(mut self, mode: RecoveryMode) -> Self {
        self.config.recovery_mode = mode;
        self
    }

    /// Who may read the files and directories that the broker makes, on Unix. Default: [`FileMode::Private`], the user that the
    /// process runs as.
    #[doc(alias = "ottla.file.mode")]
    pub fn file_mode(mut self, mode: FileMode) -> Self {
        self.config.disk = Arc::clone(&self.config.disk).with_file_mode(mode);
        self
    }

    /// Whether the directory is made if it is absent, and a log begun in it if there is none. With `false`, opening a directory
    /// without a log is [`Error::NotADataDirectory`]: for programs that expect one, and are not to begin anew where a path is
    /// misspelt or a disk is not mounted. Default: true.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Error};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let dir = dir.path().join("data");
    /// let refused = Broker::builder(&dir).create(false).open();
    /// assert!(matches!(refused, Err(Error::NotADataDirectory { .. })));
    /// Broker::open(&dir)?.close()?;
    /// let broker = Broker::builder(&dir).create(false).open()?;
    /// # Ok::<_, Error>(())
    /// ```
    #[doc(alias = "ottla.create")]
    #[doc(alias = "create_if_missing")]
    pub fn create(mut self, create: bool) -> Self {
        self.config.new_log.is_allowed = create;
        self
    }

    /// Whether a log may be begun in a directory that has files of others in it. Without, opening such a directory for the first
    /// time returns [`Error::OtherFiles`]: it may have been given by mistake, and the files of a log are many. Names that begin with
    /// a dot, and `lost+found`, do not count; nor does what comes once there is a log. Default: false.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Error};
    /// # let dir = tempfile::tempdir().unwrap();
    /// std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    /// assert!(matches!(Broker::open(dir.path()), Err(Error::OtherFiles { .. })));
    /// let broker = Broker::builder(dir.path()).allow_other_files(true).open()?;
    /// # Ok::<_, Error>(())
    /// ```
    #[doc(alias = "ottla.allow.other.files")]
    pub fn allow_other_files(mut self, allow: bool) -> Self {
        self.config.new_log.among_other_files = allow;
        self
    }

    /// Has something be kept beside the broker.
    pub(crate) fn beside(mut self, opens: Arc<dyn OpensBeside>) -> Self {
        self.config.beside = Some(opens);
        self
    }

    /// Ends no transaction at opening, to test what the logs themselves make of one.
    #[cfg(test)]
    pub(crate) fn leave_transactions_open(mut self) -> Self {
        self.config.settles_transactions = false;
        self
    }

    /// Opens a copy that is about to be finished, to put it in order.
    pub(crate) fn of_copy(disk: Arc<dyn Disk>, dir: &Path) -> BrokerBuilder {
        let mut builder = BrokerBuilder::new(dir).background(false).tail_bytes(*TAIL_BYTES_BOUNDS.start());
        builder.config.disk = disk;
        builder.config.purpose = Purpose::FinishCopy;
        builder
    }

    /// Keeps the data directory on a simulated disk, to test what crashes leave.
    #[cfg(any(test, feature = "testing"))]
    pub fn disk(mut self, disk: &crate::disk::simulated::SimulatedDisk) -> Self {
        self.config.disk = Arc::new(disk.clone());
        self
    }

    /// Without a background thread, full batches wait all the same, until [`run_maintenance`](Broker::run_maintenance) is called or they
    /// are many: to test what there is while a thread seals them beside the senders.
    #[cfg(any(test, feature = "testing"))]
    pub fn leaves_full_batches(mut self) -> Self {
        self.config.leaves_full_batches = true;
        self
    }

    /// Takes a setting as text: one of these, or a topic default by one of the keys of [`TopicConfig`], such as `retention.ms`.
    ///
    /// | key | default | method |
    /// |---|---|---|
    /// | `ottla.durability` | `always` | [`durability`](BrokerBuilder::durability) |
    /// | `ottla.background` | `true` | [`background`](BrokerBuilder::background) |
    /// | `ottla.max.open.files` | 128 | [`max_open_files`](BrokerBuilder::max_open_files) |
    /// | `ottla.tail.bytes` | 67108864 | [`tail_bytes`](BrokerBuilder::tail_bytes) |
    /// | `ottla.read.mode` | `map` | [`read_mode`](BrokerBuilder::read_mode) |
    /// | `ottla.disk.budget.bytes` | no bound | [`disk_budget`](BrokerBuilder::disk_budget) |
    /// | `ottla.disk.budget.policy` | `reject` | [`disk_budget`](BrokerBuilder::disk_budget) |
    /// | `ottla.file.mode` | `private` | [`file_mode`](BrokerBuilder::file_mode) |
    /// | `ottla.create` | `true` | [`create`](BrokerBuilder::create) |
    /// | `ottla.allow.other.files` | `false` | [`allow_other_files`](BrokerBuilder::allow_other_files) |
    /// | `ottla.recovery.mode` | `tolerate-tail` | [`recovery_mode`](BrokerBuilder::recovery_mode) |
    /// | `log.cleaner.dedupe.buffer.size` | 134217728 | [`cleaner_dedupe_buffer_bytes`](BrokerBuilder::cleaner_dedupe_buffer_bytes) |
    /// | `offsets.retention.minutes` | for ever | [`offsets_retention`](BrokerBuilder::offsets_retention) |
    /// | `transactional.id.expiration.ms` | for ever | [`transactional_id_expiration`](BrokerBuilder::transactional_id_expiration) |
    /// | `log.cleaner.io.max.bytes.per.second` | no limit | [`cleaner_io_bytes_per_second`](BrokerBuilder::cleaner_io_bytes_per_second) |
    ///
    /// # Errors
    /// [`Error::UnknownConfig`] with the nearest known name, [`Error::InvalidConfig`].
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let builder = ottla::Broker::builder(dir.path()).set("segment.bytes", "1048576")?;
    /// let error = builder.set("ottla.tail.byte", "1048576").unwrap_err();
    /// assert_eq!(error.to_string(), r#"unknown configuration "ottla.tail.byte": did you mean "ottla.tail.bytes"?"#);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        match key {
            BACKGROUND => self.config.background = parse_bool(BACKGROUND, value)?,
            MAX_OPEN_FILES => self.config.max_open_files = parse_number(MAX_OPEN_FILES, value)?,
            TAIL_BYTES => self.config.tail_bytes = parse_number(TAIL_BYTES, value)?,
            FILE_MODE => self = self.file_mode(parse_file_mode(value)?),
            CREATE => self.config.new_log.is_allowed = parse_bool(CREATE, value)?,
            ALLOW_OTHER_FILES => self.config.new_log.among_other_files = parse_bool(ALLOW_OTHER_FILES, value)?,
            READ_MODE => self.config.read_mode = parse_read_mode(value)?,
            BUDGET_BYTES => self.config.budget.bytes = Some(parse_number(BUDGET_BYTES, value)?),
            BUDGET_POLICY => self.config.budget.policy = Some(BudgetPolicy::parse(value)?),
            CLEANER_BUFFER => self = self.cleaner_dedupe_buffer_bytes(parse_number(CLEANER_BUFFER, value)?),
            CLEANER_IO => self = self.cleaner_io_bytes_per_second(parse_number(CLEANER_IO, value)?),
            OFFSETS_RETENTION => {
                let minutes: u32 = parse_number(OFFSETS_RETENTION, value)?;
                self.config.offsets_retention = Some(Duration::from_secs(60 * u64::from(minutes)));
            }
            ID_EXPIRATION => {
                self.config.transactional_id_expiration = Some(parse_duration_ms(ID_EXPIRATION, value)?);
            }
            RECOVERY_MODE => self.config.recovery_mode = RecoveryMode::parse(value)?,
            DURABILITY => self.config.durability = Durability::parse(value)?,
            _ if config::KEYS.contains(&key) => {
                self.config.topic_defaults = self.config.topic_defaults.set(key, value)?;
            }
            _ => return Err(unknown(key, &[&KEYS[..], &config::KEYS[..]].concat())),
        }
        Ok(self)
    }

    /// Opens the broker, and recovers what a crash left. The directory is created if it is absent, and those above it, unless
    /// [`create`](BrokerBuilder::create) says otherwise.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`Error::OtherFiles`], [`Error::NotADataDirectory`], [`Error::InsideDataDirectory`],
    /// [`Error::UnsupportedVersion`], [`Error::InvalidConfig`], [`Error::Corrupt`] if the catalog is lost (or,
    /// [`Strict`](RecoveryMode::Strict), anything else), [`Error::Io`], [`Error::DiskFull`].
    pub fn open(self) -> Result<Broker> {
        check_range(MAX_OPEN_FILES, self.config.max_open_files, MAX_OPEN_FILES_BOUNDS)?;
        check_range(TAIL_BYTES, self.config.tail_bytes, TAIL_BYTES_BOUNDS)?;
        check_range(CLEANER_BUFFER, self.config.cleaner.key_bytes_max, CLEANER_BUFFER_BOUNDS)?;
        check_range(CLEANER_IO, self.config.cleaner.io_bytes_per_second.unwrap_or(u64::MAX), 1..=u64::MAX)?;
        self.config.check_budget()?;
        if self.config.offsets_retention == Some(Duration::ZERO) {
            return Err(invalid(
                OFFSETS_RETENTION,
                0,
                "must be more than nothing; leave it out to keep offsets for ever",
            ));
        }
        let expiration = self.config.transactional_id_expiration;
        expiration.map_or(Ok(()), |expiration| check_duration_ms(ID_EXPIRATION, expiration))?;
        self.config.durability.validate()?;
        self.config.topic_defaults.validate()?;
        let begun = Stopwatch::begin(|| self.config.disk.monotonic());
        let store = match self.config.recovery_mode {
            RecoveryMode::ReadOnly => opening::open_read_only(self.config)?,
            _ => opening::open(self.config)?,
        };
        store.open_beside()?;
        store.tell_opened(begun);
        Ok(Broker { store: Arc::new(store) })
    }

    /// What [`open`](BrokerBuilder::open) would find, and what it would do about it, without doing it: the report is the one that opening
    /// would make now. Nothing in the directory is changed.
    ///
    /// The directory is opened as ever, over a disk that keeps in memory what is written to it; that is forgotten afterwards. So it takes
    /// as long as opening does, and memory for what opening would write: what the tails hold, and copies of what is cut, of which 64 MiB are
    /// kept for a partition. A disk that is full is not noticed. The directory's lock is held meanwhile.
    ///
    /// # Errors
    /// Those of [`open`](BrokerBuilder::open), among them [`Error::AlreadyOpen`] if a process has the directory open for writing, and
    /// [`Error::NotADataDirectory`] if there is none: it is not made.
    ///
    /// # Examples
    /// ```
    /// use ottla::Broker;
    /// # let dir = tempfile::tempdir().unwrap();
    /// Broker::open(dir.path())?.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let report = Broker::builder(dir.path()).preview_recovery()?;
    /// assert!(report.is_clean(), "{report}");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn preview_recovery(mut self) -> Result<RecoveryReport> {
        let disk = Arc::clone(&self.config.disk);
        self.config.disk = Arc::new(OverlayDisk::new(Arc::clone(&disk)));
        self.config.background = false;
        self.config.beside = None;
        self.config.read_mode = ReadMode::Copy;
        self.config.new_log = NewLog { is_allowed: false, among_other_files: false };
        let broker = self.open()?;
        let mut report = broker.recovery_report().clone();
        // How the disk overwrites is known of any file there.
        let catalog = disk.open(&broker.dir().join(catalog::FILE_NAME), Open::Read);
        report.writes_tail_by_calls = catalog.is_ok_and(|file| !file.overwrites_in_place());
        Ok(report)
    }
}

fn parse_file_mode(value: &str) -> Result<FileMode, Error> {
    match value.trim() {
        "private" => Ok(FileMode::Private),
        "umask" => Ok(FileMode::Umask),
        _ => Err(invalid(FILE_MODE, value, "expected private or umask")),
    }
}

fn parse_read_mode(value: &str) -> Result<ReadMode, Error> {
    match value.trim() {
        "map" => Ok(ReadMode::Map),
        "copy" => Ok(ReadMode::Copy),
        _ => Err(invalid(READ_MODE, value, "expected map or copy")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_key_and_each_is_known() {
        let rows =
            include_str!("builder.rs").lines().filter_map(|line| line.strip_prefix("    /// | `")?.split('`').next());
        let (mut documented, mut known) = (rows.collect::<Vec<_>>(), [&KEYS[..], &[DURABILITY]].concat());
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(documented, known);
        for key in known {
            let refused = Broker::builder("data").set(key, "no value");
            assert!(matches!(refused, Err(Error::InvalidConfig { key: named, .. }) if named == key), "{key}");
        }
    }
}
