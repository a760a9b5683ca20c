//! The segments that the manifest knows.

use std::io::ErrorKind;
use std::sync::Arc;

use super::{Recovery, note};
use crate::canary::{Canary, planted};
use crate::disk::Open;
use crate::error::{Error, Result};
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FOREIGN, SealedSegment, Segment};

impl Recovery<'_> {
    /// Takes the sealed segments for what the manifest says they are, once they are there and have their size.
    pub(super) fn open_sealed_segments(&mut self) -> Result<()> {
        for ManifestSegment { sealed, log_crc32, .. } in &self.manifest.segments {
            let path = FileName::live(sealed.base_offset, FileKind::Log).path(&self.spec.dir);
            let offsets = sealed.base_offset..sealed.next_offset;
            let hole = self.next_offset..sealed.base_offset;
            if !hole.is_empty() && self.spec.compaction.is_none() {
                // Found when the log went on behind it, and in no manifest, since nothing is known of it.
                let path = FileName::live(hole.start, FileKind::Log).path(&self.spec.dir);
                let damage = self.damage(path, 0, Some(hole), "a segment is missing");
                note(self.mode, &mut self.report, damage)?;
            }
            match self.disk.open(&path, Open::Read).map(|file| file.size_when_opened()) {
                // Without a checksum it is one in whose place another file was found.
                Ok(size) if size == sealed.log_bytes && log_crc32.is_some() => {}
                // Of a file that became longer or shorter what was sealed is still there, or it is another file.
                Ok(_) if self.is_another(sealed)? => {
                    let damage = self.damage(path, 0, Some(offsets), FOREIGN);
                    note(self.mode, &mut self.report, damage)?;
                    self.next_offset = sealed.next_offset;
                    continue;
                }
                Ok(size) if size == sealed.log_bytes => {}
                Ok(size) => {
                    let damage = self.damage(path, size.min(sealed.log_bytes), None, "not the size it had when sealed");
                    note(self.mode, &mut self.report, damage)?;
                }
                Err(_) if planted(Canary::IgnoreMissingSegment) => continue,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let damage = self.damage(path, 0, Some(offsets), "a sealed segment is missing");
                    note(self.mode, &mut self.report, damage)?;
                    self.next_offset = sealed.next_offset;
                    continue;
                }
                Err(e) => return Err(Error::io("open", &path, e)),
            }
            self.segments.push(Arc::new(Segment::open_sealed(&self.dir, sealed, self.config)));
            self.next_offset = sealed.next_offset;
        }
        let sealed = &self.manifest.segments;
        self.bases.retain(|&base| sealed.iter().all(|segment| segment.sealed.base_offset != base));
        Ok(())
    }

    /// Whether the log file of a sealed segment is not the one that was sealed.
    fn is_another(&self, sealed: &SealedSegment) -> Result<bool> {
        Segment::open_sealed(&self.dir, sealed, self.config).is_another()
    }
}
