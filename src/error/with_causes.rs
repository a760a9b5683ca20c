//! An error with its causes as one line.

use std::error::Error as _;
use std::{fmt, iter};

use super::Error;

/// Shows an error and all its causes on one line; made by [`Error::with_causes`], where the example is.
#[derive(Debug)]
pub struct WithCauses<'e>(&'e Error);

impl Error {
    /// The message and those of all causes on one line, for a log. (The message alone says what went wrong, and not why.)
    ///
    /// # Examples
    /// ```
    /// let error = ottla::Broker::open_read_only("/no/such/directory").unwrap_err();
    /// eprintln!("{}", error.with_causes());
    /// ```
    #[must_use]
    pub fn with_causes(&self) -> WithCauses<'_> {
        WithCauses(self)
    }

    /// What led to this error, the nearest cause first.
    pub(super) fn causes(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        iter::successors(self.source(), |cause: &&(dyn std::error::Error + 'static)| (*cause).source())
    }
}

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.causes().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
