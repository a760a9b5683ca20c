//! Kafka's record format, magic 2: bytes to values and back. No files, clocks or locks.
//!
//! All integers of fixed width are big-endian two's complement; checksums of batches are CRC-32C. Offsets are `i64` on the
//! disk and never negative, and `u64` here. Timestamps are milliseconds since 1970 UTC, −1 where there is none.
//!
//! Whatever is decoded here may come from a damaged or hostile disk, and a right checksum proves nothing: lengths and counts
//! are compared with the bytes that are there before they are believed, and nothing panics. What does not hold is an
//! [`Invalid`]; the layers above, which know the file and the offsets, make a [`Corrupt`](crate::Error::Corrupt) of it.

#![cfg_attr(
    not(test),
    allow(
        dead_code,
        unused_imports,
        reason = "the format is whole, and golden vectors hold it; transactions use the rest"
    )
)]

pub(crate) mod attributes;
pub(crate) mod batch;
pub(crate) mod batch_start;
pub(crate) mod builder;
pub(crate) mod checksum;
pub(crate) mod compression;
pub(crate) mod control;
mod crc32c_words;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
mod header;
mod header_list;
pub(crate) mod headers;
pub(crate) mod invalid;
pub(crate) mod producer_stamp;
pub(crate) mod reader;
pub(crate) mod record;
mod record_start;
pub(crate) mod shown;
pub(crate) mod stored;
pub(crate) mod varint;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;
#[cfg(any(test, feature = "testing"))]
mod ways;

pub(crate) use attributes::Attributes;
pub(crate) use batch::{BatchHeader, CRC_START, HEADER_BYTES, LOG_OVERHEAD, check_records, verify};
pub(crate) use batch_start::BatchStart;
pub(crate) use builder::BatchBuilder;
pub(crate) use checksum::{crc32c, crc32c_append, crc32c_combine};
pub use compression::Compression;
use compression::{compress, decompress};
pub(crate) use control::{ControlType, EndTransactionMarker};
pub use header::Header;
pub(crate) use header_list::{HeaderList, KeptHeader, KeptHeaders};
pub use headers::{Headers, HeadersIter};
pub(crate) use invalid::Invalid;
pub(crate) use producer_stamp::{ProducerIdAndEpoch, ProducerStamp};
pub(crate) use reader::Reader;
pub(crate) use record::{Record, RecordFields, skip, step_over};
pub(crate) use stored::{SealFields, check_readable, is_plain, plain_records, seal_header, seal_records};
