//! How segments are read.

use std::fmt;

/// How records are read from segments.
///
/// # Examples
/// ```
/// use ottla::{Broker, ReadMode};
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::builder(dir.path()).read_mode(ReadMode::Copy).open()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Through memory maps, without copying: the default. If the disk fails to deliver a page, a signal ends the process.
    #[default]
    Map,
    /// By system calls, into buffers. For disks that may fail: a page that cannot be read is an error.
    Copy,
}

/// As the setting `ottla.read.mode` takes it.
impl fmt::Display for ReadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadMode::Map => "map",
            ReadMode::Copy => "copy",
        })
    }
}
