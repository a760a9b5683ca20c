//! There and back: what is exported is what a broker adopts, and imports to the same records.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, CleanupPolicy, Compression, Durability, Error, ExportOptions, ExportReport, ImportOptions, Isolation,
    OwnedRecord, ProducerRecord, TimestampType, TopicConfig, TopicPartition,
};

use crate::data::{clean, files};
use crate::decoder::{adopted, batches};
use crate::{is_whole, open, seen_by};

/// What is compared of a record: all but its leader epoch, which an export does not carry.
fn plain(records: &[OwnedRecord]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let shown = |record: &OwnedRecord| {
        let headers: Vec<_> =
            record.headers().map(|header| (header.key().to_owned(), header.value().map(<[u8]>::to_vec))).collect();
        let (key, value) = (record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec));
        (record.topic_partition().clone(), record.offset(), record.timestamp(), key, value, headers)
    };
    records.iter().map(shown).collect()
}

fn is_log(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "log")
}

/// The log files of a partition in an export.
fn logs(target: &Path, partition: &TopicPartition) -> BTreeMap<String, Vec<u8>> {
    let found = files(&target.join(partition.to_string()));
    assert!(found.keys().all(|name| is_log(name)), "{:?}", found.keys());
    found
}

/// That a broker would adopt all that was written, and that nothing but leader epochs differs from the log files of `data`.
fn is_adoptable(report: &ExportReport, data: &Path) {
    for exported in report.partitions() {
        let partition = exported.topic_partition();
        let logs = logs(report.target(), partition);
        let (found, end) = adopted(logs.iter().map(|(name, log)| (name.as_str(), log.as_slice())));
        assert_eq!(end.cast_unsigned(), exported.offsets().end, "{partition}");
        assert_eq!(found.len() as u64, exported.batch_count(), "{partition}");
        assert_eq!(logs.values().map(|log| log.len() as u64).sum::<u64>(), exported.bytes());
        // What lies below the log start may stay behind, with its files.
        let first = logs.keys().next().map(|name| name.strip_suffix(".log").unwrap().parse::<i64>().unwrap());
        let own: Vec<_> = files(&data.join(partition.to_string()))
            .into_iter()
            .filter(|(name, _)| is_log(name))
            .flat_map(|(_, log)| batches(&log))
            .filter(|batch| batch.base_offset.cast_unsigned() < exported.offsets().end)
            .filter(|batch| first.is_some_and(|first| first <= batch.base_offset))
            .map(|batch| batch.bytes)
            .collect();
        assert!(found.iter().map(|batch| &batch.bytes).eq(&own), "{partition}: batches differ");
    }
}

/// Exports all that is in `broker`, imports that, and compares the two; returns what was exported, and the broker with the copy.
fn there_and_back(broker: &Broker, dir: &Path) -> (ExportReport, Broker) {
    let report = broker.admin().export(dir.join("exported"), &ExportOptions::new()).unwrap();
    is_adoptable(&report, broker.dir());
    let copy = open(dir.join("copy"));
    copy.admin().import(dir.join("exported"), &ImportOptions::new().committed_offsets(false)).unwrap();
    let topics = broker.admin().list_topics().unwrap();
    assert_eq!(copy.admin().list_topics().unwrap(), topics);
    for topic in &topics {
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            let (one, two) = (seen_by(broker, topic, isolation), seen_by(&copy, topic, isolation));
            let end_of = |record: &OwnedRecord| {
                let exported = report.partitions().iter().find(|it| it.topic_partition() == record.topic_partition());
                exported.unwrap().offsets().end
            };
            let one: Vec<_> = one.into_iter().filter(|record| record.offset() < end_of(record)).collect();
            assert_eq!(plain(&one), plain(&two), "{topic} {isolation:?}");
        }
    }
    for exported in report.partitions() {
        let partition = exported.topic_partition();
        let log = copy.existing_topic(partition.topic()).unwrap().partition(partition.partition()).unwrap();
        assert_eq!(log.log_start_offset()..log.log_end_offset(), exported.offsets(), "{partition}");
    }
    is_whole(&copy);
    (report, copy)
}

fn send(broker: &Broker, topic: &str, key: &str, value: &str) {
    broker.topic(topic).unwrap();
    broker.producer().send(ProducerRecord::to(topic).key(key).value(value).header("n", value)).unwrap();
}

