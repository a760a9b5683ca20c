//! What is left of a machine when its process dies, or when its power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use super::file::{FileData, SECTOR_BYTES};
use super::machine::{Machine, Node, NodeId};
use super::names::{Dir, ROOT, apply_names};
use super::random::Random;

/// Sectors in a block of the file system, of which stale ones show as a whole.
const BLOCK_SECTORS: usize = 8;

/// Which un-synced changes a power cut leaves. What was synced survives in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashModel {
    /// All changes to the machine up to a random one, in order.
    Ordered,
    /// Names and sizes up to a random change, in order; any sectors of what was appended are zeros, and any that were
    /// overwritten have older content (XFS).
    ZeroedTail,
    /// As `ZeroedTail`, but with garbage or pieces of removed files for zeros (ext4 with `data=writeback`).
    StaleBlocks,
    /// The worst that POSIX allows: any size, any subset of sectors, each in any of its states since the last sync, and any
    /// subset of the changes of names.
    Subset,
}

impl CrashModel {
    /// All models.
    pub const ALL: [CrashModel; 4] =
        [CrashModel::Ordered, CrashModel::ZeroedTail, CrashModel::StaleBlocks, CrashModel::Subset];
}

/// The machine after its process died: all is there, of a write that was under way any beginning.
pub(super) fn kill(machine: &mut Machine, seed: u64) -> Machine {
    let (mut image, write) = if let Some(stopped) = &machine.stopped {
        (stopped.machine.clone(), stopped.write.clone())
    } else {
        machine.absorb();
        (machine.clone(), None)
    };
    image.detach();
    image.random = random_of(&image, seed);
    if let Some((node, bytes, position)) = write {
        let written = image.random.below(bytes.len() + 1);
        // A full disk ends the write earlier; nobody is left to be told.
        _ = image.write_within_capacity(node, bytes.get(..written).unwrap_or_default(), position);
    }
    image
}

/// The machine after a power cut and a restart: what survived is durable, and the boot id another.
pub(super) fn crash(machine: &mut Machine, seed: u64, model: CrashModel) -> Machine {
    let before = kill(machine, seed);
    let mut random = random_of(&before, seed);
    let mut image = Machine::new(random.next());
    image.capacity_bytes = before.capacity_bytes;
    image.handles_max = before.handles_max;
    image.now_ms = before.now_ms;
    image.elapsed = Duration::ZERO;
    image.stale.clone_from(&before.stale);
    let mut crash = Crash { before: &before, model, chooser: Chooser::new(&before, &mut random, model) };
    let entries = crash.surviving_names();
    crash.copy_dir(&entries, ROOT, &mut image, ROOT, &mut BTreeSet::new());
    image.number += 1;
    image.synced_number = image.number;
    image
}

/// Crashing a machine twice with the same seed must not choose the same again.
fn random_of(machine: &Machine, seed: u64) -> Random {
    let [high, low] = [machine.boot_id >> 64, machine.boot_id].map(|part| part & u128::from(u64::MAX));
    let mixed = u64::try_from(high ^ low).unwrap_or_default();
    Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ mixed)
}

/// Decides what survives.
struct Chooser<'r> {
    random: &'r mut Random,
    /// The last change that survives, where they do in order.
    cut: u64,
    /// How likely a sector or name that is chosen for itself survives. The extremes find the most.
    keep_percent: u64,
    model: CrashModel,
}

