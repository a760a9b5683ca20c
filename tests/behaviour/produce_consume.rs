//! What is produced is polled back: once, in order, with everything that was given.

use std::time::Duration;

use ottla::{Broker, Durability, ProducerRecord, Timestamp, TopicConfig};

#[test]
fn records_come_back_in_order_over_batches_segments_and_reopening() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Broker::builder(dir.path())
                .durability(durability)
                .topic_defaults(TopicConfig::new().segment_bytes(64 << 10))
                .open()
                .unwrap()
        };
        let count = if durability == Durability::Os { 20_000_u64 } else { 500 };
        for round in 0..3 {
            let broker = open();
            let topic = broker.topic("orders").unwrap();
            for n in round * count..(round + 1) * count {
                let sent = topic.produce(format!("key-{n}"), format!("value-{n}")).unwrap();
                assert_eq!(sent.offset(), n);
            }
            let partition = topic.partition(0).unwrap();
            let all: Vec<_> = partition.iter_from(0).collect::<Result<_, _>>().unwrap();
            assert_eq!(all.len() as u64, (round + 1) * count);
            for (n, record) in all.iter().enumerate() {
                assert_eq!(record.offset(), n as u64);
                assert_eq!(record.value().unwrap(), format!("value-{n}").as_bytes());
            }
            let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
            let mut seen = round * count;
            while seen < (round + 1) * count {
                for record in &consumer.poll(Duration::from_secs(1)).unwrap() {
                    assert_eq!(record.offset(), seen);
                    seen += 1;
                }
            }
            consumer.commit().unwrap();
            drop(consumer);
            if round == 0 {
                broker.close().unwrap();
                assert!(matches!(topic.produce("a", "b"), Err(ottla::Error::Closed { .. })));
            }
        }
    }
}

#[test]
fn null_and_empty_keys_values_and_headers_are_told_apart() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let sent = [
        ProducerRecord::to("orders"),
        ProducerRecord::to("orders").key("").value(""),
        ProducerRecord::to("orders").header("h", "1").header("h", "").null_header("h").header("", "x"),
        ProducerRecord::to("orders").timestamp(Timestamp::from_millis(5)).value("v"),
    ];
    partition.append_batch(&sent).unwrap();
    let records = partition.read(0, 1 << 20).unwrap();
    let records: Vec<_> = records.iter().collect();
    assert_eq!((records[0].key(), records[0].value()), (None, None));
    assert_eq!((records[1].key(), records[1].value()), (Some(&b""[..]), Some(&b""[..])));
    let headers: Vec<_> = records[2].headers().iter().map(|h| (h.key(), h.value())).collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", Some(b"")), ("h", None), ("", Some(b"x"))]);
    assert_eq!(records[3].timestamp(), Timestamp::from_millis(5));
}
