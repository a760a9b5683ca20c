//! [`Output`]: what a codec expands, within a bound.

use crate::canary::{Canary, planted};
use crate::format::invalid::Invalid;

/// Where a codec puts what it expands, up to a bound.
pub(super) struct Output<'o> {
    out: &'o mut Vec<u8>,
    /// The largest size that `out` may come to.
    end_max: usize,
}

impl Output<'_> {
    pub(super) fn new(bytes_max: usize, out: &mut Vec<u8>) -> Output<'_> {
        let bytes_max = if planted(Canary::UnboundedDecompression) { usize::MAX } else { bytes_max };
        let end_max = out.len().saturating_add(bytes_max);
        Output { out, end_max }
    }

    /// How many bytes may still come.
    pub(super) fn remaining(&self) -> usize {
        self.end_max.saturating_sub(self.out.len())
    }

    /// Adds plain bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.fill(bytes.len(), |place| {
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    /// Adds what `expand` writes into a place of `count` bytes, of which it returns how many it has used.
    pub(super) fn fill(
        &mut self,
        count: usize,
        expand: impl FnOnce(&mut [u8]) -> Result<usize, Invalid>,
    ) -> Result<(), Invalid> {
        const TOO_LARGE: Invalid = Invalid::Malformed("compressed records expand to more than is allowed");
        if self.remaining() < count {
            return Err(TOO_LARGE);
        }
        let start = self.out.len();
        self.reserve(count)?;
        self.out.resize(start + count, 0);
        let used = expand(self.out.get_mut(start..).unwrap_or_default())?;
        self.out.truncate(start + used.min(count));
        Ok(())
    }

    /// Makes room for `count` bytes more, and for as many as there are already, but never for more than may come.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), Invalid> {
        const NO_MEMORY: Invalid = Invalid::Malformed("no memory for what compressed records expand to");
        if self.out.capacity() - self.out.len() >= count {
            return Ok(());
        }
        let wanted = count.max(self.out.len()).min(self.remaining());
        self.out.try_reserve_exact(wanted).map_err(|_| NO_MEMORY)
    }
}
