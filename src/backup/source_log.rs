//! A log of a backup, to be restored.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::broker::catalog::CatalogEntry;
use crate::broker::copying::spec_of;
use crate::disk::open_files::OpenFiles;
use crate::error::{Corruption, Error, Result};
use crate::format::{BatchHeader, EndTransactionMarker};
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::log_copy::LogBounds;
use crate::partition::log_spec::LogSpec;
use crate::partition::manifest::{Manifest, ManifestSegment};
use crate::segment::{Segment, SegmentDir};
use crate::topic_partition::TopicPartition;

/// A log of a backup.
pub(super) struct SourceLog {
    pub(super) spec: LogSpec,
    pub(super) manifest: Manifest,
    pub(super) bounds: LogBounds,
    pub(super) segments: Vec<Segment>,
}

impl SourceLog {
    /// The log of partition `number` of a topic in the backup `dir`, which has these offsets as the report says.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; those of the disk.
    pub(super) fn open(
        files: &Arc<OpenFiles>,
        dir: &Path,
        (name, entry): (&Arc<str>, &CatalogEntry),
        number: u32,
        offsets: Range<u64>,
    ) -> Result<SourceLog> {
        let spec = spec_of(dir, name, entry, number);
        let disk = &**files.disk();
        let Some(loaded) = Manifest::load(disk, &spec.dir, spec.id())? else {
            return Err(damage(&spec, "the manifest of a partition of the backup is missing"));
        };
        let Some(epochs) = LeaderEpochs::load(disk, &spec.dir)? else {
            return Err(damage(&spec, "the leader epochs of a partition of the backup are missing"));
        };
        let manifest = loaded.manifest;
        let reached = manifest.segments.last().map_or(manifest.log_start_offset, |last| last.sealed.next_offset);
        if manifest.log_start_offset != offsets.start || offsets.end < reached {
            return Err(damage(
                &spec,
                "the manifest of a partition of the backup and its report contradict each other",
            ));
        }
        let bounds = LogBounds {
            log_start_offset: offsets.start,
            next_offset: offsets.end,
            clean_offset: manifest.clean_offset(),
            epochs,
        };
        let (path, partition) = (spec.dir.clone(), spec.partition.clone());
        let segment_dir = Arc::new(SegmentDir { files: Arc::clone(files), path, partition, is_read_only: true });
        let config = spec.segment_config();
        let open = |noted: &ManifestSegment| Segment::open_sealed(&segment_dir, &noted.sealed, config);
        let segments = manifest.segments.iter().map(open).collect();
        Ok(SourceLog { spec, manifest, bounds, segments })
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.spec.partition
    }

    /// Shows each batch of a producer, and the marker that it is, if so.
    ///
    /// # Errors
    /// Those of the disk; [`Error::Corrupt`] if a file is missing.
    pub(super) fn visit_producers(
        &self,
        visit: &mut dyn FnMut(&BatchHeader, Option<EndTransactionMarker>),
    ) -> Result<()> {
        let segments = self.manifest.segments.iter().zip(&self.segments);
        for (_, segment) in segments.filter(|(noted, _)| noted.has_producers()) {
            segment.visit_producers((0, segment.base_offset()), &mut *visit)?;
        }
        Ok(())
    }

    /// The error for what is not there.
    pub(super) fn missing(&self, reason: &'static str) -> Error {
        damage(&self.spec, reason)
    }
}

fn damage(spec: &LogSpec, reason: &'static str) -> Error {
    let (partition, path) = (Some(spec.partition.clone()), spec.dir.clone());
    Error::Corrupt(Box::new(Corruption { partition, path, file_position: 0, offsets: None, reason }))
}
