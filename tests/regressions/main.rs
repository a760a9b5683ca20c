//! Faults that were found once, each by the test that showed it.
#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

mod awkward_moments;
mod closing;
mod consuming;
mod groups;
mod recovering;
mod stale_blocks;
