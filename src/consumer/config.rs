//! How a consumer reads.

use std::sync::Arc;
use std::time::Duration;

use super::listener::{Listener, RebalanceListener};
use super::reset::{OffsetReset, PositionReset, PositionResetHook, TruncationReset};
use super::subscription::Subscription;
use crate::config_key::{
    check_duration_ms, check_range, invalid, parse_bool, parse_duration_ms, parse_number, unknown,
};
use crate::error::Result;
use crate::group::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor};
use crate::group::late_poll::{LatePoll, LatePollHook};
use crate::partition::isolation::Isolation;

const GROUP_ID: &str = "group.id";
const CLIENT_ID: &str = "client.id";
const GROUP_INSTANCE_ID: &str = "group.instance.id";
const SESSION_TIMEOUT: &str = "session.timeout.ms";
const MAX_POLL_INTERVAL: &str = "max.poll.interval.ms";
const ASSIGNOR: &str = "partition.assignment.strategy";
const AUTO_OFFSET_RESET: &str = "auto.offset.reset";
const AUTO_COMMIT: &str = "enable.auto.commit";
const AUTO_COMMIT_INTERVAL: &str = "auto.commit.interval.ms";
const MAX_POLL_RECORDS: &str = "max.poll.records";
const FETCH_MAX_BYTES: &str = "fetch.max.bytes";
const ISOLATION: &str = "isolation.level";
const SPIN: &str = "ottla.spin.us";
const WAIT_FOR_TOPICS: &str = "ottla.wait.for.topics";

const KEYS: [&str; 14] = [
    GROUP_ID,
    CLIENT_ID,
    GROUP_INSTANCE_ID,
    SESSION_TIMEOUT,
    MAX_POLL_INTERVAL,
    ASSIGNOR,
    AUTO_OFFSET_RESET,
    AUTO_COMMIT,
    AUTO_COMMIT_INTERVAL,
    MAX_POLL_RECORDS,
    FETCH_MAX_BYTES,
    ISOLATION,
    SPIN,
    WAIT_FOR_TOPICS,
];

/// The length of a group's name must fit Kafka's field for it.
const GROUP_BYTES_MAX: usize = 32_767;
/// Those of members are kept short, since they are written down with every rebalance.
const MEMBER_BYTES_MAX: usize = 255;

/// Kafka's default for `auto.commit.interval.ms`.
const AUTO_COMMIT_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// The settings of a consumer.
///
/// **Nothing is committed unless you say so**, by [`commit`](crate::Consumer::commit) or
/// [`auto_commit_interval`](ConsumerConfig::auto_commit_interval). In Kafka auto-commit is on by default; a program that relied on
/// it begins here at the first record again, at each start.
///
/// As text, for [`set`](ConsumerConfig::set):
///
/// | key | default | method |
/// |---|---|---|
/// | `group.id` | | [`new`](ConsumerConfig::new) |
/// | `client.id` | `consumer` | [`client_id`](ConsumerConfig::client_id) |
/// | `group.instance.id` | none | [`group_instance_id`](ConsumerConfig::group_instance_id) |
/// | `session.timeout.ms` | 45000 | [`session_timeout`](ConsumerConfig::session_timeout) |
/// | `max.poll.interval.ms` | none | [`max_poll_interval`](ConsumerConfig::max_poll_interval) |
/// | `partition.assignment.strategy` | `cooperative-sticky` | [`assignor`](ConsumerConfig::assignor) |
/// | `auto.offset.reset` | `earliest` | [`offset_reset`](ConsumerConfig::offset_reset) |
/// | `enable.auto.commit` | `false` | [`auto_commit_interval`](ConsumerConfig::auto_commit_interval) |
/// | `auto.commit.interval.ms` | 5000 | the same; as text it only counts with `enable.auto.commit` |
/// | `max.poll.records` | 500 | [`max_poll_records`](ConsumerConfig::max_poll_records) |
/// | `fetch.max.bytes` | 1048576 | [`fetch_max_bytes`](ConsumerConfig::fetch_max_bytes) |
/// | `isolation.level` | `read_committed` | [`isolation`](ConsumerConfig::isolation) |
/// | `ottla.spin.us` | 0 | [`spin`](ConsumerConfig::spin) |
/// | `ottla.wait.for.topics` | `false` | [`wait_for_topics`](ConsumerConfig::wait_for_topics) |
///
/// # Examples
/// ```
/// use ottla::{ConsumerConfig, OffsetReset};
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// let config = ConsumerConfig::new("billing").topics(["orders"]).offset_reset(OffsetReset::Latest).max_poll_records(100);
/// let consumer = broker.consumer_with(config)?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerConfig {
    pub(super) group: String,
    pub(super) subscription: Subscription,
    pub(super) wait_for_topics: bool,
    pub(super) client_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) session_timeout: Duration,
    pub(super) max_poll_interval: Option<Duration>,
    pub(super) late_poll_hook: Option<LatePollHook>,
    pub(super) position_reset_hook: Option<PositionResetHook>,
    pub(super) assignor: Arc<dyn Assignor>,
    pub(super) listener: Option<Listener>,
    pub(super) offset_reset: OffsetReset,
    pub(super) truncation_reset: TruncationReset,
    /// Whether to commit without being asked, and how often.
    pub(super) auto_commit: bool,
    pub(super) auto_commit_interval: Duration,
    pub(super) max_poll_records: u32,
    pub(super) fetch_max_bytes: u32,
    pub(super) isolation: Isolation,
    pub(super) spin: Duration,
}

