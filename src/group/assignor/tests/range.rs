use super::*;

const CASES: &[Case] = &[
    ("one member", "t:3", "A t", "A: t0 t1 t2"),
    ("an even share", "t:4", "A t; B t", "A: t0 t1; B: t2 t3"),
    ("one more for the first", "t:5", "A t; B t", "A: t0 t1 t2; B: t3 t4"),
    ("one more for the first of three", "t:7", "A t; B t; C t", "A: t0 t1 t2; B: t3 t4; C: t5 t6"),
    ("one more for the first two of three", "t:8", "A t; B t; C t", "A: t0 t1 t2; B: t3 t4 t5; C: t6 t7"),
    ("more members than partitions", "t:2", "A t; B t; C t", "A: t0; B: t1"),
    ("topics of one size are divided alike", "t:3 u:3", "A t u; B t u", "A: t0 t1 u0 u1; B: t2 u2"),
    ("topics of different size", "t:3 u:5 v:1", "A t u v; B t u v", "A: t0 t1 u0 u1 u2 v0; B: t2 u3 u4"),
    ("many small topics go to the first", "t:1 u:1 v:1", "A t u v; B t u v", "A: t0 u0 v0"),
    ("one wants more than the other", "t:3 u:2", "A t; B t u", "A: t0 t1; B: t2 u0 u1"),
    ("nobody wants what another wants", "t:2 u:1", "A t; B u", "A: t0 t1; B: u0"),
    ("two of three want a topic", "t:3 u:3", "A t u; B t; C u", "A: t0 t1 u0 u1; B: t2; C: u2"),
    ("a member that wants nothing", "t:2", "A; B t", "B: t0 t1"),
    ("a topic that does not exist", "t:2", "A t x; B x", "A: t0 t1"),
    ("a topic without partitions", "t:0 u:1", "A t u", "A: u0"),
    ("a topic that nobody wants", "t:2 u:2", "A u", "A: u0 u1"),
    ("no members", "t:3", "", ""),
    ("no topics", "", "A t; B t", ""),
    ("a static member is before the others", "t:3", "A t; B@i t", "A: t2; B: t0 t1"),
    ("static members go by their instance id", "t:3", "A@2 t; B@1 t", "A: t2; B: t0 t1"),
    ("the rest go by member id", "t:3", "B t; A t; C@z t", "A: t1; B: t2; C: t0"),
    ("member ids are text", "t:2", "m2 t; m10 t", "m10: t0; m2: t1"),
    ("what was owned is of no account", "t:3", "A t; B t | 4: t0 t1 t2", "A: t0 t1; B: t2"),
];

#[test]
fn worked_cases() {
    check(&RangeAssignor, CASES);
}
