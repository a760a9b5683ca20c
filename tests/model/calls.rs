//! What may be called, and how often.

use ottla::{BudgetPolicy, Compression, Durability};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const PARTITIONS: u32 = 3;
/// Both tails, the reserve, and some segments.
const BUDGET_BYTES: u64 = (7 << 20) / 2;

/// One sequence of calls to one topic.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) calls: Vec<Call>,
}

/// How the topic and its consumer are configured.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) durability: Durability,
    pub(crate) compression: Compression,
    pub(crate) segment_bytes: u32,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_poll_records: u32,
    pub(crate) fetch_max_bytes: u32,
    /// What the disk budget is, and what happens then. Little more than what it must be.
    pub(crate) budget: Option<(u64, BudgetPolicy)>,
}

/// What can change of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `None` leaves it as it is.
    pub(crate) durability: Option<Durability>,
    pub(crate) compression: Compression,
    pub(crate) segment_bytes: u32,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_message_bytes: u32,
    pub(crate) retention_bytes: Option<u64>,
}

/// A place to seek to, in thousandths of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Earliest,
    Latest,
    Committed,
    Offset(u64),
    Time(u64),
}

#[derive(Debug, Clone)]
pub(crate) enum Call {
    Send {
        partition: u32,
        has_key: bool,
        value_bytes: usize,
    },
    /// Records of one size, together.
    SendBatch {
        partition: u32,
        count: usize,
        value_bytes: usize,
    },
    /// Records that fill a disk budget, one by one.
    SendLarge {
        partition: u32,
        count: usize,
    },
    Poll,
    /// Takes so many records one by one, or as many as there are.
    TakeEach {
        count: usize,
    },
    Commit,
    /// Commits the first record that the last poll returned.
    CommitThrough,
    Seek {
        partition: u32,
        place: Place,
    },
    /// Reads without the consumer; from so many thousandths of the log.
    Read {
        partition: u32,
        from: u64,
        max_bytes: usize,
    },
    FindTime {
        partition: u32,
        at: u64,
    },
    /// Deletes what is before so many thousandths of what there is.
    DeleteRecords {
        partition: u32,
        before: u64,
    },
    /// Gives the topic other settings.
    Alter(Settings),
    Flush,
    Maintain,
    /// Lets time pass. The clock may go back, too.
    Advance {
        ms: i64,
    },
    /// Closes or, if not clean, kills the process, and opens again.
    Reopen {
        is_clean: bool,
        seed: u64,
    },
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (setup(), vec(call(), 1..80)).prop_map(|(setup, calls)| Case { setup, calls })
}

fn setup() -> impl Strategy<Value = Setup> {
    let interval = Durability::Interval(std::time::Duration::from_millis(5));
    (
        select(vec![Durability::Os, Durability::Always, interval]),
        select(vec![Compression::None, Compression::None, Compression::Snappy]),
        select(vec![1024_u32, 5000, 100_000]),
        select(vec![0_u32, 300, 4096]),
        select(vec![1_u32, 7, 500]),
        select(vec![1_u32, 500, 1 << 20]),
        select(vec![
            None,
            None,
            Some(BudgetPolicy::DropOldest),
            Some(BudgetPolicy::DropOldest),
            Some(BudgetPolicy::Reject),
        ]),
    )
        .prop_map(
            |(
                durability,
                compression,
                segment_bytes,
                index_interval_bytes,
                max_poll_records,
                fetch_max_bytes,
                policy,
            )| {
                Setup {
                    durability,
                    compression,
                    segment_bytes,
                    index_interval_bytes,
                    max_poll_records,
                    fetch_max_bytes,
                    budget: policy.map(|policy| (BUDGET_BYTES, policy)),
                }
            },
        )
}

fn settings() -> impl Strategy<Value = Settings> {
    let interval = Durability::Interval(std::time::Duration::from_millis(5));
    (
        select(vec![None, Some(Durability::Os), Some(Durability::Always), Some(interval)]),
        select(vec![Compression::None, Compression::Snappy]),
        select(vec![1024_u32, 5000, 100_000]),
        select(vec![0_u32, 300, 4096]),
        select(vec![80_000_u32, 1 << 20, 4 << 20]),
        select(vec![None, None, Some(0_u64), Some(3000), Some(200_000)]),
    )
        .prop_map(
            |(durability, compression, segment_bytes, index_interval_bytes, max_message_bytes, retention_bytes)| {
                Settings {
                    durability,
                    compression,
                    segment_bytes,
                    index_interval_bytes,
                    max_message_bytes,
                    retention_bytes,
                }
            },
        )
}

fn call() -> impl Strategy<Value = Call> {
    let partition = 0..PARTITIONS;
    let thousandths = 0..=1000_u64;
    let place = prop_oneof![
        Just(Place::Earliest),
        Just(Place::Latest),
        Just(Place::Committed),
        thousandths.clone().prop_map(Place::Offset),
        thousandths.clone().prop_map(Place::Time),
    ];
    // Mostly small, sometimes more than a slot of the tail, or than every slot.
    let value_bytes = prop_oneof![20 => 0..60_usize, 4 => 500..5000_usize, 1 => 60_000..70_000_usize];
    prop_oneof![
        12 => (partition.clone(), any::<bool>(), value_bytes.clone())
            .prop_map(|(partition, has_key, value_bytes)| Call::Send { partition, has_key, value_bytes }),
        6 => (partition.clone(), 0..40_usize, 0..200_usize)
            .prop_map(|(partition, count, value_bytes)| Call::SendBatch { partition, count, value_bytes }),
        3 => (partition.clone(), 1..8_usize).prop_map(|(partition, count)| Call::SendLarge { partition, count }),
        6 => Just(Call::Poll),
        4 => (1..20_usize).prop_map(|count| Call::TakeEach { count }),
        3 => Just(Call::Commit),
        2 => Just(Call::CommitThrough),
        3 => (partition.clone(), place).prop_map(|(partition, place)| Call::Seek { partition, place }),
        4 => (partition.clone(), thousandths.clone(), select(vec![0, 1, 100, 3000, 1 << 20]))
            .prop_map(|(partition, from, max_bytes)| Call::Read { partition, from, max_bytes }),
        3 => (partition.clone(), thousandths.clone()).prop_map(|(partition, at)| Call::FindTime { partition, at }),
        2 => (partition, thousandths).prop_map(|(partition, before)| Call::DeleteRecords { partition, before }),
        2 => settings().prop_map(Call::Alter),
        1 => Just(Call::Flush),
        2 => Just(Call::Maintain),
        2 => (-50..500_i64).prop_map(|ms| Call::Advance { ms }),
        2 => (any::<bool>(), any::<u64>()).prop_map(|(is_clean, seed)| Call::Reopen { is_clean, seed }),
    ]
}
