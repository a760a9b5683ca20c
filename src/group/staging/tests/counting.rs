//! Which offsets count in the end, and what becomes of groups until then.

use super::*;
use crate::{SeekTo, TopicPartition};

#[test]
fn what_is_staged_counts_once_its_transaction_has_committed() {
    let world = World::new();
    let mut consumer = world.member();
    stage(&consumer, "t").unwrap();
    assert_eq!(world.committed(), [None, None]);
    assert_eq!(world.staging(), ["t".into()]);
    world.abort("t");
    assert_eq!((world.committed(), world.staging()), ([None, None], vec![]));
    stage(&consumer, "t").unwrap();
    world.decide("t").unwrap();
    world.commit("t");
    assert_eq!(world.committed(), [Some(RECORDS); 2]);
    // A second end is none, and there was nothing to decide.
    consumer.commit_offsets(&[at(0, 5), at(1, 5)]).unwrap();
    world.decide("t").unwrap();
    world.commit("t");
    world.abort("t");
    assert_eq!(world.committed(), [Some(5); 2]);
    assert_eq!(committed(&open(&world.disk.kill(1))), [Some(5); 2]);
}

#[test]
fn who_has_staged_its_position_commits_it_if_the_transaction_does_not() {
    let world = World::new();
    let mut consumer = world.member();
    stage(&consumer, "t").unwrap();
    world.abort("t");
    consumer.commit().unwrap();
    assert_eq!(world.committed(), [Some(RECORDS); 2]);
    // And goes back where the transaction has gone on.
    consumer.seek(&orders(0), SeekTo::Offset(3)).unwrap();
    consumer.commit().unwrap();
    consumer.seek(&orders(0), SeekTo::Offset(7)).unwrap();
    stage(&consumer, "t").unwrap();
    world.commit("t");
    consumer.seek(&orders(0), SeekTo::Offset(3)).unwrap();
    consumer.commit().unwrap();
    assert_eq!(world.committed(), [Some(3), Some(RECORDS)]);
}

#[test]
fn where_nothing_was_read_since_nothing_is_staged() {
    let world = World::new();
    let mut consumer = world.member();
    let mut count = 0;
    let mut stage = |consumer: &Consumer| {
        let before = count;
        let counted = |log: &Arc<Log>, records: &[ProducerRecord<'_>]| {
            count += records.len();
            append_plainly(log, records)
        };
        consumer.stage_offsets(None, &"t".into(), counted).unwrap();
        count - before
    };
    assert_eq!(stage(&consumer), 2);
    world.commit("t");
    assert_eq!(stage(&consumer), 0);
    assert!(world.staging().is_empty());
    consumer.seek(&orders(1), SeekTo::Offset(4)).unwrap();
    assert_eq!(stage(&consumer), 1);
    // Back to what is committed: the transaction says something else by now.
    consumer.seek(&orders(1), SeekTo::Offset(RECORDS)).unwrap();
    assert_eq!(stage(&consumer), 1);
    world.commit("t");
    assert_eq!(world.committed(), [Some(RECORDS); 2]);
}

#[test]
fn of_a_plain_commit_and_a_transactional_one_the_later_record_counts() {
    let world = World::new();
    let mut consumer = world.by_hand(3);
    consumer.commit_offsets(&[at(0, 1)]).unwrap();
    stage_at(&consumer, "t", 2);
    consumer.commit_offsets(&[at(0, 3)]).unwrap();
    world.decide("t").unwrap();
    world.commit("t");
    assert_eq!(world.committed()[0], Some(3));
    assert_eq!(committed(&open(&world.disk.kill(1)))[0], Some(3));
    // The other way round.
    consumer.commit_offsets(&[at(0, 3)]).unwrap();
    stage_at(&consumer, "t", 2);
    world.decide("t").unwrap();
    world.commit("t");
    assert_eq!(world.committed()[0], Some(2));
}

