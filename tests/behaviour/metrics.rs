//! What a broker tells of itself: that it is true, that counters never fall, and that nothing wraps.
//!
//! Functions named `k11_…` are the known failures of that number.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ottla::{
    Broker, CommittedOffset, Durability, Error, GroupPartition, Metrics, Partition, PartitionCounters, ProducerRecord,
    Timestamp, TopicConfig,
};

use crate::{open, small_segments};

fn counters(broker: &Broker, topic: &str) -> PartitionCounters {
    broker.metrics().topics[topic].counters().unwrap()
}

fn send(partition: &Partition, value: &str) {
    partition.append(&ProducerRecord::new().key("k").value(value)).unwrap();
}

#[test]
fn what_comes_in_and_goes_out_is_counted_however_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    send(&partition, "one");
    let one = counters(&broker, "orders");
    assert_eq!(one.records_in, 1);
    // A record of Kafka's: length, attributes, timestamp, offset, key and value with their lengths, number of headers.
    assert_eq!(one.bytes_in, 1 + 1 + 1 + 1 + 1 + 1 + 1 + 3 + 1);
    broker.producer().send(ProducerRecord::to("orders").key("k").value("two")).unwrap();
    let batch: Vec<_> = (0..10).map(|_| ProducerRecord::new().key("k").value("of a batch")).collect();
    partition.append_batch(&batch).unwrap();
    // Around the tail.
    send(&partition, &"x".repeat(100_000));
    send(&partition, "behind it");
    let all = counters(&broker, "orders");
    assert_eq!((all.records_in, all.records_out, all.bytes_out), (14, 0, 0));
    assert!((100_000..101_000).contains(&all.bytes_in), "{all:?}");

    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let mut read = 0;
    while read < 14 {
        read += consumer.poll(Duration::from_secs(5)).unwrap().len();
    }
    let out = counters(&broker, "orders");
    assert_eq!((out.records_out, out.bytes_out), (14, all.bytes_in), "what is in the tail and what is in segments");
    assert!(partition.get(3).unwrap().is_some());
    assert_eq!(counters(&broker, "orders").records_out, 15);
    assert_eq!(partition.read(14, 1 << 20).unwrap().len(), 0);
    assert_eq!(counters(&broker, "orders").records_out, 15, "nothing was there");
}

#[test]
fn compression_changes_the_bytes_on_the_disk_and_not_those_that_come_in_or_go_out() {
    let dir = tempfile::tempdir().unwrap();
    // What is full is in segments at once.
    let broker = Broker::builder(dir.path()).background(false).open().unwrap();
    for (name, codec) in [("plain", ottla::Compression::None), ("snappy", ottla::Compression::Snappy)] {
        let config = small_segments().compression(codec);
        let partition = broker.create_topic(name, config).unwrap().partition(0).unwrap();
        // Of one time: how many bytes times take depends on how far apart they are.
        let record = ProducerRecord::new().value("x".repeat(4000)).timestamp(Timestamp::from_millis(1));
        (0..50).for_each(|_| _ = partition.append(&record).unwrap());
        assert_eq!(crate::all_from(&partition, 0).len(), 50);
    }
    let metrics = broker.metrics();
    let [plain, snappy] = ["plain", "snappy"].map(|name| &metrics.topics[name]);
    let [of_plain, of_snappy] = [plain, snappy].map(|topic| topic.counters().unwrap());
    assert_eq!((of_plain.bytes_in, of_plain.bytes_out), (of_snappy.bytes_in, of_snappy.bytes_out));
    assert_eq!(of_plain.bytes_in, of_plain.bytes_out);
    assert!(snappy.log_bytes() * 4 < plain.log_bytes(), "{} of {}", snappy.log_bytes(), plain.log_bytes());
}

