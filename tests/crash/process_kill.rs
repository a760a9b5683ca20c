//! The process ends at any call: all that was acknowledged is there, whatever the durability.

use crate::states::{End, budget, stop_at_every_call};

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_acknowledged() {
    stop_at_every_call(&[End::Kill], budget(100));
}
