//! A replica at the other end of a connection: what its target asks, and what its source answers, as plain bytes.
//!
//! ```text
//! target: RemoteReplica                                          source: ReplicaStream
//!   what it has of each log            ── request ──▶              is it the same history? if not: a refusal
//!                                                                  what is there now, at one point
//!   is it an answer to what it has?    ◀── reply ───               described first, then the pieces that are missing
//!   are the histories the same?
//!   steps: which pieces these must be  ◀── …
//!   each is checked, and put beside what counts
//!   the end has come: all of it counts
//! ```
//! The source remembers nothing: the next request says how far the replica is. Both ends find out by the same function
//! ([`steps`](super::steps)) what is to come, so that a reply cannot bring anything else. Frames guard against damage; what they carry may
//! be hostile all the same, and is checked before it counts.

mod answer;
mod answering;
mod batch_check;
mod frame;
mod frame_reader;
mod frame_writer;
mod framed_pieces;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
mod piece;
mod refusal;
mod remote;
mod reply;
mod request;
mod sending;

use std::fmt;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use self::answering::{Point, point_for};
use self::frame::{REPLY, REQUEST, invalid};
use self::frame_reader::FrameReader;
use self::frame_writer::FrameWriter;
use self::refusal::Refusal;
use self::request::Request;
use super::source::ReplicaSource;
use super::unfetched::{Moved, Unfetched};
use crate::broker::Broker;
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Error, Result};
use crate::segment::reason_of;

pub use answer::ReplicaAnswer;
pub use remote::RemoteReplica;

/// The source of replicas at the other end of a connection: a [`RemoteReplica`] asks, and this answers.
///
/// The connection is the application's: whatever can [`Read`] and [`Write`], a socket, a pipe, or files that somebody carries. It is also
/// the connection's matter who may ask: a request can read all records of the directory, and nothing else. Nothing is remembered between two
/// answers but which files to look at again, so that one of these can answer several replicas, one after the other.
///
/// Requests and replies are framed, numbered and checksummed, and carry a version, which is to be the same at both ends. Damage, and what is
/// not a request at all, is [`Error::InvalidStream`], and changes nothing.
///
/// # Examples
/// ```
/// # #[cfg(not(unix))] fn main() {}
/// # #[cfg(unix)] fn main() -> Result<(), ottla::Error> {
/// use std::os::unix::net::UnixStream;
/// use ottla::{Broker, RemoteReplica, ReplicaStream};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (first, second) = (dir.path().join("first"), dir.path().join("second"));
/// let broker = Broker::open(&first)?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
///
/// let (here, there) = UnixStream::pair().unwrap();
/// let mut stream = ReplicaStream::open(&broker)?;
/// let source = std::thread::spawn(move || stream.serve(&here, &here, |_| std::ops::ControlFlow::Continue(())));
///
/// let mut replica = RemoteReplica::open(&second)?;
/// println!("{}", replica.catch_up(&there, &there)?);
/// drop(there);
/// source.join().unwrap()?;
///
/// // The first machine is lost.
/// replica.promote()?;
/// assert_eq!(Broker::open(&second)?.topic("orders")?.partition(0)?.log_end_offset(), 1);
/// # Ok(())
/// # }
/// ```
pub struct ReplicaStream {
    source: Broker,
    /// Files of the source that are open.
    open_files: Arc<OpenFiles>,
    /// What was not what was said of it in the last answer.
    moved: Option<Box<Moved>>,
}

/// How an answer has ended.
enum Answered {
    Whole(ReplicaAnswer),
    /// The other end was told why not.
    Refused(Error),
}

impl ReplicaStream {
    /// Opens a source: a broker of this process, or a directory that another process writes.
    ///
    /// # Errors
    /// [`Error::Closed`]; those of [`Broker::open_read_only`] for a directory.
    pub fn open(source: impl Into<ReplicaSource>) -> Result<ReplicaStream> {
        let source = source.into().open()?;
        source.store.identity()?;
        let open_files = OpenFiles::for_copies(source.store.disk());
        Ok(ReplicaStream { source, open_files, moved: None })
    }

