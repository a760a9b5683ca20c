//! Rows as a table.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Table, presets};
use serde::Serialize;

use super::{Stdout, text};

/// Between two columns.
const GAP: u16 = 2;
/// Text is not cut to less than this, nor to less than its header.
const TEXT_WIDTH_MIN: usize = 12;

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

    /// How many there are.
    pub fn count(self, count: usize) -> Column {
        self.number(u64::try_from(count).unwrap_or(u64::MAX))
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    text: String,
    is_number: bool,
}

impl Column {
    /// Text that is safe on a terminal already.
    pub fn escaped(text: &str) -> Column {
        Column { text: text.to_owned(), is_number: false }
    }
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
    let header: Vec<String> = R::HEADER.iter().map(|name| name.to_uppercase()).collect();
    let mut rows: Vec<Vec<Column>> = rows.iter().map(|row| row.columns(look)).collect();
    let mut table = empty(look);
    if let Some(width) = table.width().filter(|_| look.is_terminal) {
        fit(&header, &mut rows, width.into());
    }
    // A column is as its first row is.
    let is_number = |at: usize| rows.first().and_then(|row| row.get(at)).is_some_and(|column| column.is_number);
    table.set_header(header.into_iter().enumerate().map(|(at, name)| {
        let cell = Cell::new(name).set_alignment(alignment(is_number(at)));
        if look.is_coloured { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    for row in rows {
        table.add_row(row.into_iter().map(|column| Cell::new(column.text).set_alignment(alignment(column.is_number))));
    }
    write_lines(out, table, R::HEADER.len(), "")
}

/// Writes what is known of one thing: its name, and a line for each value.
pub fn write_facts(out: &mut Stdout, look: Look, name: &str, facts: Vec<(&str, Column)>) -> io::Result<()> {
    let name = text::escaped(name.as_bytes());
    let (bold, plain) = if look.is_coloured { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    writeln!(out, "{bold}{name}{plain}")?;
    let mut table = empty(look);
    for (name, value) in facts {
        table.add_row([name.to_owned(), value.text]);
    }
    write_lines(out, table, 2, "  ")
}

fn empty(look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if look.is_coloured {
        table.enforce_styling();
    }
    table
}

fn write_lines(out: &mut Stdout, mut table: Table, columns: usize, indent: &str) -> io::Result<()> {
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at + 1 == columns { 0 } else { GAP }));
    }
    table.lines().try_for_each(|line| writeln!(out, "{indent}{}", line.trim_end()))
}

fn alignment(is_number: bool) -> CellAlignment {
    if is_number { CellAlignment::Right } else { CellAlignment::Left }
}

/// Cuts text, the longest first, until a row fits a line of this width. Numbers stay whole, and so does each row on one line.
fn fit(header: &[String], rows: &mut [Vec<Column>], width: usize) {
    let widest = |at: usize, least: usize| {
        let widths = rows.iter().filter_map(|row| row.get(at)).map(|column| column.text.chars().count());
        widths.fold(least, usize::max)
    };
    let mut widths: Vec<usize> = header.iter().enumerate().map(|(at, name)| widest(at, name.len())).collect();
    let is_text = |at: usize| rows.iter().filter_map(|row| row.get(at)).any(|column| !column.is_number);
    let texts: Vec<usize> = (0..header.len()).filter(|at| is_text(*at)).collect();
    let least = |at: usize| header.get(at).map_or(0, String::len).max(TEXT_WIDTH_MIN);
    let gaps = usize::from(GAP) * header.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
    while excess > 0 {
        let cuttable = texts.iter().filter(|at| widths.get(**at).is_some_and(|width| least(**at) < *width));
        let Some(widest) = cuttable.max_by_key(|at| widths.get(**at)) else { break };
        widths.get_mut(*widest).into_iter().for_each(|width| *width -= 1);
        excess -= 1;
    }
    for row in rows {
        for at in &texts {
            if let (Some(column), Some(width)) = (row.get_mut(*at), widths.get(*at)) {
                column.text = text::shortened(&column.text, *width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_a_row_does_not_fit_and_numbers_are_not() {
        let header = ["TOPIC", "END", "OWNER"].map(str::to_owned);
        let row = |topic: &str, end: i128, owner: &str| vec![topic.into(), Look::PLAIN.number(end), owner.into()];
        let mut rows = vec![row(&"t".repeat(60), 1_000_000_000_000, &"o".repeat(40)), row("x", 1, "y")];
        fit(&header, &mut rows, 60);
        let widths: Vec<usize> = rows[0].iter().map(|column| column.text.chars().count()).collect();
        assert_eq!((widths.iter().sum::<usize>() + 4, widths[1]), (60, 13), "{widths:?}");
        assert!(rows[0][0].text.contains('…'));
        assert_eq!(rows[1], row("x", 1, "y"));
        // Where nothing can be made to fit, there is an end of cutting.
        fit(&header, &mut rows, 10);
        assert_eq!(rows[0][0].text.chars().count(), TEXT_WIDTH_MIN);
    }
}
