//! Orders become payments exactly once: three workers charge customers in transactions, and the process is killed over and over.
//! Run it with `cargo run --release --example orders_and_payments`; `OTTLA_EXAMPLE_KILLS=100` kills it more often.
//! You will see what each life of the service finds to do, and that at the end every order has one outcome and no cent is missing.

mod killing;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use killing::{Life, Random, Result};
use ottla::{
    Broker, Consumer, Error, OwnedRecord, Producer, ProducerRecord, TopicConfig, Transaction, TransactionalProducer,
};

/// What customers want: the price of each item, in cents.
const ORDERS: &str = "orders";
/// What they have paid; and the orders that were refused.
const PAYMENTS: &str = "payments";
const REFUSALS: &str = "refusals";
/// The accounts: what one of them loses, another one gets.
const LEDGER: &str = "ledger";
/// The account that gets what customers pay.
const SHOP: &str = "shop";

const GROUP: &str = "cashiers";
const WORKERS: u32 = 3;
/// Nobody may buy an item that costs more, in cents.
const PRICE_MAX: i64 = 9_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    if let Some(life) = Life::of_child() {
        return serve(&life);
    }
    let dir = tempfile::tempdir()?;
    killing::kill_over_and_over(dir.path(), 8, || Ok(()))?;
    check(dir.path())
}

/// One life of the service: customers order until it is killed. In its last life it ends when all orders are settled.
fn serve(life: &Life) -> Result<()> {
    let broker = Broker::open(&life.dir)?;
    for topic in [ORDERS, PAYMENTS, REFUSALS, LEDGER] {
        broker.topic_with(topic, TopicConfig::new().partitions(4))?;
    }
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let consumer = broker.consumer(GROUP, [ORDERS])?;
        // Each worker has a name of its own. Whoever has it next fences the one before, and ends what that had begun.
        let cashier = broker.transactional_producer(&format!("cashier-{number}"))?;
        workers.push((consumer.handle(), thread::spawn(move || work(consumer, cashier))));
    }
    let to_settle = || Ok::<_, Error>(broker.admin().describe_group(GROUP)?.total_lag());
    killing::begin(&format!("finds {} orders to settle", to_settle()?));

    let (producer, mut random) = (broker.producer(), life.random());
    while !life.is_last() {
        order(&producer, &mut random)?;
    }
    while to_settle()? > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    for (handle, thread) in workers {
        handle.close();
        thread.join().map_err(|_| "a worker panicked")??;
    }
    Ok(broker.close()?)
}

/// Some customers order, each of them one to three items.
fn order(producer: &Producer, random: &mut Random) -> ottla::Result<()> {
    let mut orders = Vec::new();
    for _ in 0..3 {
        let prices: Vec<String> = (0..=random.below(3)).map(|_| (1 + random.below(10_000)).to_string()).collect();
        let customer = format!("customer-{}", random.below(20));
        orders.push(ProducerRecord::to(ORDERS).key(customer).value(prices.join(" ")));
    }
    producer.send_batch(ORDERS, &orders).map(drop)
}

