use super::*;

const EQUAL: &[Case] = &[
    ("one member", "t:3", "A t", "A: t0 t1 t2"),
    ("a first round", "t:4", "A t; B t", "A: t0 t2; B: t1 t3"),
    ("a first round with a place above", "t:5", "A t; B t", "A: t0 t2 t4; B: t1 t3"),
    ("more members than partitions", "t:2", "A t; B t; C t", "A: t0; B: t1"),
    ("nothing changed", "t:4", "A t | 1: t0 t3; B t | 1: t1 t2", "A: t0 t3; B: t1 t2"),
    ("one joins", "t:6", "A t | 1: t0 t2 t4; B t | 1: t1 t3 t5; C t", "A: t0 t2; B: t1 t3; C: t4 t5"),
    (
        "one joins and the others keep the places",
        "t:5",
        "A t | 1: t0 t2 t4; B t | 1: t1 t3; C t",
        "A: t0 t2; B: t1 t3; C: t4",
    ),
    ("one has left", "t:6", "A t | 2: t0 t2; B t | 2: t1 t3", "A: t0 t2 t4; B: t1 t3 t5"),
    (
        "one has left, and the minimum goes before the places",
        "t:5",
        "A t | 2: t0 t2; C t | 2: t4",
        "A: t0 t2 t3; C: t1 t4",
    ),
    (
        "who reaches the minimum stands behind",
        "t:7",
        "A t | 1: t0 t1; B t | 1: t2; C t",
        "A: t0 t1 t6; B: t2 t3; C: t4 t5",
    ),
    ("partitions were added", "t:6", "A t | 1: t0 t2; B t | 1: t1 t3", "A: t0 t2 t4; B: t1 t3 t5"),
    ("a topic was added", "t:2 u:2", "A t u | 1: t0; B t u | 1: t1", "A: t0 u0; B: t1 u1"),
    ("a topic is gone", "u:2", "A t u | 1: t0 t1; B t u | 1: u0 u1", "A: u1; B: u0"),
    ("a partition is gone", "t:2", "A t | 1: t0 t9; B t", "A: t0; B: t1"),
    ("kept by number, then by topic", "t:2 u:2", "A t u | 1: t0 t1 u0 u1; B t u", "A: t0 u0; B: t1 u1"),
    ("one had everything", "t:6", "A t | 1: t0 t1 t2 t3 t4 t5; B t; C t", "A: t0 t1; B: t2 t4; C: t3 t5"),
    ("two claimants of one generation both lose", "t:4", "A t | 3: t1 t2; B t | 3: t1 t3", "A: t0 t2; B: t1 t3"),
    ("an older generation loses", "t:4", "A t | 2: t0 t1; B t | 3: t0 t1", "A: t2 t3; B: t0 t1"),
    (
        "two new claimants lose and the old one does not win",
        "t:3",
        "A t | 1: t2; B t | 2: t2; C t | 2: t2",
        "A: t0; B: t1; C: t2",
    ),
    ("two old claimants lose to the new one", "t:3", "A t | 2: t0; B t | 1: t0; C t | 1: t0", "A: t0; B: t1; C: t2"),
    ("the first member gets the one place", "t:4", "A t | 1: t0 t1; B t | 1: t2 t3; C t", "A: t0 t1; B: t2; C: t3"),
    ("a static member is before it", "t:4", "A t | 1: t0 t1; B@i t | 1: t2 t3; C t", "A: t0; B: t2 t3; C: t1"),
    ("but what is left is dealt by member id", "t:2", "A t; B@i t", "A: t0; B: t1"),
    ("a static member that is back by another id", "t:4", "A t | 5: t1 t2; Z@i t | 5: t0 t3", "A: t1 t2; Z: t0 t3"),
    ("what is owned twice by one is owned once", "t:3", "A t | 1: t2 t2; B t", "A: t1 t2; B: t0"),
    ("no members", "t:3", "", ""),
    ("no topics", "", "A t | 1: t0; B t", ""),
];

const UNEQUAL: &[Case] = &[
    ("nobody wants what another wants", "t:2 u:1", "A t; B u", "A: t0 t1; B: u0"),
    ("a member that wants nothing", "t:2", "A; B t", "B: t0 t1"),
    ("a topic that does not exist", "t:2", "A t x; B x", "A: t0 t1"),
    ("a topic that nobody wants", "t:2 u:2", "A u; B", "A: u0 u1"),
    ("to the one with the fewest, then moved", "t:3 u:3", "A t; B t u", "A: t0 t1 t2; B: u0 u1 u2"),
    ("each wants more than the one before", "a:1 b:2 c:3", "A a; B a b; C a b c", "A: a0; B: b0 b1; C: c0 c1 c2"),
    ("more members than partitions", "t:1 u:1", "A t; B t; C u; D u", "A: t0; C: u0"),
    ("one no longer wants a topic", "t:2 u:1", "A u | 1: t0 u0; B t | 1: t1", "A: u0; B: t0 t1"),
    ("one joins", "t:2 u:2", "A t u | 1: t0 t1 u0 u1; B u", "A: t0 t1; B: u0 u1"),
    ("a new partition goes where there are fewest", "t:3 u:1", "A t | 1: t0; B t u | 1: t1 u0", "A: t0 t2; B: t1 u0"),
    ("good enough is left alone", "t:3 u:2", "A t | 1: t0 t1 t2; B t u | 1: u0 u1", "A: t0 t1 t2; B: u0 u1"),
    ("only what improves the balance moves", "t:4 u:1", "A t | 1: t0 t1 t2 t3; B t u | 1: u0", "A: t1 t2 t3; B: t0 u0"),
    (
        "a former owner is preferred",
        "t:6 u:1",
        "A t | 5: t0 t1 t2 t3 t4 t5; B t u | 4: t0; C t",
        "A: t3 t4 t5; B: t0 u0; C: t1 t2",
    ),
    ("two claimants of one generation both lose", "t:1 u:1", "A t | 1: t0; B t u | 1: t0", "A: t0; B: u0"),
    ("an older generation loses", "t:2 u:1", "A t | 1: t0 t1; B t u | 2: t0", "A: t1; B: t0 u0"),
    ("static members go first", "t:2 u:1", "A t; B t; C@i t u", "A: t1; B: t0; C: u0"),
];

#[test]
fn worked_cases_with_equal_subscriptions() {
    check(&StickyAssignor, EQUAL);
}

#[test]
fn worked_cases_with_unequal_subscriptions() {
    check(&StickyAssignor, UNEQUAL);
}
