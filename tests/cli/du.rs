//! `ottla du`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ottla::{Broker, TopicConfig};
use serde_json::Value;

use crate::run::{Said, free, live, looks_at, on, send, start};

fn topics(broker: &Broker) {
    let config = TopicConfig::new().partitions(2).segment_bytes(4096);
    broker.create_topic("large", config).unwrap();
    let value = "v".repeat(1000);
    for number in 0..50 {
        send(broker, "large", number % 2, 0, &[&value]);
    }
    broker.topic("small").unwrap();
    broker.admin().reset_offsets("billing").topic("large").execute().unwrap();
}

fn bytes(row: &Value) -> u64 {
    row["bytes"].as_u64().unwrap()
}

/// Of all rows but the last, which is the total of them.
fn total(said: &Said) -> u64 {
    let rows = said.json_lines();
    let (last, others) = rows.split_last().unwrap();
    assert_eq!(last["kind"], "total");
    assert_eq!(bytes(last), others.iter().map(bytes).sum::<u64>());
    bytes(last)
}

/// What the system says that a directory takes.
fn system_du(dir: &Path) -> u64 {
    let mut command = Command::new("du");
    let command = command.args(["-s", "--block-size=1"]).arg(dir).stdout(Stdio::piped());
    let output = start(command).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_total_is_what_the_system_says() {
    let dir = free(topics);
    let partition = dir.path().join("large-0");
    fs::write(partition.join("00000000000000000000.log.8192.quarantine"), vec![1; 10_000]).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("lost+found/letter"), vec![1; 5000]).unwrap();
    // A second name takes nothing.
    fs::hard_link(dir.path().join("lost+found/letter"), dir.path().join("lost+found/copy")).unwrap();
    let said = looks_at(dir.path(), "du");
    assert_eq!(total(&said), system_du(dir.path()));
    assert_eq!(total(&looks_at(dir.path(), "du --partitions")), system_du(dir.path()));
    let rows = said.json_lines();
    let found: Vec<(&str, Option<&str>)> =
        rows.iter().map(|row| (row["kind"].as_str().unwrap(), row["topic"].as_str())).collect();
    assert_eq!(
        found,
        [
            ("topic", Some("large")),
            ("topic", Some("small")),
            ("internal", Some("__consumer_offsets")),
            ("tails", None),
            ("quarantine", None),
            ("directories", None),
            ("other", None),
            ("total", None),
        ]
    );
}

#[test]
fn topics_and_partitions_can_be_asked_for() {
    let dir = free(topics);
    let rows = looks_at(dir.path(), "du large --partitions").json_lines();
    let found: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["kind"], &row["partition"])).collect();
    assert_eq!(found.len(), 4, "{rows:?}");
    assert!(found[..2].iter().all(|(kind, partition)| *kind == "topic" && partition.is_u64()), "{rows:?}");
    let (whole, parts) = (looks_at(dir.path(), "du large"), looks_at(dir.path(), "du large --partitions"));
    assert_eq!(total(&whole), total(&parts));
    assert!(total(&whole) < total(&looks_at(dir.path(), "du")));
}

#[test]
fn it_works_beside_a_writer() {
    let live = live(topics);
    let said = on(live.path(), "du");
    total(&said);
    let topics = |said: &Said| {
        let rows = said.json_lines().into_iter().filter(|row| row["kind"] == "topic" && 0 < bytes(row));
        rows.map(|row| row["topic"].as_str().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(topics(&said).into_iter().collect::<Vec<_>>(), ["busy", "busy-ledger", "large", "small"]);
    let dir = live.end();
    assert_eq!(total(&looks_at(dir.path(), "du")), system_du(dir.path()));
}
