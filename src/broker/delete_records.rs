//! Deleting records at the front of partitions.

use std::sync::Arc;

use super::store::Store;
use super::topic_name;
use crate::error::{Error, Result};
use crate::partition::log::Log;
use crate::topic_partition::TopicPartition;

impl Store {
    /// Deletes what is below each offset; all of it is checked before anything is deleted.
    pub(super) fn delete_records(&self, before: &[(TopicPartition, u64)]) -> Result<Vec<(TopicPartition, u64)>> {
        self.check_writable("delete records")?;
        let checked = |(partition, offset): &(TopicPartition, u64)| {
            let log = self.log_of_a_user(partition)?;
            log.check_deletable(*offset)?;
            Ok((log, *offset))
        };
        let logs = before.iter().map(checked).collect::<Result<Vec<_>>>()?;
        logs.into_iter().map(|(log, offset)| Ok((log.partition().clone(), log.delete_before(offset)?))).collect()
    }

    fn log_of_a_user(&self, partition: &TopicPartition) -> Result<Arc<Log>> {
        if topic_name::is_internal(partition.topic()) {
            let reason = "an internal topic keeps what groups depend on";
            return Err(Error::InvalidTopic { name: partition.topic().to_owned(), reason });
        }
        self.source(partition)?.writable("delete records").cloned()
    }
}
