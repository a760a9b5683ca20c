//! [`SourceEnd`]: where what was offered to a replica comes from.

use super::fetching::{Fetched, Task};
use super::held_log::HeldLog;
use super::history::Unlike;
use super::offer::OfferedLog;
use super::unfetched::Unfetched;
use crate::disk::Disk;
use crate::error::Result;
use crate::segment::Segment;

/// Where what was offered to a replica comes from.
pub(super) trait SourceEnd {
    /// The first segment of a replica that the source has otherwise, by its bytes, if that is to be found out here.
    ///
    /// # Errors
    /// The disk's.
    fn first_unlike(&self, held: &HeldLog, offered: &OfferedLog) -> Result<Option<Unlike>>;

    /// The first offset from which on the source has other batches than a segment of a replica, on the disk of which `segment` is. `None`
    /// if they are the same after all.
    ///
    /// # Errors
    /// The disk's.
    fn first_difference(&self, segment: &Segment, offered: &OfferedLog) -> Result<Option<u64>>;

    /// Brings all logs up to what was offered of them, on the disk of the replica.
    fn fetch<'o>(&mut self, tasks: Vec<Task<'o>>, disk: &dyn Disk) -> Vec<Result<Fetched<'o>, Unfetched>>;
}
