//! What errors of the operating system mean. Their numbers are compared here and nowhere else: 23 and 24 say on Unix that no
//! file handle is left, and on Windows that a medium is damaged.

use std::io::{self, ErrorKind};

/// No handle is left for the process.
#[cfg(unix)]
pub(crate) const TOO_MANY_OPEN_FILES: i32 = rustix::io::Errno::MFILE.raw_os_error();
/// The medium or the way to it failed.
#[cfg(all(unix, any(test, feature = "testing")))]
pub(crate) const INPUT_OUTPUT: i32 = rustix::io::Errno::IO.raw_os_error();
/// No handle is left: `ERROR_TOO_MANY_OPEN_FILES`.
#[cfg(not(unix))]
pub(crate) const TOO_MANY_OPEN_FILES: i32 = 4;
/// The medium or the way to it failed: `ERROR_IO_DEVICE`.
#[cfg(all(not(unix), any(test, feature = "testing")))]
pub(crate) const INPUT_OUTPUT: i32 = 1117;

/// The whole machine has no handle left; Windows does not tell that apart.
#[cfg(unix)]
const TOO_MANY_OPEN_FILES_IN_ALL: i32 = rustix::io::Errno::NFILE.raw_os_error();
#[cfg(not(unix))]
const TOO_MANY_OPEN_FILES_IN_ALL: i32 = TOO_MANY_OPEN_FILES;

/// Whether no space, quota or file size is left for a write. Other work may make room, and then it succeeds.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether no file handle is left, for the process or the machine.
pub(crate) fn is_out_of_handles(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| [TOO_MANY_OPEN_FILES, TOO_MANY_OPEN_FILES_IN_ALL].contains(&number))
}

/// Whether a limit of the process or the machine was met that other work may release: interrupted calls, file handles, memory
/// maps. A full disk is not among them.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, OutOfMemory, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | OutOfMemory | TimedOut | WouldBlock) || is_out_of_handles(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_handle_left_is_told_by_the_numbers_of_this_system_alone() {
        let is_it = |number| is_out_of_handles(&io::Error::from_raw_os_error(number));
        let numbers: Vec<i32> = (0..20_000).filter(|&number| is_it(number)).collect();
        assert_eq!(numbers, if cfg!(unix) { vec![23, 24] } else { vec![4] });
        assert!(is_passing(&io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES)));
        assert!(!is_out_of_handles(&io::Error::other("no number")));
    }

    #[test]
    fn a_failing_medium_does_not_pass_and_is_not_full() {
        let error = io::Error::from_raw_os_error(INPUT_OUTPUT);
        assert!(!is_passing(&error) && !is_disk_full(&error));
    }

    #[test]
    fn space_quota_and_file_size_are_one_to_who_writes() {
        #[cfg(unix)]
        for error in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::FBIG] {
            assert!(is_disk_full(&error.into()), "{error}");
        }
        #[cfg(windows)]
        assert!(is_disk_full(&io::Error::from_raw_os_error(112)), "ERROR_DISK_FULL");
        assert!(!is_passing(&ErrorKind::StorageFull.into()));
    }
}
