//! Two members of a group and a sender, all on one thread of tokio; any other executor would do as well.
//! Run it with `cargo run --release --example async_consumer`.
//! You will see what each member has read: nobody blocks the thread while there is nothing to read, and nothing is read twice.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::{Broker, Consumer, ConsumerHandle, Durability, Error, ProducerRecord, TopicConfig};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const TOPIC: &str = "readings";
const GROUP: &str = "averages";
const PARTITIONS: u32 = 4;
const READINGS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
/// Partition and offset of each reading.
type Seen = BTreeSet<(u32, u64)>;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // Sending and committing are plain calls, and the thread is theirs until they return. Without waiting for the disk that is soon;
    // with the default durability they belong into `spawn_blocking`.
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open()?;
    broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS))?;

    let first = Reader::start(&broker)?;
    send(&broker, 0..READINGS / 2).await?;
    println!("a second member joins");
    let second = Reader::start(&broker)?;
    send(&broker, READINGS / 2..READINGS).await?;
    while broker.admin().describe_group(GROUP)?.total_lag() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let (first, second) = (first.stop().await?, second.stop().await?);

    println!("the first has read {}, the second {} of {READINGS} readings", first.len(), second.len());
    assert!(!first.is_empty() && !second.is_empty(), "both had their share");
    assert!(first.is_disjoint(&second), "nothing was read twice");
    assert_eq!(first.len() + second.len(), READINGS as usize, "nothing was missed");
    broker.close()?;
    Ok(())
}

/// Sends readings, one a millisecond.
async fn send(broker: &Broker, numbers: std::ops::Range<u32>) -> Result<()> {
    let producer = broker.producer();
    for number in numbers {
        producer.send(ProducerRecord::to(TOPIC).partition(number % PARTITIONS).value(number.to_string()))?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// A member of the group, in a task.
struct Reader {
    handle: ConsumerHandle,
    task: JoinHandle<Result<Seen>>,
}

impl Reader {
    fn start(broker: &Broker) -> Result<Reader> {
        let consumer = broker.consumer(GROUP, [TOPIC])?;
        Ok(Reader { handle: consumer.handle(), task: tokio::spawn(read(consumer)) })
    }

    /// Has the task end, and returns what it has read.
    async fn stop(self) -> Result<Seen> {
        self.handle.close();
        self.task.await?
    }
}

async fn read(mut consumer: Consumer) -> Result<Seen> {
    let mut seen = Seen::new();
    loop {
        // Also completes when partitions come or go and when the consumer is to close: the poll takes care of that. To give up
        // waiting, as a time-out does, loses nothing.
        timeout(PATIENCE, consumer.ready()).await?;
        let records = match consumer.poll(Duration::ZERO) {
            Err(Error::Closed { .. }) => return Ok(seen),
            records => records?,
        };
        if !records.is_empty() {
            seen.extend(records.iter().map(|record| (record.partition(), record.offset())));
            consumer.commit()?;
        }
    }
}
