//! What a slot holds of a batch, copied out of it piece by piece as it grows.
//!
//! Each look at a batch copies, checks and counts only what came since the one before. Who holds what an earlier look has found
//! shares its bytes: they are the same up to there.

use std::io;
use std::sync::Arc;

use super::file::{Pieces, Place};
use crate::format::{Record, crc32c_append, skip};
use crate::sync::Mutex;
use crate::tail::layout::{
    BATCH, COMMIT, COMMIT_BYTES, DURABLE, GENERATION, IDENTITY_BYTES, Identity, PUBLISHED, Published, RECORDS,
    decode_commit, header_word,
};
use crate::tail::salvage::salvage_slot;

/// What a slot holds of a batch, as it was at some moment.
#[derive(Debug)]
pub(crate) struct FollowedBatch {
    pub(crate) identity: Identity,
    /// The records that were copied.
    copied: Prefix,
    /// Those of them that are synced, as the writer says; if any are, all that comes before the batch is, too.
    durable: Prefix,
    pub(super) place: Place,
    generation: u64,
    /// The slot's words `published` and `durable` from before the records were copied.
    words: [u64; 2],
    records: Arc<Mutex<Records>>,
}

/// The first records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Prefix {
    bytes: usize,
    crc: u32,
    /// One above the last offset; `None` where there are no records, or they are not whole.
    next_offset: Option<u64>,
}

/// What was copied by all looks at a batch.
#[derive(Debug, Default)]
struct Records {
    /// In Kafka's encoding.
    bytes: Vec<u8>,
    all: Prefix,
}

impl FollowedBatch {
    /// One above the last offset; `None` if the records are not whole.
    pub(crate) fn next_offset(&self) -> Option<u64> {
        self.copied.next_offset
    }

    /// One above the last offset that is durable; `None` if none is known to be.
    pub(crate) fn durable_next_offset(&self) -> Option<u64> {
        self.durable.next_offset
    }

    /// Shows the records to `look`, which is not to take long.
    pub(crate) fn show<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let records = self.records.lock();
        look(records.bytes.get(..self.copied.bytes).unwrap_or_default())
    }

    /// Whether this is `before`, with more records or none.
    pub(super) fn is_grown(&self, before: &FollowedBatch) -> bool {
        (self.generation, self.identity) == (before.generation, before.identity)
            && before.copied.bytes <= self.copied.bytes
    }

    #[cfg(test)]
    pub(super) fn records_and_durable_bytes(&self) -> (Vec<u8>, usize) {
        (self.show(<[u8]>::to_vec), self.durable.bytes)
    }
}

impl Prefix {
    /// All of `records`, which begin with these.
    fn grown(self, identity: &Identity, records: &[u8]) -> Prefix {
        let new = records.get(self.bytes..).unwrap_or_default();
        if new.is_empty() {
            return self;
        }
        let is_whole = self.bytes == 0 || self.next_offset.is_some();
        let next_offset = is_whole.then(|| next_offset(identity, new)).flatten();
        Prefix { bytes: records.len(), crc: crc32c_append(self.crc, new), next_offset }
    }

    /// As much of `records` as is `published`, if those are the bytes; goes on from the longest of `known`.
    fn published(identity: &Identity, records: &[u8], published: Published, known: &[Prefix]) -> Option<Prefix> {
        let records = records.get(..published.records_bytes as usize)?;
        let known = known.iter().filter(|known| known.bytes <= records.len()).max_by_key(|known| known.bytes);
        let prefix = known.copied().unwrap_or_default().grown(identity, records);
        (prefix.crc == published.records_crc).then_some(prefix)
    }
}

/// One above the last offset of these records; `None` if they are not whole.
fn next_offset(identity: &Identity, mut records: &[u8]) -> Option<u64> {
    let mut last = None;
    while !records.is_empty() {
        let (delta, bytes) = skip(records).ok()?;
        Record::decode(records).ok()?;
        last = Some(delta);
        records = records.get(bytes..)?;
    }
    identity.base_offset().checked_add_signed(i64::from(last?))?.checked_add(1)
}

/// So often a slot is read again that got another batch meanwhile. Each time a whole batch has to come in between.
const READS_MAX: usize = 20;

impl Pieces {
    /// What the slot there holds now, whosever it is; `None` if that is nothing. What `before` has is not copied again.
    pub(super) fn read(&self, place: Place, before: &[Arc<FollowedBatch>]) -> io::Result<Option<Arc<FollowedBatch>>> {
        if let Some(known) = before.iter().find(|batch| batch.place == place)
            && let Some(grown) = self.grown(place, known)
        {
            return Ok(Some(grown));
        }
        for _ in 0..READS_MAX {
            let Some(head) = self.head(place)? else { return Ok(None) };
            let known =
                before.iter().find(|batch| (batch.generation, batch.identity) == (head.generation, head.identity));
            if let Some(known) = known.filter(|known| known.words == head.words) {
                return Ok(Some(Arc::clone(known)));
            }
            let found = match self.copied(place, &head)? {
                Some(copied) => Some(copied),
                None => self.salvaged(place, &head)?,
            };
            let mut identity = Vec::with_capacity(IDENTITY_BYTES);
            self.copy(place, 0..IDENTITY_BYTES, &mut identity)?;
            if head.bytes.starts_with(&identity) {
                return Ok(found.map(Arc::new));
            }
        }
        // All that was in it meanwhile is in segments.
        Ok(None)
    }

