//! The one writer of a log: encodes records into the open batch, and seals it into a segment when it is full.
//!
//! Lives under the log's append lock, which is held for a few dozen instructions per record and for one `pwrite` per batch,
//! and never across a sync.

mod clock;
mod open;
mod sender;
mod transactions;

use std::ops::Range;

pub(super) use clock::SendersTime;
use clock::{Clock, WhoseTime};
use open::{NotPushed, Open, fields_of};
pub(super) use sender::NoProducer;
use sender::Sender;

use super::budget::Room;
use super::log_core::{LogCore, Sealing, own_header};
use super::producer_state::batch::DataBatch;
use super::recovery::seal_anew;
use super::timestamp_type::TimestampType;
use crate::disk::append_file::AppendError;
use crate::error::{Error, Result};
use crate::format::{
    Attributes, BatchBuilder, BatchHeader, BatchStart, HEADER_BYTES, ProducerIdAndEpoch, SealFields, is_plain,
    seal_records,
};
use crate::record::{ProducerRecord, Timestamp};
use crate::tail::{BatchWriter, Identity, SlotClass};

/// What an append did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    /// That of a single record; of several, those have it that have the clock's.
    timestamp_ms: i64,
    // Small, since it is handed through many calls.
    record_count: u32,
    whose: TimestampType,
}

/// An error on the heap, so that what an append returns stays small: it is handed through many calls, and fails in few.
pub(crate) type AppendResult = Result<Appended, Box<Error>>;

impl Appended {
    /// The offsets of the records.
    #[inline]
    pub(crate) fn offsets(&self) -> Range<u64> {
        self.base_offset..self.base_offset + u64::from(self.record_count)
    }

    /// The timestamp of the record that was appended alone.
    #[inline]
    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp_ms)
    }

    /// The timestamp of one of the records that were appended.
    pub(crate) fn timestamp_of(&self, record: &ProducerRecord<'_>) -> Timestamp {
        Timestamp::from_millis(self.clock().timestamp_of(record))
    }

    /// The timestamp of all of them, which are `records`, if they have the clock's.
    pub(crate) fn one_timestamp(&self, records: &[ProducerRecord<'_>]) -> Option<Timestamp> {
        let is_clocks = match self.whose {
            TimestampType::CreateTime => records.iter().all(|record| record.get_timestamp().is_none()),
            TimestampType::LogAppendTime => true,
        };
        is_clocks.then_some(self.timestamp())
    }

    fn clock(&self) -> Clock {
        Clock { now_ms: self.timestamp_ms, whose: self.whose }
    }
}

/// What only the holder of the append lock may touch.
#[derive(Debug)]
pub(crate) struct Appender {
    open: Option<Open>,
    next_offset: u64,
    leader_epoch: i32,
    /// How large the next slot is to be.
    class: SlotClass,
    /// What the transaction of the open batch has sent before it, in bytes of records.
    transaction_bytes: usize,
    /// Room for a batch that does not come out of a slot as it is; kept small between uses.
    builder: BatchBuilder,
    compressed: Vec<u8>,
    /// The log end when the maintenance last looked, to tell an idle log.
    seen_end: u64,
}

/// About so many small slots a transaction fills before it gets a large one.
const SMALL_SLOTS: usize = 3;
/// No log ever reaches this offset: it would not fit Kafka's signed integers.
const OFFSET_MAX: u64 = i64::MAX as u64;

impl Appender {
    pub(super) fn new(next_offset: u64, leader_epoch: i32) -> Appender {
        Appender {
            open: None,
            next_offset,
            leader_epoch,
            class: SlotClass::Small,
            transaction_bytes: 0,
            builder: BatchBuilder::new(),
            compressed: Vec::new(),
            seen_end: next_offset,
        }
    }

