//! A file while its lines are collected; others may write it meanwhile.

use std::path::Path;
use std::time::SystemTime;

use crate::content::Content;
use crate::failure::Failure;
use crate::lines::Lines;

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct OpenFile<'f> {
    pub(crate) content: Content,
    pub(crate) path: &'f Path,
    /// As it was when it was opened. What is appended from there on is for the next round: a busy log would keep this one for
    /// ever.
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
}

impl OpenFile<'_> {
    /// Reads on. False if there is no more, or if what was read does not belong to what was read before.
    pub(crate) fn fill(&mut self, lines: &mut Lines) -> Result<bool, Failure> {
        let before = lines.last_read().to_vec();
        let position = lines.read_position();
        let bytes_max = if self.content.is_compressed() { u64::MAX } else { self.length.saturating_sub(position) };
        let read = lines.fill(&mut self.content, bytes_max)?;
        if read > 0 && !self.content.has_read_behind(&before, position, read)? {
            lines.forget_pending();
            return Ok(false);
        }
        Ok(read > 0)
    }

    /// Whether nothing will follow that belongs to the last line, which ends at `position`.
    pub(crate) fn is_final(&self, position: u64, is_settled: bool) -> Result<bool, Failure> {
        match self.content.length()? {
            Some(length) => Ok(position == length && is_settled),
            None => Ok(self.content.damage().is_none()),
        }
    }
}
