//! `ottla perf produce`.

use std::io::Write;
use std::num::NonZeroU32;
use std::thread;
use std::time::Instant;

use clap::Args;
use ottla::{Error, Producer, ProducerConfig, ProducerRecord};
use serde::Serialize;

use super::latencies::{Latencies, Summary};
use super::progress::{Pace, Progress};
use super::site::{Load, Site};
use super::{MB, per_second};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

#[derive(Debug, Args)]
pub struct Produce {
    #[command(flatten)]
    load: Load,
    /// How many records to send
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    num_records: u64,
    /// The most records to send in a second; without it, or with 0, as many as possible
    #[arg(long, value_name = "N")]
    throughput: Option<u32>,
    /// How many threads send, each its share
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroU32,
    /// How many records go in one send; each counts with the time of its send
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroU32,
}

#[derive(Debug, Serialize)]
struct Sent {
    records: u64,
    record_bytes: usize,
    threads: NonZeroU32,
    batch: NonZeroU32,
    durability: String,
    seconds: f64,
    records_per_second: f64,
    mb_per_second: f64,
    #[serde(flatten)]
    latencies: Summary,
}

impl Produce {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let progress = Progress::begin(self.num_records)?;
        let site = Site::open(place, &self.load)?;
        let measured = self.measure(&site, &progress);
        let closed = site.close();
        progress.end()?;
        let sent = measured?;
        closed?;
        output.value(&sent, |out, _| writeln!(out, "{}", sent.sentence()))
    }

    fn measure(&self, site: &Site, progress: &Progress) -> Result<Sent, Failure> {
        let producer = site.broker.producer_with(ProducerConfig::new().durability(self.load.durability))?;
        let value = self.load.value();
        let begin = Instant::now();
        let latencies = thread::scope(|scope| {
            let send = |share| {
                let (producer, value) = (producer.clone(), &value);
                scope.spawn(move || self.send(&producer, value, share, progress))
            };
            let senders: Vec<_> = self.shares().map(send).collect();
            let mut all = Latencies::new();
            for sender in senders {
                let of_sender = sender.join().map_err(|_| Failure::failed("a sender panicked"))?;
                all.merge(&of_sender?);
            }
            Ok::<_, Failure>(all)
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        let records_per_second = per_second(self.num_records, seconds);
        #[allow(clippy::cast_precision_loss, reason = "a rate is shown with two digits after the point")]
        let mb_per_second = records_per_second * self.load.record_size as f64 / MB;
        Ok(Sent {
            records: self.num_records,
            record_bytes: self.load.record_size,
            threads: self.threads,
            batch: self.batch,
            durability: self.load.durability.to_string(),
            seconds,
            records_per_second,
            mb_per_second,
            latencies: latencies.summary(),
        })
    }

    /// How many records each thread sends.
    fn shares(&self) -> impl Iterator<Item = u64> + use<> {
        let (records, threads) = (self.num_records, u64::from(self.threads.get()));
        (0..threads).map(move |thread| records / threads + u64::from(thread < records % threads))
    }

    /// Sends `share` records, or as many as there is time for until somebody asks to end.
    fn send(&self, producer: &Producer, value: &[u8], share: u64, progress: &Progress) -> Result<Latencies, Error> {
        let records = vec![ProducerRecord::to(&self.load.topic).value(value); self.batch.get() as usize];
        let (mut latencies, mut sent) = (Latencies::new(), 0);
        let pace = Pace::begin(self.throughput.map(|all| all.div_ceil(self.threads.get())));
        while sent < share {
            pace.wait(sent);
            let batch = u64::from(self.batch.get()).min(share - sent);
            let begin = Instant::now();
            if let [record] = &*records {
                producer.send(record.clone())?;
            } else {
                let length = usize::try_from(batch).unwrap_or(usize::MAX);
                producer.send_batch(&self.load.topic, records.get(..length).unwrap_or_default())?;
            }
            latencies.add(begin.elapsed(), batch);
            sent += batch;
            if !progress.add(batch) {
                break;
            }
        }
        Ok(latencies)
    }
}

impl Sent {
    fn sentence(&self) -> String {
        let Sent { records, records_per_second, mb_per_second, latencies, .. } = self;
        let Summary { avg_latency_ms, max_latency_ms, .. } = latencies;
        let Summary { p50_latency_ms, p95_latency_ms, p99_latency_ms, p999_latency_ms, .. } = latencies;
        format!(
            "{records} records sent, {records_per_second:.1} records/sec ({mb_per_second:.2} MB/sec), \
             {avg_latency_ms:.4} ms avg latency, {max_latency_ms:.4} ms max latency, {p50_latency_ms:.4} ms 50th, \
             {p95_latency_ms:.4} ms 95th, {p99_latency_ms:.4} ms 99th, {p999_latency_ms:.4} ms 99.9th."
        )
    }
}
