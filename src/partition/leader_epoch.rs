//! Leader epoch → its first offset. The epoch rises after every unclean end, which may have taken what was not synced, so that a
//! position from before can be told from one after.
//!
//! Kafka's file `leader-epoch-checkpoint`: the lines `0` (version), the count, then `<epoch> <first offset>` for each; both
//! rise strictly. A cache of the batches, which carry their epoch: a damaged file is rebuilt from them. A log with one segment and
//! no epoch but 0, which begins at offset 0, has no file. A crash leaves the old file or the new one.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, generations};
use crate::error::{Error, Result, is_passing};

const FILE_NAME: &str = "leader-epoch-checkpoint";
const VERSION: &str = "0";

/// The file cannot be read, or makes no sense.
struct Damaged;

/// All leader epochs of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LeaderEpochs {
    /// Epoch and first offset; both rise strictly.
    entries: Vec<(i32, u64)>,
}

impl LeaderEpochs {
    /// Reads the file in a partition's directory. `None` if there is none, it cannot be read or it makes no sense: it is to be rebuilt
    /// then.
    ///
    /// # Errors
    /// Those of the disk that pass.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<LeaderEpochs>> {
        Ok(LeaderEpochs::read(disk, dir)?.unwrap_or_default())
    }

    /// Whether there is a file in a partition's directory that cannot be read or makes no sense.
    ///
    /// # Errors
    /// Those of the disk that pass.
    pub(super) fn are_damaged(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        Ok(LeaderEpochs::read(disk, dir)?.is_err())
    }

    /// What the file says, if there is one. The file is read once, as another process may store it at any moment.
    fn read(disk: &dyn Disk, dir: &Path) -> Result<Result<Option<LeaderEpochs>, Damaged>> {
        let parse = |bytes: Vec<u8>| {
            let text = std::str::from_utf8(&bytes).map_err(|_| Damaged)?;
            LeaderEpochs::parse(text).ok_or(Damaged)
        };
        match generations::read_file(disk, &path(dir)) {
            Ok(bytes) => Ok(bytes.map(parse).transpose()),
            Err(Error::Corrupt(_)) => Ok(Err(Damaged)),
            Err(Error::Io { source, .. }) if !is_passing(&source) => Ok(Err(Damaged)),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file in a partition's directory. When this returns it survives a power cut.
    ///
    /// # Errors
    /// The disk's: then the old file or the new one is there.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        generations::replace_file(disk, &path(dir), self.print().as_bytes())
    }

    /// Notes that `epoch` begins at `first_offset`, unless it or a later one has begun already. Epochs that would begin at or
    /// behind that offset never had a record, and are forgotten. Returns whether anything changed.
    pub(crate) fn assign(&mut self, epoch: i32, first_offset: u64) -> bool {
        let is_new = 0 <= epoch && self.entries.last().is_none_or(|&(latest, _)| latest < epoch);
        if is_new {
            self.truncate_to(first_offset);
            self.entries.push((epoch, first_offset));
        }
        is_new
    }

    /// Forgets the epochs that begin at `offset` or above, because the log now ends there.
    pub(crate) fn truncate_to(&mut self, offset: u64) {
        let kept = self.entries.partition_point(|&(_, first_offset)| first_offset < offset);
        self.entries.truncate(kept);
    }

    /// Just the epoch that every log begins with, from offset 0 on.
    pub(crate) fn first() -> LeaderEpochs {
        LeaderEpochs { entries: vec![(0, 0)] }
    }

    /// Whether there is just the epoch that every log begins with, from offset 0 on.
    pub(crate) fn are_first(&self) -> bool {
        *self == LeaderEpochs::first()
    }

    /// The newest epoch; 0, the one that every log begins with, if none was noted.
    pub(crate) fn latest(&self) -> i32 {
        self.entries.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// The offset after the last record of an epoch, or of the last epoch before it if it has none. `None` if no epoch up to
    /// this one was noted.
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end_offset: u64) -> Option<u64> {
        let later = self.entries.partition_point(|&(other, _)| other <= epoch);
        (0 < later).then(|| self.entries.get(later).map_or(log_end_offset, |&(_, first_offset)| first_offset))
    }

    /// Where a log that ends at `log_end_offset` went on after the records that a position with this leader epoch has passed,
    /// if a power cut took some of those.
    pub(crate) fn truncated_to(&self, position: u64, leader_epoch: i32, log_end_offset: u64) -> Option<u64> {
        let first = self.entries.first().map_or(0, |&(_, offset)| offset);
        let epoch_end = self.end_offset_for(leader_epoch, log_end_offset).unwrap_or(first);
        (position > epoch_end).then_some(epoch_end)
    }

    /// The epoch that `offset` is of, if its records are of any.
    pub(crate) fn epoch_of(&self, offset: u64) -> Option<i32> {
        let later = self.entries.partition_point(|&(_, first_offset)| first_offset <= offset);
        self.entries.get(later.checked_sub(1)?).map(|&(epoch, _)| epoch)
    }

    /// The least epoch that a record at `offset` or behind may be of: not the newest one where records of an earlier one are still
    /// to come out of the tail.
    pub(crate) fn least_from(&self, offset: u64) -> i32 {
        self.epoch_of(offset).unwrap_or(0)
    }

    /// Whether they reach the epoch of the last batch, if there is one: they are written down before the first batch of a new epoch.
    pub(crate) fn reach(&self, last_epoch: Option<i32>) -> bool {
        last_epoch.is_none_or(|last| !self.entries.is_empty() && last <= self.latest())
    }

    /// Epochs and their first offsets, ascending.
    pub(crate) fn entries(&self) -> &[(i32, u64)] {
        &self.entries
    }

    fn print(&self) -> String {
        let mut text = format!("{VERSION}\n{}\n", self.entries.len());
        for (epoch, first_offset) in &self.entries {
            // Writing to a string cannot fail.
            _ = writeln!(text, "{epoch} {first_offset}");
        }
        text
    }

    /// Reads the text of the file; `None` if it makes no sense.
    pub(crate) fn parse(text: &str) -> Option<LeaderEpochs> {
        // Kafka takes an empty file as one without entries.
        if text.is_empty() {
            return Some(LeaderEpochs::default());
        }
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != VERSION {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let mut epochs = LeaderEpochs::default();
        for line in lines {
            let (epoch, first_offset) = line.split_once(' ')?;
            let (epoch, first_offset) = (epoch.parse().ok()?, first_offset.parse().ok()?);
            let rises = epochs.entries.last().is_none_or(|&last| last.0 < epoch && last.1 < first_offset);
            if epoch < 0 || !rises || i64::try_from(first_offset).is_err() {
                return None;
            }
            epochs.entries.push((epoch, first_offset));
        }
        (epochs.entries.len() == count).then_some(epochs)
    }
}

/// The file in a partition's directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::os::OsDisk;

    const KAFKAS: &str = "0\n3\n0 0\n1 17\n2 58\n";

    fn kafkas() -> LeaderEpochs {
        LeaderEpochs { entries: vec![(0, 0), (1, 17), (2, 58)] }
    }

    #[test]
    fn the_text_is_kafkas() {
        assert_eq!(LeaderEpochs::parse(KAFKAS), Some(kafkas()));
        assert_eq!(kafkas().print(), KAFKAS);
        assert_eq!(LeaderEpochs::parse(""), Some(LeaderEpochs::default()));
        assert_eq!(LeaderEpochs::parse("0\n0\n"), Some(LeaderEpochs::default()));
    }

    #[test]
    fn text_that_makes_no_sense_is_refused() {
        for text in [
            "\n",
            "0\n",
            "1\n0\n",
            "0\n1\n",
            "0\n2\n0 0\n",
            "0\n1\n0 0",
            "0\n1\n0 0\n\n",
            "0\n1\n-1 0\n",
            "0\n1\n0 -1\n",
            "0\n1\n0  1\n",
            "0\n1\n0 9223372036854775808\n",
            "0\n2\n0 0\n0 5\n",
            "0\n2\n0 5\n1 5\n",
            "0\n99999999999999999999\n",
        ] {
            assert_eq!(LeaderEpochs::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_was_stored_is_loaded_and_damage_is_no_error() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), OsDisk::new());
        assert_eq!(LeaderEpochs::load(&disk, dir.path()).unwrap(), None);
        kafkas().store(&disk, dir.path()).unwrap();
        assert_eq!(LeaderEpochs::load(&disk, dir.path()).unwrap(), Some(kafkas()));
        generations::replace_file(&disk, &path(dir.path()), &[0xff; 9]).unwrap();
        assert_eq!(LeaderEpochs::load(&disk, dir.path()).unwrap(), None);
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let epochs = kafkas();
        let ends = [-1, 0, 1, 2, 7].map(|epoch| epochs.end_offset_for(epoch, 60));
        assert_eq!(ends, [None, Some(17), Some(58), Some(60), Some(60)]);
        assert_eq!(LeaderEpochs::default().end_offset_for(0, 60), None);
    }

    #[test]
    fn epochs_only_rise() {
        let mut epochs = LeaderEpochs::default();
        assert_eq!(epochs.latest(), 0);
        assert!(epochs.assign(0, 5));
        assert!(!epochs.assign(0, 9));
        assert!(epochs.assign(3, 9));
        assert!(!epochs.assign(2, 20));
        assert_eq!((epochs.entries(), epochs.latest()), (&[(0, 5), (3, 9)][..], 3));
        assert!(epochs.assign(4, 9), "no record was written in epoch 3");
        assert_eq!(epochs.entries(), [(0, 5), (4, 9)]);
        epochs.truncate_to(9);
        assert_eq!(epochs.entries(), [(0, 5)]);
    }
}
