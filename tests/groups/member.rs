//! A consumer, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use ottla::{
    Broker, Consumer, ConsumerConfig, ConsumerRecords, CooperativeStickyAssignor, Error, RangeAssignor, Rebalance,
    Result, RoundRobinAssignor, StickyAssignor, TopicPartition,
};

use crate::calls::{Joins, Listens, Topics};

pub(crate) const COOPERATIVE: usize = 0;

/// What a listener was told.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
}

pub(crate) struct Member {
    pub(crate) consumer: Consumer,
    pub(crate) joins: Joins,
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
    pub(crate) is_cooperative: bool,
    /// Where it is in the partitions that it was polled in.
    pub(crate) positions: BTreeMap<TopicPartition, u64>,
    pub(crate) last_poll: ConsumerRecords,
    pub(crate) is_fenced: bool,
    /// Another consumer has its place, whether it knows or not.
    pub(crate) is_replaced: bool,
    /// Deleted since its last poll.
    pub(crate) stale_topics: BTreeSet<String>,
    /// What there was at its last poll, or when it joined.
    pub(crate) seen_partitions: BTreeSet<TopicPartition>,
    /// What it has, by what its listener was told.
    pub(crate) told: BTreeSet<TopicPartition>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {:?}, reading {:?}", self.joins, self.consumer.member_id(), self.positions)
    }
}

pub(crate) fn group_name(group: usize) -> String {
    format!("group-{group}")
}

impl Member {
    pub(crate) fn join(broker: &Broker, joins: &Joins, group: usize, assignor: usize) -> Result<Member> {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let config = ConsumerConfig::new(group_name(group))
            .session_timeout(joins.session_timeout)
            .max_poll_records(joins.max_poll_records)
            .wait_for_topics(true);
        let config = with_assignor(config, assignor);
        let config = match &joins.topics {
            Topics::Names(_) => config.topics(joins.topics.names()),
            Topics::Pattern => config.topic_pattern("orders*"),
        };
        let config = match joins.instance {
            Some(name) => config.group_instance_id(format!("instance-{name}")),
            None => config,
        };
        let config = match joins.max_poll_interval {
            Some(interval) => config.max_poll_interval(interval),
            None => config,
        };
        let config = match joins.auto_commit {
            Some(interval) => config.auto_commit_interval(interval),
            None => config,
        };
        let config = with_listener(config, joins.listens, &events);
        Ok(Member {
            consumer: broker.consumer_with(config)?,
            group: group_name(group),
            topics: joins.topics.names(),
            is_cooperative: assignor == COOPERATIVE,
            joins: joins.clone(),
            positions: BTreeMap::new(),
            last_poll: ConsumerRecords::default(),
            is_fenced: false,
            is_replaced: false,
            stale_topics: BTreeSet::new(),
            seen_partitions: BTreeSet::new(),
            told: BTreeSet::new(),
            events,
        })
    }

    /// Whether it commits what it has read before it gives it up.
    pub(crate) fn commits_on_revocation(&self) -> bool {
        self.joins.auto_commit.is_some() || self.joins.listens == Listens::Commits
    }

    pub(crate) fn listens(&self) -> bool {
        self.joins.listens != Listens::Not
    }

    /// Takes in what the listener was told since the last time, checks that it fits, and returns it.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        let events = take(&self.events);
        for event in &events {
            match event {
                Event::Assigned(partitions) => {
                    for partition in partitions {
                        assert!(self.told.insert(partition.clone()), "{partition} was assigned twice: {events:?}");
                    }
                }
                Event::Revoked(partitions) => {
                    for partition in partitions {
                        assert!(self.told.remove(partition), "{partition} was revoked and not assigned: {events:?}");
                    }
                }
                Event::Lost(partitions) => {
                    for partition in partitions {
                        assert!(self.told.remove(partition), "{partition} was lost and not assigned: {events:?}");
                    }
                }
            }
        }
        events
    }

    pub(crate) fn end(self) -> (Consumer, Arc<Mutex<Vec<Event>>>) {
        (self.consumer, self.events)
    }
}

/// Nothing is half done in there when a listener panics.
pub(crate) fn take(events: &Mutex<Vec<Event>>) -> Vec<Event> {
    std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner))
}

fn with_assignor(config: ConsumerConfig, assignor: usize) -> ConsumerConfig {
    match assignor {
        COOPERATIVE => config.assignor(CooperativeStickyAssignor),
        1 => config.assignor(StickyAssignor),
        2 => config.assignor(RoundRobinAssignor),
        _ => config.assignor(RangeAssignor),
    }
}

fn with_listener(config: ConsumerConfig, listens: Listens, events: &Arc<Mutex<Vec<Event>>>) -> ConsumerConfig {
    if listens == Listens::Not {
        return config;
    }
    let events = Arc::clone(events);
    config.rebalance_listener(move |consumer: &mut Consumer, event: Rebalance<'_>| {
        let (note, is_revocation) = match event {
            Rebalance::Assigned(partitions) => (Event::Assigned(partitions.to_vec()), false),
            Rebalance::Revoked(partitions) => (Event::Revoked(partitions.to_vec()), true),
            Rebalance::Lost(partitions) => (Event::Lost(partitions.to_vec()), false),
            other => panic!("{other:?}"),
        };
        let is_loss = matches!(note, Event::Lost(_));
        events.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        if is_loss {
            // Nothing new is committed: that is seen from what the group has.
            let _ = consumer.commit();
        }
        match listens {
            Listens::Commits if is_revocation => consumer.commit(),
            Listens::Fails => Err(Error::other(FAILURE)),
            // Without the panic hook's message, which says nothing in a test that wants it.
            Listens::Panics => resume_unwind(Box::new(FAILURE)),
            _ => Ok(()),
        }
    })
}

pub(crate) const FAILURE: &str = "as the test wants it";