impl<'r> Chooser<'r> {
    fn new(before: &Machine, random: &'r mut Random, model: CrashModel) -> Chooser<'r> {
        let unsynced = usize::try_from(before.number - before.synced_number).unwrap_or(usize::MAX);
        let cut = before.synced_number + random.below(unsynced.saturating_add(1)) as u64;
        let keep_percent = random.choose(&[0, 10, 50, 90, 100]);
        Chooser { random, cut, keep_percent, model }
    }

    fn keeps(&mut self) -> bool {
        self.random.chance(self.keep_percent)
    }

    fn keeps_name(&mut self, number: u64) -> bool {
        if self.model == CrashModel::Subset { self.keeps() } else { number <= self.cut }
    }

    /// The newest change that a thing with these versions shows.
    fn version(&mut self, versions: &[u64]) -> u64 {
        if self.keeps() { u64::MAX } else { self.random.choose(versions) }
    }
}

type Entries = BTreeMap<NodeId, BTreeMap<OsString, NodeId>>;

struct Crash<'m, 'r> {
    before: &'m Machine,
    model: CrashModel,
    chooser: Chooser<'r>,
}

impl<'m> Crash<'m, '_> {
    fn surviving_names(&mut self) -> Entries {
        let dirs = self.before.nodes.iter().filter_map(|(id, node)| match node {
            Node::Dir(dir) => Some((*id, dir.durable.clone())),
            Node::File(_) => None,
        });
        let mut entries: Entries = dirs.collect();
        let mut lost = BTreeSet::new();
        for change in &self.before.pending_names {
            let is_orphan = change.after.is_some_and(|dir| lost.contains(&(dir, change.number)));
            if is_orphan || !self.chooser.keeps_name(change.number) {
                lost.insert((change.dir, change.number));
            } else if let Some(entries) = entries.get_mut(&change.dir) {
                apply_names(entries, &change.edits);
            }
        }
        entries
    }

    /// Copies what survived of a directory. A file with two names becomes two files, a directory keeps its first name.
    fn copy_dir(
        &mut self,
        entries: &Entries,
        from: NodeId,
        image: &mut Machine,
        to: NodeId,
        visited: &mut BTreeSet<NodeId>,
    ) {
        if !visited.insert(from) {
            return;
        }
        for (name, node) in entries.get(&from).into_iter().flatten() {
            match self.before.nodes.get(node) {
                Some(Node::Dir(_)) if !visited.contains(node) => {
                    if let Ok(copy) = image.plant(to, name, Node::Dir(Dir::default())) {
                        self.copy_dir(entries, *node, image, copy, visited);
                    }
                }
                Some(Node::File(file)) => {
                    let content = self.surviving_content(file);
                    _ = image.plant(to, name, Node::File(FileData::durable(content)));
                }
                Some(Node::Dir(_)) | None => {}
            }
        }
    }

    fn surviving_content(&mut self, file: &FileData) -> Vec<u8> {
        let (versions, cut) = (file.versions(), self.chooser.cut);
        match self.model {
            CrashModel::Ordered => file.surviving(cut, |_| cut),
            CrashModel::Subset => {
                let size_until = self.chooser.version(&versions);
                file.surviving(size_until, |_| self.chooser.version(&versions))
            }
            CrashModel::ZeroedTail | CrashModel::StaleBlocks => {
                let first_new_sector = file.durable_bytes().div_ceil(SECTOR_BYTES);
                let mut lost = Vec::new();
                let mut content = file.surviving(cut, |sector| {
                    if sector < first_new_sector {
                        self.chooser.version(&versions)
                    } else if self.chooser.keeps() {
                        u64::MAX
                    } else {
                        lost.push(sector);
                        0
                    }
                });
                if self.model == CrashModel::StaleBlocks {
                    self.fill_with_stale(&mut content, &lost);
                }
                content
            }
        }
    }

    fn fill_with_stale(&mut self, content: &mut [u8], lost: &[usize]) {
        let mut block = None;
        let mut old: Option<&[u8]> = None;
        for sector in lost {
            if block != Some(sector / BLOCK_SECTORS) {
                block = Some(sector / BLOCK_SECTORS);
                old = self.stale_block();
            }
            let within = sector % BLOCK_SECTORS * SECTOR_BYTES;
            let target = content.iter_mut().skip(sector * SECTOR_BYTES).take(SECTOR_BYTES);
            match old {
                Some(old) => target.zip(old.iter().skip(within)).for_each(|(to, from)| *to = *from),
                None => target.for_each(|to| *to = self.chooser.random.next().to_be_bytes()[0]),
            }
        }
    }

    /// A block of a removed file, or `None` for garbage.
    fn stale_block(&mut self) -> Option<&'m [u8]> {
        let random = &mut *self.chooser.random;
        if self.before.stale.is_empty() || random.chance(50) {
            return None;
        }
        let file = self.before.stale.get(random.below(self.before.stale.len()))?;
        let block_bytes = BLOCK_SECTORS * SECTOR_BYTES;
        file.chunks(block_bytes).nth(random.below(file.len().div_ceil(block_bytes)))
    }
}
