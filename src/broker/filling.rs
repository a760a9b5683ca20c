//! Topics whose logs are made of something else, with their records, and are there as a whole or not at all.
//!
//! ```text
//! there is none    ──begin──▶ being deleted ──finish──▶ live       given up, or found by an opening: removed
//! live, and empty  ──begin──▶ being filled  ──finish──▶ live       given up, or found by an opening: empty again
//! ```
//! In between the name is taken and nobody sees the topic, so files and committed offsets are made in any order. What makes it all
//! count is one change of the catalog. Closing the broker waits for whoever fills a topic, and he stops once it is
//! [closed](Store::check_open).

use std::sync::Arc;

use super::catalog::Catalog;
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::{partition_dir, topic_name};
use crate::error::{Error, Result};
use crate::partition::PartitionSource;
use crate::partition::bell::Work;
use crate::partition::config::TopicConfig;
use crate::partition::log::Log;
use crate::partition::log::copying::HeldLog;
use crate::partition::log_copy::LogCopy;
use crate::partition::log_id::LogId;
use crate::partition::recovery::{LoadedState, RecoveredLog, RecoveryConditions, Shutdown};
use crate::partition::recovery_mode::RecoveryMode;
use crate::sync::MutexGuard;

/// A topic that is being filled. Dropped before [`finish`](Filling::finish), it is given up.
#[derive(Debug)]
pub(crate) struct Filling<'s> {
    store: &'s Store,
    entry: Arc<TopicEntry>,
    config: TopicConfig,
    /// Whether it was there before, and empty.
    was_there: bool,
    /// Whether there is nothing to give up.
    is_over: bool,
    _turn: MutexGuard<'s, ()>,
}

