//! Reading a log, without a lock.

use std::sync::Arc;

use super::LogCore;
use crate::error::Result;
use crate::partition::isolation::Isolation;
use crate::partition::log_view::LogView;
use crate::partition::reader::{FetchLimits, Place, Source, TailBytes, TailRecords};
use crate::record::Fetched;
use crate::tail::{OpenBatch, Salvaged};
use crate::topic_partition::TopicPartition;

impl LogCore {
    /// Reads records from offset `from` (included) on; see [`Source::fetch`].
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits, isolation: Isolation) -> Result<Fetched> {
        self.read(&self.spec.partition, isolation, |source| source.fetch(from, limits))
    }

    /// [`fetch`](LogCore::fetch) for a reader that goes on where it ended, at `place` in a batch. Returns where it ends, too. What is
    /// returned shares its address with `partition`, the reader's own copy: the owners of the log's are counted in a cache line that
    /// every sender changes.
    pub(crate) fn fetch_on(
        &self,
        partition: &TopicPartition,
        from: u64,
        limits: FetchLimits,
        isolation: Isolation,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        self.read(partition, isolation, |source| source.fetch_on(from, limits, place))
    }

    /// The first visible offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64, isolation: Isolation) -> Result<Option<u64>> {
        self.read(&self.spec.partition, isolation, |source| source.offset_for_time(timestamp_ms))
    }

    fn read<T>(
        &self,
        partition: &TopicPartition,
        isolation: Isolation,
        read: impl Fn(&Source<'_>) -> Result<T>,
    ) -> Result<T> {
        // A slot that this process still takes for the open batch's may be another one's by now.
        self.check_not_forked()?;
        loop {
            self.check_open()?;
            // In this order: what is below the end is in a view loaded later, unless that begins behind it. And what was aborted below
            // the first open transaction is said to be so there: were the view loaded before, a transaction could have ended since
            // that it does not know for aborted.
            let high_watermark = self.visible_end();
            let is_committed = isolation == Isolation::ReadCommitted;
            let end = if is_committed { high_watermark.min(self.offsets.first_undecided()) } else { high_watermark };
            let guard = self.view();
            let view: &LogView = &guard;
            let (only, several);
            let tail = match (&view.batches[..], view.unsealed.is_empty()) {
                ([batch], true) => {
                    only = [in_slot(batch)];
                    &only[..]
                }
                ([], true) => &[],
                _ => {
                    several = all_in_tail(view);
                    &several
                }
            };
            let result = read(&Source {
                partition,
                topic_id: self.spec.topic_id,
                segments: &view.segments,
                tail,
                damage: &view.damage,
                waypoints: Some(&self.environment.waypoints),
                bounds: view.log_start_offset..end.max(view.log_start_offset),
                high_watermark,
                aborted: view.aborted.as_deref().filter(|_| is_committed),
                settings: &self.spec.settings,
                counters: Some(&self.counters),
            });
            if result.is_ok() {
                return result;
            }
            // Its files may have been closed meanwhile.
            self.check_open()?;
            // Segments that were replaced meanwhile may no longer be opened by their names.
            if Arc::ptr_eq(&view.segments, &self.view().segments) {
                return result.inspect_err(|error| self.events().add_met(error));
            }
        }
    }
}

/// What is behind the segments, for readers, where that is more than one batch: what opening could not seal comes first. Apart from
/// [`LogCore::read`], which as a rule finds one.
#[cold]
fn all_in_tail(view: &LogView) -> Vec<TailRecords<'_>> {
    let unsealed = view.unsealed.iter().map(|batch| salvaged(batch));
    unsealed.chain(view.batches.iter().map(|batch| in_slot(batch))).collect()
}

fn salvaged(batch: &Salvaged) -> TailRecords<'_> {
    TailRecords { identity: &batch.identity, bytes: TailBytes::Copied(&batch.records), is_dense: true }
}

#[inline]
fn in_slot(batch: &OpenBatch) -> TailRecords<'_> {
    TailRecords { identity: batch.identity(), bytes: TailBytes::InSlot(batch), is_dense: true }
}
