//! A pipeline of metrics in JSON: readings of hosts go in, a summary for each host and minute comes out, and what is no reading is
//! put aside. The pipeline dies half-way, and starts again.
//! Run it with `cargo run --release --example metrics_pipeline`.
//! You will see the summaries, what was put aside and why, and that the death changed neither.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use ottla::{Broker, Consumer, OwnedRecord, Producer, ProducerRecord, Timestamp, TopicConfig};
use serde::{Deserialize, Serialize};

const READINGS: &str = "readings";
const SUMMARIES: &str = "cpu-by-minute";
const REJECTED: &str = "readings-rejected";
const HOSTS: u32 = 4;
const MINUTES: u32 = 3;
const MINUTE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Serialize, Deserialize)]
struct Reading {
    host: String,
    /// In percent.
    cpu: u32,
}

#[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
struct Summary {
    readings: u32,
    total: u32,
}

impl Summary {
    fn add(&mut self, cpu: u32) {
        self.readings += 1;
        self.total += cpu;
    }
}

fn main() -> Result<()> {
    let broker = Broker::temporary()?;
    broker.topic_with(READINGS, TopicConfig::new().partitions(2))?;
    let (cpu_by_minute, rejected) = (broker.topic(SUMMARIES)?, broker.topic(REJECTED)?);
    let expected = send_readings(&broker, "2026-11-30T12:00:00Z".parse()?)?;

    let taken_in = run_pipeline(&broker, Some(30))? + run_pipeline(&broker, None)?;

    println!("Load by minute and host");
    let mut summaries = BTreeMap::new();
    for record in cpu_by_minute.partition(0)?.iter_from(0) {
        let record = record?;
        let summary: Summary = serde_json::from_slice(record.value().unwrap_or_default())?;
        assert!(summaries.insert(record.key_str()?.to_owned(), summary).is_none(), "a summary is there once");
    }
    for (key, Summary { readings, total }) in &summaries {
        let mean = total / readings;
        println!("  {key} {mean:>2} % {}", "▇".repeat(mean as usize / 5));
    }
    println!("Put aside");
    let rejected = rejected.partition(0)?.iter_from(0).collect::<ottla::Result<Vec<_>>>()?;
    for record in &rejected {
        let reason = record.header("reason").ok_or("rejected without a reason")?;
        println!("  {:?}: {}", record.value_str()?, reason.value_str()?);
    }

    assert_eq!(summaries, expected, "each summary is there, and tells of each reading once");
    assert_eq!(rejected.len(), MINUTES as usize, "and so is each record that was no reading");
    let lag = broker.admin().describe_group("pipeline")?.total_lag();
    assert_eq!(lag, u64::from(HOSTS), "the minute that is not over will be read again, by whoever goes on");
    assert!(taken_in > (HOSTS * (MINUTES * 4 + 1) + MINUTES) as usize, "some readings came twice");
    Ok(())
}

/// Sends four readings a minute for each host, some nonsense, and the first of one minute more; returns what is to come out.
fn send_readings(broker: &Broker, start: Timestamp) -> Result<BTreeMap<String, Summary>> {
    let producer = broker.producer();
    let mut expected = BTreeMap::new();
    for quarter in 0..=MINUTES * 4 {
        let minute = start.checked_add(MINUTE * (quarter / 4)).ok_or("the end of time")?;
        let time = minute.checked_add(MINUTE / 4 * (quarter % 4)).ok_or("the end of time")?;
        for number in 0..HOSTS {
            let reading = Reading { host: format!("web-{number}"), cpu: 15 * number + 4 * quarter };
            let json = serde_json::to_vec(&reading)?;
            producer.send(ProducerRecord::to(READINGS).key(&reading.host).value(json).timestamp(time))?;
            expected.entry(format!("{minute} {}", reading.host)).or_insert_with(Summary::default).add(reading.cpu);
        }
        if quarter % 4 == 1 {
            producer.send(ProducerRecord::to(READINGS).key("web-0").value("cpu: high").timestamp(time))?;
        }
    }
    expected.retain(|_, summary| summary.readings == 4);
    Ok(expected)
}

fn minute_of(reading: &OwnedRecord) -> Timestamp {
    let time = reading.timestamp().as_millis();
    Timestamp::from_millis(time - time.rem_euclid(60_000))
}

/// Takes in readings until there are no more, or until it dies after so many; returns how many it took in.
fn run_pipeline(broker: &Broker, dies_after: Option<usize>) -> Result<usize> {
    let (mut consumer, producer) = (broker.consumer("pipeline", [READINGS])?, broker.producer());
    let mut minutes = BTreeMap::<u32, Minute>::new();
    let mut count = 0;
    while dies_after != Some(count) {
        let Some(record) = consumer.next_record(Duration::ZERO)? else { break };
        let minute = minutes.entry(record.partition()).or_default();
        // Readings come in order of time in each partition.
        if minute.last.as_ref().is_some_and(|last| minute_of(last) < minute_of(&record)) {
            mem::take(minute).send(&producer, &mut consumer)?;
        }
        minute.take_in(record);
        count += 1;
    }
    Ok(count)
}

/// The minute that a partition is in. Nothing of it goes out before it is over.
#[derive(Default)]
struct Minute {
    summaries: BTreeMap<String, Summary>,
    rejected: Vec<(OwnedRecord, String)>,
    last: Option<OwnedRecord>,
}

impl Minute {
    fn take_in(&mut self, record: OwnedRecord) {
        match serde_json::from_slice::<Reading>(record.value().unwrap_or_default()) {
            Ok(Reading { host, cpu }) => {
                self.summaries.entry(format!("{} {host}", minute_of(&record))).or_default().add(cpu);
            }
            Err(error) => self.rejected.push((record.clone(), error.to_string())),
        }
        self.last = Some(record);
    }

    /// Sends what it came to, and then commits it. A death between the two would send the same again, under the same keys.
    fn send(self, producer: &Producer, consumer: &mut Consumer) -> Result<()> {
        let mut summaries = Vec::new();
        for (key, summary) in &self.summaries {
            summaries.push(ProducerRecord::new().key(key).value(serde_json::to_vec(summary)?));
        }
        producer.send_batch(SUMMARIES, &summaries)?;
        let rejected = self.rejected.iter().map(|(record, why)| ProducerRecord::from(record).header("reason", why));
        producer.send_batch(REJECTED, &rejected.collect::<Vec<_>>())?;
        Ok(self.last.iter().try_for_each(|last| consumer.commit_through(last))?)
    }
}