/// Settles one order after the other, until the consumer is closed.
fn work(mut consumer: Consumer, mut cashier: TransactionalProducer) -> Result<()> {
    loop {
        let record = match consumer.next_record(PATIENCE) {
            Ok(Some(record)) => record,
            Ok(None) => continue,
            Err(Error::Closed { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let order = Order::read(&record)?;
        match settle(&order, &consumer, &mut cashier) {
            // The partition went to another worker meanwhile, say. Nothing was done, and the order comes again: here, or there.
            Err(error) if !error.is_fatal() => consumer.seek_to_committed()?,
            settled => settled?,
        }
    }
}

/// Charges for an order or refuses it, and moves the group on: all in one transaction.
fn settle(order: &Order, consumer: &Consumer, cashier: &mut TransactionalProducer) -> ottla::Result<()> {
    let mut transaction = cashier.begin()?;
    if let Err(Refused(reason)) = charge(order, &transaction)? {
        // Of what was charged for the items before, nothing is left.
        transaction.abort()?;
        transaction = cashier.begin()?;
        let refusal = ProducerRecord::to(REFUSALS).key(&order.customer).value(reason);
        transaction.send(refusal.header("order", &order.id))?;
    }
    transaction.send_offsets(consumer)?;
    transaction.commit()
}

/// Why somebody is not to buy what they have ordered.
struct Refused(String);

/// Writes down who pays for each item, and then the payment.
fn charge(order: &Order, transaction: &Transaction<'_>) -> ottla::Result<std::result::Result<(), Refused>> {
    for &price in &order.prices {
        if price > PRICE_MAX {
            return Ok(Err(Refused(format!("an item for {}", euros(price)))));
        }
        for (account, amount) in [(order.customer.as_str(), -price), (SHOP, price)] {
            transaction.send(ProducerRecord::to(LEDGER).key(account).value(amount.to_string()))?;
        }
    }
    let payment = ProducerRecord::to(PAYMENTS).key(&order.customer).value(order.total().to_string());
    transaction.send(payment.header("order", &order.id))?;
    Ok(Ok(()))
}

struct Order {
    /// Where it stands, which is a name that no other has.
    id: String,
    customer: String,
    /// Of each item, in cents.
    prices: Vec<i64>,
}

impl Order {
    fn read(record: &OwnedRecord) -> Result<Order> {
        let prices = record.value_str()?.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        Ok(Order { id: record.address().to_string(), customer: record.key_str()?.to_owned(), prices })
    }

    fn total(&self) -> i64 {
        self.prices.iter().sum()
    }
}

fn euros(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}

/// Every order was paid or refused, once; and of the money that was paid no cent is missing, and none is too much.
fn check(dir: &Path) -> Result<()> {
    let broker = Broker::open_read_only(dir)?;
    let read = |topic| {
        let partitions = broker.existing_topic(topic)?.partitions();
        partitions.flat_map(|partition| partition.iter_from(0)).collect::<ottla::Result<Vec<_>>>()
    };
    let mut open = BTreeMap::new();
    for order in &read(ORDERS)? {
        let order = Order::read(order)?;
        open.insert(order.id.clone(), order);
    }
    let (order_count, payments, refusals) = (open.len(), read(PAYMENTS)?, read(REFUSALS)?);
    // What was paid, less what the ledger says of it.
    let mut accounts = BTreeMap::<String, i64>::new();
    for payment in &payments {
        let order = settled(payment, &mut open)?;
        assert_eq!(cents(payment)?, order.total(), "{} pays what was ordered", order.customer);
        assert!(order.prices.iter().all(|price| *price <= PRICE_MAX), "what is to be refused is not paid");
        *accounts.entry(order.customer).or_default() -= cents(payment)?;
        *accounts.entry(SHOP.to_owned()).or_default() += cents(payment)?;
    }
    for refusal in &refusals {
        let order = settled(refusal, &mut open)?;
        assert!(order.prices.iter().any(|price| *price > PRICE_MAX), "what is to be paid is not refused");
    }
    assert!(open.is_empty(), "no order is lost: {:?}", open.keys());
    println!("{order_count} orders: {} paid, {} refused, none both or twice", payments.len(), refusals.len());

    let (entries, income) = (read(LEDGER)?, accounts.get(SHOP).copied().unwrap_or_default());
    for entry in &entries {
        *accounts.entry(entry.key_str()?.to_owned()).or_default() -= cents(entry)?;
    }
    assert!(accounts.values().all(|difference| *difference == 0), "the ledger says what was paid: {accounts:?}");
    println!("{} entries in the ledger: the shop got {}, and the customers paid that", entries.len(), euros(income));
    Ok(())
}

/// The order that a payment or a refusal is for, which is open no more.
fn settled(record: &OwnedRecord, open: &mut BTreeMap<String, Order>) -> Result<Order> {
    let id = record.header("order").ok_or("a record that belongs to no order")?;
    let order = open.remove(id.value_str()?);
    Ok(order.ok_or_else(|| format!("{id:?} is settled twice, or was never ordered"))?)
}

fn cents(record: &OwnedRecord) -> Result<i64> {
    Ok(record.value_str()?.parse()?)
}
