//! Changing what a topic is configured with, while it is in use.

use super::store::Store;
use super::topic_name;
use crate::config_key::invalid;
use crate::error::{Error, Result};
use crate::partition::bell::Work;
use crate::partition::config::{PARTITIONS, TopicConfig};
use crate::partition::durability::DURABILITY;

impl Store {
    /// Replaces a topic's configuration by what `change` makes of it, durably and for all its logs. No lock is held in `change`, which
    /// is asked again if somebody else was faster.
    pub(super) fn alter_topic(&self, name: &str, change: &dyn Fn(TopicConfig) -> Result<TopicConfig>) -> Result<()> {
        let writer = self.writer("alter a topic")?;
        if topic_name::is_internal(name) {
            let reason = "internal topics are configured by the broker";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        loop {
            let topic = self.topic(name)?;
            let before = topic.present_settings();
            let after = altered(&before, change(before.clone())?)?;
            let mut catalog = self.catalog_to_change()?;
            let is_as_it_was = self.topic(name)?.topic_id == topic.topic_id && topic.present_settings() == before;
            if !is_as_it_was {
                continue;
            }
            catalog.alter(name, after.clone())?;
            topic.settings.replace(after);
            drop(catalog);
            topic.logs().iter().for_each(|log| log.obey_settings());
            for work in [Work::Syncs, Work::Retention, Work::Compaction] {
                writer.environment.bell.ring(work);
            }
            return Ok(());
        }
    }
}

/// What the configuration is to be, if a topic that is configured like `before` can become so.
fn altered(before: &TopicConfig, mut after: TopicConfig) -> Result<TopicConfig> {
    after.validate()?;
    if after.partitions != before.partitions {
        let reason = "partitions are added by Admin::add_partitions, and never taken away";
        return Err(invalid(PARTITIONS, after.partitions, reason));
    }
    if after.durability != before.durability {
        let value = after.durability.map_or_else(|| "(as the broker)".to_owned(), |durability| durability.to_string());
        let reason = "a topic keeps the durability that it was created with; ProducerConfig::durability raises it for a producer";
        return Err(invalid(DURABILITY, value, reason));
    }
    after.largest_message_bytes = before.largest_message_bytes.max(before.max_message_bytes);
    Ok(after)
}
