//! What opening may do about what it finds.

use std::fmt;

use crate::config_key::invalid;
use crate::error::Result;

pub(crate) const RECOVERY_MODE: &str = "ottla.recovery.mode";

/// What opening a data directory may do about what a crash or a medium left; see
/// [`BrokerBuilder::recovery_mode`](crate::BrokerBuilder::recovery_mode).
///
/// Below the recovery point everything was synced, so a bad batch there is damage: no mode cuts it or anything behind it. Above,
/// un-synced pages have reached the disk in any order, so a log ends before the first bad batch.
///
/// # Examples
/// ```
/// use ottla::{Broker, RecoveryMode};
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::builder(dir.path()).recovery_mode(RecoveryMode::Strict).open()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Ends each log before the first batch that a crash may have left half written, keeps what is cut in quarantine, reports
    /// damage and leaves it alone: reads of it fail with [`Error::Corrupt`](crate::Error::Corrupt). Where nothing can be known of
    /// a partition, since its directory is missing or another topic's, every call on it fails so, and all others are served; where
    /// the operating system refuses its directory or one of its files, with that [`Error::Io`](crate::Error::Io). The default.
    #[default]
    TolerateTail,
    /// Refuses to open where anything would have to be cut, or is damaged, with [`Error::Corrupt`](crate::Error::Corrupt), or
    /// where the operating system refuses a partition's directory or file, with [`Error::Io`](crate::Error::Io): for those who want to look, or to copy the directory, first. Logs that come before it, in the order of their topics'
    /// names, may have been recovered by then, which takes nothing out of them.
    Strict,
    /// As `TolerateTail`, and reading goes on by itself: consumers pass over what is damaged, and count what they
    /// [skipped](crate::Consumer::skipped_count); groups are what the readable records of theirs say, so an offset that was
    /// committed may be missing, or an earlier one be back. What was passed over there is in the
    /// [report](crate::RecoveryReport::skipped). A directory whose `partition.metadata` names another topic is taken for what
    /// its own name says, from then on.
    SkipCorrupt,
    /// Changes nothing, as [`Broker::open_read_only`](crate::Broker::open_read_only): reads what is there, also on a full
    /// disk, and while another process writes the directory.
    ReadOnly,
}

impl RecoveryMode {
    pub(crate) fn parse(value: &str) -> Result<RecoveryMode> {
        match value.trim() {
            "tolerate-tail" => Ok(RecoveryMode::TolerateTail),
            "strict" => Ok(RecoveryMode::Strict),
            "skip-corrupt" => Ok(RecoveryMode::SkipCorrupt),
            "read-only" => Ok(RecoveryMode::ReadOnly),
            _ => Err(invalid(RECOVERY_MODE, value, "expected tolerate-tail, strict, skip-corrupt or read-only")),
        }
    }
}

/// As the setting `ottla.recovery.mode` takes it.
impl fmt::Display for RecoveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecoveryMode::TolerateTail => "tolerate-tail",
            RecoveryMode::Strict => "strict",
            RecoveryMode::SkipCorrupt => "skip-corrupt",
            RecoveryMode::ReadOnly => "read-only",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for mode in
            [RecoveryMode::TolerateTail, RecoveryMode::Strict, RecoveryMode::SkipCorrupt, RecoveryMode::ReadOnly]
        {
            assert_eq!(RecoveryMode::parse(&mode.to_string()).unwrap(), mode);
        }
    }
}
