//! What a broker wrote, imported: the records, the isolation levels, the epochs and the committed offsets are those that it says.

use std::collections::BTreeMap;
use std::fs;

use ottla::{
    Broker, Compression, Error, ExportOptions, ImportOptions, Isolation, OwnedRecord, SeekTo, TopicConfig,
    TopicPartition,
};
use serde_json::{Value, json};

use crate::data::{clean, copy, expected, killed, shown};
use crate::{is_whole, open, seen_by};

/// The topics whose codec may be missing in this build.
const CODECS: [(&str, Compression); 3] =
    [("codec-gzip", Compression::Gzip), ("codec-lz4", Compression::Lz4), ("codec-zstd", Compression::Zstd)];

/// The topics that this build can read; those with several codecs need all of them.
fn topics() -> Vec<String> {
    let mut topics = vec!["codec-none", "codec-snappy", "deleted-records", "deleted-to-end", "epochs", "orders"];
    if CODECS.iter().all(|(_, codec)| codec.is_available()) {
        topics.extend([
            "append-time",
            "compacted",
            "compacted-purged",
            "transactions",
            "codec-gzip",
            "codec-lz4",
            "codec-zstd",
        ]);
    }
    topics.into_iter().map(str::to_owned).collect()
}

/// A record as the expectations have it.
fn record_shown(record: &OwnedRecord) -> Value {
    let headers: Vec<Value> = record.headers().map(|header| json!([header.key(), shown(header.value())])).collect();
    json!({
        "offset": record.offset(),
        "timestamp": record.timestamp().as_millis(),
        "key": shown(record.key()),
        "value": shown(record.value()),
        "headers": headers,
        "epoch": record.leader_epoch(),
    })
}

/// The records of a partition that the broker shows at this isolation level, to who reads up to its end.
fn records_expected(of: &Value, isolation: Isolation, is_read: impl Fn(u64) -> bool) -> Vec<Value> {
    let mut records = Vec::new();
    for batch in of["batches"].as_array().unwrap() {
        for record in batch["records"].as_array().unwrap() {
            let is_seen = match record["seen_by"].as_str().unwrap() {
                "both" => true,
                "read_uncommitted" => {
                    isolation == Isolation::ReadUncommitted || is_read(record["offset"].as_u64().unwrap())
                }
                _ => false,
            };
            if is_seen {
                records.push(json!({
                    "offset": record["offset"],
                    "timestamp": record["timestamp"],
                    "key": record["key"],
                    "value": record["value"],
                    "headers": record["headers"],
                    "epoch": batch["leader_epoch"],
                }));
            }
        }
    }
    records
}

/// The transactions that are open at the end, by producer id, with their first offsets.
fn open_at_end(of: &Value) -> BTreeMap<i64, u64> {
    let mut open = BTreeMap::new();
    for batch in of["batches"].as_array().unwrap() {
        let producer = batch["producer_id"].as_i64().unwrap();
        if batch["control"] == true {
            open.remove(&producer);
        } else if batch["transactional"] == true {
            open.entry(producer).or_insert_with(|| batch["base_offset"].as_u64().unwrap());
        }
    }
    open
}

/// Above the last stable offset what was committed is hidden at the broker, as a transaction is open below; here that is aborted, and it
/// is seen.
fn was_hidden(of: &Value) -> impl Fn(u64) -> bool + use<> {
    let stable = of["last_stable_offset"].as_u64().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let batches = of["batches"].as_array().unwrap();
    for (index, batch) in batches.iter().enumerate().filter(|(_, batch)| batch["control"] == false) {
        let producer = &batch["producer_id"];
        let ends =
            || batches[index..].iter().find(|later| later["control"] == true && later["producer_id"] == *producer);
        let counts = batch["transactional"] == false || ends().is_some_and(|end| end["marker"]["type"] == "COMMIT");
        for record in batch["records"].as_array().unwrap() {
            let offset = record["offset"].as_u64().unwrap();
            if counts && stable <= offset {
                seen.insert(offset);
            }
        }
    }
    move |offset| seen.contains(&offset)
}

