//! A second data directory that follows another one, batch by batch: the same segments, byte by byte.
//!
//! ```text
//! source: what survives a power cut, of all logs at one point                     broker/copying, partition/follower/contents
//!   ─→ offer       what that is, said without files
//!   ─→ history     is it the log that the replica has a part of?
//!   ─→ steps       what is missing of each log, and fetching what is to be done with it; its bytes are pieces
//!   ─→ target      all of it counts at once: the file `replica` (state) says so
//!   ─→ promoting   when the source is given up
//!
//! beside      kept by a broker itself, which acknowledges nothing that is on one disk only    partition/mirror
//!   ─→ journal     what was acknowledged since the replica caught up last
//! ```
//! A source at the other end of a connection describes itself, and sends the pieces, by a [stream]. The files of one log, from one state
//! to the next, are `partition/log_replica`'s matter.

mod base;
mod beside;
mod fetching;
mod files;
mod held_log;
mod history;
mod journal;
mod local_pieces;
mod local_source;
mod offer;
mod options;
mod pieces;
mod promoting;
mod report;
mod running;
mod source;
mod source_end;
mod state;
mod steps;
pub(crate) mod stream;
mod target;
mod unfetched;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::local_source::LocalSource;
use self::offer::DirectoryOffer;
use self::target::Target;
use self::unfetched::{Moved, Unfetched};
use crate::broker::Broker;
use crate::broker::catalog::DirectoryIdentity;
use crate::broker::copying::DirectoryContents;
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Error, Result};
use crate::events::Event;
use crate::partition::log_id::LogId;

pub use options::ReplicaOptions;
pub use report::{CatchUpReport, PromoteReport, ReplicaLag};
pub use running::ReplicaThread;
pub use source::ReplicaSource;
pub use stream::{RemoteReplica, ReplicaAnswer, ReplicaStream};

/// A second data directory that follows another one: the same topics, settings, groups and transactions, the same offsets, leader epochs
/// and timestamps, and the same segments, byte by byte. What the source deletes or compacts goes here, too.
///
/// It never has what its source could still lose. It can be opened [read-only](Broker::open_read_only) meanwhile, by other processes
/// too; for writing only once it was [promoted](Replica::promote). It goes on after any crash of either side. If its source was
/// lost and made anew, restored, or put back as it had been, it says so ([`Error::ReplicaDiverged`]) and changes nothing: two histories
/// are never mixed.
///
/// # Examples
/// ```
/// use ottla::{Broker, Replica};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (first, second) = (dir.path().join("first"), dir.path().join("second"));
/// let broker = Broker::open(&first)?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
///
/// let mut replica = Replica::open(&broker, &second)?;
/// replica.catch_up()?;
/// broker.topic("orders")?.produce("customer-2", "1 tea")?;
/// println!("{}", replica.catch_up()?);
/// assert_eq!(replica.lag()?.offsets(), 0);
///
/// // The first disk is lost.
/// # drop(broker);
/// replica.promote()?;
/// let broker = Broker::open(&second)?;
/// assert_eq!(broker.topic("orders")?.partition(0)?.log_end_offset(), 2);
/// # Ok::<_, ottla::Error>(())
/// ```
pub struct Replica {
    source: Broker,
    /// Files of the source that are open.
    source_files: Arc<OpenFiles>,
    target: Target,
    interval: Duration,
}

