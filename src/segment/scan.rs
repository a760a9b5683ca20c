//! Walking a log file batch by batch with plain reads, around what is damaged.
//!
//! For whoever cannot trust the file: recovery, the rebuilding of an index, verification, compaction, and reads near damage. A
//! read error is an error here, where a map would answer with a signal. Memory is bounded by one buffer, whatever lengths the
//! file claims: checksums are computed piece by piece. Who wants the bytes of a batch, too, asks for them once it is known to
//! be right, so that the largest one of these bounds the memory.
//!
//! A bad batch is *damage* if its offset is known to have been written and synced, and else the *tail*, where the log ends.
//! Behind damage the next batch is looked for: first where the bad batch's length field points, then at every byte.

use std::io;
use std::ops::Range;

use crate::format::{BatchHeader, CRC_START, HEADER_BYTES, Invalid, crc32c_append, verify};

/// Read at a time. Much larger than most batches, so that reads are few.
const WINDOW_BYTES: usize = 256 * 1024;

/// Read at a time where only headers are wanted: a page costs no more than a header.
const HEADERS_WINDOW_BYTES: usize = 4096;

/// Where the field lies that says which version a batch has, and what it says.
const MAGIC_FIELD: usize = 16;
const MAGIC: u8 = 2;

/// Where the length field lies in a header, and what it leaves out.
const LENGTH_FIELD: Range<usize> = 8..12;
const LOG_OVERHEAD: u64 = crate::format::LOG_OVERHEAD as u64;

const CUT_SHORT: &str = "a batch is cut short";

/// A batch's header and where the batch begins in the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    /// Byte of the log file where the batch begins.
    pub(crate) file_position: u64,
    /// Its header.
    pub(crate) header: BatchHeader,
}

impl Located {
    /// Byte of the log file where the batch has ended and the next begins.
    pub(crate) fn end(&self) -> u64 {
        self.file_position + u64::from(self.header.batch_bytes)
    }
}

/// A piece of a log file that cannot be read although it is known to have been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The byte of the log file where it begins.
    pub(crate) file_position: u64,
    /// Its size; 0 where the file is shorter than it was.
    pub(crate) bytes: u64,
    /// The offsets that are lost with it. Empty if none are missing around it.
    pub(crate) offsets: Range<u64>,
    /// What does not hold.
    pub(crate) reason: &'static str,
}

/// What comes next in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A batch whose checksum and offsets are right. Its records were not looked at.
    Batch(Located),
    /// A damaged piece. The walk goes on behind it.
    Damage(Damage),
    /// No batch, and nothing says that there ever was one: the log ends here, before the end of the file.
    Tail(&'static str),
    /// The end of the file.
    End,
}

/// Reads at a file position and fills the buffer, but for the end of the file.
pub(crate) type ReadAt<'a> = dyn Fn(&mut [u8], u64) -> io::Result<usize> + 'a;

/// What a batch must be to be the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The segment's base offset: none lies below, and none further above than an index can say.
    pub(crate) base_offset: u64,
    /// No offset lies at or above this one, in batches that begin below `end_position`.
    pub(crate) end_offset: u64,
    /// The byte of the file from which on there may be higher ones, since it has grown.
    pub(crate) end_position: u64,
    /// Whether offsets may be missing between batches, as compaction leaves it.
    pub(crate) may_skip: bool,
    /// The least leader epoch, which then rises with the batches. `None`: epochs are not looked at.
    pub(crate) leader_epoch: Option<i32>,
}

impl Rules {
    /// Whether a batch has offsets that were not there yet when its place in the file was written.
    pub(super) fn is_beyond_end(&self, batch: &Located) -> bool {
        batch.file_position < self.end_position && self.end_offset < batch.header.next_offset()
    }
}

/// A walk through the batches of one log file.
pub(crate) struct LogWalk<'a> {
    window: Window<'a>,
    /// What the next batch has to be. May be changed on the way.
    pub(crate) rules: Rules,
    file_position: u64,
    next_offset: u64,
    /// A batch that is larger than the window, for who asks for its bytes.
    large: Vec<u8>,
    /// Whether headers are believed, and nothing else is read.
    is_of_headers: bool,
}

