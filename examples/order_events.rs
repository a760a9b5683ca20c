//! Orders are created, paid and shipped: the billing group is quick, the shipping group slow, and shipping dies half-way.
//! Run it with `cargo run --release --example order_events`.
//! You will see how far each is, that shipping goes on where it stopped, and that no parcel is shipped twice.
//!
//! The death is staged: shipping drops its consumer without a commit, as a thread that panics does.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ottla::{Broker, Consumer, ConsumerConfig, ConsumerHandle, RebalanceListener, Topic, TopicConfig, TopicPartition};

/// All events of all orders, keyed by the order: those of one order are in one partition, in the order in which they happened.
const TOPIC: &str = "order-events";
const PARTITIONS: u32 = 4;
const ORDERS: usize = 300;
const STAGES: [&str; 3] = ["created", "paid", "shipped"];
const PATIENCE: Duration = Duration::from_secs(30);

const BILLING: Step = Step { group: "billing", from: "created", to: "paid", work: Duration::ZERO, dies_at: None };
const SHIPPING: Step =
    Step { group: "shipping", from: "paid", to: "shipped", work: Duration::from_millis(2), dies_at: None };
/// The parcel with which shipping dies: it was handed over, and that was not committed yet.
const LAST_PARCEL: usize = 100;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let broker = Broker::temporary()?;
    let topic = broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS))?;
    let mut board = Board::new(&broker)?;
    let billing = Worker::start(&broker, BILLING)?;
    let mut shipping = Worker::start(&broker, Step { dies_at: Some(LAST_PARCEL), ..SHIPPING })?;
    heading("How far the orders are, each time 50 more are shipped");
    let mut deaths = 0;
    let mut shop = Some(thread::spawn(move || {
        (0..ORDERS).try_for_each(|n| append(&topic, &format!("order-{n}"), "created", 250 + 50 * (n as u64 % 7)))
    }));
    while !board.is_complete()? {
        board.read()?;
        if shipping.thread.is_finished() {
            heading("Shipping has died, with parcels that it had shipped and not committed; it starts again");
            deaths += 1;
            let dead = std::mem::replace(&mut shipping, Worker::start(&broker, SHIPPING)?);
            // Whatever else may end it, a disk that fails say, is an error here as well.
            dead.stop()?;
            assert_eq!(deaths, 1, "it dies once");
        }
        if billing.thread.is_finished() {
            return billing.stop().map(drop);
        }
        if let Some(ended) = shop.take_if(|shop| shop.is_finished()) {
            ended.join().map_err(|_| "the shop panicked")??;
        }
    }
    let (billed_again, shipped_again) = (billing.stop()?, shipping.stop()?);

    assert_eq!(board.counts, [ORDERS; 3], "each order was created, paid and shipped");
    assert!(board.cents.iter().all(|cents| *cents == board.cents[0]), "for the same money: {:?}", board.cents);
    assert_eq!(billed_again, 0, "nobody in billing died");
    assert!(shipped_again > 0, "at least the last parcel came again");
    heading("All is shipped");
    println!("{ORDERS} orders, {}.{:02} euros", board.cents[0] / 100, board.cents[0] % 100);
    println!("{shipped_again} of them came to shipping again, which found in the log that it had shipped them");
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// Notes in the log that an order has reached a stage.
fn append(topic: &Topic, order: &str, stage: &str, cents: u64) -> ottla::Result<()> {
    topic.produce(order, format!("{stage} {cents}")).map(drop)
}

/// The stage and the money, from a record's value.
fn parse(value: &str) -> Result<(&str, u64)> {
    let (stage, cents) = value.split_once(' ').ok_or("an event without money")?;
    Ok((stage, cents.parse()?))
}

/// What a group does: it brings orders from one stage to the next.
#[derive(Clone, Copy)]
struct Step {
    group: &'static str,
    from: &'static str,
    to: &'static str,
    work: Duration,
    dies_at: Option<usize>,
}

/// The orders that a worker knows to be done, so that what comes again after a death is not done again.
#[derive(Clone)]
struct Done {
    topic: Topic,
    stage: &'static str,
    orders: Arc<Mutex<HashSet<String>>>,
}

impl Done {
    /// Whether it was not there before.
    fn insert(&self, order: &str) -> bool {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).insert(order.to_owned())
    }
}

