//! Looking at groups and changing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::admin::Admin;
use super::reset_offsets::ResetOffsets;
use super::store::Store;
use super::topic_registry::Topics;
use crate::error::{Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::group::description::GroupDescription;
use crate::group::{self, GroupCoordinator, OFFSETS_TOPIC};
use crate::topic_partition::TopicPartition;

impl Admin<'_> {
    /// The names of all groups that have members or committed offsets, in ascending order.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupt`] if the groups cannot be read.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(broker.admin().list_groups()?, ["billing"]);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn list_groups(&self) -> Result<Vec<String>> {
        if let Some(descriptions) = read_only_descriptions(&self.broker.store)? {
            return Ok(descriptions.into_keys().collect());
        }
        Ok(self.broker.store.coordinator_if_used()?.map(|coordinator| coordinator.names()).unwrap_or_default())
    }

    /// A group's members, what they own, and how far the group is in each partition. If the broker is open read-only, as the
    /// writing process has last recorded it: members at the end of a rebalance, offsets with every commit.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// topic.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let group = broker.admin().describe_group("billing")?;
    /// assert_eq!((group.members().len(), group.total_lag()), (1, 1));
    /// consumer.poll(Duration::from_secs(1))?;
    /// consumer.commit()?;
    /// assert_eq!(broker.admin().describe_group("billing")?.total_lag(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let store = &self.broker.store;
        let description = store.group_and_offsets(group)?;
        let topics = store.topics()?;
        Ok(with_partitions(description, &topics))
    }

    /// All groups, each as [`describe_group`](Admin::describe_group) has it, in ascending order of their names. What is recorded of
    /// them is read once, and not for each.
    ///
    /// # Errors
    /// As [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// for group in broker.admin().describe_groups()? {
    ///     println!("{} is {} records behind", group.name(), group.total_lag());
    /// }
    /// # assert_eq!(broker.admin().describe_groups()?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn describe_groups(&self) -> Result<Vec<GroupDescription>> {
        let store = &self.broker.store;
        let described: Vec<GroupDescription> = match read_only_descriptions(store)? {
            Some(descriptions) => descriptions.into_values().collect(),
            None => match store.coordinator_if_used()? {
                None => Vec::new(),
                Some(coordinator) => {
                    let describe = |name: &String| match coordinator.describe(name, store.monotonic()) {
                        // It was deleted since.
                        Err(Error::UnknownGroup { .. }) => None,
                        described => Some(described),
                    };
                    coordinator.names().iter().filter_map(describe).collect::<Result<_>>()?
                }
            },
        };
        let topics = store.topics()?;
        Ok(described.into_iter().map(|group| with_partitions(group, &topics)).collect())
    }

    /// Forgets a group that has no members: what it has committed, and that it was there.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::GroupNotEmpty`], [`Error::OffsetsPending`]; [`Error::ReadOnly`],
    /// [`Error::DiskFull`], [`Error::Poisoned`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert!(broker.admin().delete_group("billing").is_err(), "it has a member");
    /// consumer.close()?;
    /// # broker.admin().reset_offsets("billing").topic("orders").execute()?;
    /// broker.admin().delete_group("billing")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let store = &self.broker.store;
        coordinator(store, group)?.delete(group, store.monotonic())
    }

    /// Removes a static member from a group, so that its partitions go to others without waiting for its session timeout. If its
    /// consumer is at work, it loses them. Returns whether there was such a member.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; [`Error::ReadOnly`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let static_member = ConsumerConfig::new("billing").topics(["orders"]).group_instance_id("ann");
    /// drop(broker.consumer_with(static_member)?); // The group keeps its place for the session timeout.
    /// assert!(broker.admin().remove_group_instance("billing", "ann")?);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn remove_group_instance(&self, group: &str, group_instance_id: &str) -> Result<bool> {
        coordinator(&self.broker.store, group)?.remove_instance(group, group_instance_id, self.broker.store.monotonic())
    }

    /// Begins to reset committed offsets of a group: say in which partitions, and to what. A broker that is open read-only can
    /// [plan](ResetOffsets::plan) it.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # topic.produce("customer-1", "2 coffees")?;
    /// let admin = broker.admin();
    /// let reset = admin.reset_offsets("billing").topic("orders").to(ottla::ResetTo::Latest);
    /// let planned = reset.plan()?;
    /// assert_eq!((planned[0].before(), planned[0].after()), (None, 1));
    /// reset.execute()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn reset_offsets(&self, group: &str) -> ResetOffsets {
        ResetOffsets::new(Arc::clone(&self.broker.store), group)
    }
}

impl Store {
    /// A group, with everything that it has committed; how far it is in its partitions is not in it yet.
    pub(super) fn group_and_offsets(&self, group: &str) -> Result<GroupDescription> {
        match read_only_descriptions(self)? {
            Some(mut descriptions) => descriptions.remove(group).ok_or_else(|| group::unknown(group)),
            None => coordinator(self, group)?.describe(group, self.monotonic()),
        }
    }

    /// Everything that `group` has committed, as another process has written it down.
    pub(crate) fn committed_of(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        let description = read_only_descriptions(self)?.and_then(|mut descriptions| descriptions.remove(group));
        Ok(description.map(|description| description.offsets).unwrap_or_default())
    }

    /// What `group` has committed in a partition, if anything.
    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Result<Option<CommittedOffset>> {
        let topic_id = match self.topic(partition.topic()) {
            Ok(topic) => topic.topic_id,
            Err(Error::UnknownTopic { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !self.is_read_only() {
            let Some(coordinator) = self.coordinator_if_used()? else { return Ok(None) };
            return coordinator.check_group(group).map(|()| coordinator.committed(group, partition, topic_id));
        }
        let is_wanted = |(found_in, committed): &(TopicPartition, CommittedOffset)| {
            found_in == partition && committed.is_of(topic_id)
        };
        Ok(self.committed_of(group)?.into_iter().find(is_wanted).map(|(_, committed)| committed))
    }
}

/// The group with how far it is in each partition, and who owns that. What was committed was looked at before the `topics`.
fn with_partitions(mut group: GroupDescription, topics: &Topics) -> GroupDescription {
    let topic = |name: &str| topics.get(name).map(|topic| (topic.topic_id, topic.partition_count()));
    let bounds = |partition: &TopicPartition| {
        let found = topics.get(partition.topic())?.partitions.get(partition.partition())?;
        Some(found.source.stable_bounds())
    };
    group.add_partitions(topic, bounds);
    group
}

/// What another process has written down of all groups; `None` if it is this one that writes.
pub(super) fn read_only_descriptions(store: &Store) -> Result<Option<BTreeMap<String, GroupDescription>>> {
    store.check_open()?;
    if !store.is_read_only() {
        return Ok(None);
    }
    let sources = match store.topic(OFFSETS_TOPIC) {
        Ok(topic) => topic.partitions.iter().map(|partition| partition.source.clone()).collect(),
        Err(Error::UnknownTopic { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    group::descriptions(&sources, store.monotonic()).map(Some)
}

/// The coordinator, if any group was ever used.
fn coordinator<'s>(store: &'s Store, group: &str) -> Result<&'s Arc<GroupCoordinator>> {
    store.coordinator_if_used()?.ok_or_else(|| group::unknown(group))
}