/// Compares a partition with what the broker says of it.
fn is_as_expected(broker: &Broker, partition: &TopicPartition, of: &Value) {
    let log = broker.existing_topic(partition.topic()).unwrap().partition(partition.partition()).unwrap();
    let open = open_at_end(of);
    let end = of["high_watermark"].as_u64().unwrap();
    let added = open.len() as u64;
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (of["log_start_offset"].as_u64().unwrap(), end + added),
        "{partition}"
    );
    assert_eq!(log.last_stable_offset(), end + added, "{partition}: nothing is open");
    let was_hidden = was_hidden(of);
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let found: Vec<Value> = seen_by(broker, partition.topic(), isolation)
            .iter()
            .filter(|record| record.topic_partition() == partition)
            .map(record_shown)
            .collect();
        let expected = records_expected(of, isolation, &was_hidden);
        assert_eq!(found.len(), expected.len(), "{partition} {isolation:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{partition} {isolation:?}");
        }
    }
}

fn partitions_of(folder: &str, topic: &str) -> Vec<(TopicPartition, &'static Value)> {
    let named = expected().as_object().unwrap().iter().filter_map(|(name, of)| {
        let partition: TopicPartition = name.strip_prefix(folder)?.strip_prefix('/')?.parse().ok()?;
        (partition.topic() == topic).then_some((partition, of))
    });
    named.collect()
}

#[test]
fn every_topic_of_a_broker_is_imported_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let report = broker.admin().import(clean(), &ImportOptions::new().topics(topics())).unwrap();
    assert_eq!(report.topics().len(), topics().len());
    assert_eq!(broker.admin().list_topics().unwrap().len(), topics().len(), "no internal topic was imported");
    let check = |broker: &Broker| {
        for topic in topics() {
            let partitions = partitions_of("clean", &topic);
            assert!(!partitions.is_empty());
            for (partition, of) in partitions {
                is_as_expected(broker, &partition, of);
            }
        }
        is_whole(broker);
    };
    check(&broker);
    broker.close().unwrap();
    check(&open(dir.path()));
    // Whoever was killed has it all the same.
    let broker = open(dir.path());
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());
    drop(broker);
    let broker = open(killed.path());
    topics()
        .iter()
        .flat_map(|topic| partitions_of("clean", topic))
        .for_each(|(partition, of)| is_as_expected(&broker, &partition, of));
}

#[test]
fn what_a_codec_is_missing_for_is_refused_before_anything_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    for (topic, codec) in CODECS {
        let imported = broker.admin().import(clean(), &ImportOptions::new().topics(["codec-none", topic]));
        match imported {
            Ok(_) if codec.is_available() => {
                for topic in ["codec-none", topic] {
                    broker.admin().delete_topic(topic).unwrap();
                }
            }
            Err(Error::CodecUnavailable { partition, codec: named, .. }) if !codec.is_available() => {
                assert_eq!((partition.topic(), named), (topic, codec.name()));
            }
            other => panic!("{topic}: {other:?}"),
        }
        assert!(broker.admin().list_topics().unwrap().is_empty());
    }
}

#[test]
fn leader_epochs_are_those_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.admin().import(clean(), &ImportOptions::new().topics(["epochs", "deleted-records"])).unwrap();
    for topic in ["epochs", "deleted-records"] {
        let [(partition, of)] = partitions_of("clean", topic).try_into().unwrap();
        let file = fs::read_to_string(dir.path().join(format!("{partition}/leader-epoch-checkpoint"))).unwrap();
        let lines: Vec<Value> = file
            .lines()
            .skip(2)
            .map(|line| {
                let (epoch, offset) = line.split_once(' ').unwrap();
                json!([epoch.parse::<i64>().unwrap(), offset.parse::<u64>().unwrap()])
            })
            .collect();
        assert_eq!(Value::from(lines), of["leader_epochs"], "{partition}");
    }
    // What is sent goes on in the last epoch.
    let sent = broker.topic("epochs").unwrap().produce("k", "v").unwrap();
    let record = broker.topic("epochs").unwrap().partition(0).unwrap().get(sent.offset()).unwrap().unwrap();
    assert_eq!(record.leader_epoch(), 8);
}

