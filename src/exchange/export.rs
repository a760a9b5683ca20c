//! Writing partitions as a broker adopts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::broker_dir::LOG_STARTS_FILE;
use super::export_options::ExportOptions;
use super::export_report::{ExportReport, ExportedPartition};
use super::export_texts::{self, Committed, OFFSETS_FILE, STEPS_FILE};
use super::exporting::Extract;
use super::target::Target;
use crate::broker::store::Store;
use crate::broker::topic_entry::TopicEntry;
use crate::broker::{Admin, partition_dir, topic_name};
use crate::error::Result;
use crate::partition::config::TopicConfig;
use crate::partition::log::Log;
use crate::partition::log::copying::at_one_moment;

impl Admin<'_> {
    /// Writes topics into `target`, a directory that is empty or not there yet, in the form in which a Kafka broker adopts them: for each
    /// partition a directory with log files, which hold the same batches at the same offsets, but for their leader epoch, which is 0.
    /// `README.txt` says what is left to do, with the commands for these topics. As long as there is a file `unfinished` beside it, the
    /// export is not whole. `committed-offsets.txt` has the commands that set what the groups have committed.
    ///
    /// All logs are as of one moment. Where a transaction is open then, the log is cut at its first record, and the report says so. Sending
    /// and reading go on meanwhile (a transaction that is being ended at that very moment may be cut off in one partition and be there
    /// in another: let those who send them pause), but no file is deleted or compacted before it was written. All of it is synced.
    ///
    /// # Errors
    /// [`Error::TargetNotEmpty`](crate::Error::TargetNotEmpty), [`Error::Unfinished`](crate::Error::Unfinished),
    /// [`Error::InsideDataDirectory`](crate::Error::InsideDataDirectory);
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::InvalidTopic`](crate::Error::InvalidTopic) for an internal one;
    /// [`Error::Corrupt`](crate::Error::Corrupt) if a log is damaged; [`Error::ReadOnly`](crate::Error::ReadOnly),
    /// [`Error::DiskFull`](crate::Error::DiskFull), [`Error::Io`](crate::Error::Io). What was written by then is removed.
    ///
    /// # Examples
    /// ```
    /// use ottla::ExportOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let target = dir.path().join("exported");
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let report = broker.admin().export(&target, &ExportOptions::new())?;
    /// assert_eq!(report.partitions()[0].offsets(), 0..1);
    /// assert!(target.join("orders-0/00000000000000000000.log").is_file());
    /// println!("{report}\nwhat is left to do: {}", target.join("README.txt").display());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn export(&self, target: impl AsRef<Path>, options: &ExportOptions) -> Result<ExportReport> {
        let store = &*self.broker.store;
        store.check_writable("export")?;
        let topics = topics(self, options)?;
        let mut target = Target::begin(store.disk(), target.as_ref())?;
        // Before the logs are looked at: so no group is ahead of them.
        let groups = committed(store, &topics)?;
        let partitions = write_logs(store, &topics, &mut target)?;
        let groups = within(groups, &partitions);
        write_texts(&topics, &partitions, &groups, &mut target)?;
        let report = ExportReport {
            target: target.dir().to_owned(),
            partitions,
            groups: groups.len(),
            files: target.files,
            bytes: target.bytes,
        };
        target.finish()?;
        Ok(report)
    }
}

/// The topics that are meant, by name.
fn topics(admin: &Admin<'_>, options: &ExportOptions) -> Result<BTreeMap<String, Arc<TopicEntry>>> {
    let names = options.topics.clone().map_or_else(|| admin.list_topics(), Ok)?;
    let find = |name: String| {
        topic_name::validate_for_user(&name)?;
        let topic = admin.broker.store.topic(&name)?;
        Ok((name, topic))
    };
    names.into_iter().map(find).collect()
}

/// Writes all partitions, as of one moment.
fn write_logs(
    store: &Store,
    topics: &BTreeMap<String, Arc<TopicEntry>>,
    target: &mut Target,
) -> Result<Vec<ExportedPartition>> {
    let mut logs: Vec<Arc<Log>> = topics.values().flat_map(|topic| topic.logs()).collect();
    logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
    logs.iter().try_for_each(|log| log.prepare_copy())?;
    let mut exported = Vec::new();
    for (log, (held, contents)) in logs.iter().zip(at_one_moment(&logs)?) {
        store.check_open()?;
        let extract = Extract { partition: log.partition().clone(), contents };
        let dir = partition_dir::path_of(store.dir(), log.partition());
        exported.push(extract.write(&**store.disk(), &dir, target)?);
        // Its files may go from here on.
        drop(held);
    }
    Ok(exported)
}

/// What the groups have committed for these topics.
fn committed(store: &Store, topics: &BTreeMap<String, Arc<TopicEntry>>) -> Result<BTreeMap<String, Committed>> {
    let Some(coordinator) = store.coordinator_if_used()? else { return Ok(BTreeMap::new()) };
    let mut groups: BTreeMap<String, Committed> = BTreeMap::new();
    for group in coordinator.descriptions() {
        for (partition, committed) in &group.offsets {
            let topic = topics.get(partition.topic());
            if topic.is_some_and(|topic| committed.is_of(topic.topic_id)) {
                let known = (partition.clone(), committed.offset(), committed.metadata().to_owned());
                groups.entry(group.name().to_owned()).or_default().push(known);
            }
        }
    }
    Ok(groups)
}

/// The same within the bounds of what was written: who has read what was left out begins at its end.
fn within(groups: BTreeMap<String, Committed>, partitions: &[ExportedPartition]) -> BTreeMap<String, Committed> {
    let end_of = |partition: &_| {
        partitions.iter().find(|exported| exported.partition == *partition).map(|found| found.offsets.end)
    };
    let bound = |(group, committed): (String, Committed)| {
        let committed = committed.into_iter().filter_map(|(partition, offset, metadata)| {
            let offset = offset.min(end_of(&partition)?);
            Some((partition, offset, metadata))
        });
        (group, committed.collect::<Committed>())
    };
    groups.into_iter().map(bound).filter(|(_, committed)| !committed.is_empty()).collect()
}

fn write_texts(
    topics: &BTreeMap<String, Arc<TopicEntry>>,
    partitions: &[ExportedPartition],
    groups: &BTreeMap<String, Committed>,
    target: &mut Target,
) -> Result<()> {
    if let Some(starts) = export_texts::starts_text(partitions) {
        target.text(LOG_STARTS_FILE, &starts)?;
    }
    for (index, committed) in groups.values().enumerate() {
        target.text(&export_texts::offsets_file(index + 1), &export_texts::offsets_lines(committed))?;
    }
    if !groups.is_empty() {
        target.text(OFFSETS_FILE, &export_texts::offsets_text(groups))?;
    }
    target.sync_dir(target.dir())?;
    let configs: BTreeMap<String, TopicConfig> =
        topics.iter().map(|(name, topic)| (name.clone(), TopicConfig::clone(&topic.settings.load()))).collect();
    target.text(STEPS_FILE, &export_texts::steps_text(&configs, partitions, !groups.is_empty()))
}
