//! Names of the simulated machine: directories, and the changes of their entries that are not synced.
//!
//! A name is an entry of a directory, apart from the file that it stands for. Changes of names wait until their directory is
//! synced; a rename between two directories is two changes, of which the new name never reaches the medium after the old one
//! is gone from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::faults::{Fault, FaultKind, Operation};
use super::file::FileData;
use super::machine::{Machine, Node, NodeId, STALE_BYTES_MAX};
use crate::disk::{DirEntry, SyncError};

/// The directory that all paths begin at.
pub(super) const ROOT: NodeId = 0;

/// A directory as calls see it, and as the medium has it.

#[derive(Clone, Default)]
pub(super) struct Dir {
    pub(super) entries: BTreeMap<OsString, NodeId>,
    /// The entries that are on the medium for certain.
    pub(super) durable: BTreeMap<OsString, NodeId>,
}

/// A change of one directory's entries that is not synced; it survives as a whole or not at all.
#[derive(Debug, Clone)]
pub(super) struct NameChange {
    pub(super) number: u64,
    pub(super) dir: NodeId,
    pub(super) edits: Vec<(OsString, Option<NodeId>)>,
    /// The directory whose change of the same number must survive, if this one does.
    pub(super) after: Option<NodeId>,
}

/// Calls on paths.
impl Machine {
    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.enter(Operation::CreateDir, path)?;
        if self.resolve(path).is_ok_and(|node| matches!(self.nodes.get(&node), Some(Node::Dir(_)))) {
            return Ok(());
        }
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.entries.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.create(dir, name.to_owned(), Node::Dir(Dir::default()));
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.enter(Operation::RemoveFile, path)?;
        let node = self.resolve(path)?;
        self.file(node)?;
        let (dir, name) = self.parent(path)?;
        self.change_names(dir, vec![(name.to_owned(), None)], None)
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        self.enter(Operation::RemoveDir, path)?;
        let node = self.resolve(path)?;
        if !self.dir(node)?.entries.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.parent(path)?;
        self.change_names(dir, vec![(name.to_owned(), None)], None)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter(Operation::Rename, from)?;
        let node = self.resolve(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if to.starts_with(from) && to != from {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a directory cannot move into itself"));
        }
        match self.dir(to_dir)?.entries.get(to_name).copied() {
            Some(existing) if existing == node => return Ok(()),
            Some(existing) => {
                // As the operating system has it, only files replace files.
                for node in [existing, node] {
                    self.file(node).map_err(|_| ErrorKind::AlreadyExists)?;
                }
            }
            None => {}
        }
        let removal = (from_name.to_owned(), None);
        let addition = (to_name.to_owned(), Some(node));
        if from_dir == to_dir {
            return self.change_names(from_dir, vec![removal, addition], None);
        }
        self.change_names(to_dir, vec![addition], None)?;
        // One number for both: where changes survive in order, a rename does not come apart.
        self.number -= 1;
        self.change_names(from_dir, vec![removal], Some(to_dir))
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter(Operation::HardLink, from)?;
        let node = self.resolve(from)?;
        self.file(node).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "not a regular file"))?;
        let (dir, name) = self.parent(to)?;
        if self.dir(dir)?.entries.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change_names(dir, vec![(name.to_owned(), Some(node))], None)
    }

    pub(super) fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.enter(Operation::List, path)?;
        let node = self.resolve(path)?;
        let entries = self.dir(node)?.entries.iter();
        let is_dir = |node| matches!(self.nodes.get(node), Some(Node::Dir(_)));
        Ok(entries.map(|(name, node)| DirEntry { name: name.clone(), is_dir: is_dir(node) }).collect())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<(), SyncError> {
        self.enter(Operation::SyncDir, path).map_err(|fault| match fault {
            // A directory is opened to be synced.
            Fault::Injected(FaultKind::TooManyOpenFiles) => SyncError::NotBegun(fault.into()),
            _ => SyncError::Failed(fault.into()),
        })?;
        self.check_handles().map_err(SyncError::NotBegun)?;
        let node = self.resolve(path).and_then(|node| self.dir(node).map(|_| node)).map_err(SyncError::NotBegun)?;
        self.commit_names(node, u64::MAX);
        self.synced_number = self.number;
        self.forget_unreachable();
        Ok(())
    }
}

/// What calls are made of.
impl Machine {
    /// Puts a file or directory there that is durable, in the place of what has the name.
    pub(super) fn plant(&mut self, dir: NodeId, name: &OsStr, node: Node) -> io::Result<NodeId> {
        self.dir(dir)?;
        let id = self.create(dir, name.to_owned(), node);
        self.settle_name(dir, name);
        Ok(id)
    }

