//! The segments that the manifest knows: whether they are there, as opening a log says for writing and read-only.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use super::{Recovery, note};
use crate::canary::{Canary, planted};
use crate::disk::Open;
use crate::error::{Corruption, Error, Result};
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FOREIGN, Segment, SegmentConfig, SegmentDir};

/// How the log file of a sealed segment was found.
enum Found {
    AsSealed,
    /// It is longer or shorter.
    Changed(Corruption),
    /// Another file is in its place.
    Another(Corruption),
    Missing(Corruption),
}

impl Recovery<'_> {
    /// Takes the sealed segments for what the manifest says they are, once they are there and have their size.
    pub(super) fn open_sealed_segments(&mut self) -> Result<()> {
        let is_compacted = self.manifest.has_gaps();
        for noted in &self.manifest.segments {
            let sealed = &noted.sealed;
            if !is_compacted && let Some(damage) = hole(&self.dir, self.next_offset..sealed.base_offset) {
                note(self.mode, &mut self.report, damage)?;
            }
            match find(&self.dir, noted, self.config)? {
                Found::AsSealed => {}
                Found::Changed(damage) => note(self.mode, &mut self.report, damage)?,
                Found::Missing(_) if planted(Canary::IgnoreMissingSegment) => continue,
                Found::Another(damage) | Found::Missing(damage) => {
                    note(self.mode, &mut self.report, damage)?;
                    self.next_offset = sealed.next_offset;
                    continue;
                }
            }
            self.segments.push(Arc::new(Segment::open_sealed(&self.dir, sealed, self.config)));
            self.next_offset = sealed.next_offset;
        }
        let sealed = &self.manifest.segments;
        self.bases.retain(|&base| sealed.iter().all(|segment| segment.sealed.base_offset != base));
        Ok(())
    }
}

/// What opening a log for writing would report of these sealed segments, the first of which is the log's first.
pub(in crate::partition) fn damage_of_sealed<'n>(
    dir: &Arc<SegmentDir>,
    segments: impl Iterator<Item = &'n ManifestSegment>,
    config: SegmentConfig,
    is_compacted: bool,
) -> Result<Vec<Corruption>> {
    let (mut damage, mut next_offset) = (Vec::new(), None);
    for noted in segments {
        let before = next_offset.unwrap_or(noted.sealed.base_offset);
        damage.extend(hole(dir, before..noted.sealed.base_offset).filter(|_| !is_compacted));
        match find(dir, noted, config)? {
            Found::AsSealed => {}
            Found::Changed(found) | Found::Another(found) | Found::Missing(found) => damage.push(found),
        }
        next_offset = Some(noted.sealed.next_offset);
    }
    Ok(damage)
}

/// Offsets between sealed segments. They were found when the log went on behind them, and are in no manifest, since nothing is
/// known of them.
fn hole(dir: &SegmentDir, hole: Range<u64>) -> Option<Corruption> {
    let first = FileName::live(hole.start, FileKind::Log);
    (!hole.is_empty()).then(|| damage_of(dir, first, 0, Some(hole), "a segment is missing"))
}

/// Looks for the log file of a sealed segment.
fn find(dir: &Arc<SegmentDir>, noted: &ManifestSegment, config: SegmentConfig) -> Result<Found> {
    let ManifestSegment { sealed, log_crc32, .. } = noted;
    let name = FileName::live(sealed.base_offset, FileKind::Log);
    let offsets = Some(sealed.base_offset..sealed.next_offset);
    let path = name.path(&dir.path);
    let size = match dir.files.disk().open(&path, Open::Read) {
        Ok(file) => file.size_when_opened(),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Ok(Found::Missing(damage_of(dir, name, 0, offsets, "a sealed segment is missing")));
        }
        Err(e) => return Err(Error::io("open", &path, e)),
    };
    // Without a checksum it is one in whose place another file was found.
    if size == sealed.log_bytes && log_crc32.is_some() {
        return Ok(Found::AsSealed);
    }
    // Of a file that became longer or shorter what was sealed is still there, or it is another file.
    if Segment::open_sealed(dir, sealed, config).is_another()? {
        return Ok(Found::Another(damage_of(dir, name, 0, offsets, FOREIGN)));
    }
    let position = size.min(sealed.log_bytes);
    let changed = || Found::Changed(damage_of(dir, name, position, None, "not the size it had when sealed"));
    Ok(if size == sealed.log_bytes { Found::AsSealed } else { changed() })
}

fn damage_of(
    dir: &SegmentDir,
    name: FileName,
    file_position: u64,
    offsets: Option<Range<u64>>,
    reason: &'static str,
) -> Corruption {
    let (partition, path) = (Some(dir.partition.clone()), name.path(&dir.path));
    Corruption { partition, path, file_position, offsets, reason }
}
