//! [`Events`] without feature `tracing`: nothing, of no size. What a call is given is dropped unused, and the call with it.

#![allow(clippy::unused_self, reason = "with the feature there is something to use")]

use std::path::PathBuf;
use std::time::Duration;

use super::Event;
use crate::error::Error;

/// Nobody to tell anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(());

impl Events {
    #[inline]
    pub(crate) fn new(_monotonic: impl Fn() -> Duration + Send + Sync + 'static) -> Events {
        Events(())
    }

    #[inline]
    pub(crate) fn call_for_emit(&self, _call: impl Fn() + Send + Sync + 'static) {}

    #[inline]
    pub(crate) fn add(&self, _event: impl FnOnce() -> Event) {}

    #[inline]
    pub(crate) fn add_some(&self, _event: impl FnOnce() -> Option<Event>) {}

    #[inline]
    pub(crate) fn add_noted(&self, _noted: Noted) {}

    #[inline]
    pub(crate) fn add_met(&self, _error: &Error) {}

    #[inline]
    pub(crate) fn are_waiting(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn emit(&self) {}

    #[inline]
    pub(crate) fn time_sync<T>(&self, _path: impl FnOnce() -> PathBuf, sync: impl FnOnce() -> T) -> T {
        sync()
    }
}

/// No events.
#[derive(Debug, Default)]
pub(crate) struct Noted(());

impl Noted {
    #[inline]
    pub(crate) fn add(&mut self, _event: impl FnOnce() -> Event) {}
}

/// No time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    #[inline]
    pub(crate) fn begin(_monotonic: impl FnOnce() -> Duration) -> Stopwatch {
        Stopwatch
    }

    #[inline]
    pub(crate) fn elapsed(self, _now: Duration) -> Duration {
        Duration::ZERO
    }
}
