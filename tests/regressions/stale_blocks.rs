//! A power cut on a file system that shows old blocks: where a segment was not synced stands what another log's removed segment
//! had there, which goes on at just the next offset and has every checksum right. What was durable in the tail went, too.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, BrokerBuilder, Compression, Durability, Partition, ProducerRecord, RecoveryMode, TopicConfig};

const LOG: &str = "/data/orders-0/00000000000000000000.log";
const DURABILITIES: [Durability; 3] =
    [Durability::Always, Durability::Interval(Duration::from_secs(3600)), Durability::Os];
/// Of our records and of the other log's.
const OURS: u8 = 7;
const OTHERS: u8 = 9;

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).background(false)
}

fn orders(broker: &Broker) -> Partition {
    broker.topic("orders").unwrap().partition(0).unwrap()
}

/// A log whose records all have the same byte.
#[derive(Debug, Clone, Copy)]
struct Log {
    byte: u8,
    value_bytes: usize,
    /// Of the first life, after which it is closed: what they are in is synced.
    closed: u64,
    /// Of the second life, durable as they come.
    open: u64,
    /// In pieces of so many, each durable before the next.
    piece: u64,
    durability: Durability,
    codec: Compression,
}

impl Log {
    /// The disk it is on, while it is open.
    fn write(self) -> (SimulatedDisk, Broker) {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk).open().unwrap();
        let config = TopicConfig::new().durability(self.durability).compression(self.codec);
        broker.create_topic("orders", config).unwrap();
        self.append(&broker, self.closed);
        broker.close().unwrap();
        let broker = builder(&disk).open().unwrap();
        self.append(&broker, self.open);
        (disk, broker)
    }

    fn append(self, broker: &Broker, count: u64) {
        let (log, value) = (orders(broker), vec![self.byte; self.value_bytes]);
        for number in 1..=count {
            log.append(&ProducerRecord::to("orders").value(&value)).unwrap();
            if number.is_multiple_of(self.piece) || number == count {
                broker.flush().unwrap();
            }
        }
    }

    /// The bytes of its segment, as they are once it is closed; none if there is no segment.
    fn segment(self) -> Vec<u8> {
        let (disk, broker) = self.write();
        broker.close().unwrap();
        disk.read(LOG).unwrap_or_default()
    }
}

/// Where the batches of a segment begin.
fn batch_starts(segment: &[u8]) -> Vec<usize> {
    let next = |at: &usize| Some(at + 12 + u32::from_be_bytes(*segment.get(at + 8..)?.first_chunk()?) as usize);
    std::iter::successors(Some(0), next).filter(|at| *at < segment.len()).collect()
}

fn ours(durability: Durability) -> Log {
    let codec = Compression::None;
    Log { byte: OURS, value_bytes: 100, closed: 0, open: 100, piece: 10, durability, codec }
}

/// What a power cut leaves of `disk` if everything un-synced survives, or nothing, but for the segment, in which `bytes` are.
fn cut_with(disk: &SimulatedDisk, survives: bool, bytes: &[u8]) -> SimulatedDisk {
    let kept = if survives { disk.unsynced() } else { Vec::new() };
    let image = disk.crash_keeping(kept, false, 1);
    image.put(LOG, bytes);
    image
}

/// How many records there are. Those below `durable` are our own.
fn count_ours(broker: &Broker, durable: u64, what: &str) -> u64 {
    let records: Vec<_> = orders(broker).iter_from(0).map(Result::unwrap).collect();
    for (offset, record) in (0..durable).zip(&records) {
        assert_eq!((record.offset(), record.value().unwrap().first()), (offset, Some(&OURS)), "{what}");
    }
    records.len() as u64
}

