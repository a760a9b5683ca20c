//! The partitions of a topic: a list that only grows, read without a lock and without counting its readers.
//!
//! Every send looks here. A list that is replaced as a whole would have it announce and withdraw that it reads, two locked
//! instructions each time.

use std::sync::OnceLock;

use crate::partition::PartitionSource;
use crate::topic_partition::TopicPartition;

/// A partition's address and who keeps its log; the address is made once, so that nothing is allocated per record.
#[derive(Debug, Clone)]
pub(crate) struct TopicPartitionSource {
    pub(crate) address: TopicPartition,
    pub(crate) source: PartitionSource,
}

impl From<PartitionSource> for TopicPartitionSource {
    fn from(source: PartitionSource) -> TopicPartitionSource {
        TopicPartitionSource { address: source.partition().clone(), source }
    }
}

/// Partitions by number, in the pieces in which they were added.
#[derive(Debug, Default)]
pub(crate) struct TopicPartitions {
    first: OnceLock<Box<Piece>>,
}

#[derive(Debug)]
struct Piece {
    partitions: Vec<TopicPartitionSource>,
    next: OnceLock<Box<Piece>>,
}

impl TopicPartitions {
    /// The partition of this number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&TopicPartitionSource> {
        let mut number = number as usize;
        let mut link = &self.first;
        while let Some(piece) = link.get() {
            if let Some(found) = piece.partitions.get(number) {
                return Some(found);
            }
            number -= piece.partitions.len();
            link = &piece.next;
        }
        None
    }

    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        let count = self.pieces().map(|piece| piece.partitions.len()).sum::<usize>();
        // Bounded by the configuration, far below the limit.
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TopicPartitionSource> {
        self.pieces().flat_map(|piece| &piece.partitions)
    }

    /// Adds the next ones. For one caller at a time, the holder of the catalog's lock.
    pub(crate) fn add(&self, partitions: Vec<TopicPartitionSource>) {
        if partitions.is_empty() {
            return;
        }
        let link = self.pieces().last().map_or(&self.first, |piece| &piece.next);
        let added = link.set(Box::new(Piece { partitions, next: OnceLock::new() }));
        assert!(added.is_ok(), "one caller at a time adds partitions");
    }

    #[inline]
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::successors(self.first.get(), |piece| piece.next.get()).map(|piece| &**piece)
    }
}
