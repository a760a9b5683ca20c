//! Sends five orders and reads them back, then remembers where it stopped: the whole of Ottla in one screen.
//! Run it with `cargo run --release --example quickstart [directory]`, and then once more.
//! You will see five orders; the second time five more, and none of the first ones again.

use std::path::PathBuf;
use std::time::Duration;

use ottla::Broker;

const ORDERS_PER_RUN: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default_dir = || std::env::temp_dir().join("ottla-quickstart");
    let dir = std::env::args_os().nth(1).map_or_else(default_dir, PathBuf::from);
    let broker = Broker::open(&dir)?;
    let orders = broker.topic("orders")?;
    let first = orders.partition(0)?.log_end_offset();
    println!("{}: {first} orders from earlier runs\n", dir.display());

    // When `produce` returns, the order survives a power cut: that is the default.
    for number in first..first + ORDERS_PER_RUN {
        let sent = orders.produce(format!("customer-{}", number % 3), format!("{} coffees", number + 1))?;
        println!("sent     {sent}");
    }

    let mut consumer = broker.consumer("billing", ["orders"])?;
    let mut received = Vec::new();
    while (received.len() as u64) < ORDERS_PER_RUN {
        let records = consumer.poll(Duration::from_secs(10))?;
        if records.is_empty() {
            return Err("an order that was sent did not arrive".into());
        }
        for record in &records {
            println!("received {} {}: {}", record.address(), record.key_str()?, record.value_str()?);
            received.push(record.offset());
        }
    }
    // The group's position is a record too: the next run begins behind it.
    consumer.commit()?;

    assert!(received.iter().copied().eq(first..first + ORDERS_PER_RUN), "each new order once, in order: {received:?}");
    drop(consumer);
    broker.close()?;
    println!("\nrun it again: it goes on at orders-0@{}", first + ORDERS_PER_RUN);
    Ok(())
}