impl ConsumerConfig {
    /// The default settings, for a member of `group`, a name of 1 to 32,767 bytes.
    #[doc(alias = "group.id")]
    pub fn new(group: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig {
            group: group.into(),
            subscription: Subscription::default(),
            wait_for_topics: false,
            client_id: "consumer".to_owned(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            max_poll_interval: None,
            late_poll_hook: None,
            position_reset_hook: None,
            assignor: Arc::new(CooperativeStickyAssignor),
            listener: None,
            offset_reset: OffsetReset::Earliest,
            truncation_reset: TruncationReset::Error,
            auto_commit: false,
            auto_commit_interval: AUTO_COMMIT_INTERVAL_DEFAULT,
            max_poll_records: 500,
            fetch_max_bytes: 1 << 20,
            isolation: Isolation::ReadCommitted,
            spin: Duration::ZERO,
        }
    }

    /// The topics whose partitions the group divides among its members. They have to be there, unless the consumer
    /// [waits for them](ConsumerConfig::wait_for_topics). Default: none; call [`Consumer::assign`](crate::Consumer::assign) then.
    ///
    /// # Examples
    /// ```
    /// use ottla::ConsumerConfig;
    /// let names: Vec<String> = ["orders", "payments"].map(String::from).to_vec();
    /// let by_value = ConsumerConfig::new("billing").topics(["orders", "payments"]);
    /// let by_reference = ConsumerConfig::new("billing").topics(&["orders", "payments"]);
    /// let from_a_list = ConsumerConfig::new("billing").topics(&names);
    /// ```
    pub fn topics<S: AsRef<str>>(mut self, topics: impl IntoIterator<Item = S>) -> Self {
        self.subscription.topics = topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect();
        self
    }

    /// Whether the consumer waits for topics that do not exist yet, and reads them once somebody creates them. Otherwise making the
    /// consumer, or [subscribing](crate::Consumer::subscribe), returns [`Error::UnknownTopic`](crate::Error::UnknownTopic): most often the
    /// name is misspelt. If a topic is deleted later and one of the same name is created, that one is read, with or without this.
    /// Default: false.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = ConsumerConfig::new("billing").topics(["orders"]).wait_for_topics(true);
    /// let mut consumer = broker.consumer_with(config)?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "ottla.wait.for.topics")]
    pub fn wait_for_topics(mut self, wait: bool) -> Self {
        self.wait_for_topics = wait;
        self
    }

    /// Reads all topics with a name of this form, too, also those that come later: `*` stands for any run of characters, `?`
    /// for any one. Internal topics never match. Default: none.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// let mut consumer = broker.consumer_with(ConsumerConfig::new("audit").topic_pattern("orders-*"))?;
    /// broker.topic("orders-eu")?.produce("customer-1", "2 coffees")?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn topic_pattern(mut self, pattern: impl Into<String>) -> Self {
        self.subscription.pattern = Some(pattern.into());
        self
    }

