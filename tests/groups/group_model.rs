//! What a group has committed and was delivered, in its simplest form.

use std::cell::Cell;
use std::collections::BTreeMap;

use ottla::TopicPartition;

#[derive(Debug, Default)]
pub(crate) struct GroupModel {
    pub(crate) committed: BTreeMap<TopicPartition, u64>,
    /// The newest generation that was seen in the group's present life.
    pub(crate) generation: Cell<Option<i32>>,
    partitions: BTreeMap<TopicPartition, Delivered>,
}

/// What a group was delivered of one partition.
#[derive(Debug, Default)]
struct Delivered {
    /// By offset, how often.
    counts: Vec<u32>,
    /// Everything below was passed over, because somebody has set the group's offset.
    excused: u64,
}

impl GroupModel {
    /// Where a member begins in a partition that it takes up.
    pub(crate) fn start(&self, partition: &TopicPartition) -> u64 {
        self.committed.get(partition).copied().unwrap_or(0)
    }

    pub(crate) fn deliver(&mut self, partition: &TopicPartition, offset: u64) {
        let counts = &mut self.partitions.entry(partition.clone()).or_default().counts;
        let index = usize::try_from(offset).unwrap();
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += 1;
    }

    /// Somebody sets the offset by hand.
    pub(crate) fn set(&mut self, partition: &TopicPartition, offset: u64) {
        self.committed.insert(partition.clone(), offset);
        let excused = &mut self.partitions.entry(partition.clone()).or_default().excused;
        *excused = offset.max(*excused);
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|partition, _| partition.topic() != topic);
        self.partitions.retain(|partition, _| partition.topic() != topic);
    }

    /// Every record below `end` was delivered, and if `once`, no record twice.
    pub(crate) fn check_delivered(&self, partition: &TopicPartition, end: u64, once: bool) {
        let nothing = Delivered::default();
        let delivered = self.partitions.get(partition).unwrap_or(&nothing);
        for offset in 0..end {
            let count = delivered.counts.get(usize::try_from(offset).unwrap()).copied().unwrap_or(0);
            assert!(count > 0 || offset < delivered.excused, "{partition}: offset {offset} was not delivered");
            assert!(count < 2 || !once, "{partition}: offset {offset} was delivered {count} times");
        }
    }

    /// What was committed is not before what somebody still has to read, unless somebody has set it.
    pub(crate) fn check_committed(&self) {
        for (partition, &committed) in &self.committed {
            self.check_delivered(partition, committed, false);
        }
    }
}
