//! The records of `__transaction_state` made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use super::state_records::{TransactionRecord, decode_key, encode_key};

/// Reads bytes as key and value, and writes again what could be read.
pub fn transaction_records(bytes: &[u8]) {
    let mut out = Vec::new();
    if let Ok(Some(id)) = decode_key(bytes) {
        encode_key(id, &mut out).unwrap();
        assert_eq!(out, bytes);
    }
    if let Ok(mut record) = TransactionRecord::decode(bytes) {
        out.clear();
        // A topic's name that only the flexible version can hold is not written.
        if record.encode(&mut out).is_ok() {
            let mut again = TransactionRecord::decode(&out).unwrap();
            // Written grouped by topic.
            for partitions in [&mut record.partitions, &mut again.partitions] {
                partitions.sort_unstable();
            }
            assert_eq!(again, record);
        }
    }
}
