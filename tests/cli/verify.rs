//! `ottla verify`: whether all is there as it was written.

use std::fs;
use std::path::{Path, PathBuf};

use ottla::{Compression, ProducerRecord, TopicConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Said, free, live, looks_at, on, send};

/// Two topics, of which one has several segments and a large batch in each.
fn orders() -> TempDir {
    free(|broker| {
        let config = TopicConfig::new().partitions(2).segment_bytes(16 << 10).index_interval_bytes(1024);
        let topic = broker.create_topic("orders", config.compression(Compression::None)).unwrap();
        for partition in topic.partitions() {
            for number in 0..100 {
                let value = format!("{number:0500}");
                partition.append(&ProducerRecord::new().value(&value)).unwrap();
            }
        }
        broker.create_topic("payments", TopicConfig::new()).unwrap();
        send(broker, "payments", 0, 0, &["1"]);
    })
}

fn rows(said: &Said) -> Vec<Value> {
    said.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn row<'r>(rows: &'r [Value], partition: &str) -> &'r Value {
    rows.iter().find(|row| row["partition"] == partition).unwrap()
}

fn first(dir: &Path, suffix: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(suffix));
    files.sort_unstable();
    files.remove(0)
}

#[test]
fn what_is_whole_is_counted_either_way_and_not_changed() {
    let dir = orders();
    for line in ["verify", "verify --deep"] {
        let said = looks_at(dir.path(), line);
        said.done();
        let rows = rows(&said);
        assert_eq!(rows.len(), 3);
        let orders = row(&rows, "orders-1");
        assert_eq!((&orders["records"], &orders["lost"], &orders["repairable"]), (&json!(100), &json!([]), &json!([])));
        assert!(orders["segments"].as_u64() > Some(2) && orders["index_entries"].as_u64() > Some(10), "{orders}");
    }
    let said = on(dir.path(), "verify payments --output table");
    let expected = "PARTITION   SEGMENTS  BATCHES  RECORDS  SIZE  FOUND
payments-0         1        1        1    69  whole
";
    assert_eq!(said.done(), expected);
}

#[test]
fn a_byte_within_a_batch_is_found_by_reading_it_and_a_header_without() {
    let dir = orders();
    let log = first(&dir.path().join("orders-0"), ".log");
    let whole = fs::read(&log).unwrap();
    let damage = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&log, &bytes).unwrap();
    };
    damage(200);
    on(dir.path(), "verify").done();
    let said = on(dir.path(), "verify --deep");
    assert_eq!(said.failed(), "1 damaged place, as listed");
    let found = rows(&said);
    let lost = &row(&found, "orders-0")["lost"][0];
    assert_eq!((&lost["path"], &lost["file_position"]), (&json!(log.to_str().unwrap()), &json!(0)));
    assert_eq!(
        (&lost["offsets"]["start"], &lost["reason"]),
        (&json!(0), &json!("the checksum of a batch does not match"))
    );
    let said = on(dir.path(), "verify --deep --output table");
    assert!(
        said.text().contains("  1 lost\n")
            && said.text().contains(&format!("\nlost: {} at byte 0: the checksum", log.display()))
    );
    // The base offset of the second batch.
    let second = 12 + usize::try_from(u32::from_be_bytes(whole[8..12].try_into().unwrap())).unwrap();
    damage(second + 7);
    for line in ["verify", "verify --deep"] {
        assert_eq!(on(dir.path(), line).status, 1, "{line}");
    }
    on(dir.path(), "verify payments --deep").done();
}

#[test]
fn files_that_are_missing_or_short_or_others_are_found_without_reading_all() {
    let dir = orders();
    let partition = dir.path().join("orders-0");
    let check = |path: &Path, change: &dyn Fn(&Path), status: i32| {
        let whole = fs::read(path).unwrap();
        change(path);
        for line in ["verify", "verify --deep"] {
            let said = on(dir.path(), line);
            let row = row(&rows(&said), "orders-0").clone();
            let found = [&row["lost"], &row["repairable"]].map(|found| found.as_array().unwrap().len());
            assert_eq!((said.status, found[0] + found[1] > 0), (status, true), "{} {row}", path.display());
        }
        fs::write(path, whole).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    };
    let other = |path: &Path| _ = fs::copy(dir.path().join("orders-1").join(path.file_name().unwrap()), path).unwrap();
    let log = first(&partition, ".log");
    check(&log, &remove, 1);
    check(&log, &cut, 1);
    check(&log, &other, 1);
    for suffix in [".index", ".timeindex"] {
        check(&first(&partition, suffix), &cut, 0);
        check(&first(&partition, suffix), &remove, 0);
    }
    check(&partition.join("manifest"), &cut, 0);
    check(&partition.join("partition.metadata"), &remove, 0);
    on(dir.path(), "verify --deep").done();
}

#[test]
fn it_works_beside_the_process_that_writes() {
    let live = live(|broker| {
        broker.create_topic("quiet", TopicConfig::new()).unwrap();
        send(broker, "quiet", 0, 0, &["a", "b"]);
    });
    for line in ["verify", "verify --deep"] {
        let said = on(live.path(), line);
        said.done();
        assert_eq!(row(&rows(&said), "quiet-0")["records"], 2);
        assert!(rows(&said).iter().any(|row| row["partition"] == "busy-1"));
    }
    let dir = live.end();
    on(dir.path(), "verify --deep").done();
}

#[test]
fn an_unknown_topic_is_refused_with_the_nearest_name() {
    let dir = orders();
    let said = on(dir.path(), "verify ordres");
    assert_eq!(said.refused(), "there is no topic \"ordres\"; did you mean \"orders\"?");
    let nothing = tempfile::tempdir().unwrap();
    assert!(on(nothing.path(), "verify").refused().contains("nothing was ever written there"));
}
