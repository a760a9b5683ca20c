//! Every content that was ever collected, how far, and which file of this round holds it.
//!
//! A content is dealt with by one thread at a time. Whoever looks at a file waits until nobody is busy with a content that
//! begins alike, since only then it is known whether they are the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::bookmark::Bookmark;
use crate::fingerprint::{FIRST_BYTES, Trail};

#[derive(Debug, Default)]
pub(crate) struct Streams {
    known: Mutex<Known>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    streams: BTreeMap<u64, Stream>,
    last_stream: u64,
}

#[derive(Debug, Clone)]
struct Stream {
    bookmark: Bookmark,
    /// The name of the file that held it last.
    path: PathBuf,
    claim: Claim,
    /// Whether the last checkpoint has another bookmark, or none.
    is_changed: bool,
}

/// Whether a file of this round holds the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Free,
    Busy,
    Done,
}

/// A stream that a file may hold.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) bookmark: Bookmark,
    pub(crate) path: PathBuf,
    pub(crate) is_free: bool,
}

/// Streams that begin as a file does, by position, and up to which stream they were looked for.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) streams: Vec<Candidate>,
    seen: u64,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Identity {
    /// What no other file held.
    New,
    /// What no other file held, as far as can be told: it is shorter than this stream and begins alike, and too little is kept of
    /// the stream to compare it with.
    NewOrBeginningOf(u64),
    /// What was collected before, and perhaps more behind it.
    Known(u64),
    /// No more than what a stream begins with, up to the end of this trail and behind so many lines.
    BeginningOf(u64, Trail, u64),
}

/// A part of a stream: a stream that begins as another one is made of two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) stream: u64,
    pub(crate) first_offset: u64,
    /// Where the part begins in the content.
    pub(crate) begin: u64,
    /// Where the part ends; the next one begins there.
    pub(crate) end: u64,
}

impl Streams {
    /// Takes note of a bookmark that is newer than what was noted of its stream.
    pub(crate) fn note(&self, bookmark: Bookmark, path: PathBuf, is_changed: bool) {
        let mut known = self.lock();
        // Of a parent nothing else may be known any more, and its number is not to be another's.
        known.last_stream = known.last_stream.max(bookmark.stream).max(bookmark.parent);
        known.streams.insert(bookmark.stream, Stream { bookmark, path, claim: Claim::Free, is_changed });
    }

    /// From here on files may hold other streams than before.
    pub(crate) fn begin_round(&self) {
        self.lock().streams.values_mut().for_each(|stream| stream.claim = Claim::Free);
    }

    /// The file that held the stream in the last round holds it in this one.
    pub(crate) fn keep(&self, stream: u64) {
        if let Some(stream) = self.lock().streams.get_mut(&stream) {
            stream.claim = Claim::Done;
        }
    }

    /// All streams that a content with this head may be, once nobody is busy with one of them.
    pub(crate) fn candidates(&self, head: &[u8]) -> Candidates {
        let mut known = self.lock();
        while known.alike(head).any(|stream| stream.claim == Claim::Busy) {
            known = self.released.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
        let candidate = |stream: &Stream| Candidate {
            bookmark: stream.bookmark.clone(),
            path: stream.path.clone(),
            is_free: stream.claim == Claim::Free,
        };
        let mut streams: Vec<_> = known.alike(head).map(candidate).collect();
        streams.sort_by_key(|candidate| candidate.bookmark.position);
        Candidates { streams, seen: known.last_stream }
    }

    /// Makes the file at `path`, which begins with `head`, the holder of what it was found to be. `None` if others came
    /// before since the candidates were looked for: then look again.
    pub(crate) fn claim(
        &self,
        identity: &Identity,
        head: &[u8],
        candidates: &Candidates,
        path: &Path,
    ) -> Option<Claimed<'_>> {
        let mut known = self.lock();
        let is_stale = |stream: &Stream| stream.claim == Claim::Busy || candidates.seen < stream.bookmark.stream;
        if known.alike(head).any(is_stale) {
            return None;
        }
        let found = match identity {
            Identity::New | Identity::NewOrBeginningOf(_) => None,
            Identity::Known(stream) | Identity::BeginningOf(stream, ..) => Some(known.streams.get(stream)?.clone()),
        };
        let mut was_changed = true;
        let (bookmark, copy_of) = match (identity, found) {
            (Identity::Known(_), Some(found)) if found.claim == Claim::Free => {
                was_changed = found.is_changed;
                (found.bookmark, None)
            }
            (_, Some(found)) => {
                let mut copy =
                    Bookmark { stream: known.next_stream(), parent: found.bookmark.stream, ..found.bookmark };
                if let Identity::BeginningOf(_, trail, line_number) = identity {
                    copy.move_to(trail);
                    copy.line_number = *line_number;
                }
                (copy.line_count, copy.value_bytes, copy.skipped_bytes) = (0, 0, 0);
                copy.start = copy.position;
                (copy, Some(found.path))
            }
            (_, None) => (Bookmark { stream: known.next_stream(), ..Bookmark::default() }, None),
        };
        // Others are to see at once how it begins.
        let mut noted = bookmark.clone();
        noted.first = head.get(..FIRST_BYTES).unwrap_or(head).to_vec();
        let stream = Stream { bookmark: noted, path: path.to_owned(), claim: Claim::Busy, is_changed: true };
        known.streams.insert(bookmark.stream, stream);
        Some(Claimed { streams: self, before: bookmark.clone(), was_changed, bookmark, copy_of, path: path.to_owned() })
    }

