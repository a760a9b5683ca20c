//! A transaction is held by what its readers lose until it is decided.

use super::*;
use crate::RangeAssignor;

const LOST: &str = "the member has lost it since its offset was sent to the transaction";

#[test]
fn a_rebalance_that_takes_nothing_away_holds_nothing_up() {
    let world = World::new();
    let mut one = world.member();
    let mut other = world.member();
    settle(&mut [&mut one, &mut other]);
    stage(&one, "t").unwrap();
    let _third = world.member();
    settle(&mut [&mut one, &mut other]);
    assert_eq!(one.assignment().len(), 1);
    world.decide("t").unwrap();
}

#[test]
fn a_partition_that_went_to_another_member_refuses_the_transaction() {
    let world = World::new();
    let mut one = world.member();
    stage(&one, "t").unwrap();
    let mut other = world.member();
    settle(&mut [&mut one, &mut other]);
    let lost = other.assignment()[0].partition();
    assert_eq!(refusal(world.decide("t")), (lost, LOST));
    assert_eq!(refusal(world.decide("t")), (lost, LOST), "and again");
    // What was sent to it counts for nobody.
    world.abort("t");
    assert_eq!(world.committed(), [None, None]);
    stage(&one, "t").unwrap();
    world.decide("t").unwrap();
}

#[test]
fn a_partition_that_was_lost_and_came_back_counts_as_lost() {
    let world = World::new();
    let mut one = world.member();
    stage(&one, "t").unwrap();
    let mut other = world.member();
    settle(&mut [&mut one, &mut other]);
    let lost = other.assignment()[0].partition();
    drop(other);
    settle(&mut [&mut one]);
    assert_eq!(one.assignment().len(), 2);
    assert_eq!(refusal(world.decide("t")), (lost, LOST));
    // To send it again changes nothing: what came before is in the transaction, too.
    stage(&one, "t").unwrap();
    assert_eq!(refusal(world.decide("t")), (lost, LOST));
    world.abort("t");
    stage(&one, "t").unwrap();
    world.decide("t").unwrap();
}

#[test]
fn with_an_eager_assignor_every_rebalance_takes_everything_away() {
    let world = World::new();
    let eager = || world.broker.consumer_with(config().assignor(RangeAssignor)).unwrap();
    let (mut one, mut other) = (eager(), eager());
    settle(&mut [&mut one, &mut other]);
    let owned = one.assignment();
    stage(&one, "t").unwrap();
    let mut third = eager();
    settle(&mut [&mut one, &mut other, &mut third]);
    assert!(third.assignment().is_empty() || one.assignment() != owned);
    assert_eq!(refusal(world.decide("t")), (owned[0].partition(), LOST));
}

#[test]
fn a_static_member_that_was_replaced_cannot_commit() {
    let world = World::new();
    let ann = || config().group_instance_id("ann");
    let first = world.consumer(ann());
    stage(&first, "t").unwrap();
    let second = world.consumer(ann());
    assert_eq!(second.assignment().len(), 2);
    let (_, reason) = refusal(world.decide("t"));
    assert!(reason.contains("group.instance.id"), "{reason}");
}

#[test]
fn what_a_static_member_has_is_its_own_while_its_place_is_kept() {
    let world = World::new();
    let ann = || config().group_instance_id("ann").session_timeout(Duration::from_secs(60));
    let first = world.consumer(ann());
    stage(&first, "t").unwrap();
    stage(&first, "u").unwrap();
    drop(first);
    world.decide("t").unwrap();
    // The one that comes reads the same again.
    let _second = world.consumer(ann());
    refusal(world.decide("u"));
}

#[test]
fn a_member_that_was_put_out_or_has_left_cannot_commit() {
    let world = World::new();
    let hour = Duration::from_secs(3600);
    let late = world.consumer(config().max_poll_interval(hour));
    stage(&late, "t").unwrap();
    world.disk.advance(hour);
    world.broker.admin().describe_group("g").unwrap();
    world.decide("t").unwrap();
    world.abort("t");
    stage(&late, "t").unwrap();
    world.broker.admin().describe_group("g").unwrap();
    let (_, reason) = refusal(world.decide("t"));
    assert!(reason.contains("max.poll.interval.ms"), "{reason}");
    world.abort("t");

    let gone = world.member();
    stage(&gone, "t").unwrap();
    drop(gone);
    assert_eq!(refusal(world.decide("t")).1, "the consumer that has read it has left the group");
    world.abort("t");

    let reset = world.member();
    stage(&reset, "t").unwrap();
    world.broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    let (_, reason) = refusal(world.decide("t"));
    assert!(reason.contains("reset"), "{reason}");
}

#[test]
fn members_that_come_hold_up_who_reads_by_hand() {
    let world = World::new();
    let by_hand = world.by_hand(3);
    stage(&by_hand, "t").unwrap();
    drop(world.member());
    let (partition, reason) = refusal(world.decide("t"));
    assert_eq!((partition, reason.contains("members have come")), (0, true), "{reason}");
    world.abort("t");
    stage(&by_hand, "t").unwrap();
    world.decide("t").unwrap();
}

#[test]
fn from_the_decision_on_nothing_that_is_lost_matters() {
    let world = World::new();
    let mut one = world.member();
    stage(&one, "t").unwrap();
    world.decide("t").unwrap();
    let mut other = world.member();
    settle(&mut [&mut one, &mut other]);
    drop(one);
    world.decide("t").unwrap();
    world.commit("t");
    assert_eq!(world.committed(), [Some(RECORDS); 2]);
}

/// What was read is in the transaction, whatever the group has committed since.
#[test]
fn who_has_lost_a_partition_is_refused_also_where_its_offset_is_void() {
    let world = World::new();
    let mut one = world.member();
    stage(&one, "t").unwrap();
    let mut other = world.member();
    settle(&mut [&mut one, &mut other]);
    let lost = other.assignment()[0].partition();
    other.commit().unwrap();
    assert_eq!(refusal(world.decide("t")), (lost, LOST));
}
