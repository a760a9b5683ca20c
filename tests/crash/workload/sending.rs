//! Records that are sent, and what is noted of the answer.

use ottla::{Broker, Durability, Error, Producer, ProducerConfig, ProducerRecord, SendOutcome, TopicPartition};

use super::Run;
use crate::history::{Checked, Sent};

impl Run {
    pub(super) fn new_records(&mut self, count: usize) -> Vec<Sent> {
        let value_bytes = match self.random.below(100) {
            0..=59 => 10 + self.random.below(300),
            60..=84 => 2000 + self.random.below(4000),
            85..=89 => 20_000 + self.random.below(60_000),
            90..=97 => 5,
            _ if self.settings.is_large && count == 1 => (1 << 20) + self.random.below(1 << 19),
            _ => 0,
        };
        self.records_of(count, value_bytes)
    }

    fn records_of(&mut self, count: usize, value_bytes: u64) -> Vec<Sent> {
        let value_bytes = usize::try_from(value_bytes).unwrap_or_default();
        let serial = self.next_serial;
        self.next_serial += count as u64;
        let sent = (serial..).take(count).zip([false].into_iter().chain(std::iter::repeat(true)));
        sent.map(|(serial, continues)| Sent { serial, value_bytes, continues }).collect()
    }

    pub(super) fn send(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        self.send_to(&partition, 1)
    }

    pub(super) fn send_batch(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        let count = 2 + self.random.below(10);
        self.send_to(&partition, usize::try_from(count).unwrap_or(2))
    }

    /// Sends so many records, one after the other, that they fill two slots or more.
    pub(super) fn send_many(&mut self) -> Checked {
        let Some(partition) = self.a_partition() else { return Ok(()) };
        (0..30).try_for_each(|_| {
            let value_bytes = 4000 + self.random.below(1000);
            let records = self.records_of(1, value_bytes);
            self.send_records(&partition, &records)
        })
    }

    /// Sends some records in one piece, and notes what comes of it.
    pub(super) fn send_to(&mut self, partition: &TopicPartition, count: usize) -> Checked {
        let records = self.new_records(count);
        self.send_records(partition, &records)
    }

    fn send_records(&mut self, partition: &TopicPartition, records: &[Sent]) -> Checked {
        let (keys, values): (Vec<_>, Vec<_>) = records.iter().map(|sent| (sent.key(), sent.value())).unzip();
        let to_send: Vec<_> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| {
                ProducerRecord::to(partition.topic()).partition(partition.partition()).key(key).value(value)
            })
            .collect();
        let broker = self.broker()?;
        let is_durable = self.random.chance(20);
        let producer = producer(&broker, is_durable)?;
        if let Some(log) = self.history.log(partition) {
            log.open.push(records.to_vec());
        }
        self.note_version();
        let sent = match to_send.as_slice() {
            // Not through the producer's door, now and then.
            to_send if !is_durable && to_send.len() % 3 == 2 => broker
                .topic(partition.topic())
                .and_then(|topic| topic.partition(partition.partition())?.append_batch(to_send))
                .map(|offsets| offsets.start),
            [record] => producer.send(record.clone()).map(|sent| sent.offset()),
            _ => producer
                .send_batch(partition.topic(), &to_send)
                .map(|sent| sent.first().map_or(u64::MAX, |sent| sent.offset())),
        };
        let is_always =
            self.history.topics.get(partition.topic()).is_some_and(|topic| topic.durability == Durability::Always);
        let Some(log) = self.history.log(partition) else { return Ok(()) };
        match sent {
            Ok(offset) => {
                log.acknowledge(records, offset).map_err(|problem| format!("{partition}: {problem}"))?;
                if is_durable || is_always {
                    log.durable = log.acked();
                    log.hidden_from = None;
                }
                Ok(())
            }
            Err(error) => {
                let acked = log.acked();
                match &error {
                    Error::NotDurable { offsets, .. } => {
                        log.acknowledge(records, offsets.start).map_err(|problem| format!("{partition}: {problem}"))?;
                        log.hidden_from.get_or_insert(acked);
                    }
                    error if error.outcome() == SendOutcome::NotAppended => drop(log.open.pop()),
                    _ => {}
                }
                self.failed("send", error)
            }
        }
    }
}

fn producer(broker: &Broker, is_durable: bool) -> Checked<Producer> {
    if !is_durable {
        return Ok(broker.producer());
    }
    let config = ProducerConfig::new().durability(Durability::Always);
    broker.producer_with(config).map_err(|e| format!("cannot make a producer: {e}"))
}
