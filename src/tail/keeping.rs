//! Going on with a tail file as it is, where there is no room for another one.
//!
//! Opening normally seals what a dead process left in the tail and puts an empty file in its place. On a full disk both fail. Then
//! the file stays: what could not be sealed is made durable in its slot, which nobody else gets, and every other slot is emptied
//! where it is. All that is written has been written before, so that it needs no room where overwriting needs none; and it can be
//! interrupted anywhere and done again, since a slot holds the same before and after, or nothing that is wanted.
//!
//! A slot that is kept stays so until the file is opened again. By then its batch is in a segment, if there was room, and passed
//! over like any other below the log's end; or it is not, and is found here as it was.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::layout::{
    CHUNKS_MAX, DURABLE, Identity, OPENINGS, PUBLISHED, Published, RECORDS, chunk_position, encode_commit,
};
use super::opening::{Opened, open_cleared};
use super::salvage::{Salvaged, examine};
use super::slot::commit_entry;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::format::crc32c;

/// Batches that stay in their slots: whose they are, and where the slots begin in their file.
pub(crate) type KeptSlots = HashSet<(Identity, u64)>;

impl Salvaged {
    /// The batch's slot, to have it kept.
    pub(crate) fn slot(&self) -> (Identity, u64) {
        (self.identity, self.position)
    }

    fn published(&self) -> Published {
        #[allow(clippy::cast_possible_truncation, reason = "a slot has at most 64 KiB")]
        Published { records_bytes: self.records.len() as u32, records_crc: crc32c(&self.records) }
    }
}

/// Opens the file at `path` with the batches in `kept`, durable, and no others. `None` if it is not one that can be gone on with,
/// and holds none of them.
pub(super) fn keep(disk: &dyn Disk, path: &Path, kept: &KeptSlots, seed: u64) -> Result<Option<Opened>> {
    let batches = examine(disk, path, false)?.batches;
    let (staying, going): (Vec<_>, Vec<_>) = batches.iter().partition(|batch| kept.contains(&batch.slot()));
    let Some(mut opened) = open_cleared(disk, path)? else {
        let full = Error::DiskFull { action: "replace", path: path.to_owned() };
        return if staying.is_empty() { Ok(None) } else { Err(full) };
    };
    let settle = || -> io::Result<()> {
        let file = &*opened.file;
        // Of a torn one a commit that was synced says how much is there, and the rest has to be missed again.
        let whole = || staying.iter().filter(|batch| !batch.torn);
        whole().try_for_each(|batch| commit(file, batch))?;
        // No batch of this process is of that generation: it counts up from the seed.
        going.iter().try_for_each(|batch| empty(file, batch, seed.wrapping_sub(1)))?;
        file.sync()?;
        whole().try_for_each(|batch| tell_durable(file, batch))?;
        // At last: whoever reads along looks for batches anew when this has changed.
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        let openings = disk.random() as u64;
        file.write_at(&openings.to_be_bytes(), OPENINGS as u64)
    };
    settle().map_err(|e| Error::io("empty", path, e))?;
    opened.kept = staying.iter().map(|batch| batch.position).collect();
    // Of a chunk whose entry is damaged nothing is used, but what lies in it is not grown over either.
    let holds_kept = |chunk: &usize| opened.kept.iter().any(|position| chunk_position(*chunk) <= *position);
    if let Some(last) = (opened.state.chunks..CHUNKS_MAX).rev().find(holds_kept) {
        opened.state.chunks = last + 1;
    }
    Ok(Some(opened))
}

/// Makes the next sync carry the batch. The records are written once more, since after a failed sync the system may take what the
/// medium lacks for written; the commit entry takes the place of the one that is not the newest that holds.
fn commit(file: &dyn DiskFile, batch: &Salvaged) -> io::Result<()> {
    let (published, sequence) = (batch.published(), batch.held_sequence + 1);
    file.write_at(&batch.records, batch.position + RECORDS as u64)?;
    file.write_at(&published.to_word().to_be_bytes(), batch.position + PUBLISHED as u64)?;
    let entry = encode_commit(batch.generation, sequence, published).map(u64::to_be_bytes);
    file.write_at(entry.as_flattened(), batch.position + commit_entry(sequence) as u64)
}

/// Tells who reads along that the batch is durable, which it is by now.
fn tell_durable(file: &dyn DiskFile, batch: &Salvaged) -> io::Result<()> {
    file.write_at(&batch.published().to_word().to_be_bytes(), batch.position + DURABLE as u64)
}

/// Gives the slot to a batch of no topic in which nothing is published, in the order in which slots are always opened.
fn empty(file: &dyn DiskFile, batch: &Salvaged, generation: u64) -> io::Result<()> {
    file.write_at(&[0; 8], batch.position + PUBLISHED as u64)?;
    file.write_at(&[0; 8], batch.position + DURABLE as u64)?;
    #[allow(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
    let slot_bytes = batch.class.slot_bytes() as u32;
    let nobody = Identity { topic_id: 0, partition: 0, ..batch.identity };
    file.write_at(&nobody.encode(slot_bytes, generation), batch.position)
}
