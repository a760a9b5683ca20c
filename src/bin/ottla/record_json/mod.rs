//! A record as one line of JSON, out and in: what `consume -J` writes, `produce --json` reads.
//!
//! ```text
//! {"topic":"orders","partition":0,"offset":7,"timestamp":"2026-12-01T15:00:00.000Z",
//!  "key":"customer-1","value":"2 coffees","headers":[["trace","af76"],["trace",null]]}
//!
//! key, value, values of headers   text; null; or {"base64":"//4="} where the bytes are not UTF-8
//! headers                         pairs in their order, since a name may be there twice
//! timestamp                       RFC 3339; milliseconds since 1970 are read, too
//! ```
//! Read are also lines that have less: only `value` must be there, since a misspelt one would delete its key. `topic`, `offset` and
//! `leader_epoch` say where a record was, and mean nothing for where it goes.

mod read;
mod write;

pub use read::JsonRecord;
pub use write::write;
