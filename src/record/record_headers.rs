//! The headers of a record on its way in.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::format::{Header, HeaderList, KeptHeader, KeptHeaders};

#[derive(Clone, Default)]
pub(super) struct RecordHeaders<'a> {
    views: &'a [Header<'a>],
    /// Those behind, if there are any: a list of the record's own, which clones share. To drop an `Arc` that is not there takes
    /// few instructions.
    more: Option<Arc<KeptHeaders<'a>>>,
}

impl<'a> RecordHeaders<'a> {
    /// No headers.
    pub(super) const fn none() -> RecordHeaders<'a> {
        RecordHeaders { views: &[], more: None }
    }

    /// Adds a header behind those already there.
    pub(super) fn push(&mut self, header: KeptHeader<'a>) {
        Arc::make_mut(self.more.get_or_insert_default()).push(header);
    }

    /// All of them, to be read.
    #[inline]
    pub(super) fn list(&self) -> HeaderList<'_> {
        HeaderList::new(self.views, self.more.as_deref())
    }
}

impl<'a> From<Cow<'a, [Header<'a>]>> for RecordHeaders<'a> {
    #[inline]
    fn from(headers: Cow<'a, [Header<'a>]>) -> RecordHeaders<'a> {
        match headers {
            Cow::Borrowed(views) => RecordHeaders { views, more: None },
            Cow::Owned(list) => {
                let mut headers = RecordHeaders::none();
                for header in list {
                    headers.push(header.into());
                }
                headers
            }
        }
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