#[test]
fn refused_sends_count_as_refused_and_not_as_sent() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let config = TopicConfig::new().max_message_bytes(2000).cleanup_policy(ottla::CleanupPolicy::Compact);
    let partition = broker.create_topic("state", config).unwrap().partition(0).unwrap();
    send(&partition, "well");
    let before = counters(&broker, "state");
    let large = partition.append(&ProducerRecord::new().key("k").value(vec![7; 3000])).unwrap_err();
    assert!(matches!(large, Error::RecordTooLarge { .. }), "{large}");
    let keyless = partition.append(&ProducerRecord::new().value("v")).unwrap_err();
    assert!(matches!(keyless, Error::InvalidRecord { .. }), "{keyless}");
    let mut producer = broker.transactional_producer("p").unwrap();
    let transaction = producer.begin().unwrap();
    assert!(transaction.send(ProducerRecord::to("state").key("k").value(vec![7; 3000])).is_err());
    transaction.abort().unwrap();
    let after = counters(&broker, "state");
    let mut expected = before;
    expected.refused_sends = 3;
    assert_eq!(after, expected);
    // Only the coordinators write to internal topics.
    let internal = broker.existing_topic("__transaction_state").unwrap().partition(0).unwrap();
    let sent = counters(&broker, "__transaction_state").records_in;
    assert!(internal.append(&ProducerRecord::new().key("k").value("v")).is_err());
    let refused = counters(&broker, "__transaction_state");
    assert_eq!((refused.refused_sends, refused.records_in), (1, sent));
    broker.clone().close().unwrap();
    assert!(partition.append(&ProducerRecord::new().key("k").value("v")).is_err());
    assert_eq!(counters(&broker, "state").refused_sends, 4);
}

#[test]
fn records_of_transactions_are_counted_and_their_markers_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.create_topic("ledger", TopicConfig::new()).unwrap();
    let mut producer = broker.transactional_producer("p").unwrap();
    for is_committed in [true, false, true] {
        let transaction = producer.begin().unwrap();
        transaction.send(ProducerRecord::to("ledger").value("a")).unwrap();
        transaction.send(ProducerRecord::to("ledger").value("b")).unwrap();
        let writer = broker.metrics().writer.unwrap();
        assert_eq!(writer.open_transactions, 1);
        assert!(writer.oldest_transaction_age.is_some());
        if is_committed { transaction.commit() } else { transaction.abort() }.unwrap();
    }
    let ledger = &broker.metrics().topics["ledger"];
    assert_eq!((ledger.counters().unwrap().records_in, ledger.log_end_offsets()), (6, 9), "three markers");
    let mut consumer = broker.consumer("readers", ["ledger"]).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 4);
    assert_eq!(counters(&broker, "ledger").records_out, 4, "what was aborted is handed to nobody");
    let writer = broker.metrics().writer.unwrap();
    assert_eq!((writer.open_transactions, writer.oldest_transaction_age), (0, None));
}

/// What must hold in any row of a group.
fn check_row(row: &GroupPartition) {
    let committed = row.committed().map(CommittedOffset::offset);
    assert!(committed.is_none_or(|committed| committed <= row.end_offset()), "{row:?}");
    let from = committed.unwrap_or(0).max(row.log_start_offset());
    assert_eq!(row.lag(), row.end_offset() - from, "{row:?}");
}

/// The rows of `billing` are as they must be at any time: it commits in the first partition, and never in the second one.
fn check_billing(rows: &[GroupPartition]) {
    assert_eq!(rows.len(), 2, "and none of the topic that was deleted: {rows:?}");
    rows.iter().for_each(check_row);
    assert!(rows[0].committed().is_some(), "{rows:?}");
    assert_eq!((rows[1].committed(), rows[1].lag()), (None, 5), "what a new member would read");
}

fn check_snapshot(metrics: &Metrics) {
    check_billing(&metrics.groups["billing"].partitions);
    for row in metrics.groups.values().flat_map(|group| &group.partitions) {
        let at = row.topic_partition();
        let partition = &metrics.topics[at.topic()].partitions[at.partition() as usize];
        assert_eq!(row.end_offset(), partition.last_stable_offset, "one snapshot says one thing");
    }
    for partition in metrics.topics.values().flat_map(|topic| &topic.partitions) {
        let bounds = [
            partition.log_start_offset,
            partition.last_stable_offset,
            partition.high_watermark,
            partition.log_end_offset,
        ];
        assert!(bounds.is_sorted() && partition.durable_offset <= partition.log_end_offset, "{partition:?}");
    }
}

