//! What figures depend on besides the code.

use std::fmt;
use std::process::Command;

/// Figures are compared where all but the date is equal.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    date: String,
    tools: String,
}

impl Conditions {
    pub(crate) fn here() -> Result<Conditions, String> {
        let (rustc, verbose) = (first_line("rustc", "--version")?, output("rustc", "-vV")?);
        let target = verbose.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("unknown target");
        let tools = format!("{rustc}, {target}, {}", first_line("valgrind", "--version")?);
        Ok(Conditions { date: first_line("date", "+%F")?, tools })
    }

    /// Reads back what [`Display`](fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Option<Conditions> {
        let (date, tools) = text.split_once(": ")?;
        Some(Conditions { date: date.to_owned(), tools: tools.to_owned() })
    }

    pub(crate) fn are_comparable_with(&self, other: &Conditions) -> bool {
        self.tools == other.tools
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.date, self.tools)
    }
}

fn first_line(program: &str, argument: &str) -> Result<String, String> {
    Ok(output(program, argument)?.lines().next().unwrap_or_default().to_owned())
}

fn output(program: &str, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
