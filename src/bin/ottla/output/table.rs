//! Rows as a table.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Stdout, text};

/// How text looks where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether a person reads it: numbers have separators, bytes are escaped, and lines end where the window does.
    pub is_terminal: bool,
    pub is_coloured: bool,
}

impl Look {
    /// As a file or a pipe gets it.
    pub const PLAIN: Look = Look { is_terminal: false, is_coloured: false };

    /// As a terminal gets it; without colour where `NO_COLOR` is set (<https://no-color.org>).
    pub fn of_terminal() -> Look {
        let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Look { is_terminal: true, is_coloured }
    }

    /// A number, with thousands apart for people.
    pub fn number(self, number: impl Into<i128>) -> Column {
        let number: i128 = number.into();
        Column { text: if self.is_terminal { text::grouped(number) } else { number.to_string() }, is_number: true }
    }

    /// A number, or `-`.
    pub fn number_or_none(self, number: Option<impl Into<i128>>) -> Column {
        number.map_or_else(|| Column { text: "-".to_owned(), is_number: true }, |number| self.number(number))
    }

    /// A size in bytes: with a unit for people, and exact elsewhere.
    pub fn bytes(self, bytes: u64) -> Column {
        Column { text: if self.is_terminal { text::bytes(bytes) } else { bytes.to_string() }, is_number: true }
    }
}

/// One cell of a row.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    text: String,
    is_number: bool,
}

impl<T: Into<String>> From<T> for Column {
    fn from(text: T) -> Column {
        Column { text: text::escaped(text.into().as_bytes()), is_number: false }
    }
}

/// A row of a table, which as JSON is an object.
pub trait Row: Serialize {
    /// What stands above the columns.
    const HEADER: &'static [&'static str];

    /// The columns, as many as the header has.
    fn columns(&self, look: Look) -> Vec<Column>;
}

/// Writes rows below their header.
pub fn write<R: Row>(out: &mut Stdout, look: Look, rows: &[R]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let arrangement = if look.is_terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.set_content_arrangement(arrangement);
    if look.is_coloured {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let rows: Vec<Vec<Column>> = rows.iter().map(|row| row.columns(look)).collect();
    // A column is as its first row is.
    let is_number = |at: usize| rows.first().and_then(|row| row.get(at)).is_some_and(|column| column.is_number);
    let header = R::HEADER.iter().enumerate().map(|(at, name)| {
        let cell = Cell::new(name.to_uppercase()).set_alignment(alignment(is_number(at)));
        if look.is_coloured { cell.add_attribute(Attribute::Bold) } else { cell }
    });
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|column| Cell::new(column.text).set_alignment(alignment(column.is_number))));
    }
    let last = R::HEADER.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn alignment(is_number: bool) -> CellAlignment {
    if is_number { CellAlignment::Right } else { CellAlignment::Left }
}
