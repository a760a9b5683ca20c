//! One partition's log, read while another process writes it.
//!
//! Nothing is changed, and whatever is read is checked. Each read that comes to the end of what is known looks again, the tail
//! first and the segments after it: a batch that is sealed in between is found twice rather than not at all. Where the tail says
//! that nothing was appended but to the batches that are known, the segments are not looked at.
//!
//! How far may be read is what the writer would show: everything that is published or, with `Always`, everything that is proven
//! to be durable: by the manifest, the recovery point, or a slot's word. Where the machine was restarted since anybody wrote,
//! all that is there is on the medium. What could be read once stays below the end: what is bad of it then is damage.
//!
//! Where logs are compacted, files of the same names come to hold something else. What was read then counts only if the manifest
//! and the files that wait to be swapped are the same afterwards; else it is all looked at again.

mod contents;
mod looking;
mod surroundings;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::broken::Broken;
use super::isolation::Isolation;
use super::leader_epoch::LeaderEpochs;
use super::log_spec::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::partition_metrics::PartitionMetrics;
use super::producer_state::OpenTransaction;
use super::producer_state::gathering::Transactions;
use super::reader::{FetchLimits, Place, Source, TailBytes, TailRecords};
use super::recovery::{check_owner, damage_of_sealed, epochs_of, last_leader_epoch, segment_dir};
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Corruption, Error, Result};
use crate::record::Fetched;
use crate::segment::file_name::{FileKind, FileName, Stage};
use crate::segment::{Segment, SegmentDir};
use crate::sync::Mutex;
use crate::tail::{FollowedBatch, FollowedPartition};
use crate::topic_partition::TopicPartition;
pub(crate) use surroundings::{Durabilities, Questions, Surroundings};

/// The log of one partition, open for reading only.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(super) spec: LogSpec,
    pub(super) dir: Arc<SegmentDir>,
    surroundings: Arc<Surroundings>,
    /// Why the directory is not to be looked into.
    broken: Option<Broken>,
    /// When it was found last to be there and this topic's.
    present: Mutex<Option<Present>>,
    seen: Mutex<Arc<Seen>>,
}

/// When a directory was there and its topic's.
#[derive(Debug, Clone, Copy)]
struct Present {
    /// What the tails said before it was looked.
    deletions: [u64; 2],
    /// By the monotonic clock.
    at: Duration,
}

/// So often at most it is looked whether the directory is there, where the tails do not say that anything was deleted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was found when it was last looked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) files: Arc<Files>,
    tails: FollowedPartition,
    /// Those batches of `tails` that continue the segments.
    tail: Vec<Arc<FollowedBatch>>,
    /// Where segments and tail end, of which the last part may not be shown yet.
    end: u64,
    bounds: Range<u64>,
    /// What who reads committed records has to know, if a transaction is open or was aborted.
    transactions: Option<Arc<Transactions>>,
    /// Below it everything is proven to survive a power cut.
    durable_offset: u64,
    /// Whether only what is proven to be durable is shown.
    is_always: bool,
}

impl Seen {
    /// One above the last offset that readers of this isolation may see.
    fn end(&self, isolation: Isolation) -> u64 {
        let unstable = self.transactions.as_ref().and_then(|known| known.first_unstable_offset());
        let unstable = unstable.filter(|_| isolation == Isolation::ReadCommitted);
        self.bounds.end.min(unstable.unwrap_or(u64::MAX))
    }
}

/// What was found when the files of the partition were last looked at.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) layout: Layout,
    pub(super) segments: Vec<Arc<Segment>>,
    /// What was synced once and cannot be read any more.
    pub(super) damage: Vec<Corruption>,
    /// First offset of the segments, and one above their last.
    offsets: Range<u64>,
    /// Below it everything is proven to survive a power cut, whatever the tails say.
    proven: u64,
}

impl Files {
    /// The segment that was opened for this line of the manifest.
    fn segment_of(&self, noted: &ManifestSegment) -> Option<&Arc<Segment>> {
        let base_offset = noted.sealed.base_offset;
        let lines = &self.layout.manifest.segments;
        let line = lines.binary_search_by_key(&base_offset, |line| line.sealed.base_offset).ok()?;
        let is_same = lines.get(line) == Some(noted);
        let segment = self.segments.binary_search_by_key(&base_offset, |segment| segment.base_offset()).ok()?;
        self.segments.get(segment).filter(|segment| is_same && segment.is_sealed())
    }
}

