//! Orders as events: what an order is follows from its events alone, and a service that is restarted half-way acts on no command
//! twice.
//! Run it with `cargo run --release --example order_events`.
//! You will see that the second service is given commands that the first had dealt with, and that the log is as if nobody had died.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ottla::{Broker, ConsumerRecord, OwnedRecord, ProducerRecord, Topic, TopicConfig, TopicPartition};

/// What customers want. The key is the order, so the commands for one order are in one partition.
const COMMANDS: &str = "order-commands";
/// What has become of it. The events for the commands of `order-commands-2` are in `order-events-2`.
const EVENTS: &str = "order-events";
const PARTITIONS: u32 = 4;
const ORDERS: usize = 50;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let (calm, eventful) = (tempfile::tempdir()?, tempfile::tempdir()?);
    take_commands(calm.path())?;
    take_commands(eventful.path())?;

    println!("A service that dies before it has committed, and the next one");
    let died = Orders::serve(eventful.path(), Some(70))?;
    println!("the first:  {} events, nothing committed", died.appended);
    let resumed = Orders::serve(eventful.path(), None)?;
    println!("the second: {} events; it had {} commands again, and did nothing", resumed.appended, resumed.repeated);

    let undisturbed = Orders::serve(calm.path(), None)?;
    println!("\nThe orders");
    for status in ["placed", "paid", "shipped"] {
        let count = resumed.statuses.values().filter(|is| *is == status).count();
        println!("{status:>8} {count:>3} {}", "▇".repeat(count));
    }

    let (calm, eventful) = (all_events(calm.path())?, all_events(eventful.path())?);
    assert_eq!(eventful, calm, "the same events in the same order as if nobody had died");
    assert_eq!(resumed.statuses, undisturbed.statuses, "and so the same orders");
    assert_eq!(
        (died.appended, resumed.repeated),
        (70, 70),
        "the second service had to pass over all of the first one's"
    );
    assert_eq!(died.appended + resumed.appended, calm.len(), "each command has one event");
    Ok(())
}

/// Customers place all orders, pay for most, and want them shipped, some before they have paid.
fn take_commands(dir: &Path) -> Result<()> {
    let broker = Broker::open(dir)?;
    broker.topic_with(EVENTS, TopicConfig::new().partitions(PARTITIONS))?;
    let commands = broker.topic_with(COMMANDS, TopicConfig::new().partitions(PARTITIONS))?;
    for number in 0..ORDERS {
        let order = format!("order-{number}");
        commands.produce(&order, "place")?;
        if number % 5 > 0 {
            commands.produce(&order, "pay")?;
        }
        if number % 3 > 0 {
            commands.produce(&order, "ship")?;
        }
    }
    Ok(broker.close()?)
}

/// What a service knows: all of it from the events.
#[derive(Default)]
struct Orders {
    /// What each order is at present.
    statuses: BTreeMap<String, String>,
    /// Of each partition of commands, the first that no event is about.
    next_commands: BTreeMap<TopicPartition, u64>,
    appended: usize,
    repeated: usize,
}

impl Orders {
    /// The life of a service: it learns what there is, and deals with commands until there are no more, or until it dies.
    fn serve(dir: &Path, dies_after: Option<usize>) -> Result<Orders> {
        let broker = Broker::open(dir)?;
        let events = broker.existing_topic(EVENTS)?;
        let mut orders = Orders::default();
        for event in events.partitions().flat_map(|partition| partition.iter_from(0)) {
            orders.apply(&event?)?;
        }
        let mut consumer = broker.consumer("orders", [COMMANDS])?;
        loop {
            let commands = consumer.poll(Duration::ZERO)?;
            if commands.is_empty() {
                return Ok(orders);
            }
            for command in &commands {
                if dies_after == Some(orders.appended) {
                    return Ok(orders); // The consumer goes without a commit, as it does when its thread panics.
                }
                orders.handle(command, &events)?;
            }
            consumer.commit()?;
        }
    }

    /// Decides what a command leads to, and appends that as an event, together with the address of the command: in one record, so
    /// that both are there or neither.
    fn handle(&mut self, command: ConsumerRecord<'_>, events: &Topic) -> Result<()> {
        if self.next_commands.get(command.topic_partition()).is_some_and(|next| command.offset() < *next) {
            self.repeated += 1;
            return Ok(());
        }
        let event = match (self.statuses.get(command.key_str()?).map(String::as_str), command.value_str()?) {
            (None, "place") => "placed",
            (Some("placed"), "pay") => "paid",
            (Some("paid"), "ship") => "shipped",
            _ => "refused",
        };
        let address = command.address().to_string();
        let partition = events.partition(command.partition())?;
        let record = ProducerRecord::new().key(command.key()).value(event).header("command", &address);
        let offset = partition.append(&record)?;
        self.appended += 1;
        self.apply(&partition.get(offset)?.ok_or("an event that was appended is not there")?)
    }

    /// Takes in an event, be it new or from an earlier life: this is the one place where an order changes.
    fn apply(&mut self, event: &OwnedRecord) -> Result<()> {
        if event.value_str()? != "refused" {
            self.statuses.insert(event.key_str()?.to_owned(), event.value_str()?.to_owned());
        }
        let command = event.header("command").ok_or("an event without a command")?;
        let (partition, offset) = command.value_str()?.split_once('@').ok_or("an address without an offset")?;
        self.next_commands.insert(partition.parse()?, offset.parse::<u64>()? + 1);
        Ok(())
    }
}

/// Key and value of every event, partition by partition.
fn all_events(dir: &Path) -> Result<Vec<(String, String)>> {
    let events = Broker::open_read_only(dir)?.existing_topic(EVENTS)?;
    let of_all = events.partitions().flat_map(|partition| partition.iter_from(0));
    of_all.map(|event| event.map(|event| Ok((event.key_str()?.to_owned(), event.value_str()?.to_owned())))?).collect()
}
