//! This crate.

use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Durability, ProducerRecord, TopicConfig};

use super::{Peer, record, sum};
use crate::row::{Row, Work};
use crate::turn::{places, timed};

pub(super) const PEER: Peer = Peer { name: "ottla", can: |_| true, run };

const TOPIC: &str = "log";
const SPACE: &str = "there is space";

fn run(row: &Row, dir: &Path, calls: &mut Vec<Duration>) -> Option<Duration> {
    let is_durable = matches!(row.work, Work::AppendDurably | Work::AppendDurablyFrom16 | Work::AppendBatchesDurably);
    let durability = if is_durable { Durability::Always } else { Durability::Os };
    let broker = Broker::builder(dir).durability(durability).open().expect("a directory of its own");
    let partitions = match row.work {
        Work::AppendDurablyFrom16 => 16,
        Work::AppendTo1000 => 1000,
        _ => 1,
    };
    let topic = broker.topic_with(TOPIC, TopicConfig::new().partitions(partitions)).expect(SPACE);
    let partition = topic.partition(0).expect("a topic has a partition");
    let value = record(row.record_bytes);
    let one = ProducerRecord::to(TOPIC).value(&value);
    let took = match row.work {
        Work::Append => Some(timed(row.records, Some(calls), || _ = partition.append(&one).expect(SPACE))),
        Work::AppendDurably => Some(timed(row.records, None, || _ = partition.append(&one).expect(SPACE))),
        Work::AppendBatches | Work::AppendBatchesDurably => {
            let records = vec![one; 1000];
            Some(timed(row.records / 1000, None, || _ = partition.append_batch(&records).expect(SPACE)))
        }
        Work::AppendDurablyFrom16 => Some(timed(1, None, || {
            thread::scope(|scope| {
                for number in 0..16 {
                    let (topic, one) = (&topic, &one);
                    scope.spawn(move || {
                        let partition = topic.partition(number).expect("sixteen of them");
                        (0..row.records / 16).for_each(|_| _ = partition.append(one).expect(SPACE));
                    });
                }
            });
        })),
        Work::AppendTo1000 => {
            let producer = broker.producer();
            for number in 0..row.records {
                let number = u32::try_from(number % 1000).unwrap_or_default();
                producer.send(one.clone().partition(number)).expect(SPACE);
            }
            None
        }
        Work::Scan => {
            let config = ConsumerConfig::new("scan").topics([TOPIC]);
            let mut consumer = broker.consumer_with(config).expect("a new group");
            let (mut count, mut bytes) = (0, 0_u64);
            while count < row.records {
                let records = consumer.poll(Duration::ZERO).expect("a sound log");
                count += records.len();
                bytes = records.iter().filter_map(|record| record.value()).map(sum).fold(bytes, u64::wrapping_add);
            }
            black_box(bytes);
            None
        }
        Work::ReadAtRandom => {
            for offset in places(row.records) {
                let read = partition.read(offset, 1).expect("a sound log");
                black_box(read.iter().next().and_then(|record| record.value()).map(sum));
            }
            None
        }
    };
    if row.work == Work::AppendBatches {
        // What another process is to read was closed.
        broker.close().expect("a disk that syncs");
    }
    took
}
