//! `ottla dump`.
//!
//! ```text
//! json   items as JSON
//! lines  items as lines for people
//! ```

mod json;
mod lines;

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use ottla::inspect::{self, Decoder, FileKind, Item, Options};

use crate::failure::{Failure, say};
use crate::output::table::Look;
use crate::output::{Format, Output, Stdout, text, to_stdout};

/// Show what is in files of a log, and what does not hold in them
///
/// No broker is needed, and none is in the way: it reads any .log, .index, .timeindex, .txnindex and .snapshot, the small files beside
/// them, a catalog and a tail, whole or damaged, written here or by Kafka. Without options it shows the batches of a log, and compares
/// indexes with the log beside them. Exit status 1 if something does not hold.
#[allow(clippy::struct_excessive_bools, reason = "options that are there or not")]
#[derive(Debug, Args)]
pub struct Dump {
    /// Files, or directories of partitions
    #[arg(value_name = "FILE", required_unless_present = "files")]
    paths: Vec<PathBuf>,
    /// The same, with commas between them
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// The records of each batch, with keys, values and headers
    #[arg(long, visible_alias = "records", short = 'r')]
    print_data_log: bool,
    /// The records of each batch, without what is in them
    #[arg(long)]
    deep_iteration: bool,
    /// Of records only keys and values
    #[arg(long)]
    skip_record_metadata: bool,
    /// Of indexes only what does not hold, without looking at the log
    #[arg(long)]
    index_sanity_check: bool,
    /// Of indexes only what does not hold, compared with the log
    #[arg(long)]
    verify_index_only: bool,
    /// Read keys and values as those of `__consumer_offsets`; by itself in its directories
    #[arg(long, conflicts_with = "transaction_log_decoder")]
    offsets_decoder: bool,
    /// Read keys and values as those of `__transaction_state`; by itself in its directories
    #[arg(long)]
    transaction_log_decoder: bool,
    /// Look at no more than so many bytes of each log
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
}

impl Dump {
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let mut files = Vec::new();
        for path in self.paths.iter().chain(&self.files) {
            files.extend(files_of(path)?);
        }
        let mut dumped = Dumped { is_first: true, ..Dumped::default() };
        let mut failure = None;
        to_stdout(|out| {
            let mut printer =
                Printer { out, look: output.look(), format: output.format(), of: self, dumped: &mut dumped };
            printer.begin()?;
            for path in &files {
                if let Err(error) = printer.file(path, 1 < files.len())? {
                    if files.len() == 1 {
                        failure = Some(error.into());
                    } else {
                        say(error.with_causes());
                        printer.dumped.problems += 1;
                    }
                }
            }
            printer.end()
        })?;
        match (failure, dumped.problems) {
            (Some(failure), _) => Err(failure),
            (None, 0) => Ok(()),
            (None, 1) => Err(Failure::failed("1 thing does not hold, as listed")),
            (None, problems) => Err(Failure::failed(format_args!("{problems} things do not hold, as listed"))),
        }
    }

    fn options(&self, path: &Path) -> Options {
        let decoder = if self.offsets_decoder {
            Some(Decoder::Offsets)
        } else if self.transaction_log_decoder {
            Some(Decoder::Transactions)
        } else {
            decoder_of(path)
        };
        Options::new()
            .records(self.of_records().has_records)
            .decoder(decoder)
            .max_bytes(self.max_bytes)
            .apart(self.index_sanity_check && !self.verify_index_only)
    }

    /// What of records is shown.
    fn of_records(&self) -> Shown {
        let has_content = self.print_data_log || self.skip_record_metadata;
        Shown {
            has_records: has_content || self.deep_iteration,
            metadata: !self.skip_record_metadata,
            content: has_content,
        }
    }

    /// Whether of an index only what does not hold is shown.
    fn only_checks_indexes(&self) -> bool {
        self.index_sanity_check || self.verify_index_only
    }
}

