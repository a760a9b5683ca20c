//! What every command has in common: where it works, what it says if it cannot, and how it ends.

use std::fs;
use std::io;

use ottla::{Broker, ProducerRecord, TopicConfig};

use crate::run::{fingerprint, free, live, looks_at, on, ottla};

/// Commands that only look, on a directory as `used` fills it.
const LOOKING: [&str; 9] = [
    "topics list",
    "topics describe",
    "groups list",
    "groups describe",
    "groups reset billing --all-topics --to-earliest",
    "offsets",
    "du",
    "transactions list",
    "transactions describe payments",
];

/// Commands that change something there.
const CHANGING: [&str; 6] = [
    "topics create payments",
    "topics alter orders -p 5",
    "topics delete orders --yes",
    "groups reset billing --all-topics --to-earliest --execute",
    "groups delete billing --yes",
    "transactions abort payments --yes",
];

/// A topic, a group and a transactional id.
fn used(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    broker.admin().reset_offsets("billing").topic("orders").execute().unwrap();
    let mut producer = broker.transactional_producer("payments").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("orders").value("v")).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn without_a_directory_it_says_how_to_give_one() {
    for line in LOOKING.into_iter().chain(CHANGING) {
        let said = ottla(line.split(' ')).run();
        assert_eq!(said.refused(), "no data directory: give it with --dir PATH, or in OTTLA_DIR", "{line}");
    }
}

#[test]
fn a_directory_can_be_an_argument_before_or_after_the_command() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    let path = dir.path().to_str().unwrap();
    for arguments in [["--dir", path, "topics", "list"], ["topics", "list", "--dir", path]] {
        let said = ottla(arguments).dir("/nowhere").run();
        assert_eq!(said.json_lines()[0]["name"], "orders");
    }
    // It is looked for from where the program runs; nothing is read from stdin.
    let said = ottla(["topics", "list"]).dir(".").with(|command| _ = command.current_dir(&dir)).stdin("topics").run();
    assert_eq!(said.json_lines()[0]["name"], "orders");
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    fs::write(dir.path().join("letter.txt"), "not yours").unwrap();
    // One that leads through a file, where nobody has permission to make a directory, whoever it is.
    let through_a_file = dir.path().join("letter.txt/data");
    // Only creating a topic makes a directory.
    for line in LOOKING.into_iter().chain(CHANGING).filter(|line| !line.starts_with("topics create")) {
        on(&absent, line).refused();
        on(dir.path(), line).refused();
        on(&through_a_file, line).refused();
    }
    on(dir.path(), "topics create orders").refused();
    on(&through_a_file, "topics create orders").refused();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = free(used);
    let tail = dir.path().join("tail");
    let mut bytes = fs::read(&tail).unwrap();
    // Its magic, its version, and a checksum of both.
    assert_eq!(bytes[..8], *b"OTTLTAIL");
    let newer = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) + 1;
    bytes[8..12].copy_from_slice(&newer.to_be_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_be_bytes());
    fs::write(&tail, bytes).unwrap();
    let files = |mut files: std::collections::BTreeMap<_, _>| {
        // Who has the lock is written there before anything is read.
        files.remove(&dir.path().join("ottla.lock"));
        files
    };
    let before = files(fingerprint(dir.path()));
    for line in LOOKING.into_iter().chain(CHANGING) {
        let said = on(&dir, line);
        assert!(said.refused().contains(&format!("has format version {newer}")), "{line}: {said:?}");
    }
    assert_eq!(files(fingerprint(dir.path())), before);
}

#[test]
fn output_is_lines_of_json_in_a_pipe_and_what_was_asked_for_else() {
    let dir = free(used);
    for line in LOOKING {
        let lines = looks_at(dir.path(), line).json_lines();
        assert_eq!(on(&dir, &format!("{line} --output jsonl")).json_lines(), lines, "{line}");
        let json = on(&dir, &format!("{line} --output json"));
        let json: serde_json::Value = serde_json::from_str(json.done()).unwrap();
        assert_eq!(json.as_array().cloned().unwrap_or_else(|| vec![json]), lines, "{line}");
        let table = on(&dir, &format!("{line} --output table"));
        assert!(table.status == 0 && table.text().contains("  "), "{line}: {table:?}");
        // No column is filled up where the line ends.
        assert!(!table.text().contains(" \n") && !table.text().contains('\u{1b}'), "{line}: {table:?}");
    }
}

