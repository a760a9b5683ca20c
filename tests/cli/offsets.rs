//! `ottla offsets`.

use ottla::{Broker, ProducerRecord, TopicConfig, TopicPartition};
use serde_json::json;

use crate::run::{free, live, looks_at, on, send};

/// `orders` with records 2 to 4 in its first partition, a second apart, and an empty second one; an open transaction in `ledger` from 1 on.
fn logs(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    send(broker, "orders", 0, 1_714_959_488_000, &["a", "b", "c", "d", "e"]);
    broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 2)]).unwrap();
    broker.topic("ledger").unwrap().produce("k", "plain").unwrap();
}

#[test]
fn offsets_are_those_of_each_partition() {
    let dir = free(logs);
    let row = |topic: &str, partition: u32, (earliest, latest): (u64, u64)| json!({ "topic": topic, "partition": partition, "earliest": earliest, "stable": latest, "latest": latest });
    let all = [row("ledger", 0, (0, 1)), row("orders", 0, (2, 5)), row("orders", 1, (0, 0))];
    assert_eq!(looks_at(dir.path(), "offsets").json_lines(), all);
    assert_eq!(looks_at(dir.path(), "offsets orders").json_lines(), all[1..]);
    assert_eq!(looks_at(dir.path(), "offsets orders:1 ledger orders:1").json_lines(), [all[0].clone(), all[2].clone()]);
    assert_eq!(on(&dir, "offsets orders:2").refused(), "there is no partition orders-2: orders has 2, numbered from 0");
}

#[test]
fn the_offset_for_a_time_is_that_of_the_first_record_then_or_the_end() {
    let dir = free(logs);
    for (time, offset) in [
        ("2024-05-06T01:38:11Z", 3),
        ("2024-05-06T07:08:11.5+05:30", 4),
        ("1970-01-01T00:00:00Z", 2),
        ("2024-05-06T01:38:13Z", 5),
        ("-1m", 5),
    ] {
        let rows = looks_at(dir.path(), &format!("offsets orders --time {time}")).json_lines();
        assert_eq!((&rows[0]["at_time"], &rows[1]["at_time"]), (&json!(offset), &json!(0)), "{time}");
    }
    for time in ["2024-05-06T01:38:11", "noon", "15m"] {
        let said = on(&dir, &format!("offsets orders --time {time}"));
        assert!(said.refused().contains("expected a time with its zone"), "{said:?}");
    }
}

#[test]
fn a_transaction_that_is_open_holds_the_stable_offset_back() {
    let live = live(logs);
    let rows = on(live.path(), "offsets busy-ledger orders").json_lines();
    assert_eq!((&rows[0]["stable"], &rows[0]["latest"]), (&json!(0), &json!(1)));
    assert_eq!((&rows[1]["earliest"], &rows[1]["latest"]), (&json!(2), &json!(5)));
    // It was aborted: of two offsets one is its marker's.
    let rows = looks_at(live.end().path(), "offsets busy-ledger").json_lines();
    assert_eq!((&rows[0]["stable"], &rows[0]["latest"]), (&json!(2), &json!(2)));
}

#[test]
fn a_partition_that_cannot_be_read_is_a_failure_beside_the_others() {
    let dir = free(|broker| {
        logs(broker);
        let producer = broker.producer();
        producer.send(ProducerRecord::to("orders").partition(1).value("v")).unwrap();
    });
    let partition = dir.path().join("orders-1");
    std::fs::remove_dir_all(&partition).unwrap();
    std::fs::write(&partition, "a file where the partition was").unwrap();
    let said = on(&dir, "offsets");
    assert!(said.failed().starts_with("orders-1 cannot be read: "), "{said:?}");
    assert_eq!(said.text().lines().count(), 3);
    // Whoever does not ask for it does not hear of it.
    on(&dir, "offsets ledger").done();
    for line in ["topics describe orders", "topics list"] {
        let said = on(&dir, line);
        assert!(said.failed().starts_with("orders-1 cannot be read: "), "{said:?}");
    }
}
