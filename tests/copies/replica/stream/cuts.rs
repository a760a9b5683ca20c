//! Streams that are cut, damaged, mixed up, or come late.
//!
//! The failure that this is about: a part of a round counts, or a reply that is not to what the replica has now.

use std::io::ErrorKind;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Error, RemoteReplica, Replica, ReplicaStream};

use super::frames::{Message, PIECE};
use super::{answer, catch_up, remote, reply, request};
use crate::directories::{Content, DATA, contents, fill, open, open_read_only, read_all, send, small_segments};
use crate::replica::{SECOND, can_be_read, has_same_segments, on};

/// Bytes between two places that are looked at besides the ends of frames: no multiple of anything.
const STEP: usize = 4099;

/// A source that has gone on since its replica caught up, with segments that were sealed, compacted and deleted.
fn gone_on() -> (SimulatedDisk, Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    catch_up(&broker, &second).unwrap();
    send(&broker, "orders", 70..90);
    send(&broker, "state", 60..80);
    read_all(&broker, "billing", "orders");
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    send(&broker, "orders", 90..93);
    (disk, broker, second)
}

/// What counts of a replica: what it is once it is promoted.
fn counts(disk: &SimulatedDisk) -> Vec<Content> {
    let promoted = disk.kill(0);
    Replica::promote_without_source(SECOND, on(&promoted)).unwrap();
    let contents = contents(&open(&promoted, SECOND));
    contents.into_iter().filter(|content| !content.partition.topic().starts_with("__")).collect()
}