    /// A name for the consumer. Its member id begins with it, so that people recognize it in
    /// [`Admin::describe_group`](crate::Admin::describe_group). Consumers may share a name. Default: `consumer`; 1 to 255 bytes.
    #[doc(alias = "client.id")]
    pub fn client_id(mut self, name: impl Into<String>) -> Self {
        self.client_id = name.into();
        self
    }

    /// Makes the consumer a static member with this name. When it goes, the group keeps its partitions for
    /// [`session_timeout`](ConsumerConfig::session_timeout), also across a restart of the process. A consumer of the same name
    /// that comes in that time gets them without a rebalance. If two consumers have one name, the newer one takes the place,
    /// and the older one gets [`Error::Fenced`](crate::Error::Fenced). Default: none; 1 to 255 bytes.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ConsumerConfig;
    /// // After a restart within a minute, it has its partitions again, and the other members never heard of it.
    /// let config = ConsumerConfig::new("billing").topics(["orders"]);
    /// let config = config.group_instance_id("billing-1").session_timeout(Duration::from_secs(60));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "group.instance.id")]
    pub fn group_instance_id(mut self, name: impl Into<String>) -> Self {
        self.instance_id = Some(name.into());
        self
    }

    /// How long the group keeps the place of a static member whose consumer is gone. Default: 45 seconds; whole milliseconds,
    /// at least one. Without a [`group_instance_id`](ConsumerConfig::group_instance_id) it has no effect: a consumer is a member
    /// until it is dropped.
    #[doc(alias = "session.timeout.ms")]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// The longest time between two polls. A consumer that takes longer is put out of its group, and its partitions go to other
    /// members. Its next poll returns [`Error::PollTooLate`](crate::Error::PollTooLate), and the one after that joins again. When
    /// half of the time has passed, the group reports it first: to [`on_late_poll`](ConsumerConfig::on_late_poll), and in
    /// [`Admin::describe_group`](crate::Admin::describe_group).
    ///
    /// A record that [`next_record`](crate::Consumer::next_record) or [`iter`](crate::Consumer::iter) returns counts as a poll.
    /// The polls of the other members watch the time, and so does `describe_group`. Default: no limit (Kafka's: 5 minutes);
    /// whole milliseconds, at least one.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ConsumerConfig;
    /// let config = ConsumerConfig::new("billing")
    ///     .topics(["orders"])
    ///     .max_poll_interval(Duration::from_secs(300))
    ///     .on_late_poll(|late| eprintln!("{} has not polled for {:?}", late.member_id(), late.idle()));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "max.poll.interval.ms")]
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = Some(interval);
        self
    }

    /// Calls `hook` when this consumer has not polled for half of its
    /// [`max_poll_interval`](ConsumerConfig::max_poll_interval), once until it polls again. The thread that notices makes the
    /// call, with no lock held. Default: none.
    pub fn on_late_poll(mut self, hook: impl Fn(&LatePoll) + Send + Sync + 'static) -> Self {
        self.late_poll_hook = Some(LatePollHook(Arc::new(hook)));
        self
    }

    /// How the group divides the partitions; all members must use the same. Default: [`CooperativeStickyAssignor`], with which
    /// a rebalance moves as few partitions as possible and stops nobody who keeps theirs (Kafka's: range).
    ///
    /// # Examples
    /// ```
    /// use ottla::{ConsumerConfig, RangeAssignor};
    /// let config = ConsumerConfig::new("billing").topics(["orders"]).assignor(RangeAssignor);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "partition.assignment.strategy")]
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.assignor = Arc::new(assignor);
        self
    }

    /// Who is told which partitions come and go: a [`RebalanceListener`], where the example is, or a closure. Default: none.
    pub fn rebalance_listener(mut self, listener: impl RebalanceListener + 'static) -> Self {
        self.listener = Some(Listener(Arc::new(listener)));
        self
    }

    /// Where to begin if the group has no committed offset, or one that is not in the log. Default: [`OffsetReset::Earliest`]
    /// (Kafka's: latest).
    #[doc(alias = "auto.offset.reset")]
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// Calls `hook` when the [reset policy](ConsumerConfig::offset_reset) chose a new position since the old one was no longer in the
    /// log, with the offsets that were passed over: each time once, within the poll that goes on there, on its thread, and with no
    /// lock held. Whatever the hook does, the poll goes on. Default: none.
    ///
    /// # Examples
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    /// use ottla::{ConsumerConfig, SeekTo, TopicPartition};
    /// # let broker = ottla::Broker::temporary()?;
    /// # let orders = broker.topic("orders")?;
    /// # for n in 0..10 { orders.produce("customer-1", n.to_string())?; }
    /// let missed = Arc::new(Mutex::new(Vec::new()));
    /// let config = ConsumerConfig::new("billing").topics(["orders"]).on_position_reset({
    ///     let missed = Arc::clone(&missed);
    ///     move |reset| missed.lock().unwrap().push(reset.passed_over())
    /// });
    /// let mut consumer = broker.consumer_with(config)?;
    /// consumer.seek(&TopicPartition::new("orders", 0), SeekTo::Offset(2))?;
    /// broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 6)])?;
    /// assert_eq!(consumer.poll(Duration::ZERO)?.len(), 4);
    /// assert_eq!(*missed.lock().unwrap(), [2..6]);
    /// assert_eq!((consumer.reset_count(), consumer.passed_over_count()), (1, 4));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn on_position_reset(mut self, hook: impl Fn(&PositionReset) + Send + Sync + 'static) -> Self {
        self.position_reset_hook = Some(PositionResetHook(Arc::new(hook)));
        self
    }

    /// What to do if a power cut took records that the group had already read. Default: [`TruncationReset::Error`].
    pub fn truncation_reset(mut self, reset: TruncationReset) -> Self {
        self.truncation_reset = reset;
        self
    }

    /// Turns auto-commit on: everything that earlier calls have returned is committed in a poll once the interval has passed,
    /// whether or not there are new records, before partitions are given up, and on [`close`](crate::Consumer::close). A consumer
    /// that is dropped without `close` commits nothing more, since its last records may not have been dealt with.
    ///
    /// Default: off, and only [`commit`](crate::Consumer::commit) and its kin commit (Kafka's: every 5 seconds). Whole
    /// milliseconds, at least one. As text, `enable.auto.commit=true` turns it on with an interval of 5 seconds.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let config = ConsumerConfig::new("billing").topics(["orders"]).auto_commit_interval(Duration::from_secs(5));
    /// let mut consumer = broker.consumer_with(config)?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     println!("{}", record.value_str()?);
    /// }
    /// consumer.close()?; // Commits what was returned.
    /// # assert_eq!(broker.admin().describe_group("billing")?.total_lag(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "enable.auto.commit")]
    #[doc(alias = "auto.commit.interval.ms")]
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.auto_commit = true;
        self.auto_commit_interval = interval;
        self
    }

    /// The most records that one poll returns, and that are read ahead where they are returned one by one. Default: 500; from 1.
    #[doc(alias = "max.poll.records")]
    pub fn max_poll_records(mut self, records: u32) -> Self {
        self.max_poll_records = records;
        self
    }

    /// The most bytes of records that one poll returns; a single record is returned even if it is larger. Default: 1 MiB; from 1.
    #[doc(alias = "fetch.max.bytes")]
    pub fn fetch_max_bytes(mut self, bytes: u32) -> Self {
        self.fetch_max_bytes = bytes;
        self
    }

    /// What of transactions the consumer sees; see [`Isolation`]. Default:
    /// [`Isolation::ReadCommitted`] (Kafka's: read uncommitted).
    ///
    /// # Examples
    /// ```
    /// use ottla::{ConsumerConfig, Isolation};
    /// let config = ConsumerConfig::new("billing").isolation(Isolation::ReadUncommitted);
    /// let pasted = ConsumerConfig::new("billing").set("isolation.level", "read_uncommitted")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "isolation.level")]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// How long a poll that finds nothing looks again and again before its thread goes to sleep, within its timeout. A record
    /// that comes meanwhile is returned without waking a thread, which takes 5 to 40 microseconds. The price is a whole core for
    /// that long, each time, so use it only if the producers have a core of their own. Default: zero, which means never. As
    /// text: whole microseconds.
    #[doc(alias = "ottla.spin.us")]
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Takes a setting as text, by Kafka's property name; the [table above](ConsumerConfig) has all of them.
    ///
    /// # Errors
    /// [`Error::UnknownConfig`](crate::Error::UnknownConfig) with the nearest known name,
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig).
    ///
    /// # Examples
    /// ```
    /// let config = ottla::ConsumerConfig::new("billing").set("auto.offset.reset", "latest")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        match key {
            GROUP_ID => value.clone_into(&mut self.group),
            CLIENT_ID => value.clone_into(&mut self.client_id),
            GROUP_INSTANCE_ID => self.instance_id = Some(value.to_owned()),
            SESSION_TIMEOUT => self.session_timeout = parse_duration_ms(SESSION_TIMEOUT, value)?,
            MAX_POLL_INTERVAL => self.max_poll_interval = Some(parse_duration_ms(MAX_POLL_INTERVAL, value)?),
            ASSIGNOR => self.assignor = parse_assignor(value)?,
            AUTO_OFFSET_RESET => self.offset_reset = parse_reset(value)?,
            AUTO_COMMIT => self.auto_commit = parse_bool(AUTO_COMMIT, value)?,
            AUTO_COMMIT_INTERVAL => self.auto_commit_interval = parse_duration_ms(AUTO_COMMIT_INTERVAL, value)?,
            MAX_POLL_RECORDS => self.max_poll_records = parse_number(MAX_POLL_RECORDS, value)?,
            FETCH_MAX_BYTES => self.fetch_max_bytes = parse_number(FETCH_MAX_BYTES, value)?,
            ISOLATION => self.isolation = parse_isolation(value)?,
            WAIT_FOR_TOPICS => self.wait_for_topics = parse_bool(WAIT_FOR_TOPICS, value)?,
            SPIN => self.spin = Duration::from_micros(parse_number(SPIN, value)?),
            _ => return Err(unknown(key, &KEYS)),
        }
        Ok(self)
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_name(GROUP_ID, &self.group, GROUP_BYTES_MAX)?;
        check_name(CLIENT_ID, &self.client_id, MEMBER_BYTES_MAX)?;
        self.instance_id.iter().try_for_each(|name| check_name(GROUP_INSTANCE_ID, name, MEMBER_BYTES_MAX))?;
        self.subscription.validate()?;
        check_duration_ms(SESSION_TIMEOUT, self.session_timeout)?;
        self.max_poll_interval.iter().try_for_each(|interval| check_duration_ms(MAX_POLL_INTERVAL, *interval))?;
        check_duration_ms(AUTO_COMMIT_INTERVAL, self.auto_commit_interval)?;
        check_range(MAX_POLL_RECORDS, self.max_poll_records, 1..=u32::MAX)?;
        check_range(FETCH_MAX_BYTES, self.fetch_max_bytes, 1..=u32::MAX)
    }
}

