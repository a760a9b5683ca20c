//! What the program writes to a terminal.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs the program with its stdout at a terminal, to its end. Returns the exit status and what the terminal got: with `\r\n` for
/// each `\n`, as terminals have it.
pub(crate) fn on_a_terminal(command: &mut Command) -> (i32, Vec<u8>) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let terminal =
        open(ptsname(&controller, Vec::new()).unwrap(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::from(terminal)).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // This process has the terminal open, too, until the command is told another stdout.
    command.stdout(Stdio::null());
    let mut got = Vec::new();
    // Where nobody has the terminal open any more, reading fails on Linux and ends elsewhere.
    _ = File::from(controller).read_to_end(&mut got);
    (child.wait().unwrap().code().unwrap(), got)
}