/// What decides which bytes a name stands for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) manifest: Manifest,
    /// What is wrong with the manifest, if it cannot be read: the segments are what their files say then.
    manifest_damage: Option<Corruption>,
    /// The files that are to replace others: a log, and each of its indexes a moment after it.
    set_aside: Vec<FileName>,
}

impl Layout {
    /// Whether a log file waits to replace that of the segment with this base offset.
    fn has_log_aside(&self, base_offset: u64) -> bool {
        self.set_aside.iter().any(|name| (name.kind, name.base_offset) == (FileKind::Log, base_offset))
    }

    /// Whether another file waits to take the place of that at `path`.
    pub(super) fn is_replaced(&self, dir: &Path, path: &Path) -> bool {
        self.set_aside.iter().any(|name| name.in_stage(Stage::Live).path(dir) == path)
    }
}

/// So often it is looked again when files were swapped meanwhile. Each time a whole compaction has to come in between.
const LOOKS_MAX: usize = 20;

impl Follower {
    /// The log in the directory of `spec`. If that is `broken`, every call fails and says why.
    pub(crate) fn new(
        spec: LogSpec,
        files: &Arc<OpenFiles>,
        surroundings: &Arc<Surroundings>,
        broken: Option<Broken>,
    ) -> Follower {
        let surroundings = Arc::clone(surroundings);
        let dir = segment_dir(&spec, files, true);
        Follower { dir, surroundings, broken, present: Mutex::default(), seen: Mutex::default(), spec }
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.spec.partition
    }

    /// The id that tells the log's topic from an earlier or later one of the same name.
    pub(crate) fn topic_id(&self) -> u128 {
        self.spec.topic_id
    }

    /// The offsets that can be read now; what was known last, if looking fails.
    pub(crate) fn bounds(&self) -> Range<u64> {
        self.latest().bounds.clone()
    }

    /// The offsets of which readers of committed records may see those that were not aborted.
    pub(crate) fn stable_bounds(&self) -> Range<u64> {
        let seen = self.latest();
        seen.bounds.start..seen.end(Isolation::ReadCommitted)
    }

    /// One above the last offset that a reader of this isolation at `from` can read now, and one above the last that any can: if
    /// `from` is at the end, mostly the tails tell. Below it, what was seen last is enough.
    pub(crate) fn ends_from(&self, from: u64, isolation: Isolation) -> (u64, u64) {
        let seen = self.glance().unwrap_or_else(|| {
            let seen = Arc::clone(&self.seen.lock());
            if seen.bounds.start <= from && from < seen.end(isolation) {
                return seen;
            }
            self.look_at_tails(from).ok().flatten().unwrap_or_else(|| self.latest())
        });
        (seen.end(isolation), seen.bounds.end)
    }

    /// Fails if the files cannot be looked at, where other answers are what was known last.
    pub(crate) fn check_whole(&self) -> Result<()> {
        self.look_again().map(drop)
    }

