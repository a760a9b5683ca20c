//! How results are written: as a table for people, as JSON for programs, or as JSON with a value a line for pipes.

pub mod losses;
pub mod table;
pub mod text;
pub mod time;

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use table::{Look, Row};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for people
    Table,
    /// One JSON document
    Json,
    /// A JSON value a line
    Jsonl,
}

/// Where results go, and how they look there.
#[derive(Debug)]
pub struct Output {
    format: Format,
    look: Look,
}

impl Output {
    pub fn new(format: Option<Format>) -> Output {
        let is_terminal = io::stdout().is_terminal();
        let format = format.unwrap_or(if is_terminal { Format::Table } else { Format::Jsonl });
        Output { format, look: if is_terminal { Look::of_terminal() } else { Look::PLAIN } }
    }

    /// How text looks there.
    pub fn look(&self) -> Look {
        self.look
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes rows of one kind.
    pub fn rows<R: Row>(&self, rows: &[R]) -> Result<(), Failure> {
        match self.format {
            Format::Table => to_stdout(|out| table::write(out, self.look, rows)),
            Format::Json => to_stdout(|out| write_json(out, &rows)),
            Format::Jsonl => to_stdout(|out| rows.iter().try_for_each(|row| write_json_line(out, row))),
        }
    }

    /// Writes values of one kind, each of which for people looks as `show` has it, with an empty line between two.
    pub fn each<V: Serialize>(
        &self,
        values: &[V],
        mut show: impl FnMut(&mut Stdout, Look, &V) -> io::Result<()>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => to_stdout(|out| {
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        writeln!(out)?;
                    }
                    show(out, self.look, value)?;
                }
                Ok(())
            }),
            Format::Json => to_stdout(|out| write_json(out, &values)),
            Format::Jsonl => to_stdout(|out| values.iter().try_for_each(|value| write_json_line(out, value))),
        }
    }

    /// Writes one value, which for people looks as `show` has it.
    pub fn value<V: Serialize>(
        &self,
        value: &V,
        show: impl FnOnce(&mut Stdout, Look) -> io::Result<()>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => to_stdout(|out| show(out, self.look)),
            Format::Json => to_stdout(|out| write_json(out, value)),
            Format::Jsonl => to_stdout(|out| write_json_line(out, value)),
        }
    }
}

/// Writes one value as a line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    to_stdout(|out| write_json_line(out, value))
}

/// Writes to stdout, all of it or a failure.
pub fn to_stdout(write: impl FnOnce(&mut Stdout) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(|error| Failure::of_stdout(&error))
}

/// Stdout, buffered.
pub type Stdout = BufWriter<StdoutLock<'static>>;

fn write_json(out: &mut Stdout, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

fn write_json_line(out: &mut Stdout, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
