//! Whether the files that tell of producers are those that were noted, and what the log makes of them.

use std::path::PathBuf;
use std::sync::Arc;

use super::gathering::SegmentProducers;
use super::{ProducerStates, snapshot};
use crate::error::{Error, Result, is_passing};
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FileSum, ProducerFiles, Segment, SegmentDir};

/// A file, and what is wrong with it.
pub(in crate::partition) type StaleFile = (PathBuf, &'static str);

/// The files of sealed segments that are wrong, and can be made anew. Reads the log once more, unless nobody has noted a producer or
/// it is enough that a file is the one that was written.
///
/// # Errors
/// The disk's in reading the log; those that pass in reading the files.
pub(in crate::partition) fn stale_files(
    dir: &SegmentDir,
    noted: &[ManifestSegment],
    segments: &[Arc<Segment>],
    reads_log: bool,
) -> Result<Vec<StaleFile>> {
    let mut stale = Vec::new();
    if !noted.iter().any(|noted| noted.producers.are_any()) {
        return Ok(stale);
    }
    let mut states = ProducerStates::default();
    // What was deleted or compacted may be in an index still.
    let mut is_whole = noted.first().is_some_and(|first| first.sealed.base_offset == 0);
    for noted in noted {
        let base_offset = noted.sealed.base_offset;
        let Ok(at) = segments.binary_search_by_key(&base_offset, |segment| segment.base_offset()) else { continue };
        let Some(segment) = segments.get(at) else { continue };
        is_whole &= reads_log && !segment.has_gaps();
        let replayed = reads_log.then(|| SegmentProducers::replay(segment, &mut states, u64::MAX)).transpose()?;
        if let Some(sum) = written(noted.producers.transaction_index) {
            let expected = replayed.as_ref().filter(|_| is_whole).map(|replayed| &*replayed.aborted);
            let path = FileName::live(base_offset, FileKind::TransactionIndex).path(&dir.path);
            let reason = match segment.load_transaction_index(sum) {
                None => Some("missing, or not the transaction index that was written"),
                Some(entries) if expected.is_some_and(|expected| *expected != entries) => {
                    Some("the entries of the transaction index are not those that the log makes")
                }
                Some(_) => None,
            };
            stale.extend(reason.map(|reason| (path, reason)));
        }
        if let Some(sum) = written(noted.producers.snapshot) {
            let offset = noted.sealed.next_offset;
            let path = snapshot::path(dir, offset);
            let is_right = match snapshot::read(dir, offset, sum) {
                Err(error) if is_passing(&error) => return Err(Error::io("read", &path, error)),
                read => read.is_ok_and(|bytes| bytes.is_some_and(|bytes| FileSum::of(&bytes) == sum)),
            };
            let reason = "missing, or not the producer snapshot that was written";
            stale.extend(Some((path, reason)).filter(|_| !is_right));
        }
    }
    Ok(stale)
}

/// The checksum of a file that was written.
fn written(sum: Option<FileSum>) -> Option<FileSum> {
    sum.filter(|sum| *sum != ProducerFiles::UNKNOWN)
}
