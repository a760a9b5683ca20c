//! Consumer groups: who coordinates them, and what they remember.

pub(crate) mod coordinator_partition;
pub(crate) mod offset_records;
