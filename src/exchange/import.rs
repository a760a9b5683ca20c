//! Taking over the partition directories of a broker.

use std::collections::BTreeMap;
use std::path::Path;

use super::broker_dir::BrokerDir;
use super::filling::TopicSurvey;
use super::group_offsets::GroupOffsets;
use super::import_options::ImportOptions;
use super::import_report::ImportReport;
use super::survey::LogSurvey;
use crate::broker::Admin;
use crate::broker::filling::NotFillable;
use crate::broker::store::Store;
use crate::broker::topic_name;
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::topic_partition::TopicPartition;

impl Admin<'_> {
    /// Takes over topics from the log directory of a Kafka broker that is stopped, or from one partition directory in it: the same
    /// records at the same offsets, with their timestamps, headers, leader epochs and transactions. The files there are not changed.
    ///
    /// Each topic is created, unless it is there, empty, with as many partitions; then it keeps its settings, and handles from before
    /// find it closed. First all of it is read and checked; only then something is written, a topic after the other, each as a whole
    /// or not at all, whatever happens in between. Half a batch at the end of a log, as a broker leaves it that was killed, is left out;
    /// a transaction that is open there is aborted. The internal topics are not imported; what groups have committed is
    /// ([`committed_offsets`](ImportOptions::committed_offsets)).
    ///
    /// # Errors
    /// [`Error::CannotImport`] if the topics cannot be taken over as they are, [`Error::Unfinished`], [`Error::Corrupt`] for damage that is not at the end of a
    /// log, [`Error::CodecUnavailable`]; [`Error::InvalidTopic`], [`Error::InvalidConfig`]; [`Error::OverBudget`], [`Error::DiskFull`],
    /// [`Error::Io`]; [`Error::ReadOnly`]: nothing has changed then. [`Error::PartlyImported`]: some topics were imported.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, ExportOptions, ImportOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let exported = dir.path().join("exported");
    /// # let source = Broker::temporary()?;
    /// # source.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # source.admin().export(&exported, &ExportOptions::new())?;
    /// let broker = Broker::open(dir.path().join("data"))?;
    /// // The log directory of a broker, such as /var/lib/kafka/data.
    /// let report = broker.admin().import(&exported, &ImportOptions::new().topics(["orders"]))?;
    /// assert_eq!(report.topics()[0].partitions()[0].offsets(), 0..1);
    /// println!("{report}");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn import(&self, source: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportReport> {
        let store = &*self.broker.store;
        store.check_writable("import a topic")?;
        let source = BrokerDir::open(store.disk(), source.as_ref())?;
        let topics = survey(store, &source, options)?;
        let mut report = ImportReport::default();
        for topic in &topics {
            match topic.fill(store, &source) {
                Ok(imported) => report.topics.push(imported),
                Err(error) => return Err(partly(&report, topic, error_of(&source, &topic.name, error))),
            }
        }
        Ok(report)
    }
}

/// Reads all that is to be imported, and checks that it can be.
fn survey(store: &Store, source: &BrokerDir, options: &ImportOptions) -> Result<Vec<TopicSurvey>> {
    let names = options.topics.clone().unwrap_or_else(|| source.topics());
    let groups = if options.committed_offsets { GroupOffsets::read(source)? } else { GroupOffsets::default() };
    let mut topics: Vec<TopicSurvey> = Vec::new();
    for name in names {
        // To name one twice is to mean it once.
        if !topics.iter().any(|topic| topic.name == name) {
            topics.push(survey_topic(store, source, options, name, &groups)?);
        }
    }
    topic_name_twins(&topics)?;
    if topics.is_empty() {
        let reason =
            "there are no partition directories in it, such as orders-0, but those of internal topics".to_owned();
        return Err(Error::CannotImport { topic: String::new(), path: source.dir.clone(), reason });
    }
    Ok(topics)
}

/// Fails if two of the topics could be mistaken for each other: each for itself could be created.
fn topic_name_twins(topics: &[TopicSurvey]) -> Result<()> {
    for (index, topic) in topics.iter().enumerate() {
        let others = topics.get(..index).unwrap_or_default().iter().map(|other| other.name.as_str());
        topic_name::check_distinct(&topic.name, others)?;
    }
    Ok(())
}

fn survey_topic(
    store: &Store,
    source: &BrokerDir,
    options: &ImportOptions,
    name: String,
    groups: &GroupOffsets,
) -> Result<TopicSurvey> {
    topic_name::validate_for_user(&name)?;
    let dirs = source.partitions(&name);
    let cannot = |reason: String| Error::CannotImport { topic: name.clone(), path: source.dir.clone(), reason };
    let Some((&last, _)) = dirs.last_key_value() else {
        return Err(cannot("there is no partition directory of it".to_owned()));
    };
    let missing = (0..last).find(|number| !dirs.contains_key(number)).filter(|_| !options.missing_partitions);
    if let Some(missing) = missing {
        let reason = format!(
            "{} is missing: bring all its partition directories together, which may be on other disks or brokers, or import it with \
             the missing ones empty (ImportOptions::missing_partitions)",
            TopicPartition::new(name.as_str(), missing)
        );
        return Err(cannot(reason));
    }
    let config = options.configs.get(&name).unwrap_or(&options.config).clone();
    let mut config = config.partitions(last.saturating_add(1));
    store.check_fillable(&name, &config).map_err(|error| error_of(source, &name, error))?;
    let bounds = match store.topic(&name) {
        Ok(there) => TopicConfig::clone(&there.settings.load()),
        Err(_) => config.clone(),
    };
    let mut logs = BTreeMap::new();
    for (number, dir) in &dirs {
        let partition = TopicPartition::new(name.as_str(), *number);
        let log = LogSurvey::of(&*source.disk, dir, &partition, source.log_start(&partition), &bounds)?;
        // So that what can be written is what can be read.
        config.largest_message_bytes = config.largest_message_bytes.max(log.largest_batch_bytes);
        logs.insert(*number, log);
    }
    if config.largest_message_bytes <= config.max_message_bytes {
        config.largest_message_bytes = 0;
    }
    let offsets = TopicSurvey::offsets_of(source, &logs, &name, groups);
    Ok(TopicSurvey { name, config, logs, offsets })
}

fn error_of(source: &BrokerDir, topic: &str, error: NotFillable) -> Error {
    match error {
        NotFillable::InUse(reason) => {
            Error::CannotImport { topic: topic.to_owned(), path: source.dir.clone(), reason: reason.to_owned() }
        }
        NotFillable::Failed(error) => error,
    }
}

fn partly(report: &ImportReport, topic: &TopicSurvey, error: Error) -> Error {
    let imported: Vec<String> = report.topics.iter().map(|topic| topic.name.clone()).collect();
    if imported.is_empty() {
        return error;
    }
    Error::PartlyImported { imported, topic: topic.name.clone(), source: Box::new(error) }
}