impl RebalanceListener for Done {
    /// Before a partition is read: what does the log say of the orders that will come again?
    fn on_partitions_assigned(&self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> ottla::Result<()> {
        for partition in partitions {
            let committed = consumer.committed(partition)?.map_or(0, |committed| committed.offset());
            for record in self.topic.partition(partition.partition())?.iter_from(committed) {
                let record = record?;
                let is_of_stage = record.value().is_some_and(|value| value.starts_with(self.stage.as_bytes()));
                if let (true, Some(order)) = (is_of_stage, record.key()) {
                    self.insert(&String::from_utf8_lossy(order));
                }
            }
        }
        Ok(())
    }
}

/// The one member of a group, in its thread.
struct Worker {
    handle: ConsumerHandle,
    thread: JoinHandle<Result<usize>>,
}

impl Worker {
    fn start(broker: &Broker, step: Step) -> Result<Worker> {
        let done = Done { topic: broker.topic(TOPIC)?, stage: step.to, orders: Arc::default() };
        let config = ConsumerConfig::new(step.group).topics([TOPIC]).max_poll_records(50);
        let consumer = broker.consumer_with(config.rebalance_listener(done.clone()))?;
        let handle = consumer.handle();
        let thread = thread::Builder::new().name(step.group.to_owned()).spawn(move || work(step, consumer, &done))?;
        Ok(Worker { handle, thread })
    }

    /// Ends it between two polls; returns how many orders came to it again.
    fn stop(self) -> Result<usize> {
        self.handle.close();
        self.thread.join().map_err(|_| "a worker panicked")?
    }
}

/// Takes orders through a step until the consumer is closed, or until it dies; returns how many were done before.
fn work(step: Step, mut consumer: Consumer, done: &Done) -> Result<usize> {
    let (mut count, mut again) = (0, 0);
    loop {
        let records = match consumer.poll(PATIENCE) {
            Err(ottla::Error::Closed { .. }) => return Ok(again),
            records => records?,
        };
        for record in &records {
            let (order, (stage, cents)) = (record.key_str()?, parse(record.value_str()?)?);
            if stage != step.from {
                continue;
            }
            if !done.insert(order) {
                again += 1;
                continue;
            }
            thread::sleep(step.work);
            append(&done.topic, order, step.to, cents)?;
            count += 1;
            if step.dies_at == Some(count) {
                return Ok(again);
            }
        }
        consumer.commit()?;
    }
}

/// Follows all events without being in any group's way, and checks that each order goes through its stages once.
struct Board<'b> {
    broker: &'b Broker,
    consumer: Consumer,
    /// The stages that each order has reached.
    orders: BTreeMap<String, usize>,
    counts: [usize; 3],
    cents: [u64; 3],
}

impl<'b> Board<'b> {
    fn new(broker: &'b Broker) -> ottla::Result<Board<'b>> {
        let mut consumer = broker.consumer_with(ConsumerConfig::new("board"))?;
        consumer.assign(&(0..PARTITIONS).map(|n| TopicPartition::new(TOPIC, n)).collect::<Vec<_>>())?;
        Ok(Board { broker, consumer, orders: BTreeMap::new(), counts: [0; 3], cents: [0; 3] })
    }

    /// Whether all orders are shipped, and both groups have committed that.
    fn is_complete(&self) -> ottla::Result<bool> {
        Ok(self.counts == [ORDERS; 3] && self.lag(BILLING.group)? == 0 && self.lag(SHIPPING.group)? == 0)
    }

    fn lag(&self, group: &str) -> ottla::Result<u64> {
        Ok(self.broker.admin().describe_group(group)?.total_lag())
    }

    fn read(&mut self) -> Result<()> {
        let records = self.consumer.poll(Duration::from_millis(20))?;
        for record in &records {
            let (stage, cents) = parse(record.value_str()?)?;
            let reached = self.orders.entry(record.key_str()?.to_owned()).or_default();
            assert_eq!(STAGES.get(*reached), Some(&stage), "{}: no stage twice, none left out", record.key_str()?);
            if let (Some(count), Some(sum)) = (self.counts.get_mut(*reached), self.cents.get_mut(*reached)) {
                *count += 1;
                *sum += cents;
            }
            *reached += 1;
            if *reached == STAGES.len() && self.counts[2].is_multiple_of(50) {
                self.show()?;
            }
        }
        Ok(())
    }

    fn show(&self) -> ottla::Result<()> {
        for (stage, count) in STAGES.iter().zip(self.counts) {
            println!("{stage:>9} {count:>4} {}", "▇".repeat(count / 5));
        }
        println!("  events to read: billing {}, shipping {}", self.lag(BILLING.group)?, self.lag(SHIPPING.group)?);
        Ok(())
    }
}
