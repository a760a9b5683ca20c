//! Why a log could not be brought up to its source.

use crate::error::Error;
use crate::partition::log_id::LogId;

/// Why a log could not be brought up to its source.
#[derive(Debug)]
pub(super) enum Unfetched {
    /// A file of the source is not what was said of it. It may have been deleted or replaced since: then to look again helps.
    Moved(Box<Moved>),
    /// A segment cannot become what its source has noted batch by batch: it must come as a whole, and does so the next time.
    Unlike(LogId, u64),
    Failed(Error),
}

/// A segment that is not what was said of it.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) log: LogId,
    pub(super) base_offset: u64,
    /// What was said of its log file, if it is sealed.
    pub(super) log_crc32: Option<u32>,
    /// What to say if it stays so.
    pub(super) error: Error,
}

impl From<Error> for Unfetched {
    fn from(error: Error) -> Unfetched {
        Unfetched::Failed(error)
    }
}

impl Moved {
    /// Whether the same segment is still not what is said of it.
    pub(super) fn is_same(&self, other: &Moved) -> bool {
        let key = |moved: &Moved| (moved.log, moved.base_offset, moved.log_crc32);
        key(self) == key(other)
    }
}
