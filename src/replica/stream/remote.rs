//! [`RemoteReplica`]: a replica whose source is at the other end of a connection.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{REPLY, REQUEST, invalid};
use super::frame_reader::FrameReader;
use super::frame_writer::FrameWriter;
use super::framed_pieces::{FramedPieces, refused};
use super::reply;
use super::request::{Request, RequestTopic};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::record::Timestamp;
use crate::replica::held_log::HeldLog;
use crate::replica::history::HeldTopic;
use crate::replica::offer::DirectoryOffer;
use crate::replica::options::ReplicaOptions;
use crate::replica::promoting;
use crate::replica::report::{CatchUpReport, PromoteReport};
use crate::replica::target::Target;
use crate::replica::unfetched::Unfetched;
use crate::segment::reason_of;

/// So often in a row the source may say that files came or went while it read them.
const TRIES: usize = 10;

/// A [`Replica`](crate::Replica) whose source is at the other end of a connection, where a [`ReplicaStream`](crate::ReplicaStream) answers.
///
/// It is the same directory, and what is said of a replica holds for it: the same segments, byte by byte, all partitions at one point of
/// the source, whatever crashes, and never two histories in one. This end keeps all that is to be known, and asks from where it is. The
/// connection may be cut at any byte: either all of a round counts or none of it, but for topics, which come and go one step ahead. What has
/// come of a round that was cut, in segments that are whole, does not come again.
///
/// What comes is checked, also where its checksums are right: names, offsets, sizes, and each batch, before it counts. Who can send at the
/// other end can send any records, though, or delete all: let only the source do so.
///
/// For an example see [`ReplicaStream`](crate::ReplicaStream).
#[derive(Debug)]
pub struct RemoteReplica {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// None before its first reply.
    target: Option<Target>,
    /// The newest leader epoch that the source has told of.
    latest_epoch: i32,
}

impl RemoteReplica {
    /// Opens the replica in the directory `target`. If there is nothing, the first reply begins one.
    ///
    /// # Errors
    /// [`Error::NotAReplica`], [`Error::Unfinished`]; [`Error::AlreadyOpen`]; [`Error::Corrupt`]; those of the system.
    pub fn open(target: impl AsRef<Path>) -> Result<RemoteReplica> {
        RemoteReplica::open_with(target, ReplicaOptions::new())
    }

    /// The same, kept as the options say. There is no [rest](ReplicaOptions::interval) here: ask when you like.
    ///
    /// # Errors
    /// Those of [`open`](RemoteReplica::open).
    pub fn open_with(target: impl AsRef<Path>, options: ReplicaOptions) -> Result<RemoteReplica> {
        let dir = target.as_ref().to_owned();
        let found = Target::open_if_there(Arc::clone(&options.disk), &dir)?;
        Ok(RemoteReplica { disk: options.disk, dir, target: found, latest_epoch: 0 })
    }

