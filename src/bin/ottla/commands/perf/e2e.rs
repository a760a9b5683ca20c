//! `ottla perf e2e`.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ottla::{Consumer, ConsumerConfig, Error, OffsetReset, ProducerConfig, ProducerRecord};
use serde::Serialize;

use super::latencies::{Latencies, Summary};
use super::progress::Progress;
use super::site::{Load, Site};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

#[derive(Debug, Args)]
pub struct E2e {
    #[command(flatten)]
    load: Load,
    /// How many records to send
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    num_records: u64,
}

#[derive(Debug, Serialize)]
struct Passed {
    records: u64,
    record_bytes: usize,
    durability: String,
    #[serde(flatten)]
    latencies: Summary,
}

/// So long a poll waits before it looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(100);

impl E2e {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let progress = Progress::begin(self.num_records)?;
        let site = Site::open(place, &self.load)?;
        let measured = self.measure(&site, &progress);
        let closed = site.close();
        progress.end()?;
        let latencies = measured?.summary();
        closed?;
        let durability = self.load.durability.to_string();
        let passed = Passed { records: self.num_records, record_bytes: self.load.record_size, durability, latencies };
        output.value(&passed, |out, _| out.write_all(passed.lines().as_bytes()))
    }

    fn measure(&self, site: &Site, progress: &Progress) -> Result<Latencies, Failure> {
        let producer = site.broker.producer_with(ProducerConfig::new().durability(self.load.durability))?;
        let config = ConsumerConfig::new("ottla-perf").offset_reset(OffsetReset::Latest);
        let mut consumer = site.broker.consumer_with(config)?;
        let partitions: Vec<_> = site.topic.partitions().map(|partition| partition.topic_partition().clone()).collect();
        consumer.assign(&partitions)?;
        for partition in &partitions {
            consumer.seek(partition, ottla::SeekTo::Latest)?;
        }
        let value = self.load.value();
        let handle = consumer.handle();
        let (received, receipts) = channel();
        thread::scope(|scope| {
            let consuming = scope.spawn(move || receive(&mut consumer, &received));
            let send = || producer.send(ProducerRecord::to(&self.load.topic).value(&value)).map(drop);
            let passed = self.pass(send, &receipts, progress);
            handle.close();
            let received = consuming.join().map_err(|_| Failure::failed("the receiver panicked"))?;
            // If the receiver failed, the sender has only missed it.
            received?;
            passed
        })
    }

    /// Sends one record after the other, each when the one before was received.
    fn pass(
        &self,
        send: impl Fn() -> Result<(), Error>,
        receipts: &Receiver<Instant>,
        progress: &Progress,
    ) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::new();
        for _ in 0..self.num_records {
            let begin = Instant::now();
            send()?;
            let received = receipts.recv().map_err(|_| Failure::failed("the receiver has ended"))?;
            latencies.add(received.duration_since(begin), 1);
            if !progress.add(1) {
                break;
            }
        }
        Ok(latencies)
    }
}

/// Says of each record when it came, until nobody wants to know any more.
fn receive(consumer: &mut Consumer, received: &Sender<Instant>) -> Result<(), Error> {
    loop {
        match consumer.poll(POLL) {
            Ok(records) if records.is_empty() => {}
            Ok(_) => {
                if received.send(Instant::now()).is_err() {
                    return Ok(());
                }
            }
            Err(Error::Closed { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Passed {
    fn lines(&self) -> String {
        let Summary { avg_latency_ms, p50_latency_ms, p99_latency_ms, p999_latency_ms, .. } = self.latencies;
        format!(
            "Avg latency: {avg_latency_ms:.4} ms\n\
             Percentiles: 50th = {p50_latency_ms:.4}, 99th = {p99_latency_ms:.4}, 99.9th = {p999_latency_ms:.4}\n"
        )
    }
}
