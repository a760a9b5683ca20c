//! What a replica follows.

use std::path::{Path, PathBuf};

use crate::broker::Broker;
use crate::error::Result;

/// What a [`Replica`](crate::Replica) follows: a broker of this process, or a directory that another process writes.
///
/// Of a broker of this process all partitions are taken at one moment, with all that was sent until then. Of the directory of another
/// process each partition is taken at a moment of its own, and as far as the segments have it: what is only in the tail follows later.
#[derive(Debug, Clone)]
pub struct ReplicaSource(Source);

#[derive(Debug, Clone)]
enum Source {
    Broker(Broker),
    Directory(PathBuf),
}

impl ReplicaSource {
    /// The broker to read from.
    pub(super) fn open(self) -> Result<Broker> {
        match self.0 {
            Source::Broker(broker) => Ok(broker),
            Source::Directory(dir) => Broker::open_read_only(dir),
        }
    }
}

impl From<&Broker> for ReplicaSource {
    fn from(broker: &Broker) -> ReplicaSource {
        ReplicaSource(Source::Broker(broker.clone()))
    }
}

impl From<PathBuf> for ReplicaSource {
    fn from(dir: PathBuf) -> ReplicaSource {
        ReplicaSource(Source::Directory(dir))
    }
}

impl From<&PathBuf> for ReplicaSource {
    fn from(dir: &PathBuf) -> ReplicaSource {
        dir.clone().into()
    }
}

impl From<&Path> for ReplicaSource {
    fn from(dir: &Path) -> ReplicaSource {
        dir.to_owned().into()
    }
}

impl From<&str> for ReplicaSource {
    fn from(dir: &str) -> ReplicaSource {
        PathBuf::from(dir).into()
    }
}