/// Several may be about to end a transaction, and the last of them comes when its producer has begun the next one.
#[test]
fn who_comes_late_does_nothing_to_the_next_transaction() {
    let world = World::new();
    let consumer = world.by_hand(3);
    let source = world.broker.store.source(&TopicPartition::new(OFFSETS_TOPIC, 0)).unwrap();
    let log = source.writable("look at it").unwrap();
    stage_at(&consumer, "t", 1);
    let end = log.log_end_offset();
    let sent_end = |_| end;
    world.groups().end_transaction("g", "t", true, sent_end).unwrap();
    stage_at(&consumer, "t", 2);
    world.groups().end_transaction("g", "t", true, sent_end).unwrap();
    assert_eq!(world.committed()[0], Some(1));
    world.groups().decide("g", "t", sent_end).unwrap();
    world.groups().doubt_transaction("g", "t", sent_end).unwrap();
    stage_at(&consumer, "t", 3);
    world.commit("t");
    assert_eq!(world.committed()[0], Some(3));
}

#[test]
fn a_reset_makes_void_what_was_staged_before() {
    let world = World::new();
    let consumer = world.by_hand(3);
    stage(&consumer, "t").unwrap();
    world.broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    world.decide("t").unwrap();
    world.commit("t");
    assert_eq!(world.committed(), [Some(0); 2]);
}

#[test]
fn of_two_transactions_the_later_record_counts_whichever_ends_first() {
    for order in [["t", "u"], ["u", "t"]] {
        let world = World::new();
        let consumer = world.by_hand(3);
        stage_at(&consumer, "t", 1);
        stage_at(&consumer, "u", 2);
        for id in order {
            world.decide(id).unwrap();
        }
        for id in order {
            world.commit(id);
        }
        assert_eq!(world.committed()[0], Some(2), "{order:?}");
    }
    // If the later one aborts, the earlier one's counts.
    let world = World::new();
    let consumer = world.by_hand(3);
    stage_at(&consumer, "t", 1);
    stage_at(&consumer, "u", 2);
    world.abort("u");
    world.commit("t");
    assert_eq!(world.committed()[0], Some(1));
}

