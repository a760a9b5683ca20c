//! A progress bar while it runs.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::summary::bar;

const WIDTH: usize = 40;
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// A bar on a terminal; nothing where the output goes elsewhere.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    drawn: Option<Instant>,
    is_shown: bool,
}

impl ProgressBar {
    /// A bar, unless lines are shown.
    pub(crate) fn new(is_wanted: bool) -> ProgressBar {
        ProgressBar { drawn: None, is_shown: is_wanted && std::io::stderr().is_terminal() }
    }

    /// Shows that a part is done, from 0 to 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
    pub(crate) fn draw(&mut self, done: f64) {
        if self.is_shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW_EVERY) {
            let percent = (done.clamp(0.0, 1.0) * 100.0) as u64;
            let _ = write!(std::io::stderr(), "\r{:<WIDTH$} {percent:3} %", bar(percent, 100));
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = WIDTH + 8);
        }
    }
}
