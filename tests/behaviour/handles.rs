//! Handles can go where an application needs them, and `{:?}` of anything is a line.

use std::fmt::Debug;
use std::time::Duration;

use ottla::*;

/// Compiles if `T` may be shared between threads and kept for as long as one likes.
const fn shared<T: Send + Sync + 'static>() {}

/// Compiles if `T` may move to another thread, where it is used by one at a time.
const fn moved<T: Send>() {}

const _: () = {
    shared::<Broker>();
    shared::<Topic>();
    shared::<Partition>();
    shared::<Producer>();
    shared::<Consumer>();
    shared::<ConsumerHandle>();
    shared::<Admin<'static>>();
    shared::<ResetOffsets>();
    shared::<ConsumerRecords>();
    shared::<OwnedRecord>();
    shared::<ProducerRecord<'static>>();
    shared::<ConsumerRecord<'static>>();
    shared::<BatchMetadata>();
    shared::<RecordMetadata>();
    shared::<Error>();
    shared::<BrokerBuilder>();
    shared::<TopicConfig>();
    shared::<ProducerConfig>();
    shared::<ConsumerConfig>();
    shared::<RecoveryReport>();
    shared::<VerifyReport>();
    shared::<GroupDescription>();
    shared::<TopicDescription>();
    moved::<Ready<'static>>();
    #[cfg(feature = "futures")]
    moved::<RecordStream<'static>>();
};

#[test]
fn what_is_handed_to_a_thread_works_there() {
    let broker = Broker::temporary().unwrap();
    let (topic, producer) = (broker.topic("orders").unwrap(), broker.producer());
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let sending = std::thread::spawn(move || {
        topic.produce("k", "1").unwrap();
        producer.send(ProducerRecord::to("orders").value("2")).unwrap();
    });
    sending.join().unwrap();
    let reading = std::thread::spawn(move || consumer.poll(Duration::from_secs(10)).unwrap());
    assert_eq!(reading.join().unwrap().len(), 2);
}

/// A line of at most `chars_max` characters.
fn assert_is_a_line(shown: &dyn Debug, chars_max: usize) -> String {
    let line = format!("{shown:?}");
    assert!(!line.contains('\n') && line.chars().count() <= chars_max, "{} characters: {line}", line.chars().count());
    line
}

#[test]
fn a_handle_is_shown_in_a_line() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(64)).unwrap();
    for n in 0..1000 {
        topic.produce(n.to_string(), vec![b'x'; 1000]).unwrap();
    }
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(Duration::from_secs(10)).unwrap();

    assert_eq!(assert_is_a_line(&topic, 200), "Topic { name: \"orders\", partition_count: 64, .. }");
    let partition = topic.partition(3).unwrap();
    assert!(
        assert_is_a_line(&partition, 200).starts_with("Partition { topic_partition: orders-3, log_start_offset: 0,")
    );
    assert_is_a_line(&broker, 300);
    assert_is_a_line(&broker.admin(), 400);
    assert_is_a_line(&broker.producer(), 200);
    assert_is_a_line(&consumer.handle(), 200);
    assert_is_a_line(&broker.admin().reset_offsets("g").topic("orders"), 400);
    assert_is_a_line(&consumer.ready(), 400);
    assert_is_a_line(&consumer, 300);
    // It names its partitions.
    assert_is_a_line(&records, 1000);
    assert_is_a_line(&records.iter(), 200);
    assert_is_a_line(&broker.recovery_report(), 500);
    assert_is_a_line(&Broker::builder("some/dir"), 1000);
    assert_is_a_line(&ProducerConfig::new(), 200);
}

#[test]
fn a_record_is_shown_by_its_address_its_time_and_the_beginning_of_what_it_says() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let long = "coffee ".repeat(100);
    let record = ProducerRecord::new().key(&[0, 0xff]).value(&long).header("trace", "4bf9").null_header("retry");
    partition.append(&record.timestamp(Timestamp::from_millis(1_700_000_000_042))).unwrap();
    let records = partition.read(0, 4096).unwrap();
    let read = records.iter().next().unwrap();
    let expected = format!(
        "{{ at: orders-0@0, timestamp: 2023-11-14T22:13:20.042Z, key: b\"\\x00\\xff\", value: {:?}… (700 bytes), \
         headers: [trace: \"4bf9\", retry: null] }}",
        &long[..64]
    );
    assert_eq!(format!("{read:?}"), format!("ConsumerRecord {expected}"));
    assert_eq!(format!("{:?}", read.detach()), format!("OwnedRecord {expected}"));
    assert_eq!(format!("{records:?}"), "ConsumerRecords { len: 1, partitions: [orders-0] }");
}

#[test]
fn what_is_long_is_cut_where_many_records_are_shown() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let value = vec![b'x'; 100_000];
    let header = Header::new("long", &value);
    let record = ProducerRecord::new().key(&value).value(&value).headers(std::slice::from_ref(&header));
    assert_is_a_line(&record, 400);
    assert_is_a_line(&header, 120);
    partition.append(&record).unwrap();
    assert_is_a_line(&partition.get(0).unwrap(), 400);
}
