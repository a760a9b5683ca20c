//! Holds `tests/README.md` to the truth: every fault of the catalogue has its row, and whatever the rows name is there.
//!
//! The failure that this is about: a table says that a fault is covered, the test that covered it was renamed, or made to do
//! less, or is gone, and the table says so still.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

use std::fs;
use std::path::{Path, PathBuf};

const FAULTS: usize = 53;
const BATTERIES: usize = 16;
/// How a row begins that names no test, and says why.
const REASONS: [&str; 2] = ["not yet: ", "not applicable here: "];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The rows whose first cell is `letter` and a number, as (number, other cells).
fn rows(text: &str, letter: char) -> Vec<(usize, Vec<&str>)> {
    let row = |line| -> Option<(usize, Vec<_>)> {
        let cells: Vec<&str> = str::strip_prefix(line, "| ")?.trim_end_matches(" |").split(" | ").collect();
        let number = cells[0].strip_prefix(letter)?.parse().ok()?;
        Some((number, cells[1..].to_vec()))
    };
    text.lines().filter_map(row).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What of it is the name of a test: a path, and no value of an environment variable.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| word.contains("::") && word.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
    quoted(text).filter(is_path)
}

/// The file of a module of a suite, if it has one of its own.
fn module_file(suite: &str, modules: &[&str]) -> Option<PathBuf> {
    let (root, front) = match suite {
        "lib" => (path("src"), "lib.rs"),
        "interleavings" => (path("tests/interleavings/src"), "lib.rs"),
        _ => (path("tests").join(suite), "main.rs"),
    };
    let candidates = if let [parents @ .., last] = modules {
        let dir = parents.iter().fold(root, |dir, module| dir.join(module));
        [dir.join(format!("{last}.rs")), dir.join(last).join("mod.rs")]
    } else {
        [root.join(front), root.with_extension("rs")]
    };
    candidates.into_iter().find(|file| file.is_file())
}

/// Whether a test of this name stands in the text, and is not left out of ordinary runs.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    // As a function, or a line of the macro that makes one of each line.
    let function = lines.iter().position(|line| line.starts_with(&format!("fn {name}(")));
    let Some(at) = function else {
        return source.contains("#[test] fn $name()")
            && lines.iter().any(|line| line.starts_with(&format!("{name} \"")));
    };
    let above: Vec<_> =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//")).collect();
    above.contains(&&"#[test]") && !above.iter().any(|line| line.starts_with("#[ignore"))
}

/// Why there is no such test, if so.
fn look_for(test: &str) -> Result<(), String> {
    let [suite, modules @ .., name] = &test.split("::").collect::<Vec<_>>()[..] else { return Err("no path".into()) };
    // The innermost module that has a file; those within stand in it.
    let found = (0..=modules.len()).rev().find_map(|n| Some((n, module_file(suite, &modules[..n])?)));
    let (outer, file) = found.ok_or("there is no such suite")?;
    let source = fs::read_to_string(&file).unwrap();
    if let Some(missing) = modules[outer..].iter().find(|module| !source.contains(&format!("mod {module} {{"))) {
        return Err(format!("no module {missing} in {}", file.display()));
    }
    if has_test(&source, name) { Ok(()) } else { Err(format!("no test {name} in {}", file.display())) }
}

#[test]
fn every_fault_has_its_row_and_every_test_that_is_named_exists() {
    let text = read("tests/README.md");
    let rows = rows(&text, 'F');
    let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=FAULTS).collect::<Vec<_>>());
    let mut named = 0;
    for (number, cells) in &rows {
        let [_fault, proof] = cells[..] else { panic!("F{number} has {} cells", cells.len()) };
        let has_reason = REASONS.iter().any(|reason| proof.contains(reason));
        assert!(has_reason || tests_of(proof).next().is_some(), "F{number} names neither a test nor a reason");
    }
    for test in rows.iter().flat_map(|(_, cells)| tests_of(cells[1])) {
        look_for(test).unwrap_or_else(|problem| panic!("{test}: {problem}"));
        named += 1;
    }
    println!("{FAULTS} faults, {named} names of tests");
}

#[test]
fn every_battery_has_its_row_and_its_files_are_there() {
    let text = read("tests/README.md");
    let batteries = text.split("\n## ").find(|section| section.starts_with("The batteries")).unwrap();
    let numbers: Vec<_> = rows(batteries, 'B').iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=BATTERIES).collect::<Vec<_>>());
    for word in quoted(&text) {
        assert_is_there_if_a_place("tests/README.md", word);
    }
}

/// Where the pages of the guide link to, since docs.rs has nothing but the crate.
const REPOSITORY: &str = "https://github.com/ottla/ottla/blob/main/";

