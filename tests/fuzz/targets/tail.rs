//! A slot of the tail: a byte says which of its checksums are put right, then lists of where its bytes are not zero: a place
//! as two bytes, a size as one, and so many bytes. A slot has 4096 bytes, of which few matter.

use crate::allocation::capped;

const SLOT_BYTES: usize = 4096;

pub(crate) fn run(data: &[u8]) {
    let Some((&fixes, mut rest)) = data.split_first() else { return };
    capped(8 * SLOT_BYTES + 4 * data.len(), || {
        ottla::fuzzing::tail_header(rest);
        let mut slot = vec![0; SLOT_BYTES];
        while let [high, low, size, bytes @ ..] = rest {
            let at = usize::from(u16::from_be_bytes([*high, *low])) % SLOT_BYTES;
            let (bytes, behind) = bytes.split_at(bytes.len().min(usize::from(*size)));
            slot.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
            rest = behind;
        }
        ottla::fuzzing::slot(&slot, fixes);
    });
}
