//! One simulated file: what calls see of it, what a power cut leaves of it, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use super::pages::{PAGE_BYTES, Pages, is_zeros};
use super::random::Random;
use crate::disk::SharedMapping;
use crate::disk::mapping::HeapPages;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Blocks of the file system.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// Larger files than anybody simulates; a length that lies must not take the machine's memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file's bytes. Each change has a number in the order of all changes to the machine.
#[derive(Clone, Default)]
pub(super) struct FileData {
    content: Pages,
    /// What is on the medium for certain.
    durable: Pages,
    /// What was changed since, in order.
    pending: Vec<Change>,
    maps: Vec<SharedMap>,
    /// Names that it has.
    pub(super) links: usize,
    /// Handles and locks that are open.
    pub(super) handles: usize,
}

#[derive(Debug, Clone)]
struct Change {
    number: u64,
    edit: Edit,
}

#[derive(Debug, Clone)]
enum Edit {
    Write {
        position: usize,
        bytes: Arc<[u8]>,
    },
    /// Writes zeros, of which large pieces are not worth their memory.
    Zero {
        start: usize,
        end: usize,
    },
    SetSize {
        from: usize,
        to: usize,
    },
}

#[derive(Clone)]
struct SharedMap {
    position: usize,
    bytes: usize,
    pages: HeapPages,
}

impl FileData {
    /// A file of which everything is on the medium.
    pub(super) fn durable(content: Pages) -> FileData {
        FileData { durable: content.clone(), content, ..FileData::default() }
    }

    pub(super) fn content(&self) -> &Pages {
        &self.content
    }

    /// Its bytes for a file that shares its blocks: what of them is on the medium is there for both.
    pub(super) fn shared(&self) -> FileData {
        let (content, durable, pending) = (self.content.clone(), self.durable.clone(), self.pending.clone());
        FileData { content, durable, pending, ..FileData::default() }
    }

    /// Gives a new file the bytes of [`shared`](Self::shared).
    pub(super) fn take_blocks(&mut self, shared: FileData) {
        (self.content, self.durable, self.pending) = (shared.content, shared.durable, shared.pending);
    }

    /// The blocks that it takes, in bytes. There are no holes in a file.
    pub(super) fn allocated_bytes(&self) -> u64 {
        (self.content.len() as u64).next_multiple_of(BLOCK_BYTES)
    }

    /// Whether it has a second name.
    pub(super) fn is_shared(&self) -> bool {
        1 < self.links
    }

    pub(super) fn durable_bytes(&self) -> usize {
        self.durable.len()
    }

    /// Writes `bytes` at `position`, growing the file with zeros in between.
    pub(super) fn write(&mut self, bytes: &[u8], position: u64, number: &mut u64) -> io::Result<()> {
        self.absorb(number);
        let position = check_size(position)?;
        let end = check_size(position as u64 + bytes.len() as u64)?;
        if self.content.len() < end {
            self.content.resize(end);
        }
        self.content.write(bytes, position);
        for map in &self.maps {
            map.store(position, bytes);
        }
        self.note(number, Edit::write(position, bytes));
        Ok(())
    }

    pub(super) fn set_size(&mut self, size: u64, number: &mut u64) -> io::Result<()> {
        self.absorb(number);
        let (from, to) = (self.content.len(), check_size(size)?);
        self.content.resize(to);
        self.note(number, Edit::SetSize { from, to });
        Ok(())
    }

    fn note(&mut self, number: &mut u64, edit: Edit) {
        *number += 1;
        self.pending.push(Change { number: *number, edit });
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self, number: &mut u64) {
        self.absorb(number);
        self.durable.resize(self.content.len());
        // Sectors that a failed sync lost are not dirty, and stay lost.
        for change in self.pending.drain(..) {
            let sectors = sectors(&change.edit.touched());
            self.durable.copy(&self.content, sectors.start * SECTOR_BYTES, sectors.end * SECTOR_BYTES);
        }
    }