/// Why a topic cannot be filled.
#[derive(Debug)]
pub(crate) enum NotFillable {
    /// It is there, and this keeps it from being filled.
    InUse(&'static str),
    Failed(Error),
}

impl From<Error> for NotFillable {
    fn from(error: Error) -> NotFillable {
        NotFillable::Failed(error)
    }
}

impl Store {
    /// Checks that a topic could be filled now: that it could be created with `config`, or is there, empty, with as many partitions.
    /// Nothing is changed.
    pub(crate) fn check_fillable(&self, name: &str, config: &TopicConfig) -> Result<(), NotFillable> {
        self.writer("import a topic")?;
        topic_name::validate_for_user(name)?;
        match self.topic(name) {
            Ok(topic) => check_empty(&topic, config),
            Err(Error::UnknownTopic { .. }) => {
                self.check_fits_budget(config)?;
                Ok(self.catalog_to_change()?.check_new(name, config)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins to fill a topic: one that is created with `config`, or one that is there and keeps its own settings, but for the largest
    /// batch that was ever allowed. One that is there is made anew: handles of it find it closed.
    pub(crate) fn begin_filling(&self, name: &str, config: &TopicConfig) -> Result<Filling<'_>, NotFillable> {
        self.check_fillable(name, config)?;
        let turn = self.writer("import a topic")?.filling.lock();
        let mut catalog = self.catalog_to_change()?;
        let there = match self.topic(name) {
            Ok(topic) => Some(topic),
            Err(Error::UnknownTopic { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (topic_id, config) = match &there {
            Some(topic) => {
                check_empty(topic, config)?;
                let own = topic.present_settings();
                let largest = own.largest_message_bytes.max(config.largest_message_bytes).max(config.max_message_bytes);
                (topic.topic_id, TopicConfig { largest_message_bytes: largest, ..own })
            }
            None => (catalog.new_topic_id(), config.clone()),
        };
        let entry = Arc::new(TopicEntry::new(name.into(), topic_id, config.clone()));
        let mut filling =
            Filling { store: self, entry, config, was_there: there.is_some(), is_over: true, _turn: turn };
        match &there {
            Some(topic) => self.empty_and_close(topic, &mut catalog)?,
            None => catalog.add_unfilled(name, topic_id, filling.config.clone())?,
        }
        filling.is_over = false;
        drop(catalog);
        if let Some(topic) = there {
            topic.logs().iter().for_each(|log| log.retire());
            self.registry.watchers().wake();
            let _catalog = self.catalog_to_change()?;
            self.remove_partitions(name, topic_id, filling.config.partitions)?;
        }
        let _catalog = self.catalog_to_change()?;
        self.create_dirs(name, topic_id, 0..filling.config.partitions)?;
        Ok(filling)
    }

    /// Has a topic that is empty be seen by nobody any more, with no append in between.
    fn empty_and_close(&self, topic: &TopicEntry, catalog: &mut Catalog) -> Result<(), NotFillable> {
        let logs = topic.logs();
        let mut held = logs.iter().map(|log| log.hold_files()).collect::<Result<Vec<_>>>()?;
        for log in &mut held {
            log.fix_end()?;
        }
        check_logs_empty(&logs)?;
        let begun = catalog.begin_filling(&topic.name);
        // What the disk may say is to be filled would be emptied by the next opening: then nobody may append to it any more.
        if begun.is_ok() || catalog.store_again().is_err() {
            self.registry.publish(|topics| {
                topics.remove(&topic.name);
            });
            held.iter_mut().for_each(HeldLog::close_deleted);
        }
        Ok(begun?)
    }

    /// Makes topics empty again that a crash has left half filled. A full disk, or a directory that is refused, may put it off:
    /// returns the topics of which that is true.
    pub(super) fn empty_unfilled(&self) -> Result<Vec<String>> {
        let unfilled: Vec<_> = {
            let catalog = self.registry.catalog();
            catalog
                .being_filled()
                .map(|(name, entry)| (Arc::clone(name), entry.topic_id, entry.config.clone()))
                .collect()
        };
        let mut put_off = Vec::new();
        for (name, topic_id, config) in unfilled {
            match self.empty_again(&Arc::new(TopicEntry::new(Arc::clone(&name), topic_id, config.clone())), config) {
                Err(error) if self.may_be_put_off(&error) => put_off.push(name.to_string()),
                emptied => emptied?,
            }
        }
        Ok(put_off)
    }

    /// Has a topic that could not be filled be what it was: live and empty.
    fn empty_again(&self, entry: &Arc<TopicEntry>, config: TopicConfig) -> Result<()> {
        let writer = self.writer("make a topic empty")?;
        let (name, topic_id, partition_count) = (&*entry.name, entry.topic_id, config.partitions);
        if let Some(coordinator) = self.readable_coordinator()? {
            coordinator.forget_topic(name)?;
        }
        let mut catalog = self.catalog_to_change()?;
        self.remove_partitions(name, topic_id, partition_count)?;
        self.create_dirs(name, topic_id, 0..partition_count)?;
        let logs = self.open_new_partitions(writer, entry, 0..partition_count);
        catalog.finish_filling(name, config)?;
        self.serve_filled(entry, logs);
        Ok(())
    }

    /// Shows a topic to everybody. The caller holds the catalog's lock.
    fn serve_filled(&self, entry: &Arc<TopicEntry>, logs: Vec<TopicPartitionSource>) {
        entry.partitions.add(logs);
        self.registry.publish(|topics| {
            topics.insert(Arc::clone(&entry.name), Arc::clone(entry));
        });
        self.note_segment_bytes();
        if let Some(writer) = &self.writer {
            writer.environment.note_altered();
            writer.environment.bell.ring(Work::Syncs);
            writer.environment.bell.ring(Work::Retention);
        }
        self.files.events().add(|| entry.created());
    }
}

fn check_empty(topic: &TopicEntry, config: &TopicConfig) -> Result<(), NotFillable> {
    if topic.partition_count() != config.partitions {
        return Err(NotFillable::InUse(
            "there is a topic of this name with another number of partitions; delete it, or give it as many",
        ));
    }
    check_logs_empty(&topic.logs())
}

fn check_logs_empty(logs: &[Arc<Log>]) -> Result<(), NotFillable> {
    for log in logs {
        log.check_whole()?;
        if 0 < log.log_end_offset() {
            let reason =
                "there is a topic of this name that has, or had, records; delete it, or import into an empty directory";
            return Err(NotFillable::InUse(reason));
        }
    }
    Ok(())
}

impl Filling<'_> {
    /// The id that the topic has.
    pub(crate) fn topic_id(&self) -> u128 {
        self.entry.topic_id
    }

    /// Begins the log of one of its partitions.
    pub(crate) fn log(&self, number: u32) -> LogCopy {
        LogCopy::new(self.store.log_spec(&self.entry, number), &self.store.files)
    }

    /// Leaves it to the next opening to give the topic up, if it was there before: what was committed for it may be there or not, and
    /// counts for no topic that is not live.
    pub(crate) fn leave(mut self) {
        self.is_over = self.was_there;
    }

    /// Has the topic be used from now on, of which the logs of all partitions are finished.
    ///
    /// # Errors
    /// The disk's. Then the topic is what it was, or as a whole what it was to be, if nothing can be written any more.
    pub(crate) fn finish(mut self) -> Result<()> {
        let store = self.store;
        let dir = &store.config.dir;
        store.config.disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
        let mut logs = Vec::new();
        let filled = (0..self.config.partitions).try_for_each(|number| self.open(number).map(|log| logs.push(log)));
        let filled = filled.and_then(|()| self.make_live(&logs));
        if filled.is_err() {
            for log in &logs {
                log.begin_delete();
            }
            for log in &logs {
                log.retire();
            }
        }
        filled?;
        store.registry.watchers().wake();
        store.files.emit_events();
        Ok(())
    }

    fn make_live(&mut self, logs: &[Arc<Log>]) -> Result<()> {
        let mut catalog = self.store.catalog_to_change()?;
        let live = catalog.finish_filling(&self.entry.name, self.config.clone());
        // After an error the disk may say that the topic is live: as long as that is not taken back, nothing of it may go.
        self.is_over = live.is_ok() || catalog.store_again().is_err();
        live?;
        self.store
            .serve_filled(&self.entry, logs.iter().map(|log| PartitionSource::from(Arc::clone(log)).into()).collect());
        Ok(())
    }

    fn open(&self, number: u32) -> Result<Arc<Log>> {
        let writer = self.store.writer("import a topic")?;
        let spec = self.store.log_spec(&self.entry, number);
        let id = LogId { topic_id: self.entry.topic_id, partition: number };
        let loaded = LoadedState::load(
            &*self.store.config.disk,
            &partition_dir::path_of(self.store.dir(), &spec.partition),
            id,
        )?;
        // What was just made is whole, or it is not served.
        let conditions = RecoveryConditions { shutdown: Shutdown::Clean, mode: RecoveryMode::Strict };
        let (recovered, _) = RecoveredLog::recover(spec, &self.store.files, conditions, loaded, Vec::new())?;
        Ok(Log::serve(recovered, Arc::clone(&writer.environment)))
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // What cannot be done now is done by the next opening.
        _ = if self.was_there {
            self.store.empty_again(&self.entry, self.config.clone())
        } else {
            self.store.finish_delete(&self.entry.name, self.entry.topic_id, self.config.partitions)
        };
        self.store.registry.watchers().wake();
        self.store.files.emit_events();
    }
}
