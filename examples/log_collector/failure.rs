//! Why a file was not collected to its end: the file's fault is no reason to stop, the log's is.

use std::error::Error;
use std::io;

#[derive(Debug)]
pub(crate) enum Failure {
    File(io::Error),
    Log(Box<dyn Error + Send + Sync>),
    /// The user wants it to end.
    Stopped,
}

impl Failure {
    /// What was wrong, whoever's fault it is.
    pub(crate) fn into_error(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Failure::File(error) => error.into(),
            Failure::Log(error) => error,
            Failure::Stopped => "stopped".into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::File(error)
    }
}

impl From<ottla::Error> for Failure {
    fn from(error: ottla::Error) -> Failure {
        Failure::Log(error.into())
    }
}
