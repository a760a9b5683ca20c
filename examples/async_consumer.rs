//! Two members of a group, a sender and a clock, all on one thread of tokio; any other executor would do as well.
//! Run it with `cargo run --release --example async_consumer`.
//! You will see who takes which partitions, what each member has read, and a clock that goes on meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Broker, Consumer, ConsumerConfig, ConsumerHandle, Durability, Error, ProducerRecord, Rebalance, TopicConfig,
    TopicPartition,
};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

const TOPIC: &str = "readings";
const GROUP: &str = "averages";
/// One for each sensor.
const PARTITIONS: u32 = 4;
const READINGS: u32 = 400;
const TICK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
/// Degrees, by partition and offset.
type Readings = BTreeMap<(u32, u64), f64>;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // A commit is a plain call, and the thread is its own until it returns. Without waiting for the disk that is soon; with the
    // default durability it belongs into `spawn_blocking`.
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open()?;
    broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS))?;

    heading("Two members of a group, a sender and a clock, on one thread");
    let clock = tokio::spawn(tick());
    let ann = Member::start(&broker, "ann")?;
    send(&broker, 0..READINGS / 2).await?;
    let bob = Member::start(&broker, "bob")?;
    send(&broker, READINGS / 2..READINGS).await?;
    while broker.admin().describe_group(GROUP)?.total_lag() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    clock.abort();
    let (ann, bob) = (ann.stop().await?, bob.stop().await?);
    broker.close()?;

    heading("What they have read");
    println!("  sensor         ann  bob   average");
    for sensor in 0..PARTITIONS {
        let of =
            |readings: &Readings| readings.range((sensor, 0)..(sensor + 1, 0)).map(|(_, degrees)| *degrees).collect();
        let (by_ann, by_bob): (Vec<f64>, Vec<f64>) = (of(&ann), of(&bob));
        let average = by_ann.iter().chain(&by_bob).sum::<f64>() / f64::from(READINGS / PARTITIONS);
        let bar = "▇".repeat((0..40).take_while(|half| f64::from(*half) / 2.0 < average).count());
        println!("  {TOPIC}-{sensor}  {:>6} {:>4}  {average:>5.1} °C {bar}", by_ann.len(), by_bob.len());
    }

    assert!(!ann.is_empty() && !bob.is_empty(), "both had their share");
    assert!(ann.keys().all(|place| !bob.contains_key(place)), "nothing was read twice");
    assert_eq!(ann.len() + bob.len(), READINGS as usize, "nothing was missed");
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// Shows from time to time that the thread was there for it, too.
async fn tick() {
    let mut ticks = interval(TICK);
    let mut latest = Duration::ZERO;
    for count in 1_u32.. {
        let due = ticks.tick().await;
        latest = latest.max(due.elapsed());
        if count.is_multiple_of(20) {
            println!("  the clock has ticked {count} times, {:.1} ms late at most", latest.as_secs_f64() * 1e3);
        }
    }
}

/// Sends readings of all sensors in turn, one a millisecond.
async fn send(broker: &Broker, numbers: std::ops::Range<u32>) -> Result<()> {
    let producer = broker.producer();
    for number in numbers {
        let sensor = number % PARTITIONS;
        let degrees = 12.0 + 2.5 * f64::from(sensor) + f64::from(number % 7) / 10.0;
        producer.send_async(ProducerRecord::to(TOPIC).partition(sensor).value(degrees.to_string()))?.await?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// A member of the group, in a task.
struct Member {
    handle: ConsumerHandle,
    task: JoinHandle<Result<Readings>>,
}

impl Member {
    fn start(broker: &Broker, name: &'static str) -> Result<Member> {
        println!("  {name} joins");
        let config = ConsumerConfig::new(GROUP).topics([TOPIC]).rebalance_listener(
            move |_: &mut Consumer, event: Rebalance<'_>| {
                match event {
                    Rebalance::Assigned(partitions) => println!("  {name} takes {}", addresses(partitions)),
                    Rebalance::Revoked(partitions) => println!("  {name} gives up {}", addresses(partitions)),
                    _ => {}
                }
                Ok(())
            },
        );
        let consumer = broker.consumer_with(config)?;
        Ok(Member { handle: consumer.handle(), task: tokio::spawn(read(consumer)) })
    }

    /// Ends the task, and returns what it has read.
    async fn stop(self) -> Result<Readings> {
        self.handle.close();
        self.task.await?
    }
}

async fn read(mut consumer: Consumer) -> Result<Readings> {
    let mut readings = Readings::new();
    loop {
        // Also completes when partitions come or go and when the consumer is to close: the poll takes care of that. Giving up, as
        // the timeout does, loses nothing.
        timeout(PATIENCE, consumer.ready()).await?;
        let records = match consumer.poll(Duration::ZERO) {
            Err(Error::Closed { .. }) => return Ok(readings),
            records => records?,
        };
        for record in &records {
            readings.insert((record.partition(), record.offset()), record.value_str()?.parse()?);
        }
        if !records.is_empty() {
            consumer.commit()?;
        }
    }
}

fn addresses(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(" ")
}
