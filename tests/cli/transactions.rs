//! `ottla transactions`.

use ottla::{Broker, ProducerRecord};
use serde_json::json;

use crate::run::{free, live, looks_at, on};

/// `payments` has committed with a checkpoint, and `refunds` has aborted.
fn names(broker: &Broker) {
    broker.topic("ledger").unwrap();
    let mut payments = broker.transactional_producer("payments").unwrap();
    let transaction = payments.begin().unwrap();
    transaction.send(ProducerRecord::to("ledger").value("-5.00")).unwrap();
    transaction.set_checkpoint("row 17").unwrap();
    transaction.commit().unwrap();
    let mut refunds = broker.transactional_producer("refunds").unwrap();
    let transaction = refunds.begin().unwrap();
    transaction.send(ProducerRecord::to("ledger").value("5.00")).unwrap();
    transaction.abort().unwrap();
}

#[test]
fn names_and_states_are_listed() {
    let dir = free(names);
    let rows = looks_at(dir.path(), "transactions list").json_lines();
    let found: Vec<_> = rows.iter().map(|row| (&row["transactional_id"], &row["open_partitions"])).collect();
    assert_eq!(found, [(&json!("payments"), &json!(0)), (&json!("refunds"), &json!(0))]);
    assert_eq!(rows[0]["state"], "CompleteCommit");
    assert!(looks_at(dir.path(), "transactions list --open").json_lines().is_empty());
    let found = &looks_at(dir.path(), "transactions describe payments").json_lines()[0];
    assert_eq!((&found["checkpoint"], &found["timeout_ms"]), (&json!("row 17"), &json!(60_000)));
    let table = looks_at(dir.path(), "transactions describe payments --output table");
    assert!(table.done().contains("checkpoint   row 17"), "{}", table.done());
}

#[test]
fn a_name_that_is_not_there_is_told_with_the_nearest() {
    let dir = free(names);
    let expected = r#"there is no transactional id "paymnets"; did you mean "payments"?"#;
    for line in ["transactions describe paymnets", "transactions abort paymnets --yes"] {
        assert_eq!(on(&dir, line).refused(), expected, "{line}");
    }
    let said = on(&dir, "transactions abort payments --yes");
    assert_eq!(said.refused(), r#"no transaction of "payments" is open: its state is CompleteCommit"#);
}

#[test]
fn what_another_process_has_open_is_shown_and_not_aborted() {
    let live = live(names);
    let open = on(live.path(), "transactions list --open").json_lines();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0]["transactional_id"], &open[0]["state"]), (&json!("busy-payments"), &json!("Ongoing")));
    let found = &on(live.path(), "transactions describe busy-payments").json_lines()[0];
    assert_eq!(found["partitions"], json!([{ "topic": "busy-ledger", "partition": 0, "first_offset": 0 }]));
    let said = on(live.path(), "transactions abort busy-payments");
    let expected =
        r#"nothing was aborted; --yes aborts the transaction of "busy-payments", which is open in 1 partition"#;
    assert_eq!(said.refused(), expected);
    live.refuses("transactions abort busy-payments --yes");
    assert!(looks_at(live.end().path(), "transactions list --open").json_lines().is_empty());
}

#[test]
fn what_a_process_that_was_killed_left_open_is_aborted() {
    let live = live(names);
    let dir = live.kill();
    let open = looks_at(dir.path(), "transactions list --open").json_lines();
    assert_eq!(open.len(), 1, "{open:?}");
    let stable = |line: &str| on(&dir, line).json_lines()[0]["stable"].clone();
    assert_eq!(stable("offsets busy-ledger"), 0);
    let aborted = on(&dir, "transactions abort busy-payments --yes").json_lines();
    assert_eq!(
        aborted,
        [json!({ "transactional_id": "busy-payments", "was": "Ongoing", "aborted": true, "partitions": 1 })]
    );
    assert!(looks_at(dir.path(), "transactions list --open").json_lines().is_empty());
    assert_eq!(stable("offsets busy-ledger"), 2);
}
