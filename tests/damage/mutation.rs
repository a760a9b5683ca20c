//! The ways to damage a data directory, one at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ottla::TopicPartition;

use crate::image::{Image, is_tail};
use crate::truth::{Truth, is_log, partition_of};

const SECTOR: usize = 512;

/// What is done to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Bit(usize, u8),
    /// A byte becomes another one.
    Byte(usize, u8),
    /// Only so many bytes are left.
    Cut(usize),
    ZeroSector(usize),
    Missing,
    Empty,
    /// Two files of a kind change places.
    Swap(PathBuf),
    /// There is a second one, of this name.
    Duplicate(PathBuf),
    /// A batch is replaced by one of another partition's file.
    Graft {
        batch: usize,
        from: PathBuf,
        from_batch: usize,
    },
}

impl Change {
    /// By which the table has it.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Change::Bit(..) => "bit flipped",
            Change::Byte(..) => "byte replaced",
            Change::Cut(_) => "cut short",
            Change::ZeroSector(_) => "sector zeroed",
            Change::Missing => "missing",
            Change::Empty => "empty",
            Change::Swap(_) => "swapped",
            Change::Duplicate(_) => "duplicated",
            Change::Graft { .. } => "batch grafted",
        }
    }

    /// Whether there are few of it, so that none is left out.
    pub(crate) fn is_rare(&self) -> bool {
        !matches!(self, Change::Bit(..) | Change::Byte(..) | Change::Cut(_))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    pub(crate) path: PathBuf,
    pub(crate) change: Change,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path.display(), self.change)
    }
}

/// What kind of file it is, for the table and for what may follow from damage to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Log,
    Index,
    Manifest,
    RecoveryPoint,
    Epochs,
    Metadata,
    Catalog,
    Tail,
    Lock,
    Mark,
}

impl Kind {
    pub(crate) fn of(path: &Path) -> Kind {
        match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
            "manifest" => Kind::Manifest,
            "recovery-point" => Kind::RecoveryPoint,
            "leader-epoch-checkpoint" => Kind::Epochs,
            "partition.metadata" => Kind::Metadata,
            "catalog" => Kind::Catalog,
            "tail" | "tail-always" => Kind::Tail,
            "ottla.lock" => Kind::Lock,
            "clean-shutdown" => Kind::Mark,
            _ if is_log(path) => Kind::Log,
            name if name.ends_with("index") => Kind::Index,
            name => panic!("{name} is of no known kind"),
        }
    }
}

/// Every mutation of a directory, always in the same order.
pub(crate) fn all(truth: &Truth) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    for path in &truth.paths {
        let mut add = |change| mutations.push(Mutation { path: path.clone(), change });
        let bytes = &truth.image[path];
        for at in 0..bytes.len() {
            let row = at / 16 * 16;
            if is_tail(path) && bytes[row..bytes.len().min(row + 16)].iter().all(|byte| *byte == 0) {
                continue;
            }
            for bit in 0..8 {
                add(Change::Bit(at, bit));
            }
            let old = bytes[at];
            let mut others = vec![0, 0xff, old.wrapping_add(1), old.wrapping_sub(1)];
            others.sort_unstable();
            others.dedup();
            for new in others.into_iter().filter(|new| *new != old) {
                add(Change::Byte(at, new));
            }
        }
        // Of a tail, what is in it and some of the rest.
        let is_worth_cutting = |length: &usize| {
            let row = length / 16 * 16;
            !is_tail(path)
                || length.is_multiple_of(64 << 10)
                || bytes[row..bytes.len().min(row + 16)].iter().any(|byte| *byte != 0)
        };
        (0..bytes.len()).filter(is_worth_cutting).for_each(|length| add(Change::Cut(length)));
        for (sector, content) in bytes.chunks(SECTOR).enumerate() {
            if content.iter().any(|byte| *byte != 0) {
                add(Change::ZeroSector(sector));
            }
        }
        add(Change::Missing);
        add(Change::Empty);
        let same_kind = |other: &&PathBuf| path < *other && Kind::of(path) == Kind::of(other);
        let is_same_suffix = |other: &&PathBuf| path.extension() == other.extension();
        truth.paths.iter().filter(same_kind).filter(is_same_suffix).for_each(|other| add(Change::Swap(other.clone())));
        if is_log(path) {
            for change in duplicates(truth, path).into_iter().map(Change::Duplicate).chain(grafts(truth, path)) {
                add(change);
            }
        }
    }
    mutations
}

/// Names for a second log file: within a segment, at the end of the log, behind it, and at the highest offset of all.
fn duplicates(truth: &Truth, path: &Path) -> Vec<PathBuf> {
    let end = partition_of(path).and_then(|partition| truth.log(&partition)).map_or(0, |log| log.end);
    let base = truth.batches[path].first().map_or(0, |batch| batch.offsets.start);
    let names = [base + 1, end, end + 100, i64::MAX as u64].map(|base| path.with_file_name(format!("{base:020}.log")));
    names.into_iter().filter(|name| !truth.image.contains_key(name)).collect()
}

