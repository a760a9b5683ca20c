//! One tail file as it is seen by who follows, and which of its slots hold whose batches.
//!
//! Where the writer maps the file it is mapped here, too, header and chunks each by themselves, and looking at it is a few loads.
//! Where it is written by calls, or cannot be mapped, it is read by calls.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::batch::FollowedBatch;
use crate::disk::{Disk, DiskFile, FollowedMapping, Open};
use crate::error::{Error, Result};
use crate::tail::layout::{
    CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, CHUNKS_MAX, DELETIONS, FILE_HEADER_BYTES, GENERATION, IDENTITY_BYTES,
    IS_DEFAULT, IS_REPLACED, Identity, OPENINGS, SLOT_MAGIC, SlotClass, chunk_position, decode_chunk_entry,
    header_word,
};
use crate::tail::salvage::read_header;

/// Where a slot lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Which of the tail files it is.
    pub(super) file: usize,
    chunk: usize,
    /// Bytes of the chunk before it.
    at: usize,
    pub(super) class: SlotClass,
}

impl Place {
    /// The byte of the file where the slot begins.
    pub(super) fn position(self) -> u64 {
        chunk_position(self.chunk) + self.at as u64
    }

    /// The most bytes of records that the slot has room for.
    pub(super) fn records_bytes_max(self) -> usize {
        self.class.records_bytes_max()
    }
}

/// So often at most it is asked whether the name still stands for a file that does not say otherwise.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(100);

/// A topic's id and a partition of it.
pub(super) type Owner = (u128, u32);

/// A tail file, and an index of its slots.
#[derive(Debug)]
pub(super) struct FollowedFile {
    /// Which of the tail files it is.
    number: usize,
    pieces: Arc<Pieces>,
    /// When it was known last that the name stands for this file, by the monotonic clock.
    named_at: Duration,
    /// The file's size and its word `openings` from before its slots were looked at.
    state: (u64, u64),
    is_default: bool,
    slots: HashMap<Owner, Vec<Place>>,
    /// By slot, the generation of the batch that the index says is in it, and whose that is.
    known: HashMap<Place, (u64, Owner)>,
}

/// What the header of a file says of all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderWords {
    /// While it is the same, nothing was appended but in the slots that are known.
    pub(super) openings: u64,
    /// While it is the same, all logs begin where they did, and their names stand for the same files.
    pub(super) deletions: u64,
    is_default: u64,
}

impl HeaderWords {
    fn of(header: &FollowedMapping) -> Option<HeaderWords> {
        let [openings, deletions, is_default] = [OPENINGS, DELETIONS, IS_DEFAULT].map(|at| header.word(at));
        Some(HeaderWords { openings: openings?, deletions: deletions?, is_default: is_default? })
    }
}

/// The parts of a file that can be looked at without a call, and the file for all others.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    file: Arc<dyn DiskFile>,
    header: Option<Arc<FollowedMapping>>,
    chunks: Vec<Arc<FollowedMapping>>,
}

impl FollowedFile {
    /// Opens the file at `path`, if there is one. Its slots are not looked at yet.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], [`Error::Io`].
    pub(super) fn open(disk: &dyn Disk, path: &Path, number: usize) -> Result<Option<FollowedFile>> {
        let named_at = disk.monotonic();
        let file = match disk.open(path, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", path, e)),
        };
        // Before the slots: what is opened later changes the word.
        let header = read_header(&*file, path)?;
        let state = (file.size_when_opened(), header_word(&header, OPENINGS).unwrap_or_default());
        let is_default = header_word(&header, IS_DEFAULT) == Some(1);
        let is_mapped = header.len() == FILE_HEADER_BYTES && file.overwrites_in_place();
        // A map that is refused is only slower.
        let header = is_mapped.then(|| file.map_followed(0, FILE_HEADER_BYTES).ok().map(Arc::new)).flatten();
        let pieces = Arc::new(Pieces { file, header, chunks: Vec::new() });
        let (slots, known) = (HashMap::new(), HashMap::new());
        Ok(Some(FollowedFile { number, pieces, named_at, state, is_default, slots, known }))
    }

    /// Whether this is the same file as `other` in the same state, for files that are not mapped.
    pub(super) fn is_as(&self, other: &FollowedFile) -> bool {
        self.pieces.header.is_none() && other.pieces.header.is_none() && self.state == other.state
    }

