//! `ottla repair`: what is said beforehand is what is done.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::image;
use crate::run::{Said, free, live, looks_at, on};

/// A directory as a release left it, closed or killed while it was written.
fn golden(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    image::write_tree(dir.path(), &image::load(&image::golden_dir(name)));
    dir
}

/// What it says, but for whether it is done.
fn report(said: &Said) -> Value {
    let mut report: Value = serde_json::from_str(said.text()).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    report.as_object_mut().unwrap().remove("is_done").unwrap();
    report
}

/// Repairs a directory, of which it was said before what that will be; returns what it said.
#[track_caller]
fn repair(dir: &Path, options: &str) -> (i32, Value) {
    let predicted = looks_at(dir, &format!("repair {options}"));
    let done = on(dir, &format!("repair --execute --yes {options}"));
    assert_eq!(report(&predicted), report(&done));
    assert_eq!(predicted.status, done.status);
    assert!(done.status != 2 && !done.stderr.contains("panicked"), "{done:?}");
    (done.status, report(&done))
}

/// The files of a directory and those below, but for what is made anew at each opening.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let image = image::read_tree(dir);
    image.into_keys().filter(|path| path.parent() != Some(Path::new(""))).collect()
}

#[test]
fn there_is_nothing_to_repair_after_a_close() {
    let dir = free(|broker| _ = broker.topic("orders").unwrap().produce("k", "v").unwrap());
    let said = looks_at(dir.path(), "repair --output table");
    assert_eq!(
        said.done(),
        "the last writer closed the directory\nnothing to repair; `ottla verify --deep` reads every byte\n"
    );
    let (status, report) = repair(dir.path(), "");
    assert_eq!((status, &report["is_clean"], &report["lost"]), (0, &json!(true), &json!([])));
}

#[test]
fn what_a_killed_process_left_is_taken_over() {
    let dir = golden("v2/killed");
    let (status, first) = repair(dir.path(), "");
    assert_eq!((status, &first["was_clean_shutdown"]), (0, &json!(false)));
    let salvaged: u64 =
        first["partitions"].as_array().unwrap().iter().filter_map(|row| row["salvaged_records"].as_u64()).sum();
    assert!(salvaged > 0, "{first}");
    let (_, second) = repair(dir.path(), "");
    assert_eq!(second["is_clean"], true);
    on(dir.path(), "verify --deep").done();
}

#[test]
fn what_is_cut_is_kept_and_named() {
    let dir = golden("v2/killed");
    // A batch that a crash left half written, behind all that was synced.
    let log = dir.path().join("orders-0/00000000000000000020.log");
    let log = if log.exists() { log } else { last_log(&dir.path().join("orders-0")) };
    let mut bytes = fs::read(&log).unwrap();
    let whole = bytes.len();
    bytes.extend([7; 100]);
    fs::write(&log, &bytes).unwrap();
    let (status, report) = repair(dir.path(), "");
    let partitions = report["partitions"].as_array().unwrap();
    let row = partitions.iter().find(|row| row["partition"] == "orders-0").unwrap();
    assert_eq!((status, &row["cut_bytes"], &row["quarantined"][0]["bytes"]), (0, &json!(100), &json!(100)));
    let kept = row["quarantined"][0]["path"].as_str().unwrap();
    assert!(kept.ends_with(&format!(".log.{whole}.quarantine")), "{kept}");
    assert_eq!(fs::read(kept).unwrap(), [7; 100]);
    assert_eq!(crate::run::ottla(["dump", kept]).run().status, 1, "it can be looked at");
}

fn last_log(dir: &Path) -> PathBuf {
    let mut logs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort_unstable();
    logs.pop().unwrap()
}

/// Each file of both directories is damaged in some ways; the library's battery of damages (`tests/damage`) has many more.
#[test]
fn of_damaged_directories_it_is_predicted_what_is_done() {
    for name in ["v2/clean", "v2/killed"] {
        let paths = logs(golden(name).path());
        for (number, path) in paths.iter().step_by(2).enumerate() {
            let dir = golden(name);
            let file = dir.path().join(path);
            let mut bytes = fs::read(&file).unwrap();
            match number % 4 {
                _ if bytes.is_empty() => fs::remove_file(&file).unwrap(),
                0 => fs::remove_file(&file).unwrap(),
                1 => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
                2 => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x10;
                    fs::write(&file, &bytes).unwrap();
                }
                _ => fs::write(&file, vec![0; bytes.len()]).unwrap(),
            }
            let options = if number.is_multiple_of(2) { "" } else { "--skip-corrupt" };
            let (status, report) = repair(dir.path(), options);
            let lost = report["lost"].as_array().unwrap().len() + report["skipped"].as_array().unwrap().len();
            assert_eq!(status, i32::from(lost > 0), "{}: {report}", path.display());
        }
    }
}

#[test]
fn it_is_refused_where_another_process_writes_and_without_a_word_of_consent() {
    let live = live(|_| {});
    live.refuses("repair");
    live.refuses("repair --execute --yes");
    let dir = golden("v2/killed");
    assert!(looks_at(dir.path(), "repair --execute").refused().contains("--yes"));
    let nothing = tempfile::tempdir().unwrap();
    assert!(on(nothing.path(), "repair").refused().contains("no log is kept there"));
}
