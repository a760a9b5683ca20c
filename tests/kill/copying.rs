//! Consume, transform, produce: what is sent to the topic is copied to two partitions of another one, in transactions with the position
//! of the group. Nobody has to report anything: at any moment the copies are exactly those of the records below that position.

use std::time::Duration;

use ottla::{Broker, ConsumerConfig, ConsumerRecords, ProducerRecord, TopicConfig, Transaction};

use crate::child::report;
use crate::{PARTITIONS, TOPIC};

const COPIES: &str = "copies";
const GROUP: &str = "copying";
/// Each record is copied to each of these.
const COPY_PARTITIONS: usize = 2;

/// Makes the topic, unless it is there.
pub(crate) fn create(broker: &Broker) -> ottla::Result<()> {
    if !broker.admin().list_topics()?.iter().any(|name| name == COPIES) {
        let partitions = u32::try_from(COPY_PARTITIONS).unwrap();
        broker.create_topic(COPIES, TopicConfig::new().partitions(partitions).segment_bytes(32 << 10))?;
    }
    Ok(())
}

/// Works until the process is killed.
pub(crate) fn copy(broker: &Broker) -> ! {
    let config = ConsumerConfig::new(GROUP).topics([TOPIC]).max_poll_records(20);
    let mut consumer = broker.consumer_with(config).unwrap();
    let mut producer = broker.transactional_producer(GROUP).unwrap();
    for turn in 0_u64.. {
        let records = consumer.poll(Duration::from_secs(1)).unwrap();
        if records.is_empty() {
            continue;
        }
        let transaction = producer.begin().unwrap();
        write(&transaction, &records);
        transaction.send_offsets(&consumer).unwrap();
        match turn % 7 {
            3 => transaction.abort().unwrap(),
            5 => drop(transaction),
            _ => {
                transaction.commit().unwrap();
                continue;
            }
        }
        consumer.seek_to_committed().unwrap();
        // Rarely: that waits for the disk.
        if turn % 50 == 3 {
            producer = broker.transactional_producer(GROUP).unwrap();
        }
    }
    report("nobody lives so long\n");
    std::process::abort();
}

fn write(transaction: &Transaction<'_>, records: &ConsumerRecords) {
    for record in records {
        let source = format!("{} {}", record.topic_partition().partition(), record.offset());
        for partition in 0..u32::try_from(COPY_PARTITIONS).unwrap() {
            transaction.send(ProducerRecord::to(COPIES).partition(partition).value(&source)).unwrap();
        }
    }
}

/// What was copied, over all cycles.
#[derive(Default)]
pub(crate) struct Copied {
    /// By partition of the copies: up to where it was compared.
    compared: [u64; COPY_PARTITIONS],
    /// By partition of the copies and of the source: the offsets that are there.
    seen: [[Vec<bool>; PARTITIONS as usize]; COPY_PARTITIONS],
}

impl Copied {
    /// Records that were copied.
    pub(crate) fn count(&self) -> usize {
        self.seen[0].iter().map(Vec::len).sum()
    }

    /// Compares what has come since the last time.
    pub(crate) fn compare(&mut self, broker: &Broker) -> Result<(), String> {
        // It may have been killed before it made the topic.
        create(broker).map_err(|e| e.to_string())?;
        let topic = broker.existing_topic(COPIES).map_err(|e| e.to_string())?;
        for ((partition, from), seen) in topic.partitions().zip(&mut self.compared).zip(&mut self.seen) {
            if partition.last_stable_offset() != partition.high_watermark() {
                return Err(format!("{partition:?}: a transaction is open"));
            }
            for record in partition.iter_from(*from) {
                let record = record.map_err(|e| e.to_string())?;
                let value = record.value_str().map_err(|e| e.to_string())?;
                let numbers: Vec<usize> = value.split(' ').filter_map(|number| number.parse().ok()).collect();
                let &[source, offset] = numbers.as_slice() else { return Err(format!("not a copy: {record:?}")) };
                let seen = &mut seen[source];
                seen.resize(seen.len().max(offset + 1), false);
                if std::mem::replace(&mut seen[offset], true) {
                    return Err(format!("{record:?} is there twice"));
                }
                *from = record.offset() + 1;
            }
        }
        self.compare_with_group(broker)
    }

    /// The group stands behind all that was copied, and nothing is left out.
    fn compare_with_group(&self, broker: &Broker) -> Result<(), String> {
        for (source, number) in (0..PARTITIONS).enumerate() {
            let committed = broker.committed(GROUP, &ottla::TopicPartition::new(TOPIC, number));
            let position = committed.map_err(|e| e.to_string())?.map_or(0, |committed| committed.offset());
            for seen in self.seen.iter().map(|seen| &seen[source]) {
                if seen.len() as u64 != position || seen.contains(&false) {
                    let missing = seen.iter().position(|seen| !seen);
                    let copied = seen.len();
                    return Err(format!(
                        "{GROUP} stands at {position} of {number}; copied: {copied}, but for {missing:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
