//! Reading on in the open batch, behind what the last read took: what a consumer does that keeps up with its senders.

use std::ops::Range;

use super::FetchLimits;
use super::place::{Place, WhichBatch};
use crate::disk::SharedBytes;
use crate::format::step_over;
use crate::record::{Fetched, FetchedBatch};
use crate::tail::OpenBatch;
use crate::topic_partition::TopicPartition;

impl Place {
    /// Copies the records of these `offsets` out of the `open` batch, if they begin here and all of them may be read. `None` where that
    /// needs a closer look: in another batch or in that of a transaction, beyond the limits, or with nothing to read.
    ///
    /// It returns what [`Source::fetch`](super::Source::fetch) would, and for one record it takes little more than half the instructions.
    pub(in crate::partition) fn read_on(
        &self,
        partition: &TopicPartition,
        offsets: Range<u64>,
        limits: FetchLimits,
        open: &OpenBatch,
    ) -> Option<(Fetched, Option<Place>)> {
        let identity = open.identity();
        let (start, base_offset) = (&identity.start, identity.base_offset());
        let is_plain = !start.attributes.is_control() && !start.stamp.is_transactional;
        if !is_plain || self.next_offset != offsets.start || !self.is_in_open(base_offset) {
            return None;
        }
        let wanted = usize::try_from(offsets.end.checked_sub(offsets.start)?).ok()?;
        if wanted == 0 || limits.records_max < wanted {
            return None;
        }
        let lent = open.records().filter(|records| self.is_right(records, base_offset))?;
        let rest = lent.get(self.records_bytes..)?;
        let (record_count, bytes) = step_over(rest, wanted, limits.bytes_max).ok()?;
        let records = SharedBytes::from(rest.get(..bytes).filter(|_| record_count == wanted)?.to_vec());
        drop(lent);
        let batch = FetchedBatch {
            records,
            base_offset,
            base_timestamp: start.base_timestamp,
            append_time: None,
            leader_epoch: start.leader_epoch,
        };
        let next_offset = offsets.end;
        let place = Place {
            batch: WhichBatch::Open { base_offset },
            next_offset,
            records_bytes: self.records_bytes + bytes,
            plain: None,
        };
        let (partition, topic_id) = (partition.clone(), identity.topic_id);
        Some((Fetched { partition, topic_id, batches: vec![batch], record_count, next_offset }, Some(place)))
    }
}
