//! Tables for people, in a terminal.

use std::fmt;
use std::time::Duration;

/// Rows of cells below a head; the first column is text, and the others are numbers.
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(head: [&str; COLUMNS]) -> Table<COLUMNS> {
        Table { rows: vec![head.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

/// Each row on a line of its own, after an empty one; nothing if there are no rows.
impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.len() < 2 {
            return Ok(());
        }
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f)?;
        for row in &self.rows {
            writeln!(f)?;
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
        }
        Ok(())
    }
}

/// In the largest unit of which it is one.
pub(super) fn shown_bytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one digit after the point")]
    shown_bytes_of(bytes as f64)
}

/// The same for what was divided, or has become less.
pub(super) fn shown_bytes_of(bytes: f64) -> String {
    let (mut rest, mut units) = (bytes, ["B", "KiB", "MiB", "GiB", "TiB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if rest.abs() < 1024.0 {
            break;
        }
        (rest, unit) = (rest / 1024.0, larger);
    }
    let digits = usize::from(unit != "B");
    format!("{rest:.digits$} {unit}")
}

/// With the two largest units of it.
pub(super) fn shown_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{time:.1?}"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(["topic", "lag"]);
        assert_eq!(table.to_string(), "");
        table.row(["o".to_owned(), "7".to_owned()]);
        table.row(["straße".to_owned(), "12345".to_owned()]);
        assert_eq!(table.to_string(), "\n\ntopic     lag\no           7\nstraße  12345");
    }

    #[test]
    fn sizes_and_times_have_the_unit_that_fits() {
        let sizes = [0, 1023, 1024, 1536 << 10, 5 << 30, u64::MAX].map(shown_bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB", "16777216.0 TiB"]);
        assert_eq!(shown_bytes_of(-2048.0), "-2.0 KiB");
        let times = [0, 59, 61, 7260, 90_000].map(|seconds| shown_time(Duration::from_secs(seconds)));
        assert_eq!(times, ["0.0ns", "59.0s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]);
    }
}
