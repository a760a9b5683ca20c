//! The examples in the guide: each line behind a `$` is run, and writes what stands below it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::{free, start};

const CHAPTER: &str = include_str!("../../src/guide/command.md");

/// A command, and the lines that it writes.
struct Example<'g> {
    command: &'g str,
    lines: Vec<&'g str>,
}

fn examples() -> Vec<Example<'static>> {
    let blocks = CHAPTER.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut examples: Vec<Example<'_>> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => examples.push(Example { command, lines: Vec::new() }),
            None => examples.last_mut().unwrap().lines.push(line),
        }
    }
    examples
}

/// Whether `found` is what the guide says, where `…` stands for anything, and alone for any number of lines.
fn fits(expected: &[&str], found: &[&str]) -> bool {
    match (expected, found) {
        ([], found) => found.is_empty(),
        (["…", rest @ ..], found) => (0..=found.len()).any(|skipped| fits(rest, &found[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => {
            let is_it = line.split_once('…').map_or(line == first, |(before, after)| {
                first.len() >= before.len() + after.len() && first.starts_with(before) && first.ends_with(after)
            });
            is_it && fits(rest, others)
        }
        _ => false,
    }
}

#[test]
fn what_the_guide_shows_is_what_the_command_does() {
    let dir = free(|_| {});
    let ottla = Path::new(env!("CARGO_BIN_EXE_ottla")).parent().unwrap();
    let path = format!("{}:{}", ottla.display(), env::var("PATH").unwrap());
    let examples = examples();
    assert!(examples.len() > 8, "there are examples");
    for Example { command, lines } in examples {
        let mut shell = Command::new("sh");
        // As on a terminal, for people.
        shell.args(["-c", command]).current_dir(dir.path()).env("PATH", &path).env("OTTLA_OUTPUT", "table");
        shell.env("OTTLA_DIR", dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = start(&mut shell).wait_with_output().unwrap();
        let written = [done.stdout, done.stderr].concat();
        let written = String::from_utf8(written).unwrap();
        let found: Vec<&str> = written.lines().collect();
        assert!(fits(&lines, &found), "$ {command}\n{written}\nand the guide says:\n{}", lines.join("\n"));
    }
}
