//! What may be called, and how often.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// The names of all topics that there may be.
pub(crate) const TOPICS: [&str; 3] = ["orders", "orders-eu", "users"];
/// So many consumers at a time.
pub(crate) const SLOTS: usize = 6;
pub(crate) const PARTITIONS_MAX: u32 = 6;

/// Whether members may die and be robbed of what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Wild,
    Calm,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) mood: Mood,
    /// How each group divides its partitions, as an index.
    pub(crate) assignors: Vec<usize>,
    /// How many partitions the topics have that are there from the beginning.
    pub(crate) partitions: Vec<u32>,
    pub(crate) calls: Vec<Call>,
}

/// What a member's listener does besides writing down what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    /// There is none.
    Not,
    Records,
    Commits,
    Fails,
    Panics,
}

/// What a member subscribes to.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    /// A bit for each topic.
    Names(u8),
    /// Those whose names begin like `orders`.
    Pattern,
}

impl Topics {
    pub(crate) fn names(&self) -> Vec<String> {
        let is_meant = |index: usize| match self {
            Topics::Names(bits) => bits >> index & 1 == 1,
            Topics::Pattern => index < 2,
        };
        (0..TOPICS.len()).filter(|&index| is_meant(index)).map(|index| TOPICS[index].to_owned()).collect()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Joins {
    pub(crate) slot: usize,
    pub(crate) group: usize,
    pub(crate) topics: Topics,
    pub(crate) instance: Option<u8>,
    pub(crate) session_timeout: Duration,
    pub(crate) max_poll_interval: Option<Duration>,
    pub(crate) listens: Listens,
    pub(crate) auto_commit: Option<Duration>,
    pub(crate) max_poll_records: u32,
    /// Comes with another assignor than the group's.
    pub(crate) disagrees: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaving {
    Drop,
    Close,
    /// Its thread panics.
    Panic,
}

/// Where to set an offset.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Earliest,
    Latest,
    /// At so many thousandths of the log, or beyond it.
    Offset(u64),
    ShiftBy(i64),
}

#[derive(Debug, Clone)]
pub(crate) enum Call {
    Join(Joins),
    Leave {
        slot: usize,
        how: Leaving,
    },
    /// Leaves, and comes back at once.
    Restart {
        slot: usize,
        how: Leaving,
    },
    Poll {
        slot: usize,
    },
    /// Takes so many records one by one, or as many as there are.
    TakeEach {
        slot: usize,
        count: usize,
    },
    PollAll,
    Commit {
        slot: usize,
    },
    /// One of the records that the last poll with records returned, in thousandths.
    CommitThrough {
        slot: usize,
        at: usize,
    },
    CommitOffsets {
        slot: usize,
        topic: usize,
        partition: u32,
        at: u64,
    },
    Subscribe {
        slot: usize,
        topics: Topics,
    },
    Send {
        topic: usize,
        partition: u32,
        count: usize,
    },
    Reset {
        group: usize,
        topic: Option<usize>,
        to: Place,
        is_dry: bool,
    },
    AddPartitions {
        topic: usize,
        count: u32,
    },
    DeleteTopic {
        topic: usize,
    },
    CreateTopic {
        topic: usize,
        partitions: u32,
    },
    Advance {
        ms: u64,
    },
    RemoveInstance {
        group: usize,
        instance: u8,
    },
    DeleteGroup {
        group: usize,
    },
    /// Closes or, if not clean, kills the process, and opens again.
    Reopen {
        is_clean: bool,
        seed: u64,
    },
    /// Polls until everything is as it is to be.
    Settle,
}

pub(crate) fn case(mood: Mood) -> impl Strategy<Value = Case> {
    (vec(0..4_usize, 1..4), vec(1..5_u32, 1..3), vec(call(mood), 1..60))
        .prop_map(move |(assignors, partitions, calls)| Case { mood, assignors, partitions, calls })
}

fn topics() -> impl Strategy<Value = Topics> {
    prop_oneof![3 => (1..8_u8).prop_map(Topics::Names), 1 => Just(Topics::Pattern)]
}

fn joins(mood: Mood) -> impl Strategy<Value = Joins> {
    let ms = Duration::from_millis;
    let is_calm = mood == Mood::Calm;
    let how_long = (select(vec![ms(1), ms(300), ms(45_000)]), option::weighted(0.25, select(vec![ms(200), ms(2000)])));
    let listens = vec![Listens::Records, Listens::Records, Listens::Commits, Listens::Not];
    let wild = vec![Listens::Fails, Listens::Panics];
    let listens = if is_calm { listens } else { [listens, wild].concat() };
    (
        (0..SLOTS, 0..3_usize, topics()),
        option::weighted(0.3, 0..3_u8),
        how_long,
        (select(listens), option::of(select(vec![ms(1), ms(500)]))),
        select(vec![1_u32, 4, 500]),
        prop::bool::weighted(0.05),
    )
        .prop_map(
            move |((slot, group, topics), instance, how_long, (listens, auto_commit), max_poll_records, disagrees)| {
                let (session_timeout, max_poll_interval) = how_long;
                Joins {
                    slot,
                    group,
                    topics,
                    // Where nobody is to be robbed, the name belongs to the slot.
                    instance: instance.map(|name| if is_calm { u8::try_from(slot).unwrap() } else { name }),
                    session_timeout,
                    max_poll_interval: max_poll_interval.filter(|_| !is_calm),
                    listens,
                    auto_commit: if is_calm { auto_commit.or(Some(ms(5000))) } else { auto_commit },
                    max_poll_records,
                    disagrees,
                }
            },
        )
}

fn call(mood: Mood) -> impl Strategy<Value = Call> {
    let is_calm = mood == Mood::Calm;
    let slot = 0..SLOTS;
    let how = if is_calm { vec![Leaving::Close] } else { vec![Leaving::Drop, Leaving::Close, Leaving::Panic] };
    let (topic, partition) = (0..TOPICS.len(), 0..PARTITIONS_MAX);
    let place = prop_oneof![
        Just(Place::Earliest),
        Just(Place::Latest),
        (0..1100_u64).prop_map(Place::Offset),
        (-5..5_i64).prop_map(Place::ShiftBy),
    ];
    let both = prop_oneof![
        12 => joins(mood).prop_map(Call::Join),
        4 => (slot.clone(), select(how.clone())).prop_map(|(slot, how)| Call::Leave { slot, how }),
        3 => (slot.clone(), select(how)).prop_map(|(slot, how)| Call::Restart { slot, how }),
        8 => slot.clone().prop_map(|slot| Call::Poll { slot }),
        8 => (slot.clone(), 1..8_usize).prop_map(|(slot, count)| Call::TakeEach { slot, count }),
        6 => Just(Call::PollAll),
        4 => slot.clone().prop_map(|slot| Call::Commit { slot }),
        3 => (slot.clone(), topics()).prop_map(|(slot, topics)| Call::Subscribe { slot, topics }),
        12 => (topic.clone(), partition.clone(), 1..12_usize)
            .prop_map(|(topic, partition, count)| Call::Send { topic, partition, count }),
        2 => (topic.clone(), 1..=PARTITIONS_MAX).prop_map(|(topic, count)| Call::AddPartitions { topic, count }),
        1 => topic.clone().prop_map(|topic| Call::DeleteTopic { topic }),
        2 => (topic.clone(), 1..5_u32).prop_map(|(topic, partitions)| Call::CreateTopic { topic, partitions }),
        4 => select(vec![1_u64, 120, 700, 50_000]).prop_map(|ms| Call::Advance { ms }),
        2 => Just(Call::Settle),
        1 => (any::<bool>(), any::<u64>())
            .prop_map(move |(is_clean, seed)| Call::Reopen { is_clean: is_clean || is_calm, seed }),
    ];
    let wild = prop_oneof![
        4 => (slot.clone(), 0..1000_usize).prop_map(|(slot, at)| Call::CommitThrough { slot, at }),
        4 => (slot, topic.clone(), partition, 0..1100_u64)
            .prop_map(|(slot, topic, partition, at)| Call::CommitOffsets { slot, topic, partition, at }),
        2 => (0..3_usize, option::of(topic), place, any::<bool>())
            .prop_map(|(group, topic, to, is_dry)| Call::Reset { group, topic, to, is_dry }),
        1 => (0..3_usize, 0..3_u8).prop_map(|(group, instance)| Call::RemoveInstance { group, instance }),
        1 => (0..3_usize).prop_map(|group| Call::DeleteGroup { group }),
    ];
    if is_calm { both.boxed() } else { prop_oneof![6 => both, 1 => wild].boxed() }
}
