//! Makes the golden directories of this version, in a new place: those that were released are never written again.
//!
//! On the simulated disk, so that the same bytes come of it each time.

use std::path::Path;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, CommittedOffset, Compression, ConsumerConfig, Durability, Error, Header, ProducerRecord, Result,
    TopicConfig, TopicPartition,
};

use crate::image::{self, DATA};
use crate::listing;

const SEED: u64 = 1;
const DAY: Duration = Duration::from_secs(24 * 3600);
const ZERO: Duration = Duration::ZERO;

/// A step, for which the broker is opened.
type Fill = fn(&Broker, &SimulatedDisk) -> Result<()>;

/// Makes both directories and their listings in `dir`.
pub(crate) fn generate(dir: &Path) -> Result<()> {
    let disk = SimulatedDisk::new(SEED);
    // A close seals what is open: so there are more batches, of one record and of several.
    let orders: [Fill; 7] =
        [fill_orders, fill_orders, fill_orders, fill_orders, fill_orders, fill_orders, add_partition];
    let others: [Fill; 6] = [fill_events, delete_a_topic, commit_often, supersede, supersede, let_go];
    for fill in orders.into_iter().chain(others) {
        let broker = open(&disk)?;
        fill(&broker, &disk)?;
        broker.close()?;
    }
    let listed = listing::of(&open(&disk.kill(SEED))?)?;
    keep(dir, "clean", &disk, &listed);

    let broker = open(&disk)?;
    let _consumer = fill_tails(&broker, &disk)?;
    let listed = listing::of(&broker)?;
    keep(dir, "killed", &disk.kill(SEED), &listed);
    Ok(())
}

fn keep(dir: &Path, name: &str, disk: &SimulatedDisk, listed: &str) {
    image::save(&dir.join(name), &image::of_disk(disk, |_| true));
    std::fs::write(dir.join(name).with_extension("txt"), listed).unwrap();
}

fn open(disk: &SimulatedDisk) -> Result<Broker> {
    Broker::builder(DATA).disk(disk).background(false).open()
}

/// Segments of about a kilobyte, with an entry in the indexes for almost every batch.
fn small() -> TopicConfig {
    TopicConfig::new().segment_bytes(1024).index_interval_bytes(100)
}

/// Digits that do not compress to nothing.
fn filler(seed: u64, digits: usize) -> String {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    let states = std::iter::successors(Some(seed + 1), next).skip(1);
    states.map(|state| char::from(b'0' + (state >> 60) as u8 % 10)).take(digits).collect()
}

/// Records one by one and in batches, with keys, values and headers and without, in a batch or two at a time.
fn fill_orders(broker: &Broker, disk: &SimulatedDisk) -> Result<()> {
    let first = match broker.create_topic("orders", small()) {
        Err(Error::TopicExists { .. }) => broker.topic("orders"),
        created => created,
    };
    let first = first?.partition(0)?;
    for n in (first.log_end_offset()..).take(4) {
        disk.advance(Duration::from_millis(250));
        let (key, value) = (format!("customer-{}", n % 3), format!("{n} coffees {}", filler(n, 60)));
        let order = ProducerRecord::to("orders");
        match n % 4 {
            0 => first.append(&order.key(&key).value(&value).header("trace", &n.to_be_bytes()).null_header("empty"))?,
            1 => first.append_batch(&[order.key(&key)])?.start,
            2 => first.append(&order.value(&value))?,
            _ => {
                let pair = [order.clone().key(&key).value(&value), order.key("").value("").header("", "")];
                first.append_batch(&pair)?.start
            }
        };
    }
    Ok(())
}

fn add_partition(broker: &Broker, _: &SimulatedDisk) -> Result<()> {
    broker.admin().add_partitions("orders", 2)?;
    let second = broker.topic("orders")?.partition(1)?;
    for n in 0..5_u64 {
        let value = format!("to go {n} {}", filler(n, 120));
        second.append_batch(&[ProducerRecord::to("orders").value(&value), ProducerRecord::to("orders").key("k")])?;
    }
    Ok(())
}

