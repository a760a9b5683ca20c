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
            self.check_no_transaction_below(&log, *offset)?;
            log.check_deletable(*offset)?;
            Ok((log, *offset))
        };
        let logs = before.iter().map(checked).collect::<Result<Vec<_>>>()?;
        let delete = |(log, offset): (Arc<Log>, u64)| Ok((log.partition().clone(), log.delete_before(offset)?));
        let deleted = logs.into_iter().map(delete).collect();
        self.files.emit_events();
        deleted
    }

    /// Fails if a transaction is open that begins below `offset`.
    fn check_no_transaction_below(&self, log: &Log, offset: u64) -> Result<()> {
        let open = log.open_transactions().into_iter().find(|open| open.first_offset < offset);
        open.map_or(Ok(()), |open| {
            Err(Error::TransactionOpen {
                partition: log.partition().clone(),
                transactional_id: self.transactional_id_of(open.producer.id),
                first_offset: open.first_offset,
            })
        })
    }

    fn log_of_a_user(&self, partition: &TopicPartition) -> Result<Arc<Log>> {
        if topic_name::is_internal(partition.topic()) {
            let reason = "internal topics keep what groups and transactions depend on";
            return Err(Error::InvalidTopic { name: partition.topic().to_owned(), reason });
        }
        self.source(partition)?.writable("delete records").cloned()
    }
}
