//! The figures that are kept, in `figures.txt`: two columns, each under conditions of its own.
//!
//! ```text
//! # baseline: 2026-11-23: rustc 1.95.0 (…), x86_64-unknown-linux-gnu, valgrind-3.19.0
//! # now: …
//! send                       1136.1       1136.1         a path, its baseline, and what it took when it was last counted
//! ```

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::conditions::Conditions;

const HEAD: &str = "\
# Instructions of one operation, or of one record of it. `baseline` is what changes are held against, `now` what was counted last.
# cargo run --release --manifest-path benches/instructions/Cargo.toml -- --write
";
const BASELINE: &str = "# baseline: ";
const NOW: &str = "# now: ";

/// A column: figures by the names of their paths, all counted under the same conditions.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) conditions: Conditions,
    pub(crate) figures: Vec<(String, f64)>,
}

impl Column {
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(of, _)| of == name).map(|(_, figure)| *figure)
    }
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/figures.txt"))
}

/// Reads the baseline; none if nothing was kept yet.
pub(crate) fn baseline() -> Result<Option<Column>, String> {
    let text = match fs::read_to_string(file()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| format!("figures.txt: {error}"))?,
    };
    parse(&text).map(Some).ok_or_else(|| "figures.txt has no baseline that can be read".to_owned())
}

fn parse(text: &str) -> Option<Column> {
    let conditions = text.lines().find_map(|line| Conditions::parse(line.strip_prefix(BASELINE)?))?;
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let mut cells = line.split_whitespace();
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    };
    Some(Column { conditions, figures: rows.map(row).collect::<Option<_>>()? })
}

/// Keeps both. A baseline never rises: it is what a path takes now, if that is less, or if there was none.
pub(crate) fn keep(baseline: &Column, now: &Column) -> Result<(), String> {
    let mut text = format!("{HEAD}{BASELINE}{}\n{NOW}{}\n", baseline.conditions, now.conditions);
    for (name, figure) in &now.figures {
        let base = baseline.get(name).map_or(*figure, |base| base.min(*figure));
        writeln!(text, "{name:20} {base:12.1} {figure:12.1}").expect("a string takes everything");
    }
    fs::write(file(), text).map_err(|error| format!("figures.txt: {error}"))
}
