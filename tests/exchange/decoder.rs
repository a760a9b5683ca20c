//! Kafka's record batches, read without any of the crate's own code but the checksum: the second opinion.
//!
//! Panics on whatever a broker would not adopt.

use std::collections::BTreeSet;

/// A batch as it stands in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) producer_id: i64,
    pub(crate) record_count: i32,
    /// The whole batch, but for its leader epoch, of which zeros are here.
    pub(crate) bytes: Vec<u8>,
}

const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

impl Batch {
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }
}

/// The batches of a log file.
pub(crate) fn batches(log: &[u8]) -> Vec<Batch> {
    let (mut found, mut rest) = (Vec::new(), log);
    while !rest.is_empty() {
        let number = |at: usize, size: usize| {
            rest[at..at + size].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let bytes = 12 + usize::try_from(number(8, 4)).unwrap();
        assert!(61 <= bytes && bytes <= rest.len(), "a batch of {bytes} bytes in {}", rest.len());
        assert_eq!(rest[16], 2, "magic");
        let crc = u32::try_from(number(17, 4)).unwrap();
        assert_eq!(crc32c::crc32c(&rest[21..bytes]), crc, "the checksum");
        let base_offset = number(0, 8).cast_signed();
        let mut without_epoch = rest[..bytes].to_vec();
        without_epoch[12..16].fill(0);
        found.push(Batch {
            base_offset,
            last_offset: base_offset + number(23, 4).cast_signed(),
            leader_epoch: u32::try_from(number(12, 4)).unwrap().cast_signed(),
            attributes: u16::try_from(number(21, 2)).unwrap().cast_signed(),
            producer_id: number(43, 8).cast_signed(),
            record_count: u32::try_from(number(57, 4)).unwrap().cast_signed(),
            bytes: without_epoch,
        });
        rest = &rest[bytes..];
    }
    found
}

/// The batches of a partition's log files, given by their names, as a broker adopts them: they rise, none is below its file's name, and
/// no transaction is open at the end. Returns the log's end, too.
pub(crate) fn adopted<'f>(files: impl Iterator<Item = (&'f str, &'f [u8])>) -> (Vec<Batch>, i64) {
    let (mut all, mut next_offset, mut open) = (Vec::new(), 0, BTreeSet::new());
    for (name, log) in files {
        let base_offset: i64 = name.strip_suffix(".log").unwrap().parse().unwrap();
        assert_eq!(name.len(), 24);
        assert!(next_offset <= base_offset, "{name} begins below {next_offset}");
        next_offset = base_offset;
        for batch in batches(log) {
            assert!(next_offset <= batch.base_offset, "offsets rise");
            assert_eq!(batch.leader_epoch, 0);
            next_offset = batch.last_offset + 1;
            match (batch.is_control(), batch.is_transactional()) {
                (true, _) => _ = open.remove(&batch.producer_id),
                (false, true) => _ = open.insert(batch.producer_id),
                (false, false) => assert!(!open.contains(&batch.producer_id), "its transaction is open"),
            }
            all.push(batch);
        }
    }
    assert!(open.is_empty(), "transactions are open: {open:?}");
    (all, next_offset)
}
