//! What was read can be sent on as it is, and kept, and committed, in either of its two forms.

use std::time::Duration;

use ottla::{
    Broker, ConsumerRecord, Error, Header, OwnedRecord, ProducerRecord, SendOutcome, Timestamp, TopicPartition,
};

const WAIT: Duration = Duration::from_secs(10);

/// A broker with a topic of three records, of which the last is a tombstone with headers.
fn broker() -> Broker {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let at = |ms| Timestamp::from_millis(ms);
    partition.append(&ProducerRecord::new().key("a").value("1").timestamp(at(1000))).unwrap();
    partition.append(&ProducerRecord::new().value("").timestamp(at(2000))).unwrap();
    let headers = [Header::new("trace", "4bf9"), Header::null("retry"), Header::new("trace", b"\xff")];
    partition.append(&ProducerRecord::new().key("a").headers(&headers).timestamp(at(3000))).unwrap();
    broker
}

fn read(broker: &Broker, topic: &str) -> Vec<OwnedRecord> {
    broker.topic(topic).unwrap().partition(0).unwrap().iter_from(0).map(|record| record.unwrap()).collect()
}

/// All of a record but its address.
fn content(record: &OwnedRecord) -> ([Option<&[u8]>; 2], Vec<Header<'_>>, Timestamp) {
    ([record.key(), record.value()], record.headers().collect(), record.timestamp())
}

#[test]
fn a_record_is_forwarded_as_it_is_in_both_forms() {
    let broker = broker();
    for topic in ["views", "copies"] {
        broker.topic(topic).unwrap();
    }
    let producer = broker.producer();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    for record in &consumer.poll(WAIT).unwrap() {
        producer.send(ProducerRecord::from(&record).topic("views")).unwrap();
        let copy = record.detach();
        producer.send(ProducerRecord::from(&copy).topic("copies")).unwrap();
    }
    let sent = read(&broker, "orders");
    assert_eq!(sent.len(), 3);
    for topic in ["views", "copies"] {
        let forwarded = read(&broker, topic);
        assert_eq!(forwarded.iter().map(content).collect::<Vec<_>>(), sent.iter().map(content).collect::<Vec<_>>());
    }
}

#[test]
fn a_forwarded_record_goes_nowhere_by_itself() {
    let broker = broker();
    let records = broker.topic("orders").unwrap().partition(0).unwrap().read(0, 1024).unwrap();
    let record = records.iter().next().unwrap();
    let refused = broker.producer().send(ProducerRecord::from(&record)).unwrap_err();
    assert!(matches!(refused, Error::NoTopic), "{refused}");
    assert_eq!(refused.outcome(), SendOutcome::NotAppended);
    assert_eq!(read(&broker, "orders").len(), 3);
}