/// Known failure 11.6.
#[test]
fn k11_06_no_lag_is_negative_or_wrapped_and_what_is_absent_is_absent() {
    /// Metrics and descriptions by turns, by the process that writes.
    const SNAPSHOTS: usize = 9_800;
    /// By one that only reads.
    const READ_ONLY_SNAPSHOTS: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let [first, second] = [0, 1].map(|number| topic.partition(number).unwrap());
    (0..5).for_each(|_| send(&second, "never read"));
    send(&first, "first");
    let gone = broker.create_topic("gone", TopicConfig::new()).unwrap().partition(0).unwrap();
    send(&gone, "gone");
    let mut consumer = broker.consumer("billing", ["orders", "gone"]).unwrap();
    let commit = |consumer: &mut ottla::Consumer, partition: &Partition, offset| {
        let offsets = [(partition.topic_partition().clone(), CommittedOffset::new(offset))];
        consumer.commit_offsets(&offsets).unwrap();
    };
    commit(&mut consumer, &gone, 1);
    commit(&mut consumer, &first, 1);
    let before = broker.admin().describe_group("billing").unwrap();
    assert_eq!((before.partitions().len(), before.total_lag()), (3, 5));
    broker.admin().delete_topic("gone").unwrap();
    assert!(consumer.poll(Duration::ZERO).is_ok(), "it learns that the topic is gone");
    consumer.pause(&[second.topic_partition().clone()]).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let (stop, position) = (AtomicBool::new(false), AtomicU64::new(1));
    let (stop, position, first) = (&stop, &position, &first);
    thread::scope(|threads| {
        // At full speed, but no faster than the group follows: so lag is small, and often 0.
        let behind = |position: u64| first.log_end_offset() > position + 1000;
        threads.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if behind(position.load(Ordering::Relaxed)) { thread::yield_now() } else { send(first, "more") }
            }
        });
        let consumer = &mut consumer;
        threads.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let records = consumer.poll(Duration::from_millis(1)).unwrap();
                if let Some(next) = records.next_offset(first.topic_partition()) {
                    commit(consumer, first, next);
                    position.store(next, Ordering::Relaxed);
                }
            }
        });
        let checked = thread::scope(|threads| {
            let check = |broker: &Broker| {
                check_snapshot(&broker.metrics());
                check_billing(broker.admin().describe_group("billing").unwrap().partitions());
            };
            let writer = threads.spawn(move || (0..SNAPSHOTS / 2).for_each(|_| check(&broker)));
            let reader = threads.spawn(move || (0..READ_ONLY_SNAPSHOTS / 2).for_each(|_| check(&reader)));
            [writer.join(), reader.join()]
        });
        stop.store(true, Ordering::Relaxed);
        checked.into_iter().for_each(|checked| checked.unwrap());
    });
}

#[test]
fn rates_are_what_was_done_by_the_time_that_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let before = broker.metrics();
    (0..100).for_each(|_| send(&partition, "2 coffees"));
    assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 100);
    consumer.commit().unwrap();
    (0..20).for_each(|_| send(&partition, "2 coffees"));
    broker.create_topic("new", TopicConfig::new()).unwrap().produce("k", "v").unwrap();
    thread::sleep(Duration::from_millis(2));
    let now = broker.metrics();
    let rates = now.since(&before).unwrap();
    let seconds = rates.elapsed.as_secs_f64();
    assert!(Duration::from_millis(2) <= rates.elapsed && rates.elapsed <= now.uptime, "{rates:?}");
    let is = |rate: f64, count: u32| (rate * seconds - f64::from(count)).abs() < 1e-3;
    let orders = rates.topics["orders"].counters.unwrap();
    assert!(is(orders.records_in_per_second, 120) && is(orders.records_out_per_second, 100), "{rates:?}");
    assert!(is(rates.total.counters.unwrap().records_in_per_second, 121), "without internal topics: {rates:?}");
    assert!(is(rates.topics["new"].offsets_per_second, 1), "{rates:?}");
    assert!(is(rates.groups["billing"].committed_per_second, 100) && is(rates.groups["billing"].lag_per_second, 20));
    let text = rates.to_string();
    assert!(text.contains("(all but internal ones)") && text.contains("billing"), "{text}");
}

