//! A replica that a broker keeps itself, beside its own directory: nothing is acknowledged that is on one disk only.
//!
//! What is made durable goes to the replica's journal with the group commit (`partition/mirror`). The replica catches up with it now and
//! then, as any other does, and the journal from before is not needed any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::target::Target;
use super::{CatchUpReport, ReplicaOptions, catch_up, missed, open_target};
use crate::broker::BrokerBuilder;
use crate::broker::beside::{Beside, BrokerBeside, OpensBeside};
use crate::broker::written_directory::WrittenDirectory;
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Error, Result};
use crate::partition::mirror::policy::ReplicaPolicy;
use crate::partition::mirror::{Mirror, MirrorState};
use crate::sync::{Monitor, Mutex, thread};

impl BrokerBuilder {
    /// Keeps a [replica](crate::Replica) in the directory `dir`, best on a disk of its own: a send of a
    /// [`Durability::Always`](crate::Durability::Always) topic returns when both disks have the records, and readers see them only then. So
    /// with a commit of a transaction or of a group, and with [`flush`](crate::Broker::flush). Other sends do not wait for it: their
    /// records come after a while, as with [`Replica::run`](crate::Replica::run).
    ///
    /// If the first disk is lost, [promote](crate::Replica::promote_without_source) the replica: everything that was acknowledged is there.
    /// What was deleted, altered or compacted in the last moments may be as before.
    ///
    /// The directory is made if it is empty or not there; opening takes until the replica has all that there is, which for a large log is best
    /// done [before](crate::Replica::catch_up). If it fails later, sends do, until it has caught up:
    /// [`ReplicaPolicy`](crate::ReplicaPolicy) has the choice.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Replica, ReplicaOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    /// let broker = Broker::builder(&first).replica(&second).open()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?; // Both disks have it.
    ///
    /// // The first disk is lost.
    /// # broker.close()?;
    /// # std::fs::remove_dir_all(&first).unwrap();
    /// Replica::promote_without_source(&second, ReplicaOptions::new())?;
    /// assert_eq!(Broker::open(&second)?.topic("orders")?.partition(0)?.log_end_offset(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn replica(self, dir: impl AsRef<Path>) -> Self {
        self.replica_with(dir, ReplicaOptions::new())
    }

    /// The same, kept as the options say.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, ReplicaOptions, ReplicaPolicy};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    /// let options = ReplicaOptions::new().policy(ReplicaPolicy::DropReplica);
    /// let broker = Broker::builder(&first).replica_with(&second, options).open()?;
    /// if let Some(replica) = broker.admin().health().replica {
    ///     eprintln!("{replica}");
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn replica_with(self, dir: impl AsRef<Path>, options: ReplicaOptions) -> Self {
        self.beside(Arc::new(KeptReplica { dir: dir.as_ref().to_owned(), options }))
    }
}

/// Where a broker is to keep a replica, and how.
#[derive(Debug)]
struct KeptReplica {
    dir: PathBuf,
    options: ReplicaOptions,
}

impl OpensBeside for KeptReplica {
    fn open_beside(&self, broker: BrokerBeside) -> Result<Option<Box<dyn Beside>>> {
        let ReplicaOptions { disk, interval, policy, base } = self.options.clone();
        let BrokerBeside { directory: source, identity, environment, has_threads } = broker;
        let mirror = |dir: &Path, counted| {
            let mirror = Arc::new(Mirror::new(Arc::clone(&disk), dir, counted, policy, source.events().clone()));
            environment.set_mirror(&mirror);
            mirror
        };
        let look = || source.durable_contents();
        let target = match open_target(Arc::clone(&disk), base.as_deref(), &self.dir, (identity, &look)) {
            Err(error) if self.may_go_on_without(&error) => {
                mirror(&self.dir, 0).note_catch_up_error(&error);
                return Ok(None);
            }
            target => target?,
        };
        let mirror = mirror(target.dir(), target.state().mirror_generation);
        let (source_files, target) = (OpenFiles::for_copies(source.disk()), Mutex::new(Some(target)));
        let is_stopped = Monitor::new(false);
        let beside = ReplicaBeside {
            shared: Arc::new(Shared { source, source_files, target, mirror, is_stopped }),
            threads: Mutex::default(),
        };
        match beside.shared.catch_up() {
            Err(error) if self.may_go_on_without(&error) => return Ok(None),
            caught_up => caught_up?,
        }
        if has_threads {
            beside.start(interval)?;
        }
        Ok(Some(Box::new(beside)))
    }
}

