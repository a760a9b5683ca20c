//! A work queue: two workers share the jobs, a job that fails is tried again a little later, and one that fails three times is put
//! aside with its error.
//! Run it with `cargo run --release --example work_queue`.
//! You will see each failure and what it leads to, and at last that every job is in one place and no other.

#![allow(clippy::disallowed_types, reason = "an application may ask the clock itself")]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

use ottla::{Broker, Consumer, Error, OwnedRecord, Producer, ProducerRecord, Timestamp, TopicConfig};

const JOBS: &str = "jobs";
const RETRIES: &str = "jobs-retry";
const DONE: &str = "jobs-done";
const DEAD: &str = "jobs-dead";

const JOB_COUNT: usize = 60;
const FAILURES_MAX: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let broker = Broker::temporary()?;
    for topic in [JOBS, RETRIES, DONE, DEAD] {
        broker.topic_with(topic, TopicConfig::new().partitions(4))?;
    }

    heading("Failures");
    let mut workers = Vec::new();
    // Jobs that wait for their next try have a worker of their own, so that nobody else waits with them.
    for (group, topic) in [("workers", JOBS), ("workers", JOBS), ("retries", RETRIES)] {
        let (consumer, producer) = (broker.consumer(group, [topic])?, broker.producer());
        workers.push((consumer.handle(), thread::spawn(move || work(consumer, &producer))));
    }
    let jobs = broker.topic(JOBS)?;
    for number in 0..JOB_COUNT {
        jobs.produce(format!("job-{number}"), format!("resize photo {number}"))?;
    }

    let mut report = broker.consumer("report", [DONE, DEAD])?;
    let mut settled = BTreeMap::new();
    for record in report.iter(PATIENCE).take(JOB_COUNT) {
        let record = record?;
        settled.insert(record.key_str()?.to_owned(), (record.topic().to_owned(), failures(&record)?));
    }
    for (handle, thread) in workers {
        handle.close();
        thread.join().map_err(|_| "a worker panicked")??;
    }

    heading("Where the jobs are");
    for (topic, failures) in [(DONE, 0), (DONE, 1), (DEAD, FAILURES_MAX)] {
        let count = settled.values().filter(|place| **place == (topic.to_owned(), failures)).count();
        println!("{topic:<9} {count:>2} after {failures} failures");
    }
    assert_eq!(settled.len(), JOB_COUNT, "no job was lost, and none is there twice");
    assert_eq!(report.next_record(Duration::ZERO)?, None, "no job came out once more");
    for number in 0..JOB_COUNT {
        let (topic, failures) = match number {
            _ if is_broken(number) => (DEAD, FAILURES_MAX),
            _ if is_flaky(number) => (DONE, 1),
            _ => (DONE, 0),
        };
        assert_eq!(settled.remove(&format!("job-{number}")), Some((topic.to_owned(), failures)), "job {number}");
    }
    for group in ["workers", "retries"] {
        assert_eq!(broker.admin().describe_group(group)?.total_lag(), 0, "{group} have nothing left to do");
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// Does one job after the other, until the consumer is closed.
fn work(mut consumer: Consumer, producer: &Producer) -> Result<()> {
    loop {
        match consumer.next_record(PATIENCE) {
            Ok(Some(job)) => {
                settle(&job, producer)?;
                // Not before: the job of a worker that dies goes to another one.
                consumer.commit_through(&job)?;
            }
            Ok(None) => {}
            Err(Error::Closed { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Does a job, once it is due, and sends it on: to where the done ones are, to be tried again, or to where it is put aside.
fn settle(job: &OwnedRecord, producer: &Producer) -> Result<()> {
    // A retry has the time at which it is due. All wait for equally long, so the first in a partition is due first.
    if let Some(early) = job.timestamp().duration_since(SystemTime::now().into()) {
        thread::sleep(early);
    }
    let failures = failures(job)?;
    let Err(error) = resize(job.value_str()?, failures) else {
        producer.send(ProducerRecord::from(job).topic(DONE))?;
        return Ok(());
    };

    let failures = failures + 1;
    let next = if failures < FAILURES_MAX { RETRIES } else { DEAD };
    println!("{} failed, {error}; it goes to {next}", job.key_str()?);
    let count = failures.to_string();
    let due = Timestamp::from(SystemTime::now() + BACKOFF);
    // As it was read, and with two headers more.
    let again = ProducerRecord::from(job).topic(next).timestamp(due).header("failures", &count).header("error", &error);
    producer.send(again)?;
    Ok(())
}

/// How often a job has failed. Each retry adds a header, and the last one counts.
fn failures(job: &OwnedRecord) -> Result<u32> {
    match job.header("failures") {
        Some(header) => Ok(header.value_str()?.parse()?),
        None => Ok(0),
    }
}

/// What is to be done: some jobs fail at the first try, and some always.
fn resize(job: &str, failures: u32) -> std::result::Result<(), String> {
    let number = job.strip_prefix("resize photo ").and_then(|n| n.parse().ok()).ok_or("it is no job")?;
    match number {
        _ if is_broken(number) => Err(format!("photo {number} is no photo")),
        _ if is_flaky(number) && failures == 0 => Err(format!("no memory for photo {number}")),
        _ => Ok(()),
    }
}

fn is_flaky(number: usize) -> bool {
    number % 7 == 3
}

fn is_broken(number: usize) -> bool {
    number % 20 == 11
}
