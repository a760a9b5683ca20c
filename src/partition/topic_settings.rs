//! What a topic is configured with: shared by the topic, its logs and its handles, and replaced as a whole.

use std::ops::Deref;
use std::sync::Arc;

use super::config::TopicConfig;
use super::timestamp_type::TimestampType;
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicU32, Ordering};

/// The settings of one topic, of which there is one for the topic and all its logs.
///
/// A send that fits its open batch does not look here, nor does a fetch of what is not compressed; what begins or seals a batch or
/// begins a segment does, once each, so that what it does follows from one configuration. So an open batch goes on as it was begun:
/// where a change is to count for the very next record, whoever makes it has the batch sealed. Whether a topic is `Always` is not
/// read here by the logs that it has: each takes that over under its append lock, when it is told to
/// [obey](super::log::Log::obey_settings).
#[derive(Debug)]
pub(crate) struct TopicSettings {
    config: ArcSwap<TopicConfig>,
    /// Apart, for every send looks at them: a [`Demands`].
    demands: AtomicU32,
}

/// What a topic demands of the records that are sent to it, beyond what all topics do. By default nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demands(u32);

const NEEDS_KEYS: u32 = 1 << 0;
const GIVES_APPEND_TIME: u32 = 1 << 1;

impl Demands {
    fn of(config: &TopicConfig) -> Demands {
        let needs_keys = if config.cleanup_policy.has_compact() { NEEDS_KEYS } else { 0 };
        Demands(match config.timestamp_type {
            TimestampType::CreateTime => needs_keys,
            TimestampType::LogAppendTime => needs_keys | GIVES_APPEND_TIME,
        })
    }

    /// Whether there is none of those below.
    #[inline]
    pub(crate) fn are_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a record without a key is to be refused.
    #[inline]
    pub(crate) fn needs_keys(self) -> bool {
        self.0 & NEEDS_KEYS != 0
    }

    /// Whose time a record's timestamp is.
    #[inline]
    pub(crate) fn timestamp_type(self) -> TimestampType {
        if self.0 & GIVES_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }
}

impl TopicSettings {
    pub(crate) fn new(config: TopicConfig) -> TopicSettings {
        let demands = AtomicU32::new(Demands::of(&config).0);
        TopicSettings { config: ArcSwap::from_pointee(config), demands }
    }

    /// What is demanded of the records that are sent now.
    #[inline]
    pub(crate) fn demands(&self) -> Demands {
        Demands(self.demands.load(Ordering::Relaxed))
    }

    /// The present settings, for a look at them: what belongs together is to be taken from one look.
    #[inline]
    pub(crate) fn load(&self) -> impl Deref<Target = Arc<TopicConfig>> {
        self.config.load()
    }

    /// Replaces the settings by those that the catalog has by now. For the holder of its lock.
    pub(crate) fn replace(&self, config: TopicConfig) {
        self.demands.store(Demands::of(&config).0, Ordering::Relaxed);
        self.config.store(Arc::new(config));
    }
}

#[cfg(test)]
mod tests {
    use crate::{Broker, Durability, Error, TopicConfig};

    #[test]
    fn logs_that_serve_obey_what_is_replaced_and_handles_tell_it() {
        let broker = Broker::temporary().unwrap();
        let config = TopicConfig::new().partitions(2).durability(Durability::Os);
        let topic = broker.create_topic("orders", config.clone()).unwrap();
        // Larger than any slot, so that each is a batch of its own.
        let large = "x".repeat(100_000);
        topic.produce("k", &large).unwrap();
        let smaller = config.max_message_bytes(50_000);
        topic.entry.settings.replace(smaller.clone());
        assert!(matches!(topic.produce("k", &large), Err(Error::RecordTooLarge { limit: 50_000, .. })));
        topic.produce("k", "small").unwrap();
        assert_eq!((topic.config(), broker.topic("orders").unwrap().config()), (smaller.clone(), smaller.clone()));
        assert_eq!(broker.admin().describe("orders").unwrap().config(), &smaller);
    }
}
