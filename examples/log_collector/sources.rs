//! Which files there are to collect.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::notices::Notices;

/// Tells a file from others while it is open, and two names of one file from two files. It says nothing about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    device: u64,
    inode: u64,
}

impl FileKey {
    #[cfg(unix)]
    pub(crate) fn of(_path: &Path, metadata: &Metadata) -> FileKey {
        use std::os::unix::fs::MetadataExt as _;
        FileKey { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Elsewhere the name has to do.
    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path, _metadata: &Metadata) -> FileKey {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        fs::canonicalize(path).as_deref().unwrap_or(path).hash(&mut hasher);
        FileKey { device: 0, inode: hasher.finish() }
    }
}

/// A file to look at.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) key: FileKey,
    pub(crate) length: u64,
    /// Of a file that has lost its name since it was opened.
    pub(crate) file: Option<File>,
}

impl Source {
    pub(crate) fn open(&self) -> io::Result<File> {
        self.file.as_ref().map_or_else(|| File::open(&self.path), File::try_clone)
    }
}

/// Regular files, each once however many names it has. Links are followed.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) files: Vec<Source>,
    /// Links and names that lead to a file that has another name here.
    pub(crate) other_names: u64,
    /// Pipes, sockets and devices.
    pub(crate) specials: u64,
    /// Links that lead nowhere.
    pub(crate) dangling: u64,
    seen: HashSet<FileKey>,
    folders: Vec<PathBuf>,
    /// No walk goes in circles, and a log does not collect itself.
    seen_folders: HashSet<PathBuf>,
}

impl Sources {
    /// The files given, and those in the folders given, at any depth, but not in `data_dir`. What cannot be looked at is told.
    pub(crate) fn find(paths: &[PathBuf], data_dir: &Path, notices: &Notices) -> Sources {
        let mut sources = Sources::default();
        sources.seen_folders.extend(fs::canonicalize(data_dir));
        for path in paths {
            if let Err(error) = sources.add(path.clone()) {
                notices.fail(path, error);
            }
        }
        while let Some(folder) = sources.folders.pop() {
            match sources.add_entries(&folder, notices) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => notices.fail(&folder, error),
            }
        }
        // Of a file and its older copy, the copy is shorter and comes first, so the file goes on where the copy ends.
        sources.files.sort_by(|one, other| (one.length, &one.path).cmp(&(other.length, &other.path)));
        sources
    }

    /// What to collect if nothing was given: the logs of the machine, or else the text files that lie here.
    pub(crate) fn default_paths() -> Vec<PathBuf> {
        let logs = Path::new("/var/log");
        let has_logs = fs::read_dir(logs).is_ok_and(|mut entries| entries.next().is_some());
        vec![if has_logs { logs.into() } else { ".".into() }]
    }

    fn add_entries(&mut self, folder: &Path, notices: &Notices) -> io::Result<()> {
        if !self.seen_folders.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match self.add(path.clone()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A file that is gone since is no link any more.
                    if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
                        self.dangling += 1;
                        notices.tell(&path, "a link that leads nowhere");
                    }
                }
                Err(error) => notices.fail(&path, error),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf) -> io::Result<()> {
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            self.folders.push(path);
        } else if !metadata.is_file() {
            // Opening a pipe would wait for its other end.
            self.specials += 1;
        } else {
            let key = FileKey::of(&path, &metadata);
            if self.seen.insert(key) {
                self.files.push(Source { path, key, length: metadata.len(), file: None });
            } else {
                self.other_names += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(sources: &Sources) -> Vec<String> {
        sources.files.iter().map(|source| source.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn links_are_followed_and_every_file_comes_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pods, logs) = (dir.path().join("pods"), dir.path().join("logs"));
        fs::create_dir(&pods).unwrap();
        fs::create_dir(&logs).unwrap();
        fs::write(pods.join("0.log"), "a\n").unwrap();
        symlink("../pods/0.log", logs.join("app.log")).unwrap();
        symlink("../pods", logs.join("pods")).unwrap();
        symlink("..", logs.join("circle")).unwrap();
        symlink("nowhere", logs.join("dangling")).unwrap();
        let notices = Notices::default();
        let sources = Sources::find(&[logs], &dir.path().join("data"), &notices);
        assert_eq!(names(&sources).len(), 1);
        assert_eq!((sources.other_names, sources.dangling), (1, 1));
        assert!(notices.failures() == 0);
        assert!(notices.all()[0].contains("dangling"), "{:?}", notices.all());
    }

    #[test]
    fn a_path_that_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let notices = Notices::default();
        let sources = Sources::find(&[dir.path().join("missing")], &dir.path().join("data"), &notices);
        assert!(sources.files.is_empty() && notices.failures() == 1);
        assert!(notices.all()[0].contains("missing"), "{:?}", notices.all());
    }

    #[test]
    fn a_log_does_not_collect_itself() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("x.log"), "a\n").unwrap();
        fs::write(dir.path().join("y.log"), "a longer line\n").unwrap();
        fs::write(dir.path().join("z.log"), "b\n").unwrap();
        let sources = Sources::find(&[dir.path().to_owned()], &data, &Notices::default());
        assert_eq!(names(&sources), ["z.log", "y.log"]);
    }
}
