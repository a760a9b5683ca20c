//! Does a disk budget cost a writer anything? One thread sends records of 100 bytes to one partition as fast as it can, with
//! `Durability::Os` and segments of 16 MiB, in the system's temporary directory: without a budget, and under one of 256 MiB that
//! drops the oldest, once that is used up. Both are measured in turns, and what is printed is the better rate of each, the median
//! of the ratios within a turn, and the most that was taken on the disk.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::cast_precision_loss, reason = "these are measurements, of which three digits count")]

use std::time::{Duration, Instant};

use ottla::{Broker, BudgetPolicy, Durability, ProducerRecord, TopicConfig};

const BUDGET_BYTES: u64 = 256 << 20;
const SEGMENT_BYTES: u32 = 16 << 20;
const VALUE: [u8; 100] = [7; 100];
/// About what a record takes.
const RECORD_BYTES: u64 = 108;
const TURNS: usize = 7;

/// What a writer came to.
struct Run {
    records_per_second: f64,
    /// The most that all files took when it was looked at; 0 without a budget.
    most_bytes: u64,
}

fn run(budget: Option<u64>, warm_up_bytes: u64, time: Duration) -> Run {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let builder = Broker::builder(dir.path()).durability(Durability::Os).tail_bytes(4 << 20);
    let builder = match budget {
        Some(bytes) => builder.disk_budget(bytes, BudgetPolicy::DropOldest),
        None => builder,
    };
    let broker = builder.open().expect("an empty directory");
    let topic = broker.create_topic("log", TopicConfig::new().segment_bytes(SEGMENT_BYTES)).expect("a new topic");
    let partition = topic.partition(0).expect("its partition");
    let record = ProducerRecord::to("log").value(&VALUE);
    let send = |count: u64| (0..count).for_each(|_| _ = partition.append(&record).expect("room"));
    // Until segments go as fast as they come.
    send(warm_up_bytes / RECORD_BYTES);
    let (begin, mut records, mut most_bytes) = (Instant::now(), 0, 0);
    while begin.elapsed() < time {
        send(10_000);
        records += 10_000;
        if budget.is_some() {
            most_bytes = most_bytes.max(broker.admin().disk_usage().expect("an open broker").used_bytes());
        }
    }
    Run { records_per_second: f64::from(records) / begin.elapsed().as_secs_f64(), most_bytes }
}

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (turns, time) = if is_measured { (TURNS, Duration::from_secs(2)) } else { (1, Duration::from_millis(50)) };
    let warm_up_bytes = if is_measured { BUDGET_BYTES + BUDGET_BYTES / 4 } else { 1 << 20 };
    let (mut ratios, mut best, mut most_bytes) = (Vec::new(), [0.0_f64; 2], 0);
    for turn in 0..turns {
        // Who comes first alternates: the disk remembers what the one before has left.
        let order = if turn % 2 == 0 { [None, Some(BUDGET_BYTES)] } else { [Some(BUDGET_BYTES), None] };
        let mut rates = [0.0; 2];
        for budget in order {
            let run = run(budget, warm_up_bytes, time);
            let index = usize::from(budget.is_some());
            if let (Some(rate), Some(best)) = (rates.get_mut(index), best.get_mut(index)) {
                *rate = run.records_per_second;
                *best = best.max(run.records_per_second);
            }
            most_bytes = most_bytes.max(run.most_bytes);
        }
        let [without, with] = rates;
        println!(
            "turn {turn}: {:.2} million records/s without, {:.2} with: {:.3}",
            without / 1e6,
            with / 1e6,
            with / without
        );
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    let [without, with] = best;
    println!(
        "best: {:.2} million records/s without, {:.2} with; median of the ratios: {median:.3}",
        without / 1e6,
        with / 1e6
    );
    println!("the most that was taken: {most_bytes} bytes of {BUDGET_BYTES}, with segments of {SEGMENT_BYTES}");
}
