//! What synchronises by atomics alone, under loom: the models are beside the code, since they need its insides.

use ottla::models;

macro_rules! check {
    ($($model:ident)*) => {$(
        #[test]
        fn $model() {
            models::$model();
        }
    )*};
}

check! {
    no_wake_up_is_lost
    whoever_appends_returns_when_the_token_is_delivered
    no_ring_is_lost
    what_was_laid_out_before_a_ring_is_seen
    the_durable_mark_only_rises
    what_is_below_the_end_is_seen
    what_was_aborted_is_known_before_it_is_passed
    entries_are_seen_whole
    published_records_are_whole
    a_commit_covers_what_it_says
    nobody_is_in_a_slot_of_a_closed_tail
}
