//! Waking as loom sees it: in every order, and with every value that a weak memory may show.

use loom::{model, thread};

use super::*;
use crate::sync::atomic::AtomicU64;

const FOREVER: Duration = Duration::MAX;

/// Waiters as if somebody were registered, beside what they wait for.
#[derive(Debug, Default)]
struct Partition {
    waiters: Waiters,
    end: AtomicU64,
}

impl Partition {
    fn new() -> Arc<Partition> {
        let partition = Partition::default();
        partition.waiters.registered.store(1, Ordering::Relaxed);
        Arc::new(partition)
    }

    fn append(&self) {
        self.end.fetch_add(1, Ordering::Release);
        self.waiters.wake();
    }

    /// What a poll does until the end is there; without a wake-up it sleeps for ever, which loom reports.
    fn wait_for(&self, end: u64) {
        let (waiter, mut tokens) = (Arc::new(Waiter::default()), Vec::new());
        loop {
            waiter.take_tokens(&mut tokens);
            if end <= self.end.load(Ordering::Acquire) {
                return;
            }
            self.waiters.arm(&waiter, 7, Isolation::ReadCommitted);
            if end <= self.end.load(Ordering::Acquire) {
                return self.waiters.disarm(&waiter, 7);
            }
            waiter.park(FOREVER);
        }
    }
}

/// Who looks and then sleeps is woken by who appends and then looks whether somebody sleeps.
pub fn no_wake_up_is_lost() {
    model(|| {
        let partition = Partition::new();
        let appender = thread::spawn({
            let partition = Arc::clone(&partition);
            move || partition.append()
        });
        partition.wait_for(1);
        appender.join().unwrap();
    });
}

/// Of two who append, one wakes the waiter; the other one returns when its token is delivered.
pub fn whoever_appends_returns_when_the_token_is_delivered() {
    model(|| {
        let (partition, waiter) = (Partition::new(), Arc::new(Waiter::default()));
        partition.waiters.arm(&waiter, 7, Isolation::ReadCommitted);
        let append = || {
            let (partition, waiter) = (Arc::clone(&partition), Arc::clone(&waiter));
            move || {
                partition.append();
                let mut tokens = Vec::new();
                waiter.take_tokens(&mut tokens);
                tokens.len()
            }
        };
        let (other, this) = (thread::spawn(append()), append()());
        assert_eq!(this + other.join().unwrap(), 1, "delivered once, and seen by the first who looks");
    });
}
