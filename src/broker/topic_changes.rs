//! How topics come and go, and get more partitions.

use std::sync::Arc;

use super::catalog::Catalog;
use super::partition_dir;
use super::store::{Store, Writer};
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use crate::error::{Error, Result, is_passing};
use crate::parallel;
use crate::partition::PartitionSource;
use crate::partition::bell::Work;
use crate::partition::config::TopicConfig;
use crate::partition::log::Log;
use crate::partition::recovery_mode::RecoveryMode;
use crate::sync::MutexGuard;
use crate::topic_partition::TopicPartition;

impl Store {
    /// The topic of this name, created with `config` if there is none.
    pub(super) fn topic_or_create(&self, name: &str, config: &TopicConfig) -> Result<Arc<TopicEntry>> {
        let found = self.topic(name);
        if !matches!(found, Err(Error::UnknownTopic { .. })) || self.is_read_only() {
            return found;
        }
        match self.create_topic(name, config.clone()) {
            // Another thread was faster, or else one of this name is being deleted.
            Err(exists @ Error::TopicExists { .. }) => match self.topic(name) {
                Err(Error::UnknownTopic { .. }) => Err(exists),
                found => found,
            },
            created => created,
        }
    }

    pub(super) fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Arc<TopicEntry>> {
        super::topic_name::validate_for_user(name)?;
        self.check_fits_budget(&config)?;
        self.read_groups_of(&config);
        let entry = self.add_topic(name, config)?;
        // With no lock held, since a waker is the caller's code; the same below.
        self.registry.watchers().wake();
        self.files.emit_events();
        Ok(entry)
    }