#[test]
fn parts_of_a_record_can_be_sent_on() {
    let broker = broker();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let answers = broker.topic("answers").unwrap().partition(0).unwrap();
    let kept = ProducerRecord::to("answers").key(partition.get(0).unwrap().unwrap().into_value());
    let records = partition.read(0, 4096).unwrap();
    let last: ConsumerRecord<'_> = records.iter().last().unwrap();
    let copy = last.detach();
    answers.append(&kept.clone().value(last.key()).headers(last.headers())).unwrap();
    answers.append(&kept.value(copy.key()).headers(copy.headers())).unwrap();
    let answers = read(&broker, "answers");
    for answer in &answers {
        assert_eq!((answer.key(), answer.value()), (Some(&b"1"[..]), Some(&b"a"[..])));
        assert_eq!(answer.headers().collect::<Vec<_>>(), copy.headers().collect::<Vec<_>>());
    }
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_partition_takes_records_that_name_no_topic_and_refuses_those_that_name_another() {
    let partition = broker().topic("orders").unwrap().partition(0).unwrap();
    assert_eq!(partition.append(&ProducerRecord::new().value("4")).unwrap(), 3);
    assert_eq!(partition.append(&ProducerRecord::to("orders").partition(0).value("5")).unwrap(), 4);
    for other in [ProducerRecord::to("payments"), ProducerRecord::new().partition(1)] {
        assert!(matches!(partition.append(&other), Err(Error::InvalidRecord { .. })));
    }
    assert_eq!(partition.log_end_offset(), 5);
}

#[test]
fn a_batch_needs_no_topics_either() {
    let broker = broker();
    let sent = broker.producer().send_batch("orders", &[ProducerRecord::new().value("4")]).unwrap();
    assert_eq!(sent.first().unwrap().to_string(), "orders-0@3");
}

#[test]
fn a_record_is_found_by_its_offset() {
    let broker = broker();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for offset in 0..3 {
        let record = partition.get(offset).unwrap().unwrap();
        assert_eq!((record.topic(), record.partition(), record.offset()), ("orders", 0, offset));
    }
    assert_eq!(partition.get(1).unwrap().unwrap().value(), Some(&b""[..]), "empty, and not null");
    for absent in [3, 4, u64::MAX] {
        assert_eq!(partition.get(absent).unwrap(), None);
    }
    broker.clone().close().unwrap();
    assert!(matches!(partition.get(0), Err(Error::Closed { .. })));
}

#[test]
fn a_copy_reads_as_the_record_does() {
    let broker = broker();
    let records = broker.topic("orders").unwrap().partition(0).unwrap().read(0, 4096).unwrap();
    for record in &records {
        let copy = record.detach();
        assert_eq!(
            (copy.topic(), copy.partition(), copy.offset()),
            (record.topic(), record.partition(), record.offset())
        );
        assert_eq!(
            (copy.key_str().unwrap(), copy.value_str().unwrap()),
            (record.key_str().unwrap(), record.value_str().unwrap())
        );
        assert_eq!(copy, record.detach());
        assert_eq!(copy.clone().into_value().as_deref(), record.value());
    }
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let offset = partition.append(&ProducerRecord::new().key(&[0xff]).value(&[0xff])).unwrap();
    let bytes = partition.get(offset).unwrap().unwrap();
    assert!(matches!(bytes.key_str(), Err(Error::NotText { offset: 3, .. })));
    assert!(matches!(bytes.value_str(), Err(Error::NotText { offset: 3, .. })));
}

#[test]
fn a_header_is_read_as_text_where_it_is_text() {
    let broker = broker();
    let record = broker.topic("orders").unwrap().partition(0).unwrap().get(2).unwrap().unwrap();
    let values: Vec<_> = record.headers().map(|header| header.value_str()).collect();
    assert!(matches!(values[..], [Ok("4bf9"), Ok(""), Err(Error::HeaderNotText { .. })]), "{values:?}");
}

#[test]
fn either_form_is_committed() {
    let broker = broker();
    let orders = TopicPartition::new("orders", 0);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(WAIT).unwrap();
    let mut records = records.iter();
    consumer.commit_through(&records.next().unwrap()).unwrap();
    assert_eq!(consumer.committed(&orders).unwrap().unwrap().offset(), 1);
    let copy = records.next().unwrap().detach();
    consumer.commit_through(&copy).unwrap();
    assert_eq!(consumer.committed(&orders).unwrap().unwrap().offset(), 2);

    broker.admin().delete_topic("orders").unwrap();
    broker.topic("orders").unwrap().produce("a", "1").unwrap();
    consumer.poll(WAIT).unwrap();
    let refused = consumer.commit_through(&copy).unwrap_err();
    assert!(matches!(refused, Error::CommitRefused { .. }), "of an earlier topic of this name: {refused}");
}

#[test]
fn the_records_of_one_partition_are_had_alone() {
    let broker = broker();
    broker.topic("payments").unwrap().produce("k", "paid").unwrap();
    let mut consumer = broker.consumer("g", ["orders", "payments"]).unwrap();
    let records = consumer.poll(WAIT).unwrap();
    let of = |topic| records.records(&TopicPartition::new(topic, 0)).map(|record| record.offset()).collect::<Vec<_>>();
    assert_eq!((of("orders"), of("payments"), of("absent")), (vec![0, 1, 2], vec![0], vec![]));
    assert_eq!(records.records(&TopicPartition::new("orders", 0)).size_hint(), (3, Some(3)));
    assert_eq!(records.len(), 4);
}
