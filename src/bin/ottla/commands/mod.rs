//! A file a command.

pub mod backup;
pub mod completions;
pub mod consume;
pub mod du;
pub mod dump;
pub mod export;
pub mod groups;
pub mod import;
pub mod man;
pub mod offsets;
pub mod perf;
pub mod produce;
pub mod promote;
pub mod repair;
pub mod replicate;
pub mod restore;
pub mod top;
pub mod topics;
pub mod transactions;
pub mod verify;
