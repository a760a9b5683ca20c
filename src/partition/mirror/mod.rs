//! The second disk of the group commit: what it makes durable here it brings to a replica, too, before anybody is told.
//!
//! ```text
//! round of the group commit ─→ block: what is new of every log in it (block, log_core/mirroring)
//!                           ─→ journal in the directory of the replica (journal), synced beside the tail
//! replica catches up        ─→ the journal from before is not needed any more: the other file is written from here on
//! replica is promoted       ─→ what the journal has beyond the replica's logs is appended to them
//! ```
//! Nothing else raises a log's durable offset: what is said to be durable is so on both disks.

mod block;
pub(crate) mod journal;
pub(crate) mod policy;
mod round;
mod writer;
mod writing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use block::{Block, MirrorEntry, MirroredSlot};
pub(crate) use round::MirrorRound;
pub(crate) use writing::MirroredTo;

use super::log_id::LogId;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::events::{Event, Events};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Monitor, MonitorGuard};
use journal::JournalFile;
use policy::ReplicaPolicy;
use writer::JournalWriter;
use writing::Writing;

/// How the replica of a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MirrorState {
    /// All that is durable is there.
    Following,
    /// It is behind, and what is sent is not acknowledged; why, if something has failed.
    Behind(Option<String>),
    /// It was given up, since this has failed.
    Dropped(String),
}

/// The journal of a replica, as the group commit writes it.
#[derive(Debug)]
pub(crate) struct Mirror {
    disk: Arc<dyn Disk>,
    /// That of the replica.
    dir: PathBuf,
    policy: ReplicaPolicy,
    events: Events,
    /// Whether sends are refused.
    is_stopped: AtomicBool,
    inner: Monitor<Inner>,
    writer: JournalWriter,
}

#[derive(Debug)]
struct Inner {
    state: MirrorState,
    /// A round has what it writes.
    is_busy: bool,
    /// Unless a round has it, or nothing is written.
    writing: Option<Box<Writing>>,
    /// The generation that the replica's state names.
    counted: u64,
    /// What went wrong when it was to catch up last.
    catch_up_error: Option<String>,
}

/// With what a replica that catches up is to note the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatchUp {
    /// From this generation on it counts once the replica has caught up.
    pub(crate) generation: u64,
    /// Whether it is to be written from then on, and is not yet.
    begins: bool,
}