    /// The parts of a stream, from the beginning on.
    pub(crate) fn chain(&self, stream: u64) -> Vec<Link> {
        let known = self.lock();
        let mut links = Vec::new();
        let mut next = known.streams.get(&stream);
        let mut end = u64::MAX;
        while let Some(Stream { bookmark, .. }) = next {
            let Bookmark { stream, first_offset, start, position, .. } = *bookmark;
            let link = Link { stream, first_offset, begin: start, end: end.min(position) };
            // Of a copy nothing was collected, and to look for it would be to read to the end of the log.
            if bookmark.start < link.end {
                links.push(link);
            }
            end = end.min(bookmark.start);
            // A parent is older, so this ends.
            next = known.streams.get(&bookmark.parent).filter(|parent| parent.bookmark.stream < bookmark.stream);
        }
        links.reverse();
        links
    }

    /// Every stream's bookmark.
    pub(crate) fn bookmarks(&self) -> Vec<Bookmark> {
        self.lock().streams.values().map(|stream| stream.bookmark.clone()).collect()
    }

    /// What is to be written down, after which it is.
    pub(crate) fn take_changed(&self) -> Vec<(Bookmark, PathBuf)> {
        let mut known = self.lock();
        let changed = known.streams.values_mut().filter(|stream| stream.is_changed);
        changed
            .map(|stream| {
                stream.is_changed = false;
                (stream.bookmark.clone(), stream.path.clone())
            })
            .collect()
    }

    fn release(&self, claimed: &Claimed<'_>) {
        let bookmark = claimed.bookmark.clone();
        let mut known = self.lock();
        if bookmark.position == 0 {
            // Nothing is known of it.
            known.streams.remove(&bookmark.stream);
        } else {
            let is_changed = claimed.was_changed || bookmark != claimed.before;
            let stream = Stream { bookmark, path: claimed.path.clone(), claim: Claim::Done, is_changed };
            known.streams.insert(stream.bookmark.stream, stream);
        }
        drop(known);
        self.released.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn alike<'k>(&'k self, head: &'k [u8]) -> impl Iterator<Item = &'k Stream> {
        self.streams.values().filter(|stream| stream.bookmark.may_begin(head))
    }

    fn next_stream(&mut self) -> u64 {
        self.last_stream += 1;
        self.last_stream
    }
}

/// A stream that one file holds and one thread is busy with. Dropping it lets others come, with the bookmark as it is then.
#[derive(Debug)]
pub(crate) struct Claimed<'s> {
    streams: &'s Streams,
    before: Bookmark,
    was_changed: bool,
    pub(crate) bookmark: Bookmark,
    /// The file that holds the same bytes, if another one in this round does.
    pub(crate) copy_of: Option<PathBuf>,
    path: PathBuf,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.streams.release(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(streams: &Streams, identity: &Identity, text: &[u8], path: &str) -> u64 {
        let candidates = streams.candidates(text);
        let mut claimed = streams.claim(identity, text, &candidates, Path::new(path)).unwrap();
        let mut trail = Trail::default();
        trail.push(text);
        claimed.bookmark.move_to(&trail);
        claimed.bookmark.stream
    }

    #[test]
    fn a_stream_that_a_file_holds_is_another_one_in_a_second_file() {
        let streams = Streams::default();
        let first = claim(&streams, &Identity::New, b"text", "a");
        assert_eq!(claim(&streams, &Identity::Known(first), b"text, copied", "b"), 2);
        streams.begin_round();
        assert_eq!(claim(&streams, &Identity::Known(first), b"text", "b"), first);
        let chain: Vec<_> = streams.chain(2).iter().map(|link| (link.stream, link.end)).collect();
        assert_eq!(chain, [(1, 4), (2, 12)]);
    }

    #[test]
    fn whoever_comes_second_looks_again() {
        let streams = Streams::default();
        let (mine, other) = (streams.candidates(b"text"), streams.candidates(b"else"));
        claim(&streams, &Identity::New, b"text", "a");
        assert!(streams.claim(&Identity::New, b"text", &mine, Path::new("b")).is_none());
        assert!(streams.claim(&Identity::New, b"else", &other, Path::new("c")).is_some());
    }

    #[test]
    fn of_what_nothing_was_read_nothing_is_known() {
        let streams = Streams::default();
        drop(streams.claim(&Identity::New, b"text", &streams.candidates(b"text"), Path::new("a")));
        assert!(streams.candidates(b"text").streams.is_empty());
        assert!(streams.take_changed().is_empty());
    }

    #[test]
    fn what_changed_is_written_down_once() {
        let streams = Streams::default();
        claim(&streams, &Identity::New, b"text", "a");
        assert_eq!(streams.take_changed().len(), 1);
        assert!(streams.take_changed().is_empty());
    }
}
