//! The data directory from outside: where it is, its files, and a log as it is read in one go.

use std::path::PathBuf;

use ottla::testing::SimulatedDisk;
use ottla::{Error, Partition, TopicPartition};

use crate::checker::Checked;
use crate::events::FoundLog;
use crate::producing::id_in;

/// What is read at a time when everything is.
const READ_BYTES: usize = 1 << 20;

/// The data directory between two lives.
pub(crate) enum Data {
    Simulated(SimulatedDisk),
    Directory(tempfile::TempDir),
}

impl Data {
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Data::Simulated(_) => PathBuf::from("/data"),
            Data::Directory(dir) => dir.path().to_owned(),
        }
    }

    pub(crate) fn disk(&self) -> Option<&SimulatedDisk> {
        match self {
            Data::Simulated(disk) => Some(disk),
            Data::Directory(_) => None,
        }
    }

    /// Where the active segment of a log begins.
    pub(crate) fn active_base(&self, log: &TopicPartition) -> u64 {
        let dir = self.path().join(log.to_string());
        let paths: Vec<PathBuf> = match self {
            Data::Simulated(disk) => disk.files().into_iter().map(|(path, _)| path).collect(),
            Data::Directory(_) => std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect(),
        };
        let bases = paths.iter().filter(|path| path.parent() == Some(&dir)).filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            name.strip_suffix(".log")?.parse().ok()
        });
        bases.max().unwrap_or(0)
    }
}

/// All records of a log, read in one go.
pub(crate) fn read_all(log: &Partition) -> Checked<FoundLog> {
    let name = log.topic_partition();
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    if let Some(below) = start.checked_sub(1) {
        match log.read(below, READ_BYTES) {
            Err(Error::OffsetOutOfRange { .. }) => {}
            other => return Err(format!("{name}: it begins at {start}, and at {below} is {other:?}")),
        }
    }
    let mut ids = Vec::new();
    let mut next = start;
    while next < end {
        let records = log.read(next, READ_BYTES).map_err(|e| format!("{name}: {e}"))?;
        for record in &records {
            let id = id_in(record.key(), record.value(), |name| record.header(name)?.value());
            let id = id.ok_or_else(|| format!("{name}: nobody sent what is at {}", record.offset()))?;
            let place = usize::try_from(record.offset() - start).unwrap();
            if record.offset() < next || end <= record.offset() {
                return Err(format!("{name}: offset {} between {next} and {end}", record.offset()));
            }
            ids.resize(place, 0);
            ids.push(id);
            next = record.offset() + 1;
        }
        // Nothing is behind the last one.
        if records.is_empty() {
            break;
        }
    }
    ids.resize(usize::try_from(end - start).unwrap(), 0);
    Ok(FoundLog { start, ids, ..FoundLog::default() })
}