    /// The transactions that are open in the log, by their first offsets.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.latest().transactions.as_ref().map(|known| known.open.clone()).unwrap_or_default()
    }

    /// The offset below which everything is proven to survive a power cut.
    pub(crate) fn durable_offset(&self) -> u64 {
        self.latest().durable_offset
    }

    /// Bytes of all segments, and their number.
    pub(crate) fn size(&self) -> (u64, usize) {
        let seen = self.latest();
        (seen.files.segments.iter().map(|segment| segment.log_bytes()).sum(), seen.files.segments.len())
    }

    /// What there is to measure of it now, as far as a process sees that only reads.
    pub(crate) fn measure(&self) -> PartitionMetrics {
        let looked = self.look_again();
        let is_failed = matches!(&looked, Err(error) if !matches!(error, Error::Closed { .. }));
        let seen = looked.unwrap_or_else(|_| Arc::clone(&self.seen.lock()));
        let segments = &seen.files.segments;
        PartitionMetrics {
            partition: self.spec.partition.partition(),
            log_start_offset: seen.bounds.start,
            last_stable_offset: seen.end(Isolation::ReadCommitted),
            high_watermark: seen.bounds.end,
            log_end_offset: seen.bounds.end,
            durable_offset: seen.durable_offset.min(seen.bounds.end),
            log_bytes: segments.iter().map(|segment| segment.log_bytes()).sum(),
            segment_count: segments.len() as u64,
            is_failed,
            counters: None,
        }
    }

    /// What is wrong with the log, as opening it for writing would report it.
    ///
    /// # Errors
    /// Those of a read; damage that leaves nothing to read is one.
    pub(crate) fn damage(&self) -> Result<Vec<Corruption>> {
        let mut looks = 1;
        loop {
            let seen = self.look_again()?;
            let mut damage = self.damage_of_sealed(&seen.files.layout)?;
            damage.extend(seen.files.damage.iter().cloned());
            if damage.is_empty() {
                return Ok(damage);
            }
            // What is missing may have been deleted since it was looked, or be going with its topic.
            self.check_open()?;
            if looks == LOOKS_MAX || self.layout()? == seen.files.layout {
                return Ok(damage);
            }
            looks += 1;
        }
    }

    /// What is wrong with the segments that the manifest knows, apart from those that are being replaced.
    fn damage_of_sealed(&self, layout: &Layout) -> Result<Vec<Corruption>> {
        let is_live = |noted: &&ManifestSegment| !layout.has_log_aside(noted.sealed.base_offset);
        let segments = layout.manifest.segments.iter().filter(is_live);
        damage_of_sealed(&self.dir, segments, self.spec.segment_config(), layout.manifest.has_gaps())
    }

    /// What is there now, or was last, if looking fails.
    fn latest(&self) -> Arc<Seen> {
        self.look_again().unwrap_or_else(|_| Arc::clone(&self.seen.lock()))
    }

    fn look_again(&self) -> Result<Arc<Seen>> {
        self.check_present().and_then(|()| self.look()).map_err(|error| self.unless_deleted(error))
    }

    /// Fails once the topic was deleted, or if the directory is another topic's.
    pub(super) fn check_present(&self) -> Result<()> {
        self.check_usable()?;
        let disk = &**self.dir.files.disk();
        // Before the look: what is deleted after it shows in the next call.
        let present = self.deletions().map(|deletions| Present { deletions, at: disk.monotonic() });
        let known = *self.present.lock();
        let is_known = |now: Present, known: Present| {
            now.deletions == known.deletions && now.at.saturating_sub(known.at) < LOOK_EVERY
        };
        if present.zip(known).is_some_and(|(now, known)| is_known(now, known)) {
            return Ok(());
        }
        check_owner(disk, &self.spec)?;
        *self.present.lock() = present;
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        self.dir.files.check_not_forked()?;
        if self.dir.files.are_closed() {
            return Err(self.closed_error(ClosedBy::Broker));
        }
        self.broken.as_ref().map_or(Ok(()), |broken| Err(broken.error()))
    }

    fn closed_error(&self, by: ClosedBy) -> Error {
        Error::Closed { what: self.spec.partition.to_string(), by }
    }

    /// What to say in place of `error` if the topic was deleted or the broker closed, perhaps while it was read.
    fn unless_deleted(&self, error: Error) -> Error {
        if self.dir.files.are_closed() {
            return self.closed_error(ClosedBy::Broker);
        }
        match self.surroundings.has_topic(self.dir.files.disk(), self.spec.topic_id) {
            Ok(false) => {
                self.let_go();
                self.closed_error(ClosedBy::Deletion)
            }
            _ => error,
        }
    }

    /// Keeps no file open or mapped that was deleted since the last look.
    pub(crate) fn let_go_of_deleted(&self) {
        let seen = Arc::clone(&self.seen.lock());
        let deletions = seen.tails.deletions();
        if !seen.files.segments.is_empty() && (deletions.is_none() || self.deletions() != deletions) {
            drop(seen);
            _ = self.latest();
        }
    }

    /// Keeps no file open or mapped any more, and nothing of what was in them.
    fn let_go(&self) {
        let mut seen = self.seen.lock();
        if !seen.files.segments.is_empty() || !seen.tail.is_empty() {
            *seen = Arc::new(Seen { bounds: seen.bounds.clone(), ..Seen::default() });
        }
    }

    /// Fails once the topic was deleted or the broker closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_usable()?;
        let is_there = self.surroundings.has_topic(self.dir.files.disk(), self.spec.topic_id)?;
        if is_there { Ok(()) } else { Err(self.closed_error(ClosedBy::Deletion)) }
    }

    /// The leader epochs as the writer has noted them last. Where that cannot be read, those of the batches, as the writer would
    /// rebuild them.
    pub(crate) fn epochs(&self) -> LeaderEpochs {
        let seen = self.latest();
        let last_epoch = last_leader_epoch(&seen.files.segments);
        let noted = LeaderEpochs::load(&**self.dir.files.disk(), &self.spec.dir).ok().flatten();
        if let Some(noted) = noted.filter(|noted| noted.reach(last_epoch)) {
            return noted;
        }
        let mut epochs = epochs_of(&seen.files.segments, last_epoch).unwrap_or_default();
        for batch in &seen.tail {
            epochs.assign(batch.identity.start.leader_epoch, batch.identity.base_offset());
        }
        // Where nothing is known, nothing is said to be lost.
        epochs.assign(0, 0);
        epochs
    }

    /// Reads records from offset `from` (included) on; see [`Source::fetch`].
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits, isolation: Isolation) -> Result<Fetched> {
        Ok(self.fetch_on(from, limits, isolation, None)?.0)
    }

    /// [`fetch`](Follower::fetch) for a reader that goes on where it ended, at `place` in a batch. Returns where it ends, too.
    ///
    /// # Errors
    /// Those of [`Source::fetch`]; [`Error::Closed`] once the topic was deleted.
    pub(crate) fn fetch_on(
        &self,
        from: u64,
        limits: FetchLimits,
        isolation: Isolation,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        let read = |seen: &Seen| self.read(seen, isolation, |source| source.fetch_on(from, limits, place));
        let fetch = || {
            self.check_present()?;
            let seen = Arc::clone(&self.seen.lock());
            if from < seen.end(isolation)
                && let Ok(fetched) = read(&seen)
                && self.is_still(&seen)?
            {
                return Ok(fetched);
            }
            if let Some(seen) = self.look_at_tails(from)? {
                return read(&seen);
            }
            self.look_and(read)
        };
        let fetched = fetch().map_err(|error| self.unless_deleted(error));
        fetched.inspect_err(|error| self.files().events().add_met(error))
    }

    /// The first offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64, isolation: Isolation) -> Result<Option<u64>> {
        let find = || self.look_and(|seen| self.read(seen, isolation, |source| source.offset_for_time(timestamp_ms)));
        self.check_present().and_then(|()| find()).map_err(|error| self.unless_deleted(error))
    }

    /// The disk, and what is open on it.
    pub(super) fn files(&self) -> &Arc<OpenFiles> {
        &self.dir.files
    }

    /// Looks at the files again and uses what was seen, until nothing was swapped meanwhile.
    pub(super) fn look_and<T>(&self, use_seen: impl Fn(&Seen) -> Result<T>) -> Result<T> {
        let mut looks = 1;
        loop {
            let seen = self.look()?;
            let result = use_seen(&seen);
            if looks == LOOKS_MAX || self.is_still(&seen)? {
                return result;
            }
            looks += 1;
        }
    }

    fn read<T>(&self, seen: &Seen, isolation: Isolation, read: impl FnOnce(&Source<'_>) -> Result<T>) -> Result<T> {
        let tail: Vec<_> = seen
            .tail
            .iter()
            .map(|batch| TailRecords { identity: &batch.identity, bytes: TailBytes::Followed(batch), is_dense: false })
            .collect();
        let aborted = seen.transactions.as_ref().and_then(|known| known.aborted.as_deref());
        read(&Source {
            partition: &self.spec.partition,
            topic_id: self.spec.topic_id,
            segments: &seen.files.segments,
            tail: &tail,
            damage: &seen.files.damage,
            waypoints: None,
            bounds: seen.bounds.start..seen.end(isolation).max(seen.bounds.start),
            high_watermark: seen.bounds.end,
            aborted: aborted.filter(|_| isolation == Isolation::ReadCommitted),
            settings: &self.spec.settings,
            counters: None,
        })
    }
}
