//! Closing a broker while others still hold handles.

use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord};

fn open(disk: &SimulatedDisk, durability: Durability) -> Broker {
    Broker::builder("/data").disk(disk).durability(durability).background(false).open().unwrap()
}

#[test]
fn a_record_sent_while_another_thread_closes_the_broker_is_there_afterwards() {
    for round in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let open = || Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
        let broker = open();
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        let sent = std::thread::scope(|scope| {
            let send = || {
                let record = ProducerRecord::to("orders").value("2 coffees");
                std::iter::from_fn(|| partition.append(&record).ok()).last()
            };
            let senders = [(); 4].map(|()| scope.spawn(send));
            std::thread::sleep(Duration::from_micros(200 + 37 * round));
            broker.close().unwrap();
            senders.map(|sender| sender.join().unwrap()).into_iter().max().flatten()
        });
        drop(partition);
        let partition = open().topic("orders").unwrap().partition(0).unwrap();
        assert_eq!(partition.log_end_offset(), sent.map_or(0, |last| last + 1), "round {round}");
    }
}

#[test]
fn no_handle_writes_after_a_close_that_failed() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let topic = broker.topic("orders").unwrap();
    topic.produce("customer-1", "2 coffees").unwrap();
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing(".log").forever());
    assert!(matches!(broker.close(), Err(Error::DiskFull { .. })));
    disk.clear_faults();
    // The lock is free by now, and another process may write here.
    assert!(matches!(topic.produce("customer-1", "3 coffees"), Err(Error::Closed { .. })));
    assert!(matches!(topic.partition(0).unwrap().read(0, 100), Err(Error::Closed { .. })));
    let again = open(&disk, Durability::Os);
    assert_eq!(again.topic("orders").unwrap().partition(0).unwrap().read(0, 100).unwrap().len(), 1);
}

#[test]
fn a_topic_that_could_not_be_opened_can_be_created_again() {
    for nth in 1..40 {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).nth(nth));
        let created = broker.topic("orders");
        disk.clear_faults();
        if created.is_ok() {
            break;
        }
        let topic = broker.topic("orders").unwrap_or_else(|error| panic!("after call {nth} failed: {error}"));
        topic.produce("customer-1", "2 coffees").unwrap();
    }
}
