//! One header of a record.

use std::fmt;

use super::shown::shown;
use crate::error::{Error, Result};

/// A header of a record: a name that may repeat, and bytes that may be absent.
///
/// # Examples
/// ```
/// let header = ottla::Header::new("trace-id", b"4bf92f35");
/// assert_eq!(header.key(), "trace-id");
/// assert_eq!(header.value(), Some(&b"4bf92f35"[..]));
/// assert_eq!(ottla::Header::null("retry").value(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    key: &'a str,
    value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value, which is bytes or text.
    #[must_use]
    pub fn new(key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Header<'a> {
        Header { key, value: Some(value.as_ref()) }
    }

    /// A header without a value, which is not the same as an empty one.
    #[must_use]
    pub fn null(key: &'a str) -> Header<'a> {
        Header { key, value: None }
    }

    /// The header's name. May be empty, and may occur more than once in a record.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The header's value, if it has one.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The header's value as text; that of a header without one is `""`.
    ///
    /// # Errors
    /// [`Error::HeaderNotText`] if it is not UTF-8.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(ottla::Header::new("trace-id", b"4bf92f35").value_str()?, "4bf92f35");
    /// assert!(ottla::Header::new("digest", &[0xff]).value_str().is_err());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn value_str(&self) -> Result<&'a str> {
        let value = self.value.unwrap_or_default();
        str::from_utf8(value).map_err(|_| Error::HeaderNotText { key: self.key.to_owned() })
    }
}

/// In short: of the value the first 64 bytes, as text where they are text.
impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.key.escape_debug(), shown(self.value))
    }
}
