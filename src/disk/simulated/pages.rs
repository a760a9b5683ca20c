//! The bytes of a simulated file in pages that images share, so that an image of a machine costs little more than its names.

use std::sync::Arc;

pub(super) const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

static ZEROS: Page = [0; PAGE_BYTES];

/// Bytes that are cloned by sharing them, and copied a page at a time when they change.
#[derive(Clone, Default)]
pub(super) struct Pages {
    bytes: usize,
    /// `None` for a page of zeros. Behind the last byte a page holds zeros.
    pages: Vec<Option<Arc<Page>>>,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Cuts or extends with zeros.
    pub(super) fn resize(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.pages.truncate(bytes.div_ceil(PAGE_BYTES));
            if let Some(Some(last)) = self.pages.get_mut(bytes / PAGE_BYTES) {
                Arc::make_mut(last).iter_mut().skip(bytes % PAGE_BYTES).for_each(|byte| *byte = 0);
            }
        } else {
            self.pages.resize(bytes.div_ceil(PAGE_BYTES), None);
        }
        self.bytes = bytes;
    }

    /// Fills `buffer` from `position` on, as far as there are bytes; returns how many there were.
    pub(super) fn read(&self, buffer: &mut [u8], position: usize) -> usize {
        let count = buffer.len().min(self.bytes.saturating_sub(position));
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        let mut position = position;
        while !rest.is_empty() {
            let within = position % PAGE_BYTES;
            let (piece, behind) = rest.split_at_mut(rest.len().min(PAGE_BYTES - within));
            match self.page(position / PAGE_BYTES).get(within..within + piece.len()) {
                Some(page) => piece.copy_from_slice(page),
                None => piece.fill(0),
            }
            position += piece.len();
            rest = behind;
        }
        count
    }

    /// Writes `bytes` at `position`, as far as the file is long.
    pub(super) fn write(&mut self, bytes: &[u8], position: usize) {
        let mut rest = bytes.get(..bytes.len().min(self.bytes.saturating_sub(position))).unwrap_or_default();
        let mut position = position;
        while !rest.is_empty() {
            let within = position % PAGE_BYTES;
            let (piece, behind) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            if let Some(page) = self.pages.get_mut(position / PAGE_BYTES) {
                write_page(page, piece, within);
            }
            position += piece.len();
            rest = behind;
        }
    }

    /// Copies what `from` has at `start..end`, which may be shared, as far as both are long.
    pub(super) fn copy(&mut self, from: &Pages, start: usize, end: usize) {
        let end = end.min(self.bytes).min(from.bytes);
        let mut position = start;
        while position < end {
            let (page, within) = (position / PAGE_BYTES, position % PAGE_BYTES);
            let piece_end = end.min((page + 1) * PAGE_BYTES);
            let is_whole =
                within == 0 && (piece_end.is_multiple_of(PAGE_BYTES) || piece_end == self.bytes.max(from.bytes));
            match (self.pages.get_mut(page), from.pages.get(page)) {
                (Some(to), Some(from)) if is_whole => to.clone_from(from),
                (Some(to), Some(_)) => {
                    let piece = from.page(page).get(within..within + piece_end - position).unwrap_or_default();
                    write_page(to, piece, within);
                }
                _ => {}
            }
            position = piece_end;
        }
    }

    /// Whether `bytes` are what is at `position`; not if they reach beyond the end.
    pub(super) fn has(&self, bytes: &[u8], position: usize) -> bool {
        let mut rest = bytes;
        let mut position = position;
        if self.bytes.saturating_sub(position) < bytes.len() {
            return false;
        }
        while !rest.is_empty() {
            let within = position % PAGE_BYTES;
            let (piece, behind) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            if self.page(position / PAGE_BYTES).get(within..within + piece.len()) != Some(piece) {
                return false;
            }
            position += piece.len();
            rest = behind;
        }
        true
    }

    /// The pages that are not known to be zeros, with their positions; the last one may be longer than the file.
    pub(super) fn filled(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(i, page)| Some((i * PAGE_BYTES, &**page.as_ref()?)))
    }

    /// Whether these are known to be the same bytes, without looking at them.
    pub(super) fn shares_all(&self, other: &Pages) -> bool {
        let is_shared = |(one, other): (&Option<Arc<Page>>, &Option<Arc<Page>>)| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.bytes == other.bytes && self.pages.iter().zip(&other.pages).all(is_shared)
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        self.read(&mut bytes, 0);
        bytes
    }

    fn page(&self, number: usize) -> &Page {
        self.pages.get(number).and_then(Option::as_deref).unwrap_or(&ZEROS)
    }
}

impl PartialEq for Pages {
    /// Does not look at pages that are shared.
    fn eq(&self, other: &Pages) -> bool {
        let is_same = |number| match (self.pages.get(number), other.pages.get(number)) {
            (Some(Some(page)), Some(Some(other))) if Arc::ptr_eq(page, other) => true,
            (Some(None), Some(None)) => true,
            _ => self.page(number) == other.page(number),
        };
        self.bytes == other.bytes && (0..self.pages.len()).all(is_same)
    }
}

impl From<Vec<u8>> for Pages {
    fn from(bytes: Vec<u8>) -> Pages {
        let mut pages = Pages::default();
        pages.resize(bytes.len());
        pages.write(&bytes, 0);
        pages
    }
}

pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(PAGE_BYTES).all(|piece| ZEROS.get(..piece.len()) == Some(piece))
}

/// Writes a piece of one page, which stays shared, or zeros, if that changes nothing.
fn write_page(page: &mut Option<Arc<Page>>, piece: &[u8], within: usize) {
    let known: &Page = page.as_deref().unwrap_or(&ZEROS);
    if known.get(within..within + piece.len()) == Some(piece) {
        return;
    }
    let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZEROS)));
    if let Some(target) = page.get_mut(within..within + piece.len()) {
        target.copy_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_do_what_a_vector_does() {
        let mut random = super::super::random::Random::new(7);
        let (mut pages, mut model) = (Pages::default(), Vec::new());
        let (mut other, mut other_model) = (pages.clone(), model.clone());
        for _ in 0..2000 {
            let at = random.below(20_000);
            let size = random.below(9000);
            match random.below(5) {
                0 => {
                    pages.resize(at);
                    model.resize(at, 0);
                }
                1 | 2 => {
                    let fill = u8::try_from(random.below(3)).unwrap();
                    let size = size.min(model.len().saturating_sub(at));
                    pages.write(&vec![fill; size], at);
                    if size > 0 {
                        model[at..at + size].fill(fill);
                    }
                }
                3 => {
                    other.copy(&pages, at, at + size);
                    let end = (at + size).min(model.len()).min(other_model.len());
                    if at < end {
                        other_model[at..end].copy_from_slice(&model[at..end]);
                    }
                }
                _ => (other, other_model) = (pages.clone(), model.clone()),
            }
            assert_eq!((pages.to_vec(), other.to_vec()), (model.clone(), other_model.clone()));
            assert_eq!((pages == other, Pages::from(model.clone()) == pages), (model == other_model, true));
            let piece = model.get(at..(at + size).min(model.len())).unwrap_or_default();
            assert!(piece.is_empty() || pages.has(piece, at));
        }
    }
}