    /// The catalog, to change it and the directories that it speaks of. Closing the broker takes this lock: once that is over,
    /// the names may be another process's.
    pub(in crate::broker) fn catalog_to_change(&self) -> Result<MutexGuard<'_, Catalog>> {
        let catalog = self.registry.catalog();
        self.check_open()?;
        Ok(catalog)
    }

    pub(super) fn add_topic(&self, name: &str, config: TopicConfig) -> Result<Arc<TopicEntry>> {
        let writer = self.writer("create a topic")?;
        let mut catalog = self.catalog_to_change()?;
        catalog.check_new(name, &config)?;
        let topic_id = catalog.new_topic_id();
        self.create_dirs(name, topic_id, 0..config.partitions)?;
        // Before the catalog speaks of it: a topic that is there and cannot be used would be in everybody's way.
        let entry = Arc::new(TopicEntry::new(name.into(), topic_id, config.clone()));
        entry.partitions.add(self.open_new_partitions(writer, &entry, 0..config.partitions));
        catalog.add(name, topic_id, config)?;
        self.mirror_topic(&entry);
        self.registry.publish(|topics| {
            topics.insert(Arc::clone(&entry.name), Arc::clone(&entry));
        });
        self.note_segment_bytes();
        // Which may have an interval that is shorter than all others.
        writer.environment.bell.ring(Work::Syncs);
        writer.environment.bell.ring(Work::Retention);
        self.files.events().add(|| entry.created());
        Ok(entry)
    }

    /// Returns once the second disk, if there is one, has it how a topic is configured: under the catalog's lock, so that the last word is
    /// the last there, too.
    pub(super) fn mirror_topic(&self, topic: &TopicEntry) {
        if let Some(mirror) = self.mirror() {
            mirror.note_topic(topic.topic_id, &topic.name, &topic.settings.load());
        }
    }

    /// Makes the directories of partitions and syncs their names, before the catalog speaks of them.
    pub(super) fn create_dirs(&self, name: &str, topic_id: u128, partitions: std::ops::Range<u32>) -> Result<()> {
        let create = |partition| {
            partition_dir::create(&*self.config.disk, &self.config.dir, &TopicPartition::new(name, partition), topic_id)
        };
        parallel::for_all(partitions.collect(), create).into_iter().collect::<Result<()>>()?;
        self.config.disk.sync_dir(&self.config.dir).map_err(|e| Error::io("sync", &self.config.dir, e))
    }

    /// Opens the logs of partitions that have no records yet.
    pub(super) fn open_new_partitions(
        &self,
        writer: &Writer,
        topic: &TopicEntry,
        numbers: std::ops::Range<u32>,
    ) -> Vec<TopicPartitionSource> {
        let open = |number| {
            let log = Log::create(self.log_spec(topic, number), Arc::clone(&writer.environment));
            PartitionSource::from(log).into()
        };
        numbers.map(open).collect()
    }

    pub(super) fn add_partitions(&self, name: &str, partition_count: u32) -> Result<()> {
        let writer = self.writer("add partitions")?;
        if super::topic_name::is_internal(name) {
            // Which of them keeps a group's offsets follows from their number.
            let reason = "internal topics get no more partitions";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        let mut catalog = self.catalog_to_change()?;
        let topic = self.topic(name)?;
        let (before, config) = (topic.partition_count(), topic.present_settings().partitions(partition_count));
        if partition_count > before {
            config.validate()?;
            self.create_dirs(name, topic.topic_id, before..partition_count)?;
        }
        let partitions = self.open_new_partitions(writer, &topic, before..partition_count);
        catalog.alter(name, config.clone())?;
        topic.settings.replace(config);
        self.mirror_topic(&topic);
        topic.partitions.add(partitions);
        self.registry.publish(|_| {});
        self.files.events().add(|| topic.altered());
        drop(catalog);
        writer.environment.bell.ring(Work::Retention);
        self.registry.watchers().wake();
        self.files.emit_events();
        Ok(())
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_writable("delete a topic")?;
        if super::topic_name::is_internal(name) {
            let reason = "internal topics cannot be deleted";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        // Whatever else is wrong with the groups shows before anything is deleted.
        self.readable_coordinator()?;
        let mut catalog = self.catalog_to_change()?;
        let topic = self.topic(name)?;
        if let Err(error) = catalog.begin_delete(name) {
            let is_full = matches!(error, Error::DiskFull { .. });
            if !is_full
                || partition_dir::mark_deleted(&*self.config.disk, &self.config.dir, name, topic.topic_id).is_err()
            {
                return Err(error);
            }
            catalog.note_deleted(name);
        }
        let logs = topic.logs();
        // First: no round brings anything of it to the second disk once that knows that it is gone.
        for log in &logs {
            log.note_deleted();
        }
        self.mirror().iter().for_each(|mirror| mirror.note_deleted(topic.topic_id));
        self.registry.publish(|topics| {
            topics.remove(name);
        });
        self.note_segment_bytes();
        self.files.events().add(|| topic.deleted());
        drop(catalog);
        for log in &logs {
            log.begin_delete();
        }
        for log in &logs {
            log.retire();
        }
        self.registry.watchers().wake();
        let finished = self.finish_delete(name, topic.topic_id, topic.partition_count());
        self.files.emit_events();
        finished
    }

    /// Removes all that is left of a topic that is given up. The files first: on a full disk, what else there is to do takes the room
    /// that they leave.
    pub(super) fn finish_delete(&self, name: &str, topic_id: u128, partition_count: u32) -> Result<()> {
        let writer = self.writer("delete a topic")?;
        let catalog = self.catalog_to_change()?;
        partition_dir::empty_mark(&*self.config.disk, &self.config.dir, name, topic_id)?;
        let removed = self.remove_partitions(name, topic_id, partition_count);
        writer.environment.note_altered();
        removed?;
        drop(catalog);
        // They may be used only since then.
        if let Some(coordinator) = self.readable_coordinator()? {
            coordinator.forget_topic(name)?;
        }
        self.catalog_to_change()?.finish_delete(name)?;
        partition_dir::remove_mark(&*self.config.disk, &self.config.dir, name, topic_id);
        Ok(())
    }

    /// Removes the files of a topic that is given up.
    pub(super) fn remove_partitions(&self, name: &str, topic_id: u128, partition_count: u32) -> Result<()> {
        let others = partition_dir::other_names(&*self.config.disk, &self.config.dir)?;
        for number in 0..partition_count {
            let partition = TopicPartition::new(name, number);
            partition_dir::remove(&*self.config.disk, &self.config.dir, &partition, topic_id, &others)?;
        }
        self.config.disk.sync_dir(&self.config.dir).map_err(|e| Error::io("sync", &self.config.dir, e))
    }

    /// Finishes what a crash interrupted: topics that are given up and not yet removed. A full disk, or a directory that is refused,
    /// may go on interrupting it: returns the topics of which that is true.
    pub(super) fn finish_deletes(&self) -> Result<Vec<String>> {
        let given_up: Vec<_> = {
            let catalog = self.registry.catalog();
            let dead = catalog.being_deleted();
            dead.map(|(name, entry)| (Arc::clone(name), entry.topic_id, entry.config.partitions)).collect()
        };
        let mut unfinished = Vec::new();
        for (name, topic_id, partition_count) in given_up {
            match self.finish_delete(&name, topic_id, partition_count) {
                Err(error) if self.may_be_put_off(&error) => unfinished.push(name.to_string()),
                finished => finished?,
            }
        }
        // Those of topics that the catalog has forgotten are empty; what is not is no mark, and stays.
        let marks = partition_dir::marks(&*self.config.disk, &self.config.dir)?;
        for (_, mark) in marks.iter().filter(|(topic_id, _)| !self.registry.catalog().knows(**topic_id)) {
            _ = self.config.disk.remove_dir(mark);
        }
        Ok(unfinished)
    }

    /// Whether a topic may wait for its removal: there is no room, or what is refused is one of its own directories.
    pub(super) fn may_be_put_off(&self, error: &Error) -> bool {
        match error {
            Error::DiskFull { .. } => true,
            Error::Io { path, source, .. } => {
                self.config.recovery_mode != RecoveryMode::Strict
                    && !is_passing(source)
                    && partition_dir::holds(&self.config.dir, path)
            }
            _ => false,
        }
    }
}