    /// Whether what is looked at is what has this name: a writer that begins after an unclean end puts another file there. It says so
    /// in this one first, so that mostly a load tells; the name is asked as well, but not each time, since where that cannot be
    /// written, or whoever puts a file there is no writer, nobody says so. Unknown for a file that is not mapped, which is opened
    /// each time.
    pub(super) fn is_at(&mut self, path: &Path, now: Duration) -> bool {
        let Some(is_replaced) = self.pieces.header.as_ref().map(|header| header.word(IS_REPLACED) != Some(0)) else {
            return false;
        };
        if !is_replaced && now.saturating_sub(self.named_at) < ASK_EVERY {
            return true;
        }
        // Whatever is wrong shows when it is opened.
        let is_at = self.pieces.file.is_at(path).unwrap_or(false);
        if is_at {
            self.named_at = now;
        }
        is_at
    }

    /// Whether the file says, and the slots of those of `batches` that are in it, that nothing has changed since the words were these.
    pub(super) fn is_as_before(&self, words: HeaderWords, batches: &[Arc<FollowedBatch>]) -> bool {
        let Some(header) = &self.pieces.header else { return false };
        let mut here = batches.iter().filter(|batch| batch.place.file == self.number);
        HeaderWords::of(header) == Some(words) && here.all(|batch| self.pieces.holds_still(batch))
    }

    /// The words of the header as they are now, but `openings` as it was before the slots were looked at; `None` if the file is not
    /// mapped.
    pub(super) fn words(&self) -> Option<HeaderWords> {
        let words = HeaderWords::of(self.pieces.header.as_deref()?)?;
        Some(HeaderWords { openings: self.state.1, ..words })
    }

    /// The word `deletions` as it is now; `None` if the file is not mapped.
    pub(super) fn deletions(&self) -> Option<u64> {
        self.pieces.header.as_ref().and_then(|header| header.word(DELETIONS))
    }

    /// Whether topics without a durability of their own are in this file.
    pub(super) fn is_default(&self) -> bool {
        self.words().map_or(self.is_default, |words| words.is_default == 1)
    }

    /// The slots that hold, or held lately, batches of `owner`.
    pub(super) fn slots_of(&self, owner: Owner) -> Vec<Place> {
        self.slots.get(&owner).cloned().unwrap_or_default()
    }

    pub(super) fn pieces(&self) -> Arc<Pieces> {
        Arc::clone(&self.pieces)
    }

