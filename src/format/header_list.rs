//! Headers to be written: views, or with values of their own.

use std::borrow::Cow;

use super::header::Header;

/// A header that may keep its value.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptHeader<'a> {
    key: &'a str,
    value: Option<Cow<'a, [u8]>>,
}

impl<'a> KeptHeader<'a> {
    /// A header that keeps its value, if it is given one to keep.
    pub(crate) fn new(key: &'a str, value: Option<Cow<'a, [u8]>>) -> KeptHeader<'a> {
        KeptHeader { key, value }
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

/// Headers that keep their values. The first ones lie in the list itself: whoever keeps it on the heap makes one allocation for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptHeaders<'a> {
    first: [KeptHeader<'a>; 4],
    len: usize,
    behind: Vec<KeptHeader<'a>>,
}

impl<'a> KeptHeaders<'a> {
    pub(crate) fn push(&mut self, header: KeptHeader<'a>) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = header,
            None => self.behind.push(header),
        }
        self.len += 1;
    }

    fn get(&self, index: usize) -> Option<&KeptHeader<'a>> {
        let in_list = self.first.get(index).or_else(|| self.behind.get(index - self.first.len()));
        in_list.filter(|_| index < self.len)
    }
}

/// Headers in the order given: views, and behind them others that may keep their values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderList<'a> {
    views: &'a [Header<'a>],
    /// A pointer that may be absent is looked at faster than a second slice.
    more: Option<&'a KeptHeaders<'a>>,
}

impl<'a> HeaderList<'a> {
    #[inline]
    pub(crate) fn new(views: &'a [Header<'a>], more: Option<&'a KeptHeaders<'a>>) -> HeaderList<'a> {
        HeaderList { views, more }
    }

    /// Those in front, which are borrowed.
    #[cfg(test)]
    pub(crate) fn views(self) -> &'a [Header<'a>] {
        self.views
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.views.len() + self.more.map_or(0, |more| more.len)
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.views.is_empty() && self.more.is_none_or(|more| more.len == 0)
    }

    pub(crate) fn iter(self) -> HeaderListIter<'a> {
        HeaderListIter { list: self, next: 0 }
    }
}

impl<'a> From<&'a [Header<'a>]> for HeaderList<'a> {
    fn from(views: &'a [Header<'a>]) -> HeaderList<'a> {
        HeaderList::new(views, None)
    }
}

impl<'a, const N: usize> From<&'a [Header<'a>; N]> for HeaderList<'a> {
    fn from(views: &'a [Header<'a>; N]) -> HeaderList<'a> {
        HeaderList::new(views, None)
    }
}

impl<'a> From<&'a Vec<Header<'a>>> for HeaderList<'a> {
    fn from(views: &'a Vec<Header<'a>>) -> HeaderList<'a> {
        HeaderList::new(views, None)
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
        let HeaderList { views, more } = self.list;
        let header = match views.get(self.next) {
            Some(view) => *view,
            None => more?.get(self.next - views.len())?.view(),
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