impl<'a> LogWalk<'a> {
    /// Begins at a file position, where the batch with `next_offset` is expected, and ends at byte `end` of the file.
    pub(crate) fn new(
        read_at: &'a ReadAt<'a>,
        end: u64,
        rules: Rules,
        file_position: u64,
        next_offset: u64,
    ) -> LogWalk<'a> {
        let window = Window::new(read_at, end, file_position, WINDOW_BYTES);
        LogWalk { window, rules, file_position, next_offset, large: Vec::new(), is_of_headers: false }
    }

    /// The same from the start of the file on, by the headers alone: no checksum is computed, and of large batches nothing else is
    /// read.
    pub(crate) fn of_headers(read_at: &'a ReadAt<'a>, end: u64, rules: Rules, next_offset: u64) -> LogWalk<'a> {
        let window = Window::new(read_at, end, 0, HEADERS_WINDOW_BYTES);
        LogWalk { window, rules, file_position: 0, next_offset, large: Vec::new(), is_of_headers: true }
    }

    /// The byte of the log file where the next piece begins.
    pub(crate) fn file_position(&self) -> u64 {
        self.file_position
    }

    /// The offset after the last batch or damage.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Expects this offset next, or a later one if that is expected already.
    pub(crate) fn expect(&mut self, next_offset: u64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// Takes the next piece. Offsets below `durable` are known to have been written and synced.
    ///
    /// At the tail and the end the walk stays where it is.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn next(&mut self, durable: u64) -> io::Result<Piece> {
        if self.file_position >= self.window.end {
            let is_complete = self.rules.may_skip || durable <= self.next_offset;
            return Ok(if is_complete {
                Piece::End
            } else {
                self.damage(self.file_position, durable, "the log file ends before its last offsets")
            });
        }
        let reason = match self.check(self.file_position)? {
            Ok(batch) => match self.refusal(&batch) {
                None => return Ok(self.take(batch)),
                Some(_) if self.is_behind_hole(&batch, durable)? => {
                    let reason = "batches are missing from the log file";
                    return Ok(self.damage(self.file_position, batch.header.base_offset(), reason));
                }
                Some(reason) => reason,
            },
            Err(reason) => reason,
        };
        if durable <= self.next_offset {
            return Ok(Piece::Tail(reason));
        }
        let behind = self.find_behind(durable)?;
        let (to, next_offset) =
            behind.map_or((self.window.end, durable), |batch| (batch.file_position, batch.header.base_offset()));
        Ok(self.damage(to, next_offset, reason))
    }

    /// The bytes of a batch that was taken, as far as the file has them. What was read again for this may be other bytes than
    /// those whose checksum was right.
    ///
    /// # Errors
    /// If the file cannot be read, or there is no memory for so large a batch.
    pub(crate) fn batch_bytes(&mut self, batch: &Located) -> io::Result<&[u8]> {
        let size = batch.header.batch_bytes as usize;
        if size <= self.window.buffer.len() {
            let bytes = self.window.bytes(batch.file_position, size)?;
            return Ok(bytes.get(..size).unwrap_or(bytes));
        }
        self.large.clear();
        self.large.try_reserve(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.large.resize(size, 0);
        let read = (self.window.read_at)(&mut self.large, batch.file_position)?;
        Ok(self.large.get(..read).unwrap_or_default())
    }

    fn take(&mut self, batch: Located) -> Piece {
        self.file_position = batch.end();
        self.next_offset = batch.header.next_offset();
        if let Some(leader_epoch) = &mut self.rules.leader_epoch {
            *leader_epoch = batch.header.start.leader_epoch;
        }
        Piece::Batch(batch)
    }

    fn damage(&mut self, to: u64, next_offset: u64, reason: &'static str) -> Piece {
        let damage = Damage {
            file_position: self.file_position,
            bytes: to - self.file_position,
            offsets: self.next_offset..next_offset,
            reason,
        };
        self.file_position = to;
        self.next_offset = next_offset;
        Piece::Damage(damage)
    }

    /// Why a batch that is right in itself cannot be the next one, if so.
    fn refusal(&self, batch: &Located) -> Option<&'static str> {
        let header = &batch.header;
        if header.base_offset() < self.next_offset {
            return Some("the offset of a batch goes back");
        }
        if self.next_offset < header.base_offset() && !self.rules.may_skip {
            return Some("the offset of a batch does not continue the one before");
        }
        if !fits_segment(self.rules.base_offset, header) {
            return Some("the offset of a batch is too far above its segment's");
        }
        if self.rules.is_beyond_end(batch) {
            return Some("a batch reaches beyond the end of its segment");
        }
        if self.rules.leader_epoch.is_some_and(|least| header.start.leader_epoch < least) {
            return Some("the leader epoch of a batch goes back");
        }
        None
    }

    /// Checks header and checksum of the batch at a file position.
    fn check(&mut self, file_position: u64) -> io::Result<Result<Located, &'static str>> {
        let bytes = self.window.bytes(file_position, HEADER_BYTES)?;
        let header = match verify_or_header(bytes) {
            _ if self.is_of_headers => {
                return Ok(match BatchHeader::decode(bytes) {
                    Ok(header) if file_position + u64::from(header.batch_bytes) <= self.window.end => {
                        Ok(Located { file_position, header })
                    }
                    Ok(_) => Err(CUT_SHORT),
                    Err(invalid) => Err(reason(invalid)),
                });
            }
            Ok(Checked::Batch(header)) => return Ok(Ok(Located { file_position, header })),
            Ok(Checked::Header(header)) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        let batch = Located { file_position, header };
        if self.window.end < batch.end() {
            return Ok(Err(CUT_SHORT));
        }
        let crc = self.window.crc32c(file_position + CRC_START as u64..batch.end())?;
        Ok(if crc == Some(header.crc) { Ok(batch) } else { Err("the checksum of a batch does not match") })
    }

    /// Finds the next batch behind the one here, which is bad, with an offset between what was expected and `durable`, both
    /// included.
    pub(crate) fn find_behind(&mut self, durable: u64) -> io::Result<Option<Located>> {
        let header = self.window.bytes(self.file_position, HEADER_BYTES)?;
        if let Some(end) = claimed_end(self.file_position, header)
            && end < self.window.end
            && let Ok(batch) = self.check(end)?
            && self.is_between(&batch, durable)
        {
            return Ok(Some(batch));
        }
        // A hostile file may be full of headers that each claim all the rest: what is spent on them is bounded.
        let mut budget = (self.window.end - self.file_position).saturating_mul(4);
        let mut from = self.file_position + 1;
        while let Some(candidate) = self.next_candidate(from, durable)? {
            budget = match budget.checked_sub(u64::from(candidate.header.batch_bytes)) {
                Some(budget) => budget,
                None => return Ok(None),
            };
            // Batches can also be the value of a record. Those have no batch behind them.
            if self.check(candidate.file_position)?.is_ok() && self.is_followed(&candidate)? {
                return Ok(Some(candidate));
            }
            from = candidate.file_position + 1;
        }
        Ok(None)
    }

    /// The next place from a file position on where the header of a fitting batch could be.
    fn next_candidate(&mut self, mut from: u64, durable: u64) -> io::Result<Option<Located>> {
        loop {
            let end = self.window.end;
            let (next_offset, base_offset) = (self.next_offset, self.rules.base_offset);
            let bytes = self.window.bytes(from, HEADER_BYTES)?;
            let found = bytes.windows(HEADER_BYTES).zip(from..).find_map(|(bytes, file_position)| {
                if bytes.get(MAGIC_FIELD) != Some(&MAGIC) {
                    return None;
                }
                let batch = Located { file_position, header: BatchHeader::decode(bytes).ok()? };
                let offsets = next_offset..=durable;
                let fits = offsets.contains(&batch.header.base_offset()) && fits_segment(base_offset, &batch.header);
                (fits && batch.end() <= end).then_some(batch)
            });
            if found.is_some() || bytes.len() < HEADER_BYTES {
                return Ok(found);
            }
            from += (bytes.len() - HEADER_BYTES + 1) as u64;
        }
    }

    fn is_between(&self, batch: &Located, durable: u64) -> bool {
        (self.next_offset..=durable).contains(&batch.header.base_offset())
            && fits_segment(self.rules.base_offset, &batch.header)
            && !self.rules.is_beyond_end(batch)
    }

    /// Whether a batch with a higher offset than expected is in its place and those before it are gone, rather than its own
    /// offset, which no checksum covers, being wrong: then the batch behind it would tell.
    fn is_behind_hole(&mut self, batch: &Located, durable: u64) -> io::Result<bool> {
        let is_hole = self.next_offset < batch.header.base_offset() && batch.header.next_offset() <= durable;
        Ok(is_hole && self.is_between(batch, durable) && self.is_followed(batch)?)
    }

    /// Whether behind a batch there is the end, or what could be the header of a later one.
    fn is_followed(&mut self, batch: &Located) -> io::Result<bool> {
        if batch.end() == self.window.end {
            return Ok(true);
        }
        let bytes = self.window.bytes(batch.end(), HEADER_BYTES)?;
        Ok(BatchHeader::decode(bytes).is_ok_and(|header| batch.header.next_offset() <= header.base_offset()))
    }
}

