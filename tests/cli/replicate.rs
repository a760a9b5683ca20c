//! `ottla replicate` and `ottla promote`.

use std::path::Path;

use ottla::{Broker, TopicConfig};

use crate::run::{free, live, on, ottla, send};

fn topics(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().segment_bytes(4096)).unwrap();
    let value = "v".repeat(1000);
    for _ in 0..100 {
        send(broker, "orders", 0, 0, &[&value]);
    }
}

fn end(dir: &Path) -> u64 {
    Broker::open_read_only(dir).unwrap().existing_topic("orders").unwrap().partition(0).unwrap().log_end_offset()
}

#[test]
fn a_free_directory_is_replicated_and_the_replica_promoted() {
    let (source, copies) = (free(topics), tempfile::tempdir().unwrap());
    let second = copies.path().join("second");
    let line = format!("replicate --once {}", second.display());
    let came = on(source.path(), &format!("{line} --output jsonl")).json_lines().remove(0);
    let orders = came["partitions"].as_array().unwrap().iter().find(|found| found["partition"] == "orders-0").unwrap();
    assert_eq!(
        (orders["from"].as_u64(), orders["to"].as_u64(), &orders["never_had"]),
        (Some(0), Some(100), &serde_json::Value::Null)
    );
    assert_eq!(end(&second), 100);
    let again = on(source.path(), &format!("{line} --output table"));
    assert!(again.status == 0 && again.text().contains("0 offsets in 0 partitions came"), "{again:?}");
    let refused = on(&second, "topics delete orders --yes");
    assert!(refused.status == 2 && refused.stderr.contains("is a replica"), "{refused:?}");
    let said = ottla(["promote", second.to_str().unwrap(), "--output", "table"]).run();
    assert!(said.status == 0 && said.text().contains("is a data directory of its own now"), "{said:?}");
    assert_eq!(end(&second), 100);
    assert_eq!(on(&second, "topics delete orders --yes").status, 0);
    for line in [line, format!("replicate --once {}", source.path().display())] {
        let refused = on(source.path(), &line);
        assert!(refused.status == 2 && refused.stderr.contains("is not a replica"), "{refused:?}");
    }
    let refused = ottla(["promote", second.to_str().unwrap()]).run();
    assert!(refused.status == 2 && refused.stderr.contains("is not a replica"), "{refused:?}");
}

#[test]
fn beside_a_process_that_writes_comes_what_is_in_segments() {
    let (source, copies) = (live(topics), tempfile::tempdir().unwrap());
    let second = copies.path().join("second");
    let came = on(source.path(), &format!("replicate --once {} --output jsonl", second.display()));
    assert_eq!(came.status, 0, "{came:?}");
    assert!(0 < end(&second) && end(&second) <= end(source.path()));
    let verified = on(&second, "verify --deep --output table");
    assert_eq!(verified.status, 0, "{verified:?}");
}
