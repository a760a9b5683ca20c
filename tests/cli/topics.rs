//! `ottla topics`.

use std::time::Duration;

use ottla::{Broker, TopicConfig};

use crate::run::{Said, fingerprint, free, live, looks_at, on, send};

/// Two topics: `orders` with three partitions and four records in the first, and `prices`, which is compacted.
fn two_topics(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    send(broker, "orders", 0, 1_000, &["one", "two", "three", "four"]);
    let config = TopicConfig::new().set("cleanup.policy", "compact").unwrap();
    broker.create_topic("prices", config.retention_ms(Duration::from_secs(60))).unwrap();
}

fn names(said: &Said) -> Vec<String> {
    said.json_lines().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_list_is_in_the_order_of_names() {
    let live = live(|broker| {
        for name in ["zebra", "ant"] {
            broker.topic(name).unwrap();
        }
    });
    let all = ["ant", "busy", "busy-ledger", "zebra"];
    assert_eq!(names(&on(live.path(), "topics list")), all);
    let dir = live.end();
    assert_eq!(names(&looks_at(dir.path(), "topics list")), all);
}

#[test]
fn the_list_counts_partitions_and_records() {
    let dir = free(two_topics);
    let rows = looks_at(dir.path(), "topics list").json_lines();
    assert_eq!((&rows[0]["partitions"], &rows[0]["records"]), (&3.into(), &4.into()));
    assert!(rows[0]["bytes"].as_u64().unwrap() > 0);
    let table = looks_at(dir.path(), "topics list --output table");
    let lines: Vec<Vec<&str>> = table.done().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TOPIC", "PARTITIONS", "RECORDS", "SIZE"]);
    assert_eq!(lines[1][..3], ["orders", "3", "4"]);
}

#[test]
fn describing_shows_what_differs_from_the_defaults_or_all() {
    let dir = free(two_topics);
    let described = looks_at(dir.path(), "topics describe").json_lines();
    assert_eq!(described.len(), 2);
    let (orders, prices) = (&described[0], &described[1]);
    assert_eq!(orders["config"], serde_json::json!({}));
    assert_eq!(prices["config"], serde_json::json!({ "cleanup.policy": "compact", "retention.ms": "60000" }));
    assert_eq!(prices["without_effect"], serde_json::json!(["retention.ms"]));
    assert_eq!(orders["topic_id"].as_str().unwrap().len(), 32);
    let first = &orders["partitions"][0];
    for (field, offset) in [("partition", 0), ("start", 0), ("stable", 4), ("end", 4), ("durable", 4), ("segments", 1)]
    {
        assert_eq!(first[field], offset, "{field}: {first}");
    }
    let all = looks_at(dir.path(), "topics describe orders --all").json_lines();
    let config = all[0]["config"].as_object().unwrap();
    // The number of partitions is told by the partitions.
    assert_eq!(config.len(), TopicConfig::KEYS.len() - 1);
    assert!(config["retention.ms"].is_null() && config["segment.bytes"] == "1073741824", "{config:?}");
    let table = looks_at(dir.path(), "topics describe prices --output table");
    assert!(table.done().contains("retention.ms    60000 (without effect)"), "{}", table.done());
}

#[test]
fn a_topic_that_is_not_there_is_told_with_the_nearest_name() {
    let dir = free(two_topics);
    for line in [
        "topics describe ordres",
        "topics alter ordres -p 4",
        "topics delete ordres --yes",
        "offsets ordres",
        "du ordres",
    ] {
        assert_eq!(on(&dir, line).refused(), r#"there is no topic "ordres"; did you mean "orders"?"#, "{line}");
    }
    let said = on(&dir, "topics describe zebra");
    assert_eq!(said.refused(), r#"there is no topic "zebra"; `ottla topics list` names those that there are"#);
}

#[test]
fn a_topic_is_created_and_so_is_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let said = on(&data, "topics create orders -p 3 -c retention.ms=86400000 --config compression.type=lz4");
    assert_eq!(names(&said), ["orders"]);
    let broker = Broker::open(&data).unwrap();
    let config = broker.existing_topic("orders").unwrap().config();
    assert_eq!((config.get_partitions(), config.get_retention_ms()), (3, Some(Duration::from_secs(86_400))));
    assert_eq!(config.get_compression(), ottla::Compression::Lz4);
}

#[test]
fn what_cannot_be_created_is_one_line_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (line, reason) in [
        ("topics create orders -c retentoin.ms=1", r#"did you mean "retention.ms"?"#),
        ("topics create orders -c retention.ms=soon", "expected a whole number of milliseconds"),
        ("topics create orders -c retention.ms", "expected a key and a value"),
        ("topics create orders -p none", "invalid value"),
    ] {
        let said = on(&data, line);
        assert!(said.refused().contains(reason), "{line}: {said:?}");
        assert!(!data.exists(), "{line}");
    }
    on(&data, "topics create orders").done();
    let dirs = || fingerprint(&data).into_keys().filter(|path| path.is_dir()).collect::<Vec<_>>();
    let before = dirs();
    for (line, reason) in [
        ("topics create orders", "exists already"),
        ("topics create __mine", "are reserved"),
        ("topics create or/ders", "must consist of letters"),
        ("topics create other -p 0", "num.partitions=0"),
        ("topics create other -c segment.bytes=1", "segment.bytes=1"),
    ] {
        let said = on(&data, line);
        assert!(said.refused().contains(reason), "{line}: {said:?}");
    }
    assert_eq!(dirs(), before);
    assert_eq!(names(&on(&data, "topics list")), ["orders"]);
}

#[test]
fn altering_tells_each_setting_before_and_after() {
    let dir = free(two_topics);
    let changes = on(&dir, "topics alter prices -p 2 -c segment.bytes=65536 --reset retention.ms").json_lines();
    let change = |key: &str, before: Option<&str>, after: Option<&str>| serde_json::json!({ "topic": "prices", "key": key, "before": before, "after": after });
    assert_eq!(
        changes,
        [
            change("num.partitions", Some("1"), Some("2")),
            change("segment.bytes", Some("1073741824"), Some("65536")),
            change("retention.ms", Some("60000"), None),
        ]
    );
    let described = looks_at(dir.path(), "topics describe prices").json_lines();
    assert_eq!(described[0]["config"], serde_json::json!({ "cleanup.policy": "compact", "segment.bytes": "65536" }));
    assert_eq!(described[0]["partitions"].as_array().unwrap().len(), 2);
    // What is so already is no change.
    assert!(on(&dir, "topics alter prices -p 2 -c segment.bytes=65536").json_lines().is_empty());
}

#[test]
fn what_cannot_be_altered_is_one_line_and_changes_nothing() {
    let dir = free(two_topics);
    for (line, reason) in [
        ("topics alter orders -p 2 -c segment.bytes=65536", "orders has 3 partitions, and none can be taken away"),
        ("topics alter orders", "required"),
        ("topics alter orders -c segment.byte=1", r#"did you mean "segment.bytes"?"#),
        ("topics alter orders --reset segment.byte", r#"did you mean "segment.bytes"?"#),
        ("topics alter orders -c num.partitions=7", "is changed with -p"),
        ("topics alter orders -p 4 -c segment.bytes=1", "segment.bytes=1"),
    ] {
        let said = on(&dir, line);
        assert!(said.refused().contains(reason), "{line}: {said:?}");
    }
    let described = looks_at(dir.path(), "topics describe orders").json_lines();
    assert_eq!(
        (&described[0]["config"], described[0]["partitions"].as_array().unwrap().len()),
        (&serde_json::json!({}), 3)
    );
}

#[test]
fn topics_are_deleted_if_all_are_there_and_it_is_said_twice() {
    let dir = free(two_topics);
    let said = looks_at(dir.path(), "topics delete orders prices");
    assert!(
        said.refused().starts_with("nothing was deleted; --yes deletes orders (3 partitions, 4 records, "),
        "{said:?}"
    );
    on(&dir, "topics delete orders zebra --yes").refused();
    assert_eq!(names(&on(&dir, "topics list")), ["orders", "prices"]);
    assert_eq!(names(&on(&dir, "topics delete prices orders orders --yes")), ["orders", "prices"]);
    assert!(on(&dir, "topics list").json_lines().is_empty());
}

#[test]
fn what_only_looks_works_beside_a_writer_and_what_changes_is_refused() {
    let live = live(two_topics);
    let described = on(live.path(), "topics describe orders busy").json_lines();
    assert_eq!(described[0]["partitions"][0]["end"], 4);
    let end = |topic: &serde_json::Value| -> u64 {
        topic["partitions"].as_array().unwrap().iter().map(|partition| partition["end"].as_u64().unwrap()).sum()
    };
    assert!(end(&described[1]) >= 10, "{described:?}");
    // What would go can be asked, too.
    assert!(on(live.path(), "topics delete orders").refused().starts_with("nothing was deleted; --yes deletes orders"));
    for line in ["topics create more", "topics alter orders -p 4", "topics delete orders --yes"] {
        live.refuses(line);
    }
    let dir = live.end();
    assert_eq!(names(&looks_at(dir.path(), "topics list")), ["busy", "busy-ledger", "orders", "prices"]);
}
