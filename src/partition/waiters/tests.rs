//! The long timeouts here are how a lost wake-up shows: a test that hits one takes a minute and fails.

use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::task::Wake;
use std::thread;
use std::time::Instant;

use super::*;

const FOREVER: Duration = Duration::from_secs(60);
const NONE: [u32; 0] = [];

/// A partition with registrations of which the test keeps count.
fn waiters() -> Waiters {
    Waiters { registered: AtomicUsize::new(1), ..Waiters::default() }
}

fn tokens(waiter: &Waiter) -> Vec<u32> {
    let mut tokens = Vec::new();
    waiter.take_tokens(&mut tokens);
    tokens
}

#[test]
fn an_armed_token_is_delivered_once() {
    let (waiters, waiter) = (waiters(), Arc::new(Waiter::default()));
    waiters.wake();
    assert_eq!(tokens(&waiter), NONE, "not armed yet");
    waiters.arm(&waiter, 7, Isolation::ReadCommitted);
    waiters.wake();
    waiters.wake();
    assert_eq!(tokens(&waiter), [7]);
    assert_eq!(tokens(&waiter), NONE);
}

#[test]
fn only_those_who_are_armed_are_told() {
    let waiters = waiters();
    let [one, other, disarmed] = [(); 3].map(|()| Arc::new(Waiter::default()));
    waiters.arm(&one, 1, Isolation::ReadCommitted);
    waiters.arm(&one, 2, Isolation::ReadCommitted);
    waiters.arm(&other, 1, Isolation::ReadCommitted);
    waiters.arm(&disarmed, 1, Isolation::ReadCommitted);
    waiters.disarm(&disarmed, 1);
    waiters.disarm(&one, 2);
    waiters.wake_unlocked();
    assert_eq!((tokens(&one), tokens(&other), tokens(&disarmed)), (vec![1], vec![1], vec![]));
}

#[test]
fn who_was_woken_before_parking_does_not_sleep() {
    let (waiters, waiter) = (waiters(), Arc::new(Waiter::default()));
    let begin = Instant::now();
    waiter.wake();
    waiter.park(FOREVER);
    assert_eq!(tokens(&waiter), NONE, "woken for no partition");
    waiters.arm(&waiter, 3, Isolation::ReadCommitted);
    waiters.wake();
    waiter.park(FOREVER);
    assert!(begin.elapsed() < FOREVER);
    assert_eq!(tokens(&waiter), [3]);
    waiter.park(Duration::from_millis(1));
    assert_eq!(tokens(&waiter), NONE, "its time has passed");
}

#[test]
fn watchers_are_woken_all_of_them() {
    let watchers = Watchers::default();
    let [one, other, gone] = [(); 3].map(|()| Arc::new(Waiter::default()));
    for waiter in [&one, &other, &gone] {
        watchers.register(waiter);
    }
    watchers.unregister(&gone);
    watchers.wake();
    let woken = [&one, &other, &gone].map(|waiter| waiter.is_signalled.load(Ordering::Relaxed));
    assert_eq!(woken, [true, true, false]);
}

/// A waker that uses what woke it, as its owner's code may.
struct Rearm {
    waiters: Waiters,
    waiter: Arc<Waiter>,
    calls: AtomicUsize,
}

impl Wake for Rearm {
    fn wake(self: Arc<Self>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(tokens(&self.waiter), [5]);
        self.waiters.arm(&self.waiter, 6, Isolation::ReadCommitted);
        self.waiters.wake();
    }
}

#[test]
fn a_waker_is_called_once_and_without_a_lock() {
    let task = Arc::new(Rearm { waiters: waiters(), waiter: Arc::default(), calls: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&task));
    assert!(task.waiter.register_waker(&waker, None));
    task.waiters.arm(&task.waiter, 5, Isolation::ReadCommitted);
    task.waiters.wake();
    assert_eq!((task.calls.load(Ordering::Relaxed), tokens(&task.waiter)), (1, vec![6]));
    task.waiter.wake();
    assert!(!task.waiter.register_waker(&waker, None), "woken since the last look");
}

#[test]
fn no_wake_up_is_lost() {
    const SENDERS: u64 = 2;
    const SENDS: u64 = 20_000;
    let (waiters, end) = (waiters(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                for n in 0..SENDS {
                    end.fetch_add(1, Ordering::Release);
                    waiters.wake();
                    if n % 64 == 0 {
                        // Lets the others fall asleep now and then.
                        thread::yield_now();
                    }
                }
            });
        }
        for token in 0..2 {
            let (waiters, end) = (&waiters, &end);
            scope.spawn(move || {
                let waiter = Arc::new(Waiter::default());
                let (mut seen, mut delivered) = (0, Vec::new());
                while seen < SENDERS * SENDS {
                    waiters.arm(&waiter, token, Isolation::ReadCommitted);
                    let now = end.load(Ordering::Acquire);
                    if now > seen {
                        seen = now;
                        waiters.disarm(&waiter, token);
                        continue;
                    }
                    let begin = Instant::now();
                    while delivered.is_empty() {
                        waiter.park(FOREVER);
                        waiter.take_tokens(&mut delivered);
                        assert!(begin.elapsed() < FOREVER, "slept through record {seen}");
                    }
                    delivered.clear();
                }
            });
        }
    });
}

#[test]
fn who_has_sent_finds_the_token_delivered_whoever_delivered_it() {
    const ROUNDS: usize = 5000;
    let (waiters, waiter, together) = (waiters(), Arc::new(Waiter::default()), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                together.wait();
                waiters.wake();
                together.wait();
            }
        });
        // Looked at when the other thread has ended: it would wait for ever for one that failed.
        let mut delivered = Vec::new();
        for _ in 0..ROUNDS {
            waiters.arm(&waiter, 1, Isolation::ReadCommitted);
            together.wait();
            waiters.wake();
            let found = tokens(&waiter);
            together.wait();
            delivered.push((found, tokens(&waiter)));
        }
        assert!(delivered.iter().all(|(found, later)| found == &[1] && later.is_empty()));
    });
}
