//! Streams made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use std::path::Path;

use super::frame::{HEADER_BYTES, OPENING_BYTES, REPLY, REQUEST, VERSION, checksum};
use super::frame_reader::FrameReader;
use super::refusal::Refusal;
use super::remote::RemoteReplica;
use super::reply;
use super::request::Request;
use crate::disk::simulated::SimulatedDisk;
use crate::replica::ReplicaOptions;

/// Reads what a request describes, and describes it again.
pub fn stream_request(description: &[u8]) {
    if let Ok(request) = Request::decode(description) {
        assert_eq!(Request::decode(&request.encode()), Ok(request), "a request comes back from its bytes");
    }
}

/// Reads what a reply describes, and describes it again.
pub fn stream_reply(description: &[u8]) {
    if let Ok((fingerprint, offer)) = reply::decode(description) {
        let described = reply::encode(fingerprint, &offer);
        let (fingerprint, offer) = reply::decode(&described).unwrap();
        assert_eq!(reply::encode(fingerprint, &offer), described, "a reply comes back from its bytes");
    }
    if let Ok(refusal) = Refusal::decode(description) {
        let again = Refusal::decode(&refusal.encode());
        // What is longer than it may be is cut.
        assert!(again.is_ok(), "a refusal comes back from its bytes");
    }
}

/// Applies a reply to a replica that is not there yet, with right numbers and checksums of its frames if `is_fixed`.
pub fn stream_message(bytes: &[u8], is_fixed: bool) {
    let mut message = bytes.to_vec();
    if is_fixed {
        fix(&mut message);
    }
    for magic in [REQUEST, REPLY] {
        let Ok(Some(mut frames)) = FrameReader::begin(&message[..], Path::new("/data"), magic) else { continue };
        _ = frames.description();
        while frames.next().is_ok() {}
    }
    let disk = SimulatedDisk::new(0);
    let options = || ReplicaOptions::new().disk(&disk);
    let dir = Path::new("/data");
    if RemoteReplica::open_with(dir, options()).unwrap().apply(&message[..]).is_err() {
        assert!(disk.files().iter().all(|(path, _)| path.starts_with(dir)), "no file is made elsewhere");
    }
    // Whatever has come, it goes on.
    RemoteReplica::open_with(dir, options()).unwrap();
}

/// Has the message be a reply of this version to a replica that is not there, and its frames have their numbers and checksums.
fn fix(message: &mut [u8]) {
    let Some((opening, mut rest)) = message.split_at_mut_checked(OPENING_BYTES) else { return };
    let (magic, version) = opening.split_at_mut(REPLY.len());
    magic.copy_from_slice(&REPLY);
    let (version, nonce) = version.split_at_mut(size_of::<u32>());
    version.copy_from_slice(&VERSION.to_be_bytes());
    let nonce = u64::from_be_bytes((&*nonce).try_into().unwrap());
    let mut sequence = 0_u64;
    while let Some((header, behind)) = rest.split_at_mut_checked(HEADER_BYTES) {
        header.get_mut(..8).unwrap().copy_from_slice(&sequence.to_be_bytes());
        let payload_bytes = u32::from_be_bytes(header.get(9..).unwrap().try_into().unwrap()) as usize;
        let Some((payload, behind)) = behind.split_at_mut_checked(payload_bytes) else { return };
        let Some((crc, behind)) = behind.split_at_mut_checked(size_of::<u32>()) else { return };
        if let Some(fingerprint) = payload.get_mut(4..12).filter(|_| sequence == 0) {
            fingerprint.copy_from_slice(&Request::of_nothing().fingerprint().to_be_bytes());
        }
        crc.copy_from_slice(&checksum(nonce, (&*header).try_into().unwrap(), payload).to_be_bytes());
        (rest, sequence) = (behind, sequence + 1);
    }
}