#[test]
fn of_a_topic_that_is_deleted_nothing_is_staged_any_more() {
    let world = World::new();
    world.broker.topic("payments").unwrap().produce("k", "v").unwrap();
    let mut consumer = world.broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    let payments = TopicPartition::new("payments", 0);
    consumer.assign(&[orders(0), payments.clone()]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    stage(&consumer, "t").unwrap();
    world.broker.admin().delete_topic("orders").unwrap();
    make_topic(&world.broker);
    world.decide("t").unwrap();
    world.commit("t");
    for broker in [&world.broker, &open(&world.disk.kill(1))] {
        assert_eq!(committed(broker), [None, None]);
        assert_eq!(broker.committed("g", &payments).unwrap().map(|found| found.offset()), Some(1));
    }
    // Nor is anything from now on.
    stage(&consumer, "t").unwrap();
    assert!(world.staging().is_empty());
    let staged = consumer.stage_offsets(Some(&[at(0, 1)]), &"t".into(), append_plainly);
    assert!(matches!(staged, Err(Error::Closed { .. })), "{staged:?}");
}

/// Known failure 10.9.
#[test]
fn k10_09_offsets_that_are_staged_keep_their_group() {
    let minute = Duration::from_secs(60);
    let disk = SimulatedDisk::new(1);
    let builder = Broker::builder("/data").background(false).durability(Durability::Os).disk(&disk);
    let world = World { broker: builder.offsets_retention(10 * minute).open().unwrap(), disk };
    make_topic(&world.broker);
    let consumer = world.by_hand(3);
    let expire = |minutes| {
        world.disk.advance(minutes * minute);
        world.broker.run_maintenance().unwrap();
    };
    // One that has committed something, and one that has not.
    for is_commit in [false, true, true, false] {
        let before = world.committed();
        stage_at(&consumer, "t", 2 + u64::from(before[0] == Some(2)));
        expire(60);
        match world.broker.admin().delete_group("g") {
            Err(error @ Error::OffsetsPending { .. }) => {
                assert!(error.is_retriable() && error.to_string().contains("\"t\""), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((world.committed(), world.broker.admin().list_groups().unwrap()), (before, vec!["g".to_owned()]));
        world.end("t", is_commit);
        expire(9);
        let expected = if is_commit { Some(2 + u64::from(before[0] == Some(2))) } else { before[0] };
        assert_eq!(world.committed()[0], expected, "it was used until its transaction was over");
    }
    expire(1);
    assert!(world.broker.admin().list_groups().unwrap().is_empty(), "after an abort it expires like any other");
}

#[test]
fn more_offsets_than_a_batch_has_room_for_go_in_several() {
    let world = World::new();
    let consumer = world.member();
    let too_large = || Error::RecordTooLarge { partition: orders(0), size: 2, limit: 1 };
    let one_at_a_time = |log: &Arc<Log>, records: &[ProducerRecord<'_>]| match records {
        [_] => append_plainly(log, records),
        _ => Err(too_large()),
    };
    consumer.stage_offsets(None, &"t".into(), one_at_a_time).unwrap();
    world.commit("t");
    assert_eq!(world.committed(), [Some(RECORDS); 2]);

    // What was appended when the next piece failed is in the transaction.
    let mut appended = false;
    let only_one = |log: &Arc<Log>, records: &[ProducerRecord<'_>]| match records {
        [_] if !std::mem::replace(&mut appended, true) => append_plainly(log, records),
        _ => Err(too_large()),
    };
    let both = [at(0, 1), at(1, 1)];
    let staged = consumer.stage_offsets(Some(&both), &"t".into(), only_one);
    assert!(matches!(staged, Err(Error::PartlySent { .. })), "{staged:?}");
    world.commit("t");
    assert_eq!(world.committed(), [Some(1), Some(RECORDS)]);
}

#[test]
fn what_a_commit_refuses_is_not_staged() {
    let world = World::new();
    let refused = |consumer: &Consumer, offsets: &[(TopicPartition, CommittedOffset)]| {
        let append = |_: &Arc<Log>, _: &[ProducerRecord<'_>]| panic!("nothing is appended");
        consumer.stage_offsets(Some(offsets), &"t".into(), append).unwrap_err()
    };
    let mut by_hand = world.by_hand(3);
    assert!(matches!(refused(&by_hand, &[at(1, 3)]), Error::NotAssigned { .. }));
    assert!(matches!(refused(&by_hand, &[at(0, RECORDS + 1)]), Error::OffsetOutOfRange { .. }));
    let long = CommittedOffset::new(1).with_metadata("x".repeat(1 << 15));
    assert!(matches!(refused(&by_hand, &[(orders(0), long)]), Error::InvalidConfig { .. }));
    let auto =
        world.consumer(ConsumerConfig::new("h").topics(["orders"]).auto_commit_interval(Duration::from_secs(60)));
    assert!(matches!(refused(&auto, &[at(0, 1)]), Error::InvalidState { .. }));
    let member = world.member();
    assert!(matches!(refused(&by_hand, &[at(0, 1)]), Error::CommitRefused { .. }));
    world.broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    assert!(matches!(refused(&member, &[at(0, 1)]), Error::CommitRefused { .. }));
    // Also where there is nothing to stage.
    let idle = world.broker.consumer_with(config()).unwrap();
    stage(&idle, "t").unwrap();
    world.broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    refusal(stage(&idle, "t"));
    // What is decided on takes no more.
    drop((member, idle));
    stage_at(&by_hand, "t", 1);
    world.decide("t").unwrap();
    assert!(matches!(refused(&by_hand, &[at(0, 2)]), Error::InvalidState { .. }));
    world.abort("t");
    by_hand.handle().close();
    assert!(by_hand.poll(Duration::ZERO).is_err());
    assert!(matches!(refused(&by_hand, &[at(0, 1)]), Error::Closed { .. }));
    assert!(world.staging().is_empty());
}

/// What a topic keeps for a group goes once the group has read it, in a transaction too.
#[test]
fn retention_hears_of_it() {
    let world = World::new();
    let config = TopicConfig::new().retain_for(["g"], 1 << 30).segment_bytes(1024).retention_bytes(1024);
    let topic = world.broker.create_topic("large", config).unwrap();
    for _ in 0..10 {
        topic.produce("k", vec![7; 70_000]).unwrap();
    }
    let maintained = || {
        world.broker.run_maintenance().unwrap();
        topic.partition(0).unwrap().log_start_offset()
    };
    assert_eq!(maintained(), 0);
    let consumer = world.consumer(ConsumerConfig::new("g").topics(["large"]));
    stage(&consumer, "t").unwrap();
    assert_eq!(maintained(), 0);
    world.commit("t");
    assert!(maintained() > 5);
}
