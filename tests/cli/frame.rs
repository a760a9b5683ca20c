//! What every command has in common: where it works, what it says if it cannot, and how it ends.

use std::fs::{self, File};
use std::io;

use ottla::TopicConfig;

use crate::run::{free, live, on, ottla};

#[test]
fn without_a_directory_it_says_how_to_give_one() {
    let said = ottla(["topics", "list"]).run();
    assert_eq!(said.refused(), "no data directory: give it with --dir PATH, or in OTTLA_DIR");
}

#[test]
fn a_directory_can_be_an_argument_before_or_after_the_command() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    let path = dir.path().to_str().unwrap();
    for arguments in [["--dir", path, "topics", "list"], ["topics", "list", "--dir", path]] {
        let said = ottla(arguments).dir("/nowhere").run();
        assert_eq!(said.json_lines()[0]["name"], "orders");
    }
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    on(&absent, "topics list").refused();
    assert!(!absent.exists());
    fs::write(dir.path().join("letter.txt"), "not yours").unwrap();
    on(dir.path(), "topics list").refused();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // A path that leads through a file, of which nobody has permission to make a directory.
    on(dir.path().join("letter.txt/data"), "topics list").refused();
}

#[test]
fn output_is_lines_of_json_in_a_pipe_and_what_was_asked_for_else() {
    let dir = free(|broker| drop(broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap()));
    assert_eq!(on(&dir, "topics list").json_lines().len(), 1);
    assert_eq!(on(&dir, "topics list --output jsonl").json_lines().len(), 1);
    let said = on(&dir, "topics list --output json");
    assert!(serde_json::from_str::<serde_json::Value>(said.done()).unwrap().is_array());
    let said = on(&dir, "topics list --output table");
    assert!(said.done().starts_with("TOPIC"), "{said:?}");
}

#[test]
fn a_wrong_call_is_one_line_and_help_is_no_failure() {
    for line in ["topcs list", "topics", "topics list --output xml", "--nope"] {
        let arguments = line.split(' ');
        let said = ottla(arguments).run();
        assert_eq!((said.status, said.stdout.len()), (2, 0), "{line}: {said:?}");
        assert!(!said.stderr.contains("panicked"), "{said:?}");
    }
    assert!(ottla(["--help"]).run().done().contains("Usage: ottla"));
    assert!(ottla(["--version"]).run().done().starts_with("ottla "));
    assert!(ottla(["topics", "--help"]).run().done().contains("list"));
}

#[test]
fn a_full_disk_below_stdout_is_a_failure() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let said = ottla(["topics", "list"]).dir(&dir).run_into(full);
    assert!(said.failed().starts_with("cannot write to stdout: "), "{said:?}");
}

#[test]
fn a_closed_pipe_is_no_failure_and_no_word() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    for arguments in [&["topics", "list"][..], &["completions", "bash"], &["man"], &["--help"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let said = ottla(arguments.iter().copied()).dir(&dir).run_into(writer);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_directory_that_another_process_writes_to_can_be_looked_at_and_ends_clean() {
    let live = live(|broker| drop(broker.topic("orders").unwrap()));
    let names: Vec<_> = on(live.path(), "topics list").json_lines();
    assert_eq!(names.len(), 3);
    let dir = live.end();
    assert_eq!(on(&dir, "topics list").json_lines().len(), 3);
}

#[test]
fn completions_and_the_manual_page_need_no_directory() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = ottla(["completions", shell]).run();
        assert!(said.done().contains("topics"), "{shell}");
    }
    assert!(ottla(["man"]).run().done().starts_with(".ie"));
}
