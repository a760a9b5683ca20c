//! One run: rounds of collecting, a viewer beside them, and a checkpoint at the end.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::checkpoint::Totals;
use crate::failure::Failure;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::options::Options;
use crate::progress::ProgressBar;
use crate::rounds::{Round, Rounds};
use crate::sources::Sources;
use crate::streams::Streams;
use crate::summary::{Disk, Files, InAll, Summary};
use crate::tally::Tally;
use crate::verify::verify;
use crate::viewer::{Filter, Viewer};

/// Without `--follow`, so many rounds at most, if files are rotated all the time.
const ROUNDS_MAX: u32 = 5;
/// With `--follow`, how long to wait before looking again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(20);
/// After so many lines a checkpoint is worth while: to read that many takes a moment at the next start.
const LINES_PER_CHECKPOINT: u64 = 1_000_000;
/// With fewer lines, so often: a checkpoint is to know of lines before they are deleted, which is an hour later at least.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);

/// Collects what `options` ask for, until it is done or `stop` says so. Lines go to `out`, what is to be told to `notices`.
pub(crate) fn collect(
    options: &Options,
    notices: &Notices,
    stop: &AtomicBool,
    out: &mut (dyn Write + Send),
) -> Result<Summary> {
    let journal = Journal::open(&options.data_dir, &options.keep)?;
    let (streams, before) = journal.history()?;
    let paths = if options.paths.is_empty() { Sources::default_paths() } else { options.paths.clone() };
    let begin = Instant::now();
    let mut tally = Tally::default();
    let files = collect_rounds(options, &paths, (&journal, &streams, notices), stop, (&before, &mut tally), out)?;
    let elapsed = begin.elapsed();
    let totals = totals(&journal, &before, &tally);
    journal.checkpoint(&streams, &totals)?;
    if !tally.is_balanced() {
        return Err(format!("not every byte that was read is accounted for: {tally:?}").into());
    }
    let mut verified = None;
    if options.is_verifying {
        // Also after Ctrl-C: that was about following.
        let go_on = AtomicBool::new(false);
        let compared = verify((&journal, &streams, notices), &paths, &options.data_dir, &go_on);
        verified = Some(compared.map_err(Failure::into_error)?);
    }
    let all = InAll::of(&streams.bookmarks(), journal.extent(), totals.missed);
    if !all.is_balanced() {
        return Err(format!("not every line that was collected is accounted for: {all:?}").into());
    }
    let summary = Summary {
        all,
        disk: Disk { lines_bytes: journal.disk_bytes()?, usage: journal.broker.admin().disk_usage()? },
        tally,
        files,
        totals,
        elapsed,
        verified,
    };
    journal.close()?;
    Ok(summary)
}

/// Round after round, with checkpoints where they are worth while.
fn collect_rounds(
    options: &Options,
    paths: &[PathBuf],
    (journal, streams, notices): (&Journal, &Streams, &Notices),
    stop: &AtomicBool,
    (before, tally): (&Totals, &mut Tally),
    out: &mut (dyn Write + Send),
) -> Result<Files> {
    let is_shown = options.is_following || options.since.is_some() || options.level.is_some();
    let filter = Filter { is_shown, since: options.since, level: options.level };
    let mut viewer = Viewer::new(journal, filter, out)?;
    let mut progress = ProgressBar::new(!is_shown);
    let mut rounds = Rounds::new((journal, streams, notices), stop, paths.to_vec(), options);
    let (mut checkpoint_lines, mut checkpoint_time) = (0, Instant::now());
    let mut rounds_done = 0;
    let last = loop {
        let mut round = rounds.run(|done| show(&mut viewer, &mut progress, stop, done))?;
        // Of every round what it leaves; the last one counts.
        (tally.left_bytes, tally.files_cut_short) = (0, 0);
        tally.merge(std::mem::take(&mut round.tally));
        rounds_done += u32::from(!round.is_checkpoint_due);
        let is_over = stop.load(Ordering::Relaxed) || rounds.is_limit_reached();
        let is_settled = !round.has_moved || rounds_done == ROUNDS_MAX;
        if is_over || !options.is_following && !round.is_checkpoint_due && is_settled {
            break round;
        }
        let new_lines = tally.lines - checkpoint_lines;
        let is_time = checkpoint_time.elapsed() >= CHECKPOINT_EVERY && new_lines > 0;
        if round.is_checkpoint_due || new_lines >= LINES_PER_CHECKPOINT || is_time {
            (checkpoint_lines, checkpoint_time) = (tally.lines, Instant::now());
            journal.checkpoint(streams, &totals(journal, before, tally))?;
        }
        if options.is_following {
            viewer.commit()?;
            let wait = if round.is_checkpoint_due { Duration::ZERO } else { LOOK_AGAIN_AFTER };
            viewer.poll(wait)?;
        }
    };
    drop(progress);
    viewer.commit()?;
    tally.passed_over = viewer.check(&tally.sums)?;
    Ok(files(&last, &rounds))
}

/// Shows what has come; at the end of a round, all of it.
fn show(viewer: &mut Viewer<'_>, progress: &mut ProgressBar, stop: &AtomicBool, done: f64) -> Result<()> {
    progress.draw(done);
    let is_end = done >= 1.0;
    while viewer.poll(if is_end { Duration::ZERO } else { POLL })? > 0 && is_end {}
    if viewer.is_closed {
        stop.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn files(last: &Round, rounds: &Rounds<'_>) -> Files {
    let with_news = rounds.seen.values().filter(|has_news| **has_news).count() as u64;
    Files {
        with_news,
        without_news: rounds.seen.len() as u64 - with_news,
        other_names: last.other_names,
        specials: last.specials,
        dangling: last.dangling,
        failures: rounds.notices.failures(),
    }
}

/// What there is in all. Nobody collects meanwhile.
fn totals(journal: &Journal, before: &Totals, tally: &Tally) -> Totals {
    let mut totals = before.clone();
    totals.ends = journal.ends();
    totals.levels.iter_mut().zip(tally.levels).for_each(|(all, run)| *all += run);
    totals.not_understood += tally.not_understood;
    totals
}
