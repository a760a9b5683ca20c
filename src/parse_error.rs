//! That a text is not what it was to be read as.

/// A text is not what it was to be read as; what [`str::parse`] returns for the types of this crate.
///
/// # Examples
/// ```
/// let error = "orders".parse::<ottla::TopicPartition>().unwrap_err();
/// assert_eq!(error.to_string(), r#""orders" is not a topic partition: expected <topic>-<partition>, such as orders-0"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: expected {expected}")]
pub struct ParseError {
    what: &'static str,
    text: String,
    expected: &'static str,
}

/// So many characters of the text are kept: it may be anything.
const TEXT_CHARS_MAX: usize = 100;

impl ParseError {
    /// `text` is no `what`, which has the form `expected`.
    pub(crate) fn new(what: &'static str, text: &str, expected: &'static str) -> ParseError {
        ParseError { what, text: text.chars().take(TEXT_CHARS_MAX).collect(), expected }
    }

    /// The text as given; at most its first 100 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
