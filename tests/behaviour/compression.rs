//! Topics that compress: the same records, in fewer bytes.

use ottla::{Broker, Compression, Durability, Error, ProducerRecord, TopicConfig};

use crate::{all_from, open};

#[test]
fn a_compressed_topic_gives_back_what_it_got() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        let count: u64 = if durability == Durability::Os { 5000 } else { 300 };
        for round in 0..2 {
            let broker = Broker::builder(dir.path()).durability(durability).open().unwrap();
            let partition = if round == 0 {
                broker.create_topic("orders", TopicConfig::new().compression(Compression::Snappy)).unwrap()
            } else {
                broker.topic("orders").unwrap()
            }
            .partition(0)
            .unwrap();
            for n in 0..count {
                let value = format!("a value that looks like many others, {n}");
                let record = ProducerRecord::to("orders").key("key").value(&value).header("h", "v").null_header("n");
                partition.append(&record).unwrap();
            }
            partition.append(&ProducerRecord::to("orders").value(vec![b'x'; 900_000])).unwrap();
            let batch: Vec<_> = (0..1000).map(|_| ProducerRecord::to("orders").value("in a batch")).collect();
            partition.append_batch(&batch).unwrap();
            for from in [0, 1, count / 2, count - 1, count, count + 500] {
                let records = partition.read(from, 1).unwrap();
                assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [from]);
            }
            let records = all_from(&partition, 0);
            assert_eq!(records.len() as u64, (round + 1) * (count + 1001));
            for (n, record) in records[..usize::try_from(count).unwrap()].iter().enumerate() {
                assert_eq!(record.value(), Some(format!("a value that looks like many others, {n}").as_bytes()));
                assert_eq!(record.headers().len(), 2);
            }
        }
        let broker = open(dir.path());
        let bytes = broker.admin().describe("orders").unwrap().partitions()[0].log_bytes();
        let records = all_from(&broker.topic("orders").unwrap().partition(0).unwrap(), 0);
        let plain: usize = records.iter().map(|record| record.value().unwrap().len()).sum();
        assert!(bytes < plain as u64 / 2, "{bytes} bytes of log for {plain} of values");
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_codec_that_is_not_there_is_refused_by_name() {
    let broker = Broker::temporary().unwrap();
    let refused = broker.create_topic("orders", TopicConfig::new().compression(Compression::Zstd));
    assert!(matches!(refused, Err(Error::InvalidConfig { key: "compression.type", .. })), "{refused:?}");
}

#[test]
fn the_codec_has_kafkas_names() {
    let config = TopicConfig::new().set("compression.type", "snappy").unwrap();
    assert_eq!(config, TopicConfig::new().compression(Compression::Snappy));
    assert_eq!(TopicConfig::new().set("compression.type", "uncompressed").unwrap(), TopicConfig::new());
    assert!(matches!(TopicConfig::new().set("compression.type", "rar"), Err(Error::InvalidConfig { .. })));
}
