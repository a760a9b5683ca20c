//! How far a measurement is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// A bar on stderr if that is a terminal, and whether to go on.
pub struct Progress {
    bar: ProgressBar,
    interrupt: Interrupt,
}

impl Progress {
    /// Of so many records.
    pub fn begin(records: u64) -> Result<Progress, Failure> {
        let interrupt = Interrupt::watch(|| {})?;
        // It draws nothing where stderr is no terminal.
        let bar = ProgressBar::new(records);
        let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Progress { bar, interrupt })
    }

    /// Counts `records` more. Whether to go on.
    pub fn add(&self, records: u64) -> bool {
        self.bar.inc(records);
        !self.interrupt.is_asked()
    }

    /// Takes the bar away.
    ///
    /// # Errors
    /// If somebody asked to end.
    pub fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if self.interrupt.is_asked() { Err(Failure::failed("interrupted")) } else { Ok(()) }
    }
}

/// How many records there may be by now, if there may be only so many a second.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    begin: Instant,
    per_second: Option<u32>,
}

impl Pace {
    pub fn begin(per_second: Option<u32>) -> Pace {
        Pace { begin: Instant::now(), per_second: per_second.filter(|&per_second| per_second > 0) }
    }

    /// Waits until it is time for the record behind `records` others.
    pub fn wait(&self, records: u64) {
        let Some(per_second) = self.per_second else { return };
        #[allow(clippy::cast_precision_loss, reason = "a moment, to a nanosecond for months")]
        let due = Duration::from_secs_f64(records as f64 / f64::from(per_second));
        if let Some(left) = due.checked_sub(self.begin.elapsed()) {
            std::thread::sleep(left);
        }
    }
}
