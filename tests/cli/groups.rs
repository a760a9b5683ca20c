//! `ottla groups`.

use std::fs;

use ottla::{Broker, ConsumerConfig, ResetTo, TopicConfig, TopicPartition};
use serde_json::{Value, json};

use crate::run::{Said, free, live, looks_at, on, ottla, send};

/// 2024-05-06T01:38:08Z.
const TIME_MS: i64 = 1_714_959_488_000;

/// `orders` has 19 records in the first partition, of which the last two are of 01:38:08Z and 01:38:10Z, and begins and ends at 7 in the
/// second; the group `billing` has committed 5 and nothing.
fn orders(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    send(broker, "orders", 0, TIME_MS - 100_000, &["early"; 17]);
    send(broker, "orders", 0, TIME_MS, &["at eight"]);
    send(broker, "orders", 0, TIME_MS + 2_000, &["at ten"]);
    send(broker, "orders", 1, TIME_MS, &["gone"; 7]);
    let admin = broker.admin();
    admin.delete_records(&[(TopicPartition::new("orders", 1), 7)]).unwrap();
    let reset = admin.reset_offsets("billing").partition(TopicPartition::new("orders", 0));
    reset.to(ResetTo::Offset(5)).execute().unwrap();
}

/// Before and after, by partition.
fn changes(said: &Said) -> Vec<(Option<u64>, u64)> {
    let rows = said.json_lines();
    for (row, number) in rows.iter().zip(0..) {
        assert_eq!((&row["topic"], &row["partition"]), (&json!("orders"), &json!(number)));
    }
    rows.iter().map(|row| (row["before"].as_u64(), row["after"].as_u64().unwrap())).collect()
}

fn committed(dir: &tempfile::TempDir) -> Vec<Option<u64>> {
    let group = looks_at(dir.path(), "groups describe billing").json_lines();
    let partitions = group[0]["partitions"].as_array().unwrap().clone();
    partitions.iter().map(|partition| partition["committed"].as_u64()).collect()
}

/// Known failure 11.5.
#[test]
fn k11_05_offsets_are_reset_to_a_time_and_never_to_none() {
    let dir = free(orders);
    let reset = "groups reset billing --topic orders --to-datetime";
    for (time, after) in [("2024-05-06T07:08:09+05:30", 18), ("2024-05-06T01:38:11Z", 19), ("2024-05-06T01:38:08Z", 17)]
    {
        let planned = looks_at(dir.path(), &format!("{reset} {time}"));
        assert_eq!(changes(&planned), [(Some(5), after), (None, 7)], "{time}");
    }
    for time in ["2024-05-06T07:08:09", "2024-05-06", "yesterday"] {
        let said = looks_at(dir.path(), &format!("{reset} {time} --execute"));
        assert!(said.refused().contains("expected a time with its zone"), "{said:?}");
    }
    assert_eq!(committed(&dir), [Some(5)]);
    let executed = on(&dir, &format!("{reset} 2024-05-06T07:08:09+05:30 --execute"));
    assert_eq!(changes(&executed), [(Some(5), 18), (None, 7)]);
    assert_eq!(committed(&dir), [Some(18), Some(7)]);
    // Of two partitions one fails, and both stay.
    let said = on(&dir, "groups reset billing --topic orders:0,2 --to-earliest --execute");
    assert_eq!(said.refused(), "there is no partition orders-2: orders has 2, numbered from 0");
    let broken = free(|broker| {
        orders(broker);
        broker.create_topic("broken", TopicConfig::new()).unwrap();
    });
    fs::remove_dir_all(broken.path().join("broken-0")).unwrap();
    fs::write(broken.path().join("broken-0"), "a file where the partition was").unwrap();
    for line in [
        "groups reset billing --topic orders --topic broken --to-latest",
        "groups reset billing --topic orders --topic broken --to-latest --execute",
    ] {
        let said = on(&broken, line);
        assert!(said.status > 0 && said.stdout.is_empty() && said.stderr.contains("broken-0"), "{said:?}");
    }
    assert_eq!(committed(&broken), [Some(5)]);
}

