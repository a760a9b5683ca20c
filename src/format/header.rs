//! One header of a record.

/// A header of a record: a name that may repeat, and bytes that may be absent.
///
/// # Examples
/// ```
/// let header = ottla::Header::new("trace-id", b"4bf92f35");
/// assert_eq!(header.key(), "trace-id");
/// assert_eq!(header.value(), Some(&b"4bf92f35"[..]));
/// assert_eq!(ottla::Header::null("retry").value(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}