/// The front page and the chapters of the guide.
fn pages() -> Vec<String> {
    let files = fs::read_dir(path("src/guide")).unwrap().map(|entry| entry.unwrap().path());
    let chapters = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let chapters = chapters.map(|file| format!("src/guide/{}", file.file_name().unwrap().to_str().unwrap()));
    chapters.chain(["README.md".to_owned()]).collect()
}

#[test]
fn every_place_that_the_pages_name_is_there() {
    let mut linked = 0;
    for page in pages() {
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links {
            let place = link.strip_prefix(REPOSITORY).unwrap_or(link);
            assert_is_there_if_a_place(&page, place);
            linked += usize::from(place != link);
        }
        for word in quoted(&text) {
            assert_is_there_if_a_place(&page, word);
        }
    }
    assert!(linked > 30, "the guarantees lead to their tests: {linked}");
}

fn assert_is_there_if_a_place(page: &str, word: &str) {
    let is_place = ["tests/", "src/", ".ci/"].iter().any(|start| word.starts_with(start)) && !word.contains(' ');
    assert!(!is_place || path(word).exists(), "{page}: there is no {word}");
}

#[test]
fn the_front_page_stays_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines: what is more belongs into the guide");
}

#[test]
fn every_variable_that_is_named_is_asked_for() {
    let mut sources = String::new();
    for dir in ["src", "examples", "tests", "benches", ".ci"] {
        append_sources(&path(dir), &mut sources);
    }
    for text in pages().iter().map(String::as_str).chain(["tests/README.md"]) {
        for word in read(text).split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')) {
            let is_known = !word.starts_with("OTTLA_") || sources.contains(&format!("\"{word}\""));
            assert!(is_known || sources.contains(&format!("{word}=\"$")), "{text}: nobody asks for {word}");
        }
    }
}

fn append_sources(dir: &Path, sources: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let is_source = entry.extension().is_none_or(|extension| extension == "rs");
        if entry.is_dir() && !entry.ends_with("corpus") && !entry.ends_with("target") && !entry.ends_with("golden/v2") {
            append_sources(&entry, sources);
        } else if entry.is_file() && is_source {
            sources.push_str(&fs::read_to_string(&entry).unwrap());
        }
    }
}

/// A filter that fits no test runs none, and catches nothing.
#[test]
fn every_planted_bug_has_tests_that_are_there() {
    let script = read(".ci/canaries");
    let table = script.split("table='").nth(1).unwrap().split('\'').next().unwrap();
    let mut count = 0;
    for row in table.lines().filter(|row| !row.is_empty()) {
        let [name, target, filter] = row.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{row}") };
        let tests = tests_in(target);
        assert!(tests.iter().any(|test| test.contains(filter)), "{name}: {target} has no test like {filter}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// The tests of a target, with the modules whose files they stand in.
fn tests_in(target: &str) -> Vec<String> {
    let mut tests = Vec::new();
    append_tests(&if target == "lib" { path("src") } else { path("tests").join(target) }, "", &mut tests);
    tests
}

fn append_tests(dir: &Path, modules: &str, tests: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let module = format!("{modules}{}::", entry.file_stem().unwrap().to_str().unwrap());
        if entry.is_dir() {
            append_tests(&entry, &module, tests);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&entry).unwrap();
            let functions = source.lines().filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next());
            let of_macros = source.lines().filter_map(|line| line.trim().split_once(" \"")).map(|(name, _)| name);
            let is_word = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || c == '_');
            let words = functions.chain(of_macros).filter(is_word).filter(|word| has_test(&source, word));
            tests.extend(words.map(|word| format!("{module}{word}")));
        }
    }
}

#[test]
fn the_crate_has_the_dependencies_that_it_had_and_no_build_script() {
    let manifest = read("Cargo.toml");
    let names = |section: &str| -> Vec<String> {
        let section = manifest.split(&format!("\n[{section}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
        let always = section.lines().filter(|line| line.contains(" = ") && !line.contains("optional = true"));
        always.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    // One more is a decision: who reads its code, and its next versions?
    let known = ["arc-swap", "crc32c", "crc32fast", "memmap2", "parking_lot", "snap", "thiserror"];
    assert_eq!(names("dependencies"), known);
    assert_eq!(names("target.'cfg(unix)'.dependencies"), ["rustix"]);
    assert!(!path("build.rs").exists() && !manifest.contains("\nbuild = "));
    assert!(path("Cargo.lock").exists());
}

#[test]
fn what_is_looked_for_is_missed_where_it_is_not() {
    look_for("catalogue::every_battery_has_its_row_and_its_files_are_there").unwrap();
    for absent in
        ["catalogue::append_sources", "catalogue::nothing", "nowhere::nothing", "kill::child", "lib::error::no::no"]
    {
        assert!(look_for(absent).is_err(), "{absent}");
    }
}