#[test]
fn a_wrong_call_is_one_line_and_help_is_no_failure() {
    for line in ["topcs list", "topics list --output xml", "--nope", "topics delete", "groups reset"] {
        let said = ottla(line.split(' ')).dir("/nowhere").run();
        assert!(!said.refused().is_empty(), "{line}");
    }
    // Where nothing is asked for, the help says what can be.
    for arguments in [&[][..], &["topics"], &["groups"]] {
        let said = ottla(arguments.iter().copied()).run();
        assert_eq!((said.status, said.stdout.len()), (2, 0), "{said:?}");
        assert!(said.stderr.contains("Usage") && said.stderr.ends_with("ottla: say what to do\n"), "{said:?}");
    }
    assert!(ottla(["--help"]).run().done().contains("Usage: ottla"));
    assert!(ottla(["--version"]).run().done().starts_with("ottla "));
    assert!(ottla(["help", "groups", "reset"]).run().done().contains("--to-datetime"));
}

#[test]
fn a_full_disk_below_stdout_is_a_failure() {
    let dir = free(used);
    for line in LOOKING.into_iter().chain(["completions zsh", "man", "--help"]) {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = ottla(line.split(' ')).dir(&dir).run_into(full);
        assert!(said.failed().starts_with("cannot write to stdout: "), "{line}: {said:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure_and_no_word() {
    let dir = free(used);
    for line in LOOKING.into_iter().chain(["completions zsh", "man", "--help"]) {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let said = ottla(line.split(' ')).dir(&dir).run_into(writer);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{line}");
    }
}

#[test]
fn a_directory_that_another_process_writes_to_can_be_looked_at_and_ends_clean() {
    let live = live(used);
    for line in LOOKING {
        assert!(!on(live.path(), line).json_lines().is_empty(), "{line}");
    }
    for line in CHANGING.into_iter().filter(|line| !line.starts_with("transactions abort")) {
        live.refuses(line);
    }
    let dir = live.end();
    for line in LOOKING {
        assert!(!looks_at(dir.path(), line).json_lines().is_empty(), "{line}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = ottla(["completions", shell]).run();
        assert!(["transactions", "to-datetime"].iter().all(|word| said.done().contains(word)), "{shell}");
    }
    ottla(["completions", "cmd"]).run().refused();
}

#[test]
fn every_command_has_a_manual_page() {
    let page = |line: &str| ottla(line.split(' ')).run().done().to_owned();
    let pages = [
        ("man", "ottla"),
        ("man topics", "ottla-topics"),
        ("man topics create", "ottla-topics-create"),
        ("man groups reset", "ottla-groups-reset"),
        ("man offsets", "ottla-offsets"),
    ];
    for (line, name) in pages {
        assert!(page(line).contains(&format!(".TH {name} 1 ")), "{line}: {}", page(line));
    }
    assert!(page("man groups reset").contains("\\-\\-to\\-datetime"));
    let said = ottla(["man", "topics", "craete"]).run();
    assert_eq!(said.refused(), r#"ottla topics has no command "craete"; did you mean "create"?"#);
    assert_eq!(ottla(["man", "nothing"]).run().refused(), r#"ottla has no command "nothing""#);
}

#[test]
fn help_has_all_that_a_command_says_of_itself() {
    let says = [
        ("repair", "What is lost stays lost"),
        ("verify", "Exit status 1 if something is lost"),
        ("dump", "whole or damaged, written here or by Kafka"),
        ("produce", "survives a power cut"),
        ("topics create", "min.cleanable.dirty.ratio"),
    ];
    for (command, words) in says {
        let said = ottla(["help"].into_iter().chain(command.split(' '))).run();
        // However the lines are broken.
        let help: Vec<&str> = said.done().split_whitespace().collect();
        assert!(help.join(" ").contains(words), "{command}: {said:?}");
    }
}

#[test]
fn a_way_out_is_one_that_the_command_has() {
    let dir = free(used);
    for (line, way) in [
        ("topics create orders", "`ottla topics alter`"),
        ("topics create more -c nothing.like.it=1", "`ottla topics create --help`"),
        ("consume orders -p 99", "numbered from 0"),
        ("topics lst", "'lst'; a similar subcommand"),
        ("repair --execute", "--yes"),
    ] {
        let said = on(&dir, line);
        assert!(said.refused().contains(way) && !said.stderr.contains("::"), "{line}: {said:?}");
    }
    let said = ottla(["topics", "list"]).dir("/nowhere/at/all").run();
    assert!(said.refused().contains("`ottla topics create`"), "{said:?}");
}
