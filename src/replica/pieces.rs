//! [`Pieces`]: the bytes of what is still to come of a log, wherever they come from.

use super::files::TakeBytes;
use super::steps::{BatchRun, IsHere};
use super::unfetched::Unfetched;
use crate::error::Result;
use crate::format::BatchHeader;
use crate::partition::manifest::ManifestSegment;
use crate::segment::FileSum;
use crate::segment::file_name::FileName;

/// Who is shown batches, whole and one after the other.
pub(super) type TakeBatch<'t> = &'t mut dyn FnMut(&BatchHeader, &[u8]) -> Result<()>;

/// What has become of a file that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// All its bytes were shown.
    Whole,
    /// It is not there.
    Missing,
    /// It was not brought, as it is there already.
    IsHere,
}

/// Brings the bytes of a log, in the order of its [steps](super::steps).
///
/// # Errors
/// Why they do not come; those of who is shown them.
pub(super) trait Pieces {
    /// Shows the log file of a segment, unless that `is_here`.
    fn log_file(&mut self, noted: &ManifestSegment, is_here: IsHere, take: TakeBytes<'_>) -> Result<Came, Unfetched>;

    /// Shows a file that was made from the log file of a segment. If it is missing, what was shown is none of it.
    fn cache(&mut self, cache: (FileName, FileSum), take: TakeBytes<'_>) -> Result<Came, Unfetched>;

    /// Shows the batches of a segment, which is to be this one if it is `sealed`.
    fn batches(
        &mut self,
        run: &BatchRun,
        sealed: Option<&ManifestSegment>,
        take: TakeBatch<'_>,
    ) -> Result<(), Unfetched>;
}
