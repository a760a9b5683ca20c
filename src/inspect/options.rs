//! What is to be shown of a file.

use super::Decoder;

/// What is to be shown of a file.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    pub(super) records: bool,
    pub(super) decoder: Option<Decoder>,
    pub(super) max_bytes: Option<u64>,
    pub(super) is_apart: bool,
}

impl Options {
    /// Batches without their records, indexes against the log.
    pub fn new() -> Options {
        Options::default()
    }

    /// Whether the records of each batch are shown behind it. Default: false.
    pub fn records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    /// How keys and values are read that a coordinator wrote. Default: not at all; markers always are.
    pub fn decoder(mut self, decoder: impl Into<Option<Decoder>>) -> Self {
        self.decoder = decoder.into();
        self
    }

    /// How many bytes of a `.log` file are looked at; a batch that ends behind them is not shown. Default: all.
    pub fn max_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_bytes = bytes.into();
        self
    }

    /// Whether an index is looked at alone, without the log. Default: false.
    pub fn apart(mut self, apart: bool) -> Self {
        self.is_apart = apart;
        self
    }
}
