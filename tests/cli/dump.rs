//! `ottla dump`: what is in single files, and what does not hold in them.

use std::fs;
use std::path::{Path, PathBuf};

use ottla::{Broker, Compression, ConsumerConfig, ProducerRecord, TopicConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Said, free, live, ottla, send};

const LOG: &str = "00000000000000000000.log";

/// A topic of two segments at least, whose records have keys and a header each.
fn orders() -> TempDir {
    free(|broker| {
        let config =
            TopicConfig::new().segment_bytes(16 << 10).index_interval_bytes(1024).compression(Compression::Lz4);
        let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
        for number in 0..200 {
            let (key, value) = (format!("key-{number}"), format!("{number} {}", noise(number, 300)));
            let record = ProducerRecord::new().key(&key).value(&value).header("n", "1");
            partition.append(&record.timestamp(ottla::Timestamp::from_millis(1_700_000_000_000 + number))).unwrap();
        }
    })
}

/// Text that does not compress well.
fn noise(seed: i64, length: usize) -> String {
    let mut state = seed.unsigned_abs() + 1;
    let digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 59) as u8 % 26)
    };
    (0..length).map(digit).collect()
}

fn dump(arguments: &[&str], path: &Path) -> Said {
    ottla(["dump"].into_iter().chain(arguments.iter().copied()).chain([path.to_str().unwrap()])).run()
}

fn of_type<'v>(lines: &'v [Value], kind: &str) -> Vec<&'v Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// The files of a directory that end so, in order.
fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(suffix));
    files.sort_unstable();
    files
}

#[test]
fn batches_follow_one_another_and_records_are_in_them() {
    let dir = orders();
    let logs = files(&dir.path().join("orders-0"), ".log");
    assert!(logs.len() > 1);
    let (mut next_offset, mut records) = (0, 0);
    for log in &logs {
        let lines = dump(&["--print-data-log"], log).json_lines();
        assert_eq!((&lines[0]["type"], &lines[0]["kind"]), (&json!("file"), &json!("log")));
        let mut position = 0;
        for batch in of_type(&lines, "batch") {
            assert_eq!((&batch["base_offset"], &batch["file_position"]), (&json!(next_offset), &json!(position)));
            assert_eq!((&batch["codec"], &batch["is_valid"]), (&json!("lz4"), &json!(true)));
            next_offset = batch["last_offset"].as_u64().unwrap() + 1;
            position += batch["bytes"].as_u64().unwrap();
        }
        assert_eq!(position, fs::metadata(log).unwrap().len());
        for record in of_type(&lines, "record") {
            let number = record["offset"].as_i64().unwrap();
            assert_eq!(record["key"], format!("key-{number}"));
            assert!(record["value"].as_str().unwrap().starts_with(&format!("{number} ")));
            assert_eq!(record["headers"], json!([{ "key": "n", "value": "1" }]));
            assert_eq!(record["timestamp"], 1_700_000_000_000 + number);
            records += 1;
        }
    }
    assert_eq!((next_offset, records), (200, 200));
}

#[test]
fn what_of_a_record_is_shown_is_as_asked_for() {
    let dir = orders();
    let log = dir.path().join("orders-0").join(LOG);
    assert!(of_type(&dump(&[], &log).json_lines(), "record").is_empty());
    let lines = dump(&["--deep-iteration"], &log).json_lines();
    let record = of_type(&lines, "record")[0];
    assert_eq!((&record["key_bytes"], record.get("key")), (&json!(5), None));
    let lines = dump(&["--skip-record-metadata"], &log).json_lines();
    let record = of_type(&lines, "record")[0];
    assert_eq!((&record["key"], record.get("offset")), (&json!("key-0"), None));
    let lines = dump(&["--records", "--max-bytes", "1"], &log).json_lines();
    assert_eq!(lines.len(), 1, "no batch is that small");
}

