//! [`SyncError`]: whether a sync failed or never began, which is the difference between a loss and a delay.

use std::io;

/// Why something was not synced. `E` is the error in the words of the layer that returns it.
#[derive(Debug)]
pub(crate) enum SyncError<E = io::Error> {
    /// No sync was made, because there was no handle left, say, or what was to be synced could not be opened. Nothing was lost
    /// by that, and the next attempt may succeed.
    NotBegun(E),
    /// The sync was made and failed. What it was for may be lost, and a later sync would succeed without having written it:
    /// it is not to be tried again.
    Failed(E),
}

impl<E> SyncError<E> {
    /// The same in the words of another layer.
    pub(crate) fn map<F>(self, words: impl FnOnce(E) -> F) -> SyncError<F> {
        match self {
            SyncError::NotBegun(error) => SyncError::NotBegun(words(error)),
            SyncError::Failed(error) => SyncError::Failed(words(error)),
        }
    }

    /// What went wrong, for callers to whom it makes no difference whether the sync began.
    pub(crate) fn into_inner(self) -> E {
        match self {
            SyncError::NotBegun(error) | SyncError::Failed(error) => error,
        }
    }
}

impl SyncError {
    /// The kind of the operating system's error.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match self {
            SyncError::NotBegun(error) | SyncError::Failed(error) => error.kind(),
        }
    }
}

impl From<SyncError> for io::Error {
    fn from(error: SyncError) -> io::Error {
        error.into_inner()
    }
}