impl Mirror {
    /// That of the replica in `dir`, whose state names the generation `counted`. Until it has caught up nothing is acknowledged.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, counted: u64, policy: ReplicaPolicy, events: Events) -> Mirror {
        let state = MirrorState::Behind(None);
        let inner = Inner { state, is_busy: false, writing: None, counted, catch_up_error: None };
        let (is_stopped, inner) = (AtomicBool::new(false), Monitor::new(inner));
        Mirror { disk, dir: dir.to_owned(), policy, events, is_stopped, inner, writer: JournalWriter::default() }
    }

    /// What a thread does that writes the journal beside the group commit, until it is [stopped](Mirror::stop_writing).
    pub(crate) fn write_beside(&self) {
        self.writer.serve();
    }

    /// Ends that thread: from here on the group commit writes the journal itself.
    pub(crate) fn stop_writing(&self) {
        self.writer.stop();
    }

    /// The directory of the replica.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How the replica is, and what went wrong when it was to catch up last, if anything did.
    pub(crate) fn state(&self) -> (MirrorState, Option<String>) {
        let inner = self.inner.lock();
        (inner.state.clone(), inner.catch_up_error.clone())
    }

    /// Fails while nothing that is sent can be acknowledged.
    ///
    /// # Errors
    /// [`Error::ReplicaFailed`].
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_stopped.load(Ordering::Relaxed) { Err(self.error()) } else { Ok(()) }
    }

    /// Fails while the replica is behind.
    ///
    /// # Errors
    /// [`Error::ReplicaFailed`].
    pub(crate) fn check_following(&self) -> Result<()> {
        let is_behind = matches!(self.inner.lock().state, MirrorState::Behind(_));
        if is_behind { Err(self.error()) } else { Ok(()) }
    }

    /// Why what was sent is not acknowledged.
    #[cold]
    fn error(&self) -> Error {
        let (state, catch_up_error) = self.state();
        let reason = match state {
            MirrorState::Behind(Some(reason)) | MirrorState::Dropped(reason) => reason,
            _ => catch_up_error.unwrap_or_else(|| "it has not caught up yet".to_owned()),
        };
        Error::ReplicaFailed { path: self.dir.clone(), reason }
    }

    /// Waits until no round has what it writes.
    fn between_rounds(&self) -> MonitorGuard<'_, Inner> {
        let mut inner = self.inner.lock();
        while inner.is_busy {
            inner = inner.wait();
        }
        inner
    }

    /// Fails if somebody has removed the journal: what is written to an open file goes nowhere then, and the replica has failed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn check_in_place(&self) -> Result<()> {
        let mut inner = self.between_rounds();
        if inner.writing.as_ref().is_none_or(|writing| writing.is_in_place()) {
            return Ok(());
        }
        let error = Error::io("find the journal in", &self.dir, std::io::Error::from(std::io::ErrorKind::NotFound));
        self.fail(&mut inner, &error);
        Err(error)
    }

    /// A replica is about to catch up: what the group commit writes from here on goes to the other file, if there is something in this one.
    /// `topics` are those that the replica has, with the number of their partitions.
    pub(crate) fn begin_catch_up(&self, topics: &HashMap<u128, u32>) -> CatchUp {
        let mut inner = self.between_rounds();
        let counted = inner.counted;
        match &mut inner.writing {
            // Two more: what was written for another one behind that which counts may still be there.
            None => CatchUp { generation: counted.saturating_add(2), begins: true },
            Some(writing) => {
                // Else the last attempt has failed, and the file before still counts.
                if writing.generation == counted {
                    writing.switch(topics);
                }
                CatchUp { generation: writing.generation, begins: false }
            }
        }
    }

    /// The replica has caught up, and its logs end there; its state says so, and names the generation.
    ///
    /// # Errors
    /// The disk's, if the journal is to be begun. Then the replica is behind.
    pub(crate) fn end_catch_up(
        &self,
        catch_up: CatchUp,
        ends: &HashMap<LogId, u64>,
        topics: &HashMap<u128, u32>,
    ) -> Result<()> {
        let begun = if catch_up.begins { Some(self.create(catch_up.generation, ends, topics)) } else { None };
        let mut inner = self.between_rounds();
        inner.counted = catch_up.generation;
        match begun {
            None => {
                if let Some(writing) = &mut inner.writing {
                    writing.note_ends(ends);
                }
            }
            Some(Ok(writing)) => {
                inner.writing = Some(Box::new(writing));
                let before = std::mem::replace(&mut inner.state, MirrorState::Following);
                self.is_stopped.store(false, Ordering::Relaxed);
                if let MirrorState::Behind(Some(_)) = before {
                    self.events.add(|| Event::ReplicaRecovered { path: self.dir.clone() });
                }
            }
            Some(Err(error)) => return Err(error),
        }
        inner.catch_up_error = None;
        Ok(())
    }

    fn create(&self, generation: u64, ends: &HashMap<LogId, u64>, topics: &HashMap<u128, u32>) -> Result<Writing> {
        let (disk, dir) = (&*self.disk, &self.dir);
        let files = [
            JournalFile::create(disk, dir, generation)?,
            JournalFile::create(disk, dir, generation.saturating_add(1))?,
        ];
        disk.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
        Ok(Writing::new(files, generation, ends, topics))
    }

    /// The replica could not catch up.
    pub(crate) fn note_catch_up_error(&self, error: &Error) {
        let mut inner = self.inner.lock();
        if inner.writing.is_none() && !inner.is_busy {
            self.fail(&mut inner, error);
        }
        inner.catch_up_error = Some(error.with_causes().to_string());
    }

    /// Nothing more can be written.
    fn fail(&self, inner: &mut Inner, error: &Error) {
        let reason = error.with_causes().to_string();
        inner.writing = None;
        let is_first = matches!(inner.state, MirrorState::Following | MirrorState::Behind(None));
        match self.policy {
            ReplicaPolicy::StopSends => {
                inner.state = MirrorState::Behind(Some(reason.clone()));
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            ReplicaPolicy::DropReplica => inner.state = MirrorState::Dropped(reason.clone()),
        }
        if is_first {
            let (path, is_dropped) = (self.dir.clone(), self.policy == ReplicaPolicy::DropReplica);
            self.events.add(|| Event::ReplicaFailed { path, reason, is_dropped });
        }
    }
}
