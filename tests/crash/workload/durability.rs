//! What the broker says is durable.

use ottla::Durability;

use super::Run;
use crate::history::Checked;

impl Run {
    pub(crate) fn flush(&mut self) -> Checked {
        if let Err(error) = self.broker()?.flush() {
            return self.failed("flush", error);
        }
        self.all_is_durable();
        self.note_durable()
    }

    pub(super) fn all_is_durable(&mut self) {
        let logs = self.history.topics.values_mut().flat_map(|topic| &mut topic.logs);
        logs.for_each(|log| log.durable = log.acked());
        self.history.commits.values_mut().for_each(|commits| commits.durable = commits.acked);
    }

    pub(super) fn wait_durable(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let offset = self.history.log(&partition).map_or(0, |log| log.acked() as u64);
        let broker = self.broker()?;
        let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        if let Err(error) = found.and_then(|log| log.wait_durable(offset)) {
            return self.failed("wait for durability", error);
        }
        if let Some(log) = self.history.log(&partition) {
            log.durable = log.acked();
        }
        self.note_durable()
    }

    pub(super) fn maintain(&mut self) -> Checked {
        if let Err(error) = self.broker()?.run_maintenance() {
            self.failed("maintain", error)?;
        } else if !self.expects_faults {
            for topic in self.history.topics.values_mut().filter(|topic| topic.durability != Durability::Os) {
                topic.logs.iter_mut().for_each(|log| log.durable = log.acked());
            }
        }
        self.note_durable()
    }

    /// Takes the broker by its word on what survives a power cut.
    pub(super) fn note_durable(&mut self) -> Checked {
        let broker = self.broker()?;
        for partition in self.history.partitions() {
            let found = broker.topic(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
            let Ok(found) = found else { continue };
            let Some(log) = self.history.log(&partition) else { continue };
            let durable = usize::try_from(found.durable_offset()).unwrap_or(usize::MAX);
            log.durable = log.durable.max(durable.min(log.acked()));
        }
        Ok(())
    }
}
