//! What is left of a machine when its process dies, or when its power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use super::file::{FileData, SECTOR_BYTES};
use super::machine::{Machine, Node, NodeId, beginning};
use super::names::{Dir, ROOT, apply_names};
use super::pages::{PAGE_BYTES, Pages};
use super::random::Random;

/// Sectors in a block of the file system, of which stale ones show as a whole.
const BLOCK_SECTORS: usize = 8;

/// Which un-synced changes survive a power cut. What was synced survives in all models.
///
/// # Examples
/// ```
/// use ottla::Broker;
/// use ottla::testing::{CrashModel, SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let broker = Broker::builder("/data").disk(&disk).background(false).open()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// for model in CrashModel::ALL {
///     let after = Broker::builder("/data").disk(&disk.crash(7, model)).background(false).open()?;
///     assert_eq!(after.topic("orders")?.partition(0)?.log_end_offset(), 1, "{model:?}");
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
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

/// Something that is not on the medium yet: a page of a file, its size, or a change of a directory's names.
///
/// See [`SimulatedDisk::unsynced`](super::SimulatedDisk::unsynced).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unsynced(Unit);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Name { number: u64, dir: NodeId },
    Size { file: NodeId },
    Page { file: NodeId, page: usize },
}

/// All that is not on the medium, as calls see it now.
pub(super) fn unsynced(machine: &mut Machine) -> Vec<Unsynced> {
    machine.absorb();
    let names = machine.pending_names.iter().map(|change| Unit::Name { number: change.number, dir: change.dir });
    let mut units: Vec<Unit> = names.collect();
    for (&id, node) in &machine.nodes {
        let Node::File(file) = node else { continue };
        if file.is_size_pending() {
            units.push(Unit::Size { file: id });
        }
        units.extend(file.pending_pages().into_iter().map(|page| Unit::Page { file: id, page }));
    }
    units.into_iter().map(Unsynced).collect()
}

/// What of the un-synced changes a power cut leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Survivors<'s> {
    /// What the model and a seed choose.
    Model(CrashModel),
    /// So many, in order.
    First(u64),
    /// Exactly these; where a page of a larger file is lost, garbage shows if `is_stale`, and else zeros.
    These { kept: &'s BTreeSet<Unsynced>, is_stale: bool },
}

/// The machine after its process died: all is there, of a write that was under way any beginning.
pub(super) fn kill(machine: &mut Machine, seed: u64) -> Machine {
    let (mut image, write) = if let Some(stopped) = &machine.stopped {
        (stopped.machine.clone(), stopped.write.clone())
    } else {
        (machine.snapshot(), None)
    };
    image.random = random_of(&image, seed);
    if let Some((node, bytes, position)) = write {
        let written = image.random.below(bytes.len() + 1);
        // A full disk ends the write earlier; nobody is left to be told.
        _ = image.write_within_capacity(node, beginning(&bytes, written), position);
    }
    image
}

/// The machine after a power cut and a restart: what survived is durable, and the boot id another.
pub(super) fn crash(machine: &mut Machine, seed: u64, survivors: Survivors<'_>) -> Machine {
    let before = kill(machine, seed);
    let mut random = random_of(&before, seed);
    let mut image = Machine::new(random.next());
    // Of the seed nothing may show in a file but what it chose.
    image.boot_id = Random::new(random_of(&before, 1).next()).next_u128();
    image.capacity_bytes = before.capacity_bytes;
    image.handles_max = before.handles_max;
    image.is_copy_on_write = before.is_copy_on_write;
    image.now_ms = before.now_ms;
    image.elapsed = Duration::ZERO;
    image.stale.clone_from(&before.stale);
    let chooser = Chooser::new(&before, &mut random, survivors);
    let mut crash = Crash { before: &before, survivors, chooser, copies: BTreeMap::new() };
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
    survivors: Survivors<'r>,
}

