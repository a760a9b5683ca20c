//! What a broker tells the subscribers of feature `tracing`: an [`Event`] for what is rare and worth a line, nothing per record.
//!
//! ```text
//! any layer, under whatever lock ── add ──▶ outbox ── emit ──▶ subscriber        by who holds no lock: the maintenance thread, or
//!                                  and calls the maintenance                     else a public call, before it returns
//! ```
//! A subscriber is the application's code. It may be slow, may panic, and may write what it is told into the same broker. So nobody
//! runs it where an event happens: a sender that rolls a segment holds the append lock there. The events of a broker reach it one at a
//! time, in the order in which they happened.
//!
//! Without the feature there is nothing of this in the program: [`Events`] has no size, and what would make an event is never called.

#[cfg(feature = "tracing")]
mod emitting;
mod event;
#[cfg(feature = "tracing")]
mod outbox;
#[cfg(not(feature = "tracing"))]
mod silent;

pub(crate) use event::{DeletedBy, Event, PartitionRecovered};
#[cfg(feature = "tracing")]
pub(crate) use outbox::{Events, Noted, Stopwatch};
#[cfg(not(feature = "tracing"))]
pub(crate) use silent::{Events, Noted, Stopwatch};

#[cfg(all(test, feature = "tracing"))]
mod tests;