    /// Appends `records`, which have `payload_bytes` together, in one piece and publishes them, so that they outlive the process
    /// when this returns. If the `sender` is a producer, they belong to its transaction, which may begin with them.
    #[allow(clippy::inline_always, reason = "as for `Log::append_visibly`")]
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        log: &LogCore,
        records: &[ProducerRecord<'_>],
        payload_bytes: usize,
        whose: impl WhoseTime,
        sender: impl Sender,
    ) -> AppendResult {
        if let Some(producer) = sender.producer() {
            self.admit(log, producer)?;
        }
        let clock = Clock::read(log, records, whose);
        let base_offset = self.next_offset;
        let next_offset = base_offset + records.len() as u64;
        if next_offset > OFFSET_MAX {
            return Err(last_offset_error().into());
        }
        if SlotClass::Large.records_bytes_max() < payload_bytes {
            // Too large for any slot whatever else is to be written: nobody needs to be asked for its exact size.
            self.append_around_tail(log, records, payload_bytes, clock, sender)?;
        } else if let Err(reason) = self.push(records, clock, next_offset, sender) {
            reason.fail_unless_full(log, base_offset..next_offset)?;
            self.begin_batch(log, records, clock.of_any(), sender.producer())?;
            if let Err(reason) = self.push(records, clock, next_offset, sender) {
                reason.fail_unless_full(log, base_offset..next_offset)?;
                self.append_around_tail(log, records, payload_bytes, clock, sender)?;
            }
        }
        if sender.producer().is_some() {
            self.note_sent(log);
        }
        self.next_offset = next_offset;
        log.set_log_end(next_offset);
        let Clock { now_ms, whose } = clock.of_any();
        #[allow(clippy::cast_possible_truncation, reason = "so many records fit no batch")]
        Ok(Appended { base_offset, timestamp_ms: now_ms, record_count: records.len() as u32, whose })
    }

