//! Topics that are made, grow, and go.

use std::time::Duration;

use ottla::{Compression, Durability, Error, TopicConfig};

use super::Run;
use crate::history::{Checked, Existence, LogHistory, TopicHistory};

impl Run {
    pub(super) fn create_topic(&mut self, name: &str) -> Checked {
        if self.history.topics.get(name).is_some_and(|topic| topic.existence != Existence::MaybeCreated) {
            return self.send();
        }
        let durability = match name {
            "always" => Durability::Always,
            "interval" => Durability::Interval(Duration::from_secs(1)),
            "os" => Durability::Os,
            _ if self.random.chance(50) => Durability::Always,
            _ => Durability::Os,
        };
        let count = if matches!(name, "always" | "os") { 2 } else { 1 };
        let codec = if name == "os" { Compression::Snappy } else { Compression::None };
        let has_retention = name == "interval" || name == "always" && self.settings.seed.is_multiple_of(2);
        let has_budget = self.settings.budget_bytes.is_some();
        let retention = has_retention.then_some((Duration::from_secs(5), 20_000));
        let config = TopicConfig::new()
            .segment_ms(Duration::from_secs(4))
            .retention_ms(retention.map(|(age, _)| age))
            .retention_bytes(retention.map(|(_, bytes)| bytes))
            .partitions(count)
            .segment_bytes(8 << 10)
            .max_message_bytes(4 << 20)
            .compression(codec)
            .durability(durability);
        let topic = TopicHistory {
            existence: Existence::MaybeCreated,
            durability,
            maybe_durability: None,
            logs: vec![
                LogHistory { has_retention: has_retention || has_budget, ..LogHistory::default() };
                count as usize
            ],
            maybe_partitions: None,
        };
        let earlier = self.history.topics.insert(name.to_owned(), topic);
        self.note_version();
        match self.broker()?.create_topic(name, config) {
            Ok(_) => {
                if let Some(topic) = self.history.topics.get_mut(name) {
                    topic.existence = Existence::Certain;
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::TopicExists { .. }) {
                    self.history.topics.remove(name);
                    self.history.topics.extend(earlier.map(|earlier| (name.to_owned(), earlier)));
                }
                self.failed("create a topic", error)?;
                self.settle_topic(name)
            }
        }
    }

    /// After a call that failed on a machine that goes on: whether the topic is there can be asked.
    pub(super) fn settle_topic(&mut self, name: &str) -> Checked {
        match self.broker()?.admin().describe(name) {
            Ok(description) => {
                let Some(topic) = self.history.topics.get_mut(name) else { return Ok(()) };
                if topic.existence == Existence::MaybeCreated {
                    topic.existence = Existence::Certain;
                }
                topic.resize(description.partitions().len());
                Ok(())
            }
            // After a failed change of the catalog either is allowed to come back.
            Err(Error::UnknownTopic { .. } | Error::Closed { .. }) => Ok(()),
            Err(error) => self.failed("describe a topic", error),
        }
    }

    pub(super) fn delete_topic(&mut self, name: &str) -> Checked {
        if self.history.topics.get(name).is_none_or(|topic| topic.existence != Existence::Certain) {
            return self.send();
        }
        if let Some(topic) = self.history.topics.get_mut(name) {
            topic.existence = Existence::MaybeDeleted;
        }
        self.note_version();
        let deleted = self.broker()?.admin().delete_topic(name);
        self.unknown_to_consumer.insert(name.to_owned());
        match deleted {
            Ok(()) => {
                self.history.forget(name);
                Ok(())
            }
            Err(error) => self.failed("delete a topic", error),
        }
    }

    /// Deletes the records of one partition up to somewhere.
    pub(super) fn delete_records(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        let Ok(found) = found else { return Ok(()) };
        let (start, end) = (found.log_start_offset(), found.last_stable_offset());
        let offset = if self.random.chance(20) { end } else { start + self.random.below(end - start + 1) };
        let Some(log) = self.history.log(&partition) else { return Ok(()) };
        log.start_asked = log.start_asked.max(offset);
        self.note_version();
        match broker.admin().delete_records(&[(partition.clone(), offset)]) {
            Ok(starts) => {
                let Some(log) = self.history.log(&partition) else { return Ok(()) };
                for (_, start) in starts {
                    log.deleted(start);
                }
                Ok(())
            }
            Err(error) => self.failed("delete records", error),
        }
    }

    /// Gives a topic another durability.
    pub(super) fn alter_durability(&mut self) -> Checked {
        let Some(name) = self.a_partition().map(|partition| partition.topic().to_owned()) else { return Ok(()) };
        let all = [Durability::Always, Durability::Os, Durability::Interval(Duration::from_secs(1))];
        let durability = self.random.choose(&all).copied().unwrap_or_default();
        let Some(topic) = self.history.topics.get_mut(&name).filter(|topic| topic.maybe_durability.is_none()) else {
            return self.send();
        };
        if topic.is_always() {
            // What was seen then stays.
            topic.logs.iter_mut().for_each(|log| log.durable = log.durable.max(log.seen));
        }
        topic.maybe_durability = Some(durability);
        self.note_version();
        let broker = self.broker()?;
        let altered = broker.admin().alter_topic(&name, |config| config.durability(durability));
        let Some(topic) = self.history.topics.get_mut(&name) else { return Ok(()) };
        match altered {
            Ok(()) => {
                (topic.durability, topic.maybe_durability) = (durability, None);
                if durability == Durability::Always && !self.expects_faults {
                    topic.logs.iter_mut().for_each(|log| log.durable = log.acked());
                }
                self.note_durable()
            }
            Err(error) => {
                let known = broker.existing_topic(&name).ok().and_then(|found| found.config().get_durability());
                if known == Some(durability) {
                    topic.maybe_durability = Some(std::mem::replace(&mut topic.durability, durability));
                }
                self.failed("alter a topic", error)
            }
        }
    }

    pub(super) fn add_partitions(&mut self) -> Checked {
        let Some(name) = self.a_partition().map(|partition| partition.topic().to_owned()) else { return Ok(()) };
        let Some(topic) = self.history.topics.get_mut(&name) else { return Ok(()) };
        let count = topic.logs.len() + 1;
        if count > 4 {
            return self.send();
        }
        topic.maybe_partitions = Some(count);
        self.note_version();
        let added = self.broker()?.admin().add_partitions(&name, u32::try_from(count).unwrap_or(u32::MAX));
        match added {
            Ok(()) => {
                let Some(topic) = self.history.topics.get_mut(&name) else { return Ok(()) };
                topic.resize(count);
                topic.maybe_partitions = None;
                Ok(())
            }
            Err(error) => self.failed("add partitions", error),
        }
    }
}
