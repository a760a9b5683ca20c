//! What the groups come to in memory, and what a reader of their log makes of it.

use proptest::prelude::*;

use super::*;
use crate::format::ProducerIdAndEpoch;
use crate::{CommittedOffset, RecoveryMode};

/// The three transactional producers of a test.
const IDS: [&str; 3] = ["t", "u", "v"];

fn producer(number: usize) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { id: 1 + i64::try_from(number).unwrap(), epoch: 0 }
}

fn log(broker: &Broker) -> Arc<Log> {
    let source = broker.store.source(&TopicPartition::new(OFFSETS_TOPIC, 0)).unwrap();
    source.writable("look at it").unwrap().clone()
}

/// Stages an offset in the transaction of this producer. Returns the offset of its record, if there is one.
fn stage_in(consumer: &Consumer, number: usize, offset: (TopicPartition, CommittedOffset)) -> Option<u64> {
    let mut record = None;
    let append = |log: &Arc<Log>, records: &[ProducerRecord<'_>]| {
        let appended = log.append_transactional(producer(number), records).map_err(|error| *error)?.offsets();
        record = Some(appended.start);
        Ok(appended)
    };
    consumer.stage_offsets(Some(&[offset]), &IDS[number].into(), append).unwrap();
    record
}

fn mark(broker: &Broker, number: usize, is_commit: bool) {
    log(broker).end_transaction(producer(number), is_commit, 0).unwrap();
}

/// In this process, after another opening, and as another process sees it.
fn seen_by_all(world: &World) -> [[Option<u64>; 2]; 3] {
    let beside = Broker::builder("/data").recovery_mode(RecoveryMode::ReadOnly).disk(&world.disk).open().unwrap();
    [world.committed(), committed(&open(&world.disk.kill(1))), committed(&beside)]
}

/// Known failure 10.8.
#[test]
fn k10_08_of_a_plain_commit_and_a_transactional_one_the_later_record_counts_for_everybody() {
    let world = World::new();
    let mut consumer = world.by_hand(3);
    consumer.assign(&[orders(0), orders(1)]).unwrap();
    consumer.commit_offsets(&[at(0, 1), at(1, 1)]).unwrap();
    stage_in(&consumer, 0, at(0, 2)).unwrap();
    consumer.commit_offsets(&[at(0, 3), at(1, 3)]).unwrap();
    stage_in(&consumer, 0, at(1, 2)).unwrap();
    world.decide("t").unwrap();
    world.commit("t");
    mark(&world.broker, 0, true);
    let expected = [Some(3), Some(2)];
    assert_eq!(seen_by_all(&world), [expected; 3]);

    // Enough to fill segments, so that what is above is compacted.
    let mut filler = world.broker.consumer_with(ConsumerConfig::new("filler")).unwrap();
    filler.assign(&[orders(0)]).unwrap();
    for _ in 0..100 {
        let large = CommittedOffset::new(1).with_metadata("x".repeat(32_000));
        filler.commit_offsets(&[(orders(0), large)]).unwrap();
    }
    world.broker.run_maintenance().unwrap();
    let read = world.broker.topic(OFFSETS_TOPIC).unwrap().partition(0).unwrap().read(0, 1).unwrap();
    assert!(read.iter().next().unwrap().offset() > 0, "the first commit was displaced");
    assert_eq!(seen_by_all(&world), [expected; 3]);
}

#[derive(Debug, Clone)]
enum Call {
    Commit {
        partition: u32,
        offset: u64,
    },
    Reset,
    Stage {
        number: usize,
        partition: u32,
        offset: u64,
    },
    Decide {
        number: usize,
    },
    /// The marker follows at once, or when the next transaction of this producer begins.
    End {
        number: usize,
        is_commit: bool,
        is_marked: bool,
    },
}

fn any_call() -> impl Strategy<Value = Call> {
    let (number, partition, offset) = (0..IDS.len(), 0..2_u32, 0..=RECORDS);
    prop_oneof![
        2 => (partition.clone(), offset.clone()).prop_map(|(partition, offset)| Call::Commit { partition, offset }),
        1 => Just(Call::Reset),
        4 => (number.clone(), partition, offset)
            .prop_map(|(number, partition, offset)| Call::Stage { number, partition, offset }),
        1 => number.clone().prop_map(|number| Call::Decide { number }),
        3 => (number, any::<bool>(), any::<bool>())
            .prop_map(|(number, is_commit, is_marked)| Call::End { number, is_commit, is_marked }),
    ]
}

/// A record of the log: an offset, and the transaction that it is in.
struct Written {
    partition: u32,
    offset: u64,
    /// By the number of the producer, and of its transaction.
    transaction: Option<(usize, usize)>,
}

/// What a run of calls has done so far.
#[derive(Default)]
struct Run {
    written: Vec<Written>,
    /// How the transactions of each producer have ended.
    ends: [Vec<bool>; 3],
    is_decided: [bool; 3],
    unmarked: [Option<bool>; 3],
}

impl Run {
    /// The last record of each partition that is committed by now.
    fn expected(&self) -> [Option<u64>; 2] {
        let is_committed = |written: &&Written| match written.transaction {
            None => true,
            Some((number, transaction)) => self.ends[number].get(transaction) == Some(&true),
        };
        [0, 1].map(|partition| {
            let mut of_it = self.written.iter().filter(|written| written.partition == partition);
            of_it.rfind(is_committed).map(|written| written.offset)
        })
    }

    fn make(&mut self, world: &World, consumer: &mut Consumer, call: &Call) {
        match *call {
            Call::Commit { partition, offset } => {
                consumer.commit_offsets(&[at(partition, offset)]).unwrap();
                self.written.push(Written { partition, offset, transaction: None });
            }
            Call::Reset => {
                let reset = world.broker.admin().reset_offsets("g").topic("orders");
                reset.execute().unwrap();
                let reset = [0, 1].map(|partition| Written { partition, offset: 0, transaction: None });
                self.written.extend(reset);
            }
            Call::Stage { number, .. } if self.is_decided[number] => {}
            Call::Stage { number, partition, offset } => {
                self.mark(world, number);
                if stage_in(consumer, number, at(partition, offset)).is_some() {
                    let transaction = Some((number, self.ends[number].len()));
                    self.written.push(Written { partition, offset, transaction });
                }
            }
            Call::Decide { number } => {
                world.decide(IDS[number]).unwrap();
                self.is_decided[number] = true;
            }
            Call::End { number, is_commit, is_marked } => {
                self.mark(world, number);
                world.end(IDS[number], is_commit);
                self.ends[number].push(is_commit);
                self.is_decided[number] = false;
                self.unmarked[number] = Some(is_commit);
                if is_marked {
                    self.mark(world, number);
                }
            }
        }
    }

    fn mark(&mut self, world: &World, number: usize) {
        if let Some(is_commit) = self.unmarked[number].take() {
            mark(&world.broker, number, is_commit);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_comes_to_what_is_in_memory(calls in prop::collection::vec(any_call(), 0..40)) {
        let world = World::new();
        let mut consumer = world.by_hand(0);
        consumer.assign(&[orders(0), orders(1)]).unwrap();
        let mut run = Run::default();
        for call in &calls {
            run.make(&world, &mut consumer, call);
            prop_assert_eq!(world.committed(), run.expected(), "after {:?}", call);
        }
        for number in 0..IDS.len() {
            run.make(&world, &mut consumer, &Call::End { number, is_commit: number == 0, is_marked: true });
        }
        prop_assert_eq!(seen_by_all(&world), [run.expected(); 3]);
    }
}
