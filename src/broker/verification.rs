//! Verifying a whole data directory.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::backup_report::BackupReport;
use super::catalog::{self, Catalog};
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::topic_registry::Topics;
use super::{Admin, partition_dir};
use crate::error::{Corruption, Error, Result};
use crate::parallel;
use crate::partition::broken::Broken;
use crate::partition::verification::PartitionVerification;
use crate::segment::Reading;

/// How much [`Admin::verify_with`] reads, and who hears how far it is.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use ottla::VerifyOptions;
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let bytes_done = AtomicU64::new(0);
/// let on_bytes = |bytes| _ = bytes_done.fetch_add(bytes, Ordering::Relaxed);
/// let options = VerifyOptions::new().topics(["orders"]).headers_only(true).on_bytes(&on_bytes);
/// assert!(broker.admin().verify_with(&options)?.is_clean());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct VerifyOptions<'o> {
    topics: Option<HashSet<String>>,
    headers_only: bool,
    on_bytes: Option<&'o (dyn Fn(u64) + Sync)>,
}

impl<'o> VerifyOptions<'o> {
    /// Everything, of all topics.
    pub fn new() -> VerifyOptions<'o> {
        VerifyOptions::default()
    }

    /// Only these topics. Default: all, the internal ones among them.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = Some(topics.into_iter().map(Into::into).collect());
        self
    }

    /// Whether only the headers of batches are read, and the small files as a whole. Default: false.
    ///
    /// It takes a small part of the time where batches are large, and finds what is missing, cut short, exchanged or out of place; a
    /// byte that has changed within the records of a batch it does not find.
    pub fn headers_only(mut self, headers_only: bool) -> Self {
        self.headers_only = headers_only;
        self
    }

    /// Who is told how many more bytes of log files were dealt with, from several threads, every few hundred kilobytes at least. Default:
    /// nobody.
    pub fn on_bytes(mut self, on_bytes: &'o (dyn Fn(u64) + Sync)) -> Self {
        self.on_bytes = Some(on_bytes);
        self
    }
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("topics", &self.topics)
            .field("headers_only", &self.headers_only)
            .finish_non_exhaustive()
    }
}

/// What [`Admin::verify`] found.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let report = broker.admin().verify()?;
/// assert!(report.is_clean(), "{report}");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    partitions: Vec<PartitionVerification>,
    catalog_damage: Option<Corruption>,
    catalog_repairable: Option<Corruption>,
    /// How many files were compared with the report of the backup that the directory is, if it is one.
    backup_file_count: Option<usize>,
    backup_damage: Vec<Corruption>,
}

impl VerifyReport {
    /// What was found in each partition, those of internal topics among them.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionVerification] {
        &self.partitions
    }

    /// Everything that is lost: it was written once and is not there any more.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        let of_all = self.catalog_damage.iter().chain(&self.backup_damage);
        of_all.chain(self.partitions.iter().flat_map(PartitionVerification::damage))
    }

    /// Everything that is damaged and can be made anew without a loss: caches, and second copies. The next opening does that, or
    /// the next write of the file.
    pub fn repairable(&self) -> impl Iterator<Item = &Corruption> {
        self.catalog_repairable.iter().chain(self.partitions.iter().flat_map(PartitionVerification::repairable))
    }

    /// Whether nothing was found, in any partition.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.catalog_damage.is_none()
            && self.catalog_repairable.is_none()
            && self.backup_damage.is_empty()
            && self.partitions.iter().all(PartitionVerification::is_clean)
    }
}

/// A line on how much was read, then one for each finding.
impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |count: fn(&PartitionVerification) -> u64| self.partitions.iter().map(count).sum::<u64>();
        write!(
            f,
            "verified {} partitions: {} records in {} batches, {} bytes, {} index entries",
            self.partitions.len(),
            sum(PartitionVerification::record_count),
            sum(PartitionVerification::batch_count),
            sum(PartitionVerification::log_bytes),
            sum(PartitionVerification::index_entry_count),
        )?;
        if let Some(count) = self.backup_file_count {
            write!(f, "; {count} files against the report of the backup")?;
        }
        self.damage().try_for_each(|damage| write!(f, "\nlost: {damage}"))?;
        self.repairable().try_for_each(|damage| write!(f, "\nrepairable: {damage}"))?;
        let mut failures = self.partitions.iter().filter_map(PartitionVerification::failure);
        failures.try_for_each(|failure| write!(f, "\nnot verified: {}", failure.with_causes()))
    }
}

