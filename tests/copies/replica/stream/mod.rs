//! Replicas whose source is at the other end of a stream: what comes, and what does not, whatever becomes of the bytes in between.
#![allow(clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod crashes;
mod cuts;
mod following;
mod frames;
mod history;
mod hostile;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, CatchUpReport, RemoteReplica, ReplicaAnswer, ReplicaStream, Result};

use super::{SECOND, on};

/// The replica in the usual place of this disk.
fn remote(disk: &SimulatedDisk) -> RemoteReplica {
    RemoteReplica::open_with(SECOND, on(disk)).unwrap()
}

/// What a replica asks.
fn request(replica: &mut RemoteReplica) -> Vec<u8> {
    let mut request = Vec::new();
    replica.request(&mut request).unwrap();
    request
}

/// What a source says to a request.
fn answer(broker: &Broker, request: &[u8]) -> (Result<Option<ReplicaAnswer>>, Vec<u8>) {
    let mut reply = Vec::new();
    let answered = ReplicaStream::open(broker).unwrap().answer(request, &mut reply);
    (answered, reply)
}

/// What a source says to what a replica asks.
fn reply(broker: &Broker, replica: &mut RemoteReplica) -> Vec<u8> {
    let (answered, reply) = answer(broker, &request(replica));
    answered.unwrap().unwrap();
    reply
}

/// A round by way of buffers.
fn catch_up(broker: &Broker, disk: &SimulatedDisk) -> Result<CatchUpReport> {
    let mut replica = RemoteReplica::open_with(SECOND, on(disk))?;
    let mut asked = Vec::new();
    replica.request(&mut asked)?;
    replica.apply(&answer(broker, &asked).1[..])
}
