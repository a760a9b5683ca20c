//! `ottla export` and `ottla import`: to a Kafka broker, and from one.

use std::fs;

use ottla::TopicConfig;
use serde_json::json;

use crate::run::{free, live, on, ottla, send};

#[test]
fn what_is_exported_is_imported() {
    let dir = free(|broker| {
        broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
        send(broker, "orders", 0, 0, &["1", "2"]);
        broker.topic("payments").unwrap();
        broker.admin().reset_offsets("billing").topic("orders").to(ottla::ResetTo::Latest).execute().unwrap();
    });
    let away = tempfile::tempdir().unwrap();
    let target = away.path().join("exported");
    let said = ottla(["export", target.to_str().unwrap(), "orders"]).dir(&dir).run();
    let rows = said.json_lines();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["partition"], &rows[0]["start"], &rows[0]["end"]), (&json!("orders-0"), &json!(0), &json!(2)));
    assert!(fs::read_to_string(target.join("README.txt")).unwrap().contains("--topic orders --partitions 2"));

    let again = ottla(["export", target.to_str().unwrap()]).dir(&dir).run();
    assert!(again.refused().contains("is not empty"), "{again:?}");
    let inside = ottla(["export", dir.path().join("exported").to_str().unwrap()]).dir(&dir).run();
    assert!(inside.refused().contains("choose a directory outside of it"), "{inside:?}");
    let unknown = ottla(["export", away.path().join("other").to_str().unwrap(), "order"]).dir(&dir).run();
    assert_eq!(unknown.refused(), r#"there is no topic "order"; did you mean "orders"?"#);

    let other = away.path().join("data");
    let settings = ["import", target.to_str().unwrap(), "-c", "segment.bytes=1048576", "--output", "table"];
    let said = ottla(settings).dir(&other).run();
    let expected = "PARTITION  START  END  RECORDS  SIZE
orders-0       0    2        2   107
orders-1       0    0        0     0
";
    let numbers = |text: &str| {
        text.lines().map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(numbers(said.done()), numbers(expected));
    let described = on(&other, "topics describe orders --output json");
    assert!(described.done().contains("1048576"));
    let twice = ottla(["import", target.to_str().unwrap()]).dir(&other).run();
    assert!(twice.refused().contains(r#"cannot import topic "orders""#), "{twice:?}");
    let nothing = ottla(["import", away.path().join("nothing").to_str().unwrap()]).dir(&other).run();
    assert!(nothing.refused().contains("cannot find"), "{nothing:?}");
    let wrong = ottla(["import", target.to_str().unwrap(), "-c", "retension.ms=1"]).dir(away.path().join("new")).run();
    assert!(wrong.refused().contains("retention.ms"), "{wrong:?}");
    assert!(!away.path().join("new").exists());
}

#[test]
fn both_need_the_directory_to_be_free() {
    let live = live(|_| {});
    let away = tempfile::tempdir().unwrap();
    for command in ["export", "import"] {
        live.refuses(&format!("{command} {}", away.path().join("other").display()));
    }
}