impl Replica {
    /// Opens the replica in the directory `target`, or begins one, if that is empty or not there. Nothing is copied yet.
    ///
    /// # Errors
    /// [`Error::NotAReplica`], [`Error::TargetNotEmpty`], [`Error::Unfinished`]; [`Error::AlreadyOpen`];
    /// those of [`Broker::open_read_only`] for a source that is a directory; [`Error::Corrupt`]; those of the system.
    ///
    /// # Examples
    /// From the directory of another process, on a disk of its own:
    /// ```no_run
    /// let mut replica = ottla::Replica::open("/var/lib/orders", "/mnt/second/orders")?;
    /// replica.catch_up()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn open(source: impl Into<ReplicaSource>, target: impl AsRef<Path>) -> Result<Replica> {
        Replica::open_with(source, target, ReplicaOptions::new())
    }

    /// The same, kept as the options say.
    ///
    /// # Errors
    /// Those of [`open`](Replica::open).
    pub fn open_with(
        source: impl Into<ReplicaSource>,
        target: impl AsRef<Path>,
        options: ReplicaOptions,
    ) -> Result<Replica> {
        let source = source.into().open()?;
        let identity = source.store.identity()?;
        let look = || source.store.durable_contents();
        let target = open_target(options.disk, options.base.as_deref(), target.as_ref(), (identity, &look))?;
        let source_files = OpenFiles::for_copies(source.store.disk());
        Ok(Replica { source, source_files, target, interval: options.interval })
    }

    /// The directory of the replica.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.target.dir()
    }

    /// Brings over all that the source has now and does not lose in a power cut any more. All of it counts at once: if this fails, or the
    /// process ends, the replica is what it was, or has all of it.
    ///
    /// # Errors
    /// [`Error::ReplicaDiverged`]; [`Error::Closed`] once the source is closed; [`Error::Corrupt`] for what is damaged at the source;
    /// [`Error::Poisoned`] of a partition there; [`Error::DiskFull`]; those of the system. The next call tries again.
    pub fn catch_up(&mut self) -> Result<CatchUpReport> {
        let look = || self.source.store.durable_contents();
        let report = catch_up(&look, &mut self.target, &self.source_files, 0)?;
        for event in missed(&report) {
            self.source.store.tell(|| event);
        }
        Ok(report)
    }

    /// Catches up again and again, with a [rest](ReplicaOptions::interval) in between, until `go_on`, which is shown what has come, says
    /// that it is enough.
    ///
    /// # Errors
    /// Those of [`catch_up`](Replica::catch_up), with the first one that there is.
    ///
    /// # Examples
    /// ```
    /// use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let second = dir.path().join("second");
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut replica = ottla::Replica::open(&broker, &second)?;
    /// replica.run(|report| {
    ///     println!("{report}");
    ///     ControlFlow::Break(())
    /// })?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn run(&mut self, mut go_on: impl FnMut(&CatchUpReport) -> ControlFlow<()>) -> Result<()> {
        loop {
            let report = self.catch_up()?;
            if go_on(&report).is_break() {
                return Ok(());
            }
            self.target.disk().sleep(self.interval);
        }
    }

    /// Has a thread of its own [run](Replica::run) it.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let second = dir.path().join("second");
    /// # let broker = ottla::Broker::temporary()?;
    /// let replica = ottla::Replica::open(&broker, &second)?.spawn()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// assert_eq!(replica.error(), None);
    /// assert_eq!(replica.stop()?.lag()?.offsets(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn spawn(self) -> Result<ReplicaThread> {
        ReplicaThread::start(self)
    }

    /// How far it is behind its source now.
    ///
    /// # Errors
    /// [`Error::Closed`]; those of reading a source that another process writes.
    pub fn lag(&self) -> Result<ReplicaLag> {
        let (topics, ends) = (self.source.store.topics()?, self.target.ends_by_log());
        let mut partitions = Vec::new();
        let sources = topics.values().flat_map(|topic| topic.partitions.iter().map(|found| (topic.topic_id, found)));
        for (topic_id, found) in sources {
            // By the id: a topic of the same name may be another one.
            let id = LogId { topic_id, partition: found.address.partition() };
            let end = ends.get(&id).copied().unwrap_or(0);
            let behind = found.source.log_bounds().end.saturating_sub(end);
            if 0 < behind {
                partitions.push((found.address.clone(), behind));
            }
        }
        partitions.sort_unstable();
        let taken_ms = Some(self.target.state().taken_ms).filter(|taken_ms| 0 <= *taken_ms);
        Ok(ReplicaLag { partitions, taken_ms })
    }

    /// Makes the replica a data directory of its own, at the last point to which it has caught up, and gives the source up. Open it then as
    /// any other.
    ///
    /// It is another directory than the source, and its leader epochs are above all that the source has given out: who remembers an
    /// offset of the source with its leader epoch, and seeks to it where this log goes on otherwise, gets [`Error::LogTruncated`], and not
    /// another record. The old source is not followed by it any more, and nobody else's replica of the old source follows this
    /// one, beyond what they have in common. Transactions that were open are ended; groups that have committed what had not come are moved back. If this fails half way, do it
    /// again with [`promote_without_source`](Replica::promote_without_source).
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::DiskFull`]; those of the system.
    pub fn promote(self) -> Result<PromoteReport> {
        let Replica { source, target, .. } = self;
        // A source that cannot be read has given out no epochs that are known.
        let latest_epoch = source.store.latest_leader_epoch().unwrap_or(0);
        drop(source);
        promoting::promote(target, latest_epoch)
    }

    /// The same for the replica in the directory `target` whose source is lost, or was given up in a promotion that was interrupted.
    ///
    /// # Errors
    /// Those of [`promote`](Replica::promote); [`Error::NotAReplica`], [`Error::AlreadyOpen`].
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Replica, ReplicaOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let second = dir.path().join("second");
    /// # let broker = Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # Replica::open(&broker, &second)?.catch_up()?;
    /// # drop(broker);
    /// println!("{}", Replica::promote_without_source(&second, ReplicaOptions::new())?);
    /// let broker = Broker::open(&second)?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn promote_without_source(target: impl AsRef<Path>, options: ReplicaOptions) -> Result<PromoteReport> {
        promoting::promote(Target::open(options.disk, target.as_ref(), None)?, 0)
    }
}

/// Opens the replica in the directory `given`, or begins one there, with what `base` has: of the source with this identity, in which `look`
/// finds all that there is.
fn open_target(
    disk: Arc<dyn Disk>,
    base: Option<&Path>,
    given: &Path,
    (identity, look): (DirectoryIdentity, &dyn Fn() -> Result<DirectoryContents>),
) -> Result<Target> {
    let mut target = Target::open(disk, given, Some(identity))?;
    if let Some(base) = base.filter(|_| target.is_new()) {
        base::link(&mut target, &look()?, base)?;
    }
    Ok(target)
}

/// Brings `target` all that `look` finds at its source, whose files are `source_files`. From `mirror_generation` on its journal counts
/// then; 0 if it has none.
fn catch_up(
    look: &dyn Fn() -> Result<DirectoryContents>,
    target: &mut Target,
    source_files: &Arc<OpenFiles>,
    mirror_generation: u64,
) -> Result<CatchUpReport> {
    let mut moved: Option<Box<Moved>> = None;
    loop {
        let (offer, files) = DirectoryOffer::of(look()?);
        let mut source = LocalSource::new(&offer.logs, files, source_files);
        match target.follow(&offer, &mut source, mirror_generation) {
            Ok(round) => return Ok(CatchUpReport::new(round, offer.taken_ms)),
            // What was looked at went, or is to come in another way.
            Err(Unfetched::Failed(Error::Closed { by: ClosedBy::Deletion, .. }) | Unfetched::Unlike(..)) => {}
            Err(Unfetched::Failed(error)) => return Err(error),
            // Once may be a file that came or went meanwhile. What stays so is wrong.
            Err(Unfetched::Moved(found)) if moved.as_ref().is_some_and(|before| found.is_same(before)) => {
                return Err(found.error);
            }
            Err(Unfetched::Moved(found)) => moved = Some(found),
        }
    }
}

/// What there is to tell of what never came.
fn missed(report: &CatchUpReport) -> impl Iterator<Item = Event> {
    report.never_had().map(|(partition, offsets)| Event::ReplicaMissed { partition: partition.clone(), offsets })
}

/// In short: the source is a long story.
impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("source", &self.source.dir()).field("dir", &self.dir()).finish_non_exhaustive()
    }
}
