//! Changing what a topic is configured with, while it is in use.

use super::store::Store;
use super::topic_name;
use crate::config_key::invalid;
use crate::error::{Error, Result};
use crate::maintenance::unless_deleted;
use crate::partition::bell::Work;
use crate::partition::config::{PARTITIONS, TopicConfig};
use crate::partition::durability::Durability;

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
            self.check_fits_budget(&after)?;
            self.read_groups_of(&after);
            let mut catalog = self.catalog_to_change()?;
            let is_as_it_was = self.topic(name)?.topic_id == topic.topic_id && topic.present_settings() == before;
            if !is_as_it_was {
                continue;
            }
            catalog.alter(name, after.clone())?;
            let changes_durability = after.durability != before.durability;
            let is_always = after.durability.unwrap_or(self.config.durability) == Durability::Always;
            topic.settings.replace(after);
            self.mirror_topic(&topic);
            self.note_segment_bytes();
            self.files.events().add(|| topic.altered());
            drop(catalog);
            // Who reads along shows less before anything is hidden from it, and more once that may be seen.
            if changes_durability && is_always {
                writer.environment.note_altered();
            }
            let logs = topic.logs();
            for log in &logs {
                log.obey_settings();
            }
            if changes_durability && !is_always {
                writer.environment.note_altered();
            }
            for work in [Work::Syncs, Work::Retention, Work::Compaction] {
                writer.environment.bell.ring(work);
            }
            let mut result = Ok(());
            for log in logs.iter().filter(|_| changes_durability) {
                result = result.and(unless_deleted(log.settle_durability()));
            }
            self.files.emit_events();
            return result;
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
    after.largest_message_bytes = before.largest_message_bytes.max(before.max_message_bytes);
    Ok(after)
}
