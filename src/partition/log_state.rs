//! What a log of a replica is at one point of its source, in few bytes: its files say the rest.
//!
//! ```text
//! byte  size  field             big-endian
//!    0    16  topic_id          whose log it is
//!   16     4  partition
//!   20     8  next_offset       where it ends
//!   28     4  manifest_crc32    of what its manifest says
//!   32     4  written_count
//!    -     8  base_offset       ┐ of each segment behind those that the manifest notes, ascending; each ends where the next one
//!                               ┘ begins, and the last one at next_offset
//!    -     4  epoch_count
//!    -     4  leader_epoch      ┐ of each, ascending
//!    -     8  first_offset      ┘
//! ```

use super::leader_epoch::LeaderEpochs;
use super::log_id::LogId;
use super::manifest::Manifest;
use crate::format::{Invalid, Reader};

/// What a log of a replica is at one point of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) log: LogId,
    /// One above the last offset.
    pub(crate) next_offset: u64,
    /// Tells its manifest from any other.
    pub(crate) manifest_crc32: u32,
    /// The base offsets of the segments behind those that the manifest notes.
    pub(crate) written: Vec<u64>,
    pub(crate) epochs: LeaderEpochs,
}

impl LogState {
    /// That of a log without records, of which nothing is known.
    pub(crate) fn new(log: LogId) -> LogState {
        let (written, epochs) = Default::default();
        LogState { log, next_offset: 0, manifest_crc32: Manifest::new(log).crc32(), written, epochs }
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend(self.log.topic_id.to_be_bytes());
        out.extend(self.log.partition.to_be_bytes());
        out.extend(self.next_offset.to_be_bytes());
        out.extend(self.manifest_crc32.to_be_bytes());
        out.extend(count(self.written.len()));
        self.written.iter().for_each(|base_offset| out.extend(base_offset.to_be_bytes()));
        encode_epochs(&self.epochs, out);
    }

    /// Reads what [`encode`](LogState::encode) wrote. The bytes may be anything.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<LogState, Invalid> {
        let log = LogId { topic_id: u128::from_be_bytes(reader.array()?), partition: reader.u32()? };
        let next_offset = offset(reader)?;
        let manifest_crc32 = reader.u32()?;
        let mut written = Vec::new();
        for _ in 0..reader.u32()? {
            let base_offset = offset(reader)?;
            if next_offset <= base_offset || written.last().is_some_and(|last| base_offset <= *last) {
                return Err(Invalid::Malformed("the segments of a log are not in order"));
            }
            written.push(base_offset);
        }
        Ok(LogState { log, next_offset, manifest_crc32, written, epochs: decode_epochs(reader)? })
    }
}

/// Appends leader epochs: their count, and then each with its first offset.
pub(crate) fn encode_epochs(epochs: &LeaderEpochs, out: &mut Vec<u8>) {
    out.extend(u32::try_from(epochs.entries().len()).unwrap_or(u32::MAX).to_be_bytes());
    for (epoch, first_offset) in epochs.entries() {
        out.extend(epoch.to_be_bytes());
        out.extend(first_offset.to_be_bytes());
    }
}

/// Reads what [`encode_epochs`] wrote. The bytes may be anything.
pub(crate) fn decode_epochs(reader: &mut Reader<'_>) -> Result<LeaderEpochs, Invalid> {
    let mut epochs = LeaderEpochs::default();
    for _ in 0..reader.u32()? {
        let (epoch, first_offset) = (reader.i32()?, offset(reader)?);
        let rises = epochs.entries().last().is_none_or(|&(_, last)| last < first_offset);
        if !rises || !epochs.assign(epoch, first_offset) {
            return Err(Invalid::Malformed("the leader epochs of a log are not in order"));
        }
    }
    Ok(epochs)
}

/// Reads an offset of 8 bytes.
pub(crate) fn offset(reader: &mut Reader<'_>) -> Result<u64, Invalid> {
    u64::try_from(reader.i64()?).map_err(|_| Invalid::Malformed("an offset is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LogState {
        let mut epochs = LeaderEpochs::first();
        epochs.assign(65_536, 70);
        let log = LogId { topic_id: 7, partition: 3 };
        LogState { log, next_offset: 100, manifest_crc32: 9, written: vec![60, 80], epochs }
    }

    fn decoded(state: &LogState) -> Result<LogState, Invalid> {
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let decoded = LogState::decode(&mut reader)?;
        assert!(reader.is_empty());
        Ok(decoded)
    }

    #[test]
    fn it_goes_there_and_back() {
        assert_eq!(decoded(&state()).unwrap(), state());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(decoded(&LogState { written: vec![80, 60], ..state() }).is_err());
        assert!(decoded(&LogState { written: vec![60, 100], ..state() }).is_err());
        assert!(decoded(&LogState { next_offset: u64::MAX, ..state() }).is_err());
        let mut bytes = Vec::new();
        state().encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(LogState::decode(&mut Reader::new(&bytes[..length])).is_err(), "{length}");
        }
    }
}
