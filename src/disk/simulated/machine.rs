//! The simulated machine: its files, its limits and clock, and the calls on files. Directories are in `names.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::faults::{Fault, FaultKind, Faults, Operation};
use super::file::{BLOCK_BYTES, FileData};
use super::names::{Dir, NameChange, ROOT};
use super::random::Random;
use crate::disk::{FileUsage, FollowedMapping, Open, SharedMapping};

/// Names a file or directory, for as long as the machine exists.
pub(super) type NodeId = u64;

/// 2023-11-14T22:13:20Z.
const START_MS: i64 = 1_700_000_000_000;
/// What is kept of removed files, for stale blocks.
const STALE_FILES_MAX: usize = 16;
pub(super) const STALE_BYTES_MAX: usize = 64 * 1024;

/// The first `count` bytes of a write that ends early. A word is in the page cache as a whole or not at all: neither a signal nor
/// a lack of room comes in between.
pub(super) fn beginning(bytes: &[u8], count: usize) -> &[u8] {
    let count = if bytes.len() <= size_of::<u64>() && count < bytes.len() { 0 } else { count };
    bytes.get(..count).unwrap_or_default()
}

/// All that there is, and what was done to it.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) next_node: NodeId,
    pub(super) pending_names: Vec<NameChange>,
    /// The number of the newest change.
    pub(super) number: u64,
    /// The newest change when something was last synced.
    pub(super) synced_number: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    /// The machine as it was when it stopped, and what it was writing.
    pub(super) stopped: Option<Box<Stopped>>,
    /// What it was before each changing call, with the calls made before, if that is wanted.
    pub(super) stops: Option<Vec<(u64, Stopped)>>,
    pub(super) stale: Vec<Arc<[u8]>>,
    locked: BTreeSet<NodeId>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) handles_max: Option<usize>,
    pub(super) is_copy_on_write: bool,
    pub(super) now_ms: i64,
    pub(super) elapsed: Duration,
    pub(super) boot_id: u128,
}

/// A machine at the moment from which on nothing changed.
#[derive(Clone)]
pub(super) struct Stopped {
    pub(super) machine: Machine,
    /// The file, bytes and position of a write that was refused then.
    pub(super) write: Option<(NodeId, Arc<[u8]>, u64)>,
}

/// What a name can stand for.
#[derive(Clone)]
pub(super) enum Node {
    Dir(Dir),
    File(FileData),
}

impl Machine {
    pub(super) fn new(seed: u64) -> Machine {
        let mut random = Random::new(seed);
        Machine {
            nodes: BTreeMap::from([(ROOT, Node::Dir(Dir::default()))]),
            next_node: ROOT + 1,
            pending_names: Vec::new(),
            number: 0,
            synced_number: 0,
            faults: Faults::default(),
            stopped: None,
            stops: None,
            stale: Vec::new(),
            locked: BTreeSet::new(),
            capacity_bytes: None,
            handles_max: None,
            is_copy_on_write: false,
            now_ms: START_MS,
            elapsed: Duration::ZERO,
            boot_id: random.next_u128(),
            random,
        }
    }

    /// Starts a call. When it is the one that stops the machine, what there is so far is kept.
    pub(super) fn enter(&mut self, operation: Operation, path: &Path) -> Result<(), Fault> {
        let result = self.faults.enter(operation, path);
        if result == Err(Fault::Stopped) && self.stopped.is_none() {
            self.stopped = Some(Box::new(Stopped { machine: self.snapshot(), write: None }));
        }
        if self.stops.is_some() && operation.is_mutating() {
            self.note_stop(self.faults.calls - 1);
        }
        result
    }

    /// Keeps what there is as what a stop after `calls` calls leaves.
    pub(super) fn note_stop(&mut self, calls: u64) {
        let stopped = Stopped { machine: self.snapshot(), write: None };
        if let Some(stops) = &mut self.stops {
            stops.push((calls, stopped));
        }
    }

    /// The machine as it is, without what belongs to a process or to a test of it.
    pub(super) fn snapshot(&mut self) -> Machine {
        self.absorb();
        // Neither small nor wanted there.
        let (faults, stops) = (std::mem::take(&mut self.faults), self.stops.take());
        let mut image = self.clone();
        (self.faults, self.stops) = (faults, stops);
        image.detach();
        image
    }