#[test]
fn a_directory_is_shown_file_by_file_and_all_of_them_hold() {
    let dir = orders();
    for path in [dir.path().to_owned(), dir.path().join("orders-0")] {
        let lines = dump(&[], &path).json_lines();
        let kinds: Vec<_> = of_type(&lines, "file").iter().map(|file| file["kind"].as_str().unwrap()).collect();
        if path == dir.path() {
            assert_eq!(kinds, ["catalog", "tail", "tail"]);
            assert_eq!(of_type(&lines, "topic")[0]["name"], "orders");
            continue;
        }
        for kind in ["log", "offset-index", "time-index", "manifest", "recovery-point", "partition-metadata"] {
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
        let [entries, times, segments] =
            ["offset_entry", "time_entry", "segment"].map(|kind| of_type(&lines, kind).len());
        assert!(entries > 10 && times > 10 && segments > 0, "{entries} {times} {segments}");
    }
}

#[test]
fn a_batch_that_is_damaged_is_named_and_the_others_are_shown() {
    let dir = orders();
    let log = dir.path().join("orders-0").join(LOG);
    let whole = dump(&[], &log).json_lines();
    let batches = of_type(&whole, "batch");
    let position = batches[3]["file_position"].as_u64().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[usize::try_from(position).unwrap() + 70] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let said = dump(&["-r"], &log);
    assert_eq!(said.failed(), "1 thing does not hold, as listed");
    let lines: Vec<Value> = said.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = of_type(&lines, "batch");
    assert_eq!(shown.len(), batches.len());
    assert!(shown.iter().enumerate().all(|(at, batch)| batch["is_valid"] == (at != 3)));
    let problem = of_type(&lines, "problem")[0];
    assert_eq!(problem["file_position"], position);
    assert!(problem["reason"].as_str().unwrap().starts_with("the checksum of a batch does not match"));
    // For people, too.
    let said = dump(&["--output", "table"], &log);
    assert!(
        said.text().contains(&format!("\n! at byte {position}: the checksum of a batch does not match")),
        "{said:?}"
    );
    assert_eq!(said.text().matches("INVALID").count(), 1);
}

#[test]
fn index_entries_that_are_not_the_logs_are_named() {
    let dir = orders();
    let partition = dir.path().join("orders-0");
    for (suffix, entry_bytes, at) in [(".index", 8, 7), (".timeindex", 12, 7), (".timeindex", 12, 11)] {
        let index = &files(&partition, suffix)[0];
        let whole = fs::read(index).unwrap();
        for (arguments, entries) in [(&[][..], whole.len() / entry_bytes), (&["--verify-index-only"], 0)] {
            assert_eq!(dump(arguments, index).json_lines().len(), 1 + entries);
            let mut bytes = whole.clone();
            bytes[entry_bytes + at] ^= 1;
            fs::write(index, &bytes).unwrap();
            let said = dump(arguments, index);
            assert_eq!((said.status, said.text().lines().count() > 1 + entries), (1, true), "{suffix} {said:?}");
            let alone = dump(&["--index-sanity-check"], index);
            assert_eq!(alone.done().lines().count(), 1, "the entries still rise");
            fs::write(index, &whole).unwrap();
        }
        fs::write(index, [&whole[..], &[0; 100]].concat()).unwrap();
        let said = dump(&[], index);
        assert_eq!(said.text().matches("problem").count(), 1, "all zeros at once: {said:?}");
        fs::write(index, &whole).unwrap();
    }
}

#[test]
fn what_coordinators_keep_is_decoded_in_their_directories() {
    let dir = free(|broker| {
        broker.create_topic("t", TopicConfig::new()).unwrap();
        send(broker, "t", 0, 0, &["a", "b"]);
        let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["t"])).unwrap();
        consumer.poll(std::time::Duration::from_secs(1)).unwrap();
        consumer.commit().unwrap();
        consumer.close().unwrap();
        let mut producer = broker.transactional_producer("p").unwrap();
        let transaction = producer.begin().unwrap();
        transaction.send(ProducerRecord::to("t").value("c")).unwrap();
        transaction.abort().unwrap();
    });
    let all = |topic: &str| {
        let mut lines = Vec::new();
        for partition in
            files(dir.path(), "").iter().filter(|path| path.to_str().unwrap().contains(&format!("/{topic}-")))
        {
            lines.extend(dump(&["-r"], partition).json_lines());
        }
        lines
    };
    let offsets = all("__consumer_offsets");
    let commit = of_type(&offsets, "record").into_iter().find(|record| record["decoded"]["kind"] == "offset").unwrap();
    assert_eq!((&commit["decoded"]["group"], &commit["decoded"]["value"]["offset"]), (&json!("g"), &json!(2)));
    let states = all("__transaction_state");
    let state = of_type(&states, "record").into_iter().next_back().unwrap();
    assert_eq!(state["decoded"]["transactional_id"], "p");
    assert_eq!(state["decoded"]["value"]["status"], "CompleteAbort");
    let topic = all("t");
    let marker = of_type(&topic, "batch").into_iter().find(|batch| batch["is_control"] == true).unwrap();
    assert_eq!((&marker["marker"]["kind"], &marker["marker"]["is_commit"]), (&json!("marker"), &json!(false)));
    let aborted = of_type(&topic, "aborted_transaction");
    assert_eq!((aborted.len(), &aborted[0]["last_offset"]), (1, &marker["base_offset"]));
    assert!(!of_type(&topic, "producer").is_empty());
    // Elsewhere only where it is asked for.
    let partition = files(dir.path(), "").into_iter().find(|path| path.to_str().unwrap().ends_with("/t-0")).unwrap();
    let said = dump(&["-r", "--offsets-decoder"], &partition.join(LOG));
    assert_eq!(said.status, 0, "records without a key are nobody's: {said:?}");
}