#[test]
fn each_way_to_say_where_is_planned_and_then_done() {
    for (to, after) in [
        ("--to-earliest", [0, 7]),
        ("--to-latest", [19, 7]),
        ("--to-offset 11", [11, 7]),
        ("--to-datetime -1s", [19, 7]),
        ("--by-duration 1s", [19, 7]),
        ("--by-duration P36500D", [0, 7]),
        ("--to-current", [5, 7]),
    ] {
        let dir = free(orders);
        let line = format!("groups reset billing --topic orders {to}");
        let planned = looks_at(dir.path(), &line);
        assert_eq!(planned.status, 0, "{planned:?}");
        let rows: Vec<Value> = planned.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<u64> = rows.iter().map(|row| row["after"].as_u64().unwrap()).collect();
        assert_eq!(found, after, "{to}");
        assert_eq!(on(&dir, &format!("{line} --execute")).stdout, planned.stdout, "{to}");
        assert_eq!(committed(&dir), after.map(Some), "{to}");
    }
    let dir = free(orders);
    for (to, after) in [("--shift-by 3", 8), ("--shift-by -3", 2), ("--shift-by -300", 0), ("--shift-by 300", 19)] {
        assert_eq!(
            changes(&looks_at(dir.path(), &format!("groups reset billing --all-topics {to}"))),
            [(Some(5), after)]
        );
    }
    // Where nothing is committed, there is nothing to shift, and then nothing is shifted.
    let said = on(&dir, "groups reset billing --topic orders --shift-by 1 --execute");
    assert!(said.refused().starts_with("orders-1 cannot be shifted"), "{said:?}");
    assert_eq!(committed(&dir), [Some(5)]);
}

#[test]
fn an_offset_that_is_not_there_is_told_from_the_one_that_is_taken() {
    let dir = free(orders);
    let said = on(&dir, "groups reset billing --topic orders --to-offset 8");
    assert_eq!((said.status, said.stderr.as_str()), (0, "ottla: orders-1 has no offset 8, and the nearest is 7\n"));
}

#[test]
fn what_is_exported_is_what_is_read_from_a_file() {
    let dir = free(orders);
    let exported = looks_at(dir.path(), "groups reset billing --topic orders --to-current --export");
    assert_eq!(exported.done(), "orders,0,5\norders,1,7\n");
    let file = dir.path().with_extension("csv");
    let path = file.to_str().unwrap();
    fs::write(&file, "orders,1,7\n\"orders\",0,13\n").unwrap();
    assert_eq!(
        changes(&looks_at(dir.path(), &format!("groups reset billing --from-file {path}"))),
        [(Some(5), 13), (None, 7)]
    );
    on(&dir, &format!("groups reset billing --from-file {path} --execute")).done();
    assert_eq!(committed(&dir), [Some(13), Some(7)]);
    for (text, reason) in [
        ("orders,0,1\norders,0\n", "line 2 is not topic,partition,offset"),
        ("orders,0,-1\n", "line 1 is not"),
        ("ordres,0,1\n", r#"there is no topic "ordres"; did you mean "orders"?"#),
        ("orders,0,1\norders,9,1\n", "there is no partition orders-9"),
        ("", "no line names a partition"),
    ] {
        fs::write(&file, text).unwrap();
        let said = on(&dir, &format!("groups reset billing --from-file {path} --execute"));
        assert!(said.refused().contains(reason), "{text:?}: {said:?}");
    }
    fs::remove_file(&file).unwrap();
    on(&dir, &format!("groups reset billing --from-file {path} --execute")).refused();
    assert_eq!(committed(&dir), [Some(13), Some(7)]);
}

#[test]
fn where_and_to_what_must_be_said_once() {
    let dir = free(orders);
    for line in [
        "groups reset billing",
        "groups reset billing --to-earliest",
        "groups reset billing --topic orders",
        "groups reset billing --topic orders --to-earliest --to-latest",
        "groups reset billing --topic orders --all-topics --to-earliest",
        "groups reset billing --from-file x --to-earliest",
        "groups reset billing --topic orders: --to-earliest",
        "groups reset billing --topic orders --by-duration 5",
        "groups reset billing --topic orders --to-current --export --output json",
    ] {
        looks_at(dir.path(), line).refused();
    }
}

#[test]
fn a_group_that_is_not_there_is_told_with_the_nearest_name() {
    let dir = free(orders);
    for line in ["groups describe biling", "groups delete biling --yes"] {
        assert_eq!(on(&dir, line).refused(), r#"there is no group "biling"; did you mean "billing"?"#, "{line}");
    }
    let reset = "groups reset biling --topic orders --to-earliest --execute";
    let expected = r#"there is no group "biling"; did you mean "billing"? (--create begins a new one)"#;
    assert_eq!(on(&dir, reset).refused(), expected);
    assert_eq!(changes(&on(&dir, &format!("{reset} --create"))), [(None, 0), (None, 7)]);
    assert_eq!(on(&dir, "groups list").json_lines().len(), 2);
}

#[test]
fn the_list_and_the_description_tell_the_lag() {
    let dir = free(orders);
    let list = looks_at(dir.path(), "groups list").json_lines();
    assert_eq!(list, [json!({ "name": "billing", "state": "Empty", "members": 0, "partitions": 1, "lag": 14 })]);
    let table = looks_at(dir.path(), "groups describe billing --output table");
    let lines: Vec<Vec<&str>> = table.done().lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["orders", "0", "5", "19", "14", "-"]), "{}", table.done());
    let row = &looks_at(dir.path(), "groups describe").json_lines()[0]["partitions"][0];
    assert_eq!((&row["committed"], &row["lag"]), (&json!(5), &json!(14)));
    assert!(row["committed_at"].as_str().unwrap().ends_with('Z'), "{row}");
    // A member that was there when its process ended is shown as it was recorded, also where it has committed nothing.
    let dir = free(|broker| {
        orders(broker);
        let consumer = broker.consumer_with(ConsumerConfig::new("mailing").topics(["orders"]).group_instance_id("ann"));
        drop(consumer.unwrap());
    });
    let group = &looks_at(dir.path(), "groups describe mailing").json_lines()[0];
    assert_eq!(group["members"][0]["instance_id"], "ann", "{group}");
    let second = &group["partitions"][1];
    assert_eq!((&second["committed"], &second["lag"], &second["end"]), (&Value::Null, &json!(0), &json!(7)));
    assert_eq!(second["owner"], group["members"][0]["member_id"]);
}

