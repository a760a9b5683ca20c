//! Faults that were found once, each by the test that showed it.

mod closing;
mod consuming;
mod recovering;
