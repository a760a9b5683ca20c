//! `ottla perf`.

use std::fs;

use serde_json::Value;

use crate::run::{Said, free, live, on, ottla};

/// A measurement in a directory of its own, of which nothing is left.
fn measured(line: &str) -> Said {
    let temporary = tempfile::tempdir().unwrap();
    let of_environment = temporary.path().join("not-this-one");
    let said = ottla(line.split_whitespace())
        .dir(&of_environment)
        .with(|command| _ = command.env("TMPDIR", temporary.path()))
        .run();
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{line} leaves nothing");
    said
}

/// The text with its numbers taken out.
fn wording(text: &str) -> String {
    let mut words = String::new();
    for character in text.chars().map(|character| if character.is_ascii_digit() { '#' } else { character }) {
        if !(character == '#' && words.ends_with('#')) {
            words.push(character);
        }
    }
    words.replace("#.#", "#")
}

#[test]
fn results_are_worded_as_kafkas() {
    let said = measured("perf produce --num-records 2000 --durability os --output table --threads 3");
    let quantiles = "# ms #th, # ms #th, # ms #th, # ms #th.\n";
    let expected = format!("# records sent, # records/sec (# MB/sec), # ms avg latency, # ms max latency, {quantiles}");
    assert_eq!(wording(said.done()), expected);
    assert!(said.text().starts_with("2000 records sent, "), "{said:?}");
    let said = measured("perf consume --num-records 5000 --output table");
    assert_eq!(wording(said.done()), "# records received, # records/sec (# MB/sec).\n");
    assert!(said.text().starts_with("5000 records received, "), "{said:?}");
    let said = measured("perf e2e --num-records 50 --durability os --output table");
    assert_eq!(wording(said.done()), "Avg latency: # ms\nPercentiles: #th = #, #th = #, #th = #\n");
}

#[test]
fn results_are_numbers_in_json() {
    let of = |line: &str| measured(line).json_lines().remove(0);
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or_else(|| panic!("{name} of {value}"));
    let sent = of("perf produce --num-records 100 --record-size 50 --batch 7");
    assert_eq!(
        (&sent["records"], &sent["record_bytes"], &sent["durability"]),
        (&100.into(), &50.into(), &"always".into())
    );
    assert!(number(&sent, "records_per_second") > 0.0);
    let quantiles = ["p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "p999_latency_ms", "max_latency_ms"];
    assert!(quantiles.map(|name| number(&sent, name)).is_sorted(), "{sent}");
    let received = of("perf consume --num-records 100 --record-size 50");
    assert_eq!((&received["records"], &received["bytes"]), (&100.into(), &5000.into()));
    let passed = of("perf e2e --num-records 20 --durability interval:5");
    assert_eq!((&passed["records"], &passed["durability"]), (&20.into(), &"interval:5".into()));
    assert!(number(&passed, "p50_latency_ms") > 0.0);
}

#[test]
fn no_more_is_sent_than_is_asked_for() {
    let sent = measured("perf produce --num-records 200 --durability os --throughput 1000").json_lines().remove(0);
    // The last one has to wait for 199 milliseconds.
    assert!(sent["seconds"].as_f64().unwrap() >= 0.199, "{sent}");
}

#[test]
fn a_directory_that_is_named_is_used_and_left_as_it_was() {
    let dir = free(|broker| drop(broker.topic("t").unwrap()));
    let named = |line: &str| {
        let line = format!("{line} --dir {}", dir.path().display());
        ottla(line.split_whitespace()).run()
    };
    named("perf produce --num-records 10").done();
    assert_eq!(on(&dir, "topics list").json_lines().len(), 1, "its own topic is gone");
    named("perf produce --num-records 10 --topic t").done();
    assert_eq!(on(&dir, "topics list").json_lines()[0]["records"], 10);
    // There are no more.
    assert_eq!(named("perf consume --topic t").json_lines()[0]["records"], 10);
    assert_eq!(named("perf consume --topic tt").refused(), "there is no topic \"tt\"; did you mean \"t\"?");
    named("perf e2e --num-records 3 --topic t").done();
    assert_eq!(on(&dir, "topics list").json_lines()[0]["records"], 13);
}

#[test]
fn beside_another_process_it_reads_and_does_not_write() {
    let live = live(|broker| drop(broker.topic("t").unwrap()));
    let dir = live.path().display();
    live.refuses(&format!("perf produce --dir {dir}"));
    live.refuses(&format!("perf e2e --dir {dir}"));
    let consume = format!("perf consume --topic busy --num-records 10 --dir {dir}");
    assert_eq!(ottla(consume.split_whitespace()).run().json_lines()[0]["records"], 10);
}

#[test]
fn loads_that_make_no_sense_are_refused() {
    for line in [
        "perf produce --threads 0",
        "perf produce --durability never",
        "perf produce --batch 0",
        "perf produce --durability interval:0",
        "perf",
    ] {
        assert_eq!(ottla(line.split_whitespace()).run().status, 2, "{line}");
    }
    assert_eq!(
        measured("perf produce --num-records 0 --output table").done().split(',').next(),
        Some("0 records sent")
    );
}
