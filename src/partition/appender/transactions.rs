//! What the appender does for transactions: whose batches are told apart, and markers.

use super::clock::{Clock, SendersTime};
use super::open::NotPushed;
use super::{Appender, OFFSET_MAX, encoded_bytes, last_offset_error};
use crate::error::{Error, Result};
use crate::format::{Attributes, BatchStart, HEADER_BYTES, ProducerIdAndEpoch, ProducerStamp};
use crate::partition::log_core::LogCore;
use crate::partition::producer_state::batch::MarkerBatch;
use crate::partition::producer_state::live::{Decided, NotAdmitted};
use crate::record::ProducerRecord;
use crate::tail::SlotClass;

impl Appender {
    /// Sees to it that the next batch may be one of a transaction of this producer.
    ///
    /// # Errors
    /// [`Error::Fenced`]; those of a marker that comes first.
    #[inline(never)]
    pub(super) fn admit(&mut self, log: &LogCore, producer: ProducerIdAndEpoch) -> Result<()> {
        match log.admit(producer) {
            Ok(()) => Ok(()),
            Err(NotAdmitted::Fenced) => Err(log.fenced_error(producer)),
            // Or it would be the end of the next transaction, too.
            Err(NotAdmitted::Owed(decided)) => self.append_marker(log, decided),
            Err(NotAdmitted::OlderIsOpen) => {
                Err(Error::InvalidState { reason: "a transaction of an older epoch of this producer is open" })
            }
        }
    }

    /// What a batch that begins now is stamped with.
    pub(super) fn next_stamp(log: &LogCore, producer: Option<ProducerIdAndEpoch>) -> ProducerStamp {
        producer.map_or(ProducerStamp::NONE, |producer| ProducerStamp {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: log.next_sequence(producer),
            is_transactional: true,
        })
    }

    /// The records of a transaction were appended, and are about to be published.
    #[inline(never)]
    pub(super) fn note_sent(&self, log: &LogCore) {
        // What went around the tail was noted there.
        if let Some(open) = self.open.as_ref().filter(|open| 0 < open.record_count) {
            log.note_sent(&open.data());
        }
    }

    /// Ends the transaction of a producer, if one is open that may be ended so and begins below `end`; whether one was. If the marker
    /// cannot be appended, it is noted how the transaction ended: the first who says so has decided.
    ///
    /// # Errors
    /// Why the marker is not in the log.
    pub(in crate::partition) fn end_transaction(&mut self, log: &LogCore, decided: Decided, end: u64) -> Result<bool> {
        let open = log.open_of(decided.producer).filter(|(first_offset, _)| *first_offset < end);
        let Some((first_offset, earlier)) = open else { return Ok(false) };
        let decided = earlier.unwrap_or(decided);
        let appended = log.check_unharmed().and_then(|()| self.append_marker(log, decided));
        if appended.is_err() && earlier.is_none() {
            log.note_decided(decided, first_offset);
        }
        appended.map(|()| true)
    }

    /// Appends a marker as a batch of its own, and publishes it.
    ///
    /// # Errors
    /// As an append. Room in the disk budget is taken anyway: to end a transaction makes some.
    fn append_marker(&mut self, log: &LogCore, decided: Decided) -> Result<()> {
        let Decided { producer: ProducerIdAndEpoch { id: producer_id, epoch: producer_epoch }, marker, ended_ms } =
            decided;
        let (offset, next_offset) = (self.next_offset, self.next_offset + 1);
        if next_offset > OFFSET_MAX {
            return Err(last_offset_error());
        }
        self.seal(log)?;
        log.check_epochs_are_stored()?;
        let (key, value) = (marker.encode_key(), marker.encode_value());
        let records = [ProducerRecord::new().key(key.as_slice()).value(value.as_slice())];
        let clock = Clock { now_ms: ended_ms, whose: SendersTime };
        let stamp = ProducerStamp { producer_id, producer_epoch, base_sequence: -1, is_transactional: true };
        let start = BatchStart {
            base_offset: offset,
            leader_epoch: self.leader_epoch,
            attributes: Attributes::NONE.with_control(),
            base_timestamp: ended_ms,
            stamp,
        };
        let bytes = encoded_bytes(&records, 0, ended_ms, clock.of_any());
        let room = log.take_room_anyway(HEADER_BYTES + bytes);
        log.choose_tail();
        self.take_slot(log, start, (SlotClass::Small, SlotClass::Small), room, bytes);
        let pushed = self.open.as_mut().map(|open| open.push(&records, clock, next_offset));
        match pushed.unwrap_or(Err(NotPushed::NoRoom)) {
            Ok(()) => {}
            Err(reason) => {
                reason.fail_unless_full(log, offset..next_offset)?;
                self.build(&records, clock, ended_ms);
                self.append_built(log, start, next_offset)?;
            }
        }
        self.next_offset = next_offset;
        log.set_log_end(next_offset);
        log.note_ended(&MarkerBatch { stamp, offset, timestamp: ended_ms, marker });
        Ok(())
    }
}