/// Compressed batches.
fn fill_events(broker: &Broker, disk: &SimulatedDisk) -> Result<()> {
    let config = small().compression(Compression::Snappy).durability(Durability::Os);
    let events = broker.create_topic("events.snappy", config)?.partition(0)?;
    for n in 0..7_u64 {
        disk.advance(Duration::from_secs(1));
        let value = format!("clicked {n} {}", filler(n, 200));
        let headers = [Header::new("page", b"/"), Header::null("referrer")];
        let event = || ProducerRecord::to("events.snappy").value(&value).headers(&headers);
        events.append_batch(&[event(), event().key("user"), event()])?;
    }
    Ok(())
}

fn delete_a_topic(broker: &Broker, _: &SimulatedDisk) -> Result<()> {
    broker.create_topic("gone", TopicConfig::new())?.produce("key", "value")?;
    broker.admin().delete_topic("gone")
}

fn orders(number: u32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

/// Three groups, of which one leaves nothing.
fn commit_often(broker: &Broker, _: &SimulatedDisk) -> Result<()> {
    let mut billing = broker.consumer("billing", ["orders"])?;
    billing.poll(ZERO)?;
    for offset in 1..6 {
        let committed = CommittedOffset::new(offset).with_metadata(format!("invoice {offset}"));
        billing.commit_offsets(&[(orders(0), committed)])?;
    }
    drop(broker.consumer("forgotten", ["orders"])?);
    let audit = ConsumerConfig::new("audit").topics(["orders", "events.snappy"]).group_instance_id("auditor-1");
    let mut audit = broker.consumer_with(audit)?;
    while !audit.poll(ZERO)?.is_empty() {}
    audit.commit()
}

/// Commits after the segment of the offsets topic is to roll by its age, so that what was sealed is compacted.
fn supersede(broker: &Broker, disk: &SimulatedDisk) -> Result<()> {
    disk.advance(8 * DAY);
    let mut billing = broker.consumer("billing", ["orders"])?;
    billing.poll(ZERO)?;
    billing.commit_offsets(&[(orders(0), CommittedOffset::new(7).with_metadata("invoice 7"))])?;
    broker.flush()?;
    billing.close()?;
    broker.run_maintenance()?;
    broker.run_maintenance()
}

fn let_go(broker: &Broker, _: &SimulatedDisk) -> Result<()> {
    let mut billing = broker.consumer("billing", ["orders"])?;
    billing.poll(ZERO)?;
    billing.commit_offsets(&[(orders(1), CommittedOffset::new(4))])?;
    billing.close()
}

/// What a killed broker leaves: an open batch for some partitions, in both tails, and commits in the offsets topic.
fn fill_tails(broker: &Broker, disk: &SimulatedDisk) -> Result<ottla::Consumer> {
    for n in 0..3_u64 {
        disk.advance(Duration::from_millis(10));
        let value = format!("late {n}");
        let partition = broker.topic("orders")?.partition(0)?;
        partition.append(&ProducerRecord::to("orders").key("late").value(&value).header("trace", "t"))?;
        let partition = broker.topic("events.snappy")?.partition(0)?;
        partition.append(&ProducerRecord::to("events.snappy").value(&value))?;
    }
    // Sealed by a roll and not yet synced: above the recovery point.
    let second = broker.topic("orders")?.partition(1)?;
    second.append(&ProducerRecord::to("orders").value("sealed late"))?;
    disk.advance(8 * DAY);
    second.append(&ProducerRecord::to("orders").value("still open"))?;
    let mut billing = broker.consumer("billing", ["orders"])?;
    billing.poll(ZERO)?;
    let committed = CommittedOffset::new(9).with_metadata("invoice 9");
    billing.commit_offsets(&[(orders(0), committed)])?;
    Ok(billing)
}
