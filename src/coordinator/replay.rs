//! Reads states back from the records of an internal topic.

use std::ops::Range;

use super::{State, States};
use crate::error::{Corruption, Error, Result};
use crate::partition::isolation::Isolation;
use crate::partition::{FetchLimits, PartitionSource};
use crate::record::{ConsumerRecord, ConsumerRecords};

/// What was read back.
pub(crate) struct Replayed<S> {
    /// Those of which there is something to remember.
    pub(crate) states: States<S>,
    /// What was passed over.
    pub(crate) skipped: Vec<Corruption>,
}

/// The states that the records in `sources`, the partitions of a topic, come to; `apply` takes one record in.
///
/// # Errors
/// [`Error::Corrupt`] if a record cannot be read, unless that is to be passed over; [`Error::Io`].
pub(crate) fn replay<S: State>(
    sources: &[PartitionSource],
    skips_corrupt: bool,
    mut apply: impl FnMut(&mut States<S>, &ConsumerRecord<'_>),
) -> Result<Replayed<S>> {
    const LIMITS: FetchLimits = FetchLimits { bytes_max: 1 << 20, records_max: usize::MAX };
    let (mut states, mut skipped) = (States::new(), Vec::new());
    for source in sources {
        let Range { start: mut offset, end } = source.stable_bounds();
        while offset < end {
            let fetched = match source.fetch(offset, LIMITS, Isolation::ReadCommitted) {
                Err(Error::Corrupt(damage)) if skips_corrupt && damage.is_at(offset) => {
                    offset = damage.offsets.as_ref().map_or(end, |lost| lost.end);
                    skipped.push(*damage);
                    continue;
                }
                fetched => fetched?,
            };
            offset = fetched.next_offset;
            let mut records = ConsumerRecords::default();
            records.push(fetched);
            for record in &records {
                apply(&mut states, &record);
            }
        }
    }
    states.retain(|_, state| !state.is_empty());
    Ok(Replayed { states, skipped })
}