#[test]
fn committed_offsets_are_those_of_the_groups() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let report = broker.admin().import(clean(), &ImportOptions::new().topics(["orders", "codec-none"])).unwrap();
    let mut committed = BTreeMap::new();
    for group in expected()["clean/groups"]["groups"].as_array().unwrap() {
        for offset in group["offsets"].as_array().unwrap() {
            let partition = TopicPartition::new(
                offset["topic"].as_str().unwrap(),
                u32::try_from(offset["partition"].as_u64().unwrap()).unwrap(),
            );
            let group = group["group"].as_str().unwrap().to_owned();
            let epoch = i32::try_from(offset["leader_epoch"].as_i64().unwrap()).ok().filter(|epoch| 0 <= *epoch);
            let metadata = offset["metadata"].as_str().unwrap().to_owned();
            committed.insert((group, partition), (offset["offset"].as_u64().unwrap(), epoch, metadata));
        }
    }
    assert!(20 < committed.len());
    let check = |broker: &Broker| {
        for ((group, partition), (offset, epoch, metadata)) in &committed {
            let found = broker.committed(group, partition).unwrap().unwrap_or_else(|| panic!("{group} {partition}"));
            assert_eq!(
                (found.offset(), found.leader_epoch(), found.metadata()),
                (*offset, *epoch, metadata.as_str()),
                "{group} {partition}"
            );
        }
        let groups = broker.admin().describe_groups().unwrap();
        let of_groups: usize =
            groups.iter().map(|group| group.partitions().iter().filter(|row| row.committed().is_some()).count()).sum();
        assert_eq!(of_groups, committed.len(), "and no other");
    };
    check(&broker);
    assert_eq!(report.topics().iter().map(|topic| topic.offsets().len()).sum::<usize>(), committed.len());
    broker.close().unwrap();
    check(&open(dir.path()));

    let without = tempfile::tempdir().unwrap();
    let broker = open(without.path());
    broker.admin().import(clean(), &ImportOptions::new().topics(["orders"]).committed_offsets(false)).unwrap();
    assert!(broker.admin().list_groups().unwrap().is_empty());
}

#[test]
fn a_broker_that_was_killed_is_imported_with_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let report = broker.admin().import(killed(), &ImportOptions::new()).unwrap();
    let of = &expected()["killed/unclean-0"];
    is_as_expected(&broker, &TopicPartition::new("unclean", 0), of);
    let [imported] = report.topics()[0].partitions() else { panic!("{report}") };
    assert_eq!((imported.aborted_transactions(), imported.torn_end()), (open_at_end(of).len(), None));
    assert!(0 < imported.aborted_transactions());
    is_whole(&broker);
}

#[test]
fn a_torn_end_is_cut_and_reported() {
    let (source, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&killed(), source.path());
    let newest = source.path().join("unclean-0/00000000000000000245.log");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..4929]).unwrap();
    let broker = open(dir.path());
    let report = broker.admin().import(source.path(), &ImportOptions::new()).unwrap();
    is_as_expected(&broker, &TopicPartition::new("unclean", 0), &expected()["cut/unclean-0"]);
    let torn = report.topics()[0].partitions()[0].torn_end().unwrap();
    assert_eq!((&torn.path, torn.file_position + torn.bytes), (&newest, 4929));
    assert!(report.to_string().contains("left out"), "{report}");
    is_whole(&broker);
    // The source is as it was.
    assert_eq!(fs::read(&newest).unwrap(), bytes[..4929]);
}