/// That the error is one of those that a stream that is cut or damaged may give.
fn is_typed(what: &str, error: &Error) {
    match error {
        Error::InvalidStream { .. } => {}
        Error::Io { source, .. } if source.kind() == ErrorKind::UnexpectedEof => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// Has a replica apply what is no good reply: it is as it was, and goes on.
fn is_refused(what: &str, (broker, source): (&Broker, &SimulatedDisk), second: &SimulatedDisk, bytes: &[u8]) {
    let disk = second.kill(0);
    let before = counts(&disk);
    let mut replica = remote(&disk);
    match replica.apply(bytes) {
        Err(error) => is_typed(what, &error),
        Ok(report) => panic!("{what}: {report}"),
    }
    assert!(counts(&disk) == before, "{what}");
    // In the same process, and in another one.
    if bytes.len().is_multiple_of(2) {
        drop(replica);
        replica = remote(&disk);
    }
    let again = reply(broker, &mut replica);
    replica.apply(&again[..]).unwrap_or_else(|error| panic!("{what}: {error}"));
    has_same_segments(source, &disk);
    can_be_read(broker, &disk);
}

#[test]
fn a_reply_that_is_cut_at_any_byte_does_not_count() {
    let (disk, broker, second) = gone_on();
    let whole = reply(&broker, &mut remote(&second));
    let message = Message::parse(&whole);
    assert!(20 < message.frames.len(), "{}", message.frames.len());
    let mut cuts = message.boundaries();
    assert_eq!(cuts.pop(), Some(whole.len()));
    cuts.extend((0..whole.len()).step_by(STEP));
    cuts.extend([0, 1, 7, 19, whole.len() - 1]);
    for cut in cuts {
        is_refused(&format!("cut at {cut}"), (&broker, &disk), &second, &whole[..cut]);
    }
}

#[test]
fn a_request_that_is_cut_at_any_byte_is_not_answered() {
    let (_disk, broker, second) = gone_on();
    let whole = request(&mut remote(&second));
    let mut cuts = Message::parse(&whole).boundaries();
    assert_eq!(cuts.pop(), Some(whole.len()));
    cuts.extend((1..whole.len()).step_by(97));
    for cut in cuts {
        let (answered, reply) = answer(&broker, &whole[..cut]);
        assert_eq!(reply.len(), 0, "cut at {cut}");
        is_typed(&format!("cut at {cut}"), &answered.unwrap_err());
    }
}

#[test]
fn a_byte_that_is_another_one_is_noticed() {
    let (disk, broker, second) = gone_on();
    let asked = request(&mut remote(&second));
    for at in (0..asked.len()).step_by(53) {
        let mut damaged = asked.clone();
        damaged[at] ^= 1 << (at % 8);
        let (answered, reply) = answer(&broker, &damaged);
        assert_eq!(reply.len(), 0, "byte {at}");
        is_typed(&format!("byte {at}"), &answered.unwrap_err());
    }
    let (answered, whole) = answer(&broker, &asked);
    answered.unwrap();
    let mut places: Vec<usize> = (0..64).chain((0..whole.len()).step_by(STEP)).collect();
    // In the headers of frames, too.
    places.extend(Message::parse(&whole).boundaries().iter().step_by(3).map(|at| at + 5 + at % 8));
    for at in places.into_iter().filter(|at| *at < whole.len()) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        is_refused(&format!("byte {at}"), (&broker, &disk), &second, &damaged);
    }
}

#[test]
fn a_frame_that_is_left_out_or_comes_twice_or_too_early_is_noticed() {
    let (disk, broker, second) = gone_on();
    let whole = reply(&broker, &mut remote(&second));
    let boundaries = Message::parse(&whole).boundaries();
    let other = reply(&broker, &mut remote(&second));
    assert_eq!(Message::parse(&other).boundaries(), boundaries);
    let frame = |bytes: &[u8], number: usize| bytes[boundaries[number]..boundaries[number + 1]].to_vec();
    for number in 0..boundaries.len() - 1 {
        let (before, behind) = (&whole[..boundaries[number]], &whole[boundaries[number + 1]..]);
        let this = frame(&whole, number);
        let is_refused =
            |what, bytes: Vec<u8>| is_refused(&format!("frame {number} {what}"), (&broker, &disk), &second, &bytes);
        if number % 3 == 0 {
            is_refused("is left out", [before, behind].concat());
        }
        if number % 3 == 1 && number + 2 < boundaries.len() {
            is_refused("comes twice", [before, &this, &this, behind].concat());
            let next = frame(&whole, number + 1);
            is_refused("is late", [before, &next, &this, &whole[boundaries[number + 2]..]].concat());
        }
        if number % 3 == 2 {
            is_refused("is of another reply", [before, &frame(&other, number), behind].concat());
        }
    }
}

/// The same with right numbers and checksums, as only the other end can make it.
#[test]
fn pieces_that_are_left_out_or_come_in_another_order_are_refused() {
    let (disk, broker, second) = gone_on();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    let pieces: Vec<usize> = (0..message.frames.len()).filter(|number| message.frames[*number].0 == PIECE).collect();
    assert!(6 < pieces.len(), "{pieces:?}");
    for (number, pair) in pieces.windows(2).enumerate() {
        let mut changed = message.clone();
        if number % 2 == 0 {
            changed.frames.drain(pair[0]..pair[1]);
        } else {
            changed.frames[pair[0]..].rotate_left(pair[1] - pair[0]);
        }
        is_refused(&format!("piece {number}"), (&broker, &disk), &second, &changed.bytes());
    }
    for number in (0..message.frames.len()).step_by(5) {
        let mut changed = message.clone();
        changed.frames.remove(number);
        is_refused(&format!("without frame {number}"), (&broker, &disk), &second, &changed.bytes());
    }
}

#[test]
fn a_reply_to_another_request_is_refused() {
    let (disk, broker, second) = gone_on();
    let mut replica = remote(&second);
    let first = reply(&broker, &mut replica);
    send(&broker, "orders", 93..96);
    let same = reply(&broker, &mut replica);
    replica.apply(&first[..]).unwrap();
    let before = counts(&second);
    // Both were to what it had then.
    for late in [&first, &same] {
        let applied = replica.apply(&late[..]);
        assert!(matches!(&applied, Err(Error::InvalidStream { reason, .. }) if reason.contains("another request")));
        assert!(counts(&second) == before);
    }
    let next = reply(&broker, &mut replica);
    // Another replica of the same source, and a new one.
    for other in [SimulatedDisk::new(7), SimulatedDisk::new(8)] {
        let mut other = remote(&other);
        assert!(matches!(other.apply(&next[..]), Err(Error::InvalidStream { .. })));
        let whole = reply(&broker, &mut other);
        assert!(matches!(replica.apply(&whole[..]), Err(Error::InvalidStream { .. })));
    }
    // To what it still has it may come late, by way of another process, and twice if nothing has changed.
    drop(replica);
    let mut replica = remote(&second);
    replica.apply(&next[..]).unwrap();
    has_same_segments(&disk, &second);
    let nothing_new = reply(&broker, &mut replica);
    for _ in 0..2 {
        assert_eq!(replica.apply(&nothing_new[..]).unwrap().bytes(), 0);
    }
}

#[test]
fn a_reply_is_no_request_and_the_other_way_round() {
    let (_disk, broker, second) = gone_on();
    let mut replica = remote(&second);
    let asked = request(&mut replica);
    let (answered, reply) = answer(&broker, &asked);
    answered.unwrap();
    assert!(matches!(answer(&broker, &reply).0, Err(Error::InvalidStream { .. })));
    assert!(matches!(replica.apply(&asked[..]), Err(Error::InvalidStream { .. })));
    assert!(matches!(answer(&broker, b"GET / HTTP/1.1\r\nHost: ottla\r\n").0, Err(Error::InvalidStream { .. })));
    let mut newer = reply;
    newer[11] = 2;
    let applied = replica.apply(&newer[..]);
    assert!(matches!(&applied, Err(Error::InvalidStream { reason, .. }) if reason.contains("version")), "{applied:?}");
}

/// The failure that this is about: a first copy over a bad line never comes to its end.
#[test]
fn segments_that_came_whole_do_not_come_again() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.close().unwrap();
    let source = open_read_only(&disk, DATA);
    let sizes = |is_same_process: bool| {
        let second = second.kill(0);
        let (mut replica, mut sizes) = (remote(&second), Vec::new());
        for round in 0..100 {
            let whole = reply(&source, &mut replica);
            sizes.push(whole.len());
            // Each line holds for what is being written and some segments, and what came over some is applied twice.
            let until = whole.len().min(320_000);
            match (replica.apply(&whole[..until]), round % 3) {
                (Ok(_), _) => break,
                (Err(_), 1) => _ = replica.apply(&whole[..until]).unwrap_err(),
                (Err(_), _) => {}
            }
            if !is_same_process {
                drop(replica);
                replica = RemoteReplica::open_with(SECOND, on(&second)).unwrap();
            }
        }
        drop(replica);
        has_same_segments(&disk, &second);
        can_be_read(&source, &second);
        sizes
    };
    for is_same_process in [true, false] {
        let sizes = sizes(is_same_process);
        assert!(2 < sizes.len() && sizes.len() < 20, "{sizes:?}");
        assert!(sizes.last().unwrap() * 2 < sizes[0], "{sizes:?}");
    }
}

