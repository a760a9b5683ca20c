//! Transactions that others end, and those who held them.

use std::time::Duration;

use ottla::{Error, ProducerConfig};
use tracing::Level;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A broker with topics `orders` and `ledger`.
fn world(disk: &SimulatedDisk) -> Broker {
    let broker = open(disk);
    for topic in ["orders", "ledger"] {
        broker.create_topic(topic, TopicConfig::new()).unwrap();
    }
    broker
}

/// What was told of transactions, also if it waits for the maintenance.
fn told(broker: &Broker, listener: &Listener) -> Vec<Told> {
    broker.run_maintenance().unwrap();
    listener.take().into_iter().filter(|told| told.target == "ottla::transaction").collect()
}

#[test]
fn who_is_fenced_and_what_is_aborted_with_that() {
    let (listener, _guard) = listen();
    let broker = world(&new_disk());
    let mut first = broker.transactional_producer("payments").unwrap();
    let transaction = first.begin().unwrap();
    for topic in ["orders", "ledger"] {
        transaction.send(ProducerRecord::to(topic).value("v")).unwrap();
    }
    let mut second = broker.transactional_producer("payments").unwrap();
    let all = told(&broker, &listener);
    assert_eq!(names(&all), ["producer_fenced", "transaction_aborted"]);
    all[0].is("producer_fenced", Level::WARN, [("transactional_id", "payments")]);
    assert!(all[0].field("reason").contains("newer"), "{all:?}");
    all[1].is("transaction_aborted", Level::WARN, [("transactional_id", "payments"), ("partitions", "2")]);
    assert!(transaction.commit().is_err());
    // What is committed or aborted by its holder is nothing to tell, and who has given its name up cannot be fenced.
    let transaction = second.begin().unwrap();
    transaction.send(ProducerRecord::to("orders").value("v")).unwrap();
    transaction.commit().unwrap();
    second.begin().unwrap().abort().unwrap();
    drop(second);
    let third = broker.transactional_producer("payments").unwrap();
    assert_eq!(told(&broker, &listener), []);
    // Nor is there anything to abort for who stands between two transactions.
    let _fourth = broker.transactional_producer("payments").unwrap();
    assert_eq!(names(&told(&broker, &listener)), ["producer_fenced"]);
    drop(third);
}

#[test]
fn transactions_that_take_too_long_or_are_aborted_by_hand() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = world(&disk);
    let config = || ProducerConfig::new().transaction_timeout(SECOND);
    for by_hand in [false, true] {
        let mut producer = broker.transactional_producer_with("payments", config()).unwrap();
        let transaction = producer.begin().unwrap();
        transaction.send(ProducerRecord::to("orders").value("v")).unwrap();
        assert_eq!(told(&broker, &listener), []);
        let reason = if by_hand {
            assert!(broker.admin().abort_transaction("payments").unwrap());
            "Admin::abort_transaction"
        } else {
            disk.advance(2 * SECOND);
            "transaction.timeout.ms"
        };
        let all = told(&broker, &listener);
        assert_eq!(names(&all), ["producer_fenced", "transaction_aborted"]);
        all[1].is("transaction_aborted", Level::WARN, [("transactional_id", "payments"), ("partitions", "1")]);
        assert!(all.iter().all(|told| told.field("reason").contains(reason)), "{all:?}");
        assert!(matches!(transaction.commit(), Err(Error::Fenced { .. })));
        assert_eq!(told(&broker, &listener), []);
    }
}

#[test]
fn what_an_earlier_process_left_open() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = world(&disk);
    let mut producer = broker.transactional_producer("payments").unwrap();
    let transaction = producer.begin().unwrap();
    for topic in ["orders", "ledger"] {
        transaction.send(ProducerRecord::to(topic).value("v")).unwrap();
    }
    let killed = disk.kill(1);
    listener.take();
    let reopened = open(&killed);
    let told = listener.take_one("transactions_settled");
    told.is("transactions_settled", Level::INFO, [("committed", "0"), ("aborted", "2")]);
    assert_eq!(reopened.recovery_report().aborted_transactions(), 2);
    reopened.close().unwrap();
    drop(open(&killed));
    assert!(listener.take_all("transactions_settled").is_empty());
}
