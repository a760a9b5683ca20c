//! What the user sees: a progress bar while it runs, a table and a bar chart at the end.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::LevelCounts;
use crate::collector::Collected;
use crate::line::Level;

const BAR_WIDTH: usize = 40;
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// A bar on a terminal; nothing where the output goes elsewhere.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    total: u64,
    drawn: Option<Instant>,
    is_terminal: bool,
}

impl ProgressBar {
    pub(crate) fn new(total: u64) -> ProgressBar {
        ProgressBar { total, drawn: None, is_terminal: std::io::stderr().is_terminal() }
    }

    pub(crate) fn draw(&mut self, done: u64) {
        if self.is_terminal && self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW_EVERY) {
            let full = bar(done.min(self.total), self.total);
            let percent = done.min(self.total) * 100 / self.total.max(1);
            let _ = write!(std::io::stderr(), "\r{full:<BAR_WIDTH$} {percent:3} %");
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = BAR_WIDTH + 8);
        }
    }
}

/// What happened in this run, and how large the log is now.
#[derive(Debug)]
pub(crate) struct Summary<'s> {
    pub(crate) collected: &'s Collected,
    pub(crate) consumed: u64,
    pub(crate) elapsed: Duration,
    pub(crate) levels: LevelCounts,
    pub(crate) payload_bytes: u64,
    pub(crate) disk_bytes: u64,
}

impl Summary<'_> {
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    pub(crate) fn print(&self) {
        let Collected { files, unchanged, binary, unreadable, cut_short, lines, bytes, .. } = self.collected;
        println!(
            "files      {files} collected, {unchanged} with nothing new, {binary} binary, {unreadable} unreadable"
        );
        if *cut_short > 0 {
            println!("           {cut_short} not to their end: the limit of bytes was reached, the next run goes on");
        }
        println!("lines      {lines}, of which {} were consumed while or after they were written", self.consumed);
        println!("bytes      {bytes} without line ends");
        if *lines > 0 {
            let seconds = self.elapsed.as_secs_f64();
            println!("time       {seconds:.3} s, {:.0} lines/s", *lines as f64 / seconds);
        }
        if self.payload_bytes > 0 {
            let ratio = self.disk_bytes as f64 / self.payload_bytes as f64;
            println!("on disk    {} bytes for all runs, {ratio:.2} per byte of the lines", self.disk_bytes);
        }
        println!("\nlevels in the log, all runs");
        let most = self.levels.iter().copied().max().unwrap_or(0);
        for (level, count) in Level::ALL.into_iter().zip(self.levels) {
            println!("{:>8} {count:>10} {}", level.name(), bar(count, most));
        }
    }
}

/// `part` of `whole` as a bar; what is there at all is seen.
fn bar(part: u64, whole: u64) -> String {
    let width = (u128::from(part) * BAR_WIDTH as u128).div_ceil(u128::from(whole.max(1)));
    "█".repeat(usize::try_from(width).unwrap_or(0))
}
