//! Which partition a record goes to, when its sender does not say.

use crate::record::ProducerRecord;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Chooses a record's partition. Asked for every record that names none; called without any lock held.
///
/// A closure is one, too.
///
/// # Examples
/// ```
/// use ottla::{Partitioner, ProducerRecord};
///
/// let by_length = |record: &ProducerRecord<'_>, partition_count: u32| {
///     record.get_value().map_or(0, |value| value.len() as u32) % partition_count
/// };
/// assert_eq!(by_length.partition(&ProducerRecord::to("orders").value("12345"), 4), 1);
/// ```
#[doc(alias = "partitioner.class")]
pub trait Partitioner: Send + Sync {
    /// The partition for `record`, below `partition_count` (which is at least 1); sending fails if it is not below.
    fn partition(&self, record: &ProducerRecord<'_>, partition_count: u32) -> u32;
}

impl<F> Partitioner for F
where
    F: Fn(&ProducerRecord<'_>, u32) -> u32 + Send + Sync,
{
    fn partition(&self, record: &ProducerRecord<'_>, partition_count: u32) -> u32 {
        self(record, partition_count)
    }
}

/// Bytes that go to one partition before the next is drawn: `batch.size` of Kafka's producer.
const STICKY_BYTES: u32 = 16 * 1024;

/// Kafka's own way: records with a key by its murmur2 hash, so that a key stays where any other client would put it;
/// records without one in runs of 16 KiB to a partition drawn at random.
///
/// # Examples
/// ```
/// use ottla::DefaultPartitioner;
/// let partition = DefaultPartitioner::partition_of_key(b"customer-1", 4);
/// assert!(partition < 4); // The same as with Kafka's Java client.
/// ```
#[derive(Debug)]
pub struct DefaultPartitioner {
    /// The number drawn for the current run in the upper half, its bytes so far in the lower. One word, so that senders of
    /// one producer need no lock. It serves all topics: a run may be split among several, and each then sees shorter ones.
    run: AtomicU64,
}

impl DefaultPartitioner {
    /// Draws from `seed`: the same seed and records give the same partitions.
    #[must_use]
    pub fn new(seed: u64) -> DefaultPartitioner {
        // Neighbouring seeds must not give neighbouring draws; and zero is the one state the generator never leaves.
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let draw = next_draw(u32::try_from(mixed >> 32).unwrap_or_default().max(1));
        DefaultPartitioner { run: AtomicU64::new(join(draw, 0)) }
    }

    /// The partition, of `partition_count`, that the records of a key go to.
    #[must_use]
    pub fn partition_of_key(key: &[u8], partition_count: u32) -> u32 {
        (murmur2(key) & 0x7fff_ffff).checked_rem(partition_count).unwrap_or(0)
    }

    /// The number drawn for the run that `bytes` more bytes belong to.
    fn draw_for(&self, bytes: u32) -> u32 {
        let add = |run| {
            let (draw, so_far) = split(run);
            let so_far = so_far.saturating_add(bytes);
            Some(if so_far < STICKY_BYTES { join(draw, so_far) } else { join(next_draw(draw), 0) })
        };
        // The record that completes a run still belongs to it. The closure never declines.
        let (Ok(before) | Err(before)) = self.run.fetch_update(Relaxed, Relaxed, add);
        split(before).0
    }
}

impl Partitioner for DefaultPartitioner {
    fn partition(&self, record: &ProducerRecord<'_>, partition_count: u32) -> u32 {
        match record.get_key() {
            Some(key) => DefaultPartitioner::partition_of_key(key, partition_count),
            None => scale(self.draw_for(approximate_bytes(record)), partition_count),
        }
    }
}

/// The record's size in a batch, but for what a few lengths and deltas take.
fn approximate_bytes(record: &ProducerRecord<'_>) -> u32 {
    const OVERHEAD: usize = 8;
    let headers = record.get_headers();
    let headers: usize = headers.map(|header| header.key().len() + header.value().map_or(0, <[u8]>::len)).sum();
    let bytes = OVERHEAD + record.get_value().map_or(0, <[u8]>::len) + headers;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn join(draw: u32, bytes: u32) -> u64 {
    u64::from(draw) << 32 | u64::from(bytes)
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn split(run: u64) -> (u32, u32) {
    ((run >> 32) as u32, run as u32)
}

/// Xorshift: runs through every number but zero before any comes again.
fn next_draw(mut draw: u32) -> u32 {
    draw ^= draw << 13;
    draw ^= draw >> 17;
    draw ^ draw << 5
}

/// Brings a number out of 2³² down to one below `count`. Unlike a remainder it uses the upper bits, which are the best here.
#[allow(clippy::cast_possible_truncation, reason = "the product's upper half is below `count`")]
fn scale(draw: u32, count: u32) -> u32 {
    ((u64::from(draw) * u64::from(count)) >> 32) as u32
}

/// Austin Appleby's hash with Kafka's seed. Lengths beyond 32 bits wrap.
#[allow(clippy::cast_possible_truncation, reason = "the length enters modulo 2³²")]
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ bytes.len() as u32;
    for [a, b, c, d] in words {
        // The first byte is the lowest, whatever the machine's order.
        let word = u32::from_be_bytes([*d, *c, *b, *a]).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_partitions_are_kafkas() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/format/kafka-vectors.json")).unwrap();
        for vector in vectors["partitioner"].as_array().unwrap() {
            let Some(key) = vector["ascii"].as_str() else { continue };
            assert_eq!(i64::from(murmur2(key.as_bytes()).cast_signed()), vector["murmur2"].as_i64().unwrap(), "{key}");
            let partition = DefaultPartitioner::partition_of_key(key.as_bytes(), 10);
            assert_eq!(u64::from(partition), vector["partition_of_10"].as_u64().unwrap(), "{key}");
        }
        assert_eq!(murmur2(&[0x80, 0xff, 0x00]), 2_014_942_385);
    }

    #[test]
    fn an_empty_key_is_a_key() {
        let partitioner = DefaultPartitioner::new(1);
        let record = ProducerRecord::to("t").key("");
        assert!((0..1000).all(|_| partitioner.partition(&record, 10) == 1));
    }

    /// Sends until the partition changes, and returns how many records that took.
    fn run_length(partitioner: &DefaultPartitioner, record: &ProducerRecord<'_>) -> usize {
        const PARTITIONS: u32 = 1 << 20;
        let first = partitioner.partition(record, PARTITIONS);
        1 + (0..100_000).take_while(|_| partitioner.partition(record, PARTITIONS) == first).count()
    }

    #[test]
    fn records_without_a_key_stay_for_16_kib() {
        let partitioner = DefaultPartitioner::new(7);
        let value = [0; 1016];
        let record = ProducerRecord::to("t").value(&value);
        assert_eq!(run_length(&partitioner, &record), 16);
        // One record of the next run was sent to find the end of the first.
        assert_eq!(run_length(&partitioner, &record), 15);
    }

    #[test]
    fn a_record_larger_than_a_run_is_one() {
        let partitioner = DefaultPartitioner::new(7);
        let value = vec![0; 100_000];
        assert_eq!(run_length(&partitioner, &ProducerRecord::to("t").value(&value)), 1);
    }

    #[test]
    fn runs_spread_evenly() {
        let partitioner = DefaultPartitioner::new(3);
        let value = vec![0; 16 * 1024];
        let record = ProducerRecord::to("t").value(&value);
        let mut runs = [0_u32; 10];
        for _ in 0..10_000 {
            runs[partitioner.partition(&record, 10) as usize] += 1;
        }
        assert!(runs.iter().all(|count| (850..=1150).contains(count)), "{runs:?}");
    }

    #[test]
    fn every_seed_draws_and_the_same_seed_draws_the_same() {
        let record = ProducerRecord::to("t").value("v");
        let first = |seed| DefaultPartitioner::new(seed).partition(&record, 100);
        assert_eq!(first(5), first(5));
        let distinct: std::collections::BTreeSet<_> = (0..100).map(first).collect();
        assert!(distinct.len() > 40, "{distinct:?}");
        assert!(first(0x9e37_79b9_7f4a_7c15) < 100, "the seed that mixes to zero");
    }

    #[test]
    fn a_single_partition_takes_everything() {
        let partitioner = DefaultPartitioner::new(1);
        assert_eq!(partitioner.partition(&ProducerRecord::to("t"), 1), 0);
        assert_eq!(partitioner.partition(&ProducerRecord::to("t").key("k"), 1), 0);
    }
}