    /// Takes over what was stored through maps.
    pub(super) fn absorb(&mut self) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.absorb(&mut self.number);
            }
        }
    }

    /// Forgets everything that belongs to a process or to a test of it: maps, handles, locks, faults.
    pub(super) fn detach(&mut self) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.detach();
            }
        }
        self.locked.clear();
        self.faults = Faults::default();
        self.stopped = None;
        self.stops = None;
    }

    // Calls on paths.

    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<NodeId> {
        self.enter(Operation::Open, path)?;
        let (dir, name) = self.parent(path)?;
        let found = self.dir(dir)?.entries.get(name).copied();
        self.check_handles()?;
        let node = match (found, how) {
            (Some(_), Open::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (None, Open::Read | Open::Write) => return Err(ErrorKind::NotFound.into()),
            (Some(node), _) => node,
            (None, Open::CreateNew | Open::CreateOrWrite) => {
                self.create(dir, name.to_owned(), Node::File(FileData::default()))
            }
        };
        self.file(node)?.handles += 1;
        Ok(node)
    }

    /// Makes a copy, in the calls that one is made of; it stays open.
    pub(super) fn copy_file(&mut self, from: &Path, to: &Path) -> io::Result<NodeId> {
        let source = self.open(from, Open::Read)?;
        let copied = self.open(to, Open::CreateNew).and_then(|copy| {
            self.copy_bytes((source, from), (copy, to)).inspect_err(|_| self.close(copy))?;
            Ok(copy)
        });
        self.close(source);
        copied
    }

    fn copy_bytes(&mut self, (source, from): (NodeId, &Path), (copy, to): (NodeId, &Path)) -> io::Result<()> {
        let shares_blocks = self.is_copy_on_write;
        let original = self.read(source, Operation::Read, from)?;
        if !shares_blocks {
            let bytes = original.content().to_vec();
            return self.write(copy, to, &bytes, 0);
        }
        // Blocks that are shared take no room, though that is still counted: whoever overwrites them needs it.
        let shared = original.shared();
        self.enter(Operation::Write, to)?;
        if (shared.content().len() as u64) > self.free_bytes() {
            return Err(FaultKind::StorageFull.error());
        }
        self.file(copy)?.take_blocks(shared);
        Ok(())
    }

    pub(super) fn lock(&mut self, path: &Path, content: &[u8]) -> io::Result<NodeId> {
        self.enter(Operation::Lock, path)?;
        let (dir, name) = self.parent(path)?;
        let mut node = match self.dir(dir)?.entries.get(name).copied() {
            Some(node) => node,
            None => self.create(dir, name.to_owned(), Node::File(FileData::default())),
        };
        let is_shared = self.file(node)?.is_shared();
        if self.locked.contains(&node) {
            return Err(ErrorKind::WouldBlock.into());
        }
        if is_shared {
            node = self.create(dir, name.to_owned(), Node::File(FileData::default()));
        }
        self.locked.insert(node);
        let (file, number) = self.file_and_number(node)?;
        file.handles += 1;
        file.set_size(0, number)?;
        file.write(content, 0, number)?;
        Ok(node)
    }

    pub(super) fn lock_as_it_is(&mut self, path: &Path) -> io::Result<NodeId> {
        self.enter(Operation::Lock, path)?;
        let (dir, name) = self.parent(path)?;
        let node = self.dir(dir)?.entries.get(name).copied().ok_or(ErrorKind::NotFound)?;
        self.file(node)?;
        if !self.locked.insert(node) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.file_and_number(node)?.0.handles += 1;
        Ok(node)
    }

    pub(super) fn unlock(&mut self, node: NodeId) {
        self.locked.remove(&node);
        self.close(node);
    }

    pub(super) fn close(&mut self, node: NodeId) {
        if let Ok(file) = self.file(node) {
            file.handles = file.handles.saturating_sub(1);
        }
    }

    pub(super) fn usage(&mut self, path: &Path) -> io::Result<FileUsage> {
        self.enter(Operation::Size, path)?;
        let node = self.resolve(path)?;
        let file = self.file(node)?;
        let id = file.is_shared().then_some(u128::from(node));
        Ok(FileUsage { id, allocated_bytes: file.allocated_bytes() })
    }

    // Calls on open files; `path` is how they were opened, for the log.

    pub(super) fn read(&mut self, node: NodeId, operation: Operation, path: &Path) -> io::Result<&FileData> {
        self.enter(operation, path)?;
        let (file, number) = self.file_and_number(node)?;
        file.absorb(number);
        Ok(file)
    }

    pub(super) fn write(&mut self, node: NodeId, path: &Path, bytes: &[u8], position: u64) -> io::Result<()> {
        let was_stopped = self.stopped.is_some();
        let entered = self.enter(Operation::Write, path);
        if let Some((_, stop)) = self.stops.as_mut().and_then(|stops| stops.last_mut()) {
            stop.write = Some((node, bytes.into(), position));
        }
        match (entered, &mut self.stopped) {
            (Err(Fault::Stopped), Some(stopped)) if !was_stopped => {
                // A process can die in the middle of a write: whoever takes the image decides how far it came.
                stopped.write = Some((node, bytes.into(), position));
            }
            (Err(Fault::Injected(FaultKind::ShortWrite)), _) => {
                let half = beginning(bytes, bytes.len() / 2);
                self.write_within_capacity(node, half, position)?;
            }
            _ => {}
        }
        entered?;
        self.write_within_capacity(node, bytes, position)
    }

    /// Writes as much as there is room for.
    pub(super) fn write_within_capacity(&mut self, node: NodeId, bytes: &[u8], position: u64) -> io::Result<()> {
        let size = self.file(node)?.content().len() as u64;
        let end = position.saturating_add(bytes.len() as u64);
        let (growth, overwritten) = (end.saturating_sub(size), end.min(size).saturating_sub(position));
        let copied = if self.is_copy_on_write { overwritten.next_multiple_of(BLOCK_BYTES) } else { 0 };
        let missing = growth.saturating_add(copied).saturating_sub(self.free_bytes());
        let fitting = bytes.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        let (file, number) = self.file_and_number(node)?;
        if fitting > 0 {
            file.write(bytes.get(..fitting).unwrap_or_default(), position, number)?;
        }
        if missing > 0 { Err(FaultKind::StorageFull.error()) } else { Ok(()) }
    }

    pub(super) fn set_size(&mut self, node: NodeId, path: &Path, size: u64) -> io::Result<()> {
        self.enter(Operation::SetSize, path)?;
        let old = self.file(node)?.content();
        let growth = size.saturating_sub(old.len() as u64);
        let mut cut = vec![0; STALE_BYTES_MAX];
        let count = old.read(&mut cut, usize::try_from(size).unwrap_or(usize::MAX));
        cut.truncate(count);
        if growth > self.free_bytes() {
            return Err(FaultKind::StorageFull.error());
        }
        self.keep_stale(cut);
        let (file, number) = self.file_and_number(node)?;
        file.set_size(size, number)
    }

    pub(super) fn sync(&mut self, node: NodeId, path: &Path) -> io::Result<()> {
        let entered = self.enter(Operation::Sync, path);
        let mut random = self.random.clone();
        let (file, number) = self.file_and_number(node)?;
        match entered {
            Ok(()) => {
                file.sync(number);
                self.synced_number = self.number;
            }
            Err(Fault::Injected(_)) => {
                file.fail_sync(number, &mut random);
                self.random = random;
            }
            Err(Fault::Stopped) => {}
        }
        Ok(entered?)
    }

    pub(super) fn map_shared(
        &mut self,
        node: NodeId,
        path: &Path,
        position: u64,
        bytes: usize,
    ) -> io::Result<SharedMapping> {
        self.enter(Operation::MapShared, path)?;
        if self.is_copy_on_write {
            return Err(io::Error::new(ErrorKind::Unsupported, "a store into the map could find no room"));
        }
        let (file, number) = self.file_and_number(node)?;
        file.map_shared(position, bytes, number)
    }

    pub(super) fn map_followed(
        &mut self,
        node: NodeId,
        path: &Path,
        position: u64,
        bytes: usize,
    ) -> io::Result<FollowedMapping> {
        self.enter(Operation::Map, path)?;
        let (file, number) = self.file_and_number(node)?;
        match file.map_shared(position, bytes, number) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(ErrorKind::Unsupported.into()),
            mapped => mapped.map(FollowedMapping::heap),
        }
    }

    /// Whether the path stands for this file.
    pub(super) fn is_at(&mut self, node: NodeId, path: &Path) -> io::Result<bool> {
        self.enter(Operation::Size, path)?;
        match self.resolve(path) {
            Ok(found) => Ok(found == node),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    // Nodes and limits.

    pub(super) fn file(&mut self, node: NodeId) -> io::Result<&mut FileData> {
        self.file_and_number(node).map(|(file, _)| file)
    }

    pub(super) fn file_and_number(&mut self, node: NodeId) -> io::Result<(&mut FileData, &mut u64)> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok((file, &mut self.number)),
            Some(Node::Dir(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Remembers bytes that left a file, for stale blocks.
    pub(super) fn keep_stale(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if self.stale.len() == STALE_FILES_MAX {
            self.stale.remove(0);
        }
        self.stale.push(bytes.into());
    }

    fn files(&self) -> impl Iterator<Item = &FileData> {
        self.nodes.values().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        })
    }

    pub(super) fn handles(&self) -> usize {
        self.files().map(|file| file.handles).sum()
    }

    /// Fails if nothing more may be opened.
    pub(super) fn check_handles(&self) -> io::Result<()> {
        match self.handles_max {
            Some(limit) if self.handles() >= limit => Err(FaultKind::TooManyOpenFiles.error()),
            _ => Ok(()),
        }
    }

    /// Bytes of all files that have a name or a handle.
    pub(super) fn used_bytes(&self) -> u64 {
        self.files().filter(|file| file.links + file.handles > 0).map(|file| file.content().len() as u64).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    /// Names, and the bytes of files as calls see them and as the medium has them. Pending changes count with their order.
    pub(super) fn fingerprint(&self) -> u128 {
        // Two of them, as it is believed without looking.
        let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
        for (salt, hasher) in (1_u64..).zip(&mut hashers) {
            salt.hash(hasher);
        }
        for (path, node) in self.paths() {
            let digest = match self.nodes.get(&node) {
                Some(Node::File(file)) => file.digest(self.synced_number) ^ u64::from(file.is_shared()),
                _ => 0,
            };
            for hasher in &mut hashers {
                (&path, digest).hash(hasher);
            }
        }
        for change in &self.pending_names {
            let pending = (change.number.wrapping_sub(self.synced_number), change.dir, &change.edits);
            for hasher in &mut hashers {
                pending.hash(hasher);
            }
        }
        hashers.iter().fold(0, |all, hasher| all << 64 | u128::from(hasher.finish()))
    }
}
