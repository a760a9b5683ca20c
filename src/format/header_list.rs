//! Headers to be written: views, or with values of their own.

use std::borrow::Cow;

use super::header::Header;

/// A header that may keep its value.
#[derive(Debug, Clone)]
pub(crate) struct KeptHeader<'a> {
    key: &'a str,
    value: Option<Cow<'a, [u8]>>,
}

impl<'a> KeptHeader<'a> {
    /// A header that keeps its value.
    pub(crate) fn new(key: &'a str, value: Vec<u8>) -> KeptHeader<'a> {
        KeptHeader { key, value: Some(Cow::Owned(value)) }
    }

    fn view(&self) -> Header<'_> {
        self.value.as_deref().map_or(Header::null(self.key), |value| Header::new(self.key, value))
    }
}

impl<'a> From<Header<'a>> for KeptHeader<'a> {
    fn from(header: Header<'a>) -> KeptHeader<'a> {
        KeptHeader { key: header.key(), value: header.value().map(Cow::Borrowed) }
    }
}

/// Headers in the order given, in either form. Both are a slice, so that to find out that there are none costs the same.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeaderList<'a> {
    Views(&'a [Header<'a>]),
    Kept(&'a [KeptHeader<'a>]),
}

impl<'a> HeaderList<'a> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            HeaderList::Views(views) => views.len(),
            HeaderList::Kept(kept) => kept.len(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub(crate) fn iter(self) -> HeaderListIter<'a> {
        HeaderListIter { list: self, next: 0 }
    }
}

impl<'a> From<&'a [Header<'a>]> for HeaderList<'a> {
    fn from(views: &'a [Header<'a>]) -> HeaderList<'a> {
        HeaderList::Views(views)
    }
}

impl<'a, const N: usize> From<&'a [Header<'a>; N]> for HeaderList<'a> {
    fn from(views: &'a [Header<'a>; N]) -> HeaderList<'a> {
        HeaderList::Views(views)
    }
}

impl<'a> From<&'a Vec<Header<'a>>> for HeaderList<'a> {
    fn from(views: &'a Vec<Header<'a>>) -> HeaderList<'a> {
        HeaderList::Views(views)
    }
}

/// Iterates over a [`HeaderList`].
#[derive(Debug, Clone)]
pub(crate) struct HeaderListIter<'a> {
    list: HeaderList<'a>,
    next: usize,
}

impl<'a> Iterator for HeaderListIter<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        let header = match self.list {
            HeaderList::Views(views) => *views.get(self.next)?,
            HeaderList::Kept(kept) => kept.get(self.next)?.view(),
        };
        self.next += 1;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.list.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for HeaderListIter<'_> {}