/// Opens what a power cut has left, read-only and for writing, again and again: what was durable is there. Returns how many bytes
/// were cut off.
fn check(image: &SimulatedDisk, log: Log, what: &str) -> u64 {
    let durable = log.closed + log.open;
    let read = |disk: &SimulatedDisk| {
        count_ours(&builder(disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap(), durable, what)
    };
    let found = read(image);
    assert!(found >= durable, "{what}: a reader sees {found} of {durable} durable records");
    let broker = builder(image).open().unwrap();
    let report = broker.recovery_report().to_string();
    let found = count_ours(&broker, durable, what);
    assert!(found >= durable, "{what}: {found} of {durable} durable records are left: {report}");
    let partitions = broker.recovery_report().partitions();
    assert!(partitions.iter().all(|partition| partition.dropped_batches() == 0), "{what}: {report}");
    assert_eq!(broker.recovery_report().damage().count(), 0, "{what}: {report}");
    let cut_bytes = partitions.iter().map(ottla::PartitionRecovery::cut_bytes).sum::<u64>();
    let is_kept = partitions.iter().any(|partition| !partition.quarantined().is_empty());
    assert_eq!(is_kept, cut_bytes > 0, "{what}: {report}");
    let killed = image.kill(1);
    assert_eq!(read(&killed), found, "{what}");
    assert_eq!(count_ours(&builder(&killed).open().unwrap(), durable, what), found, "{what}");
    cut_bytes
}

#[test]
fn what_is_durable_in_the_tail_is_not_lost_to_another_logs_segment() {
    for durability in DURABILITIES {
        let log = ours(durability);
        let (disk, _broker) = log.write();
        // Fewer or more records in a batch than ours, as many, and more of them in all.
        for (value_bytes, open) in [(10, 40), (10, 1000), (100, 60), (100, 100), (100, 300), (900, 30), (900, 120)] {
            let others = Log { byte: OTHERS, value_bytes, open, ..log }.segment();
            for survives in [true, false] {
                let what = format!("{durability}, {open} records of {value_bytes} bytes, survives {survives}");
                let cut_bytes = check(&cut_with(&disk, survives, &others), log, &what);
                assert_eq!(cut_bytes, others.len() as u64, "{what}");
            }
        }
    }
}

#[test]
fn behind_our_own_batches_another_logs_are_not_taken_for_ours() {
    for (durability, closed) in
        DURABILITIES.into_iter().flat_map(|durability| [0, 50].map(|closed| (durability, closed)))
    {
        let log = Log { closed, ..ours(durability) };
        let (disk, broker) = log.write();
        let whole = disk.kill(1);
        broker.close().unwrap();
        // Of the same size, so that the other log's batches stand where ours do.
        let (own, others) = (disk.read(LOG).unwrap(), Log { byte: OTHERS, ..log }.segment());
        assert_eq!(batch_starts(&own), batch_starts(&others));
        assert!(batch_starts(&own).len() > 2);
        let synced = Log { open: 0, ..log }.segment().len();
        // Old blocks begin and end anywhere.
        let places = (0..own.len()).step_by(211).chain(batch_starts(&own));
        for at in places.filter(|at| synced <= *at) {
            let mixed = [&own[..at], &others[at..]].concat();
            check(&cut_with(&whole, true, &mixed), log, &format!("{durability}, others' from {at} on"));
            let until = [&own[..synced], &others[synced..at], &own[at..]].concat();
            check(&cut_with(&whole, true, &until), log, &format!("{durability}, others' up to {at}"));
        }
    }
}

#[test]
fn compressed_batches_of_another_log_are_told_from_ours() {
    let codecs = [Compression::None, Compression::Snappy];
    for (ours_by, others_by) in codecs.into_iter().flat_map(|ours| codecs.map(|others| (ours, others))) {
        for durability in DURABILITIES {
            let log = Log { codec: ours_by, ..ours(durability) };
            let (disk, _broker) = log.write();
            for (value_bytes, open) in [(100, 100), (10, 1000), (900, 120)] {
                let others = Log { byte: OTHERS, value_bytes, open, codec: others_by, ..log }.segment();
                let what = format!("{durability}, {ours_by:?}, {open} records of {value_bytes} bytes by {others_by:?}");
                let cut_bytes = check(&cut_with(&disk, true, &others), log, &what);
                assert_eq!(cut_bytes, others.len() as u64, "{what}");
            }
            // Our own batches are our own however they were compressed.
            let own = Log { codec: others_by, ..log }.segment();
            assert_eq!(
                check(&cut_with(&disk, true, &own), log, "our own"),
                0,
                "{durability}, {ours_by:?}, {others_by:?}"
            );
        }
    }
}

#[test]
fn behind_a_batch_that_went_around_the_tail_others_are_told_from_ours() {
    for durability in DURABILITIES {
        let log = ours(durability);
        let write = |byte: u8| {
            let log = Log { byte, ..log };
            let (disk, broker) = Log { open: 0, ..log }.write();
            // Durable by the segment's own sync, with what was appended before.
            log.append(&broker, 20);
            orders(&broker).append(&ProducerRecord::to("orders").value(vec![byte; 100_000])).unwrap();
            broker.flush().unwrap();
            let synced = disk.read(LOG).unwrap().len();
            log.append(&broker, 79);
            (disk, broker, synced)
        };
        let (disk, _broker, synced) = write(OURS);
        let (others, broker, _) = write(OTHERS);
        broker.close().unwrap();
        let (own, others) = (disk.read(LOG).unwrap(), others.read(LOG).unwrap());
        let mixed = [&own[..synced], &others[synced..]].concat();
        let cut_bytes = check(&cut_with(&disk, true, &mixed), log, &format!("{durability}"));
        assert_eq!(cut_bytes, (mixed.len() - synced) as u64);
    }
}
