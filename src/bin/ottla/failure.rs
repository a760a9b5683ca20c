//! Why a command did not do all that it was asked for.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use ottla::Error;

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

/// Says something on stderr, if anybody listens.
pub fn say(what: impl Display) {
    _ = writeln!(io::stderr(), "ottla: {what}");
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let reason = error.with_causes().to_string().replace('\n', " ");
        if is_refusal(&error) { Failure::Refused(reason) } else { Failure::Failed(reason) }
    }
}

/// Whether nothing was done, since it cannot be done here or not in this way.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::AlreadyOpen { .. }
        | Error::NotADataDirectory { .. }
        | Error::OtherFiles { .. }
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
        | Error::NotEmpty { .. }
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
