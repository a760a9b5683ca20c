//! What is to be exported.

/// What [`Admin::export`](crate::Admin::export) writes.
///
/// # Examples
/// ```
/// let options = ottla::ExportOptions::new().topics(["orders", "payments"]);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ExportOptions {
    pub(super) topics: Option<Vec<String>>,
}

impl ExportOptions {
    /// All topics but the internal ones.
    pub fn new() -> ExportOptions {
        ExportOptions::default()
    }

    /// Only these topics. Default: all but the internal ones, which are never exported.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = Some(topics.into_iter().map(Into::into).collect());
        self
    }
}