#[test]
fn topics_of_several_segments_go_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let config = TopicConfig::new().partitions(3).segment_bytes(4096);
    broker.create_topic("orders", config.clone()).unwrap();
    broker.create_topic("snappy", config.compression(Compression::Snappy)).unwrap();
    broker.create_topic("clicks", TopicConfig::new().timestamp_type(TimestampType::LogAppendTime)).unwrap();
    broker.topic("empty").unwrap();
    for number in 0..300 {
        for topic in ["orders", "snappy", "clicks"] {
            send(&broker, topic, &format!("key-{}", number % 17), &format!("{number:03000}"));
        }
    }
    let (report, _) = there_and_back(&broker, dir.path());
    let empty = report.partitions().iter().find(|it| it.topic_partition().topic() == "empty").unwrap();
    assert_eq!((empty.offsets(), empty.files()), (0..0, 0));
    assert!(report.partitions().iter().any(|partition| 2 < partition.files()));
}

#[test]
fn leader_epochs_become_0_and_nothing_else_changes() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for round in 0..3 {
        let broker = open(&data);
        send(&broker, "orders", "k", &round.to_string());
        // A process that was killed leaves its lock and no mark of a clean shutdown: the next epoch is a higher one.
        let killed = dir.path().join(round.to_string());
        crate::data::copy(&data, &killed);
        drop(broker);
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&killed, &data).unwrap();
    }
    let broker = open(&data);
    let epochs: Vec<i32> =
        seen_by(&broker, "orders", Isolation::ReadCommitted).iter().map(OwnedRecord::leader_epoch).collect();
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
    there_and_back(&broker, dir.path());
}

#[test]
fn transactions_go_there_and_back_and_an_open_one_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    broker.create_topic("orders", TopicConfig::new().segment_bytes(2048)).unwrap();
    let mut producer = broker.transactional_producer("p").unwrap();
    for number in 0..20 {
        let transaction = producer.begin().unwrap();
        transaction.send(ProducerRecord::to("orders").value(format!("{number:080}"))).unwrap();
        send(&broker, "orders", "plain", "between");
        transaction.send(ProducerRecord::to("orders").value("second")).unwrap();
        if number % 3 == 0 { transaction.abort() } else { transaction.commit() }.unwrap();
    }
    let end = broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset();
    let open_one = producer.begin().unwrap();
    open_one.send(ProducerRecord::to("orders").value("open")).unwrap();
    send(&broker, "orders", "plain", "behind");
    let (report, copy) = there_and_back(&broker, dir.path());
    let [orders] = report.partitions() else { panic!("{report}") };
    assert_eq!((orders.offsets(), orders.log_end_offset()), (0..end, end + 2));
    assert!(report.to_string().contains(&format!("cut at {end} of {}", end + 2)), "{report}");
    let steps = fs::read_to_string(report.target().join("README.txt")).unwrap();
    assert!(steps.contains("a transaction is open behind"), "{steps}");
    drop(open_one);
    assert_eq!(copy.topic("orders").unwrap().partition(0).unwrap().last_stable_offset(), end);
}

