//! Going on with a log where a process that was stopped has left it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use super::LogReplica;
use crate::disk::Open;
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::log_spec::LogSpec;
use crate::partition::log_state::LogState;
use crate::partition::manifest::ManifestSegment;
use crate::partition::recovery_point::RecoveryPointFile;
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{KnownBatches, ScanStart, Segment};

impl LogReplica {
    /// Goes on with a log that is to be at `state`: does what is left to do, and cuts off what came behind.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is missing; the disk's.
    pub(crate) fn resume(spec: LogSpec, files: &Arc<OpenFiles>, state: LogState) -> Result<LogReplica> {
        let mut replica = LogReplica::begin(spec, files);
        let manifest = replica.put_in_place(&state)?;
        let mut noted_by_base = BTreeMap::new();
        for noted in manifest.segments {
            let base_offset = noted.sealed.base_offset;
            if !replica.is_there(&noted)? {
                replica.lost.insert(base_offset);
            }
            noted_by_base.insert(base_offset, noted);
        }
        replica.noted = Arc::new(noted_by_base);
        let loaded = RecoveryPointFile::load(replica.disk(), &replica.dir.path, replica.spec.id())?;
        replica.point = loaded.file;
        let ends = state.written.iter().skip(1).copied().chain([state.next_offset]);
        for (&base_offset, end) in state.written.iter().zip(ends) {
            let known = loaded.point.as_ref().filter(|point| point.base_offset == base_offset);
            let known = known.map(|point| point.synced).filter(|synced| synced.next_offset <= end);
            let segment = replica.reopen(base_offset, end, known)?;
            replica.written.insert(base_offset, segment);
        }
        if loaded.is_damaged {
            // A power cut has torn what said how far it is synced.
            replica.renew_point(&state.epochs)?;
        }
        replica.behind = replica.find_behind(&state)?;
        replica.settled = state;
        Ok(replica)
    }

    fn find_behind(&self, state: &LogState) -> Result<BTreeSet<u64>> {
        let is_behind = |name: &FileName| {
            let is_live_log = name.kind == FileKind::Log && name.stage == Stage::Live;
            is_live_log && state.next_offset <= name.base_offset && !self.written.contains_key(&name.base_offset)
        };
        let names = file_name::list(self.disk(), &self.dir.path)?;
        Ok(names.into_iter().filter(is_behind).map(|name| name.base_offset).collect())
    }

    /// Whether the log file of a sealed segment has its size; also if another one could not be told from it.
    fn is_there(&self, noted: &ManifestSegment) -> Result<bool> {
        if noted.log_crc32.is_none() {
            return Ok(true);
        }
        let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(&self.dir.path);
        match self.disk().open(&path, Open::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            opened => {
                let file = opened.map_err(|source| Error::io("open", &path, source))?;
                Ok(file.size_when_opened() == noted.sealed.log_bytes)
            }
        }
    }

    /// Opens a segment that is written batch by batch, and has it end at `end`. So far it is `known` to be synced.
    fn reopen(&self, base_offset: u64, end: u64, known: Option<ScanStart>) -> Result<Segment> {
        let from = known.unwrap_or_else(|| ScanStart::nothing(base_offset));
        let mut segment = self.recover(base_offset, end, from)?;
        if end < segment.next_offset() {
            let found = segment.locate(end)?.filter(|found| found.header.base_offset() == end);
            let position = found.map(|found| found.file_position);
            let path = segment.path();
            segment.close_for_good();
            let Some(position) = position else {
                return Err(self.missing("a batch of a replica's log does not begin where the log ends"));
            };
            let cut = || -> std::io::Result<()> {
                let file = self.disk().open(&path, Open::Write)?;
                file.set_size(position)?;
                file.sync()
            };
            cut().map_err(|source| Error::io("cut", &path, source))?;
            segment = self.recover(base_offset, end, from)?;
        }
        if segment.next_offset() != end {
            return Err(self.missing("a segment of a replica's log ends too early"));
        }
        segment.cut_tail()?;
        Ok(segment)
    }

    fn recover(&self, base_offset: u64, end: u64, from: ScanStart) -> Result<Segment> {
        let nothing = KnownBatches::new(Vec::new(), 0);
        let recovered = Segment::recover(&self.dir, base_offset, self.spec.segment_config(), from, end, &nothing);
        let (segment, scan) = match recovered {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(self.missing("a segment of a replica's log is missing"));
            }
            recovered => recovered?,
        };
        match scan.damaged.first() {
            Some(damage) => Err(Error::Corrupt(Box::new(segment.corruption(damage)))),
            None => Ok(segment),
        }
    }

    fn renew_point(&mut self, epochs: &LeaderEpochs) -> Result<()> {
        if self.written.is_empty() {
            // The manifest says all there is to be said.
            return RecoveryPointFile::remove(self.disk(), &self.dir.path);
        }
        // One for each place that may be torn.
        self.note_point(epochs)?;
        self.note_point(epochs)
    }
}