#[test]
fn groups_are_deleted_if_all_are_there_and_it_is_said_twice() {
    let dir = free(orders);
    let said = looks_at(dir.path(), "groups delete billing");
    assert_eq!(said.refused(), "nothing was deleted; --yes deletes billing (committed offsets in 1 partition)");
    on(&dir, "groups delete billing shipping --yes").refused();
    assert_eq!(on(&dir, "groups list").json_lines().len(), 1);
    assert_eq!(
        on(&dir, "groups delete billing --yes").json_lines(),
        [json!({ "name": "billing", "committed_partitions": 1 })]
    );
    assert!(looks_at(dir.path(), "groups list").json_lines().is_empty());
}

#[test]
fn what_only_looks_works_beside_a_writer_and_what_changes_is_refused() {
    let live = live(orders);
    let names = |said: Said| said.json_lines().iter().map(|group| group["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(on(live.path(), "groups list")), ["billing", "busy-group"]);
    let busy = &on(live.path(), "groups describe busy-group").json_lines()[0];
    assert_eq!((&busy["state"], busy["members"].as_array().unwrap().len()), (&json!("Stable"), 1));
    for partition in busy["partitions"].as_array().unwrap() {
        assert!(partition["committed"].as_u64() <= partition["end"].as_u64(), "{partition}");
        assert_eq!(partition["owner"], busy["members"][0]["member_id"]);
    }
    // A dry run only looks, so it works, and leaves what is committed; the group of the other process goes on.
    let plan = "groups reset billing --topic orders --to-datetime 2024-05-06T07:08:09+05:30";
    assert_eq!(changes(&on(live.path(), plan)), [(Some(5), 18), (None, 7)]);
    assert_eq!(on(live.path(), "groups reset busy-group --all-topics --to-earliest").json_lines().len(), 2);
    for line in [format!("{plan} --execute"), "groups delete billing --yes".to_owned()] {
        live.refuses(&line);
    }
    assert_eq!(committed(&live.end()), [Some(5)]);
}

#[test]
fn groups_with_names_of_any_kind_are_shown_safely() {
    let name = "evil\u{1b}[31m\ngroup";
    let dir = free(|broker| {
        broker.topic("orders").unwrap().produce("k", "v").unwrap();
        broker.admin().reset_offsets(name).topic("orders").execute().unwrap();
    });
    for line in ["groups list --output table", "groups describe --output table"] {
        let said = on(&dir, line);
        assert!(said.done().contains(r"evil\x1b[31m\ngroup"), "{line}: {said:?}");
    }
    let said = ottla(["groups", "describe", name]).dir(&dir).run();
    assert_eq!(said.json_lines()[0]["name"], name);
}

#[test]
fn where_there_are_no_groups_none_are_shown() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    assert!(looks_at(dir.path(), "groups list").json_lines().is_empty());
    assert!(looks_at(dir.path(), "groups describe").json_lines().is_empty());
}
