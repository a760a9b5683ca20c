//! One simulated file: what calls see of it, what a power cut leaves of it, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;

use super::random::Random;
use crate::disk::SharedMapping;
use crate::disk::mapping::HeapPages;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

const PAGE_BYTES: usize = 4096;

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
            resize(&mut self.content, end);
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
        resize(&mut self.content, to);
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
        resize(&mut self.durable, self.content.len());
        // Sectors that a failed sync lost are not dirty, and stay lost.
        for change in self.pending.drain(..) {
            let sectors = sectors(&change.edit.touched());
            copy_sectors(&mut self.durable, &self.content, sectors);
        }
    }

    /// Makes any part durable, and believes that it was all.
    pub(super) fn fail_sync(&mut self, number: &mut u64, random: &mut Random) {
        self.absorb(number);
        if random.chance(50) {
            resize(&mut self.durable, self.content.len());
        }
        for sector in self.dirty_sectors() {
            if random.chance(50) {
                copy_sectors(&mut self.durable, &self.content, sector..sector + 1);
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
        let mut page = [0; PAGE_BYTES];
        maps.retain_mut(|map| {
            // Asked first: afterwards, a last store could still come.
            let is_live = !map.pages.is_unshared();
            let mut position = map.position;
            while position < map.position + map.bytes {
                let stored = page.get_mut(..PAGE_BYTES.min(map.position + map.bytes - position)).unwrap_or_default();
                map.pages.load(stored, position - map.position);
                self.absorb_page(stored, position, number);
                position += PAGE_BYTES;
            }
            is_live
        });
        self.maps = maps;
    }

    fn absorb_page(&mut self, stored: &[u8], position: usize, number: &mut u64) {
        if self.content.get(position..).is_some_and(|known| known.starts_with(stored)) {
            return;
        }
        for (index, sector) in stored.chunks(SECTOR_BYTES).enumerate() {
            let position = position + index * SECTOR_BYTES;
            let known = self.content.get(position..).unwrap_or_default();
            // A file that was cut has less than was mapped.
            let sector = sector.get(..known.len().min(sector.len())).unwrap_or_default();
            if !known.starts_with(sector) {
                copy_into(&mut self.content, position, sector);
                self.note(number, Edit::Write { position, bytes: sector.to_vec() });
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
        let changed_end = self.pending.iter().map(|change| change.edit.touched().end).max().unwrap_or_default();
        let mut image = self.durable.clone();
        resize(&mut image, self.durable.len().max(changed_end));
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
        resize(&mut image, size);
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

fn copy_sectors(to: &mut [u8], from: &[u8], sectors: Range<usize>) {
    let (start, end) = (sectors.start * SECTOR_BYTES, (sectors.end * SECTOR_BYTES).min(from.len()));
    copy_into(to, start, from.get(start..end).unwrap_or_default());
}

/// Cuts or extends with zeros: in one piece, where `Vec::resize` without optimizations goes byte by byte.
fn resize(bytes: &mut Vec<u8>, size: usize) {
    match size.checked_sub(bytes.len()) {
        Some(growth) => bytes.append(&mut vec![0; growth]),
        None => bytes.truncate(size),
    }
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
