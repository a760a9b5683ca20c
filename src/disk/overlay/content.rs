//! What a file has: pages that were written, over the file below as far as that still shows.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{DiskFile, FollowedMapping, Mapping, SharedMapping};
use crate::sync::Mutex;

const PAGE_BYTES: usize = 4096;

type Page = Box<[u8; PAGE_BYTES]>;

/// The content of one file, whatever it is called.
#[derive(Debug)]
pub(super) struct Content {
    /// The file below, which stays where it is.
    origin: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    /// So many bytes of the file below still show where no page was written. What is behind them is zeros.
    shown_bytes: u64,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    /// An empty file.
    pub(super) fn new() -> Content {
        Content { origin: None, state: Mutex::new(State { bytes: 0, shown_bytes: 0, pages: BTreeMap::new() }) }
    }

    /// What the file below has.
    pub(super) fn over(origin: &Path, bytes: u64) -> Content {
        let state = State { bytes, shown_bytes: bytes, pages: BTreeMap::new() };
        Content { origin: Some(origin.to_owned()), state: Mutex::new(state) }
    }

    /// Where the file below is.
    pub(super) fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    pub(super) fn allocated_bytes(&self) -> u64 {
        self.state.lock().bytes.next_multiple_of(PAGE_BYTES as u64)
    }
}

/// A piece of a file that lies in one page.
struct Piece {
    page: u64,
    /// Where in the page it begins.
    from: usize,
    bytes: usize,
}

/// How far into its page a position is.
#[allow(clippy::cast_possible_truncation, reason = "below the size of a page")]
fn within_page(position: u64) -> usize {
    (position % PAGE_BYTES as u64) as usize
}

/// The first piece of what begins at `position` and has `bytes` bytes.
fn first_piece(position: u64, bytes: usize) -> Piece {
    let (page, from) = (position / PAGE_BYTES as u64, within_page(position));
    Piece { page, from, bytes: bytes.min(PAGE_BYTES - from) }
}

/// An open file.
#[derive(Debug)]
pub(super) struct OverlayFile {
    content: Arc<Content>,
    below: Option<Arc<dyn DiskFile>>,
    is_writable: bool,
    size_when_opened: u64,
}

impl OverlayFile {
    pub(super) fn new(content: Arc<Content>, below: Option<Arc<dyn DiskFile>>, is_writable: bool) -> OverlayFile {
        let size_when_opened = content.state.lock().bytes;
        OverlayFile { content, below, is_writable, size_when_opened }
    }

    fn check_writable(&self) -> io::Result<()> {
        match (self.is_writable, self.is_shared()) {
            (true, false) => Ok(()),
            (true, true) => Err(io::Error::new(ErrorKind::InvalidInput, "the file has a second name (hard link)")),
            (false, _) => Err(ErrorKind::PermissionDenied.into()),
        }
    }

    /// Reads what shows of the file below, and zeros where nothing does.
    fn read_below(&self, state: &State, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let shown = usize::try_from(state.shown_bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let (shown, rest) = buffer.split_at_mut(shown.min(buffer.len()));
        rest.fill(0);
        let read = match &self.below {
            Some(below) if !shown.is_empty() => below.read_at(shown, position)?,
            _ => 0,
        };
        shown.get_mut(read..).unwrap_or_default().fill(0);
        Ok(())
    }
}

impl DiskFile for OverlayFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.content.state.lock().bytes)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.content.allocated_bytes())
    }

    fn size_when_opened(&self) -> u64 {
        self.size_when_opened
    }

    fn is_shared(&self) -> bool {
        self.below.as_ref().is_some_and(|below| below.is_shared())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let state = self.content.state.lock();
        let readable = usize::try_from(state.bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = readable.min(buffer.len());
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        let mut position = position;
        while !rest.is_empty() {
            let piece = first_piece(position, rest.len());
            let page = state.pages.get(&piece.page);
            let bytes = if page.is_some() {
                piece.bytes
            } else {
                // In one call up to the next page that was written.
                let next = state.pages.range(piece.page..).next().map(|(page, _)| page * PAGE_BYTES as u64);
                let until = next.map_or(u64::MAX, |next| next - position);
                rest.len().min(usize::try_from(until).unwrap_or(usize::MAX))
            };
            let (now, later) = std::mem::take(&mut rest).split_at_mut(bytes);
            match page {
                Some(page) => now.copy_from_slice(page.get(piece.from..piece.from + bytes).unwrap_or_default()),
                None => self.read_below(&state, now, position)?,
            }
            position += bytes as u64;
            rest = later;
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.check_writable()?;
        let state = &mut *self.content.state.lock();
        let (mut rest, mut at) = (bytes, position);
        while !rest.is_empty() {
            let piece = first_piece(at, rest.len());
            if !state.pages.contains_key(&piece.page) {
                let mut page = Box::new([0; PAGE_BYTES]);
                self.read_below(state, &mut page[..], piece.page * PAGE_BYTES as u64)?;
                state.pages.insert(piece.page, page);
            }
            let (now, later) = rest.split_at(piece.bytes);
            if let Some(page) = state.pages.get_mut(&piece.page) {
                page.get_mut(piece.from..piece.from + now.len()).unwrap_or_default().copy_from_slice(now);
            }
            at += now.len() as u64;
            rest = later;
        }
        if !bytes.is_empty() {
            state.bytes = state.bytes.max(at);
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.check_writable()?;
        let state = &mut *self.content.state.lock();
        if size < state.bytes {
            let within = within_page(size);
            let mut behind = state.pages.split_off(&(size / PAGE_BYTES as u64));
            // What lies behind the end of a page that is cut would show again where the file grows.
            if let Some((at, mut page)) =
                behind.pop_first().filter(|(at, _)| *at == size / PAGE_BYTES as u64 && 0 < within)
            {
                page.get_mut(within..).unwrap_or_default().fill(0);
                state.pages.insert(at, page);
            }
            state.shown_bytes = state.shown_bytes.min(size);
        }
        state.bytes = size;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, bytes: usize) -> io::Result<Mapping> {
        let mut copy = vec![0; bytes.min(usize::try_from(self.size()?).unwrap_or(usize::MAX))];
        self.read_at(&mut copy, 0)?;
        Ok(Mapping::copied(copy.into()))
    }

    /// So that the tails are written by calls: there are no maps to store into here.
    fn overwrites_in_place(&self) -> bool {
        false
    }

    fn map_shared(&self, _position: u64, _bytes: usize) -> io::Result<SharedMapping> {
        Err(ErrorKind::Unsupported.into())
    }

    fn map_followed(&self, _position: u64, _bytes: usize) -> io::Result<FollowedMapping> {
        Err(ErrorKind::Unsupported.into())
    }

    fn is_at(&self, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }
}
