//! What is measured.

/// One kind of work.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// How many records it is done with.
    pub(crate) records: usize,
    pub(crate) record_bytes: usize,
}

/// What is done with the records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// One call for each.
    Append,
    /// A call for a thousand of them.
    AppendBatches,
    /// One call for each, which returns once it survives a power cut.
    AppendDurably,
    /// The same from sixteen threads, each to a log of its own.
    AppendDurablyFrom16,
    /// A call for a thousand of them, which returns once they survive a power cut.
    AppendBatchesDurably,
    /// Opening what another process wrote, and adding up every byte of it, checksums verified.
    Scan,
    /// Opening that, and reading single records anywhere in it.
    ReadAtRandom,
    /// One call for each, to a thousand logs in turn, from an empty directory on.
    AppendTo1000,
}

impl Work {
    /// Whether it is done on what another process wrote before.
    pub(crate) fn needs_records(self) -> bool {
        matches!(self, Work::Scan | Work::ReadAtRandom)
    }
}

pub(crate) const ROWS: [Row; 9] = [
    row("append/100B", Work::Append, 3_000_000, 100),
    row("batches/1000x100B", Work::AppendBatches, 10_000_000, 100),
    row("batches/1000x1KiB", Work::AppendBatches, 2_000_000, 1024),
    row("durable/1_thread", Work::AppendDurably, 20_000, 100),
    row("durable/16_threads", Work::AppendDurablyFrom16, 100_000, 100),
    row("durable/batches/1000x100B", Work::AppendBatchesDurably, 2_000_000, 100),
    row("scan/first_in_a_process", Work::Scan, 5_000_000, 100),
    row("random_read", Work::ReadAtRandom, 5_000_000, 100),
    row("1000_logs", Work::AppendTo1000, 1_000_000, 100),
];

const fn row(name: &'static str, work: Work, records: usize, record_bytes: usize) -> Row {
    Row { name, work, records, record_bytes }
}
