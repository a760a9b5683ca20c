//! Why a command did not do all that it was asked for.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use ottla::Error;

use crate::output::text;
use crate::output::text::escaped_path;

/// Why a command did not do all that it was asked for: what stderr and the exit status say.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It failed, or did a part: exit status 1, and one line.
    Failed(String),
    /// It was called wrongly, or cannot be done here, and has done nothing: exit status 2, and one line.
    Refused(String),
    /// Whoever read stdout wants no more, which is no failure: exit status 0, and no word.
    PipeClosed,
}

impl Failure {
    pub fn failed(reason: impl Display) -> Failure {
        Failure::Failed(reason.to_string())
    }

    pub fn refused(reason: impl Display) -> Failure {
        Failure::Refused(reason.to_string())
    }

    /// The same of a command that has shown something by then: not that nothing was done.
    pub fn midway(self) -> Failure {
        match self {
            Failure::Refused(reason) => Failure::Failed(reason),
            failure => failure,
        }
    }

    /// Why stdout could not be written.
    pub fn of_stdout(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => Failure::failed(format_args!("cannot write to stdout: {error}")),
        }
    }

    /// Says why on stderr, and what the process exits with.
    pub fn report(&self) -> ExitCode {
        let (status, reason) = match self {
            Failure::Failed(reason) => (1, reason),
            Failure::Refused(reason) => (2, reason),
            Failure::PipeClosed => return ExitCode::SUCCESS,
        };
        say(reason);
        ExitCode::from(status)
    }
}

/// Says something on stderr, if anybody listens. In a path or a name there may be what a terminal takes for a command.
pub fn say(what: impl Display) {
    _ = writeln!(io::stderr(), "ottla: {}", text::harmless(&what.to_string()));
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let reason = reason(&error);
        if is_refusal(&error) { Failure::Refused(reason) } else { Failure::Failed(reason) }
    }
}

/// What went wrong, in one line. Where the library names its own calls as the way out, this names what the command has.
pub fn reason(error: &Error) -> String {
    match error {
        Error::AlreadyOpen { path, pid, .. } => {
            let by = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
            format!("{} is open for writing{by}: end that first, or use a command that only reads", escaped_path(path))
        }
        Error::NotADataDirectory { path, reason, .. } => {
            let reason = reason.split(';').next().unwrap_or_default();
            let path = escaped_path(path);
            format!("{path} is not a data directory: {reason}; check the path, or begin one with `ottla topics create`")
        }
        Error::OtherFiles { path, found, .. } => format!(
            "{} holds other files, \"{}\" among them, and no log: choose an empty or a new directory",
            escaped_path(path),
            escaped_path(found.as_ref())
        ),
        Error::TopicExists { name, .. } => {
            format!("topic {name:?} exists already: change it with `ottla topics alter`, or choose another name")
        }
        Error::UnknownPartition { partition, partition_count, .. } => {
            format!("there is no partition {partition}: {} has {partition_count}, numbered from 0", partition.topic())
        }
        Error::UnknownConfig { key, nearest: None, .. } => {
            format!("unknown configuration {key:?}: `ottla topics create --help` names the settings")
        }
        Error::Corrupt(damage) => format!("{damage}; `ottla verify --deep` lists all that is damaged"),
        error => error.with_causes().to_string().replace('\n', " "),
    }
}

/// Whether nothing was done, since it cannot be done here or not in this way.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::AlreadyOpen { .. }
        | Error::NotADataDirectory { .. }
        | Error::OtherFiles { .. }
        | Error::TargetNotEmpty { .. }
        | Error::Unfinished { .. }
        | Error::NotABackup { .. }
        | Error::IsReplica { .. }
        | Error::NotAReplica { .. }
        | Error::OffsetOutOfRange { .. }
        | Error::InsideDataDirectory { .. }
        | Error::UnsupportedVersion { .. }
        | Error::UnknownTopic { .. }
        | Error::UnknownPartition { .. }
        | Error::UnknownGroup { .. }
        | Error::UnknownTransactionalId { .. }
        | Error::InvalidTopic { .. }
        | Error::InvalidConfig { .. }
        | Error::UnknownConfig { .. }
        | Error::TopicExists { .. }
        | Error::CannotImport { .. }
        | Error::GroupNotEmpty { .. }
        | Error::NoCommittedOffset { .. }
        | Error::ReadOnly { .. } => true,
        Error::Io { source, .. } => {
            use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
            matches!(source.kind(), PermissionDenied | NotFound | NotADirectory)
        }
        _ => false,
    }
}
