//! What opening may do about what it finds.

use std::fmt;

use crate::config_key::invalid;
use crate::error::Result;

pub(crate) const RECOVERY_MODE: &str = "ottla.recovery.mode";

/// What opening a data directory may do about what a crash or a failing disk left; set by
/// [`BrokerBuilder::recovery_mode`](crate::BrokerBuilder::recovery_mode).
///
/// Each log has a recovery point: everything below it was synced. A bad batch there is damage, and no mode cuts it or anything
/// behind it. Above the recovery point, pages may have reached the disk in any order, so a log ends before the first bad batch.
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
    /// Ends each log before the first batch that a crash may have left half written, and keeps what it cuts in quarantine. Reports
    /// damage and leaves it alone: reads of it fail with [`Error::Corrupt`](crate::Error::Corrupt). If nothing can be known of a
    /// partition, because its directory is missing or belongs to another topic, every call on it fails with that error, and all
    /// other partitions are served. If the operating system refuses its directory or one of its files, the error is that
    /// [`Error::Io`](crate::Error::Io). The default.
    #[default]
    TolerateTail,
    /// Refuses to open if anything is damaged or would have to be cut, with [`Error::Corrupt`](crate::Error::Corrupt), or if the
    /// operating system refuses a partition's directory or file, with [`Error::Io`](crate::Error::Io). Use it to look at the
    /// directory, or to copy it, first. Logs that come earlier, in the order of their topics' names, may have been recovered by
    /// then, which takes nothing out of them.
    Strict,
    /// As `TolerateTail`, and reading goes on by itself: consumers skip what is damaged, and count what they
    /// [skipped](crate::Consumer::skipped_count). Groups are read back from those of their records that are readable, so a
    /// committed offset may be missing, or an earlier one may be back; the [report](crate::RecoveryReport::skipped) lists what was
    /// skipped there. A directory whose `partition.metadata` names another topic is from then on taken for what its own name
    /// says.
    SkipCorrupt,
    /// Changes nothing, like [`Broker::open_read_only`](crate::Broker::open_read_only): reads what is there, also on a full disk,
    /// and also while another process writes the directory.
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
