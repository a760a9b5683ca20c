//! Calls to the simulated disk: how they are counted, logged, and made to fail.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::os;

/// Calls that are remembered for messages.
const LOG_CALLS_MAX: usize = 1 << 14;

/// What a call to the disk does; a [`FaultRule`] can be for one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opens or creates a file.
    Open,
    /// Creates a directory.
    CreateDir,
    /// Removes a file.
    RemoveFile,
    /// Removes a directory.
    RemoveDir,
    /// Renames a file or directory.
    Rename,
    /// Gives a file a second name.
    HardLink,
    /// Lists a directory.
    List,
    /// Syncs a directory.
    SyncDir,
    /// Takes the lock on a file.
    Lock,
    /// Asks for a file's size, or whether a path still stands for it.
    Size,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Cuts or extends a file.
    SetSize,
    /// Syncs a file.
    Sync,
    /// Maps a file for reading.
    Map,
    /// Maps a file for reading and writing.
    MapShared,
}

impl Operation {
    /// Whether it changes what is on the disk, or what of it is durable.
    #[must_use]
    pub fn is_mutating(self) -> bool {
        use Operation::{List, Map, Read, Size};
        !matches!(self, List | Map | Read | Size)
    }
}

/// How a call fails.
///
/// # Examples
/// ```
/// use ottla::testing::{FaultKind, Operation};
/// assert!(FaultKind::StorageFull.applies_to(Operation::Write));
/// assert!(!FaultKind::StorageFull.applies_to(Operation::Read));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// `EIO`, from any call. A failed sync leaves each un-synced sector written or not, and clean: a later sync does not
    /// write it.
    InputOutput,
    /// `EACCES`, from calls that look for a name, as where somebody else owns the file.
    PermissionDenied,
    /// `ENOSPC`, from calls that may need space. Nothing is written.
    StorageFull,
    /// `ENOSPC` from a write after half of its bytes.
    ShortWrite,
    /// `EMFILE`, from calls that open something.
    TooManyOpenFiles,
    /// `ENOMEM`, from calls that map.
    OutOfMemory,
    /// `EINTR`, from calls that may wait. The operating system's disk tries again and hides it; should it not, it is an error
    /// like any other, of a sync the last.
    Interrupted,
}

impl FaultKind {
    /// Whether a call of this operation can fail so.
    #[must_use]
    pub fn applies_to(self, operation: Operation) -> bool {
        use Operation::{CreateDir, HardLink, List, Lock, Map, MapShared, Open, Read, RemoveDir, RemoveFile, Rename};
        use Operation::{SetSize, Sync, SyncDir, Write};
        match self {
            FaultKind::InputOutput => true,
            FaultKind::PermissionDenied => {
                matches!(operation, CreateDir | HardLink | List | Open | RemoveDir | RemoveFile | Rename | SyncDir)
            }
            FaultKind::StorageFull => {
                matches!(operation, CreateDir | HardLink | Lock | Open | Rename | SetSize | Sync | SyncDir | Write)
            }
            FaultKind::ShortWrite => operation == Write,
            FaultKind::TooManyOpenFiles => matches!(operation, List | Lock | Open | SyncDir),
            FaultKind::OutOfMemory => matches!(operation, Map | MapShared),
            FaultKind::Interrupted => matches!(operation, Lock | Open | Read | SetSize | Sync | SyncDir | Write),
        }
    }

    pub(super) fn error(self) -> io::Error {
        match self {
            FaultKind::InputOutput => io::Error::from_raw_os_error(os::INPUT_OUTPUT),
            FaultKind::PermissionDenied => ErrorKind::PermissionDenied.into(),
            FaultKind::StorageFull | FaultKind::ShortWrite => ErrorKind::StorageFull.into(),
            FaultKind::TooManyOpenFiles => io::Error::from_raw_os_error(os::TOO_MANY_OPEN_FILES),
            FaultKind::OutOfMemory => ErrorKind::OutOfMemory.into(),
            FaultKind::Interrupted => ErrorKind::Interrupted.into(),
        }
    }
}

/// Which calls fail, and how. Only calls that can fail so are counted: see [`FaultKind::applies_to`].
///
/// # Examples
/// ```
/// use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
///
/// let disk = SimulatedDisk::new(1);
/// // The third sync of a log file fails, and none after it.
/// disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing(".log").nth(3));
/// assert_eq!(disk.faults_injected(), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    kind: FaultKind,
    operation: Option<Operation>,
    path_part: Option<String>,
    /// Matching calls that still succeed.
    skip: u64,
    is_lasting: bool,
}

