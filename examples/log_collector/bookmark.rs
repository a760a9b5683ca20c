//! How far a file was collected. A bookmark is a header of the last record of each batch: a batch is there as a whole or not
//! at all, so the bookmark is never ahead of the lines, nor behind them, whenever the collector is killed.
//!
//! ```text
//! byte  size  field           all integers big-endian
//!    0     8  run             a later run's bookmark counts
//!    8     8  device          a file keeps both when it is renamed,
//!   16     8  inode           so a rotated log is not collected again
//!   24     8  position        bytes of the file that were collected
//!   32     8  prefix_hash     FNV-1a over the file's first bytes (min(position, 256)): another file may get the same inode
//! ```

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::Path;

pub(crate) const BOOKMARK: &str = "bookmark";
const BOOKMARK_BYTES: usize = 40;
const PREFIX_BYTES_MAX: usize = 256;

/// What tells a file from others, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(_path: &Path, metadata: &Metadata) -> FileId {
        use std::os::unix::fs::MetadataExt as _;
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Elsewhere the name has to do.
    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path, _metadata: &Metadata) -> FileId {
        FileId { device: 0, inode: fnv_1a(path.as_os_str().as_encoded_bytes()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) run: u64,
    pub(crate) file: FileId,
    pub(crate) position: u64,
    prefix_hash: u64,
}

impl Bookmark {
    /// Marks `position` in a file that begins with `head`.
    pub(crate) fn new(run: u64, file: FileId, position: u64, head: &[u8]) -> Bookmark {
        Bookmark { run, file, position, prefix_hash: prefix_hash(position, head) }
    }

    /// Whether a file of `len` bytes that begins with `head` is the marked one, gone on: not shrunk, and not another.
    pub(crate) fn is_in(&self, len: u64, head: &[u8]) -> bool {
        self.position <= len && self.prefix_hash == prefix_hash(self.position, head)
    }

    pub(crate) fn encode(&self) -> [u8; BOOKMARK_BYTES] {
        let fields = [self.run, self.file.device, self.file.inode, self.position, self.prefix_hash];
        let mut bytes = [0; BOOKMARK_BYTES];
        for (space, field) in bytes.chunks_exact_mut(8).zip(fields) {
            space.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Bookmark> {
        let bytes: &[u8; BOOKMARK_BYTES] = bytes.try_into().ok()?;
        let mut fields = bytes.as_chunks::<8>().0.iter().map(|field| u64::from_be_bytes(*field));
        let run = fields.next()?;
        let file = FileId { device: fields.next()?, inode: fields.next()? };
        Some(Bookmark { run, file, position: fields.next()?, prefix_hash: fields.next()? })
    }
}

fn prefix_hash(position: u64, head: &[u8]) -> u64 {
    let length = usize::try_from(position).unwrap_or(usize::MAX).min(PREFIX_BYTES_MAX).min(head.len());
    fnv_1a(&head[..length])
}

fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The newest bookmark of each file.
#[derive(Debug, Default)]
pub(crate) struct Bookmarks {
    newest: HashMap<FileId, Bookmark>,
}

impl Bookmarks {
    /// Takes note of a bookmark. They come in no particular order: a renamed file goes on in another partition.
    pub(crate) fn note(&mut self, bookmark: Bookmark) {
        let newest = self.newest.entry(bookmark.file).or_insert(bookmark);
        if (newest.run, newest.position) < (bookmark.run, bookmark.position) {
            *newest = bookmark;
        }
    }

    pub(crate) fn last_run(&self) -> u64 {
        self.newest.values().map(|bookmark| bookmark.run).max().unwrap_or(0)
    }

    /// Where to go on in a file: behind its bookmark, or at its start if it is not the file that was marked.
    pub(crate) fn position_in(&self, file: FileId, len: u64, head: &[u8]) -> u64 {
        let found = self.newest.get(&file).filter(|bookmark| bookmark.is_in(len, head));
        found.map_or(0, |bookmark| bookmark.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId { device: 1, inode: 2 };

    #[test]
    fn bytes_go_there_and_back() {
        let bookmark = Bookmark::new(3, FILE, 4, b"head");
        assert_eq!(Bookmark::decode(&bookmark.encode()), Some(bookmark));
        assert_eq!(Bookmark::decode(&[0; BOOKMARK_BYTES - 1]), None);
    }

    #[test]
    fn a_file_that_shrank_or_was_replaced_begins_anew() {
        let mut bookmarks = Bookmarks::default();
        bookmarks.note(Bookmark::new(1, FILE, 6, b"first\nline"));
        assert_eq!(bookmarks.position_in(FILE, 10, b"first\nline"), 6);
        assert_eq!(bookmarks.position_in(FILE, 5, b"first"), 0);
        assert_eq!(bookmarks.position_in(FILE, 10, b"other\nline"), 0);
        assert_eq!(bookmarks.position_in(FileId { device: 1, inode: 3 }, 10, b"first\nline"), 0);
    }

    #[test]
    fn the_last_run_counts_even_if_it_began_anew() {
        let mut bookmarks = Bookmarks::default();
        bookmarks.note(Bookmark::new(2, FILE, 3, b"new"));
        bookmarks.note(Bookmark::new(1, FILE, 9, b"old"));
        assert_eq!((bookmarks.position_in(FILE, 9, b"new"), bookmarks.last_run()), (3, 2));
    }
}
