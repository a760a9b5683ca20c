//! The power goes at any call: what was durable is there, and what is there is a prefix.

use crate::states::{End, budget, stop_at_every_call};

#[test]
fn a_power_cut_at_any_call_leaves_a_prefix_with_all_that_was_durable() {
    let cuts: Vec<End> = End::ALL.into_iter().filter(|end| *end != End::Kill).collect();
    stop_at_every_call(&cuts, budget(300));
}
