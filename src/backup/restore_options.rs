//! [`RestoreOptions`]: what is restored of a backup.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::disk::os::OsDisk;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// What [`Broker::restore_with`](crate::Broker::restore_with) restores of a backup. By default all of it.
///
/// # Examples
/// ```
/// use ottla::{Broker, RestoreOptions, TopicPartition};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (monday, restored) = (dir.path().join("monday"), dir.path().join("restored"));
/// # let broker = Broker::temporary()?;
/// for n in 0..5 { broker.topic("orders")?.produce("customer-1", n.to_string())?; }
/// broker.admin().backup(&monday)?;
/// let orders = TopicPartition::new("orders", 0);
/// let report = Broker::restore_with(&monday, &restored, &RestoreOptions::new().to_offset(orders.clone(), 3))?;
/// assert_eq!(report.offsets(&orders), Some(0..3));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RestoreOptions {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) time: Option<Timestamp>,
    pub(super) offsets: BTreeMap<TopicPartition, u64>,
    pub(super) above: Option<PathBuf>,
    pub(super) copies: bool,
}

impl RestoreOptions {
    /// Everything.
    pub fn new() -> RestoreOptions {
        let (time, offsets, above, copies) = Default::default();
        RestoreOptions { disk: Arc::new(OsDisk::new()), time, offsets, above, copies }
    }

    /// Of each partition what comes before its first record that is later than `time`. Records that come behind that one are left out, also if
    /// they are not later: the report names them. Default: all that there is.
    pub fn to_time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// Of this partition what comes before `offset`, whatever is said of a time; it must lie within the offsets that the backup has of it, or
    /// at their end. Default: all that there is.
    pub fn to_offset(mut self, partition: TopicPartition, offset: u64) -> Self {
        self.offsets.insert(partition, offset);
        self
    }

    /// The directory that the backup was made from, or another one that came from there, if it can still be read: leader epochs rise above all
    /// that it has given out, too. Without it they rise by 65,536 above those of the backup, which is enough but for a source that was
    /// opened so often since.
    pub fn above(mut self, source: impl AsRef<Path>) -> Self {
        self.above = Some(source.as_ref().to_owned());
        self
    }

    /// Whether every byte is copied, although files could be linked: then the restored directory shares no block with the backup.
    /// Default: false.
    pub fn copy_all(mut self, copies: bool) -> Self {
        self.copies = copies;
        self
    }

    /// Backup and target are on a simulated disk.
    #[cfg(any(test, feature = "testing"))]
    pub fn disk(mut self, disk: &crate::disk::simulated::SimulatedDisk) -> Self {
        self.disk = Arc::new(disk.clone());
        self
    }

    /// Whether something is left out.
    pub(super) fn cuts(&self) -> bool {
        self.time.is_some() || !self.offsets.is_empty()
    }
}

impl Default for RestoreOptions {
    fn default() -> RestoreOptions {
        RestoreOptions::new()
    }
}

impl fmt::Debug for RestoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreOptions")
            .field("to_time", &self.time)
            .field("to_offsets", &self.offsets)
            .field("above", &self.above)
            .field("copy_all", &self.copies)
            .finish_non_exhaustive()
    }
}
