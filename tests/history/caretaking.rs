//! What takes records out of logs, and who looks where those begin.

use std::time::Duration;

use ottla::{Error, LeftOut};

use crate::events::{Altered, Deletion, Limits, Passed, Seen};
use crate::plan::{PARTITIONS_MAX, TOPICS, logs_of};
use crate::world::World;

impl World {
    /// Notes where a log begins, how much it has, and where it ends, if its records do not stay for ever.
    pub(crate) fn look(&self, log: usize) {
        let topic = log / PARTITIONS_MAX;
        if !self.plan.keeping[topic].is_whole {
            self.look_at_topic(topic, Some(log));
        }
    }

    fn look_at_topic(&self, topic: usize, only: Option<usize>) {
        let began = self.now();
        // None if it is closed.
        let Ok(description) = self.broker.admin().describe(TOPICS[topic]) else { return };
        let ended = self.now();
        let seen = logs_of(topic).zip(description.partitions()).map(|(partition, found)| Seen {
            partition,
            start: found.offsets().start,
            end: found.offsets().end,
            bytes: Some(found.log_bytes()),
            began,
            ended,
        });
        let seen = seen.filter(|seen| only.is_none_or(|only| only == seen.partition));
        self.notes.lock().unwrap().seen.extend(seen);
    }

    pub(crate) fn look_at_all(&self) {
        for topic in (0..TOPICS.len()).filter(|topic| !self.plan.keeping[*topic].is_whole) {
            self.look_at_topic(topic, None);
        }
    }

    /// Time passes, and what is due then is done.
    pub(crate) fn maintain(&self, passed: Duration) {
        self.advance(passed);
        if let Err(error) = self.broker.run_maintenance() {
            self.failed("maintain", &error);
        }
        self.look_at_all();
    }

    /// Time passes, where that is ours.
    fn advance(&self, passed: Duration) {
        let Some(disk) = &self.disk else { return };
        let began = self.now();
        disk.advance(passed);
        let ms = u64::try_from(passed.as_millis()).unwrap();
        self.notes.lock().unwrap().passed.push(Passed { ms, began, ended: self.now() });
    }

    /// Deletes the first records of a topic's partitions.
    pub(crate) fn delete_records(&self, topic: usize, percent: u64) {
        self.look_at_topic(topic, None);
        let mut logs = self.logs.lock().unwrap().clone();
        logs.retain(|(log, _)| logs_of(topic).contains(log));
        for (partition, log) in logs {
            let (start, end) = (log.log_start_offset(), log.high_watermark());
            let before = start + end.saturating_sub(start) * percent / 100;
            let began = self.now();
            let deleted = self.broker.admin().delete_records(&[(log.topic_partition().clone(), before)]);
            let ended = self.now();
            let start = deleted.as_ref().ok().and_then(|starts| Some(starts.first()?.1));
            self.notes.lock().unwrap().deletions.push(Deletion { partition, before, began, ended, start });
            if let Err(error) = deleted {
                self.failed("delete records", &error);
            }
        }
        self.look_at_topic(topic, None);
    }

    /// Gives a topic other limits.
    pub(crate) fn alter(&self, topic: usize, limits: Limits) {
        let _one_at_a_time = self.altering.lock().unwrap();
        self.look_at_topic(topic, None);
        let keeping = &self.plan.keeping[topic];
        let began = self.now();
        let altered = self.broker.admin().alter_topic(TOPICS[topic], |config| keeping.configure(config, limits));
        let ended = self.now();
        let is_acked = altered.is_ok();
        let altered_logs = Altered { partitions: logs_of(topic), limits, began, ended, is_acked };
        self.notes.lock().unwrap().altered.push(altered_logs);
        if let Err(error) = altered {
            self.failed("alter a topic", &error);
        }
    }

    /// Whether all that was closed is compacted.
    pub(crate) fn compact(&self, topic: usize) -> bool {
        match self.broker.admin().compact(TOPICS[topic]) {
            Ok(report) => {
                for partition in report.partitions() {
                    self.notes.lock().unwrap().compacted += partition.records_removed();
                    if let Some(LeftOut::Failed(error)) = partition.left_out() {
                        self.failed("compact a partition", error);
                    }
                }
                report.is_complete()
            }
            // Its policy is another one just now.
            Err(Error::InvalidConfig { .. }) => false,
            Err(error) => {
                self.failed("compact a topic", &error);
                false
            }
        }
    }

    /// Once nobody sends: does the maintenance, each time after so long. Where logs begin then.
    pub(crate) fn settle(&self, passed: &[Duration]) -> Vec<Seen> {
        for passed in passed {
            self.maintain(*passed);
        }
        let before = self.notes.lock().unwrap().seen.len();
        self.look_at_all();
        let notes = self.notes.lock().unwrap();
        notes.seen[before..].to_vec()
    }
}
