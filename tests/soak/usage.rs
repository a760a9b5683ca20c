//! What could pile up, counted.

use std::fs;
use std::path::Path;

/// What the process and the data directory have at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    resident_bytes: u64,
    /// Open files.
    handles: u64,
    maps: u64,
    threads: u64,
    /// Files and directories in the data directory.
    entries: u64,
    /// All its files.
    bytes: u64,
    tail_bytes: u64,
}

impl Usage {
    pub(crate) fn of(dir: &Path) -> Usage {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut usage = Usage {
            resident_bytes: resident_bytes(),
            handles: count("/proc/self/fd"),
            maps: maps.lines().count() as u64,
            threads: count("/proc/self/task"),
            ..Usage::default()
        };
        usage.add_files(dir);
        usage
    }

    fn add_files(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            self.entries += 1;
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                self.add_files(&entry.path());
                continue;
            }
            self.bytes += metadata.len();
            if entry.file_name().to_string_lossy().starts_with("tail") {
                self.tail_bytes += metadata.len();
            }
        }
    }

    /// All counts in one order.
    fn counts(self) -> [u64; 7] {
        let Usage { resident_bytes, handles, maps, threads, entries, bytes, tail_bytes } = self;
        [resident_bytes, handles, maps, threads, entries, bytes, tail_bytes]
    }

    fn from_counts(counts: [u64; 7]) -> Usage {
        let [resident_bytes, handles, maps, threads, entries, bytes, tail_bytes] = counts;
        Usage { resident_bytes, handles, maps, threads, entries, bytes, tail_bytes }
    }

    fn combine(self, other: Usage, with: impl Fn(u64, u64) -> u64) -> Usage {
        let (one, other) = (self.counts(), other.counts());
        Usage::from_counts(std::array::from_fn(|n| with(one[n], other[n])))
    }

    pub(crate) fn max(self, other: Usage) -> Usage {
        self.combine(other, u64::max)
    }

    /// What may be added however long the run is: a thread of the test harness, pages that the allocator keeps and the maps they are in, a segment that is
    /// begun with its indexes, and the committed offsets, which are compacted only once two of their segments are full.
    pub(crate) fn with_slack(self) -> Usage {
        let slack = Usage {
            resident_bytes: 8 << 20,
            handles: 8,
            maps: 32,
            threads: 1,
            entries: 12,
            bytes: 4 << 20,
            tail_bytes: 0,
        };
        self.combine(slack, |count, slack| count + slack)
    }

    pub(crate) fn is_within(self, bound: Usage) -> bool {
        self.counts().iter().zip(bound.counts()).all(|(count, bound)| *count <= bound)
    }
}

fn count(dir: &str) -> u64 {
    fs::read_dir(dir).unwrap().count() as u64
}

pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn one_too_many_of_anything_is_found() {
    let bound = Usage::default().with_slack();
    assert!(bound.is_within(bound));
    for number in 0..bound.counts().len() {
        let mut counts = bound.counts();
        counts[number] += 1;
        assert!(!Usage::from_counts(counts).is_within(bound));
    }
}