    /// The directory of the replica.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.target.as_ref().map_or(&self.dir, Target::dir)
    }

    /// When the source was what the replica is now, by the wall clock there; `None` if it has never caught up.
    #[must_use]
    pub fn taken_at(&self) -> Option<Timestamp> {
        let taken_ms = self.target.as_ref().map(|target| target.state().taken_ms);
        taken_ms.filter(|taken_ms| 0 <= *taken_ms).map(Timestamp::from_millis)
    }

    /// Asks for all that the source has by then, reads the reply, and applies it; if files came or went at the source meanwhile, it asks
    /// again.
    ///
    /// # Errors
    /// Those of [`request`](RemoteReplica::request) and [`apply`](RemoteReplica::apply). If the connection still stands, and the error
    /// [is retriable](Error::is_retriable), or is about the disk here, ask again; else on a new one.
    pub fn catch_up(&mut self, mut reader: impl Read, mut writer: impl Write) -> Result<CatchUpReport> {
        let mut tries = 1;
        loop {
            self.request(&mut writer)?;
            match self.apply(&mut reader) {
                Err(Error::ReplicaNotServed { is_passing: true, .. }) if tries < TRIES => tries += 1,
                applied => return applied,
            }
        }
    }

    /// Writes and flushes a request for all that the source has when it reads it. The request says what there is here: it acknowledges
    /// that, and does not grow with the records, but with the segments, by about a hundred bytes each.
    ///
    /// # Errors
    /// Those of the connection, as [`Error::Io`] with the directory of the replica; [`Error::Corrupt`]; those of the system.
    pub fn request(&mut self, writer: impl Write) -> Result<()> {
        let request = self.what_is_there()?;
        #[allow(clippy::cast_possible_truncation, reason = "the lower half of a random number is one, too")]
        let nonce = self.disk.random() as u64;
        let mut frames = FrameWriter::begin(writer, &self.dir, REQUEST, nonce);
        frames.description(&request.encode())?;
        frames.end()
    }

    /// Reads a reply, and brings the replica to the point of it. All of it counts at once: if this fails, or the process ends, the replica is
    /// what it was, or has all of it. Nothing behind the reply is read.
    ///
    /// A reply is good for what the replica had when it asked, also in another process. One that was asked for before another one was applied
    /// is refused.
    ///
    /// # Errors
    /// [`Error::InvalidStream`] for a reply that is damaged, hostile, or not to this request;
    /// [`Error::ReplicaDiverged`]; [`Error::ReplicaNotServed`] for what the source says;
    /// those of the connection, as [`Error::Io`], of kind [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if it is cut;
    /// [`Error::TargetNotEmpty`] if the replica is not there yet; [`Error::DiskFull`]; those of the system.
    pub fn apply(&mut self, reader: impl Read) -> Result<CatchUpReport> {
        let dir = self.dir().to_owned();
        let Some(mut frames) = FrameReader::begin(reader, &dir, REPLY)? else {
            let source = io::Error::new(ErrorKind::UnexpectedEof, "the stream ended before a reply");
            return Err(Error::io("read the stream of", &dir, source));
        };
        let description = frames.description()?.map_err(|refusal| refused(&refusal, &dir))?;
        let (fingerprint, offer) = reply::decode(&description).map_err(|refused| invalid(reason_of(refused)))?;
        drop(description);
        if fingerprint != self.what_is_there()?.fingerprint() {
            return Err(invalid("it answers another request, from before the replica became what it is: ask again"));
        }
        self.latest_epoch = self.latest_epoch.max(latest_epoch(&offer));
        let target = match &mut self.target {
            Some(target) => target,
            None => self.target.insert(Target::open(Arc::clone(&self.disk), &self.dir, Some(offer.identity))?),
        };
        match target.follow(&offer, &mut FramedPieces::new(frames, &dir), 0) {
            Ok(round) => Ok(CatchUpReport::new(round, offer.taken_ms)),
            Err(Unfetched::Failed(error)) => Err(error),
            Err(Unfetched::Moved(moved)) => Err(moved.error),
            Err(Unfetched::Unlike(_, base_offset)) => {
                let reason = format!(
                    "what came does not become the segment from offset {base_offset} on; it comes as a whole the next time"
                );
                Err(Error::ReplicaNotServed { reason, is_passing: true })
            }
        }
    }

    fn what_is_there(&mut self) -> Result<Request> {
        let Some(target) = &mut self.target else { return Ok(Request::of_nothing()) };
        let logs: Vec<HeldLog> = target.all_held()?;
        let topics = target.topics().map(|HeldTopic { name, topic_id, partitions }| RequestTopic {
            name: name.into(),
            topic_id,
            partitions,
        });
        let unreadable = logs.iter().any(|held| held.written.iter().any(|it| 0 < it.log_bytes && it.sums.is_none()));
        if unreadable {
            return Err(Error::corrupt_file(target.dir(), 0, "the end of a segment cannot be read"));
        }
        Ok(Request {
            source_id: target.state().source_id,
            taken_ms: target.state().taken_ms,
            topics: topics.collect(),
            logs: logs.into_iter().map(|held| (held.state.log, held)).collect(),
        })
    }

    /// Makes the replica a data directory of its own, at the last point to which it has caught up; see
    /// [`Replica::promote`](crate::Replica::promote). Its leader epochs are above all that it has heard of from its source.
    ///
    /// # Errors
    /// Those of [`Replica::promote`](crate::Replica::promote); [`Error::NotAReplica`] if no reply was ever applied.
    pub fn promote(self) -> Result<PromoteReport> {
        let nothing =
            || Error::NotAReplica { path: self.dir.clone(), reason: "nothing was ever copied there; check the path" };
        promoting::promote(self.target.ok_or_else(nothing)?, self.latest_epoch)
    }
}

/// The newest leader epoch that a source may have given out, as far as it says.
fn latest_epoch(offer: &DirectoryOffer) -> i32 {
    let of_logs = offer.logs.iter().map(|offered| offered.has.seen.0.latest()).max().unwrap_or(0);
    of_logs.max(offer.identity.least_leader_epoch())
}
