//! Which files there are to collect.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bookmark::FileId;

/// Regular files, each once however many names it has, and how much could not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) bytes: u64,
    pub(crate) unreadable: usize,
    seen: HashSet<FileId>,
}

impl Sources {
    /// The files given, and those in the folders given, at any depth. `data_dir` is left out: a log does not collect itself.
    pub(crate) fn find(paths: &[PathBuf], data_dir: &Path) -> Sources {
        let mut sources = Sources::default();
        let data_dir = fs::canonicalize(data_dir).ok();
        let mut folders = Vec::new();
        for path in paths {
            // What the user names may be a link; what lies in a folder is not followed, so that no walk goes in circles.
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => folders.push(path.clone()),
                Ok(metadata) => sources.add(path.clone(), &metadata),
                Err(_) => sources.unreadable += 1,
            }
        }
        while let Some(folder) = folders.pop() {
            if data_dir.is_some() && fs::canonicalize(&folder).ok() == data_dir {
                continue;
            }
            let Ok(entries) = fs::read_dir(&folder) else {
                sources.unreadable += 1;
                continue;
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => folders.push(path),
                    Ok(metadata) => sources.add(path, &metadata),
                    Err(_) => sources.unreadable += 1,
                }
            }
        }
        sources.files.sort();
        sources
    }

    /// What to collect if nothing was given: the logs of the machine, or else the text files that lie here.
    pub(crate) fn find_default(data_dir: &Path) -> Sources {
        let logs = Sources::find(&[PathBuf::from("/var/log")], data_dir);
        let has_some = logs.files.iter().any(|path| fs::File::open(path).is_ok());
        if has_some { logs } else { Sources::find(&[PathBuf::from(".")], data_dir) }
    }

    fn add(&mut self, path: PathBuf, metadata: &fs::Metadata) {
        // Opening a pipe would wait for its other end.
        if metadata.is_file() && self.seen.insert(FileId::of(&path, metadata)) {
            self.bytes += metadata.len();
            self.files.push(path);
        }
    }
}
