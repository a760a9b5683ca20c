//! [`Events`] with feature `tracing`: an outbox for each broker.
//!
//! One thread at a time empties it, so that the order stays; whoever comes meanwhile leaves the rest to it. So a subscriber whose own
//! calls on the broker make events is not called within itself, and a call that empties the outbox ends after some rounds, however much
//! that subscriber adds.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::Event;
use crate::error::{Corruption, Error};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// So many events wait at most. Those that come then are lost, and counted.
const WAITING_MAX: usize = 1024;
/// So often a call looks whether more came while it was at it.
const ROUNDS_MAX: usize = 8;
/// So many damaged places are remembered, so that each is told once. Then they are forgotten, and may be told again.
const DAMAGES_MAX: usize = 1024;
/// A sync that takes longer is told.
const SLOW_SYNC: Duration = Duration::from_millis(100);

/// Where to put what is to be told. The default is nobody's, and tells nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    outbox: Option<Arc<Outbox>>,
}

struct Outbox {
    monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Calls who empties it, if there is a thread that does.
    call: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Whether something waits; read without the lock.
    is_used: AtomicBool,
    queue: Mutex<Queue>,
    /// File and byte of the damage that was told.
    damages: Mutex<HashSet<(PathBuf, u64)>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Event>,
    lost: u64,
    /// A thread is emptying it.
    is_emitting: bool,
}

impl Events {
    /// An empty outbox. Times are taken from `monotonic`.
    pub(crate) fn new(monotonic: impl Fn() -> Duration + Send + Sync + 'static) -> Events {
        Events {
            outbox: Some(Arc::new(Outbox {
                monotonic: Box::new(monotonic),
                call: OnceLock::new(),
                is_used: AtomicBool::new(false),
                queue: Mutex::default(),
                damages: Mutex::default(),
            })),
        }
    }

    /// Has `call` called whenever there is something to [`emit`](Events::emit): under any lock, so it is to take none but leaves.
    pub(crate) fn call_for_emit(&self, call: impl Fn() + Send + Sync + 'static) {
        if let Some(outbox) = &self.outbox {
            _ = outbox.call.set(Box::new(call));
        }
    }

    /// Puts an event into the outbox; makes it only if there is a subscriber. For anybody, under any lock.
    #[inline(never)]
    pub(crate) fn add(&self, event: impl FnOnce() -> Event) {
        if let Some(outbox) = self.listened_to() {
            outbox.add(event());
        }
    }

    /// The same where it is still to be found out whether there is an event.
    pub(crate) fn add_some(&self, event: impl FnOnce() -> Option<Event>) {
        if let Some(outbox) = self.listened_to() {
            outbox.add_all(event());
        }
    }

    /// The same for events that were noted where there was no outbox.
    pub(crate) fn add_noted(&self, noted: Noted) {
        if let Some(outbox) = self.listened_to() {
            outbox.add_all(noted.0);
        }
    }

    /// Puts into the outbox what a read has met, if that is damage that was not told before: whoever stands there meets it with every
    /// read.
    pub(crate) fn add_met(&self, error: &Error) {
        if let Error::Corrupt(damage) = error
            && let Some(outbox) = self.listened_to()
            && outbox.is_new(damage)
        {
            outbox.add(Event::DamageMet { damage: (**damage).clone() });
        }
    }

    /// Whether there is something to [`emit`](Events::emit). Takes no lock.
    pub(crate) fn are_waiting(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.is_used.load(Ordering::Acquire))
    }

    /// Gives what waits to the subscriber. For who holds no lock, and is ready for the application's code to do anything here.
    pub(crate) fn emit(&self) {
        if let Some(outbox) = self.outbox.as_ref().filter(|_| self.are_waiting()) {
            outbox.emit();
        }
    }

    /// Runs `sync`, and tells if that takes long.
    pub(crate) fn time_sync<T>(&self, path: impl FnOnce() -> PathBuf, sync: impl FnOnce() -> T) -> T {
        let Some(outbox) = self.listened_to() else { return sync() };
        let begin = (outbox.monotonic)();
        let synced = sync();
        let duration = (outbox.monotonic)().saturating_sub(begin);
        if SLOW_SYNC < duration {
            outbox.add(Event::SlowSync { path: path(), duration });
        }
        synced
    }

    /// The outbox, if a subscriber wants anything at all.
    fn listened_to(&self) -> Option<&Outbox> {
        self.outbox.as_deref().filter(|_| LevelFilter::current() != LevelFilter::OFF)
    }
}

impl Outbox {
    fn add_all(&self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.add(event));
    }

    fn add(&self, event: Event) {
        {
            let mut queue = self.queue.lock();
            if queue.waiting.len() < WAITING_MAX {
                queue.waiting.push(event);
            } else {
                queue.lost += 1;
            }
            self.is_used.store(true, Ordering::Release);
        }
        self.call();
    }

    fn call(&self) {
        if let Some(call) = self.call.get() {
            call();
        }
    }

    fn is_new(&self, damage: &Corruption) -> bool {
        let mut damages = self.damages.lock();
        if damages.len() == DAMAGES_MAX {
            damages.clear();
        }
        damages.insert((damage.path.clone(), damage.file_position))
    }

    fn emit(&self) {
        if std::mem::replace(&mut self.queue.lock().is_emitting, true) {
            return;
        }
        for _ in 0..ROUNDS_MAX {
            let Some(events) = self.take_or_end() else { return };
            events.into_iter().for_each(emit_one);
        }
        // What waits by now a subscriber has brought about itself.
        self.queue.lock().is_emitting = false;
        self.call();
    }

    /// What waits; `None` if nothing does, and then whoever adds something empties the outbox again.
    fn take_or_end(&self) -> Option<Vec<Event>> {
        let mut queue = self.queue.lock();
        let mut events = std::mem::take(&mut queue.waiting);
        let lost = std::mem::take(&mut queue.lost);
        events.extend((0 < lost).then_some(Event::EventsLost { count: lost }));
        if events.is_empty() {
            queue.is_emitting = false;
            self.is_used.store(false, Ordering::Release);
            return None;
        }
        Some(events)
    }
}

fn emit_one(event: Event) {
    // A panic was reported by the panic hook, and is no business of the call that happens to be here.
    _ = catch_unwind(AssertUnwindSafe(|| event.emit()));
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Events that are noted where there is no outbox, to be [put into one](Events::add_noted).
#[derive(Debug, Default)]
pub(crate) struct Noted(Vec<Event>);

impl Noted {
    pub(crate) fn add(&mut self, event: impl FnOnce() -> Event) {
        if LevelFilter::current() != LevelFilter::OFF {
            self.0.push(event());
        }
    }
}

/// When something began, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn begin(monotonic: impl FnOnce() -> Duration) -> Stopwatch {
        Stopwatch(monotonic())
    }

    pub(crate) fn elapsed(self, now: Duration) -> Duration {
        now.saturating_sub(self.0)
    }
}