impl KeptReplica {
    /// Whether the broker is opened without the replica, since its disk has failed.
    fn may_go_on_without(&self, error: &Error) -> bool {
        self.options.policy == ReplicaPolicy::DropReplica
            && matches!(error, Error::Io { .. } | Error::DiskFull { .. } | Error::Corrupt(_))
    }
}

/// A replica that a broker keeps.
#[derive(Debug)]
struct ReplicaBeside {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

/// The threads of a replica, where the broker has any.
#[derive(Debug, Default)]
struct Threads {
    /// Has the replica catch up.
    following: Option<thread::JoinHandle<()>>,
    /// Writes the journal.
    writing: Option<thread::JoinHandle<()>>,
}

/// What the threads and others do.
#[derive(Debug)]
struct Shared {
    source: WrittenDirectory,
    source_files: Arc<OpenFiles>,
    /// Held by who has it catch up; `None` once the broker is closed.
    target: Mutex<Option<Target>>,
    mirror: Arc<Mirror>,
    is_stopped: Monitor<bool>,
}

impl Shared {
    fn catch_up(&self) -> Result<()> {
        let caught_up = self.bring_over();
        // With no lock held: a subscriber is the caller's code.
        caught_up.iter().flatten().flat_map(missed).for_each(|event| self.source.tell(|| event));
        if !self.source.is_forked() {
            self.source.emit_events();
        }
        caught_up.map(drop)
    }

    /// `None` if there is nobody any more to bring it to.
    fn bring_over(&self) -> Result<Option<CatchUpReport>> {
        // In a process that was forked off all of it is the parent's.
        if self.source.is_forked() {
            return Ok(None);
        }
        let mut target = self.target.lock();
        let Some(target) = target.as_mut().filter(|_| !matches!(self.mirror.state().0, MirrorState::Dropped(_))) else {
            return Ok(None);
        };
        self.mirror.check_in_place()?;
        let begun = self.mirror.begin_catch_up(&target.partition_counts());
        let look = || self.source.durable_contents();
        let caught_up = catch_up(&look, target, &self.source_files, begun.generation).and_then(|report| {
            self.mirror.end_catch_up(begun, &target.ends_by_log(), &target.partition_counts())?;
            Ok(report)
        });
        match caught_up {
            Ok(report) => Ok(Some(report)),
            // The broker is: that is no failure of the replica.
            Err(error @ Error::Closed { by: ClosedBy::Broker, .. }) => Err(error),
            Err(error) => {
                self.mirror.note_catch_up_error(&error);
                Err(error)
            }
        }
    }

    fn follow(&self, interval: Duration) {
        loop {
            let is_stopped = self.is_stopped.lock().wait_while_for(|is_stopped| !*is_stopped, interval);
            // A subscriber may have forked, and this be the thread of the child.
            if *is_stopped || self.source.is_forked() {
                return;
            }
            drop(is_stopped);
            // What went wrong is noted, and shows in the broker's health.
            _ = self.catch_up();
        }
    }
}

impl ReplicaBeside {
    fn start(&self, interval: Duration) -> Result<()> {
        let [following, writing] = [(); 2].map(|()| Arc::clone(&self.shared));
        let dir = self.shared.mirror.dir();
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let started = thread::Builder::new().name(name.to_owned()).spawn(run);
            started.map_err(|source| Error::io("start a thread of", dir, source))
        };
        let mut threads = self.threads.lock();
        threads.following = Some(start("ottla-replica", Box::new(move || following.follow(interval)))?);
        threads.writing = Some(start("ottla-mirror", Box::new(move || writing.mirror.write_beside()))?);
        Ok(())
    }

    fn stop_following(&self) {
        *self.shared.is_stopped.lock() = true;
        self.shared.is_stopped.notify_all();
        let thread = self.threads.lock().following.take();
        // A subscriber that it has told something closes the broker there and then: it ends once that is back.
        let others = thread.filter(|thread| thread.thread().id() != thread::current().id());
        // A panic of the thread has been told already.
        _ = others.map(thread::JoinHandle::join);
    }
}

impl Beside for ReplicaBeside {
    fn run(&self) -> Result<()> {
        self.shared.catch_up()
    }

    fn finish(&self) -> Result<()> {
        self.stop_following();
        self.shared.catch_up()
    }

    fn close(&self) {
        self.stop_following();
        let thread = self.threads.lock().writing.take();
        if let Some(thread) = thread {
            self.shared.mirror.stop_writing();
            _ = thread.join();
        }
        drop(self.shared.target.lock().take());
    }
}

impl Drop for ReplicaBeside {
    fn drop(&mut self) {
        self.close();
    }
}
