//! Tasks send as durably as threads do, however few threads they have.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use ottla::{Broker, Producer, ProducerRecord, Result, TopicConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const TASKS: u32 = 16;
const RECORDS: u32 = 20;
/// Longer than anything here takes, unless somebody waits for himself.
const LONG: Duration = Duration::from_secs(60);

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Sends, one after the other; returns the offsets.
async fn send_all(producer: Producer, partition: u32) -> Result<Vec<u64>> {
    let mut offsets = Vec::new();
    for _ in 0..RECORDS {
        let sent = producer.send_async(ProducerRecord::to("orders").partition(partition).value("2 coffees"))?.await?;
        assert_eq!(sent.partition(), partition);
        offsets.push(sent.offset());
    }
    Ok(offsets)
}

#[test]
fn tasks_of_one_thread_send_durably_each_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let sent = one_thread().block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(send_all(broker.producer(), task % 2));
        }
        tokio::time::timeout(LONG, tasks.join_all()).await.unwrap()
    });
    let mut offsets: Vec<_> = sent
        .into_iter()
        .flat_map(|sent| {
            let sent = sent.unwrap();
            assert!(sent.is_sorted());
            sent
        })
        .collect();
    offsets.sort_unstable();
    let each = u64::from(TASKS * RECORDS / 2);
    assert_eq!(offsets, (0..each).flat_map(|offset| [offset; 2]).collect::<Vec<_>>());
    for partition in topic.partitions() {
        assert_eq!((partition.durable_offset(), partition.high_watermark()), (each, each));
    }
}

#[test]
fn several_futures_of_one_task_are_awaited_together() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let producer = broker.producer();
    let sent: BTreeSet<u64> = one_thread().block_on(async {
        let records = (0..RECORDS).map(|_| producer.send_async(ProducerRecord::to("orders").value("2 coffees")));
        let sendings = records.collect::<Result<Vec<_>>>().unwrap();
        let mut sent = BTreeSet::new();
        for sending in sendings {
            let expected = sending.metadata().clone();
            let known = sending.await.unwrap();
            assert_eq!(known, expected);
            sent.insert(known.offset());
        }
        sent
    });
    assert!(sent.into_iter().eq(0..u64::from(RECORDS)));
}

#[test]
fn a_call_that_appends_nothing_says_so_before_anything_is_awaited() {
    let broker = Broker::temporary().unwrap();
    let refused = broker.producer().send_async(ProducerRecord::to("orders").value("2 coffees"));
    assert!(matches!(refused, Err(ottla::Error::UnknownTopic { .. })), "{refused:?}");
    let refused = broker.producer().send_async(ProducerRecord::new().value("2 coffees"));
    assert!(matches!(refused, Err(ottla::Error::NoTopic)), "{refused:?}");
}

/// Drops what it holds as it is called.
struct Dropping(Mutex<Option<Broker>>);

impl Wake for Dropping {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_task_that_was_told_that_its_record_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.topic("orders").unwrap();
    let holder = Arc::new(Dropping(Mutex::new(None)));
    let mut sending = broker.producer().send_async(ProducerRecord::to("orders").value("2 coffees")).unwrap();
    *holder.0.lock().unwrap() = Some(broker);
    let waker = Waker::from(Arc::clone(&holder));
    let mut context = Context::from_waker(&waker);
    // Ready at once if the round was faster than this; then nobody is called, and the broker ends here.
    if std::pin::Pin::new(&mut sending).poll(&mut context).is_ready() {
        drop(holder.0.lock().unwrap().take());
    }
    let begun = Instant::now();
    let reopened = loop {
        match Broker::open(dir.path()) {
            Ok(broker) => break broker,
            Err(error) => assert!(begun.elapsed() < LONG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(reopened.recovery_report().was_clean_shutdown());
    assert_eq!(reopened.topic("orders").unwrap().partition(0).unwrap().log_end_offset(), 1);
    let answer = std::pin::Pin::new(&mut sending).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, std::task::Poll::Ready(Ok(_))), "{answer:?}");
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::testing::SimulatedDisk;
    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn tasks_that_wait_while_the_broker_is_closed_are_answered() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").disk(&disk).open().unwrap();
        broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
        let producer = broker.producer();
        disk.hold_syncs("tail-always");
        one_thread().block_on(async {
            let send = || tokio::spawn(producer.send_async(ProducerRecord::to("orders").value("2 coffees")).unwrap());
            let mut tasks = vec![send()];
            while disk.hanging_syncs() == 0 {
                tokio::task::yield_now().await;
            }
            // For these a second round is needed, which the close makes.
            tasks.extend([send(), send()]);
            let closing = spawn_blocking(move || broker.close());
            tokio::task::yield_now().await;
            disk.release_syncs();
            for task in tasks {
                tokio::time::timeout(LONG, task).await.unwrap().unwrap().unwrap();
            }
            closing.await.unwrap().unwrap();
        });
        let broker = Broker::builder("/data").disk(&disk).open().unwrap();
        assert!(broker.recovery_report().was_clean_shutdown());
        assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().durable_offset(), 4);
    }
}
