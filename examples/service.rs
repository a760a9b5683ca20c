//! A service under tokio: customers order over TCP, an answer means that the order is safe, and a worker writes the bills. It is
//! shut down while customers are still ordering, and started again.
//! Run it with `cargo run --release --example service`.
//! You will see what was answered until the end, what the next start has left to do, and that every order has one bill.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ottla::{Broker, Consumer, ConsumerConfig, ConsumerRecord, Error, Producer, ProducerRecord, Result, TopicConfig};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

const ORDERS: &str = "orders";
const BILLS: &str = "bills";
const BILLING: &str = "billing";

type AnyResult<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> AnyResult<()> {
    let dir = tempfile::tempdir()?;
    println!("The first run is shut down when one customer goes, while others still order");
    let (broker, listener) = open(dir.path()).await?;
    let service = listener.local_addr()?;
    let mut customers = JoinSet::new();
    for number in 1..8 {
        customers.spawn(order(service, format!("customer-{number}"), usize::MAX));
    }
    // In life it is `tokio::signal::ctrl_c()` that ends a service.
    let mut answered = serve(broker, listener, order(service, "customer-0".to_owned(), 25)).await?;
    for customer in customers.join_all().await {
        answered.append(&mut customer?);
    }
    println!("  {} orders were answered", answered.len());

    println!("The second run is shut down when all orders have their bills");
    let (broker, listener) = open(dir.path()).await?;
    serve(broker.clone(), listener, wait_for_bills(broker)).await?;

    let broker = Broker::open_read_only(dir.path())?;
    let mut orders = BTreeSet::new();
    for order in broker.existing_topic(ORDERS)?.partitions().flat_map(|partition| partition.iter_from(0)) {
        let order = order?;
        orders.insert(order.address().to_string());
    }
    let mut bills = Vec::new();
    for bill in broker.existing_topic(BILLS)?.partition(0)?.iter_from(0) {
        bills.push(bill?.value_str()?.to_owned());
    }
    println!("  {} orders, {} bills at the end", orders.len(), bills.len());
    assert!(answered.is_subset(&orders), "what was answered is there");
    assert_eq!(bills.len(), orders.len(), "no order has two bills");
    assert_eq!(BTreeSet::from_iter(bills), orders, "and each has one");
    Ok(())
}

/// The log and the port of the service, both ready.
async fn open(dir: &Path) -> AnyResult<(Broker, TcpListener)> {
    let broker = Broker::open(dir)?;
    broker.topic_with(ORDERS, TopicConfig::new().partitions(4))?;
    broker.topic(BILLS)?;
    Ok((broker, TcpListener::bind("127.0.0.1:0").await?))
}

/// Completes when there is nothing left to do; also what a health check would look at.
async fn wait_for_bills(broker: Broker) -> AnyResult<()> {
    while broker.admin().describe_group(BILLING)?.total_lag() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let health = broker.admin().health();
    if health.is_healthy() { Ok(()) } else { Err(health.to_string().into()) }
}

/// The life of the service, until `stop` completes; returns what that returns.
async fn serve<T>(broker: Broker, listener: TcpListener, stop: impl Future<Output = AnyResult<T>>) -> AnyResult<T> {
    let consumer = broker.consumer_with(ConsumerConfig::new(BILLING).topics([ORDERS]).max_poll_records(10))?;
    let (billing, producer) = (consumer.handle(), broker.producer());
    println!("  {} orders to bill at the start", broker.admin().describe_group(BILLING)?.total_lag());
    // Bills and commits wait for the disk, so they have a thread that may wait.
    let worker = spawn_blocking(move || bill(consumer, &producer));

    let (stopping, is_stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let stopped = loop {
        tokio::select! {
            accepted = listener.accept() => drop(connections.spawn(answer(accepted?.0, broker.producer(), is_stopping.clone()))),
            Some(ended) = connections.join_next() => ended??,
            stopped = &mut stop => break stopped,
        }
    };

    // Nothing more is asked for, what was asked for is answered, the worker ends between two polls, and then the log is closed.
    drop(listener);
    stopping.send_replace(true);
    connections.join_all().await.into_iter().collect::<AnyResult<()>>()?;
    billing.close();
    worker.await??;
    spawn_blocking(move || broker.close()).await??;
    stopped
}

/// Answers one request after the other, each a line, until the customer hangs up or the service is to end.
async fn answer(stream: TcpStream, producer: Producer, mut is_stopping: watch::Receiver<bool>) -> AnyResult<()> {
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests).lines();
    loop {
        let request = tokio::select! {
            request = requests.next_line() => request?,
            _ = is_stopping.changed() => None,
        };
        let Some(order) = request else { return Ok(()) };
        // Those that wait at the same time share a sync: the more customers there are, the less each waits.
        let sent = producer.send_async(ProducerRecord::to(ORDERS).value(order))?.await?;
        answers.write_all(format!("{sent}\n").as_bytes()).await?;
    }
}

/// Writes a bill for each order, until the consumer is closed.
fn bill(mut consumer: Consumer, producer: &Producer) -> Result<()> {
    loop {
        let orders = match consumer.poll(Duration::from_secs(60)) {
            Err(Error::Closed { .. }) => return Ok(()),
            orders => orders?,
        };
        thread::sleep(Duration::from_millis(2)); // What a bill takes.
        let address = |order: ConsumerRecord<'_>| order.address().to_string();
        let bills: Vec<_> = orders.iter().map(|order| ProducerRecord::new().value(address(order))).collect();
        producer.send_batch(BILLS, &bills)?;
        consumer.commit()?;
    }
}

/// A customer, who orders until there was `count` times an answer, or until the service hangs up; returns the answers.
async fn order(service: SocketAddr, customer: String, count: usize) -> AnyResult<BTreeSet<String>> {
    let (answers, mut requests) = TcpStream::connect(service).await?.into_split();
    let mut answers = BufReader::new(answers).lines();
    let mut answered = BTreeSet::new();
    while answered.len() < count && requests.write_all(format!("coffee for {customer}\n").as_bytes()).await.is_ok() {
        let Ok(Some(address)) = answers.next_line().await else { break };
        answered.insert(address);
    }
    Ok(answered)
}
