//! A reader that stays open while writers come and go.

use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, Consumer, ConsumerConfig, Durability, OffsetReset, ProducerRecord, RecoveryMode, SeekTo, TopicConfig,
    TopicPartition,
};

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn open(disk: &SimulatedDisk) -> Broker {
    Broker::builder("/data").durability(Durability::Os).background(false).disk(disk).open().unwrap()
}

fn follow(disk: &SimulatedDisk) -> (Broker, Consumer) {
    let reader = Broker::builder("/data").recovery_mode(RecoveryMode::ReadOnly).disk(disk).open().unwrap();
    let mut consumer = reader.consumer_with(ConsumerConfig::new("billing")).unwrap();
    consumer.assign(&[orders()]).unwrap();
    (reader, consumer)
}

fn send(writer: &Broker, value: &str) {
    writer.producer().send(ProducerRecord::to("orders").value(value)).unwrap();
}

/// What a poll finds that does not wait, as (offset, first letters of the value). It changes no byte.
fn polled(disk: &SimulatedDisk, consumer: &mut Consumer) -> Vec<(u64, String)> {
    let before = disk.fingerprint();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(disk.fingerprint(), before);
    records.iter().map(|r| (r.offset(), r.value_str().unwrap().trim_end_matches('.').to_owned())).collect()
}

/// Larger than a slot and a segment: the next record goes to another segment.
fn large(name: &str) -> String {
    format!("{name}{}", ".".repeat(70_000))
}

/// As a kill leaves it, on the same disk: nothing is sealed, synced or noted any more.
fn die(disk: &SimulatedDisk, writer: Broker) {
    for operation in [Operation::Write, Operation::Open, Operation::Sync] {
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(operation).forever());
    }
    drop(writer);
    disk.clear_faults();
}

/// The writer closes, a week passes, it sends five records and deletes the first three, sends one, is killed, and sends another.
/// After each step `look` is called.
fn live(disk: &SimulatedDisk, mut look: impl FnMut(&str)) {
    let writer = open(disk);
    writer.close().unwrap();
    look("closed");
    disk.advance(Duration::from_secs(7 * 24 * 3600));
    let writer = open(disk);
    look("opened after a week");
    for name in ["a", "b", "c", "d", "e"] {
        send(&writer, &large(name));
        look("sent");
    }
    writer.admin().delete_records(&[(orders(), 3)]).unwrap();
    look("deleted");
    send(&writer, "f");
    look("sent again");
    die(disk, writer);
    look("killed");
    let writer = open(disk);
    assert!(!writer.recovery_report().was_clean_shutdown());
    look("recovered");
    send(&writer, "g");
    look("sent after the kill");
    writer.close().unwrap();
    look("closed again");
}

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    open(&disk).create_topic("orders", TopicConfig::new().segment_bytes(16 << 10)).unwrap();
    disk
}

#[test]
fn k11_09_a_follower_that_outlives_the_writer_a_quiet_week_and_the_first_segments() {
    let disk = new_disk();
    let (_reader, mut consumer) = follow(&disk);
    let mut second = None;
    let (mut first_got, mut second_got) = (Vec::new(), Vec::new());
    live(&disk, |step| {
        first_got.extend(polled(&disk, &mut consumer));
        if step == "deleted" {
            second = Some(follow(&disk));
        }
        if let Some((_reader, consumer)) = &mut second {
            second_got.extend(polled(&disk, consumer));
        }
    });
    let sent: Vec<_> = (0..7).zip("abcdefg".chars().map(String::from)).collect();
    assert_eq!(first_got, sent);
    assert_eq!(second_got, sent[3..]);
    assert_eq!((consumer.reset_count(), consumer.position(&orders())), (0, Some(7)));
}

#[test]
fn k11_09_a_follower_that_was_too_slow_for_the_first_segments_is_told() {
    for reset in [OffsetReset::Earliest, OffsetReset::Error] {
        let disk = new_disk();
        let reader = follow(&disk).0;
        let config = ConsumerConfig::new("billing").offset_reset(reset);
        let mut consumer = reader.consumer_with(config).unwrap();
        consumer.assign(&[orders()]).unwrap();
        consumer.seek(&orders(), SeekTo::Offset(0)).unwrap();
        let mut got = Vec::new();
        live(&disk, |step| match step {
            "closed" | "opened after a week" => got.extend(polled(&disk, &mut consumer)),
            "sent" => {}
            _ if reset == OffsetReset::Earliest => got.extend(polled(&disk, &mut consumer)),
            _ => {
                let refused = consumer.poll(Duration::ZERO).unwrap_err();
                let expected =
                    matches!(refused, ottla::Error::OffsetOutOfRange { requested: 0, log_start_offset: 3, .. });
                assert!(expected, "{step}: {refused}");
            }
        });
        let is_told = reset == OffsetReset::Earliest;
        let expected: Vec<_> = (3..7).zip("defg".chars().map(String::from)).filter(|_| is_told).collect();
        assert_eq!(got, expected);
        let counts = (consumer.reset_count(), consumer.passed_over_count());
        assert_eq!(counts, if is_told { (1, 3) } else { (0, 0) });
    }
}

/// Looks at every step, or only at some of them, by the bits of a number.
#[test]
fn whenever_it_looks_it_gets_each_record_once() {
    for looks in 0..1 << 6 {
        let disk = new_disk();
        let (_reader, mut consumer) = follow(&disk);
        let (mut got, mut step_number) = (polled(&disk, &mut consumer), 0);
        live(&disk, |step| {
            step_number += 1;
            if step == "closed again" || looks >> (step_number % 6) & 1 == 1 {
                got.extend(polled(&disk, &mut consumer));
            }
        });
        let offsets: Vec<u64> = got.iter().map(|(offset, _)| *offset).collect();
        let missed = consumer.passed_over_count();
        assert!(offsets.windows(2).all(|two| two[0] < two[1]), "{looks:b}: {offsets:?}");
        assert_eq!(offsets.len() as u64 + missed, 7, "{looks:b}: {offsets:?}");
        let names = got.iter().all(|(offset, name)| *name == "abcdefg"[usize::try_from(*offset).unwrap()..][..1]);
        assert!(names, "{looks:b}: {got:?}");
    }
}

#[test]
fn only_what_is_durable_is_seen_and_that_at_once() {
    let disk = SimulatedDisk::new(1);
    let writer = open(&disk);
    writer.create_topic("orders", TopicConfig::new().durability(Durability::Always)).unwrap();
    let (_reader, mut consumer) = follow(&disk);
    send(&writer, "a");
    assert_eq!(polled(&disk, &mut consumer).len(), 1);
    disk.hold_syncs("tail-always");
    std::thread::scope(|scope| {
        scope.spawn(|| send(&writer, "b"));
        while disk.hanging_syncs() == 0 {
            std::thread::yield_now();
        }
        let polled = consumer.poll(Duration::ZERO);
        // Whatever comes of it, nobody is to wait for ever.
        disk.release_syncs();
        assert!(polled.unwrap().is_empty(), "it is published, and not durable yet");
    });
    let before = disk.calls();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    assert_eq!(disk.calls(), before, "the slot says so");
}
