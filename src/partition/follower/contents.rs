//! What a copy is made from where another process writes the log.

use std::sync::Arc;

use super::{Follower, LOOKS_MAX, Seen};
use crate::error::{Error, Result};
use crate::partition::log::copying::LogContents;
use crate::partition::log_copy::LogBounds;
use crate::segment::Segment;

impl Follower {
    /// What there is of the log that is proven to survive a power cut, in whole batches. What is only in a tail is left out.
    ///
    /// # Errors
    /// Those of a read; [`Error::Corrupt`] if something of it is missing.
    pub(crate) fn durable_contents(&self) -> Result<LogContents> {
        let mut looks = 1;
        loop {
            let seen = self.look_again()?;
            match self.durable_contents_of(&seen).map_err(|error| self.unless_deleted(error)) {
                // What is missing may have been deleted, or replaced, since it was looked.
                Err(Error::Corrupt(_) | Error::Io { .. })
                    if looks < LOOKS_MAX && self.layout()? != seen.files.layout =>
                {
                    looks += 1;
                }
                contents => return contents,
            }
        }
    }

    fn durable_contents_of(&self, seen: &Seen) -> Result<LogContents> {
        if let Some(damage) = seen.files.damage.first() {
            return Err(Error::Corrupt(Box::new(damage.clone())));
        }
        let manifest = &seen.files.layout.manifest;
        let noted = manifest.segments.clone();
        let noted_end = noted.last().map_or(0, |last| last.sealed.next_offset);
        let is_unnoted = |segment: &&Arc<Segment>| noted_end <= segment.base_offset() && !segment.is_sealed();
        let unnoted: Vec<Arc<Segment>> = seen.files.segments.iter().filter(is_unnoted).cloned().collect();
        let end = batch_end(&unnoted, seen.durable_offset.max(noted_end))?.max(noted_end);
        let mut epochs = self.epochs();
        let seen_until = (epochs.clone(), seen.end.max(end));
        epochs.truncate_to(end.max(1));
        let log_start_offset = seen.bounds.start;
        let bounds = LogBounds { log_start_offset, next_offset: end, clean_offset: manifest.clean_offset(), epochs };
        let unstable = seen.transactions.as_ref().and_then(|known| known.first_unstable_offset());
        Ok(LogContents { noted, unnoted, bounds, seen: seen_until, first_unmarked_offset: unstable.unwrap_or(end) })
    }
}

/// Where the last batch ends that lies below `offset` as a whole, in segments that follow one another.
fn batch_end(segments: &[Arc<Segment>], offset: u64) -> Result<u64> {
    let Some(last) = segments.iter().rfind(|segment| segment.base_offset() <= offset) else { return Ok(0) };
    if last.next_offset() <= offset {
        return Ok(last.next_offset());
    }
    let cut = last.locate(offset)?;
    Ok(cut.map_or(last.base_offset(), |batch| batch.header.base_offset()))
}
