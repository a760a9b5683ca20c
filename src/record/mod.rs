//! What goes into a log and what comes back: records, their headers and their timestamps, as values.
//!
//! Nothing here knows about bytes on a disk; `format` writes and reads these.

mod batch_metadata;
mod consumer_record;
mod consumer_records;
mod fetched;
mod into_record;
mod producer_record;
mod read_record;
mod record_address;
mod record_headers;
mod record_metadata;
mod timestamp;

pub use crate::format::Header;
pub use batch_metadata::{BatchMetadata, BatchMetadataIter};
pub use consumer_record::{ConsumerRecord, OwnedHeadersIter, OwnedRecord};
pub use consumer_records::{ConsumerRecords, Iter as ConsumerRecordsIter};
pub(crate) use fetched::{Fetched, FetchedBatch};
pub use into_record::{IntoHeaders, IntoRecordBytes};
pub use producer_record::ProducerRecord;
pub use read_record::ReadRecord;
pub use record_address::RecordAddress;
pub use record_metadata::RecordMetadata;
pub use timestamp::Timestamp;