impl FaultRule {
    /// Fails the next call that can fail so, once.
    #[must_use]
    pub fn new(kind: FaultKind) -> FaultRule {
        FaultRule { kind, operation: None, path_part: None, skip: 0, is_lasting: false }
    }

    /// Only calls of this operation.
    #[must_use]
    pub fn on(self, operation: Operation) -> FaultRule {
        FaultRule { operation: Some(operation), ..self }
    }

    /// Only calls for paths that contain `part`.
    #[must_use]
    pub fn path_containing(self, part: &str) -> FaultRule {
        FaultRule { path_part: Some(part.to_owned()), ..self }
    }

    /// Fails the `n`th matching call from now; 1 is the next. Default: 1.
    #[must_use]
    pub fn nth(self, n: u64) -> FaultRule {
        FaultRule { skip: n.saturating_sub(1), ..self }
    }

    /// Also fails all matching calls after that one.
    #[must_use]
    pub fn forever(self) -> FaultRule {
        FaultRule { is_lasting: true, ..self }
    }

    fn matches(&self, operation: Operation, path: &Path) -> bool {
        self.kind.applies_to(operation)
            && self.operation.is_none_or(|wanted| wanted == operation)
            && self.path_part.as_ref().is_none_or(|part| path.to_string_lossy().contains(part))
    }
}

/// One call to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// From 1, in the order of the calls.
    pub number: u64,
    /// What it was to do.
    pub operation: Operation,
    /// The file or directory.
    pub path: PathBuf,
    /// Whether a fault was injected into it.
    pub is_fault: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = if self.is_fault { " failed on purpose" } else { "" };
        write!(f, "call {}: {:?} {}{fault}", self.number, self.operation, self.path.display())
    }
}

/// Why a call does not take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The machine is stopped; nothing changes any more.
    Stopped,
    Injected(FaultKind),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        match fault {
            Fault::Stopped => io::Error::other("the simulated machine has stopped"),
            Fault::Injected(kind) => kind.error(),
        }
    }
}

/// Counts calls, and decides which ones fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) calls: u64,
    pub(super) injected: u64,
    /// After so many calls nothing changes any more.
    pub(super) stop_after: Option<u64>,
    /// Syncs that wait to be released.
    pub(super) hanging_syncs: usize,
    /// Syncs of files whose paths contain this wait.
    held_part: Option<String>,
    rules: Vec<FaultRule>,
    log: VecDeque<Call>,
}

impl Faults {
    pub(super) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(super) fn hold_syncs(&mut self, part: Option<String>) {
        self.held_part = part;
    }

    pub(super) fn holds_syncs_of(&self, path: &Path) -> bool {
        self.held_part.as_ref().is_some_and(|part| path.to_string_lossy().contains(part))
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
        self.stop_after = None;
    }

    pub(super) fn log(&self) -> Vec<Call> {
        self.log.iter().cloned().collect()
    }

    /// Counts and logs a call, and tells whether it may take place.
    pub(super) fn enter(&mut self, operation: Operation, path: &Path) -> Result<(), Fault> {
        self.calls += 1;
        let is_stopped = operation.is_mutating() && self.stop_after.is_some_and(|limit| self.calls > limit);
        let fault = if is_stopped { Some(Fault::Stopped) } else { self.inject(operation, path).map(Fault::Injected) };
        if self.log.len() == LOG_CALLS_MAX {
            self.log.pop_front();
        }
        let (number, path, is_fault) = (self.calls, path.to_owned(), fault.is_some());
        self.log.push_back(Call { number, operation, path, is_fault });
        fault.map_or(Ok(()), Err)
    }

    fn inject(&mut self, operation: Operation, path: &Path) -> Option<FaultKind> {
        // Every rule counts the call, also when an earlier one makes it fail.
        let mut injected = None;
        self.rules.retain_mut(|rule| {
            if !rule.matches(operation, path) {
                return true;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return true;
            }
            injected = injected.or(Some(rule.kind));
            rule.is_lasting
        });
        self.injected += u64::from(injected.is_some());
        injected
    }
}
