//! What only the other end can send: frames with right numbers and checksums, and what cannot be in them.
//!
//! The failure that this is about: who can send bytes gets files written elsewhere, memory taken, or records that cannot be read.

use std::path::Path;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Error, ProducerRecord, TopicPartition};

use super::frames::{DATA as DATA_FRAME, Message, PIECE, REFUSAL};
use super::{answer, catch_up, remote, reply, request};
use crate::directories::{DATA, open, send, small_segments};
use crate::replica::{SECOND, can_be_read, has_same_segments};

/// Where the batch begins in a data frame, and the fields of its header.
const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = 8;
const LAST_OFFSET_DELTA: usize = 23;
const RECORDS: usize = 61;

/// A source with sealed segments, and one that is being written, and a replica without any topic.
fn two_disks() -> (SimulatedDisk, Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    catch_up(&broker, &second).unwrap();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..25);
    broker.run_maintenance().unwrap();
    broker.topic("orders").unwrap().produce("last", "one").unwrap();
    (disk, broker, second)
}

/// Has a replica apply what is no good reply: no record of it counts, no file is elsewhere, and it goes on.
fn is_refused(what: &str, (broker, source): (&Broker, &SimulatedDisk), second: &SimulatedDisk, message: &Message) {
    let disk = second.kill(0);
    let mut replica = remote(&disk);
    match replica.apply(&message.bytes()[..]) {
        Err(Error::InvalidStream { .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
    for (path, _) in disk.files() {
        assert!(
            path.starts_with(SECOND) && !path.components().any(|part| part.as_os_str() == ".."),
            "{what}: {}",
            path.display()
        );
    }
    let again = reply(broker, &mut replica);
    replica.apply(&again[..]).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(replica);
    has_same_segments(source, &disk);
    can_be_read(broker, &disk);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (disk, broker, second) = two_disks();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    for name in ["../../", "/etc/x", "or/der", "or\0ers", "or\u{e9}rs", "      "] {
        is_refused(name, (&broker, &disk), &second, &message.replaced(b"orders", name.as_bytes()));
    }
    // The size of the name stands before that of the settings.
    let at = place_of(&message.description(), b"orders") - 5;
    for (size, name) in [(0, &b""[..]), (1, b"."), (2, b".."), (3, b"a/b")] {
        let mut description = message.description();
        description[at] = size;
        description.splice(at + 5..at + 11, name.iter().copied());
        is_refused(&format!("{name:?}"), (&broker, &disk), &second, &message.with_description(&description));
    }
}

/// Where some bytes are the first time.
fn place_of(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn counts_sizes_and_offsets_that_cannot_be_are_refused() {
    let (disk, broker, second) = two_disks();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    let description = message.description();
    // The first byte of everything, so that all that is large becomes huge, and in the middle; and what is cut.
    let mut refused = 0;
    for at in 0..description.len() {
        for value in [0xff, 0x7f] {
            let mut changed = description.clone();
            changed[at] = value;
            let second = second.kill(0);
            let mut replica = remote(&second);
            match replica.apply(&message.with_description(&changed).bytes()[..]) {
                Err(Error::InvalidStream { .. } | Error::ReplicaDiverged { .. }) => refused += 1,
                // When it was, settings, and other things that the source may choose.
                Ok(_) => {}
                Err(other) => panic!("byte {at}: {other:?}"),
            }
            drop(replica);
            // Whatever it has taken, it is a replica, and can be promoted.
            remote(&second).promote().unwrap_or_else(|error| panic!("byte {at}: {error}"));
            _ = open(&second, SECOND);
        }
    }
    assert!(description.len() / 2 < refused, "{refused} of {}", description.len());
    for cut in 0..description.len() {
        let changed = message.with_description(&description[..cut]);
        let applied = remote(&second).apply(&changed.bytes()[..]);
        assert!(matches!(applied, Err(Error::InvalidStream { .. })), "{cut}: {applied:?}");
    }
    is_refused("more", (&broker, &disk), &second, &message.with_description(&[&description[..], &[0]].concat()));
}

#[test]
fn sizes_of_frames_take_no_memory() {
    let (_disk, broker, second) = two_disks();
    let whole = reply(&broker, &mut remote(&second));
    let mut replica = remote(&second);
    for size in [u32::MAX, 1 << 31, (256 << 10) + 1] {
        let mut changed = whole.clone();
        changed[29..33].copy_from_slice(&size.to_be_bytes());
        let applied = replica.apply(&changed[..]);
        assert!(matches!(applied, Err(Error::InvalidStream { .. })), "{applied:?}");
    }
    let message = Message::parse(&whole);
    for size in [u32::MAX, (64 << 20) + 1] {
        let mut changed = message.clone();
        changed.frames[0].1[..4].copy_from_slice(&size.to_be_bytes());
        let applied = replica.apply(&changed.bytes()[..]);
        assert!(matches!(applied, Err(Error::InvalidStream { .. })), "{applied:?}");
    }
    // As much as a frame carries, and then it ends.
    let mut changed = message;
    changed.frames[0].1[..4].copy_from_slice(&(60_u32 << 20).to_be_bytes());
    assert!(matches!(replica.apply(&changed.bytes()[..]), Err(Error::InvalidStream { .. })));
}

/// The batches that come, by the numbers of their data frames: those of whole files first.
fn data_frames(message: &Message) -> (Vec<usize>, Vec<usize>) {
    let (mut files, mut batches) = (Vec::new(), Vec::new());
    for (number, pair) in message.frames.windows(2).enumerate() {
        if pair[0].0 == PIECE && pair[1].0 == DATA_FRAME {
            match pair[0].1[0] {
                1 => files.push(number + 1),
                3 => batches.push(number + 1),
                _ => {}
            }
        }
    }
    (files, batches)
}

fn batch_crc32c(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Does something to the bytes of a batch.
type Change = fn(&mut Vec<u8>);

/// What makes a batch a wrong one, with right checksums wherever there are any.
const CHANGES: [(&str, Change); 6] = [
    ("another offset", |data| data[BASE_OFFSET + 7] ^= 1),
    ("a negative offset", |data| data[BASE_OFFSET] = 0x80),
    ("a damaged record", |data| data[RECORDS + 9] ^= 1),
    ("a huge size", |data| data[BATCH_LENGTH] = 0x7f),
    ("too many offsets", |data| {
        data[LAST_OFFSET_DELTA] = 1;
        let end = 12 + u32::from_be_bytes(data[BATCH_LENGTH..BATCH_LENGTH + 4].try_into().unwrap()) as usize;
        batch_crc32c(&mut data[..end]);
    }),
    ("half a batch", |data| data.truncate(data.len() / 2)),
];

#[test]
fn batches_that_cannot_be_are_refused() {
    let (disk, broker, second) = two_disks();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    let (files, batches) = data_frames(&message);
    assert!(!files.is_empty() && !batches.is_empty(), "{files:?} {batches:?}");
    for (what, change) in CHANGES {
        for &number in files.iter().chain(&batches) {
            let mut changed = message.clone();
            let before = crc32fast::hash(&changed.frames[number].1);
            change(&mut changed.frames[number].1);
            is_refused(&format!("{what} in frame {number}"), (&broker, &disk), &second, &changed);
            if files.contains(&number) {
                // What is said of the file fits what comes.
                let after = crc32fast::hash(&changed.frames[number].1);
                let fitting = changed.replaced(&before.to_be_bytes(), &after.to_be_bytes());
                is_refused(&format!("{what} in the file of frame {number}"), (&broker, &disk), &second, &fitting);
            }
        }
    }
    for &number in files.iter().chain(&batches) {
        let mut changed = message.clone();
        changed.frames.insert(number + 1, (DATA_FRAME, vec![7; 100]));
        is_refused("more than there is", (&broker, &disk), &second, &changed);
        let mut changed = message.clone();
        let twice = changed.frames[number].clone();
        changed.frames.insert(number + 1, twice);
        is_refused("twice", (&broker, &disk), &second, &changed);
    }
}

#[test]
fn pieces_of_other_logs_and_other_places_are_refused() {
    let (disk, broker, second) = two_disks();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    for (number, _) in message.frames.iter().enumerate().filter(|(_, (kind, _))| *kind == PIECE) {
        for at in [0, 1, 16, 20, 28, 29, 37, 45, 53] {
            let mut changed = message.clone();
            changed.frames[number].1[at] ^= 1;
            is_refused(&format!("piece {number}, byte {at}"), (&broker, &disk), &second, &changed);
        }
        let mut changed = message.clone();
        changed.frames[number].1.push(0);
        is_refused(&format!("piece {number}"), (&broker, &disk), &second, &changed);
    }
}

#[test]
fn refusals_are_not_believed_beyond_what_they_can_be() {
    let (_disk, broker, second) = two_disks();
    let message = Message::parse(&reply(&broker, &mut remote(&second)));
    let told = |payload: &[u8], behind: usize| {
        let mut changed = message.clone();
        changed.frames.truncate(behind);
        changed.frames.push((REFUSAL, payload.to_vec()));
        changed.bytes()
    };
    for behind in 0..message.frames.len() {
        // Topics come one step ahead.
        let second = second.kill(0);
        let failed = remote(&second.kill(0)).apply(&told(b"\x02the disk is\x1b[31m full", behind)[..]);
        let reason = match &failed {
            Err(Error::ReplicaNotServed { reason, is_passing: false, .. }) => reason,
            other => panic!("{behind}: {other:?}"),
        };
        assert_eq!(reason, "the disk is [31m full");
        for payload in [&b""[..], b"\x09", &[b"\x02".as_slice(), &[b'x'; 5000]].concat(), b"\x01\x01", b"\x01\x09"] {
            let refused = remote(&second.kill(0)).apply(&told(payload, behind)[..]);
            assert!(matches!(refused, Err(Error::InvalidStream { .. })), "{behind}: {refused:?}");
        }
    }
    let diverged = [&b"\x01\x03\0\0\0\x07"[..], &9_u64.to_be_bytes(), b"orders"].concat();
    match remote(&second).apply(&told(&diverged, 0)[..]) {
        Err(Error::ReplicaDiverged { path, partition, offset, .. }) => {
            assert_eq!((path.as_path(), offset), (Path::new(SECOND), Some(9)));
            assert_eq!(partition, Some(TopicPartition::new("orders", 7)));
        }
        other => panic!("{other:?}"),
    }
}

/// What a hostile request may read is what is in the segments, and it is told so.
#[test]
fn requests_that_cannot_be_are_not_answered() {
    let (_disk, broker, second) = two_disks();
    catch_up(&broker, &second).unwrap();
    // Something more to come behind what is being written there.
    broker.topic("orders").unwrap().produce("more", "to come").unwrap();
    let message = Message::parse(&request(&mut remote(&second)));
    let description = message.description();
    let (mut refused, mut answered) = (0, 0);
    for at in 0..description.len() {
        for value in [description[at] ^ 1, 0xff, 0x7f] {
            let mut changed = description.clone();
            changed[at] = value;
            match answer(&broker, &message.with_description(&changed).bytes()).0 {
                Err(Error::InvalidStream { .. } | Error::ReplicaDiverged { .. }) => refused += 1,
                Ok(_) => answered += 1,
                Err(other) => panic!("byte {at}: {other:?}"),
            }
        }
    }
    assert!(description.len() < refused, "{refused} of {}, and {answered}", description.len());
    for cut in 0..description.len() {
        let asked = message.with_description(&description[..cut]).bytes();
        assert!(matches!(answer(&broker, &asked).0, Err(Error::InvalidStream { .. })), "{cut}");
    }
    // And the source is as it was.
    assert!(broker.admin().verify().unwrap().is_clean());
    broker.existing_topic("orders").unwrap().partition(0).unwrap().append(&ProducerRecord::new().value("x")).unwrap();
}
