//! What goes into a log and what comes back: records, their headers and their timestamps, as values.
//!
//! Nothing here knows about bytes on a disk; `format` writes and reads these.

mod header;
mod producer_record;
mod record_metadata;
mod timestamp;

pub use header::Header;
pub use producer_record::ProducerRecord;
pub use record_metadata::RecordMetadata;
pub use timestamp::Timestamp;
