//! Where the records go: stdout, with large writes.

use std::io::{self, BufWriter, StdoutLock, Write};

use ottla::ConsumerRecord;

use super::format::Template;
use super::reader;
use crate::failure::Failure;
use crate::record_json;

/// How records are written.
#[derive(Debug)]
pub enum Style {
    Text(Template),
    /// A JSON object a line.
    JsonLines,
    /// One JSON array.
    Json,
}

/// Writes records to stdout.
pub struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    style: Style,
    is_terminal: bool,
    pattern: Option<Vec<u8>>,
    printed: u64,
}

const BUFFER_BYTES: usize = 256 << 10;

impl Printer {
    /// Only records with `pattern` in their key or value are written, if there is one.
    pub fn begin(style: Style, is_terminal: bool, pattern: Option<Vec<u8>>) -> Result<Printer, Failure> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
        let mut printer = Printer { out, style, is_terminal, pattern, printed: 0 };
        if matches!(printer.style, Style::Json) {
            printer.out.write_all(b"[").map_err(|error| Failure::of_stdout(&error))?;
        }
        Ok(printer)
    }

    /// Whether a person reads it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How many records were written.
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// Writes `record`, if it is one of those that are looked for.
    #[inline]
    pub fn print(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Failure> {
        if self.pattern.as_ref().is_some_and(|pattern| !has(record, pattern)) {
            return Ok(());
        }
        self.write(record).map_err(|error| Failure::of_stdout(&error))?;
        self.printed += 1;
        Ok(())
    }

    fn write(&mut self, record: &ConsumerRecord<'_>) -> io::Result<()> {
        match &self.style {
            Style::Text(template) => template.write(&mut self.out, record, self.is_terminal),
            Style::JsonLines => {
                record_json::write(&mut self.out, record)?;
                self.out.write_all(b"\n")
            }
            Style::Json => {
                self.out.write_all(if self.printed == 0 { b"\n" } else { b",\n" })?;
                record_json::write(&mut self.out, record)
            }
        }
    }

    /// Hands on all that was written so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::of_stdout(&error))
    }

    /// Whether whoever reads stdout has taken all of it, as far as that can be known.
    pub fn is_taken(&self) -> Result<bool, Failure> {
        reader::has_taken_all(self.out.get_ref()).map_err(|error| Failure::of_stdout(&error))
    }

    /// Writes what has to stand at the end.
    pub fn end(&mut self) -> Result<(), Failure> {
        if matches!(self.style, Style::Json) {
            self.out.write_all(b"\n]\n").map_err(|error| Failure::of_stdout(&error))?;
        }
        self.flush()
    }
}

fn has(record: &ConsumerRecord<'_>, pattern: &[u8]) -> bool {
    [record.key(), record.value()].into_iter().flatten().any(|bytes| contains(bytes, pattern))
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    // To look for the first byte alone is several times as fast.
    let Some((&first, rest)) = pattern.split_first() else { return true };
    let mut left = bytes;
    while let Some(at) = left.iter().position(|&byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_wherever_it_stands() {
        for (bytes, pattern, expected) in [
            ("2 coffees", "2", true),
            ("2 coffees", "coffees", true),
            ("2 coffees", "coffeesx", false),
            ("aab", "ab", true),
            ("", "", true),
            ("", "a", false),
            ("abc", "", true),
        ] {
            assert_eq!(contains(bytes.as_bytes(), pattern.as_bytes()), expected, "{pattern} in {bytes}");
        }
    }
}
