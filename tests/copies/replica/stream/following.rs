//! What comes through a stream: all that comes to a replica on the same machine, byte by byte.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Error, RemoteReplica, Replica, ReplicaStream, TopicPartition};

use super::frames::{DATA as DATA_FRAME, Message};
use super::{answer, catch_up, remote, reply, request};
use crate::directories::{
    DATA, committed, compacted, contents, fill, open, open_read_only, partition, read_all, send, small_segments,
    transact,
};
use crate::replica::{SECOND, can_be_read, has_same_segments, on, replica};

/// All files of a replica.
fn files(disk: &SimulatedDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = disk.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(SECOND));
    paths.map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
}

/// Catches up by a stream, and on the same machine, and looks whether both are what their source is.
fn follows(broker: &Broker, [source, second, local]: [&SimulatedDisk; 3]) {
    replica(broker, local).catch_up().unwrap();
    catch_up(broker, second).unwrap();
    has_same_segments(source, second);
    can_be_read(broker, second);
    let (found, expected) = (files(second), files(local));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for ((path, found), expected) in found.iter().zip(expected.values()) {
        assert!(found == expected, "{} differs: {} and {} bytes", path.display(), found.len(), expected.len());
    }
    // There is nothing more to come.
    let (answered, reply) = answer(broker, &request(&mut remote(second)));
    let answered = answered.unwrap().unwrap();
    assert_eq!((answered.bytes(), answered.lag().offsets()), (0, 0), "{answered}");
    assert!(Message::parse(&reply).frames.iter().all(|(kind, _)| *kind != DATA_FRAME));
}

#[test]
fn what_happens_at_the_source_happens_at_the_other_end() {
    let disks = [1, 2, 3].map(SimulatedDisk::new);
    let [disk, second, local] = &disks;
    let disks = [disk, second, local];
    let broker = open(disk, DATA);
    follows(&broker, disks);
    fill(&broker);
    follows(&broker, disks);
    send(&broker, "orders", 70..71);
    follows(&broker, disks);
    let mut producer = broker.transactional_producer("payments").unwrap();
    transact(&mut producer, 7, true);
    transact(&mut producer, 8, false);
    follows(&broker, disks);
    read_all(&broker, "shipping", "orders");
    follows(&broker, disks);
    send(&broker, "state", 60..90);
    broker.run_maintenance().unwrap();
    follows(&broker, disks);
    assert!(broker.admin().compact("state").unwrap().partitions().iter().any(|done| 0 < done.records_removed()));
    follows(&broker, disks);
    send(&broker, "state", 90..95);
    _ = broker.admin().compact("state").unwrap();
    send(&broker, "state", 95..99);
    follows(&broker, disks);
    broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 20)]).unwrap();
    follows(&broker, disks);
    broker.admin().add_partitions("orders", 3).unwrap();
    broker.admin().alter_topic("orders", |config| config.segment_bytes(9000)).unwrap();
    send(&broker, "orders", 71..90);
    follows(&broker, disks);
    let altered = open_read_only(second, SECOND).existing_topic("orders").unwrap().config();
    assert_eq!(altered, broker.existing_topic("orders").unwrap().config());
    broker.admin().delete_topic("orders").unwrap();
    follows(&broker, disks);
    broker.create_topic("orders", compacted().partitions(2)).unwrap();
    broker.create_topic("refunds", small_segments()).unwrap();
    send(&broker, "orders", 0..9);
    send(&broker, "refunds", 0..9);
    follows(&broker, disks);
    broker.admin().delete_topic("orders").unwrap();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..30);
    follows(&broker, disks);
    broker.close().unwrap();
    follows(&open_read_only(disk, DATA), disks);
}

#[test]
fn what_came_is_promoted() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    let nothing = remote(&second).promote();
    assert!(matches!(nothing, Err(Error::NotAReplica { .. })), "{nothing:?}");
    let report = catch_up(&broker, &second).unwrap();
    assert!(0 < report.bytes() && 4 < report.partitions().count(), "{report}");
    let (before, billing) = (contents(&broker), committed(&broker, "billing", "orders"));
    drop(broker);
    let replica = remote(&second);
    assert!(replica.taken_at().is_some());
    replica.promote().unwrap();
    let promoted = open(&second, SECOND);
    assert!(promoted.recovery_report().is_clean(), "{}", promoted.recovery_report());
    assert_eq!(contents(&promoted), before);
    assert_eq!(committed(&promoted, "billing", "orders"), billing);
    send(&promoted, "orders", 100..101);
    let orders = partition(&promoted, "orders");
    assert!(65_536 <= orders.read(orders.log_end_offset() - 1, 1).unwrap().iter().next().unwrap().leader_epoch());
    let again = RemoteReplica::open_with(SECOND, on(&second));
    assert!(again.is_err(), "{again:?}");
}

#[test]
fn it_goes_on_through_a_stream_and_without_one() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    replica(&broker, &second).catch_up().unwrap();
    send(&broker, "orders", 70..80);
    catch_up(&broker, &second).unwrap();
    send(&broker, "orders", 80..90);
    assert_eq!(replica(&broker, &second).lag().unwrap().offsets(), 10);
    replica(&broker, &second).catch_up().unwrap();
    has_same_segments(&disk, &second);
    can_be_read(&broker, &second);
}