#[test]
fn compacted_topics_go_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let config =
        TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(1024).min_cleanable_dirty_ratio(0.0);
    broker.create_topic("prices", config.clone()).unwrap();
    for number in 0..200 {
        let value = if number % 13 == 12 { None } else { Some(format!("{number:050}")) };
        broker
            .producer()
            .send(ProducerRecord::to("prices").key(format!("{}", number % 7)).value(value.as_deref()))
            .unwrap();
    }
    broker.flush().unwrap();
    for _ in 0..3 {
        broker.run_maintenance().unwrap();
        broker.admin().compact("prices").unwrap();
    }
    let before = seen_by(&broker, "prices", Isolation::ReadCommitted);
    assert!(before.len() < 190, "it was compacted: {}", before.len());
    let (_, copy) = there_and_back(&broker, dir.path());
    // And it can be compacted there.
    copy.admin().alter_topic("prices", |_| config.clone()).unwrap();
    send(&copy, "prices", "1", "new");
    copy.flush().unwrap();
    copy.admin().compact("prices").unwrap();
    is_whole(&copy);
    let latest: BTreeMap<_, _> = seen_by(&copy, "prices", Isolation::ReadCommitted)
        .iter()
        .map(|record| (record.key().unwrap().to_vec(), record.value().map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(latest[&b"1"[..]].as_deref(), Some(&b"new"[..]));
}

/// Known failure 12.1: the copy of an empty log begins at 0.
#[test]
fn k12_01_an_empty_log_begins_where_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let topic = broker.topic("t").unwrap();
    for number in 0..100 {
        topic.produce("k", number.to_string()).unwrap();
    }
    let partition = TopicPartition::new("t", 0);
    broker.admin().reset_offsets("g").topic("t").to(ottla::ResetTo::Latest).execute().unwrap();
    broker.admin().reset_offsets("h").topic("t").to(ottla::ResetTo::Offset(40)).execute().unwrap();
    broker.admin().delete_records(&[(partition.clone(), 100)]).unwrap();
    let (report, copy) = there_and_back(&broker, dir.path());
    let target = report.target();
    assert_eq!(report.partitions()[0].offsets(), 100..100);
    // By its name the broker begins there, and by the checkpoint.
    assert_eq!(fs::read(target.join("t-0/00000000000000000100.log")).unwrap(), b"");
    assert_eq!(fs::read_to_string(target.join("log-start-offset-checkpoint")).unwrap(), "0\n1\nt 0 100\n");
    assert_eq!(fs::read_to_string(target.join("committed-offsets-1.csv")).unwrap(), "t,0,100\n");
    assert_eq!(fs::read_to_string(target.join("committed-offsets-2.csv")).unwrap(), "t,0,40\n");
    // With what the text says.
    for (group, offset) in [("g", 100), ("h", 40)] {
        let to = ottla::ResetTo::Offset(offset);
        copy.admin().reset_offsets(group).partition_to(partition.clone(), to).execute().unwrap();
    }
    let lag = copy.admin().describe_group("g").unwrap().total_lag();
    assert_eq!(lag, 0);
    assert_eq!(copy.topic("t").unwrap().produce("k", "next").unwrap().offset(), 100);
}

#[test]
fn a_log_that_begins_within_a_segment_says_so_in_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let topic = broker.topic("t").unwrap();
    for number in 0..10 {
        topic.produce("k", number.to_string()).unwrap();
    }
    broker.admin().delete_records(&[(TopicPartition::new("t", 0), 4)]).unwrap();
    let (report, _) = there_and_back(&broker, dir.path());
    let text = fs::read_to_string(report.target().join("log-start-offset-checkpoint")).unwrap();
    assert_eq!(text, "0\n1\nt 0 4\n");
}

/// With what the broker has of other topics, and without any.
#[cfg(unix)]
#[test]
fn the_command_for_log_starts_adds_its_lines_to_those_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    for topic in ["s", "t"] {
        (0..10).for_each(|_| _ = broker.topic(topic).unwrap().produce("k", "v").unwrap());
        broker.admin().delete_records(&[(TopicPartition::new(topic, 0), 4)]).unwrap();
    }
    let export = dir.path().join("exported");
    broker.admin().export(&export, &ExportOptions::new()).unwrap();
    let steps = fs::read_to_string(export.join("README.txt")).unwrap();
    let command: Vec<&str> = steps.lines().skip_while(|line| !line.contains("lines=")).take(2).collect();
    let checkpoint = dir.path().join("log-start-offset-checkpoint");
    for (there, expected) in [
        (Some("0\n1\nother 3 17\n"), "0\n3\nother 3 17\ns 0 4\nt 0 4\n"),
        (Some("0\n0\n"), "0\n2\ns 0 4\nt 0 4\n"),
        (None, "0\n2\ns 0 4\nt 0 4\n"),
    ] {
        _ = fs::remove_file(&checkpoint);
        there.inspect(|text| fs::write(&checkpoint, text).unwrap());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command.join("\n")]).env("EXPORT", &export).env("LOG_DIR", dir.path());
        assert!(shell.output().unwrap().status.success());
        assert_eq!(fs::read_to_string(&checkpoint).unwrap(), expected);
    }
}

