//! A program that runs, and does not outlive whoever started it: not a test that panics either.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// Longer than anything takes here, on any machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// How often to look whether something has come about.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LIMIT, "waited in vain: {what}");
        thread::sleep(INTERVAL);
    }
}

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: NamedTempFile,
    errors: NamedTempFile,
}

impl Process {
    /// Starts a program. What it prints is kept in files of this directory.
    pub(crate) fn start(command: &mut Command, dir: &Path) -> Process {
        let [output, errors] = [(); 2].map(|()| NamedTempFile::new_in(dir).unwrap());
        let into = |file: &NamedTempFile| Stdio::from(file.reopen().unwrap());
        command.stdin(Stdio::null()).stdout(into(&output)).stderr(into(&errors));
        let name = format!("{command:?}").chars().take(400).collect();
        let child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        Process { name, child, output, errors }
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(since.elapsed() < LIMIT, "{} does not end\n{}", self.name, self.said());
            thread::sleep(INTERVAL);
        }
    }

    /// Waits for its end, which must be a good one; returns what it printed.
    pub(crate) fn finish(mut self) -> String {
        let status = self.wait();
        assert!(status.success(), "{}: {status}\n{}", self.name, self.said());
        fs::read_to_string(self.output.path()).unwrap()
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.wait()
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The end of what it has printed.
    pub(crate) fn said(&self) -> String {
        let end = |file: &NamedTempFile| {
            let bytes = fs::read(file.path()).unwrap();
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(8000)..]).into_owned()
        };
        format!("{}\n{}", end(&self.output), end(&self.errors))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