    /// Looks at the slots again, if any was opened since.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let openings = self.pieces.header.as_ref().and_then(|header| header.word(OPENINGS));
        match openings.filter(|openings| *openings != self.state.1) {
            Some(openings) => {
                self.look_at_slots()?;
                self.state.1 = openings;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Brings the index up to date. Of a slot that is still the same batch's, only a word is looked at.
    pub(super) fn look_at_slots(&mut self) -> io::Result<()> {
        let size = self.pieces.file.size()?;
        for chunk in (0..CHUNKS_MAX).take_while(|chunk| chunk_position(chunk + 1) <= size) {
            self.map_next(chunk);
            let bytes = self.pieces.chunk(chunk)?;
            // One whose table entry is damaged has the class whose slots say so, as where batches are salvaged.
            let classes = match self.pieces.class(chunk)? {
                Some(class) => vec![class],
                None => SlotClass::ALL.into_iter().rev().collect(),
            };
            for class in classes {
                if self.look_at_chunk(chunk, class, &bytes) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Maps this chunk, if the file and all chunks before it are mapped.
    fn map_next(&mut self, chunk: usize) {
        if self.pieces.header.is_some()
            && self.pieces.chunks.len() == chunk
            && let Ok(mapped) = self.pieces.file.map_followed(chunk_position(chunk), CHUNK_BYTES)
        {
            Arc::make_mut(&mut self.pieces).chunks.push(Arc::new(mapped));
        }
    }

    /// Whether a slot of this class there holds a batch.
    fn look_at_chunk(&mut self, chunk: usize, class: SlotClass, bytes: &ChunkBytes) -> bool {
        #[allow(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
        let first_word = u64::from(SLOT_MAGIC) << 32 | u64::from(class.slot_bytes() as u32);
        let mut is_used = false;
        for at in (0..CHUNK_BYTES / class.slot_bytes()).map(|number| number * class.slot_bytes()) {
            let place = Place { file: self.number, chunk, at, class };
            let generation = bytes.word(at + GENERATION);
            let known = self.known.get(&place).map(|(generation, _)| *generation);
            if known.is_none() || known != generation || bytes.word(at) != Some(first_word) {
                let identity = (bytes.word(at) == Some(first_word)).then(|| bytes.identity(at)).flatten();
                self.note(place, identity.map(|(identity, _, generation)| (identity, generation)));
            }
            is_used |= self.known.contains_key(&place);
        }
        is_used
    }

    /// Takes down whose batch is in a slot. One whose identity is just being written is opened afterwards.
    fn note(&mut self, place: Place, found: Option<(Identity, u64)>) {
        if let Some((_, owner)) = self.known.remove(&place)
            && let Some(places) = self.slots.get_mut(&owner)
        {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.slots.remove(&owner);
            }
        }
        if let Some((identity, generation)) = found {
            let owner = (identity.topic_id, identity.partition);
            self.known.insert(place, (generation, owner));
            self.slots.entry(owner).or_default().push(place);
        }
    }
}

impl Pieces {
    /// The word at byte `at` of a slot, as it is now; `None` if that is not mapped.
    pub(super) fn word(&self, place: Place, at: usize) -> Option<u64> {
        self.chunks.get(place.chunk)?.word(place.at + at)
    }

    /// Appends bytes of a slot to `to`; fewer only where the file ends.
    pub(super) fn copy(&self, place: Place, range: Range<usize>, to: &mut Vec<u8>) -> io::Result<()> {
        let range = place.at + range.start..place.at + range.end;
        match self.chunks.get(place.chunk) {
            Some(mapped) => {
                mapped.copy(range, to);
                Ok(())
            }
            None => read(&*self.file, chunk_position(place.chunk) + range.start as u64, range.len(), to),
        }
    }

    /// The bytes of a chunk, where they are or as a copy.
    fn chunk(&self, chunk: usize) -> io::Result<ChunkBytes> {
        if let Some(mapped) = self.chunks.get(chunk) {
            return Ok(ChunkBytes::Mapped(Arc::clone(mapped)));
        }
        let mut bytes = Vec::new();
        read(&*self.file, chunk_position(chunk), CHUNK_BYTES, &mut bytes)?;
        Ok(ChunkBytes::Read(bytes))
    }

    /// The class that the table says a chunk has.
    fn class(&self, chunk: usize) -> io::Result<Option<SlotClass>> {
        let at = CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES;
        let mut entry = Vec::new();
        match &self.header {
            Some(header) => header.copy(at..at + CHUNK_ENTRY_BYTES, &mut entry),
            None => read(&*self.file, at as u64, CHUNK_ENTRY_BYTES, &mut entry)?,
        }
        Ok(decode_chunk_entry(chunk, &entry))
    }
}

/// A chunk to look at.
enum ChunkBytes {
    Mapped(Arc<FollowedMapping>),
    Read(Vec<u8>),
}

impl ChunkBytes {
    fn word(&self, at: usize) -> Option<u64> {
        match self {
            ChunkBytes::Mapped(mapped) => mapped.word(at),
            ChunkBytes::Read(bytes) => header_word(bytes, at),
        }
    }

    fn identity(&self, at: usize) -> Option<(Identity, SlotClass, u64)> {
        match self {
            ChunkBytes::Mapped(mapped) => {
                let mut bytes = Vec::new();
                mapped.copy(at..at + IDENTITY_BYTES, &mut bytes);
                Identity::decode(&bytes)
            }
            ChunkBytes::Read(bytes) => Identity::decode(bytes.get(at..)?),
        }
    }
}

/// Appends what the file has of so many bytes.
fn read(file: &dyn DiskFile, position: u64, bytes: usize, to: &mut Vec<u8>) -> io::Result<()> {
    let start = to.len();
    to.resize(start + bytes, 0);
    let read = file.read_at(to.get_mut(start..).unwrap_or_default(), position)?;
    to.truncate(start + read);
    Ok(())
}
