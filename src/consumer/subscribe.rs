//! What a consumer reads: topics, shared with its group, or partitions that it is given by hand.

use super::Consumer;
use super::subscription::Subscription;
use crate::error::Result;
use crate::topic_partition::TopicPartition;

impl Consumer {
    /// Reads these topics from now on, as a member of the group. Gives up the partitions that it read before.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), unless the consumer
    /// [waits for topics](crate::ConsumerConfig::wait_for_topics), and [`Error::InvalidTopic`](crate::Error::InvalidTopic) for a name
    /// that no topic can have: nothing was changed.
    /// [`Error::InconsistentAssignor`](crate::Error::InconsistentAssignor), [`Error::InvalidState`](crate::Error::InvalidState) in a listener, [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what
    /// giving up partitions returns.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # for topic in ["orders", "payments"] { broker.topic(topic)?; }
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// consumer.subscribe(["orders", "payments"])?;
    /// assert_eq!(consumer.assignment().len(), 2);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn subscribe<S: AsRef<str>>(&mut self, topics: impl IntoIterator<Item = S>) -> Result<()> {
        let topics = topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect();
        self.change_subscription(Subscription { topics, pattern: None })
    }

    /// Reads all topics with a name of this form from now on; see
    /// [`topic_pattern`](crate::ConsumerConfig::topic_pattern).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for other characters than a pattern has; as [`subscribe`](Consumer::subscribe).
    ///
    /// # Examples
    /// ```
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// # for topic in ["orders-eu", "orders-us", "payments"] { broker.topic(topic)?; }
    /// let mut consumer = broker.consumer_with(ConsumerConfig::new("audit"))?;
    /// consumer.subscribe_pattern("orders-*")?;
    /// assert_eq!(consumer.assignment().len(), 2);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn subscribe_pattern(&mut self, pattern: impl Into<String>) -> Result<()> {
        self.change_subscription(Subscription { topics: Vec::new(), pattern: Some(pattern.into()) })
    }

    /// Leaves the group, and reads nothing from now on.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) in a listener, [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what giving up partitions returns, after
    /// they were given up.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// consumer.unsubscribe()?;
    /// assert!(consumer.assignment().is_empty());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn unsubscribe(&mut self) -> Result<()> {
        self.change_subscription(Subscription::default())
    }

    fn change_subscription(&mut self, subscription: Subscription) -> Result<()> {
        self.check_outside_listener()?;
        self.check_usable()?;
        self.store.check_open()?;
        self.check_topics(&subscription)?;
        if !subscription.is_empty() {
            self.membership.check_can_join()?;
        }
        self.check_not_replaced()?;
        self.was_put_out |= self.membership.removal().is_some();
        let given_up = self.give_up_everything();
        self.config.subscription = subscription;
        self.begin_subscription()?;
        given_up
    }

    /// Checks that all topics of `subscription` are there, or may be waited for.
    pub(super) fn check_topics(&self, subscription: &Subscription) -> Result<()> {
        subscription.validate()?;
        if self.config.wait_for_topics { Ok(()) } else { subscription.check_present(&*self.store.topics()?) }
    }

    /// Joins the group, if there is something to subscribe to, and takes what can be had at once.
    pub(super) fn begin_subscription(&mut self) -> Result<()> {
        if !self.subscribes() {
            return Ok(());
        }
        self.seen_topics_version = Some(self.store.topics_version());
        self.join()?;
        // What goes wrong comes again in the next poll, which returns it.
        let _ = self.take_steps();
        Ok(())
    }

    /// Reads exactly these partitions from now on, without being a member of the group. Gives up all others that it read before.
    /// Their offsets can be committed as long as the group has no members. If the broker is open read-only, partitions that are
    /// new begin at what the group has committed by now.
    ///
    /// Partitions that a topic gets later are not read, as in Kafka: compare with [`Topic::partition_count`](crate::Topic::partition_count)
    /// now and then, and assign again. Positions in partitions that stay are kept. A consumer that [subscribes](Consumer::subscribe)
    /// takes new partitions by itself.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::UnknownPartition`](crate::Error::UnknownPartition): nothing was changed. [`Error::InvalidState`](crate::Error::InvalidState) in a listener,
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what giving up partitions returns;
    /// read-only also [`Error::Corrupt`](crate::Error::Corrupt) if the committed offsets cannot be read.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{ConsumerConfig, TopicPartition};
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut reader = broker.consumer_with(ConsumerConfig::new("audit"))?;
    /// reader.assign(&[TopicPartition::new("orders", 0)])?;
    /// assert_eq!(reader.poll(Duration::from_secs(1))?.len(), 1);
    ///
    /// // All partitions that a topic has now.
    /// let orders = broker.existing_topic("orders")?;
    /// let all: Vec<_> = orders.partitions().map(|partition| partition.topic_partition().clone()).collect();
    /// reader.assign(&all)?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_outside_listener()?;
        self.check_usable()?;
        let logs = partitions.iter().map(|partition| self.store.source(partition)).collect::<Result<Vec<_>>>()?;
        self.check_not_replaced()?;
        if self.store.is_read_only() {
            self.membership.note_committed(self.store.committed_of(self.membership.group())?);
        }
        let given_up = if self.subscribes() { self.give_up_everything() } else { Ok(()) };
        self.config.subscription = Subscription::default();
        self.positions.set(logs);
        self.share_positions();
        given_up
    }

    /// Gives up all partitions and leaves the group.
    pub(super) fn give_up_everything(&mut self) -> Result<()> {
        let mut partitions = self.assignment();
        partitions.extend(self.told.iter().filter(|partition| self.positions.get(partition).is_none()).cloned());
        // They are not released one by one: with the membership they go to others, but for those of a static member.
        let given_up = if partitions.is_empty() { Ok(()) } else { self.put_down(&partitions) };
        self.membership.leave(self.store.monotonic());
        self.group_due = None;
        given_up
    }
}
