//! The bytes on the disk, read by somebody else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod compacted_files;
mod decoder;
mod kafka_files;
