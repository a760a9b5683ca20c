//! Whoever reads stdout: whether it is still there, and has taken what was written.
//!
//! A write into a pipe succeeds when its bytes lie in the pipe. If the reader goes before it has taken them, they are lost, and no
//! write ever says so.

use std::io;

/// Whether everything that was written to `stdout` was taken. Where that cannot be known, it counts as taken when it is written.
///
/// # Errors
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if `stdout` is a pipe that nobody reads any more.
#[cfg(unix)]
pub fn has_taken_all(stdout: impl std::os::fd::AsFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{FileType, fstat};
    use rustix::io::{Errno, ioctl_fionread};

    if FileType::from_raw_mode(fstat(&stdout)?.st_mode) != FileType::Fifo {
        return Ok(true);
    }
    // What lies there first: a reader may take the last of it and go in between, and has taken all then.
    let unread = ioctl_fionread(&stdout)?;
    let mut looked_at = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut looked_at, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Err(Errno::INTR) => return Ok(false),
        polled => polled?,
    };
    let [stdout] = looked_at;
    if stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(unread == 0)
}

#[cfg(not(unix))]
pub fn has_taken_all<T>(_stdout: T) -> io::Result<bool> {
    Ok(true)
}
