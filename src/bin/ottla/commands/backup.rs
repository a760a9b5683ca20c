//! `ottla backup`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ottla::{BackupOptions, BackupProgress, BackupReport, Error};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::table::Look;
use crate::output::{Output, Stdout, text};
use crate::place::Place;

/// Make a backup of the data directory
///
/// The backup is a directory of its own. Files that do not change any more are linked where that is possible, and take no room then. It
/// needs the data directory to be free: a program that writes it makes its backups itself. Verify a backup with
/// `ottla --dir TARGET verify --deep`; go on from it with `ottla restore`; remove it as any directory. Ctrl-C ends it, and removes what was
/// made.
#[derive(Debug, Args)]
pub struct Backup {
    /// The directory to make it in: a new or an empty one
    target: PathBuf,
    /// An earlier backup of the same directory: what it has already is linked from there, where it cannot be linked from the source
    #[arg(long, value_name = "BACKUP")]
    base: Option<PathBuf>,
    /// Copy every byte, although files could be linked
    #[arg(long)]
    copy_all: bool,
    /// Copy so many bytes a second at most
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<u64>,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    target: String,
    taken_at: String,
    partitions: usize,
    files: usize,
    bytes_linked: u64,
    bytes_copied: u64,
    seconds: f64,
}

impl Backup {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.builder()?.background(false).open()?;
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("backing up {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}");
        bar.set_style(style.map_err(Failure::failed)?);
        let interrupt = Interrupt::watch(|| {})?;
        let show = |progress: &BackupProgress| {
            bar.set_length(progress.bytes_total());
            bar.set_position(progress.bytes_done());
            if interrupt.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut options = BackupOptions::new().copy_all(self.copy_all).on_progress(&show);
        if let Some(base) = &self.base {
            options = options.base(base);
        }
        if let Some(bytes) = self.bytes_per_second {
            options = options.bytes_per_second(bytes);
        }
        let made = broker.admin().backup_with(&self.target, &options);
        bar.finish_and_clear();
        let made = made.map(|report| Made::new(self, &report));
        broker.close()?;
        let made = made.map_err(|error| match error {
            Error::Cancelled { .. } => Failure::failed("interrupted: what was made of the backup is removed again"),
            error => error.into(),
        })?;
        output.value(&made, |out, look| made.show(out, look))
    }
}

impl Made {
    fn new(backup: &Backup, report: &BackupReport) -> Made {
        Made {
            target: text::escaped_path(&backup.target),
            taken_at: report.taken_at().to_string(),
            partitions: report.partitions().count(),
            files: report.file_count(),
            bytes_linked: report.bytes_linked(),
            bytes_copied: report.bytes_copied(),
            seconds: report.duration().as_secs_f64(),
        }
    }

    fn show(&self, out: &mut Stdout, _look: Look) -> io::Result<()> {
        let Made { target, taken_at, partitions, files, bytes_linked, bytes_copied, seconds } = self;
        writeln!(out, "{} of {taken_at} in {target}", text::counted(*partitions, "partition"))?;
        let (linked, copied) = (text::bytes(*bytes_linked), text::bytes(*bytes_copied));
        writeln!(out, "{}: {linked} linked, {copied} copied, in {seconds:.1} s", text::counted(*files, "file"))
    }
}