fn check_name(key: &'static str, name: &str, bytes_max: usize) -> Result<()> {
    if (1..=bytes_max).contains(&name.len()) {
        return Ok(());
    }
    Err(invalid(key, format!("{} bytes", name.len()), format!("must have 1 to {bytes_max} bytes")))
}

fn parse_reset(value: &str) -> Result<OffsetReset> {
    match value.trim() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        "none" => Ok(OffsetReset::Error),
        _ => Err(invalid(AUTO_OFFSET_RESET, value, "expected earliest, latest or none")),
    }
}

fn parse_isolation(value: &str) -> Result<Isolation> {
    match value.trim() {
        "read_committed" => Ok(Isolation::ReadCommitted),
        "read_uncommitted" => Ok(Isolation::ReadUncommitted),
        _ => Err(invalid(ISOLATION, value, "expected read_committed or read_uncommitted")),
    }
}

/// By the assignor's name, or by that of its class in Kafka.
fn parse_assignor(value: &str) -> Result<Arc<dyn Assignor>> {
    match value.trim().trim_start_matches("org.apache.kafka.clients.consumer.") {
        "range" | "RangeAssignor" => Ok(Arc::new(RangeAssignor)),
        "roundrobin" | "RoundRobinAssignor" => Ok(Arc::new(RoundRobinAssignor)),
        "sticky" | "StickyAssignor" => Ok(Arc::new(StickyAssignor)),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Ok(Arc::new(CooperativeStickyAssignor)),
        _ => Err(invalid(ASSIGNOR, value, "expected range, roundrobin, sticky or cooperative-sticky")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_key() {
        let rows = include_str!("config.rs").lines().filter_map(|line| line.strip_prefix("/// | `")?.split('`').next());
        let (mut documented, mut known) = (rows.collect::<Vec<_>>(), KEYS.to_vec());
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(documented, known);
    }
}
