//! One simulated file: what calls see of it, what a power cut leaves of it, and the changes in between.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;

use super::random::Random;
use crate::disk::SharedMapping;
use crate::disk::mapping::HeapPages;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Larger files than anybody simulates; a length that lies must not take the machine's memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file's bytes. Each change has a number in the order of all changes to the machine.
#[derive(Clone, Default)]
pub(super) struct FileData {
    content: Vec<u8>,
    /// What is on the medium for certain.
    durable: Vec<u8>,
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
    Write { position: usize, bytes: Vec<u8> },
    SetSize { from: usize, to: usize },
}

#[derive(Clone)]
struct SharedMap {
    position: usize,
    bytes: usize,
    pages: HeapPages,
}

impl FileData {
    /// A file of which everything is on the medium.
    pub(super) fn durable(content: Vec<u8>) -> FileData {
        FileData { durable: content.clone(), content, ..FileData::default() }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
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
            self.content.resize(end, 0);
        }
        copy_into(&mut self.content, position, bytes);
        for map in &self.maps {
            map.store(position, bytes);
        }
        self.note(number, Edit::Write { position, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn set_size(&mut self, size: u64, number: &mut u64) -> io::Result<()> {
        self.absorb(number);
        let (from, to) = (self.content.len(), check_size(size)?);
        self.content.resize(to, 0);
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
        let sectors = self.dirty_sectors();
        self.durable.resize(self.content.len(), 0);
        // Sectors that a failed sync lost are not dirty, and stay lost.
        for sector in sectors {
            copy_sector(&mut self.durable, &self.content, sector);
        }
        self.pending.clear();
    }

    /// Makes any part durable, and believes that it was all.
    pub(super) fn fail_sync(&mut self, number: &mut u64, random: &mut Random) {
        self.absorb(number);
        let sectors = self.dirty_sectors();
        if random.chance(50) {
            self.durable.resize(self.content.len(), 0);
        }
        for sector in sectors {
            if random.chance(50) {
                copy_sector(&mut self.durable, &self.content, sector);
            }
        }
        self.pending.clear();
    }

    /// Maps a piece for reading and writing. It must lie within the file, and be the same as another one or apart from it.
    pub(super) fn map_shared(&mut self, position: u64, bytes: usize, number: &mut u64) -> io::Result<SharedMapping> {
        self.absorb(number);
        let start = check_size(position)?;
        let Some(content) = self.content.get(start..).and_then(|content| content.get(..bytes)) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the map would reach beyond the end of the file"));
        };
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
        pages.store(content, 0);
        self.maps.push(SharedMap { position: start, bytes, pages: pages.clone() });
        Ok(SharedMapping::heap(pages, bytes))
    }

    /// Takes over what was stored through maps: each sector that differs is a change.
    pub(super) fn absorb(&mut self, number: &mut u64) {
        let mut maps = std::mem::take(&mut self.maps);
        maps.retain_mut(|map| {
            // Asked first: afterwards, a last store could still come.
            let is_live = !map.pages.is_unshared();
            let stored = map.pages.to_vec();
            let stored = stored.get(..map.bytes).unwrap_or_default();
            for (index, sector) in stored.chunks(SECTOR_BYTES).enumerate() {
                let position = map.position + index * SECTOR_BYTES;
                let known = self.content.get(position..).unwrap_or_default();
                let sector = sector.get(..known.len().min(sector.len())).unwrap_or_default();
                if !known.starts_with(sector) {
                    copy_into(&mut self.content, position, sector);
                    self.note(number, Edit::Write { position, bytes: sector.to_vec() });
                }
            }
            is_live
        });
        self.maps = maps;
    }

    /// Forgets the maps and handles of a process that is gone.
    pub(super) fn detach(&mut self) {
        self.maps.clear();
        self.handles = 0;
    }

    /// Changes a bit behind everybody's back, on the medium, too. Returns whether the file is that long.
    pub(super) fn flip_bit(&mut self, position: usize, bit: u8) -> bool {
        for bytes in [&mut self.content, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let Some(byte) = self.content.get(position).copied() else { return false };
        for map in &self.maps {
            map.store(position, &[byte]);
        }
        true
    }

    /// The numbers of the states that the file went through since it was synced, 0 for the synced one.
    pub(super) fn versions(&self) -> Vec<u64> {
        std::iter::once(0).chain(self.pending.iter().map(|change| change.number)).collect()
    }

    /// The file if of its size only changes up to `size_until` reached the medium, and of each sector only those up to
    /// `sector_until`.
    pub(super) fn surviving(&self, size_until: u64, mut sector_until: impl FnMut(usize) -> u64) -> Vec<u8> {
        let longest = self.pending.iter().map(|change| change.edit.touched().end).max().unwrap_or_default();
        let mut image = self.durable.clone();
        image.resize(longest.max(image.len()), 0);
        for sector in self.dirty_sectors() {
            let until = sector_until(sector);
            for change in self.pending.iter().filter(|change| change.number <= until) {
                change.edit.apply(sector, &mut image);
            }
        }
        let mut size = self.durable.len();
        for change in self.pending.iter().filter(|change| change.number <= size_until) {
            size = change.edit.size_after(size);
        }
        image.resize(size, 0);
        image
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
    /// The bytes that change.
    fn touched(&self) -> Range<usize> {
        match self {
            Edit::Write { position, bytes } => *position..position + bytes.len(),
            Edit::SetSize { from, to } => *from.min(to)..*from.max(to),
        }
    }

    fn size_after(&self, size: usize) -> usize {
        match self {
            Edit::Write { bytes, .. } if bytes.is_empty() => size,
            Edit::Write { .. } => size.max(self.touched().end),
            Edit::SetSize { to, .. } => *to,
        }
    }

    /// Makes the change in one sector.
    fn apply(&self, sector: usize, image: &mut [u8]) {
        let (start, end) = (sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        let touched = self.touched();
        let overlap = touched.start.max(start)..touched.end.min(end);
        let Some(target) = image.get_mut(overlap.clone()) else { return };
        match self {
            Edit::Write { position, bytes } => {
                let piece = bytes.get(overlap.start - position..overlap.end - position).unwrap_or_default();
                copy_into(target, 0, piece);
            }
            Edit::SetSize { .. } => target.fill(0),
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

fn copy_sector(to: &mut [u8], from: &[u8], sector: usize) {
    let start = sector * SECTOR_BYTES;
    let rest = from.get(start..).unwrap_or_default();
    copy_into(to, start, rest.get(..rest.len().min(SECTOR_BYTES)).unwrap_or_default());
}

/// Copies `from` to `position`, as far as there is room.
fn copy_into(to: &mut [u8], position: usize, from: &[u8]) {
    let room = to.get_mut(position..).unwrap_or_default();
    let bytes = room.len().min(from.len());
    if let (Some(to), Some(from)) = (room.get_mut(..bytes), from.get(..bytes)) {
        to.copy_from_slice(from);
    }
}

fn check_size(bytes: u64) -> io::Result<usize> {
    if bytes > FILE_BYTES_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into())
}