    /// Makes one name durable as it is, whatever was pending for it.
    fn settle_name(&mut self, dir: NodeId, name: &OsStr) {
        for change in self.pending_names.iter_mut().filter(|change| change.dir == dir) {
            change.edits.retain(|(edited, _)| edited != name);
        }
        self.pending_names.retain(|change| !change.edits.is_empty());
        if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
            let current = dir.entries.get(name).copied();
            apply_names(&mut dir.durable, &[(name.to_owned(), current)]);
        }
    }

    /// Puts a durable file there, and the directories that lead to it.
    pub(super) fn plant_path(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let (dir, name) = self.plant_parent(path)?;
        self.plant(dir, &name, Node::File(FileData::durable(content.to_vec().into())))?;
        Ok(())
    }

    /// Gives a file a second name, and makes the directories that lead there; all durably.
    pub(super) fn plant_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.resolve(from)?;
        self.file(node)?;
        let (dir, name) = self.plant_parent(to)?;
        self.link(dir, &name, node)
    }

    /// Gives a node a name durably, in the place of what has it.
    pub(super) fn link(&mut self, dir: NodeId, name: &OsStr, node: NodeId) -> io::Result<()> {
        self.change_names(dir, vec![(name.to_owned(), Some(node))], None)?;
        self.settle_name(dir, name);
        Ok(())
    }

    /// The directory of a path's last name, made if it is not there.
    fn plant_parent(&mut self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let mut dir = ROOT;
        for name in names {
            dir = match self.dir(dir)?.entries.get(name) {
                Some(node) => *node,
                None => self.plant(dir, name, Node::Dir(Dir::default()))?,
            };
        }
        Ok((dir, name))
    }

    /// Removes a file or directory durably.
    pub(super) fn uproot(&mut self, path: &Path) -> io::Result<()> {
        let node = self.resolve(path)?;
        let (dir, name) = self.parent(path)?;
        self.change_names(dir, vec![(name.to_owned(), None)], None)?;
        self.settle_name(dir, name);
        if let Some(Node::Dir(_)) = self.nodes.get(&node) {
            self.nodes.remove(&node);
        }
        Ok(())
    }

    pub(super) fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names(path)? {
            node = *self.dir(node)?.entries.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The directory that holds a path's last name.
    pub(super) fn parent<'p>(&self, path: &'p Path) -> io::Result<(NodeId, &'p OsStr)> {
        let name = names(path)?.pop().ok_or(ErrorKind::InvalidInput)?;
        let dir = self.resolve(path.parent().unwrap_or(Path::new("")))?;
        self.dir(dir)?;
        Ok((dir, name))
    }

    pub(super) fn dir(&self, node: NodeId) -> io::Result<&Dir> {
        match self.nodes.get(&node) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create(&mut self, dir: NodeId, name: OsString, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        // The directory was looked up by the caller.
        _ = self.change_names(dir, vec![(name, Some(id))], None);
        id
    }

    fn change_names(
        &mut self,
        dir: NodeId,
        edits: Vec<(OsString, Option<NodeId>)>,
        after: Option<NodeId>,
    ) -> io::Result<()> {
        let Some(Node::Dir(found)) = self.nodes.get_mut(&dir) else {
            return Err(ErrorKind::NotADirectory.into());
        };
        let before: Vec<_> = edits.iter().filter_map(|(name, _)| found.entries.get(name).copied()).collect();
        apply_names(&mut found.entries, &edits);
        for node in before {
            if let Ok(file) = self.file(node) {
                file.links = file.links.saturating_sub(1);
            }
        }
        for node in edits.iter().filter_map(|(_, node)| *node) {
            if let Ok(file) = self.file(node) {
                file.links += 1;
            }
        }
        self.number += 1;
        self.pending_names.push(NameChange { number: self.number, dir, edits, after });
        Ok(())
    }

    /// Makes the changes of a directory's entries durable, up to the change `until`.
    fn commit_names(&mut self, dir: NodeId, until: u64) {
        let pending = std::mem::take(&mut self.pending_names);
        let (committed, rest) = pending.into_iter().partition(|change| change.dir == dir && change.number <= until);
        self.pending_names = rest;
        let committed: Vec<NameChange> = committed;
        for change in committed {
            if let Some(other) = change.after {
                self.commit_names(other, change.number);
            }
            if let Some(Node::Dir(found)) = self.nodes.get_mut(&dir) {
                apply_names(&mut found.durable, &change.edits);
            }
        }
    }

    /// Drops files that no name, handle or crash can bring back.
    fn forget_unreachable(&mut self) {
        let mut reachable: BTreeSet<NodeId> =
            self.pending_names.iter().flat_map(|change| change.edits.iter().filter_map(|(_, node)| *node)).collect();
        for node in self.nodes.values() {
            if let Node::Dir(dir) = node {
                reachable.extend(dir.durable.values());
            }
        }
        let is_gone = |(id, node): &(&NodeId, &Node)| match node {
            Node::File(file) => file.links == 0 && file.handles == 0 && !reachable.contains(id),
            Node::Dir(_) => false,
        };
        let gone: Vec<NodeId> = self.nodes.iter().filter(is_gone).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(Node::File(file)) = self.nodes.remove(&id) {
                let mut bytes = vec![0; STALE_BYTES_MAX.min(file.content().len())];
                file.content().read(&mut bytes, 0);
                self.keep_stale(bytes);
            }
        }
    }

    /// The paths of all files and directories below the root, in order.
    pub(super) fn paths(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut to_visit = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = to_visit.pop() {
            if let Ok(dir) = self.dir(node) {
                to_visit.extend(dir.entries.iter().map(|(name, node)| (path.join(name), *node)));
            }
            found.push((path, node));
        }
        found.sort();
        found
    }
}

pub(super) fn apply_names(entries: &mut BTreeMap<OsString, NodeId>, edits: &[(OsString, Option<NodeId>)]) {
    for (name, node) in edits {
        match node {
            Some(node) => _ = entries.insert(name.clone(), *node),
            None => _ = entries.remove(name),
        }
    }
}

fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => return Err(ErrorKind::InvalidInput.into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}
