use super::*;

const CASES: &[Case] = &[
    ("one member", "t:3", "A t", "A: t0 t1 t2"),
    ("an even share", "t:4", "A t; B t", "A: t0 t2; B: t1 t3"),
    ("one more for the first", "t:5", "A t; B t", "A: t0 t2 t4; B: t1 t3"),
    ("three members", "t:7", "A t; B t; C t", "A: t0 t3 t6; B: t1 t4; C: t2 t5"),
    ("more members than partitions", "t:2", "A t; B t; C t", "A: t0; B: t1"),
    ("the circle goes on from topic to topic", "t:3 u:3", "A t u; B t u", "A: t0 t2 u1; B: t1 u0 u2"),
    ("topics of different size", "t:1 u:3", "A t u; B t u", "A: t0 u1; B: u0 u2"),
    ("many small topics", "t:1 u:1 v:1 w:1", "A t u v w; B t u v w", "A: t0 v0; B: u0 w0"),
    ("each wants more than the one before", "a:1 b:2 c:3", "A a; B a b; C a b c", "A: a0; B: b0; C: b1 c0 c1 c2"),
    ("one is passed over and the circle goes on", "t:3 u:2", "A t; B t u; C u", "A: t0 t2; B: t1 u0; C: u1"),
    ("nobody wants what another wants", "t:2 u:2", "A t; B u", "A: t0 t1; B: u0 u1"),
    ("a member that wants nothing", "t:2", "A; B t", "B: t0 t1"),
    ("a topic that does not exist", "t:2", "A t x; B x", "A: t0 t1"),
    ("a topic without partitions", "t:2 u:0 v:1", "A t u v; B t u v", "A: t0 v0; B: t1"),
    ("a topic that nobody wants", "t:1 u:2 v:1", "A t v; B t v", "A: t0; B: v0"),
    ("no members", "t:3", "", ""),
    ("no topics", "", "A t; B t", ""),
    ("a static member is before the others", "t:3", "A t; B@i t", "A: t1; B: t0 t2"),
    ("static members go by their instance id", "t:4", "A@2 t; B@1 t; C t", "A: t1; B: t0 t3; C: t2"),
    ("the rest go by member id", "t:3", "B t; A t; C@z t", "A: t1; B: t2; C: t0"),
    ("member ids are text", "t:2", "m2 t; m10 t", "m10: t0; m2: t1"),
    ("what was owned is of no account", "t:3", "A t; B t | 4: t0 t1 t2", "A: t0 t2; B: t1"),
];

#[test]
fn worked_cases() {
    check(&RoundRobinAssignor, CASES);
}