#[test]
fn what_a_broker_has_recovered_is_imported_with_the_epochs_that_it_has_now() {
    // What the broker changed when it was started on them, of what is read: it cut the torn end, and counts in another epoch.
    for (name, newest_bytes, end) in [("killed", 5001, 356), ("cut", 4857, 353)] {
        let (source, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy(&killed(), source.path());
        let partition = source.path().join("unclean-0");
        let newest = partition.join("00000000000000000245.log");
        let bytes = fs::read(&newest).unwrap();
        fs::write(&newest, &bytes[..newest_bytes]).unwrap();
        fs::write(partition.join("leader-epoch-checkpoint"), format!("0\n2\n0 0\n2 {end}\n")).unwrap();
        let broker = open(dir.path());
        let report = broker.admin().import(source.path(), &ImportOptions::new()).unwrap();
        let of = &expected()[format!("{name}/unclean-0")];
        is_as_expected(&broker, &TopicPartition::new("unclean", 0), of);
        let [imported] = report.topics()[0].partitions() else { panic!("{report}") };
        assert_eq!((imported.aborted_transactions(), imported.torn_end()), (open_at_end(of).len(), None));
        let sent = broker.topic("unclean").unwrap().produce("key", "value").unwrap();
        let last = broker.topic("unclean").unwrap().partition(0).unwrap().read(sent.offset(), 1).unwrap();
        assert!(2 <= last.iter().next().unwrap().leader_epoch(), "the epochs go on");
        is_whole(&broker);
    }
}

#[test]
fn one_partition_directory_is_imported_alone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.admin().import(clean().join("orders-0"), &ImportOptions::new()).unwrap();
    assert_eq!(broker.topic("orders").unwrap().partition_count(), 1);
    let (partition, of) = &partitions_of("clean", "orders")[0];
    is_as_expected(&broker, partition, of);
    assert_eq!(broker.committed("classic-gone", partition).unwrap().unwrap().offset(), 12);
    broker.admin().delete_topic("orders").unwrap();

    // Another one than the first leaves open what is in those before.
    let alone = broker.admin().import(clean().join("orders-2"), &ImportOptions::new());
    assert!(
        matches!(&alone, Err(Error::CannotImport { reason, .. }) if reason.contains("orders-0 is missing")),
        "{alone:?}"
    );
    broker.admin().import(clean().join("orders-2"), &ImportOptions::new().missing_partitions(true)).unwrap();
    let (partition, of) = &partitions_of("clean", "orders")[2];
    is_as_expected(&broker, partition, of);
    assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset(), 0);
}

#[test]
fn a_topic_that_is_there_is_filled_if_it_is_empty_and_has_as_many_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let config = TopicConfig::new().partitions(3).segment_bytes(4096);
    let before = broker.create_topic("orders", config).unwrap();
    let mut consumer = broker.consumer("standalone", ["orders"]).unwrap();
    assert!(consumer.poll(std::time::Duration::ZERO).unwrap().is_empty());
    broker.admin().import(clean(), &ImportOptions::new().topics(["orders"])).unwrap();
    for (partition, of) in partitions_of("clean", "orders") {
        is_as_expected(&broker, &partition, of);
    }
    assert!(matches!(before.produce("k", "v"), Err(Error::Closed { .. })));
    assert_eq!(broker.existing_topic("orders").unwrap().config().get_segment_bytes(), 4096);
    // Who was reading goes on with what the group has committed there.
    let mut found = Vec::new();
    for _ in 0..10 {
        match consumer.poll(std::time::Duration::ZERO) {
            Ok(records) => found.extend(records.iter().map(|record| (record.partition(), record.offset()))),
            Err(error) => assert!(
                matches!(error, Error::Closed { .. } | Error::UnknownTopic { .. } | Error::Fenced { .. }),
                "{error}"
            ),
        }
    }
    if let Some((_, first)) = found.iter().find(|(partition, _)| *partition == 0) {
        assert_eq!(*first, 6);
    }
    drop(consumer);
    broker.close().unwrap();
    let broker = open(dir.path());
    for (partition, of) in partitions_of("clean", "orders") {
        is_as_expected(&broker, &partition, of);
    }
    // It is not empty any more.
    let again = broker.admin().import(clean(), &ImportOptions::new().topics(["orders"]));
    assert!(matches!(&again, Err(Error::CannotImport { topic, .. }) if topic == "orders"), "{again:?}");
    broker.create_topic("epochs", TopicConfig::new().partitions(2)).unwrap();
    let other_count = broker.admin().import(clean(), &ImportOptions::new().topics(["epochs"]));
    assert!(
        matches!(&other_count, Err(Error::CannotImport { reason, .. }) if reason.contains("number of partitions")),
        "{other_count:?}"
    );
}