#[test]
fn there_is_no_rate_where_there_is_no_time_between() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let earlier = broker.metrics();
    thread::sleep(Duration::from_millis(2));
    let later = broker.metrics();
    assert!(later.since(&earlier).is_some());
    assert!(earlier.since(&later).is_none(), "the wrong order");
    assert!(later.since(&later).is_none(), "no time");
    broker.close().unwrap();
    let broker = open(dir.path());
    thread::sleep(Duration::from_millis(2));
    assert!(broker.metrics().since(&later).is_none(), "another opening");
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert!(reader.metrics().since(&broker.metrics()).is_none(), "another broker");
}

#[test]
fn syncs_are_counted_with_their_time_where_they_happen() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).background(false).open().unwrap();
    let always = broker.create_topic("always", TopicConfig::new()).unwrap().partition(0).unwrap();
    let lazy =
        broker.create_topic("lazy", TopicConfig::new().durability(Durability::Os)).unwrap().partition(0).unwrap();
    let counts = || {
        let writer = broker.metrics().writer.unwrap();
        [&writer.always_tail.syncs, &writer.tail.syncs, &writer.segment_syncs].map(ottla::TimeHistogram::count)
    };
    let [before, tail_before, _] = counts();
    (0..10).for_each(|_| send(&always, "durable"));
    (0..10).for_each(|_| send(&lazy, "not yet"));
    assert_eq!(counts()[..2], [before + 10, tail_before], "who sends alone has a sync for each");
    broker.flush().unwrap();
    assert_eq!(counts()[1], tail_before + 1);
    send(&lazy, &"x".repeat(100_000));
    broker.flush().unwrap();
    let metrics = broker.metrics();
    let writer = metrics.writer.as_ref().unwrap();
    assert!(writer.segment_syncs.count() >= 1, "what went around the tail");
    assert_eq!(metrics.topics["lazy"].counters().unwrap().segment_syncs, 1);
    assert_eq!(metrics.topics["always"].counters().unwrap().segment_syncs, 0);
    let syncs = &writer.always_tail.syncs;
    assert!(syncs.p50() <= syncs.p99() && syncs.p99() <= syncs.max() && syncs.max() <= Some(syncs.total()), "{syncs}");
    assert_eq!((writer.always_tail.slots_in_use, writer.always_tail.slot_bytes_in_use), (1, 4096));
    assert!(writer.always_tail.file_bytes >= 4096);
}

#[test]
fn a_person_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let _consumer = broker.consumer("billing", ["orders"]).unwrap();
    let text = broker.metrics().to_string();
    let cells = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(cells("orders"), ["orders", "1", "1", "0", "0", "0", "B", "1"]);
    assert_eq!(cells("billing"), ["billing", "Stable", "1", "1"]);
    assert_eq!(cells("transactions"), ["transactions:", "0", "open"]);
    assert!(text.starts_with("open for ") && text.contains("tail-always: "), "{text}");
    let reader = Broker::open_read_only(dir.path()).unwrap().metrics().to_string();
    assert!(reader.contains("orders") && !reader.contains("tail"), "{reader}");
}

