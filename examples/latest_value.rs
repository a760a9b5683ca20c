//! A table of prices that is written as a log: the last record of a product is its price, and compaction removes the others.
//! Run it with `cargo run --release --example latest_value`.
//! You will see what is left of 50,000 changes of 1,000 prices, and that the table is the same before and after.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{Broker, CleanupPolicy, Durability, PartitionDescription, ProducerRecord, TopicConfig};

const PRICES: &str = "prices";
const PRODUCTS: u64 = 1000;
const CHANGES: u64 = 50_000;
const BATCH: u64 = 500;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Table = BTreeMap<String, String>;

fn main() -> Result<()> {
    let broker = Broker::temporary()?;
    let config = TopicConfig::new()
        .cleanup_policy(CleanupPolicy::Compact)
        // Only closed segments are compacted, so they are small here.
        .segment_bytes(128 << 10)
        // Who reads the whole log within this time learns of every product that was taken off the list.
        .delete_retention_ms(Duration::from_secs(60))
        .durability(Durability::Os);
    let prices = broker.create_topic(PRICES, config)?;

    let expected = change_prices(&broker)?;
    // Compaction comes by itself, in the background, whenever half of the log is new: some of it may have come already.
    let (table, read) = read_table(&broker)?;
    println!("sent {CHANGES} changes; {read} records are there, in {} KiB", log_kib(&broker)?);
    assert_eq!(table, expected, "what the log says is what was sent");

    // Here it comes now, for whatever is in closed segments.
    let report = broker.admin().compact(PRICES)?;
    println!("{report}");

    let (table, left) = read_table(&broker)?;
    println!("{} prices in {left} records, in {} KiB", table.len(), log_kib(&broker)?);
    assert_eq!(table, expected, "no price is lost, and no old one is back");
    assert!(left < CHANGES / 4, "what later prices replaced is gone");

    // Offsets stay as they were, so whoever follows the changes goes on where they stood.
    let end = prices.partition(0)?.log_end_offset();
    assert_eq!(end, CHANGES, "the log ends where it did");
    prices.produce("product-0007", "9.99")?;
    let record = prices.partition(0)?.get(end)?.ok_or("the change that was just sent is missing")?;
    println!(
        "\nand on it goes: {}@{} {} costs {}",
        record.topic_partition(),
        record.offset(),
        record.key_str()?,
        record.value_str()?
    );
    broker.close()?;
    Ok(())
}

/// Sends the changes of all prices; every fiftieth takes a product off the list. Returns the table that is to come out.
fn change_prices(broker: &Broker) -> Result<Table> {
    let producer = broker.producer();
    let mut table = Table::new();
    for batch in 0..CHANGES / BATCH {
        let mut records = Vec::new();
        for change in batch * BATCH..(batch + 1) * BATCH {
            let product = format!("product-{:04}", change * 7919 % PRODUCTS);
            let record = ProducerRecord::to(PRICES).key(product.clone());
            if change % 50 == 49 {
                // A record without a value deletes its key.
                table.remove(&product);
                records.push(record);
            } else {
                let price = format!("{}.{:02}", change / 1000, change % 100);
                table.insert(product, price.clone());
                records.push(record.value(price));
            }
        }
        producer.send_batch(PRICES, &records)?;
    }
    Ok(table)
}

/// The table as the log has it, from the first record to the last, and how many records that are.
fn read_table(broker: &Broker) -> Result<(Table, u64)> {
    let (mut table, mut read) = (Table::new(), 0);
    for record in broker.existing_topic(PRICES)?.partition(0)?.iter_from(0) {
        let record = record?;
        let product = record.key_str()?.to_owned();
        match record.value() {
            Some(_) => table.insert(product, record.value_str()?.to_owned()),
            None => table.remove(&product),
        };
        read += 1;
    }
    Ok((table, read))
}

fn log_kib(broker: &Broker) -> Result<u64> {
    let description = broker.admin().describe(PRICES)?;
    Ok(description.partitions().iter().map(PartitionDescription::log_bytes).sum::<u64>() >> 10)
}