#[test]
fn the_texts_have_the_commands_for_these_topics() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let config = TopicConfig::new()
        .partitions(2)
        .segment_bytes(4096)
        .cleanup_policy(CleanupPolicy::CompactAndDelete)
        .retention_ms(Duration::from_secs(3600))
        .durability(Durability::Os);
    broker.create_topic("orders", config).unwrap();
    broker.topic("payments").unwrap();
    send(&broker, "payments", "k", "v");
    for group in ["billing", "it's\nodd"] {
        let mut consumer = broker.consumer(group, ["payments"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.commit().unwrap();
    }
    let target = dir.path().join("exported");
    let report = broker.admin().export(&target, &ExportOptions::new()).unwrap();
    assert_eq!((report.groups(), report.partitions().len()), (2, 3));
    let steps = fs::read_to_string(target.join("README.txt")).unwrap();
    for line in [
        "--create --topic orders --partitions 2 --replication-factor 1 --config segment.bytes=1048576 \
         --config cleanup.policy=compact,delete --config retention.ms=3600000\n",
        "--create --topic payments --partitions 1 --replication-factor 1 --config retention.ms=-1\n",
        "for partition in payments-0; do\n",
        "--topic-partitions orders:0,orders:1,payments:0\n",
        "payments-0: begins at 0, ends at 1\n",
    ] {
        assert!(steps.contains(line), "{line}\n{steps}");
    }
    assert!(!steps.contains("ottla."), "{steps}");
    let offsets = fs::read_to_string(target.join("committed-offsets.txt")).unwrap();
    let commands: Vec<&str> = offsets.lines().filter(|line| line.starts_with("kafka")).collect();
    assert_eq!(commands.len(), 2);
    assert!(commands[0].contains("--group 'billing' --from-file committed-offsets-1.csv --execute"), "{offsets}");
    assert!(offsets.contains(r"--group 'it'\''s"), "{offsets}");
    assert_eq!(fs::read_to_string(target.join("committed-offsets-2.csv")).unwrap(), "payments,0,1\n");
    let counted: Vec<_> = files(&target).into_values().collect();
    assert_eq!(
        (report.files(), report.bytes()),
        (counted.len() as u64, counted.iter().map(|file| file.len() as u64).sum())
    );
}

#[test]
fn what_came_from_a_broker_goes_back_to_one() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path().join("data"));
    let mut topics = vec!["codec-none", "codec-snappy", "deleted-records", "epochs", "orders"];
    if Compression::Gzip.is_available() && Compression::Lz4.is_available() && Compression::Zstd.is_available() {
        topics.extend(["transactions", "compacted", "compacted-purged", "append-time"]);
    }
    broker.admin().import(clean(), &ImportOptions::new().topics(topics)).unwrap();
    there_and_back(&broker, dir.path());
}

#[test]
fn a_target_that_is_not_empty_or_lies_in_the_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = open(&data);
    send(&broker, "orders", "k", "v");
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), b"precious").unwrap();
    let refused = broker.admin().export(&target, &ExportOptions::new());
    assert!(matches!(&refused, Err(Error::TargetNotEmpty { found, .. }) if found == "mine"), "{refused:?}");
    assert_eq!(files(&target), BTreeMap::from([("mine".to_owned(), b"precious".to_vec())]));
    let refused = broker.admin().export(&data, &ExportOptions::new());
    assert!(matches!(refused, Err(Error::TargetNotEmpty { .. })), "{refused:?}");
    let refused = broker.admin().export(data.join("exported"), &ExportOptions::new());
    assert!(matches!(refused, Err(Error::InsideDataDirectory { .. })), "{refused:?}");
    let hole = data.join("empty");
    fs::create_dir(&hole).unwrap();
    let refused = broker.admin().export(&hole, &ExportOptions::new());
    assert!(matches!(refused, Err(Error::InsideDataDirectory { .. })), "{refused:?}");
    let refused = broker.admin().export(target.join("mine"), &ExportOptions::new());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    for topic in ["nothing", "__consumer_offsets", "../x"] {
        let target = dir.path().join("another");
        let refused = broker.admin().export(&target, &ExportOptions::new().topics([topic]));
        assert!(matches!(refused, Err(Error::UnknownTopic { .. } | Error::InvalidTopic { .. })), "{refused:?}");
        assert!(!target.exists());
    }
    // A directory that is empty is taken, and one that is not there is made, with those above it.
    fs::remove_file(target.join("mine")).unwrap();
    broker.admin().export(&target, &ExportOptions::new()).unwrap();
    broker.admin().export(dir.path().join("a/b/c"), &ExportOptions::new()).unwrap();
}