/// A reply that was cut can be applied once more, from the beginning.
#[test]
fn a_reply_that_was_kept_is_good_as_long_as_nothing_has_changed() {
    let (disk, broker, second) = gone_on();
    let mut replica = remote(&second);
    let whole = reply(&broker, &mut replica);
    for cut in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        is_typed("cut", &replica.apply(&whole[..cut]).unwrap_err());
    }
    replica.apply(&whole[..]).unwrap();
    has_same_segments(&disk, &second);
}

/// The failure that this is about: the other end reads for ever, or too far.
#[test]
fn several_rounds_in_one_stream_are_told_apart() {
    let (disk, broker, second) = gone_on();
    let (mut replica, mut stream) = (remote(&second), ReplicaStream::open(&broker).unwrap());
    let asked = [request(&mut replica), request(&mut replica)].concat();
    let (mut replies, mut unread) = (Vec::new(), &asked[..]);
    stream.serve(&mut unread, &mut replies, |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(unread.is_empty());
    let mut unread = &replies[..];
    replica.apply(&mut unread).unwrap();
    assert!(!unread.is_empty());
    assert!(matches!(replica.apply(&mut unread), Err(Error::InvalidStream { .. })));
    has_same_segments(&disk, &second);
    let (answered, _) = answer(&broker, &asked[..asked.len() / 2]);
    answered.unwrap().unwrap();
    let served = stream.serve(&asked[..asked.len() - 1], Vec::new(), |_| std::ops::ControlFlow::Continue(()));
    is_typed("cut", &served.unwrap_err());
}

#[test]
fn a_line_that_cannot_be_written_is_the_lines_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    let mut replica = remote(&SimulatedDisk::new(2));
    let is_pipe = |error: Error| matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe);
    assert!(is_pipe(replica.request(Full).unwrap_err()));
    let asked = request(&mut replica);
    assert!(is_pipe(ReplicaStream::open(&broker).unwrap().answer(&asked[..], Full).unwrap_err()));
}
