//! A token that others than senders may deliver.

use std::sync::Arc;

use super::waiters::Waiter;

/// What a waiter leaves with whoever is to tell it of something once: the token that it knows that by.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    waiter: Arc<Waiter>,
    token: u32,
}

impl Ticket {
    /// Of this token, among those of `waiter`.
    pub(crate) fn new(waiter: &Arc<Waiter>, token: u32) -> Ticket {
        Ticket { waiter: Arc::clone(waiter), token }
    }

    /// Delivers the token, and wakes the waiter. The caller holds no lock, since a waker is its owner's code.
    pub(crate) fn deliver(&self) {
        self.waiter.wake_with(Some(self.token));
    }
}

/// One place of one waiter.
impl PartialEq for Ticket {
    fn eq(&self, other: &Ticket) -> bool {
        self.token == other.token && Arc::ptr_eq(&self.waiter, &other.waiter)
    }
}

impl Eq for Ticket {}
