//! Verifying a whole data directory.

use std::fmt;
use std::sync::Arc;

use super::catalog::{self, Catalog};
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::{Admin, partition_dir};
use crate::error::{Corruption, Error, Result};
use crate::partition::broken::Broken;
use crate::partition::verification::PartitionVerification;

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
}

impl VerifyReport {
    /// What was found in each partition, those of internal topics among them.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionVerification] {
        &self.partitions
    }

    /// Everything that is lost: it was written once and is not there any more.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.catalog_damage.iter().chain(self.partitions.iter().flat_map(PartitionVerification::damage))
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
        self.broker.store.verify()
    }
}

impl Store {
    fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
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
        let topics = || match self.topics() {
            // What is known of it, in memory.
            Err(Error::Corrupt(_)) => Ok(self.registry.all()),
            topics => topics,
        };
        let is_there = |entry: &TopicEntry| {
            topics().map(|topics| topics.get(&entry.name).is_some_and(|found| found.topic_id == entry.topic_id))
        };
        let topics = topics()?;
        let mut names: Vec<_> = topics.keys().collect();
        names.sort_unstable();
        for entry in names.into_iter().filter_map(|name| topics.get(name)) {
            for TopicPartitionSource { address, source } in entry.partitions.iter() {
                match source.verify() {
                    Ok(found) if found.is_clean() => report.partitions.push(found),
                    // Or else its topic was deleted meanwhile, here or by another process.
                    Ok(found) if is_there(entry)? => report.partitions.push(found),
                    Err(error) if is_there(entry)? => {
                        let broken = Broken::of(error, address, &partition_dir::path_of(&self.config.dir, address))?;
                        report.partitions.push(PartitionVerification::of_broken(address.clone(), broken));
                    }
                    _ => {}
                }
            }
        }
        Ok(report)
    }
}
