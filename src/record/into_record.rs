//! In which forms a record takes its key, its value and its headers.
//!
//! Two small traits, closed so that they can take more forms later.

use std::borrow::Cow;

use super::consumer_record::OwnedHeadersIter;
use crate::format::Headers;
use crate::record::Header;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// What a key or value can be given as: bytes or text by reference, which are borrowed; `String`, `Vec<u8>`, a box, a [`Cow`]
/// by value, which are kept; or an `Option` of any of these. Nothing is copied.
///
/// This trait is sealed: other types are taken by reference if they are `AsRef<[u8]>`, arrays among them.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// let key: Option<&[u8]> = None;
/// let record = ProducerRecord::new().key(key).value(format!("{} coffees", 1 + 1));
/// assert_eq!((record.get_key(), record.get_value()), (None, Some(&b"2 coffees"[..])));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key or value of a record",
    note = "give bytes or text by reference or by value, or an `Option` of them"
)]
pub trait IntoRecordBytes<'a>: Sealed {
    /// The bytes, or `None` for null.
    #[doc(hidden)]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>>;
}

impl<T: ?Sized> Sealed for &T {}
impl<'a, T: AsRef<[u8]> + ?Sized> IntoRecordBytes<'a> for &'a T {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Borrowed(self.as_ref()))
    }
}

impl<T: Sealed> Sealed for Option<T> {}
impl<'a, T: IntoRecordBytes<'a>> IntoRecordBytes<'a> for Option<T> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        self.and_then(T::into_record_bytes)
    }
}

impl Sealed for Vec<u8> {}
impl<'a> IntoRecordBytes<'a> for Vec<u8> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Owned(self))
    }
}

impl Sealed for String {}
impl<'a> IntoRecordBytes<'a> for String {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Owned(self.into_bytes()))
    }
}

impl Sealed for Box<[u8]> {}
impl<'a> IntoRecordBytes<'a> for Box<[u8]> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Owned(self.into_vec()))
    }
}

impl Sealed for Box<str> {}
impl<'a> IntoRecordBytes<'a> for Box<str> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Owned(self.into_string().into_bytes()))
    }
}

impl Sealed for Cow<'_, [u8]> {}
impl<'a> IntoRecordBytes<'a> for Cow<'a, [u8]> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(self)
    }
}

impl Sealed for Cow<'_, str> {}
impl<'a> IntoRecordBytes<'a> for Cow<'a, str> {
    #[inline]
    fn into_record_bytes(self) -> Option<Cow<'a, [u8]>> {
        Some(match self {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }
}

/// What the headers of a record can be given as: a slice, an array or a list of [`Header`]s by reference, which is borrowed; a
/// list by value, which is kept; or the headers of a record that was read, of which a list is made.
///
/// This trait is sealed: of other iterators make a list.
///
/// # Examples
/// ```
/// use ottla::{Header, ProducerRecord};
/// let names = ["a", "b"];
/// let record = ProducerRecord::new().headers(names.iter().map(|name| Header::null(name)).collect::<Vec<_>>());
/// assert_eq!(record.get_headers().len(), 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of headers",
    note = "give a slice or a `Vec` of `Header`s, or the headers of a record that was read"
)]
pub trait IntoHeaders<'a>: Sealed {
    /// The headers.
    #[doc(hidden)]
    fn into_headers(self) -> Cow<'a, [Header<'a>]>;
}

impl<'a> IntoHeaders<'a> for &'a [Header<'a>] {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Borrowed(self)
    }
}

impl<'a, const N: usize> IntoHeaders<'a> for &'a [Header<'a>; N] {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Borrowed(self)
    }
}

impl<'a> IntoHeaders<'a> for &'a Vec<Header<'a>> {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Borrowed(self)
    }
}

impl Sealed for Vec<Header<'_>> {}
impl<'a> IntoHeaders<'a> for Vec<Header<'a>> {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Owned(self)
    }
}

impl Sealed for Headers<'_> {}
impl<'a> IntoHeaders<'a> for Headers<'a> {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Owned(self.iter().collect())
    }
}

impl Sealed for OwnedHeadersIter<'_> {}
impl<'a> IntoHeaders<'a> for OwnedHeadersIter<'a> {
    #[inline]
    fn into_headers(self) -> Cow<'a, [Header<'a>]> {
        Cow::Owned(self.collect())
    }
}
