//! Holds the source to the drawing in `src/guide/contributing.md`: a folder uses only what stands below it, and no three files
//! need each other.
//!
//! What a file uses is what its `use` lines and paths name. A name that a module only passes on counts for the file that has it,
//! so a `mod.rs` that is the front of a folder is no part of what goes through it. Tests may use what they like.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where a file stands: `["partition", "log"]` for `src/partition/log.rs`, nothing for `src/lib.rs`.
type Module = Vec<String>;

/// What is read of one file.
struct Source {
    path: String,
    /// Paths that it names, but for those that it passes on.
    names: Vec<String>,
    /// What it passes on, by the name under which it does.
    passed_on: BTreeMap<String, String>,
}

type Sources = BTreeMap<Module, Source>;

fn sources() -> Sources {
    let (mut sources, mut dirs) = (Sources::new(), vec![root().join("src")]);
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                // The command is a crate of its own: the compiler holds it to what is public here.
                dirs.extend(Some(path).filter(|_| name != "bin"));
            } else if let Some(module) = name.strip_suffix(".rs").filter(|_| !is_test(&name)) {
                sources.insert(module_of(module), read(&path, &name));
            }
        }
    }
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of tests and of models of what they stand beside.
fn is_test(name: &str) -> bool {
    name.split('/').any(|part| part == "tests") || name.ends_with("/tests.rs") || name.ends_with("/models.rs")
}

fn module_of(name: &str) -> Module {
    let parts = name.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
    parts.map(str::to_owned).collect()
}

fn read(path: &Path, name: &str) -> Source {
    let text = fs::read_to_string(path).unwrap();
    // Unit tests stand at the end.
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = without_visibility(&code.join("\n"));
    let (mut names, mut passed_on) = (Vec::new(), BTreeMap::new());
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let start = statement.rfind("use ").filter(|at| is_use(statement, *at));
        let Some(start) = start else {
            rest.push_str(statement);
            continue;
        };
        rest.push_str(&statement[..start]);
        let before = statement[..start].lines().last().unwrap_or_default().trim();
        for name in expand(statement[start + "use ".len()..].trim_end_matches(';')) {
            if before.starts_with("pub") {
                passed_on.insert(name.rsplit("::").next().unwrap().to_owned(), name);
            } else {
                names.push(name);
            }
        }
    }
    names.extend(paths_in(&rest));
    Source { path: name.to_owned(), names, passed_on }
}

/// `pub(in crate::a)` as `pub`: who may use something is not used by it.
fn without_visibility(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |code, part| code + "pub" + part.split_once(')').unwrap().1)
}

/// Whether a `use` at this byte is the keyword: nothing but `pub` and whom it is for comes before it on its line.
fn is_use(statement: &str, at: usize) -> bool {
    let before = statement[..at].lines().last().unwrap_or_default().trim();
    before.is_empty() && statement[..at].ends_with(char::is_whitespace)
        || at == 0
        || before == "pub"
        || before.starts_with("pub(") && before.ends_with(')')
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().replace(char::is_whitespace, "")];
    };
    let inner = &inner[..inner.rfind('}').unwrap()];
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part).into_iter().map(|name| format!("{}{name}", before.trim()))).collect()
}

/// What looks like a path to something of the crate.
fn paths_in(code: &str) -> Vec<String> {
    let is_in_path = |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
    let words = code.split(|character| !is_in_path(character)).filter(|word| word.contains("::"));
    words.map(|word| word.trim_matches(':').to_owned()).collect()
}

/// The file that has what `name` stands for in `module`, if it is one of the crate's.
fn file_of(sources: &Sources, module: &Module, name: &str) -> Option<Module> {
    let mut parts: Vec<&str> = name.split("::").collect();
    let mut at = match parts[0] {
        "crate" => Module::new(),
        "super" | "self" => module.clone(),
        first if sources.contains_key(&child(module, first)) => module.clone(),
        _ => return None,
    };
    while let Some(word) = parts.first().filter(|word| matches!(**word, "crate" | "self" | "super")) {
        if *word == "super" {
            at.pop();
        }
        parts.remove(0);
    }
    while parts.first().is_some_and(|part| sources.contains_key(&child(&at, part))) {
        at.push(parts.remove(0).to_owned());
    }
    let passed_on = parts.first().and_then(|part| sources.get(&at)?.passed_on.get(*part));
    match passed_on {
        Some(other) if other != name => file_of(sources, &at, &[&[other.as_str()], &parts[1..]].concat().join("::")),
        _ => sources.contains_key(&at).then_some(at),
    }
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Which files each file uses; `lib.rs` only names the rest.
fn arrows(sources: &Sources) -> BTreeMap<Module, BTreeSet<Module>> {
    let used = |(module, source): (&Module, &Source)| {
        let files = source.names.iter().filter_map(|name| file_of(sources, module, name));
        (module.clone(), files.filter(|file| file != module && !file.is_empty()).collect())
    };
    sources.iter().filter(|(module, _)| !module.is_empty()).map(used).collect()
}

/// What can be reached from a file.
fn reach(arrows: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let (mut reached, mut to_do) = (BTreeSet::new(), vec![from]);
    while let Some(next) = to_do.pop() {
        to_do.extend(arrows.get(next).into_iter().flatten().filter(|file| reached.insert((*file).clone())));
    }
    reached
}

/// What the API makes a circle: a consumer has a configuration, that has a listener, and a listener is given the consumer.
const BY_DESIGN: [&str; 3] = ["consumer/mod.rs", "consumer/config.rs", "consumer/listener.rs"];

#[test]
fn no_three_files_need_each_other() {
    let sources = sources();
    let arrows = arrows(&sources);
    let reached: BTreeMap<_, _> = arrows.keys().map(|file| (file, reach(&arrows, file))).collect();
    let circles: BTreeSet<Vec<&str>> = arrows
        .keys()
        .map(|file| {
            let others = arrows.keys().filter(|other| reached[file].contains(*other) && reached[other].contains(file));
            others.map(|other| sources[other].path.as_str()).collect::<Vec<_>>()
        })
        .filter(|circle| circle.len() > 2 && *circle != BY_DESIGN)
        .collect();
    assert!(circles.is_empty(), "circles of files: {circles:#?}");
}

/// The folders of the drawing, from the top down; those on one line do not know each other.
fn layers() -> Vec<Vec<String>> {
    let guide = fs::read_to_string(root().join("src/guide/contributing.md")).unwrap();
    let drawing = guide.split("```text layers\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folders = |line: &str| line.split("  ").next().unwrap().split_whitespace().map(str::to_owned).collect();
    drawing.lines().map(folders).collect()
}

#[test]
fn a_folder_uses_only_what_stands_below_it() {
    let sources = sources();
    let layers = layers();
    let floor = |folder: &String| layers.iter().position(|layer| layer.contains(folder));
    let mut wrong = BTreeSet::new();
    for (file, used) in arrows(&sources) {
        for other in used {
            if file[0] == other[0] {
                continue;
            }
            match (floor(&file[0]), floor(&other[0])) {
                (Some(above), Some(below)) if above < below => {}
                _ => _ = wrong.insert(format!("{} uses {}", sources[&file].path, sources[&other].path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let folders: BTreeSet<_> = sources.keys().filter_map(|module| module.first()).collect();
    let drawn: BTreeSet<_> = layers.iter().flatten().collect();
    assert_eq!(folders, drawn, "what is drawn is what is there");
}