#[test]
fn what_was_imported_is_sent_to_and_read_like_any_other_topic() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.admin().import(killed(), &ImportOptions::new()).unwrap();
    broker.admin().import(clean(), &ImportOptions::new().topics(["deleted-to-end"])).unwrap();
    let next = broker.topic("deleted-to-end").unwrap().produce("k", "v").unwrap();
    assert_eq!(next.offset(), 125);
    let mut producer = broker.transactional_producer("p").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ottla::ProducerRecord::to("unclean").value("after")).unwrap();
    transaction.commit().unwrap();
    let partition = TopicPartition::new("unclean", 0);
    let end = broker.topic("unclean").unwrap().partition(0).unwrap().log_end_offset();
    let mut consumer = broker.consumer_with(ottla::ConsumerConfig::new("g")).unwrap();
    consumer.assign(std::slice::from_ref(&partition)).unwrap();
    consumer.seek(&partition, SeekTo::Offset(end - 2)).unwrap();
    let records = consumer.poll(std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"after"[..]));
    broker.admin().delete_records(&[(partition.clone(), 150)]).unwrap();
    broker.run_maintenance().unwrap();
    is_whole(&broker);
    broker.close().unwrap();
    is_whole(&open(dir.path()));
}

/// A broker keeps an empty file where its log begins if compaction leaves nothing of the first segments. Whoever has read a part of
/// what is gone goes on behind it, and is not told that his offset is out of range.
#[test]
fn a_log_of_whose_first_segments_nothing_is_left_begins_where_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("left/prices-0");
    fs::create_dir_all(&left).unwrap();
    for number in [0, 20, 50] {
        fs::write(left.join(format!("{number:020}.log")), b"").unwrap();
    }
    let source = open(dir.path().join("source"));
    for number in 0..100 {
        source.topic("prices").unwrap().produce("k", format!("{number:03000}")).unwrap();
    }
    source.admin().export(dir.path().join("exported"), &ExportOptions::new()).unwrap();
    let log = fs::read(dir.path().join("exported/prices-0/00000000000000000000.log")).unwrap();
    let batches = crate::decoder::batches(&log);
    let first = batches.iter().find(|batch| 50 <= batch.base_offset).unwrap().base_offset;
    let kept = batches.iter().filter(|batch| first <= batch.base_offset).flat_map(|batch| batch.bytes.clone());
    fs::write(left.join(format!("{first:020}.log")), kept.collect::<Vec<u8>>()).unwrap();
    for opening in 0..2 {
        let broker = open(dir.path().join("data"));
        if opening == 0 {
            let report = broker.admin().import(left.parent().unwrap(), &ImportOptions::new()).unwrap();
            assert_eq!(report.partitions().next().unwrap().offsets(), 0..100);
        }
        let log = broker.topic("prices").unwrap().partition(0).unwrap();
        assert_eq!(log.log_start_offset()..log.log_end_offset(), 0..100, "opening {opening}");
        let mut reader = broker.consumer("late", ["prices"]).unwrap();
        reader.poll(std::time::Duration::ZERO).unwrap();
        reader.seek(&TopicPartition::new("prices", 0), SeekTo::Offset(10)).unwrap();
        let next = reader.next_record(std::time::Duration::ZERO).unwrap().unwrap();
        assert_eq!((next.offset(), reader.reset_count()), (first.cast_unsigned(), 0));
        is_whole(&broker);
    }
}
