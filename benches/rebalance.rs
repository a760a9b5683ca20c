//! How long does a rebalance take to settle, with 1,000 consumers in 100 groups on 1,000 partitions?
//!
//! All consumers are polled in turn by one thread, as the slowest way to settle there is. `two_join` is the time from two new
//! members joining one of the groups until its ten own their shares, `all_join` that of building all groups up from
//! nothing. `Durability::Os`, so that the record that each round leaves behind is not synced.

#![allow(missing_docs, reason = "criterion's macros make functions of their own")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ottla::{Broker, Consumer, ConsumerConfig, Durability, TopicConfig};

const PARTITIONS: u32 = 1000;
const GROUPS: usize = 100;
const MEMBERS: usize = 10;

fn member(broker: &Broker, group: usize) -> Consumer {
    broker.consumer_with(ConsumerConfig::new(format!("group-{group}")).topics(["orders"])).expect("it can join")
}

/// Polls until everybody has its share.
fn settle(members: &mut [Consumer]) {
    let share = PARTITIONS as usize / members.len();
    while members.iter().any(|member| member.assignment().len() != share) {
        for member in &mut *members {
            member.poll(Duration::ZERO).expect("nothing fails");
        }
    }
}

fn group_of(broker: &Broker, group: usize, size: usize) -> Vec<Consumer> {
    let mut members: Vec<_> = (0..size).map(|_| member(broker, group)).collect();
    settle(&mut members);
    members
}

fn rebalance(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
    broker.create_topic("orders", TopicConfig::new().partitions(PARTITIONS)).expect("a new topic");
    let mut bench = criterion.benchmark_group("rebalance/1000_partitions");
    bench.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(5));
    bench.bench_function("all_join/100_groups_of_10", |bencher| {
        bencher.iter_with_large_drop(|| (0..GROUPS).map(|group| group_of(&broker, group, MEMBERS)).collect::<Vec<_>>());
    });
    let groups: Vec<_> = (1..GROUPS).map(|group| group_of(&broker, group, MEMBERS)).collect();
    bench.bench_function("two_join/group_of_8/1000_consumers", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                // 8 members: 1,000 partitions can be divided evenly by 8 and by 10.
                let mut members = group_of(&broker, 0, MEMBERS - 2);
                let begin = Instant::now();
                members.extend([member(&broker, 0), member(&broker, 0)]);
                settle(&mut members);
                spent += begin.elapsed();
            }
            spent
        });
    });
    bench.finish();
    drop(groups);
}

criterion_group!(benches, rebalance);
criterion_main!(benches);