    /// Reads a request, and writes and flushes the reply to it, with all that the source has now and does not lose in a power cut any more.
    /// Returns `None` if the other end has closed the connection instead of asking. Nothing behind the request is read.
    ///
    /// # Errors
    /// [`Error::InvalidStream`] for what is no request, or came damaged: there is no reply then, and the connection is of no use any more.
    /// [`Error::ReplicaDiverged`] if the replica has what the source does not have; [`Error::ReplicaNotServed`] if it is to ask again, since
    /// files came or went meanwhile; those of [`Replica::catch_up`](crate::Replica::catch_up): the replica is told of all of these. Those of the
    /// connection, as [`Error::Io`]; of kind [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if it ends in the middle of a request.
    ///
    /// # Examples
    /// By files that are carried from here to there, and back:
    /// ```
    /// use ottla::{Broker, RemoteReplica, ReplicaStream};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let second = dir.path().join("second");
    /// # let broker = Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut replica = RemoteReplica::open(&second)?;
    /// let (mut request, mut reply) = (Vec::new(), Vec::new());
    /// replica.request(&mut request)?;
    /// let answer = ReplicaStream::open(&broker)?.answer(&request[..], &mut reply)?;
    /// assert!(answer.is_some_and(|answer| answer.lag().offsets() > 0));
    /// replica.apply(&reply[..])?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn answer(&mut self, request: impl Read, reply: impl Write) -> Result<Option<ReplicaAnswer>> {
        match self.answer_once(request, reply)? {
            None => Ok(None),
            Some(Answered::Whole(answer)) => Ok(Some(answer)),
            Some(Answered::Refused(error)) => Err(error),
        }
    }

    /// Answers one request after the other, until the other end closes the connection, or `go_on`, which is shown each answer, says that it is
    /// enough.
    ///
    /// # Errors
    /// Those of [`answer`](ReplicaStream::answer), with the first one that there is, but for that the replica is to ask again.
    pub fn serve(
        &mut self,
        mut reader: impl Read,
        mut writer: impl Write,
        mut go_on: impl FnMut(&ReplicaAnswer) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            match self.answer_once(&mut reader, &mut writer)? {
                None => return Ok(()),
                Some(Answered::Whole(answer)) if go_on(&answer).is_break() => return Ok(()),
                Some(Answered::Whole(_) | Answered::Refused(Error::ReplicaNotServed { is_passing: true, .. })) => {}
                Some(Answered::Refused(error)) => return Err(error),
            }
        }
    }

    fn answer_once(&mut self, request: impl Read, reply: impl Write) -> Result<Option<Answered>> {
        let dir = self.source.dir().to_owned();
        let Some(request) = read_request(request, &dir)? else { return Ok(None) };
        #[allow(clippy::cast_possible_truncation, reason = "the lower half of a random number is one, too")]
        let nonce = self.source.store.disk().random() as u64;
        let mut frames = FrameWriter::begin(reply, &dir, REPLY, nonce);
        let Point { offer, source } = match point_for(&request, &self.source, &self.open_files) {
            Ok(Ok(point)) => point,
            Ok(Err(divergence)) => {
                let error = divergence.to_error(Path::new(OTHER_END));
                return refuse(frames, &Refusal::Diverged(divergence), error).map(Some);
            }
            Err(error) => return refuse(frames, &not_served(&error), error).map(Some),
        };
        frames.description(&reply::encode(request.fingerprint(), &offer))?;
        match sending::send(&mut frames, &request, &offer, &source) {
            Ok(bytes) => {
                frames.end()?;
                self.moved = None;
                Ok(Some(Answered::Whole(ReplicaAnswer::new(&request, &offer, bytes))))
            }
            Err(Unfetched::Failed(error @ Error::InvalidStream { .. })) => Err(error),
            Err(unfetched) => {
                let error = explain(unfetched, &mut self.moved);
                refuse(frames, &not_served(&error), error).map(Some)
            }
        }
    }
}

/// What stands for the directory of a replica that is elsewhere, in the messages of its source.
const OTHER_END: &str = "at the other end of the stream";

fn read_request(request: impl Read, dir: &Path) -> Result<Option<Request>> {
    let Some(mut frames) = FrameReader::begin(request, dir, REQUEST)? else { return Ok(None) };
    let Ok(description) = frames.description()? else { return Err(invalid("a request refuses to be one")) };
    frames.end()?;
    Request::decode(&description).map(Some).map_err(|refused| invalid(reason_of(refused)))
}

fn refuse<W: Write>(frames: FrameWriter<'_, W>, refusal: &Refusal, error: Error) -> Result<Answered> {
    frames.refuse(&refusal.encode())?;
    Ok(Answered::Refused(error))
}

fn not_served(error: &Error) -> Refusal {
    let is_passing = error.is_retriable();
    let reason = match error {
        Error::ReplicaNotServed { reason, .. } => reason.clone(),
        error => error.with_causes().to_string(),
    };
    Refusal::NotServed { reason, is_passing }
}

/// Why what was described does not come. Once may be a file that came or went meanwhile. What stays so is wrong.
fn explain(unfetched: Unfetched, last: &mut Option<Box<Moved>>) -> Error {
    let again =
        || Error::ReplicaNotServed { reason: "files came or went while they were read".to_owned(), is_passing: true };
    let moved = match unfetched {
        Unfetched::Failed(Error::Closed { by: ClosedBy::Deletion, .. }) => return again(),
        Unfetched::Failed(error) => return error,
        Unfetched::Unlike(log, base_offset) => {
            let reason =
                format!("the segment from offset {base_offset} on cannot be read at the source: verify it there");
            let error = Error::ReplicaNotServed { reason, is_passing: false };
            Box::new(Moved { log, base_offset, log_crc32: None, error })
        }
        Unfetched::Moved(moved) => moved,
    };
    if last.as_ref().is_some_and(|last| last.is_same(&moved)) {
        return moved.error;
    }
    *last = Some(moved);
    again()
}

/// In short: the source is a long story.
impl fmt::Debug for ReplicaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaStream").field("source", &self.source.dir()).finish_non_exhaustive()
    }
}
