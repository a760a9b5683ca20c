//! A backup that is being restored.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cut::{Cut, RecordReader};
use super::cut_transactions::{Ending, Endings};
use super::losses::Losses;
use super::moving_back::move_groups_back;
use super::restore_options::RestoreOptions;
use super::restore_report::{RestoreReport, RestoredPartition};
use super::source_log::SourceLog;
use super::transfer::{Transfer, TransferOptions};
use crate::broker::backup_report::{BackupReport, not_a_backup};
use crate::broker::catalog::{Catalog, DirectoryIdentity};
use crate::broker::unfinished::UnfinishedDir;
use crate::broker::{Broker, going_back, partition_dir, shutdown, topic_name};
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::format::{BatchBuilder, BatchHeader, BatchStart, SealFields};
use crate::parallel;
use crate::partition::log_copy::{LogBounds, LogCopy};
use crate::partition::log_spec::LogSpec;
use crate::topic_partition::TopicPartition;

/// A backup that is being restored.
pub(super) struct Restore<'o> {
    options: &'o RestoreOptions,
    disk: Arc<dyn Disk>,
    backup: PathBuf,
    report: BackupReport,
    catalog: Catalog,
    target: UnfinishedDir,
    files: Arc<OpenFiles>,
}

impl<'o> Restore<'o> {
    /// Looks at the backup, and makes the target.
    ///
    /// # Errors
    /// Those of [`Broker::restore_with`].
    pub(super) fn begin(backup: &Path, target: &Path, options: &'o RestoreOptions) -> Result<Restore<'o>> {
        let disk = Arc::clone(&options.disk);
        let backup = disk.resolve(backup).map_err(|e| Error::io("find", backup, e))?;
        let report = BackupReport::load(&*disk, &backup)?.ok_or_else(|| not_a_backup(&backup))?;
        let catalog = Catalog::open_read_only(Arc::clone(&disk), &backup)?;
        check_catalog(&backup, &report, &catalog)?;
        let target = UnfinishedDir::begin(Arc::clone(&disk), target)?;
        let files = OpenFiles::for_copies(&disk);
        Ok(Restore { options, disk, backup, report, catalog, target, files })
    }

    /// Restores it.
    ///
    /// # Errors
    /// Those of [`Broker::restore_with`].
    pub(super) fn make(self) -> Result<RestoreReport> {
        let logs = self.open_logs()?;
        self.check_offsets()?;
        let cuts = parallel::compute_for_all(logs.iter().collect(), |log| self.cut_of(log));
        let cuts: Vec<Cut> = cuts.into_iter().collect::<Result<_>>()?;
        let logs: Vec<(SourceLog, u64)> = logs.into_iter().zip(cuts.iter().map(|cut| cut.offset)).collect();
        let endings = if self.options.cuts() { Endings::of(&logs)? } else { Endings::default() };
        let identity = self.identity()?;
        self.copy_logs(&logs, &endings, identity)?;
        let topics = self.catalog.live_topics().map(|(name, entry)| (Arc::clone(name), entry.clone()));
        Catalog::create_copy(Arc::clone(&self.disk), self.target.path(), identity, topics)?;
        shutdown::mark_clean(&*self.disk, self.target.path())?;
        let losses = Losses { torn: endings.torn, ..Losses::default() };
        let mut report = RestoreReport { losses, ..RestoreReport::default() };
        self.settle(&logs, &mut report)?;
        for ((log, offset), cut) in logs.iter().zip(cuts) {
            let (partition, not_later) = (log.partition().clone(), cut.not_later);
            let offsets = log.bounds.log_start_offset.min(*offset)..*offset;
            report.partitions.push(RestoredPartition { partition, offsets, not_later });
        }
        report.partitions.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
        self.target.finish()?;
        Ok(report)
    }

    fn open_logs(&self) -> Result<Vec<SourceLog>> {
        let mut logs = Vec::new();
        for (name, entry) in self.catalog.live_topics() {
            for number in 0..entry.config.partitions {
                let partition = TopicPartition::new(Arc::clone(name), number);
                let Some(offsets) = self.report.offsets(&partition) else {
                    let reason = "its report does not have a partition that its catalog has; take another backup";
                    return Err(Error::NotABackup { path: self.backup.clone(), reason });
                };
                logs.push(SourceLog::open(&self.files, &self.backup, (name, entry), number, offsets)?);
            }
        }
        Ok(logs)
    }

    /// Fails if an offset was asked for that the backup does not have.
    fn check_offsets(&self) -> Result<()> {
        for (partition, &requested) in &self.options.offsets {
            let Some(offsets) = self.report.offsets(partition) else {
                return Err(self.unknown(partition));
            };
            if requested < offsets.start || offsets.end < requested {
                let (partition, log_start_offset, log_end_offset) = (partition.clone(), offsets.start, offsets.end);
                return Err(Error::OffsetOutOfRange { partition, requested, log_start_offset, log_end_offset });
            }
        }
        Ok(())
    }

    fn unknown(&self, partition: &TopicPartition) -> Error {
        match self.catalog.get(partition.topic()) {
            None => topic_name::unknown(partition.topic()),
            Some(entry) => {
                Error::UnknownPartition { partition: partition.clone(), partition_count: entry.config.partitions }
            }
        }
    }

    fn cut_of(&self, log: &SourceLog) -> Result<Cut> {
        let whole = Cut { offset: log.bounds.next_offset, not_later: Vec::new() };
        match (self.options.offsets.get(log.partition()), self.options.time) {
            (Some(&offset), _) => Ok(Cut { offset, ..whole }),
            (None, Some(time)) if !log.spec.is_internal => Cut::at_time(log, time.as_millis()),
            _ => Ok(whole),
        }
    }

    fn identity(&self) -> Result<DirectoryIdentity> {
        let above = match self.options.above.as_deref() {
            Some(dir) => {
                let catalog = Catalog::open_read_only(Arc::clone(&self.disk), dir)?;
                if catalog.is_new() {
                    let reason =
                        "no log is kept there; give the directory that the backup was made from, or leave it out";
                    return Err(Error::NotADataDirectory { path: dir.to_owned(), reason });
                }
                Some((dir, catalog))
            }
            None => None,
        };
        let above = above.as_ref().map(|(dir, catalog)| (*dir, catalog));
        going_back::identity_of_restored(&*self.disk, (&self.backup, &self.catalog), above)
    }

    fn copy_logs(&self, logs: &[(SourceLog, u64)], endings: &Endings, identity: DirectoryIdentity) -> Result<()> {
        let copies = self.options.copies;
        let options = TransferOptions { what: "restore", bytes_per_second: None, copies, on_progress: None };
        let mut transfer = Transfer::new(&self.disk, options);
        let mut written = Vec::new();
        for (number, (log, cut)) in logs.iter().enumerate() {
            let endings = endings.of_logs.get(number).map_or(&[][..], |endings| endings);
            written.push(self.copy_log(log, *cut, endings, identity.least_leader_epoch(), &mut transfer)?);
        }
        let finished = parallel::for_all(written, |(copy, bounds)| copy.finish(&bounds).map(drop));
        finished.into_iter().collect()
    }

    fn copy_log(
        &self,
        log: &SourceLog,
        cut: u64,
        endings: &[Ending],
        leader_epoch: i32,
        transfer: &mut Transfer<'_>,
    ) -> Result<(LogCopy, LogBounds)> {
        let (disk, target) = (&*self.disk, self.target.path());
        partition_dir::create(disk, target, log.partition(), log.spec.topic_id)?;
        let dir = partition_dir::path_of(target, log.partition());
        let mut copy = LogCopy::new(LogSpec { dir, ..log.spec.clone() }, &self.files);
        let mut last = None;
        for (noted, segment) in log.manifest.segments.iter().zip(&log.segments) {
            if noted.sealed.next_offset <= cut {
                let to = &copy.dir().path;
                let is_there = transfer.link_segment(noted, &log.spec.dir, to)?
                    || transfer.copy_segment(noted, &log.spec.dir, to)?;
                if !is_there {
                    return Err(log.missing("a log file of the backup is missing"));
                }
                if !noted.sealed.has_size_in(disk, to)? {
                    return Err(log.missing("a log file of the backup does not have the size that it was made with"));
                }
                copy.adopt(noted.clone());
            } else if noted.sealed.base_offset < cut {
                copy_prefix(log, segment, cut, &mut copy)?;
                last = Some(noted.sealed.base_offset);
            }
        }
        let mut bounds = log.bounds.clone();
        bounds.log_start_offset = bounds.log_start_offset.min(cut);
        bounds.clean_offset = bounds.clean_offset.min(cut);
        bounds.next_offset = cut;
        bounds.epochs.truncate_to(cut);
        for (offset, ending) in (cut..).zip(endings) {
            bounds.epochs.assign(leader_epoch, offset);
            let base_offset = last.unwrap_or(cut);
            let (header, marker) = ending.marker.batch(offset, leader_epoch, ending.producer, disk.now_ms());
            copy.append(base_offset, &marker, &header)?;
            bounds.next_offset = offset + 1;
        }
        Ok((copy, bounds))
    }

    /// Opens what was restored, which ends what stands open, and moves groups back that have committed what is not there any more.
    fn settle(&self, logs: &[(SourceLog, u64)], report: &mut RestoreReport) -> Result<()> {
        let broker = Broker::open_copy(Arc::clone(&self.disk), self.target.path())?;
        let end_of =
            |partition: &TopicPartition| logs.iter().find(|(log, _)| log.partition() == partition).map(|(_, cut)| *cut);
        report.losses.moved_back = move_groups_back(&broker, end_of)?;
        broker.close()
    }
}

/// Fails if the report has a partition that the catalog does not have: nothing may be left out without a word.
fn check_catalog(backup: &Path, report: &BackupReport, catalog: &Catalog) -> Result<()> {
    let has = |partition: &TopicPartition| {
        catalog
            .live_topics()
            .any(|(name, entry)| **name == *partition.topic() && partition.partition() < entry.config.partitions)
    };
    if report.partitions().all(has) {
        return Ok(());
    }
    let reason = "its catalog does not have a partition that its report has; take another backup";
    Err(Error::NotABackup { path: backup.to_owned(), reason })
}

/// Copies the batches of a segment below `cut`, and the part of a batch that lies below.
fn copy_prefix(log: &SourceLog, segment: &crate::segment::Segment, cut: u64, copy: &mut LogCopy) -> Result<()> {
    let base_offset = segment.base_offset();
    let mut reader = RecordReader::default();
    segment.visit_batches(&mut |header, batch| {
        if cut <= header.base_offset() {
            return Ok(false);
        }
        if header.next_offset() <= cut {
            copy.append(base_offset, batch, header)?;
        } else if let Some((header, batch)) = reader.prefix(log, segment, (header, batch), cut)? {
            copy.append(base_offset, batch, &header)?;
        }
        Ok(true)
    })?;
    if copy.written_to(base_offset).is_none() {
        // Compaction has left nothing there, and that is no hole.
        append_empty(copy, base_offset..cut, log.bounds.epochs.least_from(base_offset))?;
    }
    copy.end_segment_at(base_offset, cut);
    Ok(())
}

/// Appends a batch without records that has these offsets, as compaction leaves one.
fn append_empty(copy: &mut LogCopy, offsets: Range<u64>, leader_epoch: i32) -> Result<()> {
    let mut builder = BatchBuilder::new();
    builder.clear(offsets.start, -1);
    let start = BatchStart { leader_epoch, ..builder.fields().start };
    let last_offset_delta = i32::try_from(offsets.end - offsets.start - 1).unwrap_or(i32::MAX);
    let fields = SealFields { start, last_offset_delta, max_timestamp: -1, record_count: 0 };
    let batch = builder.finish(&fields).expect("what is not compressed needs no codec");
    let header = BatchHeader::decode(batch).expect("a header that was just encoded");
    copy.append(offsets.start, batch, &header)
}
