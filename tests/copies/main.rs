//! Second copies of a data directory: backups, and what is restored from them.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod backup;
mod directories;
mod hostile;
mod load;
mod point;
mod restore;
