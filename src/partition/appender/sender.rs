//! [`Sender`]: who sends what is appended.

use crate::format::ProducerIdAndEpoch;

/// A producer, or a value that says to the compiler that there is none: who has no transactions pays nothing for them.
pub(in crate::partition) trait Sender: Copy {
    /// Whose transaction the records belong to, if they belong to one.
    fn producer(self) -> Option<ProducerIdAndEpoch>;
}

/// No producer.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) struct NoProducer;

impl Sender for NoProducer {
    #[inline]
    fn producer(self) -> Option<ProducerIdAndEpoch> {
        None
    }
}

impl Sender for ProducerIdAndEpoch {
    #[inline]
    fn producer(self) -> Option<ProducerIdAndEpoch> {
        Some(self)
    }
}
