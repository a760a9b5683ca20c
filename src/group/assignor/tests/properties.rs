//! What must hold of every result, whatever the group.
//!
//! `OTTLA_ASSIGNOR_CASES` (300) says how many groups each property is tried on, `OTTLA_ASSIGNOR_SEED` (1) which ones.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::*;

const TOPICS: [&str; 4] = ["t", "u", "v", "w"];
const STICKY: [&dyn Assignor; 2] = [&StickyAssignor, &CooperativeStickyAssignor];

/// Topics with their numbers of partitions, and members.
type Group = (Vec<(&'static str, u32)>, Vec<GroupMember>);
type Outcome = Result<(), TestCaseError>;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

fn for_all<S: Strategy>(groups: S, property: impl Fn(S::Value) -> Outcome) {
    let (cases, seed) = (from_environment("OTTLA_ASSIGNOR_CASES", 300), from_environment("OTTLA_ASSIGNOR_SEED", 1));
    println!("OTTLA_ASSIGNOR_CASES={cases} OTTLA_ASSIGNOR_SEED={seed}");
    let config = Config { cases: u32::try_from(cases).unwrap(), failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(failure) = runner.run(&groups, property) {
        panic!("{failure}\nwith OTTLA_ASSIGNOR_SEED={seed}");
    }
}

fn topics() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    prop::collection::vec(0_u32..12, TOPICS.len()).prop_map(|counts| TOPICS.into_iter().zip(counts).collect())
}

/// A member that wants `wanted` of the topics and claims anything, also what is not there.
fn member(
    index: usize,
    wanted: BTreeSet<usize>,
    is_static: bool,
    generation: i32,
    claims: &[(usize, u32)],
) -> GroupMember {
    let member = GroupMember::new(format!("m{index}"), wanted.into_iter().map(|topic| TOPICS[topic]));
    let claims = claims.iter().map(|(topic, partition)| TopicPartition::new(TOPICS[*topic], *partition));
    let member = if generation > 0 { member.with_owned(generation, claims) } else { member };
    if is_static { member.with_group_instance_id(format!("i{}", 9 - index)) } else { member }
}

/// Members that want different topics and contradict each other.
fn any_group() -> impl Strategy<Value = Group> {
    let wanted = prop::collection::btree_set(0..TOPICS.len(), 0..=TOPICS.len());
    let claims = prop::collection::vec((0..TOPICS.len(), 0_u32..14), 0..20);
    let members = prop::collection::vec((wanted, any::<bool>(), 0..4, claims), 0..8);
    (topics(), members).prop_map(|(topics, members)| {
        let members = members.into_iter().enumerate();
        let members = members.map(|(index, (wanted, is_static, generation, claims))| {
            member(index, wanted, is_static, generation, &claims)
        });
        (topics, members.collect())
    })
}

/// Members that want every topic, and contradict each other.
fn equal_group() -> impl Strategy<Value = Group> {
    (any_group(), 1_usize..8).prop_map(|((topics, members), count)| {
        let mut members: Vec<_> = members.iter().map(with_all_topics).collect();
        let count = count.max(members.len());
        members.extend((members.len()..count).map(|index| GroupMember::new(format!("n{index}"), TOPICS)));
        (topics, members)
    })
}

fn with_all_topics(member: &GroupMember) -> GroupMember {
    let mut new = GroupMember::new(member.member_id(), TOPICS);
    if let Some(instance) = member.group_instance_id() {
        new = new.with_group_instance_id(instance);
    }
    match member.generation() {
        Some(generation) => new.with_owned(generation, member.owned().iter().cloned()),
        None => new,
    }
}

fn assign(assignor: &dyn Assignor, (topics, members): &Group) -> Assignment {
    assignor.assign(&AssignmentRequest::new(topics.iter().copied(), members.iter().cloned()))
}

/// The group after a round whose result everybody has taken.
fn after(group: &Group, assignment: &Assignment, generation: i32) -> Group {
    let members = group.1.iter().map(|member| {
        member.clone().with_owned(generation, assignment.partitions_of(member.member_id()).iter().cloned())
    });
    (group.0.clone(), members.collect())
}

/// The group when a further round changes nothing any more, and how many rounds it took to get there.
fn settled(assignor: &dyn Assignor, mut group: Group) -> (Group, i32) {
    for round in 0..20 {
        let assignment = assign(assignor, &group);
        let is_settled =
            group.1.iter().all(|member| sorted(member.owned()) == sorted(assignment.partitions_of(member.member_id())));
        if is_settled {
            return (group, round);
        }
        group = after(&group, &assignment, 10 + round);
    }
    panic!("{} does not settle", assignor.name());
}

fn sorted(partitions: &[TopicPartition]) -> Vec<&TopicPartition> {
    let mut sorted: Vec<_> = partitions.iter().collect();
    sorted.sort_unstable();
    sorted
}

/// How many partitions that had an owner in `before` have another one now.
fn moves(before: &Group, after: &Group) -> usize {
    let is_owner = |member: &GroupMember, tp| {
        after.1.iter().any(|now| now.member_id() == member.member_id() && now.owned().contains(tp))
    };
    before.1.iter().map(|member| member.owned().iter().filter(|tp| !is_owner(member, tp)).count()).sum()
}

fn loads(group: &Group) -> Vec<usize> {
    group.1.iter().map(|member| member.owned().len()).collect()
}

fn partition_count(group: &Group) -> usize {
    group.0.iter().map(|(_, count)| *count as usize).sum()
}

#[test]
fn each_partition_has_one_owner_that_wants_it() {
    for_all(any_group(), |group| {
        for assignor in
            [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor]
        {
            let assignment = assign(assignor, &group);
            let assigned: Vec<_> = assignment.iter().flat_map(|(id, all)| all.iter().map(move |tp| (id, tp))).collect();
            for (member_id, tp) in &assigned {
                let member = group.1.iter().find(|member| member.member_id() == *member_id).unwrap();
                prop_assert!(member.topics().contains(tp.topic()));
                prop_assert!(group.0.iter().any(|(topic, count)| *topic == tp.topic() && tp.partition() < *count));
            }
            for (topic, count) in &group.0 {
                let subscribers = group.1.iter().filter(|member| member.topics().contains(*topic)).count();
                for tp in partitions_of_topic(topic, *count) {
                    let owners: Vec<_> = assigned.iter().filter(|(_, assigned)| **assigned == tp).collect();
                    let is_left_out = assignor.protocol() == RebalanceProtocol::Cooperative
                        && owners.is_empty()
                        && group.1.iter().any(|member| member.owned().contains(&tp));
                    prop_assert!(owners.len() == subscribers.min(1) || is_left_out, "{} {tp}", assignor.name());
                }
            }
        }
        Ok(())
    });
}

#[test]
fn what_a_cooperative_round_assigns_no_other_member_of_the_newest_generation_owns() {
    for_all(any_group(), |group| {
        for (member_id, partitions) in assign(&CooperativeStickyAssignor, &group).iter() {
            for tp in partitions {
                let claimants = || group.1.iter().filter(|member| member.owned().contains(tp));
                let newest = claimants().map(GroupMember::generation).max();
                let mut newest = claimants().filter(|member| Some(member.generation()) == newest);
                prop_assert!(newest.all(|member| member.member_id() == member_id), "{tp} to {member_id}");
            }
        }
        Ok(())
    });
}

#[test]
fn members_that_want_the_same_get_as_much() {
    for_all(equal_group(), |group| {
        for assignor in [&RoundRobinAssignor as &dyn Assignor, &StickyAssignor] {
            let loads = loads(&after(&group, &assign(assignor, &group), 9));
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        }
        let (group, rounds) = settled(&CooperativeStickyAssignor, group);
        let loads = loads(&group);
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        prop_assert!(rounds <= 2, "{rounds} rounds");
        Ok(())
    });
}

#[test]
fn a_range_is_one_run_and_no_two_differ_by_more_than_one() {
    for_all(any_group(), |group| {
        let request = AssignmentRequest::new(group.0.iter().copied(), group.1.iter().cloned());
        let assignment = RangeAssignor.assign(&request);
        for (topic, _) in request.topics() {
            let of_topic = |member: &GroupMember| {
                let all = assignment.partitions_of(member.member_id()).iter();
                all.filter(|tp| tp.topic() == topic).map(TopicPartition::partition).collect::<Vec<_>>()
            };
            let shares: Vec<_> = request.subscribers(topic).map(of_topic).collect();
            prop_assert!(shares.concat().is_sorted());
            prop_assert!(shares.is_sorted_by_key(|share| std::cmp::Reverse(share.len())));
            let lens = || shares.iter().map(Vec::len);
            prop_assert!(lens().max().unwrap_or(0) - lens().min().unwrap_or(0) <= 1);
        }
        Ok(())
    });
}

#[test]
fn nothing_moves_when_nothing_changed() {
    for_all(any_group(), |group| {
        let first = after(&group, &assign(&StickyAssignor, &group), 9);
        let second = after(&first, &assign(&StickyAssignor, &first), 10);
        prop_assert_eq!(moves(&first, &second), 0);
        // This one needs more rounds, but it does not go on for ever.
        settled(&CooperativeStickyAssignor, group);
        Ok(())
    });
}

#[test]
fn no_single_move_improves_the_balance() {
    for_all(any_group(), |group| {
        for assignor in STICKY {
            let (group, _) = settled(assignor, group.clone());
            for (owner, tp) in group.1.iter().flat_map(|owner| owner.owned().iter().map(move |tp| (owner, tp))) {
                let others = group.1.iter().filter(|member| member.topics().contains(tp.topic()));
                let fewest = others.map(|member| member.owned().len()).min().unwrap();
                prop_assert!(fewest + 1 >= owner.owned().len(), "{tp} of {}", owner.member_id());
            }
        }
        Ok(())
    });
}

#[test]
fn one_that_joins_moves_no_more_than_its_share() {
    for_all(equal_group(), |group| {
        for assignor in STICKY {
            let (before, _) = settled(assignor, group.clone());
            let mut joined = before.clone();
            joined.1.push(GroupMember::new("joiner", TOPICS));
            let share = partition_count(&joined).div_ceil(joined.1.len());
            let (joined, rounds) = settled(assignor, joined);
            prop_assert!(moves(&before, &joined) <= share);
            prop_assert!(rounds <= 2);
        }
        Ok(())
    });
}

#[test]
fn one_that_leaves_moves_only_what_it_had() {
    for_all((equal_group(), any::<prop::sample::Index>()), |(group, leaver)| {
        for assignor in STICKY {
            let (mut left, _) = settled(assignor, group.clone());
            left.1.remove(leaver.index(left.1.len()));
            if !left.1.is_empty() {
                let (after, rounds) = settled(assignor, left.clone());
                prop_assert_eq!(moves(&left, &after), 0);
                prop_assert!(rounds <= 1);
            }
        }
        Ok(())
    });
}

#[test]
fn the_order_in_which_members_are_named_is_of_no_account() {
    let shuffled = any_group().prop_flat_map(|group| (Just(group.1.clone()).prop_shuffle(), Just(group)));
    for_all(shuffled, |(members, group)| {
        for assignor in
            [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor]
        {
            let shuffled = (group.0.clone(), members.clone());
            prop_assert_eq!(assign(assignor, &group), assign(assignor, &shuffled));
        }
        Ok(())
    });
}

/// 100 members and 10,000 partitions. No figure is asserted, since a loaded machine would fail it; an algorithm whose cost grows
/// with the square of the partitions takes minutes here.
#[test]
fn large_groups() {
    for (topic_count, partition_count) in [(100, 100), (10_000, 1), (10, 1000)] {
        let topics: Vec<_> = (0..topic_count).map(|topic| (format!("topic-{topic:05}"), partition_count)).collect();
        let all = || topics.iter().flat_map(|(topic, count)| partitions_of_topic(topic, *count));
        let member = |index: usize, is_wanted: &dyn Fn(usize) -> bool| {
            let wanted = topics.iter().enumerate().filter(|(at, _)| is_wanted(*at)).map(|(_, (topic, _))| topic);
            GroupMember::new(format!("m{index:02}"), wanted)
        };
        let equal: Vec<_> = (0..100).map(|index| member(index, &|_| true)).collect();
        let unequal: Vec<_> = (0..100).map(|index| member(index, &|at| at * 7 % 101 <= index || index == 99)).collect();
        // Each topic is wanted by two neighbours only.
        let chain: Vec<_> =
            (0..100).map(|index| member(index, &|at| at % 100 == index || at % 100 + 1 == index)).collect();
        for (kind, mut members) in [("equal", equal), ("unequal", unequal), ("chain", chain)] {
            // All of it on one member, as far as that may have it.
            members[0] = members[0].clone().with_owned(1, all());
            let started = std::time::Instant::now();
            let assignment = StickyAssignor.assign(&AssignmentRequest::new(topics.clone(), members));
            println!("{topic_count} topics, {kind}: {:?}", started.elapsed());
            assert_eq!(assignment.iter().map(|(_, partitions)| partitions.len()).sum::<usize>(), 10_000);
        }
    }
}
