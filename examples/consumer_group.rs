//! Three members of a group share six partitions of orders: they join, leave, and one of them dies with work in its hands.
//! Run it with `cargo run --release --example consumer_group`.
//! You will see who gives up and gets which partitions, and a bar for what is left to do in each; every order is prepared.
//!
//! Bob's death is staged: he drops his consumer without a commit, as a thread that panics does.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ottla::{
    Broker, Consumer, ConsumerConfig, ConsumerHandle, GroupDescription, GroupPartition, GroupState, ProducerRecord,
    Rebalance, TopicConfig, TopicPartition,
};

const TOPIC: &str = "orders";
const GROUP: &str = "baristas";
const PARTITIONS: u32 = 6;
/// What it takes to prepare an order.
const WORK: Duration = Duration::from_millis(1);
/// Orders that a member takes at once, and commits together.
const TRAY: u32 = 10;
/// Longer than anything here takes; whoever waits so long is told that it failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::temporary()?;
    broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS))?;
    let mut cafe = Cafe::open(&broker);

    heading("Nobody dies: every order is prepared exactly once, although its partition moves");
    cafe.order(120)?;
    let ann = cafe.hire("ann")?;
    cafe.wait_until_divided_by(1)?;
    let bob = cafe.hire("bob")?;
    cafe.wait_until_divided_by(2)?;
    cafe.order(120)?;
    let cleo = cafe.hire("cleo")?;
    cafe.wait_until_divided_by(3)?;
    cafe.order(120)?;
    ann.leave()?;
    cafe.wait_until_divided_by(2)?;
    cafe.wait_until_done()?;
    assert!(cafe.prepared.values().all(|&times| times == 1), "each order exactly once");

    heading("Bob dies with a tray in his hands: what he had not committed is prepared again");
    bob.dies.store(true, Ordering::Relaxed);
    cafe.order(240)?;
    bob.thread.join().map_err(|_| "bob panicked")??;
    cafe.wait_until_divided_by(1)?;
    cafe.wait_until_done()?;
    let twice = cafe.prepared.values().filter(|&&times| times == 2).count();
    assert_eq!(twice, TRAY as usize / 2, "half a tray: what bob had prepared since his last commit");
    assert!(cafe.prepared.values().all(|&times| times == 1 || times == 2));

    cleo.leave()?;
    let group = broker.admin().describe_group(GROUP)?;
    assert_eq!((group.state(), group.total_lag()), (GroupState::Empty, 0));
    heading("All have gone home");
    println!("  {} orders prepared, {twice} of them twice, none lost", cafe.prepared.len());
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// What the members tell while they work.
enum Event {
    Gets(&'static str, Vec<TopicPartition>),
    GivesUp(&'static str, Vec<TopicPartition>),
    Prepared(TopicPartition, u64),
    Committed,
    Dies(&'static str),
}

/// Watches the group from outside, as a tool would.
struct Cafe<'b> {
    broker: &'b Broker,
    /// The members' names, by the ids that the group has given them.
    names: HashMap<String, &'static str>,
    /// Who has which partition, as the members tell.
    owners: BTreeMap<TopicPartition, &'static str>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    ordered: usize,
    /// How often each order was prepared.
    prepared: BTreeMap<(TopicPartition, u64), u32>,
}

impl<'b> Cafe<'b> {
    fn open(broker: &'b Broker) -> Cafe<'b> {
        let (sender, events) = channel();
        let (names, owners, prepared) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Cafe { broker, names, owners, sender, events, ordered: 0, prepared }
    }

    fn order(&mut self, count: usize) -> ottla::Result<()> {
        let customers: Vec<_> = (0..count).map(|n| format!("customer-{n}")).collect();
        let orders: Vec<_> = customers.iter().map(|name| ProducerRecord::to(TOPIC).key(name).value("coffee")).collect();
        self.broker.producer().send_batch(TOPIC, &orders)?;
        self.ordered += count;
        Ok(())
    }

    /// A new member of the group, in a thread of its own.
    fn hire(&mut self, name: &'static str) -> Result<Member, Box<dyn Error>> {
        let teller = self.sender.clone();
        let config = ConsumerConfig::new(GROUP).topics([TOPIC]).max_poll_records(TRAY).rebalance_listener(
            move |_: &mut Consumer, event: Rebalance<'_>| {
                // Nothing to commit here: all that was polled before has been.
                let _ = teller.send(match event {
                    Rebalance::Assigned(partitions) => Event::Gets(name, partitions.to_vec()),
                    Rebalance::Revoked(partitions) => Event::GivesUp(name, partitions.to_vec()),
                    _ => unreachable!("nobody is late, and nobody resets offsets"),
                });
                Ok(())
            },
        );
        let consumer = self.broker.consumer_with(config)?;
        self.names.extend(consumer.member_id().map(|id| (id.to_owned(), name)));
        let (handle, dies) = (consumer.handle(), Arc::<AtomicBool>::default());
        let work = Work { name, dies: Arc::clone(&dies), teller: self.sender.clone() };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work.run(consumer))?;
        Ok(Member { handle, dies, thread })
    }

    /// Follows the members until so many share all partitions, and shows what came of it.
    fn wait_until_divided_by(&mut self, member_count: usize) -> Result<(), Box<dyn Error>> {
        self.wait_until(|cafe, group| {
            let is_told = |row: &GroupPartition| cafe.owners.get(row.topic_partition()) == cafe.owner(row);
            let is_divided = group.state() == GroupState::Stable && group.members().len() == member_count;
            is_divided && group.partitions().iter().all(is_told)
        })
    }

    /// Follows the members until all that was ordered is committed, and shows that.
    fn wait_until_done(&mut self) -> Result<(), Box<dyn Error>> {
        self.wait_until(|_, group| group.total_lag() == 0)?;
        assert_eq!(self.prepared.len(), self.ordered, "each order at least once");
        Ok(())
    }

    fn wait_until(&mut self, is_so: impl Fn(&Cafe<'_>, &GroupDescription) -> bool) -> Result<(), Box<dyn Error>> {
        loop {
            let group = self.broker.admin().describe_group(GROUP)?;
            // What members did for it to be so, they have told before.
            while let Ok(event) = self.events.try_recv() {
                self.note(event);
            }
            if is_so(self, &group) {
                self.show(&group);
                return Ok(());
            }
            let event = self.events.recv_timeout(PATIENCE)?;
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Gets(name, partitions) => {
                println!("  {name} gets {}", addresses(&partitions));
                self.owners.extend(partitions.into_iter().map(|partition| (partition, name)));
            }
            Event::GivesUp(name, partitions) => {
                println!("  {name} gives up {}", addresses(&partitions));
                self.owners.retain(|partition, _| !partitions.contains(partition));
            }
            Event::Prepared(partition, offset) => *self.prepared.entry((partition, offset)).or_default() += 1,
            Event::Committed => {}
            Event::Dies(name) => println!("  {name} dies"),
        }
    }

    fn owner(&self, row: &GroupPartition) -> Option<&&'static str> {
        self.names.get(row.owner()?)
    }

    /// Prints whose the partitions are, and a bar for what is left to do in each.
    fn show(&self, group: &GroupDescription) {
        println!("  generation {}, {:?}, {} orders to do", group.generation(), group.state(), group.total_lag());
        for row in group.partitions() {
            let owner = self.owner(row).unwrap_or(&"-");
            let bar = "▇".repeat(usize::try_from(row.lag().div_ceil(2)).unwrap_or_default());
            println!("    {} {owner:<5} {:>3} {bar}", row.topic_partition(), row.lag());
        }
    }
}

fn addresses(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(" ")
}

/// A member of the group, seen from outside its thread.
struct Member {
    handle: ConsumerHandle,
    dies: Arc<AtomicBool>,
    thread: JoinHandle<ottla::Result<()>>,
}

impl Member {
    /// Has it end what it is doing, commit, and give its partitions to the others.
    fn leave(self) -> Result<(), Box<dyn Error>> {
        self.handle.close();
        Ok(self.thread.join().map_err(|_| "a member panicked")??)
    }
}

/// A member of the group, in its thread.
struct Work {
    name: &'static str,
    dies: Arc<AtomicBool>,
    teller: Sender<Event>,
}

impl Work {
    /// Prepares orders until someone closes the consumer, or until it dies.
    fn run(self, mut consumer: Consumer) -> ottla::Result<()> {
        loop {
            // Partitions come and go only in here, so what it returns can be committed until the next call.
            let orders = match consumer.poll(PATIENCE) {
                Err(ottla::Error::Closed { .. }) => return Ok(()),
                orders => orders?,
            };
            for (n, order) in (0..).zip(&orders) {
                if n == TRAY / 2 && self.dies.load(Ordering::Relaxed) {
                    self.tell(Event::Dies(self.name));
                    // The consumer is dropped here, without a commit: that is how the group learns of it.
                    return Ok(());
                }
                thread::sleep(WORK);
                self.tell(Event::Prepared(order.topic_partition().clone(), order.offset()));
            }
            consumer.commit()?;
            self.tell(Event::Committed);
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more only when the example has failed.
        let _ = self.teller.send(event);
    }
}
