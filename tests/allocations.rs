//! Sending and polling allocate per batch, never per record.
//!
//! A counting allocator stands beneath everything, so this is a binary of its own with one test: nothing else runs meanwhile.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla::{Broker, Consumer, ConsumerConfig, Durability, Header, ProducerRecord, TopicConfig};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<T>(act: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let result = act();
    (ALLOCATIONS.load(Ordering::Relaxed) - before, result)
}

const RECORDS: u64 = 10_000;
/// Key, value, header and lengths: a little over 100 bytes, so that a slot of 64 KiB holds about 550.
const RECORDS_PER_BATCH: u64 = 500;
/// What opening and sealing one batch, or reading one, may allocate: the batch, the view, and what grows behind them.
const PER_BATCH: u64 = 10;
/// What happens now and then, whatever the number of records.
const CONSTANT: u64 = 50;

fn send_all(broker: &Broker) {
    let producer = broker.producer();
    let value = [7; 80];
    let headers = [Header::new("trace", b"0123")];
    for n in 0..RECORDS {
        let key = n.to_be_bytes();
        producer.send(ProducerRecord::to("orders").key(&key).value(&value).headers(&headers)).unwrap();
    }
}

fn poll_all(consumer: &mut Consumer) -> (u64, u64) {
    let (mut records, mut polls) = (0, 0);
    while records < RECORDS {
        let polled = consumer.poll(Duration::ZERO).unwrap();
        polls += 1;
        for record in &polled {
            assert!(record.key().is_some() && record.headers().len() == 1);
            assert_eq!(record.value().map(<[u8]>::len), Some(80));
            records += 1;
        }
    }
    (records, polls)
}

#[test]
fn sending_and_polling_allocate_per_batch_and_not_per_record() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
    broker.create_topic("orders", TopicConfig::new()).unwrap();
    let config = ConsumerConfig::new("g").topics(["orders"]).max_poll_records(2000).fetch_max_bytes(16 << 20);
    let mut consumer = broker.consumer_with(config).unwrap();
    // The first round makes what stays: slots, the thread's own state.
    send_all(&broker);
    poll_all(&mut consumer);

    let (sending, ()) = allocations_of(|| send_all(&broker));
    let bound = RECORDS / RECORDS_PER_BATCH * PER_BATCH + CONSTANT;
    assert!(sending <= bound, "{sending} allocations for {RECORDS} sends; {bound} would be per batch");

    let (polling, (_, polls)) = allocations_of(|| poll_all(&mut consumer));
    let bound = (RECORDS / RECORDS_PER_BATCH + polls) * PER_BATCH + CONSTANT;
    assert!(
        polling <= bound,
        "{polling} allocations for {RECORDS} records in {polls} polls; {bound} would be per batch"
    );
    println!("{RECORDS} records: {sending} allocations to send them, {polling} to poll them {polls} times");

    let records = broker.topic("orders").unwrap().partition(0).unwrap().read(0, 1 << 20).unwrap();
    let (iterating, count) = allocations_of(|| records.iter().filter(|record| record.value().is_some()).count());
    assert_eq!((iterating, count), (0, records.len()), "going through records allocates nothing at all");

    let (building, record) = allocations_of(|| {
        ["trace", "span", "attempt", "by"]
            .iter()
            .fold(ProducerRecord::to("orders").key("k").value("v"), |record, key| record.header(key, "0123"))
    });
    assert_eq!((building, record.get_headers().len()), (1, 4), "a few headers that are added one by one are one list");
}
