//! A thread that sends.

use ottla::{Error, Partition, Producer, ProducerRecord, RecordMetadata, Result, SendOutcome};

use crate::events::{Id, Outcome, Piece};
use crate::plan::{TOPICS, log_of, usize_below};
use crate::random::Random;
use crate::world::World;

/// What a record with this id carries: the id, and what follows from it.
pub(crate) fn value_of(id: Id) -> [u8; 16] {
    (u128::from(id) << 64 | u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_be_bytes()
}

/// The id in a value; `None` if no record was sent with that.
pub(crate) fn id_in(value: Option<&[u8]>) -> Option<Id> {
    let value: [u8; 16] = value?.try_into().ok()?;
    let id = u64::try_from(u128::from_be_bytes(value) >> 64).ok()?;
    (value_of(id) == value).then_some(id)
}

struct Sender<'w> {
    world: &'w World,
    producer: Producer,
    random: Random,
    next_id: Id,
    pieces: Vec<Piece>,
}

/// Sends until the life has had enough; `next_id` is the first that was not used.
pub(crate) fn produce(world: &World, number: usize, next_id: &mut Id) -> Vec<Piece> {
    let random = world.plan.random(world.life, number);
    let mut sender = Sender { world, producer: world.broker.producer(), random, next_id: *next_id, pieces: Vec::new() };
    while world.goes_on() {
        let before = sender.next_id;
        sender.send();
        world.note_sent(sender.next_id - before);
        world.wait_for_consumers();
    }
    *next_id = sender.next_id;
    sender.pieces
}

impl Sender<'_> {
    fn send(&mut self) {
        let topic = usize_below(&mut self.random, TOPICS.len());
        let partitions = u64::from(self.world.partitions[topic].load(std::sync::atomic::Ordering::SeqCst));
        let partition = u32::try_from(self.random.below(partitions)).unwrap();
        let other = u32::try_from(self.random.below(partitions)).unwrap();
        let count = match self.random.below(4) {
            0 => 1,
            1 => 1 + self.random.below(self.world.plan.piece_max / 10),
            _ => 1 + self.random.below(self.world.plan.piece_max),
        };
        match self.random.below(4) {
            _ if count == 1 => self.send_one(topic, partition),
            0 => self.append_batch(topic, partition, count),
            1 if partition != other => self.send_two(topic, [partition, other], count),
            _ => self.send_batch(topic, partition, count),
        }
    }

    fn values(&mut self, count: u64) -> Vec<[u8; 16]> {
        let first = self.next_id;
        self.next_id += count;
        (first..self.next_id).map(value_of).collect()
    }

    fn note(&mut self, (topic, partition): (usize, u32), (id, count): (Id, u64), began: u64, outcome: Outcome) {
        let ended = self.world.now();
        self.pieces.push(Piece { id, count, partition: log_of(topic, partition), began, ended, outcome });
    }

    /// What an error leaves of a piece.
    fn refused(&self, error: &Error) -> Outcome {
        self.world.failed("send", error);
        match error.outcome() {
            SendOutcome::NotAppended => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }

    fn send_one(&mut self, topic: usize, partition: u32) {
        let (id, value) = (self.next_id, self.values(1));
        let began = self.world.now();
        let sent = self.producer.send(ProducerRecord::to(TOPICS[topic]).partition(partition).value(&value[0]));
        let outcome = sent.map_or_else(|error| self.refused(&error), |sent| Outcome::At(sent.offset()));
        self.note((topic, partition), (id, 1), began, outcome);
    }

    fn append_batch(&mut self, topic: usize, partition: u32, count: u64) {
        let (id, values) = (self.next_id, self.values(count));
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to(TOPICS[topic]).value(value)).collect();
        let began = self.world.now();
        let log: Result<Partition> =
            self.world.broker.topic(TOPICS[topic]).and_then(|topic| topic.partition(partition));
        let outcome = match log.and_then(|log| log.append_batch(&records)) {
            Ok(offsets) if offsets.end - offsets.start == count => Outcome::At(offsets.start),
            Ok(offsets) => {
                self.world.problem(format!("offsets {offsets:?} were given to {count} records"));
                Outcome::At(offsets.start)
            }
            Err(error) => self.refused(&error),
        };
        self.note((topic, partition), (id, count), began, outcome);
    }

    fn send_batch(&mut self, topic: usize, partition: u32, count: u64) {
        let (id, values) = (self.next_id, self.values(count));
        let record = |value| ProducerRecord::to(TOPICS[topic]).partition(partition).value(value);
        let records: Vec<_> = values.iter().map(record).collect();
        let began = self.world.now();
        let outcome = match self.producer.send_batch(TOPICS[topic], &records) {
            Ok(sent) => self.told(&sent.iter().collect::<Vec<_>>()),
            Err(error) => self.refused(&error),
        };
        self.note((topic, partition), (id, count), began, outcome);
    }

    /// One call, two partitions: two pieces.
    fn send_two(&mut self, topic: usize, partitions: [u32; 2], count: u64) {
        let (id, values) = (self.next_id, self.values(count));
        let half = count / 2;
        let partition = |place: u64| partitions[usize::from(place >= half)];
        let record = |(place, value)| ProducerRecord::to(TOPICS[topic]).partition(partition(place)).value(value);
        let records: Vec<_> = (0..).zip(&values).map(record).collect();
        let began = self.world.now();
        let outcomes = match self.producer.send_batch(TOPICS[topic], &records) {
            Ok(sent) => {
                let sent: Vec<_> = sent.iter().collect();
                let (first, second) = sent.split_at(usize::try_from(half).unwrap());
                [self.told(first), self.told(second)]
            }
            Err(error) => {
                self.refused(&error);
                // The piece of one of them may have gone before the error.
                [Outcome::Unknown; 2]
            }
        };
        for (number, (id, count)) in [(id, half), (id + half, count - half)].into_iter().enumerate() {
            if count > 0 {
                self.note((topic, partitions[number]), (id, count), began, outcomes[number]);
            }
        }
    }

    /// Offsets are in a row.
    fn told(&self, sent: &[RecordMetadata]) -> Outcome {
        let first = sent.first().map_or(0, RecordMetadata::offset);
        if (first..).zip(sent).any(|(offset, sent)| sent.offset() != offset) {
            self.world.problem(format!("one piece, and its offsets are not in a row: {sent:?}"));
        }
        Outcome::At(first)
    }
}
