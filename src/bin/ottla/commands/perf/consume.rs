//! `ottla perf consume`.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use ottla::{Broker, ConsumerConfig, Durability, ProducerRecord, Topic};
use serde::Serialize;

use super::progress::Progress;
use super::site::{Load, Site};
use super::{MB, per_second};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Consume {
    /// The topic; with --dir it must be there, and is read beside whoever writes it
    #[arg(long, value_name = "NAME", default_value = "ottla-perf")]
    topic: String,
    /// How many records to read; with --dir fewer if there are fewer
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    num_records: u64,
    /// The bytes of each record's value; with --dir they are what they are
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    record_size: usize,
}

#[derive(Debug, Serialize)]
struct Received {
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    mb_per_second: f64,
}

/// What is to be read goes in in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;

impl Consume {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let progress = Progress::begin(self.num_records)?;
        let measured = if place.is_named() {
            let broker = place.read()?;
            let topic = place::topic(&broker, &self.topic)?;
            self.measure(&broker, &topic, &progress)
        } else {
            let (topic, record_size) = (self.topic.clone(), self.record_size);
            let load = Load { topic, record_size, durability: Durability::Os };
            let site = Site::open(place, &load)?;
            let measured = self.fill(&site, &load).and_then(|()| self.measure(&site.broker, &site.topic, &progress));
            site.close()?;
            measured
        };
        progress.end()?;
        let received = measured?;
        output.value(&received, |out, _| writeln!(out, "{}", received.sentence()))
    }

    /// Sends what is to be read.
    fn fill(&self, site: &Site, load: &Load) -> Result<(), Failure> {
        let (value, partition) = (load.value(), site.topic.partition(0)?);
        let piece = vec![ProducerRecord::new().value(&value); (PIECE_BYTES / (load.record_size + 16)).max(1)];
        let mut left = usize::try_from(self.num_records).unwrap_or(usize::MAX);
        while left > 0 {
            let piece = piece.get(..left).unwrap_or(&piece);
            partition.append_batch(piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    fn measure(&self, broker: &Broker, topic: &Topic, progress: &Progress) -> Result<Received, Failure> {
        let config = ConsumerConfig::new("ottla-perf").fetch_max_bytes(4 << 20).max_poll_records(u32::MAX);
        let mut consumer = broker.consumer_with(config)?;
        let partitions: Vec<_> = topic.partitions().map(|partition| partition.topic_partition().clone()).collect();
        consumer.assign(&partitions)?;
        for partition in &partitions {
            consumer.seek(partition, ottla::SeekTo::Earliest)?;
        }
        let (mut records, mut bytes) = (0, 0);
        let begin = Instant::now();
        while records < self.num_records {
            let polled = consumer.poll(Duration::ZERO)?;
            if polled.is_empty() {
                break;
            }
            let wanted = usize::try_from(self.num_records - records).unwrap_or(usize::MAX);
            let before = records;
            for record in polled.iter().take(wanted) {
                records += 1;
                bytes += (record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)) as u64;
            }
            if !progress.add(records - before) {
                break;
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let (records_per_second, mb_per_second) = (per_second(records, seconds), per_second(bytes, seconds) / MB);
        Ok(Received { records, bytes, seconds, records_per_second, mb_per_second })
    }
}

impl Received {
    fn sentence(&self) -> String {
        let Received { records, records_per_second, mb_per_second, .. } = self;
        format!("{records} records received, {records_per_second:.1} records/sec ({mb_per_second:.2} MB/sec).")
    }
}
