//! The headers of a record on its way in: a list of views as long as all values are borrowed, and one of values that are kept from the
//! first one on that was given by value.

use std::borrow::Cow;
use std::fmt;

use crate::format::{Header, HeaderList, KeptHeader};

#[derive(Clone)]
pub(super) enum RecordHeaders<'a> {
    Views(Cow<'a, [Header<'a>]>),
    Kept(Vec<KeptHeader<'a>>),
}

impl<'a> RecordHeaders<'a> {
    /// No headers.
    pub(super) const fn none() -> RecordHeaders<'a> {
        RecordHeaders::Views(Cow::Borrowed(&[]))
    }

    /// Adds a header behind those already there.
    pub(super) fn push(&mut self, key: &'a str, value: Option<Cow<'a, [u8]>>) {
        let header = match value {
            Some(Cow::Owned(value)) => return self.push_kept(KeptHeader::new(key, value)),
            Some(Cow::Borrowed(value)) => Header::new(key, value),
            None => Header::null(key),
        };
        match self {
            RecordHeaders::Views(views) => views.to_mut().push(header),
            RecordHeaders::Kept(kept) => kept.push(header.into()),
        }
    }

    fn push_kept(&mut self, header: KeptHeader<'a>) {
        let mut kept = match std::mem::take(self) {
            RecordHeaders::Views(views) => views.iter().copied().map(KeptHeader::from).collect(),
            RecordHeaders::Kept(kept) => kept,
        };
        kept.push(header);
        *self = RecordHeaders::Kept(kept);
    }

    /// All of them, to be read.
    #[inline]
    pub(super) fn list(&self) -> HeaderList<'_> {
        match self {
            RecordHeaders::Views(views) => HeaderList::Views(views),
            RecordHeaders::Kept(kept) => HeaderList::Kept(kept),
        }
    }
}

impl Default for RecordHeaders<'_> {
    fn default() -> Self {
        RecordHeaders::none()
    }
}

/// In whichever form they are.
impl PartialEq for RecordHeaders<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.list().iter().eq(other.list().iter())
    }
}

impl Eq for RecordHeaders<'_> {}

impl fmt::Debug for RecordHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter()).finish()
    }
}
