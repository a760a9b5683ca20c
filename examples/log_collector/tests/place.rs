//! A folder of logs, and a log to collect them into.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::journal::{Journal, PARTITIONS};
use crate::keep::Keep;
use crate::notices::Notices;
use crate::options::Options;
use crate::session;
use crate::summary::Summary;

pub(super) struct Place {
    dir: TempDir,
    /// What is kept of what is collected here.
    pub(super) keep: Keep,
}

/// What a run did, and what it told.
pub(super) struct Done {
    pub(super) summary: Summary,
    pub(super) told: Vec<String>,
    pub(super) has_failed: bool,
    pub(super) shown: String,
}

impl Done {
    pub(super) fn lines(&self) -> u64 {
        self.summary.tally.lines
    }

    #[track_caller]
    pub(super) fn assert_told(&self, parts: &[&str]) {
        let is_told = |text: &String| parts.iter().all(|part| text.contains(part));
        assert!(self.told.iter().any(is_told), "{parts:?} in {:?}", self.told);
    }
}

impl Place {
    pub(super) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Place { dir, keep: Keep::default() }
    }

    pub(super) fn keeping(keep: Keep) -> Place {
        Place { keep, ..Place::new() }
    }

    pub(super) fn journal(&self) -> Journal {
        Journal::open(&self.data(), &self.keep).unwrap()
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a file whose last change is an hour ago.
    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.log(name), bytes).unwrap();
        make_old(&self.log(name));
    }

    pub(super) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        File::options().append(true).open(self.log(name)).unwrap().write_all(bytes.as_ref()).unwrap();
        make_old(&self.log(name));
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.log(from), self.log(to)).unwrap();
    }

    /// As `cp`: what is copied is as new as the copy.
    pub(super) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.log(from), self.log(to)).unwrap();
        make_old(&self.log(to));
    }

    pub(super) fn compress(&self, name: &str) {
        let bytes = fs::read(self.log(name)).unwrap();
        fs::remove_file(self.log(name)).unwrap();
        self.write(&format!("{name}.gz"), gzip(&bytes));
    }

    pub(super) fn options(&self) -> Options {
        Options {
            data_dir: self.data(),
            is_following: false,
            since: None,
            level: None,
            is_verifying: false,
            // Longer than any test takes, and less than what is old.
            settle: Duration::from_secs(1800),
            bytes_max: u64::MAX,
            keep: self.keep,
            paths: vec![self.logs()],
        }
    }

    pub(super) fn run(&self) -> Done {
        self.run_with(&self.options())
    }

    /// Collects as `options` say, which are this place's with changes.
    pub(super) fn run_with(&self, options: &Options) -> Done {
        assert_eq!(options.data_dir, self.data());
        let (notices, mut shown) = (Notices::default(), Vec::new());
        let summary = session::collect(options, &notices, &AtomicBool::new(false), &mut shown).unwrap();
        assert!(summary.tally.is_balanced());
        let all = &summary.all;
        assert_eq!(all.read_bytes, all.value_bytes + all.taken_off_bytes + all.skipped_bytes);
        let shown = String::from_utf8_lossy(&shown).into_owned();
        Done { summary, told: notices.all(), has_failed: notices.failures() > 0, shown }
    }

    /// Collects, and compares all files with what was collected.
    pub(super) fn run_and_verify(&self) -> Done {
        let done = self.run_with(&Options { is_verifying: true, ..self.options() });
        assert_eq!(done.summary.verified.unwrap().wrong_files, 0, "{:?}", done.told);
        done
    }

    /// Every value that is kept, sorted.
    pub(super) fn values(&self) -> Vec<String> {
        let mut values = Vec::new();
        self.each_value(|value| values.push(String::from_utf8_lossy(value).into_owned()));
        values.sort();
        values
    }

    pub(super) fn each_value(&self, mut take: impl FnMut(&[u8])) {
        let journal = self.journal();
        for partition in 0..PARTITIONS as u64 {
            let partition = journal.lines_of(partition).unwrap();
            for record in partition.iter_from(partition.log_start_offset()) {
                take(record.unwrap().value().unwrap());
            }
        }
    }
}

/// Lines of a program named so, by number.
pub(super) fn lines(name: &str, numbers: std::ops::Range<u32>) -> String {
    let lines: Vec<_> = numbers.map(|number| format!("2024-05-06 07:08:09 INFO {name} {number}\n")).collect();
    lines.concat()
}

/// Five lines that a program writes at the beginning of each of its files.
pub(super) fn banner() -> String {
    format!("{}\n", "#".repeat(60)).repeat(5)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn make_old(path: &Path) {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().append(true).open(path).unwrap().set_modified(hour_ago).unwrap();
}
