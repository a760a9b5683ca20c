//! Slots made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use super::layout::{
    COMMIT, COMMIT_BYTES, IDENTITY_BYTES, Identity, PUBLISHED, Published, RECORDS, SlotClass, decode_chunk_entry,
    decode_file_header, encode_chunk_entry, encode_commit,
};
use super::salvage::salvage_slot;
use crate::format::crc32c;

/// Salvages a small slot. `fixes` says, from the lowest bit on, which checksums are put right first: of the identity, of the
/// published bytes, of the bytes of commit A and B, of these commits.
pub fn slot(bytes: &[u8], fixes: u8) {
    let class = SlotClass::Small;
    let mut slot = vec![0; class.slot_bytes()];
    slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let fix = |bit: u8| fixes >> bit & 1 == 1;
    if fix(0) {
        let (checked, crc) = slot.get_mut(..IDENTITY_BYTES).unwrap().split_last_chunk_mut().unwrap();
        *crc = crc32fast::hash(checked).to_be_bytes();
    }
    let generation = word(&slot, 8);
    if fix(1) {
        fix_published(&mut slot, PUBLISHED);
    }
    for (&at, bit) in COMMIT.iter().zip([2, 3]) {
        if fix(bit) {
            fix_published(&mut slot, at + 8);
        }
        if fix(bit + 2) {
            let published = Published::from_word(word(&slot, at + 8));
            let words = encode_commit(generation, word(&slot, at), published);
            let commit = slot.get_mut(at..at + COMMIT_BYTES).unwrap();
            commit.iter_mut().zip(words.iter().flat_map(|word| word.to_be_bytes())).for_each(|(to, from)| *to = from);
        }
    }
    check(&slot);
}

fn check(slot: &[u8]) {
    let salvaged = salvage_slot(SlotClass::Small, 0, slot);
    assert_eq!(salvage_slot(SlotClass::Small, 0, slot), salvaged, "the same answer twice");
    let Some(salvaged) = salvaged else { return };
    let (identity, class, generation) = Identity::decode(slot).unwrap();
    assert_eq!((identity, class), (salvaged.identity, SlotClass::Small));
    #[expect(clippy::cast_possible_truncation, reason = "a small slot")]
    let encoded = identity.encode(class.slot_bytes() as u32, generation);
    assert_eq!(slot.get(..IDENTITY_BYTES), Some(&encoded[..]), "an identity comes back from its bytes");
    assert_eq!(slot.get(RECORDS..RECORDS + salvaged.records.len()), Some(&salvaged.records[..]));
    assert!(salvaged.durable_bytes <= salvaged.records.len());
    assert!(salvaged.torn || !salvaged.lost_synced && salvaged.lost_records_max == 0);
    assert!(salvaged.torn || !salvaged.records.is_empty());
    let published = Published::from_word(word(slot, PUBLISHED));
    let whole = |published: Published| {
        let records = slot.get(RECORDS..)?.get(..published.records_bytes as usize)?;
        Some(crc32c(records) == published.records_crc)
    };
    assert_eq!(whole(published) == Some(true), !salvaged.torn);
}

fn fix_published(slot: &mut [u8], at: usize) {
    let published = Published::from_word(word(slot, at));
    if let Some(records) = slot.get(RECORDS..).and_then(|records| records.get(..published.records_bytes as usize)) {
        let records_crc = crc32c(records);
        let word = Published { records_crc, ..published }.to_word();
        *slot.get_mut(at..).unwrap().first_chunk_mut().unwrap() = word.to_be_bytes();
    }
}

fn word(slot: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(*slot.get(at..).unwrap().first_chunk().unwrap())
}

/// Reads the header of a tail file and an entry of its chunk table.
pub fn tail_header(bytes: &[u8]) {
    _ = decode_file_header(bytes);
    let chunk = bytes.last().map_or(0, |&byte| usize::from(byte));
    if let Some(class) = decode_chunk_entry(chunk, bytes) {
        assert!(bytes.starts_with(&encode_chunk_entry(chunk, class)), "an entry comes back from its bytes");
    }
}