    /// Makes any part durable, and believes that it was all.
    pub(super) fn fail_sync(&mut self, number: &mut u64, random: &mut Random) {
        self.absorb(number);
        if random.chance(50) {
            self.durable.resize(self.content.len());
        }
        for sector in self.dirty_sectors() {
            if random.chance(50) {
                self.durable.copy(&self.content, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
            }
        }
        self.pending.clear();
    }

    /// Maps a piece for reading and writing. It must lie within the file, and be the same as another one or apart from it.
    pub(super) fn map_shared(&mut self, position: u64, bytes: usize, number: &mut u64) -> io::Result<SharedMapping> {
        self.absorb(number);
        let start = check_size(position)?;
        if self.content.len().checked_sub(start).is_none_or(|rest| rest < bytes) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the map would reach beyond the end of the file"));
        }
        if !start.is_multiple_of(4096) || bytes == 0 {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a map begins at a page and is not empty"));
        }
        if let Some(map) = self.maps.iter().find(|map| map.position < start + bytes && start < map.position + map.bytes)
        {
            if (map.position, map.bytes) != (start, bytes) {
                return Err(io::Error::new(ErrorKind::Unsupported, "maps that overlap are not simulated"));
            }
            return Ok(SharedMapping::heap(map.pages.clone(), bytes));
        }
        let pages = HeapPages::zeroed(bytes);
        for (position, page) in self.content.filled() {
            if let Some(at) = position.checked_sub(start) {
                pages.store(page, at);
            }
        }
        self.maps.push(SharedMap { position: start, bytes, pages: pages.clone() });
        Ok(SharedMapping::heap(pages, bytes))
    }

    /// Takes over what was stored through maps: each sector that differs is a change.
    pub(super) fn absorb(&mut self, number: &mut u64) {
        let mut maps = std::mem::take(&mut self.maps);
        let mut page = [0; PAGE_BYTES];
        maps.retain_mut(|map| {
            // Asked first: afterwards, a last store could still come.
            let is_live = !map.pages.is_unshared();
            for at in map.pages.touched() {
                let stored = page.get_mut(..PAGE_BYTES.min(map.bytes.saturating_sub(at))).unwrap_or_default();
                map.pages.load(stored, at);
                self.absorb_page(stored, map.position + at, number);
            }
            is_live
        });
        self.maps = maps;
    }

    fn absorb_page(&mut self, stored: &[u8], position: usize, number: &mut u64) {
        if self.content.has(stored, position) {
            return;
        }
        for (index, sector) in stored.chunks(SECTOR_BYTES).enumerate() {
            let position = position + index * SECTOR_BYTES;
            // A file that was cut has less than was mapped.
            let left = self.content.len().saturating_sub(position);
            let sector = sector.get(..left.min(sector.len())).unwrap_or_default();
            if !self.content.has(sector, position) {
                self.content.write(sector, position);
                self.note(number, Edit::write(position, sector));
            }
        }
    }

    /// Forgets the maps and handles of a process that is gone.
    pub(super) fn detach(&mut self) {
        self.maps.clear();
        self.handles = 0;
    }

    /// Changes a bit behind everybody's back, on the medium, too. Returns whether the file is that long.
    pub(super) fn flip_bit(&mut self, position: usize, bit: u8) -> bool {
        let mut byte = [0];
        for bytes in [&mut self.durable, &mut self.content] {
            if bytes.read(&mut byte, position) == 1 {
                byte = byte.map(|byte| byte ^ 1 << (bit % 8));
                bytes.write(&byte, position);
            }
        }
        if position >= self.content.len() {
            return false;
        }
        for map in &self.maps {
            map.store(position, &byte);
        }
        true
    }

    /// The numbers of the states that the file went through since it was synced, 0 for the synced one.
    pub(super) fn versions(&self) -> Vec<u64> {
        std::iter::once(0).chain(self.pending.iter().map(|change| change.number)).collect()
    }

    /// The file if of its size only changes up to `size_until` reached the medium, and of each sector only those up to
    /// `sector_until`.
    pub(super) fn surviving(&self, size_until: u64, mut sector_until: impl FnMut(usize) -> u64) -> Pages {
        if self.pending.is_empty() {
            return self.durable.clone();
        }
        let changed_end = self.pending.iter().map(|change| change.edit.touched().end).max().unwrap_or_default();
        let mut image = self.durable.clone();
        image.resize(self.durable.len().max(changed_end));
        let until: BTreeMap<usize, u64> =
            self.dirty_sectors().into_iter().map(|sector| (sector, sector_until(sector))).collect();
        for change in &self.pending {
            for (sector, _) in
                until.range(sectors(&change.edit.touched())).filter(|(_, until)| change.number <= **until)
            {
                change.edit.apply(*sector, &mut image);
            }
        }
        let mut size = self.durable.len();
        for change in self.pending.iter().filter(|change| change.number <= size_until) {
            size = change.edit.size_after(size);
        }
        image.resize(size);
        image
    }

