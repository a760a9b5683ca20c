//! A thread that sends.

use ottla::{Error, Partition, Producer, ProducerRecord, RecordMetadata, Result, SendOutcome};

use crate::events::{Id, Outcome, Piece, is_tombstone, key_of};
use crate::plan::{TOPICS, log_of, usize_below};
use crate::random::Random;
use crate::world::World;

/// The header with what the value would say, of a record without one.
const ID: &str = "id";

/// What a record with this id carries: the id, and what follows from it.
pub(crate) fn value_of(id: Id) -> [u8; 16] {
    (u128::from(id) << 64 | u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_be_bytes()
}

/// The id in a record's value, or in its header if it has none; `None` if nobody sent that with this key.
pub(crate) fn id_in<'h>(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    header: impl FnOnce(&str) -> Option<&'h [u8]>,
) -> Option<Id> {
    let told: [u8; 16] = value.or_else(|| header(ID))?.try_into().ok()?;
    let id = u64::try_from(u128::from_be_bytes(told) >> 64).ok()?;
    let is_right = match key {
        Some(key) => key == key_of(id).to_be_bytes() && value.is_none() == is_tombstone(id),
        None => value.is_some(),
    };
    (is_right && value_of(id) == told).then_some(id)
}

/// What a record is made of.
struct Content {
    key: [u8; 8],
    value: [u8; 16],
    is_tombstone: bool,
}

impl Content {
    fn of(id: Id) -> Content {
        Content { key: key_of(id).to_be_bytes(), value: value_of(id), is_tombstone: is_tombstone(id) }
    }

    fn record(&self, topic: &'static str, is_keyed: bool) -> ProducerRecord<'_> {
        let record = ProducerRecord::to(topic);
        match (is_keyed, self.is_tombstone) {
            (false, _) => record.value(&self.value),
            (true, false) => record.key(&self.key).value(&self.value),
            (true, true) => record.key(&self.key).header(ID, &self.value),
        }
    }
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

    fn contents(&mut self, count: u64) -> Vec<Content> {
        let first = self.next_id;
        self.next_id += count;
        (first..self.next_id).map(Content::of).collect()
    }

    fn is_keyed(&self, topic: usize) -> bool {
        self.world.plan.keeping[topic].is_keyed()
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
        let (id, contents) = (self.next_id, self.contents(1));
        let record = contents[0].record(TOPICS[topic], self.is_keyed(topic)).partition(partition);
        let began = self.world.now();
        let sent = self.producer.send(record);
        let outcome = sent.map_or_else(|error| self.refused(&error), |sent| Outcome::At(sent.offset()));
        self.note((topic, partition), (id, 1), began, outcome);
    }

    fn append_batch(&mut self, topic: usize, partition: u32, count: u64) {
        let (id, contents, is_keyed) = (self.next_id, self.contents(count), self.is_keyed(topic));
        let records: Vec<_> = contents.iter().map(|content| content.record(TOPICS[topic], is_keyed)).collect();
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
        let (id, contents, is_keyed) = (self.next_id, self.contents(count), self.is_keyed(topic));
        let records: Vec<_> =
            contents.iter().map(|content| content.record(TOPICS[topic], is_keyed).partition(partition)).collect();
        let began = self.world.now();
        let outcome = match self.producer.send_batch(TOPICS[topic], &records) {
            Ok(sent) => self.told(&sent.iter().collect::<Vec<_>>()),
            Err(error) => self.refused(&error),
        };
        self.note((topic, partition), (id, count), began, outcome);
    }

    /// One call, two partitions: two pieces.
    fn send_two(&mut self, topic: usize, partitions: [u32; 2], count: u64) {
        let (id, contents, is_keyed) = (self.next_id, self.contents(count), self.is_keyed(topic));
        let half = count / 2;
        let of_place = (0..count).map(|place| partitions[usize::from(place >= half)]);
        let records: Vec<_> = of_place
            .zip(&contents)
            .map(|(partition, content)| content.record(TOPICS[topic], is_keyed).partition(partition))
            .collect();
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
