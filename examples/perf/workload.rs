//! One workload, told as Kafka's own tools tell it.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ottla::{Broker, ConsumerConfig, ProducerRecord, Result, TopicConfig};

use crate::suite::latencies::Latencies;

const TOPIC: &str = "perf";
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How often a thread tells the others what it has.
const TELL_EVERY: Duration = Duration::from_millis(100);
const MIB: f64 = (1 << 20) as f64;

pub(crate) struct Workload {
    pub(crate) records: u64,
    pub(crate) record_bytes: usize,
    /// None: as fast as it goes.
    pub(crate) records_per_second: Option<u64>,
    pub(crate) partitions: u32,
    pub(crate) threads: u32,
    /// With the durability.
    pub(crate) topic: TopicConfig,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            records: 1_000_000,
            record_bytes: 100,
            records_per_second: None,
            partitions: 1,
            threads: 1,
            topic: TopicConfig::new(),
        }
    }
}

impl Workload {
    /// Sends all, and reads them back.
    pub(crate) fn run(self) -> Result<()> {
        let broker = Broker::temporary()?;
        broker.create_topic(TOPIC, self.topic.clone().partitions(self.partitions))?;
        self.produce(&broker)?;
        self.consume(&broker)
    }

    fn produce(&self, broker: &Broker) -> Result<()> {
        let (total, window) = (Mutex::new(Latencies::new()), Mutex::new(Window::new()));
        let begin = Instant::now();
        thread::scope(|scope| {
            let (total, window) = (&total, &window);
            let send = |thread| scope.spawn(move || self.produce_from(thread, broker, begin, total, window));
            let threads: Vec<_> = (0..self.threads).map(send).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("senders do not panic"))
        })?;
        let total = total.into_inner().expect("senders do not panic");
        let quantiles = [(0.5, "50th"), (0.95, "95th"), (0.99, "99th"), (0.999, "99.9th")];
        let quantiles = quantiles.map(|(share, name)| format!("{} {name}", millis(total.quantile(share))));
        println!("{}, {}.", self.summary(&total, begin.elapsed()), quantiles.join(", "));
        Ok(())
    }

    fn produce_from(
        &self,
        thread: u32,
        broker: &Broker,
        begin: Instant,
        total: &Mutex<Latencies>,
        window: &Mutex<Window>,
    ) -> Result<()> {
        let producer = broker.producer();
        let value = vec![b'v'; self.record_bytes];
        let mut latencies = Latencies::new();
        let mut told = Instant::now();
        let mut now = told;
        for number in (u64::from(thread)..self.records).step_by(self.threads as usize) {
            // From when it is due: one that is late counts from then, so that nothing hides in what was not sent.
            let mut from = now;
            if let Some(rate) = self.records_per_second {
                from = begin + Duration::from_secs_f64(number as f64 / rate as f64);
                thread::sleep(from.saturating_duration_since(now));
            }
            let partition = u32::try_from(number % u64::from(self.partitions)).expect("less than there are");
            producer.send(ProducerRecord::to(TOPIC).partition(partition).value(&value))?;
            now = Instant::now();
            latencies.add(now - from);
            if now - told >= TELL_EVERY {
                self.report(&mut latencies, total, window);
                told = now;
            }
        }
        self.report(&mut latencies, total, window);
        Ok(())
    }

    /// Hands over what a thread has, and prints a line when it is time for one.
    fn report(&self, latencies: &mut Latencies, total: &Mutex<Latencies>, window: &Mutex<Window>) {
        total.lock().expect("senders do not panic").merge(latencies);
        let mut window = window.lock().expect("senders do not panic");
        window.latencies.merge(latencies);
        *latencies = Latencies::new();
        let passed = window.begin.elapsed();
        if passed >= REPORT_EVERY {
            println!("{}.", self.summary(&window.latencies, passed));
            *window = Window::new();
        }
    }

    fn summary(&self, latencies: &Latencies, passed: Duration) -> String {
        let rate = latencies.count() as f64 / passed.as_secs_f64();
        let mb_per_s = rate * self.record_bytes as f64 / MIB;
        let (average, most) = (millis(latencies.average()), millis(latencies.most()));
        let sent = latencies.count();
        format!(
            "{sent} records sent, {rate:.1} records/sec ({mb_per_s:.2} MB/sec), {average} avg latency, {most} max latency"
        )
    }

    fn consume(&self, broker: &Broker) -> Result<()> {
        let config = ConsumerConfig::new("perf").topics([TOPIC]).max_poll_records(10_000);
        let mut consumer = broker.consumer_with(config)?;
        let begin = Instant::now();
        let (mut records, mut bytes) = (0, 0);
        while records < self.records {
            let polled = consumer.poll(Duration::from_secs(10))?;
            assert!(!polled.is_empty(), "{records} of {} records came back", self.records);
            records += polled.len() as u64;
            bytes += polled.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum::<usize>();
        }
        let seconds = begin.elapsed().as_secs_f64();
        let mib = bytes as f64 / MIB;
        println!("data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec");
        println!("{mib:.4}, {:.4}, {records}, {:.4}", mib / seconds, records as f64 / seconds);
        Ok(())
    }
}

/// What came since the last line was printed.
struct Window {
    begin: Instant,
    latencies: Latencies,
}

impl Window {
    fn new() -> Window {
        Window { begin: Instant::now(), latencies: Latencies::new() }
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
