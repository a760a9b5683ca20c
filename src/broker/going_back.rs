//! Going on from a copy: offsets that the source has given out since are given out again, for other records.
//!
//! So the directory becomes another one, and its leader epochs rise above all that are known: who remembers an offset with its epoch is
//! told that the log was truncated, and does not get another record. Nobody knows what a source that is lost has given out later, so
//! they rise by a large step.

use std::io::ErrorKind;
use std::path::Path;

use super::backup_report;
use super::catalog::{Catalog, DirectoryIdentity, Origin};
use super::partition_dir;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::leader_epoch::LeaderEpochs;
use crate::topic_partition::TopicPartition;

/// Makes a backup that is opened for writing a directory of its own. If this fails half way, the next opening does it again.
///
/// # Errors
/// The disk's.
pub(super) fn leave_backup(disk: &dyn Disk, dir: &Path, catalog: &mut Catalog) -> Result<()> {
    let path = dir.join(backup_report::FILE_NAME);
    match disk.usage(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => _ = found.map_err(|e| Error::io("find", &path, e))?,
    }
    let before = catalog.identity();
    let latest = latest_leader_epoch(disk, dir, catalog)?;
    catalog.replace_identity(before.gone_back(disk, Origin::Restored(before.id), latest))?;
    disk.remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
    disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

/// Which directory one becomes that is restored from a backup of the directory `dir`, where `above` can be read as well.
pub(crate) fn identity_of_restored(
    disk: &dyn Disk,
    (dir, catalog): (&Path, &Catalog),
    above: Option<(&Path, &Catalog)>,
) -> Result<DirectoryIdentity> {
    let source = catalog.identity();
    let mut latest = latest_leader_epoch(disk, dir, catalog)?;
    if let Some((dir, catalog)) = above {
        latest = latest.max(latest_leader_epoch(disk, dir, catalog)?).max(catalog.identity().least_leader_epoch());
    }
    Ok(source.gone_back(disk, Origin::Restored(source.id), latest))
}

/// The newest leader epoch that any log of a directory has noted.
pub(crate) fn latest_leader_epoch(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Result<i32> {
    let mut latest = 0;
    for (name, entry) in catalog.live_topics() {
        for number in 0..entry.config.partitions {
            let partition = partition_dir::path_of(dir, &TopicPartition::new(name.clone(), number));
            latest = latest.max(LeaderEpochs::load(disk, &partition)?.map_or(0, |epochs| epochs.latest()));
        }
    }
    Ok(latest)
}
