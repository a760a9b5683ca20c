//! The assignors against cases that were worked out by hand from the rules, and against what must hold of every result.
//!
//! A case is written down in short: topics as `t:3 u:2`, a member as `A@instance t u | 5: t0 u1` (its id, its group instance id
//! if it has one, what it wants, then a generation and what it owned in that), members separated by `;`, and the result as
//! `A: t0 t1; B: u0`. Topics have one letter.

mod cooperative_sticky;
mod properties;
mod range;
mod round_robin;
mod sticky;

use super::*;

/// A name, the topics, the members and the result.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn check(assignor: &dyn Assignor, cases: &[Case]) {
    assert!(!cases.is_empty());
    for (name, topics, members, expected) in cases {
        let assignment = assignor.assign(&AssignmentRequest::new(parse_topics(topics), parse_members(members)));
        assert_eq!(to_text(&assignment), *expected, "{name}");
    }
}

fn parse_topics(text: &str) -> Vec<(&str, u32)> {
    let topics = text.split_whitespace().map(|topic| topic.split_once(':').unwrap());
    topics.map(|(topic, partition_count)| (topic, partition_count.parse().unwrap())).collect()
}

fn parse_members(text: &str) -> Vec<GroupMember> {
    text.split(';').map(str::trim).filter(|member| !member.is_empty()).map(parse_member).collect()
}

fn parse_member(text: &str) -> GroupMember {
    let (wants, owned) = text.split_once('|').map_or((text, None), |(wants, owned)| (wants, Some(owned)));
    let mut words = wants.split_whitespace();
    let id = words.next().unwrap();
    let (id, instance) = id.split_once('@').map_or((id, None), |(id, instance)| (id, Some(instance)));
    let mut member = GroupMember::new(id, words);
    if let Some(instance) = instance {
        member = member.with_group_instance_id(instance);
    }
    if let Some((generation, owned)) = owned.map(|owned| owned.split_once(':').unwrap()) {
        let owned = owned.split_whitespace().map(|tp| TopicPartition::new(&tp[..1], tp[1..].parse().unwrap()));
        member = member.with_owned(generation.trim().parse().unwrap(), owned);
    }
    member
}

fn to_text(assignment: &Assignment) -> String {
    let members = assignment.iter().map(|(member_id, partitions)| {
        let partitions = partitions.iter().map(|tp| format!(" {}{}", tp.topic(), tp.partition()));
        format!("{member_id}:{}", partitions.collect::<String>())
    });
    members.collect::<Vec<_>>().join("; ")
}

#[test]
fn names_and_protocols_are_kafkas() {
    let assignors: [(&dyn Assignor, _, _); 4] = [
        (&RangeAssignor, "range", RebalanceProtocol::Eager),
        (&RoundRobinAssignor, "roundrobin", RebalanceProtocol::Eager),
        (&StickyAssignor, "sticky", RebalanceProtocol::Eager),
        (&CooperativeStickyAssignor, "cooperative-sticky", RebalanceProtocol::Cooperative),
    ];
    for (assignor, name, protocol) in assignors {
        assert_eq!((assignor.name(), assignor.protocol()), (name, protocol));
    }
}

#[test]
fn a_request_orders_members_and_knows_the_subscribers() {
    let request = AssignmentRequest::new([("t", 1), ("u", 2)], parse_members("d t; c@1 u; b t u x; a@2 t"));
    let ids = |members: &mut dyn Iterator<Item = &GroupMember>| {
        members.map(|member| member.member_id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut request.members().iter()), ["c", "a", "b", "d"]);
    assert_eq!(ids(&mut request.subscribers("t")), ["a", "b", "d"]);
    assert_eq!(ids(&mut request.subscribers("u")), ["c", "b"]);
    assert_eq!(ids(&mut request.subscribers("x")), [""; 0], "it does not exist");
    assert_eq!(request.topics().collect::<Vec<_>>(), [("t", 1), ("u", 2)]);
}