impl<'r> Chooser<'r> {
    fn new(before: &Machine, random: &'r mut Random, survivors: Survivors<'r>) -> Chooser<'r> {
        let unsynced = usize::try_from(before.number - before.synced_number).unwrap_or(usize::MAX);
        let cut = match survivors {
            Survivors::First(changes) => before.synced_number.saturating_add(changes),
            _ => before.synced_number + random.below(unsynced.saturating_add(1)) as u64,
        };
        let keep_percent = random.choose(&[0, 10, 50, 90, 100]);
        Chooser { random, cut, keep_percent, survivors }
    }

    fn keeps(&mut self) -> bool {
        self.random.chance(self.keep_percent)
    }

    fn keeps_name(&mut self, number: u64, dir: NodeId) -> bool {
        match self.survivors {
            Survivors::Model(CrashModel::Subset) => self.keeps(),
            Survivors::These { kept, .. } => kept.contains(&Unsynced(Unit::Name { number, dir })),
            Survivors::Model(_) | Survivors::First(_) => number <= self.cut,
        }
    }

    /// The newest change that a thing with these versions shows.
    fn version(&mut self, versions: &[u64]) -> u64 {
        if self.keeps() { u64::MAX } else { self.random.choose(versions) }
    }
}

type Entries = BTreeMap<NodeId, BTreeMap<OsString, NodeId>>;

struct Crash<'m, 'r> {
    before: &'m Machine,
    survivors: Survivors<'r>,
    chooser: Chooser<'r>,
    /// The files of before that the image has, and which they are there.
    copies: BTreeMap<NodeId, NodeId>,
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
            if is_orphan || !self.chooser.keeps_name(change.number, change.dir) {
                lost.insert((change.dir, change.number));
            } else if let Some(entries) = entries.get_mut(&change.dir) {
                apply_names(entries, &change.edits);
            }
        }
        entries
    }

    /// Copies what survived of a directory. A file with two names stays one, a directory keeps its first name.
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
                Some(Node::File(_)) if self.copies.contains_key(node) => {
                    _ = self.copies.get(node).map(|copy| image.link(to, name, *copy));
                }
                Some(Node::File(file)) => {
                    let content = self.surviving_content(*node, file);
                    let copy = image.plant(to, name, Node::File(FileData::durable(content)));
                    _ = copy.map(|copy| self.copies.insert(*node, copy));
                }
                Some(Node::Dir(_)) | None => {}
            }
        }
    }

    fn surviving_content(&mut self, id: NodeId, file: &FileData) -> Pages {
        let (versions, cut) = (file.versions(), self.chooser.cut);
        match self.survivors {
            Survivors::First(_) | Survivors::Model(CrashModel::Ordered) => file.surviving(cut, |_| cut),
            Survivors::Model(CrashModel::Subset) => {
                let size_until = self.chooser.version(&versions);
                file.surviving(size_until, |_| self.chooser.version(&versions))
            }
            Survivors::Model(model @ (CrashModel::ZeroedTail | CrashModel::StaleBlocks)) => {
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
                if model == CrashModel::StaleBlocks {
                    self.fill_with_stale(&mut content, &lost);
                }
                content
            }
            Survivors::These { kept, is_stale } => {
                let all_or_nothing = |unit| if kept.contains(&Unsynced(unit)) { u64::MAX } else { 0 };
                let first_new_sector = file.durable_bytes().div_ceil(SECTOR_BYTES);
                let mut lost = Vec::new();
                let size_until = all_or_nothing(Unit::Size { file: id });
                let mut content = file.surviving(size_until, |sector| {
                    let page = sector * SECTOR_BYTES / PAGE_BYTES;
                    let until = all_or_nothing(Unit::Page { file: id, page });
                    if until == 0 && sector >= first_new_sector {
                        lost.push(sector);
                    }
                    until
                });
                if is_stale {
                    self.fill_with_stale(&mut content, &lost);
                }
                content
            }
        }
    }

    fn fill_with_stale(&mut self, content: &mut Pages, lost: &[usize]) {
        let mut block = None;
        let mut old: Option<&[u8]> = None;
        for sector in lost {
            if block != Some(sector / BLOCK_SECTORS) {
                block = Some(sector / BLOCK_SECTORS);
                old = self.stale_block();
            }
            let within = sector % BLOCK_SECTORS * SECTOR_BYTES;
            if let Some(old) = old.map(|old| old.get(within..).unwrap_or_default()) {
                let piece = old.get(..SECTOR_BYTES.min(old.len())).unwrap_or_default();
                content.write(piece, sector * SECTOR_BYTES);
            } else {
                let mut garbage = [0; SECTOR_BYTES];
                let words = garbage.as_chunks_mut().0.iter_mut();
                words.for_each(|word| *word = self.chooser.random.next().to_be_bytes());
                content.write(&garbage, sector * SECTOR_BYTES);
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
