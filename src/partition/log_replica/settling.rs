//! From one state of a log to the next: what makes it survive, and what has it be what there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::LogReplica;
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::disk::{SyncError, remove_if_there};
use crate::error::Result;
use crate::partition::compaction::recovery as replacing;
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::log_copy::LogBounds;
use crate::partition::log_offer::LogOffer;
use crate::partition::log_state::LogState;
use crate::partition::manifest::{LoadedManifest, Manifest, ManifestSegment};
use crate::partition::recovery_point::RecoveryPoint;
use crate::segment::file_name::{self, FileKind, Stage};

impl LogReplica {
    /// What it is to be, with what the source has: its segments, as far as they have come here, and its bounds.
    pub(crate) fn state_like(&self, offer: &LogOffer) -> LogState {
        let is_here = |base_offset: &u64| self.written.contains_key(base_offset);
        let (noted, bounds) = (&offer.noted, &offer.bounds);
        LogState {
            log: self.spec.id(),
            next_offset: bounds.next_offset,
            manifest_crc32: self.manifest_with(noted, bounds).crc32(),
            written: offer.unnoted.iter().map(|segment| segment.base_offset).filter(is_here).collect(),
            epochs: bounds.epochs.clone(),
        }
    }

    fn manifest_with(&self, noted: &[ManifestSegment], bounds: &LogBounds) -> Manifest {
        let of_log = Manifest::of_copy(self.spec.id(), bounds.log_start_offset, bounds.clean_offset);
        of_log.with_segments(noted.to_vec())
    }

    /// Makes all that was brought here survive a power cut, for the [`state`](LogReplica::state_like) that is like this offer. Nothing of it
    /// counts yet.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn prepare(&mut self, state: &LogState, offer: &LogOffer) -> Result<()> {
        let noted = &offer.noted;
        let bases: BTreeSet<u64> = noted.iter().map(|noted| noted.sealed.base_offset).collect();
        if !self.noted.keys().all(|base_offset| bases.contains(base_offset)) {
            Arc::make_mut(&mut self.noted).retain(|base_offset, _| bases.contains(base_offset));
        }
        self.written.retain(|base_offset, segment| {
            let stays = state.written.contains(base_offset);
            if !stays {
                segment.close_for_good();
            }
            stays
        });
        for segment in self.written.values() {
            segment.settle().map_err(AppendError::into_inner)?;
            if !planted(Canary::NoteReplicaEarly) {
                segment.sync().map_err(SyncError::into_inner)?;
            }
        }
        for &base_offset in self.staged.intersection(&bases) {
            file_name::move_files(self.disk(), &self.dir.path, base_offset, Stage::Cleaned, Stage::Swap)?;
        }
        if self.changes_manifest(state) {
            self.manifest_with(noted, &offer.bounds).store_next(self.disk(), &self.dir.path)?;
        }
        self.sync_dir()
    }

    /// Whether another manifest is to be there, or the first one: where there are several segments, one that is missing is lost.
    fn changes_manifest(&self, state: &LogState) -> bool {
        state.manifest_crc32 != self.settled.manifest_crc32 || self.settled.next_offset == 0
    }

    /// Has a state that was prepared, and noted, be what there is.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is missing; the disk's. [`resume`](LogReplica::resume) does the rest then.
    pub(crate) fn settle(&mut self, state: LogState) -> Result<()> {
        if self.changes_manifest(&state) || self.has_staged() || state.epochs != self.settled.epochs {
            self.put_in_place(&state)?;
        }
        self.staged.clear();
        self.behind.clear();
        if state.next_offset != self.settled.next_offset {
            self.note_point(&state.epochs)?;
        }
        self.settled = state;
        Ok(())
    }

    /// Notes for who reads along how far it is synced. If a power cut takes that, it is only known to be synced less far.
    pub(super) fn note_point(&mut self, epochs: &LeaderEpochs) -> Result<()> {
        let Some((_, segment)) = self.written.last_key_value() else { return Ok(()) };
        let point = RecoveryPoint::of_synced(segment, epochs.least_from(segment.next_offset()));
        self.point.store(&self.dir.files, &point)
    }

    /// Removes every file that does not count, also such as would save work.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn leave_only_what_counts(&self) -> Result<()> {
        self.remove_superfluous(&self.settled, &self.noted.values().cloned().collect::<Vec<_>>(), u64::MAX)?;
        self.sync_dir()
    }

    pub(super) fn put_in_place(&self, state: &LogState) -> Result<Manifest> {
        let manifest = Manifest::take_next(self.disk(), &self.dir.path, self.spec.id(), state.manifest_crc32)?;
        let Some(manifest) = manifest else {
            return Err(self.missing("the manifest of a replica's log is not the one that was noted"));
        };
        let loaded = LoadedManifest { manifest, fell_back: false };
        replacing::settle(self.disk(), &self.dir.path, Some(&loaded))?;
        // What begins behind the end may be taken as it is by who goes on.
        self.remove_superfluous(state, &loaded.manifest.segments, state.next_offset)?;
        if LeaderEpochs::load(self.disk(), &self.dir.path)?.unwrap_or_default() != state.epochs {
            state.epochs.store(self.disk(), &self.dir.path)?;
        }
        self.sync_dir()?;
        Ok(loaded.manifest)
    }

    /// Removes files below `end` of segments that there are not in `state`.
    fn remove_superfluous(&self, state: &LogState, noted: &[ManifestSegment], end: u64) -> Result<()> {
        let bases: BTreeSet<u64> =
            noted.iter().map(|noted| noted.sealed.base_offset).chain(state.written.iter().copied()).collect();
        let snapshots: BTreeSet<u64> = noted.iter().map(|noted| noted.sealed.next_offset).collect();
        for name in file_name::list(self.disk(), &self.dir.path)? {
            let known = if name.kind == FileKind::ProducerSnapshot { &snapshots } else { &bases };
            if name.stage == Stage::Live && name.base_offset < end && !known.contains(&name.base_offset) {
                remove_if_there(self.disk(), &name.path(&self.dir.path))?;
            }
        }
        Ok(())
    }
}