/// Whether all offsets of a batch can be told relative to its segment's.
pub(crate) fn fits_segment(base_offset: u64, header: &BatchHeader) -> bool {
    header.last_offset().checked_sub(base_offset).is_some_and(|relative| i32::try_from(relative).is_ok())
}

enum Checked {
    /// The whole batch was there.
    Batch(BatchHeader),
    /// Only its beginning was.
    Header(BatchHeader),
}

fn verify_or_header(bytes: &[u8]) -> Result<Checked, &'static str> {
    let decoded = BatchHeader::decode(bytes).and_then(|header| {
        if bytes.len() < header.batch_bytes as usize {
            return Ok(Checked::Header(header));
        }
        verify(bytes).map(Checked::Batch)
    });
    decoded.map_err(reason)
}

/// The words for what a batch breaks.
pub(crate) fn reason(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Malformed(reason) => reason,
        Invalid::Codec(_) => "the codec of a batch is not compiled in",
    }
}

/// Where the length field of a header says that the batch ends, whatever else is wrong with it.
fn claimed_end(file_position: u64, header: &[u8]) -> Option<u64> {
    let length = header.get(LENGTH_FIELD)?.first_chunk()?;
    let length = u64::try_from(i32::from_be_bytes(*length)).ok()?;
    (0 < length).then(|| file_position + LOG_OVERHEAD + length)
}

