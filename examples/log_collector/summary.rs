//! What the user sees at the end: a table of this run and of all, and a bar chart of levels.

use std::fmt;
use std::time::Duration;

use ottla::DiskUsage;

use crate::bookmark::Bookmark;
use crate::checkpoint::Totals;
use crate::journal::Extent;
use crate::level::Level;
use crate::tally::Tally;
use crate::verify::Verified;

const BAR_WIDTH: usize = 40;

/// What happened in this run, and what is in the log now.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) tally: Tally,
    pub(crate) files: Files,
    pub(crate) all: InAll,
    pub(crate) totals: Totals,
    pub(crate) disk: Disk,
    pub(crate) elapsed: Duration,
    pub(crate) verified: Option<Verified>,
}

/// What is taken of the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// By the lines.
    pub(crate) lines_bytes: u64,
    /// By everything, if there is a budget.
    pub(crate) usage: DiskUsage,
}

/// What was found where lines were looked for.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) with_news: u64,
    pub(crate) without_news: u64,
    pub(crate) other_names: u64,
    pub(crate) specials: u64,
    pub(crate) dangling: u64,
    /// What could not be read, or not to its end.
    pub(crate) failures: u64,
}

/// What all bookmarks say together, and what is there of it.
#[derive(Debug)]
pub(crate) struct InAll {
    pub(crate) contents: u64,
    pub(crate) lines: u64,
    pub(crate) extent: Extent,
    /// Lines that were gone before a checkpoint knew of them.
    missed_lines: u64,
    pub(crate) read_bytes: u64,
    pub(crate) value_bytes: u64,
    pub(crate) taken_off_bytes: u64,
    pub(crate) skipped_bytes: u64,
}

impl InAll {
    pub(crate) fn of(bookmarks: &[Bookmark], extent: Extent, missed_lines: u64) -> InAll {
        let mut all = InAll {
            contents: 0,
            lines: 0,
            extent,
            missed_lines,
            read_bytes: 0,
            value_bytes: 0,
            taken_off_bytes: 0,
            skipped_bytes: 0,
        };
        for bookmark in bookmarks {
            all.contents += 1;
            all.lines += bookmark.line_count;
            all.read_bytes += bookmark.position;
            all.value_bytes += bookmark.value_bytes;
            all.taken_off_bytes += bookmark.taken_off_bytes();
            all.skipped_bytes += bookmark.start + bookmark.skipped_bytes;
        }
        all
    }
}

impl InAll {
    /// Lines that were collected again, because they were gone before a checkpoint knew of them. None of them is kept twice.
    fn lines_again(&self) -> u64 {
        (self.extent.kept + self.extent.no_longer_kept).saturating_sub(self.lines)
    }

    /// Whether every line is kept, or no longer.
    pub(crate) fn is_balanced(&self) -> bool {
        self.lines + self.lines_again() == self.extent.kept + self.extent.no_longer_kept
            && self.lines_again() <= self.missed_lines
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tally, all) = (&self.tally, &self.all);
        self.write_files(f)?;
        writeln!(f, "\n{:<24} {:>32} {:>32}", "", "this run", "in all")?;
        row(f, "files", &grouped(self.files.with_news), &grouped(all.contents))?;
        row(f, "lines", &grouped(tally.lines), &grouped(all.lines))?;
        if all.extent.no_longer_kept > 0 {
            row(f, "= kept", "", &grouped(all.extent.kept))?;
            row(f, "+ no longer kept", "", &grouped(all.extent.no_longer_kept))?;
        }
        if all.lines_again() > 0 {
            row(f, "- collected again", "", &grouped(all.lines_again()))?;
        }
        row(f, "bytes read", &bytes(tally.read_bytes), &bytes(all.read_bytes))?;
        row(f, "= collected in lines", &bytes(tally.value_bytes), &bytes(all.value_bytes))?;
        row(f, "+ line ends, NULs", &bytes(tally.taken_off_bytes), &bytes(all.taken_off_bytes))?;
        row(f, "+ skipped", &bytes(tally.skipped_bytes), &bytes(all.skipped_bytes))?;
        row(f, "on disk", "", &bytes(self.disk.lines_bytes))?;
        // How many bytes the lines have that are kept is not known.
        if all.extent.no_longer_kept == 0 {
            row(f, "on disk per byte of lines", "", &ratio(self.disk.lines_bytes, all.value_bytes))?;
        }
        if let Some(budget) = self.disk.usage.budget_bytes() {
            row(f, "with all else on disk", "", &bytes(self.disk.usage.used_bytes()))?;
            row(f, "of at most", "", &bytes(budget))?;
        }
        row(f, "times not understood", &grouped(tally.not_understood), &grouped(self.totals.not_understood))?;
        for sample in &tally.samples {
            writeln!(f, "    {sample}")?;
        }
        self.write_rate(f)?;
        self.write_verified(f)?;
        writeln!(f, "\n{:<24} {:>12} {:>14}", "level", "this run", "in all")?;
        let most = self.totals.levels.iter().copied().max().unwrap_or(0);
        for ((level, run), all) in Level::ALL.into_iter().zip(tally.levels).zip(self.totals.levels) {
            writeln!(f, "{:<24} {:>12} {:>14} {}", level.name(), grouped(run), grouped(all), bar(all, most))?;
        }
        Ok(())
    }
}