/// Each batch is replaced by the first one of each log file of another partition, and by one of the same offset if there is.
fn grafts(truth: &Truth, path: &Path) -> Vec<Change> {
    let others = || truth.batches.iter().filter(|(other, _)| other.parent() != path.parent());
    let mut grafts = Vec::new();
    for (batch, at) in truth.batches[path].iter().enumerate() {
        for (from, batches) in others() {
            for (from_batch, other) in batches.iter().enumerate() {
                if from_batch == 0 || other.offsets.start == at.offsets.start {
                    grafts.push(Change::Graft { batch, from: from.clone(), from_batch });
                }
            }
        }
    }
    grafts
}

/// Files with other bytes; `None` for those that are gone.
pub(crate) type Changed = Vec<(PathBuf, Option<Vec<u8>>)>;

/// Offsets that may be lost, by partition.
pub(crate) type Losses = BTreeMap<TopicPartition, Vec<Range<u64>>>;

impl Mutation {
    /// The files that are other ones afterwards.
    pub(crate) fn apply(&self, image: &Image) -> Changed {
        let mut bytes = image[&self.path].clone();
        match &self.change {
            Change::Bit(at, bit) => bytes[*at] ^= 1 << bit,
            Change::Byte(at, new) => bytes[*at] = *new,
            Change::Cut(length) => bytes.truncate(*length),
            Change::ZeroSector(sector) => {
                let end = bytes.len().min((sector + 1) * SECTOR);
                bytes[sector * SECTOR..end].fill(0);
            }
            Change::Missing => return vec![(self.path.clone(), None)],
            Change::Empty => bytes.clear(),
            Change::Swap(other) => {
                return vec![(self.path.clone(), Some(image[other].clone())), (other.clone(), Some(bytes))];
            }
            Change::Duplicate(name) => return vec![(name.clone(), Some(bytes))],
            Change::Graft { batch, from, from_batch } => {
                let grafted = crate::truth::batches_of(&image[from])[*from_batch].bytes.clone();
                let replaced = crate::truth::batches_of(&bytes)[*batch].bytes.clone();
                bytes.splice(replaced, image[from][grafted].iter().copied());
            }
        }
        vec![(self.path.clone(), Some(bytes))]
    }

    /// What may be lost by it: the batches that it touches, and nothing else.
    pub(crate) fn losses(&self, truth: &Truth) -> Losses {
        let mut losses = Losses::new();
        if Kind::of(&self.path) == Kind::Tail && !truth.state.is_clean() {
            for log in &truth.logs {
                losses.entry(log.partition.clone()).or_default().push(log.tail_start..log.end);
            }
        }
        let mut lose = |path: &Path, is_hit: &dyn Fn(usize, &Range<usize>) -> bool| {
            let Some(partition) = partition_of(path) else { return };
            let batches = truth.batches[path].iter().enumerate();
            let hit =
                batches.filter(|(number, batch)| is_hit(*number, &batch.bytes)).map(|(_, batch)| batch.offsets.clone());
            losses.entry(partition).or_default().extend(hit);
        };
        match (Kind::of(&self.path), &self.change) {
            (Kind::Log, Change::Bit(at, _) | Change::Byte(at, _)) => lose(&self.path, &|_, batch| batch.contains(at)),
            (Kind::Log, Change::Cut(length)) => lose(&self.path, &|_, batch| *length < batch.end),
            (Kind::Log, Change::ZeroSector(sector)) => {
                lose(&self.path, &|_, batch| sector * SECTOR < batch.end && batch.start < (sector + 1) * SECTOR);
            }
            (Kind::Log, Change::Missing | Change::Empty) => lose(&self.path, &|_, _| true),
            (Kind::Log, Change::Swap(other)) => {
                lose(&self.path, &|_, _| true);
                lose(other, &|_, _| true);
                // What is in the tails continues the files that were there.
                for log in truth.logs.iter().filter(|log| log.tail_start < log.end) {
                    losses.entry(log.partition.clone()).or_default().push(log.tail_start..log.end);
                }
            }
            // The file has another size than was noted, and is not the one that was sealed.
            (Kind::Log, Change::Graft { .. }) => lose(&self.path, &|_, _| true),
            // Their checksums are right, and nothing in them says whose they are.
            (Kind::Manifest | Kind::RecoveryPoint, Change::Swap(other)) => {
                for partition in [partition_of(&self.path), partition_of(other)].into_iter().flatten() {
                    losses.entry(partition).or_default().push(0..u64::MAX);
                }
            }
            _ => {}
        }
        losses
    }
}