#[test]
fn the_source_hears_what_is_there() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..10);
    let orders = TopicPartition::new("orders", 0);
    let (answered, reply) = answer(&broker, &request(&mut remote(&second)));
    let answered = answered.unwrap().unwrap();
    assert_eq!((answered.acknowledged().count(), answered.lag().offsets()), (0, 10));
    assert_eq!(answered.lag().taken_at(), None);
    let mut replica = remote(&second);
    let report = replica.apply(&reply[..]).unwrap();
    assert_eq!((report.offsets(&orders), report.bytes()), (Some(0..10), answered.bytes()));
    send(&broker, "orders", 10..13);
    let (answered, _) = answer(&broker, &request(&mut replica));
    let answered = answered.unwrap().unwrap();
    assert_eq!(answered.acknowledged().collect::<Vec<_>>(), [(&orders, 10)]);
    assert_eq!(answered.lag().partitions().collect::<Vec<_>>(), [(&orders, 3)]);
    assert_eq!(answered.lag().taken_at(), replica.taken_at());
    assert!(replica.taken_at().is_some());
    assert_eq!(answered.to_string(), format!("1 partition known, 3 offsets behind, {} bytes sent", answered.bytes()));
}

#[test]
fn a_directory_that_another_process_writes_is_sent_as_far_as_its_segments_go() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.flush().unwrap();
    let other = open_read_only(&disk, DATA);
    catch_up(&other, &second).unwrap();
    send(&broker, "orders", 70..80);
    catch_up(&other, &second).unwrap();
    let copy = open_read_only(&second, SECOND);
    let orders = partition(&copy, "orders").log_end_offset();
    assert!(0 < orders && orders <= partition(&broker, "orders").log_end_offset());
    broker.close().unwrap();
    let other = open_read_only(&disk, DATA);
    catch_up(&other, &second).unwrap();
    has_same_segments(&disk, &second);
    can_be_read(&other, &second);
}

#[test]
fn only_one_has_a_replica_and_nothing_else_is_one() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    catch_up(&broker, &second).unwrap();
    let held = remote(&second);
    assert!(matches!(catch_up(&broker, &second), Err(Error::AlreadyOpen { .. })));
    drop(held);
    let own = RemoteReplica::open_with(DATA, on(&disk));
    assert!(matches!(own, Err(Error::NotAReplica { .. })), "{own:?}");
    second.put("/others/notes", b"mine");
    let mut others = RemoteReplica::open_with("/others", on(&second)).unwrap();
    let reply = reply(&broker, &mut others);
    let others = others.apply(&reply[..]);
    assert!(matches!(others, Err(Error::TargetNotEmpty { .. })), "{others:?}");
}

/// The failure that this is about: two that begin one in the same place.
#[test]
fn a_replica_that_somebody_else_has_begun_meanwhile_is_left_alone() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    let (mut first, mut other) = (remote(&second), remote(&second));
    let replies = [reply(&broker, &mut first), reply(&broker, &mut other)];
    first.apply(&replies[0][..]).unwrap();
    let late = other.apply(&replies[1][..]);
    assert!(matches!(late, Err(Error::AlreadyOpen { .. })), "{late:?}");
    can_be_read(&broker, &second);
}

#[cfg(unix)]
#[test]
fn both_ends_of_a_socket() {
    use std::os::unix::net::UnixStream;

    let dir = tempfile::tempdir().unwrap();
    let [data, second] = ["data", "second"].map(|name| dir.path().join(name));
    let broker = Broker::open(&data).unwrap();
    send(&broker, "orders", 0..20);
    let (here, there) = UnixStream::pair().unwrap();
    let mut stream = ReplicaStream::open(&broker).unwrap();
    let served = std::thread::spawn(move || {
        let mut ends: Vec<u64> = Vec::new();
        let served = stream.serve(&here, &here, |answer| {
            ends.push(answer.acknowledged().map(|(_, offset)| offset).sum());
            ControlFlow::Continue(())
        });
        served.map(|()| ends)
    });
    let mut replica = RemoteReplica::open(&second).unwrap();
    replica.catch_up(&there, &there).unwrap();
    send(&broker, "orders", 20..50);
    replica.catch_up(&there, &there).unwrap();
    let report = replica.catch_up(&there, &there).unwrap();
    assert_eq!((report.bytes(), report.partitions().count()), (0, 0));
    drop(there);
    assert_eq!(served.join().unwrap().unwrap(), [0, 20, 50]);
    let source = broker.existing_topic("orders").unwrap().partition(0).unwrap();
    drop(replica);
    let copy = Broker::open_read_only(&second).unwrap();
    assert_eq!(copy.existing_topic("orders").unwrap().partition(0).unwrap().log_end_offset(), source.log_end_offset());
    assert_eq!(contents(&copy), contents(&broker));
    // It is a replica like any other.
    drop(copy);
    Replica::open(&broker, &second).unwrap().catch_up().unwrap();
}

#[test]
fn a_source_that_is_closed_says_so() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    let mut stream = ReplicaStream::open(&broker).unwrap();
    broker.close().unwrap();
    let mut replica = remote(&second);
    let mut told = Vec::new();
    let answered = stream.answer(&request(&mut replica)[..], &mut told);
    assert!(matches!(answered, Err(Error::Closed { .. })), "{answered:?}");
    let applied = replica.apply(&told[..]);
    assert!(
        matches!(&applied, Err(Error::ReplicaNotServed { is_passing: false, reason, .. }) if reason.contains("closed"))
    );
    // The other end has closed the connection before it asked, or answered.
    assert!(ReplicaStream::open(&open(&disk, DATA)).unwrap().answer(&[][..], Vec::new()).unwrap().is_none());
    match replica.apply(&[][..]) {
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }
}
