//! Compares what is kept of what was collected with the files as they are, line by line.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::content::{Content, Opened};
use crate::failure::Failure;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::replay::{Comparison, Extent, compare};
use crate::sources::{Source, Sources};
use crate::streams::Streams;

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verified {
    pub(crate) files: u64,
    /// What was compared, all of it equal, and what is no longer kept of the files that are as they were collected.
    pub(crate) lines: Extent,
    /// Files of which another line was collected, or that were not collected at all.
    pub(crate) wrong_files: u64,
}

impl Verified {
    fn add(&mut self, lines: Extent) {
        self.files += 1;
        self.lines.equal += lines.equal;
        self.lines.no_longer_kept += lines.no_longer_kept;
        self.lines.not_placed += lines.not_placed;
    }
}

/// Reads all files again. What is wrong is told.
pub(crate) fn verify(
    (journal, streams, notices): (&Journal, &Streams, &Notices),
    paths: &[PathBuf],
    data_dir: &Path,
    stop: &AtomicBool,
) -> Result<Verified, Failure> {
    let mut verified = Verified::default();
    for source in Sources::find(paths, data_dir, notices).files {
        match verify_file(journal, streams, &source, stop) {
            // The second was told why when it was to be collected.
            Ok(None) | Err(Failure::File(_)) => {}
            Ok(Some(Comparison::Whole(lines))) => {
                verified.add(lines);
                // Of what is gone as a whole, only the number is told.
                if lines.no_longer_kept > 0 && lines.equal > 0 {
                    let gone = lines.no_longer_kept;
                    notices.tell(&source.path, format!("lines 1 to {gone} are no longer kept"));
                }
            }
            Ok(Some(Comparison::Beginning { line_number, .. } | Comparison::Differs { line_number })) => {
                verified.wrong_files += 1;
                notices.fail(&source.path, format!("line {line_number} is not what was collected"));
            }
            // It had all lines when it was looked for.
            Ok(Some(Comparison::Unknown)) => {
                verified.wrong_files += 1;
                notices.fail(&source.path, "lines that were collected are not there any more");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(verified)
}

/// `None` for what holds no lines: nothing, or a log that is compressed in a way that is not read here.
fn verify_file(
    journal: &Journal,
    streams: &Streams,
    source: &Source,
    stop: &AtomicBool,
) -> Result<Option<Comparison>, Failure> {
    let Opened::Content(mut content) = Content::of(source.open()?)? else { return Ok(None) };
    let head = content.head()?;
    let mut found = None;
    for candidate in streams.candidates(&head).streams {
        // They come by position, so the last one goes furthest.
        if content.seek(candidate.bookmark.position, &head)?.is_some_and(|trail| candidate.bookmark.is_at(&trail)) {
            found = Some(candidate.bookmark.stream);
        }
    }
    match found {
        Some(stream) => compare(&mut content, &streams.chain(stream), journal, stop).map(Some),
        None if head.is_empty() => Ok(None),
        None => Ok(Some(Comparison::Differs { line_number: 1 })),
    }
}