impl Admin<'_> {
    /// Reads everything that is on the disk and checks it: the checksum of every batch and of every sealed file, every record,
    /// every index entry, and the small files beside them. It takes as long as reading all the data; appends, polls and the
    /// maintenance go on. Nothing is changed.
    ///
    /// As in Kafka, the checksum of a batch does not cover its [leader epoch](crate::guide::concepts#leader-epochs): that is checked once
    /// its segment is full. Records that are not in a segment yet are not checked, since they are in memory. A directory that another process writes can be verified meanwhile, if it is opened
    /// [read-only](crate::Broker::open_read_only).
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Io`] for a lack of handles or memory. Whatever is wrong with the files is in the report.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let report = broker.admin().verify()?;
    /// println!("{report}");
    /// assert!(report.is_clean());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(&VerifyOptions::new())
    }

    /// The same of some topics, or without reading all bytes, as the options say. The catalog is always looked at.
    ///
    /// # Errors
    /// As [`verify`](Admin::verify); [`Error::UnknownTopic`].
    ///
    /// # Examples
    /// ```
    /// use ottla::VerifyOptions;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let report = broker.admin().verify_with(&VerifyOptions::new().headers_only(true))?;
    /// assert!(report.is_clean(), "{report}");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn verify_with(&self, options: &VerifyOptions<'_>) -> Result<VerifyReport> {
        self.broker.store.verify(options)
    }
}

impl Store {
    fn verify(&self, options: &VerifyOptions<'_>) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let topics = self.topics_or_known()?;
        if let Some(unknown) = options.topics.iter().flatten().find(|name| !topics.contains_key(name.as_str())) {
            self.topic(unknown)?;
        }
        self.verify_catalog(&mut report)?;
        let is_wanted = |entry: &&Arc<TopicEntry>| match &options.topics {
            Some(wanted) => wanted.contains(&*entry.name),
            None => true,
        };
        let mut entries: Vec<_> = topics.values().filter(is_wanted).collect();
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let sources = entries.into_iter().flat_map(|entry| entry.partitions.iter().map(move |source| (entry, source)));
        let on_bytes = options.on_bytes.unwrap_or(&|_| {});
        let sources: Vec<_> = sources.collect();
        // Where there are few partitions, several segments of each are read at a time.
        let threads = parallel::cores() / sources.len().max(1);
        let reading = Reading { is_of_headers: options.headers_only, threads, on_bytes };
        let verified =
            parallel::compute_for_all(sources, |(entry, source)| self.verify_partition(entry, source, reading));
        if options.topics.is_none() {
            self.verify_backup(&mut report, !options.headers_only)?;
        }
        report.partitions = verified.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok(report)
    }

    fn verify_catalog(&self, report: &mut VerifyReport) -> Result<()> {
        let corruption = |reason| {
            let path = self.config.dir.join(catalog::FILE_NAME);
            Corruption { partition: None, path, file_position: 0, offsets: None, reason }
        };
        match Catalog::open_read_only(Arc::clone(&self.config.disk), &self.config.dir) {
            Ok(catalog) if catalog.is_new() => report.catalog_damage = Some(corruption("the catalog is missing")),
            Ok(_) if Catalog::is_whole(&*self.config.disk, &self.config.dir)? => {}
            Ok(_) => report.catalog_repairable = Some(corruption("a generation of the catalog is damaged or missing")),
            Err(Error::Corrupt(damage)) => report.catalog_damage = Some(*damage),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Compares the files of a backup with its report.
    fn verify_backup(&self, report: &mut VerifyReport, reads_bytes: bool) -> Result<()> {
        let (disk, dir) = (&*self.config.disk, &*self.config.dir);
        let backup = match BackupReport::load(disk, dir) {
            Ok(None) => return Ok(()),
            Ok(Some(backup)) => backup,
            Err(Error::Corrupt(damage)) => {
                report.backup_damage.push(*damage);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        report.backup_file_count = Some(backup.files.len());
        let checked = parallel::compute_for_all(backup.files, |file| {
            let reason = file.check(disk, dir, reads_bytes)?;
            let path = dir.join(&file.path);
            Some(Corruption { partition: None, path, file_position: 0, offsets: None, reason })
        });
        report.backup_damage.extend(checked.into_iter().flatten());
        Ok(())
    }

    /// The topics; where the catalog is damaged, what is known of them in memory.
    fn topics_or_known(&self) -> Result<Arc<Topics>> {
        match self.topics() {
            Err(Error::Corrupt(_)) => Ok(self.registry.all()),
            topics => topics,
        }
    }

    /// `None` if the topic was deleted meanwhile, here or by another process.
    fn verify_partition(
        &self,
        entry: &TopicEntry,
        TopicPartitionSource { address, source }: &TopicPartitionSource,
        reading: Reading<'_>,
    ) -> Result<Option<PartitionVerification>> {
        let is_there = || {
            let topics = self.topics_or_known();
            topics.map(|topics| topics.get(&entry.name).is_some_and(|found| found.topic_id == entry.topic_id))
        };
        match source.verify(reading) {
            Ok(found) if found.is_clean() || is_there()? => Ok(Some(found)),
            Err(error) if is_there()? => {
                let broken = Broken::of(error, address, &partition_dir::path_of(&self.config.dir, address))?;
                Ok(Some(PartitionVerification::of_broken(address.clone(), broken)))
            }
            _ => Ok(None),
        }
    }
}
