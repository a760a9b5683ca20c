//! Reading where a log file is damaged: slowly, with plain reads, batch by batch, and anew each time.
//!
//! What is asked for is found if it is there, wherever the damage lies; if it is what was damaged, the error names the
//! offsets that are gone and where to go on.

use super::scan::{self, Damage, Located, LogWalk, Piece};
use super::{Loaded, Segment};
use crate::error::{Corruption, Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES, Invalid};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// The first batch with a last offset at or above this.
    Offset(u64),
    /// The first batch at or behind a file position, for a reader whose next offset is known.
    Position {
        /// Where a batch has ended.
        file_position: u64,
        /// What the reader wants next.
        offset: u64,
    },
}

impl Wanted {
    fn is_found(self, batch: &Located) -> bool {
        match self {
            Wanted::Offset(offset) => offset <= batch.header.last_offset(),
            Wanted::Position { file_position, .. } => file_position <= batch.file_position,
        }
    }

    /// Whether damage took what is looked for, or what lies before it.
    fn is_lost(self, damage: &Damage) -> bool {
        let is_reached = match self {
            Wanted::Offset(_) => true,
            Wanted::Position { file_position, .. } => file_position <= damage.file_position + damage.bytes,
        };
        let (Wanted::Offset(offset) | Wanted::Position { offset, .. }) = self;
        is_reached && offset < damage.offsets.end && !damage.offsets.is_empty()
    }
}

impl Segment {
    /// Finds a batch by walking from the start of a region, or from an earlier one if that start is damaged itself.
    #[cold]
    pub(super) fn locate_near_damage(&self, loaded: &Loaded, region: usize, wanted: Wanted) -> Result<Option<Located>> {
        let read_at = |buffer: &mut [u8], position| loaded.log.read_at(buffer, position);
        // Before the length: what is counted here is then in the file, if the file is whole.
        let durable = self.next_offset();
        // From the region before, so that batches that are missing between the two are missed.
        let (file_position, next_offset) = self.walk_start(loaded, region.saturating_sub(1))?;
        let mut walk = LogWalk::new(&read_at, loaded.log.len(), self.rules(), file_position, next_offset);
        loop {
            match walk.next(durable).map_err(|source| Error::io("read", &self.path(), source))? {
                Piece::Batch(batch) if wanted.is_found(&batch) => return Ok(Some(batch)),
                Piece::Damage(damage) if wanted.is_lost(&damage) => {
                    return Err(self.corrupt(&damage));
                }
                Piece::Batch(_) | Piece::Damage(_) => {}
                Piece::Tail(_) | Piece::End => break,
            }
        }
        // Where offsets may be missing, only the size tells that batches are.
        let rest = Damage {
            file_position: walk.file_position(),
            bytes: 0,
            offsets: walk.next_offset()..durable.max(walk.next_offset()),
            reason: "the log file ends before its last offsets",
        };
        if self.is_cut_short(loaded) && wanted.is_lost(&rest) { Err(self.corrupt(&rest)) } else { Ok(None) }
    }

    /// Where to begin a walk that is to reach a region: its start, if the batch there is the one that the index means.
    fn walk_start(&self, loaded: &Loaded, region: usize) -> Result<(u64, u64)> {
        for region in (1..=region).rev() {
            let Some(entry) = loaded.indexes.region_entry(region) else { continue };
            let file_position = u64::from(entry.file_position);
            let mut header = [0; HEADER_BYTES];
            let read = loaded.log.read_at(&mut header, file_position);
            let read = read.map_err(|source| Error::io("read", &self.path(), source))?;
            let last_offset = self.base_offset() + u64::from(entry.relative_offset);
            if let Ok(header) = BatchHeader::decode(header.get(..read).unwrap_or_default())
                && header.last_offset() == last_offset
            {
                return Ok((file_position, header.base_offset()));
            }
        }
        Ok((0, self.base_offset()))
    }

    /// The error for a damaged piece of this segment.
    pub(super) fn corrupt(&self, damage: &Damage) -> Error {
        Error::Corrupt(Box::new(self.corruption(damage)))
    }

    /// The words for a damaged piece of this segment.
    pub(crate) fn corruption(&self, damage: &Damage) -> Corruption {
        Corruption {
            partition: Some(self.dir.partition.clone()),
            path: self.path(),
            file_position: damage.file_position,
            offsets: Some(damage.offsets.clone()),
            reason: damage.reason,
        }
    }

    /// The error for a batch that breaks the format although it was found in its place.
    pub(super) fn invalid(&self, batch: &Located, invalid: Invalid) -> Error {
        let header = &batch.header;
        match invalid {
            Invalid::Malformed(_) => self.corrupt(&Damage {
                file_position: batch.file_position,
                bytes: u64::from(header.batch_bytes),
                offsets: header.base_offset()..header.next_offset(),
                reason: scan::reason(invalid),
            }),
            Invalid::Codec(codec) => Error::CodecUnavailable {
                partition: self.dir.partition.clone(),
                offsets: header.base_offset()..header.next_offset(),
                codec: codec.name(),
            },
        }
    }
}