impl Summary {
    fn write_files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Files { with_news, without_news, other_names, specials, dangling, failures } = &self.files;
        let Tally { files_skipped, copies, files_cut_short, left_bytes, lines_skipped, .. } = &self.tally;
        write!(f, "files with new lines: {with_news}, with nothing new: {without_news}, unreadable: {failures}")?;
        for (count, what) in [
            (copies, "copies of others"),
            (files_skipped, "compressed and not read"),
            (other_names, "other names of the same files"),
            (specials, "pipes, sockets and devices"),
            (dangling, "links that lead nowhere"),
        ] {
            if *count > 0 {
                write!(f, ", {what}: {count}")?;
            }
        }
        writeln!(f)?;
        if *lines_skipped > 0 {
            writeln!(f, "lines skipped because they are too long: {lines_skipped}")?;
        }
        if self.tally.passed_over > 0 {
            let lines = self.tally.passed_over;
            writeln!(f, "lines that were no longer kept when it was their turn to be shown: {lines}")?;
        }
        if *files_cut_short > 0 {
            writeln!(f, "files not read to their end: {files_cut_short}; the next run goes on")?;
        }
        if *left_bytes > 0 {
            let left = bytes(*left_bytes);
            writeln!(f, "left for the next run: {left} that may still be being written")?;
        }
        Ok(())
    }

    fn write_verified(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Verified { files, lines, wrong_files }) = self.verified else { return Ok(()) };
        let equal = grouped(lines.equal);
        writeln!(f, "verified: {files} files with {equal} lines are as they were collected, {wrong_files} are not")?;
        for (count, what) in [
            (lines.no_longer_kept, "lines before these in the files are no longer kept"),
            (lines.not_placed, "lines are kept, but an earlier version did not say where they belong"),
        ] {
            if count > 0 {
                writeln!(f, "not verified: {} {what}", grouped(count))?;
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn write_rate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let lines = self.tally.lines as f64 / seconds;
        let megabytes = self.tally.read_bytes as f64 / 1e6 / seconds;
        writeln!(f, "time: {seconds:.3} s, {lines:.0} lines/s, {megabytes:.1} MB/s")
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, run: &str, all: &str) -> fmt::Result {
    writeln!(f, "{name:<24} {run:>32} {all:>32}")
}

/// `1,234,567 (1.23 MB)`
#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
fn bytes(count: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match UNITS.into_iter().find(|(_, size)| *size <= count as f64) {
        Some((unit, size)) => format!("{} ({:.2} {unit})", grouped(count), count as f64 / size),
        None => format!("{count}"),
    }
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let (mut text, mut rest) = (String::new(), digits.as_str());
    let mut length = first;
    while let Some((group, behind)) = rest.split_at_checked(length).filter(|(group, _)| !group.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(group);
        (rest, length) = (behind, 3);
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.2}", part as f64 / whole as f64) }
}

/// `part` of `whole` as a bar; what is there at all is seen.
pub(crate) fn bar(part: u64, whole: u64) -> String {
    let width = (u128::from(part) * BAR_WIDTH as u128).div_ceil(u128::from(whole.max(1)));
    "█".repeat(usize::try_from(width).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(bytes(1_234_567), "1,234,567 (1.23 MB)");
        assert_eq!(bytes(12), "12");
    }

    #[test]
    fn what_is_there_at_all_is_seen() {
        assert_eq!((bar(0, 7).chars().count(), bar(1, 1000).chars().count(), bar(7, 7).chars().count()), (0, 1, 40));
    }
}
