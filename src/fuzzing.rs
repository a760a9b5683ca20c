//! For the fuzzer in `tests/fuzz`, not for applications: each function takes bytes as a disk may hand them over, and panics if
//! what comes of them breaks a rule. Whatever the bytes are, none of them may panic otherwise, go on for ever, or take more
//! memory than a small multiple of their size. Checksums are put right first, so that bytes get past them.

pub use crate::broker::catalog::fuzzing::catalog;
pub use crate::format::fuzzing::{batch, compression, control, record, round_trip, unusual_records, varints};
pub use crate::group::fuzzing::group_records;
pub use crate::partition::fuzzing::{leader_epochs, manifest, partition_metadata, producer_snapshot, recovery_point};
pub use crate::replica::stream::fuzzing::{stream_message, stream_reply, stream_request};
pub use crate::segment::fuzzing::{indexes, log_walk, segment, transaction_index};
pub use crate::tail::fuzzing::{slot, tail_header};
pub use crate::transaction::fuzzing::transaction_records;

use crate::broker::Broker;
use crate::error::Result;
use crate::record::ProducerRecord;
use crate::topic_partition::TopicPartition;

/// Appends a record to partition 0 of an internal topic, where nobody else can: as another program, or a hostile disk, may have left
/// one there.
///
/// # Errors
/// As a send.
pub fn plant(broker: &Broker, topic: &str, record: &ProducerRecord<'_>) -> Result<()> {
    let source = broker.store.source(&TopicPartition::new(topic, 0))?;
    let log = source.writable("plant a record")?;
    log.append_unsynced(std::slice::from_ref(record)).map(drop).map_err(|error| *error)
}