#[test]
fn who_only_reads_knows_offsets_sizes_and_lag_and_no_counters() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    (0..100).for_each(|_| send(&partition, &"x".repeat(1000)));
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let read = consumer.poll(Duration::from_secs(5)).unwrap().len() as u64;
    consumer.commit().unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let (written, seen) = (broker.metrics(), reader.metrics());
    let [by_writer, by_reader] = [&written, &seen].map(|metrics| metrics.topics["orders"].partitions[0]);
    assert_eq!(by_reader.log_end_offset, 100);
    let mut expected = by_writer;
    (expected.counters, expected.durable_offset) = (None, by_reader.durable_offset);
    assert_eq!(by_reader, expected);
    assert_eq!((seen.groups["billing"].lag(), written.groups["billing"].lag()), (100 - read, 100 - read));
    assert!(seen.writer.is_none() && seen.topics["orders"].counters().is_none());
    send(&partition, "more");
    thread::sleep(Duration::from_millis(2));
    let rates = reader.metrics().since(&seen).unwrap();
    assert!(rates.topics["orders"].offsets_per_second > 0.0 && rates.total.counters.is_none(), "{rates:?}");
    broker.close().unwrap();
    assert_eq!(reader.metrics().topics["orders"].log_end_offsets(), 101);
    drop(reader.clone().close());
    assert_eq!(reader.metrics().topics["orders"].log_end_offsets(), 101, "what was known last");
}

#[test]
fn a_closed_broker_tells_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.topic("orders").unwrap();
    (0..7).for_each(|_| drop(topic.produce("k", "v").unwrap()));
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    consumer.poll(Duration::from_secs(5)).unwrap();
    consumer.commit().unwrap();
    let before = broker.metrics();
    broker.clone().close().unwrap();
    let after = broker.metrics();
    let [before, closed] = [&before, &after].map(|metrics| metrics.topics["orders"].partitions[0]);
    let counters = [before, closed].map(|partition| partition.counters.unwrap());
    assert_eq!(counters.map(|counters| (counters.records_in, counters.bytes_in)), [(7, counters[0].bytes_in); 2]);
    assert_eq!((closed.log_end_offset, closed.durable_offset), (7, 7));
    assert_eq!(after.groups["billing"].lag(), 0);
    assert_eq!((after.open_files, after.maps, after.writer.unwrap().tail.slots_in_use), (0, 0, 0));
}

