//! The small files of a partition made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use std::path::Path;
use std::sync::Arc;

use super::leader_epoch::LeaderEpochs;
use super::log_id::LogId;
use super::manifest::{self, Manifest};
use super::partition_metadata;
use super::producer_state::ProducerStates;
use super::recovery_point::{RECORD_BYTES, RecoveryPointFile, SECTOR_BYTES};
use crate::disk::generations::fuzzing::framed;
use crate::disk::open_files::{OpenFiles, OpenFilesConfig};
use crate::disk::simulated::SimulatedDisk;

const DIR: &str = "/orders-0";
/// Whose the files are, if they do not say something else.
const LOG: LogId = LogId { topic_id: 7, partition: 0 };

fn disk_with(name: &str, bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    disk.put(Path::new(DIR).join(name), bytes);
    disk
}

/// The log that `bytes` name from `at` on.
fn log_at(bytes: &[u8], at: usize) -> Option<LogId> {
    let (topic_id, rest) = bytes.get(at..)?.split_first_chunk()?;
    Some(LogId { topic_id: u128::from_be_bytes(*topic_id), partition: u32::from_be_bytes(*rest.first_chunk()?) })
}

/// Reads a manifest, which is framed first if `is_payload`, and writes it again.
pub fn manifest(bytes: &[u8], is_payload: bool) {
    const PAYLOAD: usize = 24;
    let log = log_at(bytes, if is_payload { 0 } else { PAYLOAD }).unwrap_or(LOG);
    let file = if is_payload { framed(manifest::KIND, bytes) } else { bytes.to_vec() };
    let (disk, dir) = (disk_with("manifest", &file), Path::new(DIR));
    let loaded = Manifest::load(&disk, dir, log);
    let Ok(Some(loaded)) = loaded else {
        assert!(Manifest::load(&disk, dir, log).is_err(), "the same answer twice");
        assert_eq!(disk.read(dir.join("manifest")), Some(file), "what cannot be read is left alone");
        return;
    };
    let mut least = 0;
    for segment in &loaded.manifest.segments {
        assert!(least <= segment.sealed.base_offset && segment.sealed.base_offset < segment.sealed.next_offset);
        least = segment.sealed.next_offset;
    }
    loaded.manifest.store(&disk, dir).unwrap();
    let again = Manifest::load(&disk, dir, log).unwrap().unwrap();
    assert_eq!(again.manifest, loaded.manifest);
    let bases = loaded.manifest.segments.iter().map(|segment| segment.sealed.base_offset);
    if let Some(replaced) = loaded.manifest.with_cleaned(bases, Vec::new(), true) {
        assert!(replaced.segments.is_empty());
    }
}

/// Reads a recovery point, with its checksums put right if `fix`, and writes it again.
pub fn recovery_point(bytes: &[u8], fix: bool) {
    const LOG_AT: usize = 24;
    let mut file = bytes.to_vec();
    for record in file.chunks_mut(SECTOR_BYTES).filter(|_| fix) {
        if let Some((checked, crc)) = record.get_mut(..RECORD_BYTES).and_then(<[u8]>::split_last_chunk_mut) {
            *crc = crc32fast::hash(checked).to_be_bytes();
        }
    }
    let (disk, dir) = (disk_with("recovery-point", &file), Path::new(DIR));
    let log = log_at(bytes, LOG_AT).unwrap_or(LOG);
    let Ok(loaded) = RecoveryPointFile::load(&disk, dir, log) else { return };
    let mut writer = loaded.file;
    let Some(point) = loaded.point else { return };
    assert!(point.base_offset <= point.synced.next_offset && i64::try_from(point.synced.next_offset).is_ok());
    let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
    for _ in 0..2 {
        writer.store(&files, &point).unwrap();
        assert_eq!(RecoveryPointFile::load(&disk, dir, log).unwrap().point.as_ref(), Some(&point));
    }
}

/// Reads a `leader-epoch-checkpoint` and writes it again.
pub fn leader_epochs(bytes: &[u8]) {
    let (disk, dir) = (disk_with("leader-epoch-checkpoint", bytes), Path::new(DIR));
    let Some(epochs) = LeaderEpochs::load(&disk, dir).unwrap() else { return };
    let entries = epochs.entries();
    assert!(entries.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "epochs and offsets rise");
    epochs.store(&disk, dir).unwrap();
    assert_eq!(LeaderEpochs::load(&disk, dir).unwrap().as_ref(), Some(&epochs));
    for &(epoch, first_offset) in entries {
        assert!(epochs.end_offset_for(epoch, u64::MAX).unwrap() > first_offset);
        let mut cut = epochs.clone();
        cut.truncate_to(first_offset);
        assert!(cut.latest() < epoch || cut.entries().is_empty());
        assert!(cut.assign(epoch, first_offset));
        assert_eq!(cut.latest(), epoch);
    }
}

/// Reads a producer snapshot of what lies below `offset`, with its checksum put right if `fix`, and writes it again.
pub fn producer_snapshot(bytes: &[u8], offset: u64, fix: bool) {
    let mut file = bytes.to_vec();
    if fix
        && let Some((_version, rest)) = file.split_first_chunk_mut::<2>()
        && let Some((crc, body)) = rest.split_first_chunk_mut()
    {
        *crc = crate::format::crc32c(body).to_be_bytes();
    }
    let Ok(states) = ProducerStates::decode(&file, offset) else { return };
    assert!(states.first_unstable_offset().is_none_or(|first| first < offset));
    let again = ProducerStates::decode(&states.encode(), offset).unwrap();
    assert_eq!(again, states);
}

/// Reads a `partition.metadata` and writes it again.
pub fn partition_metadata(bytes: &[u8]) {
    let (disk, dir) = (disk_with("partition.metadata", bytes), Path::new(DIR));
    let Ok(id) = partition_metadata::load(&disk, dir) else { return };
    partition_metadata::store(&disk, dir, id.unwrap()).unwrap();
    assert_eq!(disk.read(dir.join("partition.metadata")).as_deref(), Some(bytes), "one text for each id");
}
