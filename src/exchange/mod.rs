//! Partition directories of Kafka: what a broker adopts, and what is taken over from one.
//!
//! ```text
//! export   logs ─→ a batch at a time, leader epoch 0 ─→ <topic>-<n>/*.log, text files with the steps that are left to do
//! import   a broker's log directory ─→ survey: all of it is read, nothing is changed ─→ fill: files, offsets, then the catalog
//! ```
//! `broker_dir` finds what is in a log directory and `segment_files` which files are a log; `log_reading` reads one, whatever is in
//! it. On top of that are `survey` and `filling` for an import, `group_offsets` for what groups have committed there.

mod broker_dir;
pub(crate) mod export;
mod export_options;
mod export_report;
mod export_texts;
mod exporting;
mod filling;
mod group_offsets;
pub(crate) mod import;
mod import_options;
mod import_report;
mod log_reading;
mod old_format;
mod open_transactions;
mod segment_files;
mod survey;
mod target;

pub use export_options::ExportOptions;
pub use export_report::{ExportReport, ExportedPartition};
pub use import_options::ImportOptions;
pub use import_report::{ImportReport, ImportedOffset, ImportedPartition, ImportedTopic, TornEnd};