#[test]
fn files_that_another_process_writes_can_be_looked_at() {
    let live = live(|broker| {
        broker.create_topic("quiet", TopicConfig::new()).unwrap();
        send(broker, "quiet", 0, 0, &["a"]);
    });
    let said = dump(&["-r"], &live.path().join("quiet-0").join(LOG));
    assert_eq!(of_type(&said.json_lines(), "record").len(), 1);
    assert!(dump(&[], &live.path().join("catalog")).done().contains("busy-ledger"));
    // What a slot holds at this moment, of which there is always one: that of the open transaction.
    let said = dump(&[], &live.path().join("tail-always"));
    assert!(said.text().contains("\"open_batch\""), "{said:?}");
}

#[test]
fn what_is_no_file_of_a_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.txt");
    assert!(dump(&[], &notes).refused().contains("cannot open"));
    fs::write(&notes, "mine").unwrap();
    assert!(dump(&[], &notes).refused().contains("no file of a log by its name"));
    assert!(dump(&[], dir.path()).refused().contains("no file of a log is in"));
    assert!(ottla(["dump"]).run().refused().contains("required"));
    let both = ottla(["dump", "--offsets-decoder", "--transaction-log-decoder", "x"]).run();
    assert!(both.refused().contains("cannot be used"));
}

#[test]
fn json_is_one_document() {
    let dir = orders();
    let said = dump(&["--output", "json"], &dir.path().join("orders-0"));
    let all: Value = serde_json::from_str(said.done()).unwrap();
    assert!(all.as_array().unwrap().len() > 100);
    let file = files(&dir.path().join("orders-0"), ".index");
    let list = format!("{},{}", file[0].display(), file[1].display());
    assert_eq!(of_type(&ottla(["dump", "--files", &list]).run().json_lines(), "file").len(), 2, "Kafka's way");
}

#[test]
fn the_lines_for_people_are_these() {
    let dir = free(|broker: &Broker| {
        broker.create_topic("orders", TopicConfig::new()).unwrap();
        send(broker, "orders", 0, 1_700_000_000_000, &["2 coffees", "1 tea\u{1b}"]);
    });
    let log = dir.path().join("orders-0").join(LOG);
    let said = dump(&["--output", "table"], &log);
    let expected = "       OFFSETS  RECORDS    POSITION       SIZE  CODEC   UP TO TIME                WHAT
          0..1        2           0         91  none    2023-11-14T22:13:21.000Z
";
    assert_eq!(said.done(), expected);
    let said = dump(&["--output", "table", "-r"], &log);
    let expected = "batch 0..1: 2 records in 91 bytes at 0, none, 2023-11-14T22:13:21.000Z
             0  2023-11-14T22:13:20.000Z  null = \"2 coffees\"
             1  2023-11-14T22:13:21.000Z  null = \"1 tea\\x1b\"
";
    assert_eq!(said.done(), expected);
}