    /// The batch that is known, with what came since; `None` if the slot is not mapped, holds another one, or does not hold what it
    /// should.
    fn grown(&self, place: Place, known: &Arc<FollowedBatch>) -> Option<Arc<FollowedBatch>> {
        let is_same = || self.word(place, GENERATION) == Some(known.generation);
        if !is_same() {
            return None;
        }
        // Before the records: the words say how much there is of them.
        let words = [self.word(place, PUBLISHED)?, self.word(place, DURABLE)?];
        if words == known.words {
            return is_same().then(|| Arc::clone(known));
        }
        let [published, durable] = words.map(Published::from_word);
        let wanted = published.records_bytes as usize;
        if wanted < known.copied.bytes || place.records_bytes_max() < wanted {
            return None;
        }
        let mut records = known.records.lock();
        let start = records.bytes.len();
        if start < wanted {
            self.copy(place, RECORDS + start..RECORDS + wanted, &mut records.bytes).ok()?;
        }
        let all = records.all.grown(&known.identity, &records.bytes);
        // Another look may have found more by now.
        let is_whole = wanted < start || (all.bytes, all.crc) == (wanted, published.records_crc);
        if !is_whole || !is_same() {
            records.bytes.truncate(start);
            return None;
        }
        records.all = all;
        let durable = durable_of(&known.identity, &records.bytes, durable, &[known.durable, known.copied, all]);
        let (identity, generation) = (known.identity, known.generation);
        let records = Arc::clone(&known.records);
        Some(Arc::new(FollowedBatch { identity, copied: all, durable, place, generation, words, records }))
    }

    /// Whether the slot of `batch`, which is mapped, holds what it did.
    pub(super) fn holds_still(&self, batch: &FollowedBatch) -> bool {
        let is_same = |at, word| self.word(batch.place, at) == Some(word);
        let [published, durable] = batch.words;
        is_same(PUBLISHED, published) && is_same(DURABLE, durable) && is_same(GENERATION, batch.generation)
    }

    /// Identity and words, in this order, and before the records: the words say how much there is of them.
    fn head(&self, place: Place) -> io::Result<Option<Head>> {
        let mut bytes = Vec::with_capacity(BATCH);
        self.copy(place, 0..IDENTITY_BYTES, &mut bytes)?;
        self.copy(place, IDENTITY_BYTES..BATCH, &mut bytes)?;
        let whole = Identity::decode(&bytes).filter(|(_, stated, _)| *stated == place.class);
        let Some((identity, _, generation)) = whole else { return Ok(None) };
        let words = [PUBLISHED, DURABLE].map(|at| header_word(&bytes, at).unwrap_or_default());
        Ok(Some(Head { identity, generation, words, bytes }))
    }

    /// The published records, if they are what the words say and nothing speaks of more.
    fn copied(&self, place: Place, head: &Head) -> io::Result<Option<FollowedBatch>> {
        let published = Published::from_word(head.words[0]);
        let wanted = published.records_bytes as usize;
        if wanted == 0 || wanted < most_spoken_of(head) || place.records_bytes_max() < wanted {
            return Ok(None);
        }
        let mut records = Vec::with_capacity(wanted);
        self.copy(place, RECORDS..RECORDS + wanted, &mut records)?;
        let batch = head.batch(place, records);
        let is_whole = (batch.copied.bytes, batch.copied.crc) == (wanted, published.records_crc);
        Ok(is_whole.then_some(batch))
    }

    /// What is still to be had of the records, as where batches are salvaged.
    fn salvaged(&self, place: Place, head: &Head) -> io::Result<Option<FollowedBatch>> {
        let mut bytes = Vec::new();
        self.copy(place, 0..place.class.slot_bytes(), &mut bytes)?;
        let salvaged = salvage_slot(place.class, place.position(), &bytes);
        Ok(salvaged.map(|salvaged| head.batch(place, salvaged.records)))
    }
}

/// The sectors before a slot's records, as they were at some moment.
struct Head {
    identity: Identity,
    generation: u64,
    /// `published` and `durable`.
    words: [u64; 2],
    bytes: Vec<u8>,
}

impl Head {
    fn batch(&self, place: Place, records: Vec<u8>) -> FollowedBatch {
        let Head { identity, generation, words, .. } = *self;
        let copied = Prefix::default().grown(&identity, &records);
        let durable = durable_of(&identity, &records, Published::from_word(words[1]), &[copied]);
        let records = Arc::new(Mutex::new(Records { bytes: records, all: copied }));
        FollowedBatch { identity, copied, durable, place, generation, words, records }
    }
}

/// The most bytes of records that anything before the records speaks of.
fn most_spoken_of(head: &Head) -> usize {
    let commit = |at| Some(decode_commit(head.bytes.get(at..at + COMMIT_BYTES)?, head.generation)?.1);
    let spoken_of = head.words.map(Published::from_word).into_iter().chain(COMMIT.into_iter().filter_map(commit));
    spoken_of.map(|published| published.records_bytes as usize).max().unwrap_or_default()
}

/// The records that are synced, if the slot's word is `durable`; what is known of `records` is `known`, in the end of all of them.
fn durable_of(identity: &Identity, records: &[u8], durable: Published, known: &[Prefix]) -> Prefix {
    match known.last() {
        // More was published and synced since the records were counted.
        Some(all) if all.bytes <= durable.records_bytes as usize => *all,
        _ => Prefix::published(identity, records, durable, known).unwrap_or_default(),
    }
}