#[cfg(feature = "serde")]
#[test]
fn it_goes_out_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let _consumer = broker.consumer("billing", ["orders"]).unwrap();
    let json = serde_json::to_value(broker.metrics()).unwrap();
    assert_eq!(json["topics"]["orders"]["partitions"][0]["counters"]["records_in"], 1);
    let row = &json["groups"]["billing"]["partitions"][0];
    assert_eq!((row["partition"].as_str(), row["committed"].is_null()), (Some("orders-0"), true));
    assert_eq!(json["writer"]["tail"]["syncs"]["count"], 0);
    assert!(json["writer"]["tail"]["syncs"]["p99"].is_null() && json["writer"]["disk_used_bytes"].is_null());
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
    use ottla::{BudgetPolicy, CleanupPolicy};

    use super::*;

    const MIB: u64 = 1 << 20;
    const HOUR: Duration = Duration::from_secs(3600);

    /// All numbers of a snapshot that count or measure something.
    fn numbers(metrics: &Metrics) -> Vec<u64> {
        let of_partition = |partition: &ottla::PartitionMetrics| {
            let counters = partition.counters.unwrap();
            let mut numbers = counts(&counters).to_vec();
            numbers.extend([
                partition.log_start_offset,
                partition.log_end_offset,
                partition.durable_offset,
                partition.log_bytes,
                partition.segment_count,
            ]);
            numbers
        };
        let partitions = metrics.topics.values().flat_map(|topic| &topic.partitions);
        let writer = metrics.writer.as_ref().unwrap();
        let of_broker = [
            metrics.open_files,
            metrics.maps,
            writer.tail.slots_in_use,
            writer.tail.slot_bytes_in_use,
            writer.always_tail.slots_in_use,
            writer.segment_syncs.count(),
            writer.maintenance_turns,
            writer.maintenance_failures,
            writer.disk_used_bytes.unwrap(),
        ];
        let lags = metrics.groups.values().map(ottla::GroupMetrics::lag);
        partitions.flat_map(of_partition).chain(of_broker).chain(lags).collect()
    }

    fn counts(counters: &PartitionCounters) -> [u64; 10] {
        [
            counters.records_in,
            counters.bytes_in,
            counters.records_out,
            counters.bytes_out,
            counters.refused_sends,
            counters.segments_rolled,
            counters.segments_deleted,
            counters.bytes_deleted,
            counters.compactions,
            counters.segment_syncs,
        ]
    }

    /// Takes a snapshot after each step, and checks it by itself and against the one before.
    struct Watch<'d> {
        disk: &'d SimulatedDisk,
        snapshots: Vec<Metrics>,
    }

    impl Watch<'_> {
        fn step(&mut self, broker: &Broker, what: &str) -> &Metrics {
            self.disk.advance(Duration::from_secs(1));
            let metrics = broker.metrics();
            assert!(numbers(&metrics).iter().all(|number| *number < 1 << 40), "{what}: {:?}", numbers(&metrics));
            let used = metrics.writer.as_ref().unwrap().disk_used_bytes.unwrap();
            assert_eq!(used, self.disk.allocated_bytes("/data"), "{what}");
            for earlier in &self.snapshots {
                if let Some(rates) = metrics.since(earlier) {
                    check_rise(earlier, &metrics, what);
                    let total = rates.total.counters.unwrap();
                    let fastest = [total.records_in_per_second, total.bytes_in_per_second, total.bytes_out_per_second];
                    assert!(fastest.iter().all(|rate| (0.0..1e9).contains(rate)), "{what}: {rates:?}");
                    assert!(rates.total.log_bytes_per_second.abs() < 1e9, "{what}: {rates:?}");
                }
                assert!(earlier.since(&metrics).is_none(), "{what}: the wrong order");
            }
            self.snapshots.push(metrics);
            self.snapshots.last().unwrap()
        }
    }

    fn check_rise(earlier: &Metrics, later: &Metrics, what: &str) {
        for (name, topic) in &later.topics {
            let Some(before) = earlier.topics.get(name) else { continue };
            for (before, now) in before.partitions.iter().zip(&topic.partitions) {
                let [before, now] = [before, now].map(|partition| counts(&partition.counters.unwrap()));
                assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "{what}: {before:?}, {now:?}");
            }
        }
    }

    /// Known failure 11.7.
    #[test]
    fn k11_07_counters_never_run_backwards_and_gauges_never_wrap() {
        let disk = SimulatedDisk::new(1);
        disk.set_now_ms(1_700_000_000_000);
        let open = || {
            let builder = Broker::builder("/data").disk(&disk).durability(Durability::Os).background(false);
            builder.tail_bytes(MIB).disk_budget(8 * MIB, BudgetPolicy::Reject).open().unwrap()
        };
        let broker = open();
        let mut watch = Watch { disk: &disk, snapshots: Vec::new() };
        let segments = TopicConfig::new().segment_bytes(64 << 10);
        let topic = |name: &str, config: TopicConfig| broker.create_topic(name, config).unwrap().partition(0).unwrap();
        let orders = topic("orders", segments.clone().retention_ms(HOUR));
        let state = topic("state", segments.clone().cleanup_policy(CleanupPolicy::Compact));
        let of = |metrics: &Metrics, topic: &str| metrics.topics[topic].counters().unwrap();

        let large = "x".repeat(1000);
        (0..300).for_each(|_| send(&orders, &large));
        (0..300).for_each(|_| send(&state, &large));
        let sent = watch.step(&broker, "sends");
        assert_eq!((of(sent, "orders").records_in, of(sent, "state").records_in), (300, 300));
        assert!(of(sent, "orders").segments_rolled > 2);
        let mut consumer = broker.consumer_with(ottla::ConsumerConfig::new("billing").topics(["orders"])).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.commit().unwrap();
        assert!(of(watch.step(&broker, "a poll"), "orders").records_out > 0);

        broker.admin().delete_records(&[(orders.topic_partition().clone(), 200)]).unwrap();
        let deleted = watch.step(&broker, "deleted records");
        assert!(of(deleted, "orders").segments_deleted > 0 && of(deleted, "orders").bytes_deleted > 64 << 10);
        assert!(deleted.groups["billing"].lag() <= 100, "from the start, where that is above what was committed");
        broker.admin().compact("state").unwrap();
        assert!(of(watch.step(&broker, "compaction"), "state").compactions > 0);
        disk.advance(3 * HOUR);
        broker.run_maintenance().unwrap();
        let before = watch.step(&broker, "retention").clone();
        assert!(of(&before, "orders").segments_deleted > 3);

        // Until the budget refuses.
        let refusal = loop {
            if let Err(error) = orders.append(&ProducerRecord::new().key("k").value(large.as_str())) {
                break error;
            }
        };
        assert!(matches!(refusal, Error::OverBudget { .. }), "{refusal}");
        assert!(orders.append(&ProducerRecord::new().key("k").value(large.as_str())).is_err());
        let refused = of(watch.step(&broker, "a budget that refuses"), "orders");
        assert_eq!(refused.refused_sends, 2);
        assert_eq!(refused.records_in, orders.log_end_offset(), "what was refused is not counted as sent");

        // A topic that is made anew begins anew.
        broker.admin().delete_topic("state").unwrap();
        watch.step(&broker, "a deleted topic");
        let state = topic("again", segments);
        send(&state, "v");
        assert_eq!(of(watch.step(&broker, "a new topic"), "again").records_in, 1);
        disk.fail(
            FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::Open).path_containing("orders-0").forever(),
        );
        _ = broker.run_maintenance();
        disk.clear_faults();
        watch.step(&broker, "a maintenance that fails");
        drop((orders, state, consumer));
        broker.close().unwrap();

        let broker = open();
        let after = watch.step(&broker, "another opening").clone();
        assert_eq!(of(&after, "orders"), PartitionCounters::default(), "it counts anew");
        assert!(after.topics["orders"].partitions[0].log_end_offset > 300);
        assert!(watch.snapshots.iter().all(|earlier| after.since(earlier).is_none()), "across an opening");
    }

    #[test]
    fn a_topic_of_the_same_name_is_another_one_to_rates() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").disk(&disk).durability(Durability::Os).background(false).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        (0..100).for_each(|_| drop(topic.produce("k", "v").unwrap()));
        let before = broker.metrics();
        broker.admin().delete_topic("orders").unwrap();
        (0..10).for_each(|_| drop(broker.topic("orders").unwrap().produce("k", "v").unwrap()));
        disk.advance(Duration::from_secs(2));
        let rates = broker.metrics().since(&before).unwrap().topics["orders"];
        assert_eq!((rates.counters.unwrap().records_in_per_second, rates.offsets_per_second), (5.0, 5.0));
    }

    #[test]
    fn a_partition_that_refuses_writes_says_so() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").disk(&disk).background(false).open().unwrap();
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        send(&partition, "well");
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail"));
        let failed = partition.append(&ProducerRecord::new().value("in doubt")).unwrap_err();
        assert!(matches!(failed, Error::InDoubt { .. }), "{failed}");
        let metrics = broker.metrics();
        assert!(metrics.topics["orders"].partitions[0].is_failed);
        let counters = metrics.topics["orders"].counters().unwrap();
        assert_eq!((counters.records_in, counters.refused_sends), (2, 0), "it is in doubt, and not refused");
        assert!(partition.append(&ProducerRecord::new().value("refused")).is_err());
        assert_eq!(super::counters(&broker, "orders").refused_sends, 1);
        assert_eq!(metrics.writer.unwrap().always_tail.syncs.count(), 1, "a sync that failed is none");
    }
}
