use super::*;

const CASES: &[Case] = &[
    ("one member", "t:3", "A t", "A: t0 t1 t2"),
    ("a first round", "t:5", "A t; B t", "A: t0 t2 t4; B: t1 t3"),
    ("more members than partitions", "t:2", "A t | 1: t0; B t | 1: t1; C t", "A: t0; B: t1"),
    ("nothing changed", "t:4", "A t | 1: t0 t3; B t | 1: t1 t2", "A: t0 t3; B: t1 t2"),
    ("one joins: first the others give up", "t:6", "A t | 1: t0 t2 t4; B t | 1: t1 t3 t5; C t", "A: t0 t2; B: t1 t3"),
    (
        "one joined: then it gets its share",
        "t:6",
        "A t | 2: t0 t2; B t | 2: t1 t3; C t | 2:",
        "A: t0 t2; B: t1 t3; C: t4 t5",
    ),
    (
        "one joins and gets what is free at once",
        "t:6",
        "A t | 1: t0 t1; B t | 1: t2 t3; C t",
        "A: t0 t1; B: t2 t3; C: t4 t5",
    ),
    (
        "one joins and some of its share is free",
        "t:7",
        "A t | 1: t0 t1 t2; B t | 1: t3 t4 t5; C t",
        "A: t0 t1 t2; B: t3 t4; C: t6",
    ),
    ("one has left: nobody has to give up", "t:6", "A t | 2: t0 t2; B t | 2: t1 t3", "A: t0 t2 t4; B: t1 t3 t5"),
    ("all others have left", "t:4", "A t | 2: t1", "A: t0 t1 t2 t3"),
    ("one had everything", "t:6", "A t | 1: t0 t1 t2 t3 t4 t5; B t; C t", "A: t0 t1"),
    ("one owner has not given up yet", "t:4", "A t | 2: t0 t1 t2; B t | 2:", "A: t0 t1; B: t3"),
    ("kept by number, then by topic", "t:1 u:4", "A t u | 1: t0 u0 u1; B t u | 1: u2 u3; C t u", "A: t0 u0; B: u2 u3"),
    ("partitions were added", "t:6", "A t | 1: t0 t2; B t | 1: t1 t3", "A: t0 t2 t4; B: t1 t3 t5"),
    ("a partition is gone", "t:2", "A t | 1: t0 t9; B t", "A: t0; B: t1"),
    ("two claimants of one generation both give up", "t:4", "A t | 3: t1 t2; B t | 3: t1 t3", "A: t0 t2; B: t3"),
    ("and then one of them gets it", "t:4", "A t | 4: t0 t2; B t | 4: t3", "A: t0 t2; B: t1 t3"),
    ("an older generation owns nothing", "t:4", "A t | 2: t0 t1; B t | 3: t0 t1", "A: t2 t3; B: t0 t1"),
    ("what moves to an older claimant moves", "t:4", "A t | 2: t0 t1 t2 t3; B t | 3: t0 t1 t2 t3", "B: t0 t1"),
    ("a static member keeps the place", "t:4", "A t | 1: t0 t1; B@i t | 1: t2 t3; C t", "A: t0; B: t2 t3"),
    ("one joins that wants less", "t:2 u:2", "A t u | 1: t0 t1 u0 u1; B u", "A: t0 t1"),
    ("one joined that wants less", "t:2 u:2", "A t u | 2: t0 t1; B u | 2:", "A: t0 t1; B: u0 u1"),
    ("one no longer wants a topic", "t:2 u:1", "A u | 1: t0 u0; B t | 1: t1", "A: u0; B: t1"),
    ("one has given up a topic", "t:2 u:1", "A u | 2: u0; B t | 2: t1", "A: u0; B: t0 t1"),
    ("nobody wants what another wants", "t:2 u:1", "A t; B u", "A: t0 t1; B: u0"),
    ("no members", "t:3", "", ""),
    ("no topics", "", "A t | 1: t0; B t", ""),
];

#[test]
fn worked_cases() {
    check(&CooperativeStickyAssignor, CASES);
}