/// What of records is shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    has_records: bool,
    metadata: bool,
    content: bool,
}

/// The files that a path stands for.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let refused =
        |error: io::Error| Failure::refused(format_args!("cannot open {}: {error}", text::escaped_path(path)));
    if !fs::metadata(path).map_err(refused)?.is_dir() {
        return match FileKind::of(path) {
            Some(_) => Ok(vec![path.to_owned()]),
            None => Err(Failure::refused(format_args!(
                "{} is no file of a log by its name: such are 00000000000000000000.log, manifest, tail",
                text::escaped_path(path)
            ))),
        };
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
        if is_file && FileKind::of(entry.file_name()).is_some() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(Failure::refused(format_args!("no file of a log is in {}", text::escaped_path(path))));
    }
    Ok(files)
}

/// Whose records are in a file, by the directory that it is in.
fn decoder_of(path: &Path) -> Option<Decoder> {
    let path = fs::canonicalize(path).ok()?;
    match path.parent()?.file_name()?.to_str()?.rsplit_once('-')?.0 {
        "__consumer_offsets" => Some(Decoder::Offsets),
        "__transaction_state" => Some(Decoder::Transactions),
        _ => None,
    }
}

/// How far it is.
#[derive(Debug, Default)]
struct Dumped {
    problems: u64,
    /// Nothing was written yet.
    is_first: bool,
    /// The kind of item that was written last in this file, for people.
    heading: Option<&'static str>,
}

/// Writes items one after the other.
struct Printer<'p> {
    out: &'p mut Stdout,
    look: Look,
    format: Format,
    of: &'p Dump,
    dumped: &'p mut Dumped,
}

impl Printer<'_> {
    fn begin(&mut self) -> io::Result<()> {
        if self.format == Format::Json { self.out.write_all(b"[") } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.format == Format::Json { self.out.write_all(b"\n]\n") } else { Ok(()) }
    }

    /// Shows a file; the inner error is that it cannot be opened.
    fn file(&mut self, path: &Path, is_one_of_many: bool) -> io::Result<Result<(), ottla::Error>> {
        match self.format {
            Format::Table if is_one_of_many => {
                let blank = if self.dumped.is_first { "" } else { "\n" };
                writeln!(self.out, "{blank}{}", text::escaped_path(path))?;
            }
            Format::Table => {}
            Format::Json | Format::Jsonl => {
                let kind = FileKind::of(path);
                self.json(&json::File { path, kind })?;
            }
        }
        self.dumped.is_first = false;
        self.dumped.heading = None;
        let mut written = Ok(());
        let options = self.of.options(path);
        let inspected = inspect::file(path, &options, &mut |item| match self.item(&item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                written = Err(error);
                ControlFlow::Break(())
            }
        });
        written.map(|()| inspected)
    }

    fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        match item {
            Item::Problem(_) => self.dumped.problems += 1,
            Item::OffsetEntry(_) | Item::TimeEntry(_) | Item::AbortedTransaction(_)
                if self.of.only_checks_indexes() =>
            {
                return Ok(());
            }
            _ => {}
        }
        if self.format != Format::Table {
            let shown = self.of.of_records();
            return json::Line::of(item, shown).map_or(Ok(()), |line| self.json(&line));
        }
        let heading = lines::heading(item, self.of.of_records());
        if heading.is_some() && self.dumped.heading != heading {
            self.dumped.heading = heading;
            heading.iter().try_for_each(|heading| writeln!(self.out, "{heading}"))?;
        }
        lines::write(self.out, self.look, item, self.of.of_records())
    }

    fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        if self.format == Format::Json {
            self.out.write_all(if self.dumped.is_first { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *self.out, value)?;
            self.dumped.is_first = false;
            return Ok(());
        }
        serde_json::to_writer(&mut *self.out, value)?;
        self.out.write_all(b"\n")
    }
}
