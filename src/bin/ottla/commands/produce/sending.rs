//! Records into the partitions of a topic, in large pieces, and in their order.
//!
//! What goes to one partition in a row goes in one piece, and the pieces go one after the other. So what is in is always a
//! beginning of what was given, also if a piece fails: of that one, records go one by one up to the first that cannot.

use std::process;

use ottla::{DefaultPartitioner, Error, Partition, Partitioner, ProducerRecord, SendOutcome, Topic};

/// A piece has about so many bytes at most. Larger ones are no faster.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// What a record takes beside its key, its value and its headers, about.
const RECORD_OVERHEAD: usize = 32;

/// Records on their way into a topic.
pub struct Sending<'t> {
    topic: &'t Topic,
    partition_count: u32,
    partitioner: DefaultPartitioner,
    piece_bytes_max: usize,
    sent: u64,
}

impl<'t> Sending<'t> {
    pub fn new(topic: &'t Topic) -> Sending<'t> {
        let message_bytes_max = topic.config().get_max_message_bytes() as usize;
        Sending {
            topic,
            partition_count: topic.partition_count(),
            // Where records without a key begin, so that not every command begins with the same partition.
            partitioner: DefaultPartitioner::new(process::id().into()),
            piece_bytes_max: PIECE_BYTES_MAX.min(message_bytes_max / 2),
            sent: 0,
        }
    }

    /// How many records are in.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends `records` in their order.
    ///
    /// # Errors
    /// What became of the record behind those that are in.
    pub fn send(&mut self, records: &[ProducerRecord<'_>]) -> Result<(), Error> {
        let chosen: Vec<u32> = records.iter().map(|record| self.partition_of(record)).collect();
        let (mut rest, mut chosen) = (records, &*chosen);
        while let Some(&partition) = chosen.first() {
            let length = self.piece_of(rest, chosen);
            let piece = rest.split_at(length);
            self.append(&self.topic.partition(partition)?, piece.0)?;
            (rest, chosen) = (piece.1, chosen.split_at(length).1);
        }
        Ok(())
    }

    fn partition_of(&self, record: &ProducerRecord<'_>) -> u32 {
        let choose = || match self.partition_count {
            1 => 0,
            count => self.partitioner.partition(record, count),
        };
        record.get_partition().unwrap_or_else(choose)
    }

    /// How many of these records, at least one, go in one piece.
    fn piece_of(&self, records: &[ProducerRecord<'_>], chosen: &[u32]) -> usize {
        let first = chosen.first();
        let mut bytes = 0;
        let fits = |(record, partition): &(&ProducerRecord<'_>, &u32)| {
            bytes += bytes_of(record);
            Some(*partition) == first && bytes <= self.piece_bytes_max
        };
        records.iter().zip(chosen).take_while(fits).count().max(1)
    }

    fn append(&mut self, partition: &Partition, piece: &[ProducerRecord<'_>]) -> Result<(), Error> {
        let count = piece.len() as u64;
        match partition.append_batch(piece) {
            Ok(_) => self.sent += count,
            Err(error) => match error.outcome() {
                SendOutcome::NotAppended if count > 1 => {
                    for record in piece.chunks(1) {
                        self.append(partition, record)?;
                    }
                }
                SendOutcome::Appended => {
                    self.sent += count;
                    return Err(error);
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }
}

fn bytes_of(record: &ProducerRecord<'_>) -> usize {
    let headers = record.get_headers().map(|header| header.key().len() + length(header.value()) + RECORD_OVERHEAD);
    length(record.get_key()) + length(record.get_value()) + headers.sum::<usize>() + RECORD_OVERHEAD
}

fn length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

/// How many lines are in, in words.
pub fn lines_are_in(lines: u64) -> String {
    match lines {
        1 => "1 line is in".to_owned(),
        lines => format!("{lines} lines are in"),
    }
}

#[cfg(test)]
mod tests {
    use ottla::{Broker, TopicConfig};

    use super::*;

    fn broker(config: TopicConfig) -> (Broker, Topic) {
        let broker = Broker::temporary().unwrap();
        let topic = broker.create_topic("orders", config).unwrap();
        (broker, topic)
    }

    #[test]
    fn of_a_piece_that_fails_all_before_the_wrong_record_are_in() {
        let (_broker, topic) = broker(TopicConfig::new().max_message_bytes(1000));
        let mut values = vec![vec![b'x'; 10]; 40];
        values[30] = vec![b'x'; 2000];
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::new().value(value)).collect();
        let mut sending = Sending::new(&topic);
        assert!(matches!(sending.send(&records), Err(Error::RecordTooLarge { .. })));
        assert_eq!((sending.sent(), topic.partition(0).unwrap().log_end_offset()), (30, 30));
    }

    #[test]
    fn records_go_to_the_partition_they_name_or_that_of_their_key_in_their_order() {
        let (_broker, topic) = broker(TopicConfig::new().partitions(4));
        let keys = ["a", "b", "a", "c", "a"];
        let records: Vec<_> = keys.iter().map(|key| ProducerRecord::new().key(*key).value(b"1")).collect();
        let mut sending = Sending::new(&topic);
        sending.send(&records).unwrap();
        sending.send(&[ProducerRecord::new().key("a").partition(3)]).unwrap();
        let error =
            sending.send(&[ProducerRecord::new().partition(3), ProducerRecord::new().partition(4)]).unwrap_err();
        assert!(matches!(error, Error::UnknownPartition { .. }));
        assert_eq!(sending.sent(), 7);
        for key in keys {
            let partition = DefaultPartitioner::partition_of_key(key.as_bytes(), 4);
            let records = topic.partition(partition).unwrap().read(0, 1000).unwrap();
            assert!(records.iter().any(|record| record.key() == Some(key.as_bytes())));
        }
        let last = topic.partition(3).unwrap().log_end_offset();
        let copies = topic.partition(3).unwrap().read(last - 2, 1000).unwrap();
        assert_eq!(copies.iter().map(|record| record.key()).collect::<Vec<_>>(), [Some(&b"a"[..]), None]);
    }
}