    /// Appends to the open batch, if there is one, it is the sender's and it has room.
    #[inline]
    fn push<W: WhoseTime>(
        &mut self,
        records: &[ProducerRecord<'_>],
        clock: Clock<W>,
        next_offset: u64,
        sender: impl Sender,
    ) -> Result<(), NotPushed> {
        let open = self.open.as_mut().ok_or(NotPushed::NoRoom)?;
        if !open.is_of(sender.producer()) {
            return Err(NotPushed::NoRoom);
        }
        open.push(records, clock, next_offset)
    }

    /// Seals the open batch and takes a slot in which `records` fit; none if they are to go around the tail.
    #[cold]
    fn begin_batch(
        &mut self,
        log: &LogCore,
        records: &[ProducerRecord<'_>],
        clock: Clock,
        producer: Option<ProducerIdAndEpoch>,
    ) -> Result<()> {
        let config = log.spec.settings.load();
        let base_timestamp = records.first().map_or(clock.now_ms, |record| clock.timestamp_of(record));
        let bytes = encoded_bytes(records, 0, base_timestamp, clock);
        check_size(log, HEADER_BYTES + bytes)?;
        self.choose_class(producer);
        self.end_batch(log, producer)?;
        log.check_epochs_are_stored()?;
        let Some(least) = SlotClass::that_fits(bytes) else { return Ok(()) };
        log.choose_tail();
        let class = least.max(self.class);
        let room = log.take_room(HEADER_BYTES + class.records_bytes_max())?;
        let start = BatchStart {
            base_offset: self.next_offset,
            leader_epoch: self.leader_epoch,
            attributes: Attributes::NONE,
            base_timestamp,
            stamp: Appender::next_stamp(log, producer),
        };
        self.take_slot(log, start, (class, least), room, config.max_message_bytes as usize - HEADER_BYTES);
        Ok(())
    }

    /// Ends the open batch: leaves it to the thread that seals, if it is a full one that goes into the segment as it is, or else seals it.
    fn end_batch(&mut self, log: &LogCore, producer: Option<ProducerIdAndEpoch>) -> Result<()> {
        let codec = log.spec.settings.load().compression;
        let is_full =
            |open: &mut Open| 0 < open.record_count && open.is_of(producer) && is_plain(&open.start.with_codec(codec));
        if log.seals_beside()
            && let Some(full) = self.open.take_if(is_full)
        {
            return log.leave_full(full.ended());
        }
        self.seal(log)
    }

    /// Takes a slot of the class that is wanted, or of another one from the least on, for a batch that begins like this and gets so many
    /// bytes of records at most; none if there is none.
    fn take_slot(
        &mut self,
        log: &LogCore,
        start: BatchStart,
        (class, least): (SlotClass, SlotClass),
        room: Option<Room>,
        records_bytes_max: usize,
    ) {
        let identity = Identity { topic_id: log.spec.topic_id, partition: log.spec.partition.partition(), start };
        let Some(writer) = log.group().tail().take(class, least, identity) else {
            log.environment.report_short_slots();
            return;
        };
        log.batch_opened(writer.batch());
        let slot_class = writer.class();
        // Room was taken for the slot that was wanted.
        let slot_class = if room.is_some() { slot_class.min(class) } else { slot_class };
        let slot_bytes = slot_class.records_bytes_max();
        self.open = Some(Open {
            writer,
            _room: room,
            start,
            max_timestamp: i64::MIN,
            record_count: 0,
            begun_ms: log.environment.steady_ms(),
            records_bytes_max: slot_bytes.min(records_bytes_max),
        });
    }

    /// Chooses how large a slot the next batch is to have.
    fn choose_class(&mut self, producer: Option<ProducerIdAndEpoch>) {
        let full = self.open.as_ref().filter(|open| open.is_of(producer));
        if producer.is_some() {
            // A transaction ends with a batch, however small: a large slot for it would be kept for little.
            let before = full.map(|full| self.transaction_bytes + full.writer.records_bytes());
            self.transaction_bytes = before.unwrap_or_default();
            let is_long = SMALL_SLOTS * SlotClass::Small.records_bytes_max() < self.transaction_bytes;
            self.class = if is_long { SlotClass::Large } else { SlotClass::Small };
        } else if let Some(full) = full {
            // One that was begun by somebody else says nothing of how much comes.
            self.class = class_after(&full.writer);
        }
    }

    /// Writes `records` straight into the segment, as a batch of their own.
    fn append_around_tail<W: WhoseTime>(
        &mut self,
        log: &LogCore,
        records: &[ProducerRecord<'_>],
        payload_bytes: usize,
        clock: Clock<W>,
        sender: impl Sender,
    ) -> Result<()> {
        let base_timestamp = records.first().map_or(clock.now_ms, |record| clock.timestamp_of(record));
        if log.spec.settings.load().max_message_bytes as usize <= payload_bytes {
            // Before it takes memory.
            check_size(log, HEADER_BYTES + encoded_bytes(records, 0, base_timestamp, clock.of_any()))?;
        }
        self.build(records, clock, base_timestamp);
        let batch_bytes = self.builder.batch_bytes();
        check_size(log, batch_bytes)?;
        // What is in the tail comes first.
        self.seal(log)?;
        log.check_epochs_are_stored()?;
        let _room = log.take_room(batch_bytes)?;
        let start = BatchStart {
            base_offset: self.next_offset,
            leader_epoch: self.leader_epoch,
            attributes: Attributes::NONE,
            base_timestamp,
            stamp: Appender::next_stamp(log, sender.producer()),
        };
        let header = self.append_built(log, start, self.next_offset + records.len() as u64)?;
        log.counters.note_around_tail(records.len(), batch_bytes - HEADER_BYTES);
        if sender.producer().is_some() {
            log.note_sent(&DataBatch::of(&header));
        }
        Ok(())
    }

    /// Encodes `records` into the builder.
    fn build<W: WhoseTime>(&mut self, records: &[ProducerRecord<'_>], clock: Clock<W>, base_timestamp: i64) {
        self.builder.clear(self.next_offset, base_timestamp);
        for record in records {
            self.builder.push(clock.timestamp_of(record), record.get_key(), record.get_value(), record.header_list());
        }
    }

    /// Appends what is in the builder to the segment, as a batch that begins like this.
    fn append_built(&mut self, log: &LogCore, start: BatchStart, next_offset: u64) -> Result<BatchHeader> {
        let offsets = self.next_offset..next_offset;
        let start = start.with_codec(log.spec.settings.load().compression);
        let fields = SealFields { start, ..self.builder.fields() };
        let batch = self.builder.finish(&fields).map_err(|_| codec_error(log, offsets.clone()))?;
        let header = own_header(batch);
        log.sealing().append(batch, &header, None).map_err(|failure| match failure {
            // What could not be cut back may be the whole batch, and found there by who opens the log next.
            AppendError::Torn(source) => {
                Error::InDoubt { partition: log.spec.partition.clone(), offsets, source: Box::new(source) }
            }
            failure => failure.into_inner(),
        })?;
        log.bypassed_tail(next_offset);
        Ok(header)
    }

    /// Turns the open batch into a record batch of the active segment, with one write. The slot is free when no reader is in
    /// it and no durable record depends on it. What opening could not seal comes first, and what is full.
    ///
    /// # Errors
    /// After [`Error::DiskFull`] the batch is still open, and sealing it can be tried again.
    pub(super) fn seal(&mut self, log: &LogCore) -> Result<()> {
        let sealing = log.sealing();
        while let Some(batch) = log.first_unsealed() {
            let bytes = seal_anew(&batch, log.spec.settings.load().compression)?;
            sealing.append(&bytes, &own_header(&bytes), None).map_err(AppendError::into_inner)?;
            log.unsealed_is_sealed();
        }
        sealing.seal_all_full()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.record_count == 0 {
            // The write of its first record failed, and nobody came with another one.
            log.batch_given_up(open.writer.batch());
            self.open = None;
            return Ok(());
        }
        let fields = open.seal_fields(log.spec.settings.load().compression);
        if is_plain(&fields.start) {
            sealing.seal_plain(&mut open.writer, &fields, open.begun_ms)?;
        } else {
            seal_records(&fields, open.writer.records(), &mut self.compressed)
                .map_err(|_| codec_error(log, open.start.base_offset..self.next_offset))?;
            sealing.seal_as(&self.compressed, open.writer.batch(), open.begun_ms)?;
        }
        self.open = None;
        Ok(())
    }

    /// When the first batch that is not sealed was begun, by the steady clock, if there is one.
    pub(super) fn begun_ms(&self, sealing: &Sealing<'_>) -> Option<i64> {
        let open = self.open.as_ref().filter(|open| 0 < open.record_count);
        sealing.full_begun_ms().or_else(|| open.map(|open| open.begun_ms))
    }

    /// Gives up the batches that are not sealed, as they are.
    pub(super) fn abandon(&mut self, log: &LogCore) {
        log.abandon_full();
        self.open = None;
    }

    /// Seals the open batch if nothing was appended since the last call.
    pub(super) fn seal_if_idle(&mut self, log: &LogCore) -> Result<()> {
        if self.seen_end == self.next_offset {
            self.class = SlotClass::Small;
            self.seal(log)?;
            self.builder = BatchBuilder::new();
            self.compressed = Vec::new();
        }
        self.seen_end = self.next_offset;
        Ok(())
    }
}

/// How large a slot a log wants that has filled this one. If it was filled by many small commits, another small one: each
/// sync then writes one page, where a larger slot has two, its first and that of the newest records.
fn class_after(full: &BatchWriter) -> SlotClass {
    /// Bytes of records a commit, below which slots stay small.
    const SMALL_COMMIT_BYTES: u64 = 512;
    match full.batch().synced_commits() {
        commits if commits * SMALL_COMMIT_BYTES > full.records_bytes() as u64 => SlotClass::Small,
        _ => SlotClass::Large,
    }
}

/// The bytes that `records` take, encoded one after the other from `offset_delta` on.
#[inline]
fn encoded_bytes(records: &[ProducerRecord<'_>], offset_delta: i32, base_timestamp: i64, clock: Clock) -> usize {
    let deltas = offset_delta..;
    records
        .iter()
        .zip(deltas)
        .map(|(record, delta)| fields_of(record, delta, base_timestamp, clock.timestamp_of(record)).encoded_len())
        .sum()
}

/// Fails if a batch of `batch_bytes` is more than the topic allows.
fn check_size(log: &LogCore, batch_bytes: usize) -> Result<()> {
    let limit = u64::from(log.spec.settings.load().max_message_bytes);
    match batch_bytes as u64 {
        size if limit < size => Err(Error::RecordTooLarge { partition: log.spec.partition.clone(), size, limit }),
        _ => Ok(()),
    }
}

#[cold]
fn last_offset_error() -> Error {
    Error::InvalidState { reason: "the log has reached the last offset that exists" }
}

/// Topics refuse a codec that is not compiled in, so this needs a data directory that was made by another build.
fn codec_error(log: &LogCore, offsets: Range<u64>) -> Error {
    let codec = log.spec.settings.load().compression.name();
    Error::CodecUnavailable { partition: log.spec.partition.clone(), offsets, codec }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::simulated::SimulatedDisk;
    use crate::format::ProducerStamp;
    use crate::tail::Tail;

    const IDENTITY: Identity = Identity {
        topic_id: 7,
        partition: 3,
        start: BatchStart {
            base_offset: 0,
            leader_epoch: 0,
            attributes: Attributes::NONE,
            base_timestamp: 0,
            stamp: ProducerStamp::NONE,
        },
    };

    /// The class after a slot that was filled by records of `bytes`, of which every `commit_every`th was waited for.
    fn class_after_records_of(bytes: usize, commit_every: usize) -> SlotClass {
        let tail = Tail::open(&SimulatedDisk::new(1), Path::new("tail"), 1 << 20, false, 1).unwrap();
        tail.supply_if_short();
        let mut writer = tail.take(SlotClass::Small, SlotClass::Small, IDENTITY).unwrap();
        for count in 1..=SlotClass::Small.records_bytes_max() / bytes {
            writer.publish(bytes, count as u64).unwrap();
            if count.is_multiple_of(commit_every) {
                let committed = writer.batch().commit().unwrap().unwrap();
                writer.batch().note_synced(committed);
            }
        }
        class_after(&writer)
    }

    #[test]
    fn logs_of_small_commits_keep_to_small_slots() {
        assert_eq!(class_after_records_of(110, 1), SlotClass::Small);
        assert_eq!(class_after_records_of(110, 4), SlotClass::Small);
        assert_eq!(class_after_records_of(110, 8), SlotClass::Large);
        assert_eq!(class_after_records_of(800, 1), SlotClass::Large);
        assert_eq!(class_after_records_of(110, usize::MAX), SlotClass::Large, "nobody waits for a sync");
    }
}
