//! Who may read what is made.

use std::fmt;

/// Who may read the files and directories that a broker makes. Those that are there keep what they have.
///
/// # Examples
/// ```
/// use ottla::{Broker, FileMode};
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::builder(dir.path()).file_mode(FileMode::Umask).open()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FileMode {
    /// Nobody but the user that the process runs as: files 0600, directories 0700. The default.
    #[default]
    Private,
    /// Whoever the umask of the process lets: files 0666 and directories 0777, without the bits that it has.
    Umask,
}

/// As `ottla.file.mode` takes it.
impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileMode::Private => "private",
            FileMode::Umask => "umask",
        })
    }
}