/// A file seen through a buffer.
struct Window<'a> {
    read_at: &'a ReadAt<'a>,
    end: u64,
    buffer: Box<[u8]>,
    /// Which bytes of the file are in the buffer.
    filled: Range<u64>,
}

impl<'a> Window<'a> {
    fn new(read_at: &'a ReadAt<'a>, end: u64, start: u64, bytes_max: usize) -> Window<'a> {
        let rest = usize::try_from(end.saturating_sub(start)).unwrap_or(bytes_max);
        Window { read_at, end, buffer: vec![0; rest.clamp(1, bytes_max)].into(), filled: 0..0 }
    }

    /// The bytes from a file position on: at least `least` of them, for which the buffer has room, unless the file ends before.
    fn bytes(&mut self, file_position: u64, least: usize) -> io::Result<&[u8]> {
        let wanted = file_position..self.end.min(file_position + least as u64);
        if wanted.is_empty() {
            return Ok(&[]);
        }
        if wanted.start < self.filled.start || self.filled.end < wanted.end {
            let rest = usize::try_from(self.end - file_position).unwrap_or(usize::MAX);
            let size = rest.min(self.buffer.len());
            self.filled = 0..0;
            let read = (self.read_at)(self.buffer.get_mut(..size).unwrap_or_default(), file_position)?;
            self.filled = file_position..file_position + read.min(size) as u64;
        }
        let from = usize::try_from(file_position - self.filled.start).unwrap_or(usize::MAX);
        let to = usize::try_from(self.filled.end - self.filled.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }

    /// The CRC-32C of a range; `None` if the file ends within.
    fn crc32c(&mut self, range: Range<u64>) -> io::Result<Option<u32>> {
        let (mut at, mut crc) = (range.start, 0);
        while at < range.end {
            let rest = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let bytes = self.bytes(at, 1)?;
            let bytes = bytes.get(..rest).unwrap_or(bytes);
            if bytes.is_empty() {
                return Ok(None);
            }
            crc = crc32c_append(crc, bytes);
            at += bytes.len() as u64;
        }
        Ok(Some(crc))
    }
}
