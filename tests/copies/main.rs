//! Second copies of a data directory: backups, what is restored from them, and replicas.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod backup;
mod backup_trouble;
mod choices;
mod directories;
mod hostile;
mod load;
mod point;
mod replica;
mod restore;
mod restore_model;