    /// A hash of what calls see, what the medium has, and what is in between.
    pub(super) fn digest(&self, synced_number: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut add = |pages: &Pages| {
            pages.len().hash(&mut hasher);
            for (position, page) in pages.filled() {
                (position, crc32c::crc32c(page), crc32fast::hash(page)).hash(&mut hasher);
            }
        };
        add(&self.content);
        // A failed sync leaves them different, and nothing pending.
        if !self.durable.shares_all(&self.content) {
            add(&self.durable);
        }
        for change in &self.pending {
            let touched = change.edit.touched();
            (change.number.wrapping_sub(synced_number), touched.start, touched.end).hash(&mut hasher);
            if let Edit::Write { bytes, .. } = &change.edit {
                bytes.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Whether the size is another one than on the medium.
    pub(super) fn is_size_pending(&self) -> bool {
        self.content.len() != self.durable.len()
    }

    /// The numbers of the pages that are not on the medium as calls see them.
    pub(super) fn pending_pages(&self) -> BTreeSet<usize> {
        let mut page = [0; PAGE_BYTES];
        let mut differs = |number: usize| {
            let count = self.content.read(&mut page, number * PAGE_BYTES);
            let known = page.get(..count).unwrap_or_default();
            let shared = count.min(self.durable.len().saturating_sub(number * PAGE_BYTES));
            let (both, new) = known.split_at(shared);
            !self.durable.has(both, number * PAGE_BYTES) || new.iter().any(|byte| *byte != 0)
        };
        let pages: BTreeSet<usize> = self
            .pending
            .iter()
            .map(|change| change.edit.touched())
            .filter(|touched| !touched.is_empty())
            .flat_map(|touched| touched.start / PAGE_BYTES..touched.end.div_ceil(PAGE_BYTES))
            .collect();
        pages.into_iter().filter(|page| differs(*page)).collect()
    }

    fn dirty_sectors(&self) -> BTreeSet<usize> {
        self.pending.iter().flat_map(|change| sectors(&change.edit.touched())).collect()
    }
}

impl fmt::Debug for FileData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} changes not synced", self.content.len(), self.pending.len())
    }
}

impl Edit {
    fn write(position: usize, bytes: &[u8]) -> Edit {
        if bytes.len() > PAGE_BYTES && is_zeros(bytes) {
            return Edit::Zero { start: position, end: position + bytes.len() };
        }
        Edit::Write { position, bytes: bytes.into() }
    }

    /// The bytes that change.
    fn touched(&self) -> Range<usize> {
        match self {
            Edit::Write { position, bytes } => *position..position + bytes.len(),
            Edit::Zero { start, end } => *start..*end,
            Edit::SetSize { from, to } => *from.min(to)..*from.max(to),
        }
    }

    fn size_after(&self, size: usize) -> usize {
        match self {
            Edit::Write { bytes, .. } if bytes.is_empty() => size,
            Edit::Write { .. } | Edit::Zero { .. } => size.max(self.touched().end),
            Edit::SetSize { to, .. } => *to,
        }
    }

    /// Makes the change in one sector.
    fn apply(&self, sector: usize, image: &mut Pages) {
        let (start, end) = (sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        let touched = self.touched();
        let (start, end) = (touched.start.max(start), touched.end.min(end));
        match self {
            Edit::Write { position, bytes } => {
                image.write(bytes.get(start - position..end - position).unwrap_or_default(), start);
            }
            Edit::Zero { .. } | Edit::SetSize { .. } => {
                image.write([0; SECTOR_BYTES].get(..end - start).unwrap_or_default(), start);
            }
        }
    }
}

impl SharedMap {
    /// Shows what was written at `position` of the file in the memory.
    fn store(&self, position: usize, bytes: &[u8]) {
        let skip = self.position.saturating_sub(position);
        let at = position.saturating_sub(self.position);
        let room = self.bytes.saturating_sub(at);
        let piece = bytes.get(skip..).unwrap_or_default();
        self.pages.store(piece.get(..piece.len().min(room)).unwrap_or_default(), at);
    }
}

fn sectors(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() { 0..0 } else { range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES) }
}

fn check_size(bytes: u64) -> io::Result<usize> {
    if bytes > FILE_BYTES_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into())
}
