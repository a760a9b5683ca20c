//! Finds out what a file holds, by its content alone: device, inode and name prove nothing.
//!
//! A file holds a stream if it has the same first bytes *and* the same bytes before the stream's position; it goes on there. So
//! a log is recognised when it was renamed, copied or compressed, and what was emptied and has grown again is not, however much
//! alike it begins. A file that is shorter than a stream is compared with it line by line: it may be a copy that somebody made
//! a while ago, or is making just now. Of what is no longer kept the first bytes have to do, and a few kilobytes of lines behind it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::content::Content;
use crate::failure::Failure;
use crate::fingerprint::FINGERPRINT_BYTES;
use crate::journal::Journal;
use crate::replay::{Comparison, compare};
use crate::streams::{Candidate, Candidates, Identity, Streams};

/// What `content`, which begins with `head`, holds. It may take a while to tell; `stop` ends it.
pub(crate) fn identify(
    content: &mut Content,
    head: &[u8],
    candidates: &Candidates,
    path: &Path,
    (streams, journal): (&Streams, &Journal),
    stop: &AtomicBool,
) -> Result<Identity, Failure> {
    let mut best: Option<&Candidate> = None;
    let mut longer = Vec::new();
    for candidate in &candidates.streams {
        match content.seek(candidate.bookmark.position, head)? {
            None => longer.push(candidate),
            Some(trail) if candidate.bookmark.is_at(&trail) => {
                let is_better = |best: &Candidate| rank(best, path) <= rank(candidate, path);
                best = if best.is_none_or(is_better) { Some(candidate) } else { best };
            }
            Some(_) => {}
        }
    }
    if let Some(best) = best {
        content.seek(best.bookmark.position, head)?;
        if content.is_at_end()? {
            return Ok(Identity::Known(best.bookmark.stream));
        }
    }
    let mut otherwise = best.map_or(Identity::New, |best| Identity::Known(best.bookmark.stream));
    for candidate in longer.into_iter().filter(|candidate| candidate.bookmark.may_have_head(head)) {
        let stream = candidate.bookmark.stream;
        match compare(content, &streams.chain(stream), journal, stop)? {
            Comparison::Beginning { position, line_number } => {
                if let Some(trail) = content.seek(position, head)? {
                    return Ok(Identity::BeginningOf(stream, trail, line_number));
                }
            }
            // What is shorter than a fingerprint is soon collected again.
            Comparison::Unknown if matches!(otherwise, Identity::New) && head.len() == FINGERPRINT_BYTES => {
                otherwise = Identity::NewOrBeginningOf(stream);
            }
            _ => {}
        }
    }
    Ok(otherwise)
}

/// Of several streams that a file goes on, it is the longest, then the one it held last, then one that no other file holds.
fn rank(candidate: &Candidate, path: &Path) -> (u64, bool, bool) {
    (candidate.bookmark.position, candidate.path == path, candidate.is_free)
}
