//! Making logs batch by batch.

use crate::format::{Attributes, BatchBuilder, EndTransactionMarker, ProducerStamp};

/// A log that is being made, from some offset on.
pub(super) struct LogBytes {
    pub(super) next_offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) now_ms: i64,
    /// Of the next batch of each producer.
    sequences: std::collections::BTreeMap<i64, i32>,
}

impl LogBytes {
    pub(super) fn new(now_ms: i64) -> LogBytes {
        LogBytes { next_offset: 0, bytes: Vec::new(), now_ms, sequences: std::collections::BTreeMap::new() }
    }

    /// Adds a batch with a record for each of these keys and values.
    fn batch(&mut self, stamp: ProducerStamp, records: &[(&str, Option<&str>)]) {
        let mut builder = BatchBuilder::new();
        builder.clear(self.next_offset, self.now_ms);
        for (key, value) in records {
            builder.push(self.now_ms, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        }
        let mut fields = builder.fields();
        fields.start.stamp = stamp;
        self.bytes.extend(builder.finish(&fields).unwrap());
        self.next_offset += records.len() as u64;
    }

    /// A batch of no producer.
    pub(super) fn plain(&mut self, records: &[(&str, Option<&str>)]) -> &mut LogBytes {
        self.batch(ProducerStamp::NONE, records);
        self
    }

    /// A batch of a transaction of this producer.
    pub(super) fn send(&mut self, producer_id: i64, records: &[(&str, Option<&str>)]) -> &mut LogBytes {
        let sequence = self.sequences.entry(producer_id).or_default();
        let stamp = ProducerStamp { producer_id, producer_epoch: 0, base_sequence: *sequence, is_transactional: true };
        *sequence += i32::try_from(records.len()).unwrap();
        self.batch(stamp, records);
        self
    }

    /// The marker that ends the transaction of this producer.
    pub(super) fn end(&mut self, producer_id: i64, is_commit: bool) -> &mut LogBytes {
        let marker = EndTransactionMarker { is_commit, coordinator_epoch: 0 };
        let mut builder = BatchBuilder::new();
        builder.clear(self.next_offset, self.now_ms);
        builder.push(self.now_ms, Some(&marker.encode_key()), Some(&marker.encode_value()), &[]);
        let mut fields = builder.fields();
        fields.start.attributes = Attributes::NONE.with_control();
        fields.start.stamp =
            ProducerStamp { producer_id, producer_epoch: 0, base_sequence: -1, is_transactional: true };
        self.bytes.extend(builder.finish(&fields).unwrap());
        self.next_offset += 1;
        self
    }

    /// What was made since the last call: the next segment.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
