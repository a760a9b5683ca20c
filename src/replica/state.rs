//! What a replica is, and how far it has come: the file `replica` in its directory, by which it is one.
//!
//! ```text
//! byte  size  field             payload of the file's generations (disk/generations.rs), big-endian
//!    0    16  source_id         the directory that it follows
//!   16     1  stage             0 following, 1 being promoted
//!   17     8  taken_ms          when the source was as this is, by the wall clock
//!   25     4  catalog_crc32     of what its catalog says
//!   29     8  mirror_generation from which on its journal counts (partition/mirror/journal.rs); 0 if it has none
//!   37     4  log_count
//!    -     -  logs              as in partition/log_state.rs
//! ```
//! What stands here counts: what is in other files and goes beyond it is cut off, and what waits under a second name takes its place.

use std::path::Path;

use crate::broker::replica_mark::FILE_NAME;
use crate::disk::Disk;
use crate::disk::generations::{self, Kind};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader};
use crate::partition::log_state::LogState;

const KIND: Kind = Kind { magic: *b"OTTLAREP", oldest: 1, version: 1 };

const FOLLOWING: u8 = 0;
const BEING_PROMOTED: u8 = 1;

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaStage {
    /// It follows its source.
    Following,
    /// It does not any more, and is becoming a data directory of its own.
    BeingPromoted,
}

/// What a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReplicaState {
    pub(super) source_id: u128,
    pub(super) stage: ReplicaStage,
    pub(super) taken_ms: i64,
    pub(super) catalog_crc32: u32,
    /// From which generation on its journal counts; 0 if it has none.
    pub(super) mirror_generation: u64,
    pub(super) logs: Vec<LogState>,
}

impl ReplicaState {
    /// Reads that of the directory `dir`; `None` if that is no replica.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnsupportedVersion`]; the disk's.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<ReplicaState>> {
        let path = dir.join(FILE_NAME);
        let Some(loaded) = generations::load(disk, &path, KIND)? else { return Ok(None) };
        let decoded = decode(&loaded.payload).map_err(|invalid| match invalid {
            Invalid::Malformed(reason) => Error::corrupt_file(&path, 0, reason),
            Invalid::Codec(_) => Error::corrupt_file(&path, 0, "the state of a replica is compressed"),
        });
        decoded.map(Some)
    }

    /// Has it count. When this returns it survives a power cut. The state before is not kept: the files of the logs are not what it says any
    /// more.
    ///
    /// # Errors
    /// The disk's. Then either counts, the state before or this one.
    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        generations::store_twice(disk, &dir.join(FILE_NAME), KIND, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source_id.to_be_bytes());
        bytes.push(match self.stage {
            ReplicaStage::Following => FOLLOWING,
            ReplicaStage::BeingPromoted => BEING_PROMOTED,
        });
        bytes.extend(self.taken_ms.to_be_bytes());
        bytes.extend(self.catalog_crc32.to_be_bytes());
        bytes.extend(self.mirror_generation.to_be_bytes());
        bytes.extend(u32::try_from(self.logs.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.logs.iter().for_each(|log| log.encode(&mut bytes));
        bytes
    }
}

fn decode(bytes: &[u8]) -> Result<ReplicaState, Invalid> {
    let mut reader = Reader::new(bytes);
    let source_id = u128::from_be_bytes(reader.array()?);
    let stage = match reader.u8()? {
        FOLLOWING => ReplicaStage::Following,
        BEING_PROMOTED => ReplicaStage::BeingPromoted,
        _ => return Err(Invalid::Malformed("a replica is in an unknown stage")),
    };
    let taken_ms = reader.i64()?;
    let catalog_crc32 = reader.u32()?;
    let mirror_generation = u64::from_be_bytes(reader.array()?);
    let mut logs = Vec::new();
    for _ in 0..reader.u32()? {
        logs.push(LogState::decode(&mut reader)?);
    }
    if !reader.is_empty() {
        return Err(Invalid::Malformed("the state of a replica has more than its logs"));
    }
    Ok(ReplicaState { source_id, stage, taken_ms, catalog_crc32, mirror_generation, logs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::log_id::LogId;

    fn state() -> ReplicaState {
        let logs = (0..3).map(|partition| LogState::new(LogId { topic_id: 5, partition })).collect();
        let stage = ReplicaStage::Following;
        let (taken_ms, catalog_crc32, mirror_generation) = (-1, 4, 8);
        ReplicaState { source_id: 9, stage, taken_ms, catalog_crc32, mirror_generation, logs }
    }

    #[test]
    fn it_goes_there_and_back() {
        assert_eq!(decode(&state().encode()), Ok(state()));
        let (stage, logs) = (ReplicaStage::BeingPromoted, Vec::new());
        let promoted = ReplicaState { stage, logs, ..state() };
        assert_eq!(decode(&promoted.encode()), Ok(promoted));
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        let mut bytes = state().encode();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(decode(&bytes).is_err());
    }
}
