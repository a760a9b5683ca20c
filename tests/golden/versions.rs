//! Directories of a version to come: refused, and not one byte of them changed.
//!
//! Each versioned file gets the next version and a checksum that is right. All that may change is the lock file: it holds
//! who has the lock, and is taken before anything is read.

use std::path::{Path, PathBuf};

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Error};

use crate::GOLDEN;
use crate::image::{self, DATA, Image, golden_dir};

/// How a kind of file states its version: where, and what the checksum behind it is over.
#[derive(Debug)]
struct Versioned {
    name: &'static str,
    /// Where its records begin, as found in the file.
    magic: &'static [u8],
    /// From the magic to the end of what the checksum is over; `None` where the record says so itself.
    checked_bytes: Option<usize>,
    /// The version of the format.
    version: u32,
}

const VERSION: usize = 8;
/// In a file of generations: bytes of the payload, and where it begins.
const PAYLOAD_BYTES: usize = 20;
const PAYLOAD: usize = 24;

const FILES: [Versioned; 5] = [
    Versioned { name: "catalog", magic: b"OTTLACAT", checked_bytes: None, version: 2 },
    Versioned { name: "manifest", magic: b"OTTLAMAN", checked_bytes: None, version: 2 },
    Versioned { name: "recovery-point", magic: b"OTTLARPT", checked_bytes: Some(252), version: 2 },
    Versioned { name: "tail", magic: b"OTTLTAIL", checked_bytes: Some(12), version: 2 },
    Versioned { name: "tail-always", magic: b"OTTLTAIL", checked_bytes: Some(12), version: 2 },
];

impl Versioned {
    /// The checked parts of a file's records: where they begin and end.
    fn records(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let starts = bytes.windows(self.magic.len()).enumerate().filter(|(_, window)| *window == self.magic);
        let end = |start: usize| {
            start + self.checked_bytes.unwrap_or_else(|| PAYLOAD + u32_at(bytes, start + PAYLOAD_BYTES) as usize)
        };
        starts.map(|(start, _)| (start, end(start))).collect()
    }

    /// The file with `change` made to each of its records, all checksums right.
    fn changed(&self, bytes: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        let records = self.records(bytes);
        assert!(!records.is_empty(), "{} has no record", self.name);
        for (start, end) in records {
            change(&mut changed[start..end]);
            let crc = crc32(&changed[start..end]);
            changed[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        }
        changed
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// CRC-32 bit by bit, so that what is checked here is not what is checked with.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Every golden directory, as after a close and as after a kill, with the paths of its files of this name.
fn with_files_named(name: &str, mut check: impl FnMut(&str, Image, PathBuf)) {
    let mut checked = 0;
    for golden in GOLDEN {
        let image = image::load(&golden_dir(golden));
        let paths: Vec<PathBuf> = image.keys().filter(|path| path.ends_with(name)).cloned().collect();
        for path in paths {
            checked += 1;
            check(golden, image.clone(), path.clone());
            let mut stopped = image.clone();
            if stopped.remove(Path::new("clean-shutdown")).is_some() {
                check("v2/clean without its mark", stopped, path);
            }
        }
    }
    assert!(checked > 1, "{name} was looked for in vain");
}

/// Opens and expects to be refused, with nothing changed.
fn refusal(golden: &str, image: &Image, path: &Path) -> Error {
    let disk = SimulatedDisk::new(1);
    image::put(&disk, image);
    let opened = Broker::builder(DATA).disk(&disk).background(false).open();
    let Err(refused) = opened else { panic!("{golden}: opened with another {}", path.display()) };
    let mut after = image::of_disk(&disk, |_| true);
    let lock = Path::new("ottla.lock");
    after.insert(lock.to_owned(), image[lock].clone());
    crate::assert_same(image, &after, &format!("{golden}, {}", path.display()));
    refused
}

#[test]
fn a_newer_version_of_any_file_is_refused_and_nothing_is_changed() {
    for versioned in FILES {
        with_files_named(versioned.name, |golden, mut image, path| {
            let next = |record: &mut [u8]| record[VERSION + 3] += 1;
            let newer = versioned.changed(&image[&path], next);
            image.insert(path.clone(), newer);
            match refusal(golden, &image, &path) {
                Error::UnsupportedVersion { path: named, found, supported, .. } => {
                    assert_eq!((found, supported), (versioned.version + 1, versioned.version));
                    assert_eq!(named, Path::new(DATA).join(&path), "{golden}");
                }
                other => panic!("{golden}, {}: {other}", path.display()),
            }
        });
    }
}

/// Version 1 was never released.
#[test]
fn a_version_that_was_never_released_is_refused_and_nothing_is_changed() {
    for versioned in FILES.iter().filter(|versioned| versioned.version > 1) {
        with_files_named(versioned.name, |golden, mut image, path| {
            let older = versioned.changed(&image[&path], |record: &mut [u8]| record[VERSION + 3] = 1);
            image.insert(path.clone(), older);
            let refused = refusal(golden, &image, &path);
            assert!(matches!(refused, Error::UnsupportedVersion { found: 1, supported: 2, .. }), "{golden}: {refused}");
        });
    }
}

/// A flag that this version does not know may change what all else means.
#[test]
fn an_unknown_flag_is_refused_and_nothing_is_changed() {
    // Of the recovery point, behind its version; of the last segment in the manifest, before its two files.
    for (versioned, flags_from_end, flags_at) in [(&FILES[2], None, Some(12)), (&FILES[1], Some(34), None)] {
        with_files_named(versioned.name, |golden, mut image, path| {
            let flag = |record: &mut [u8]| {
                let at = flags_at.or(flags_from_end.map(|from_end| record.len() - from_end)).unwrap();
                record[at] |= 0x80;
            };
            let flagged = versioned.changed(&image[&path], flag);
            image.insert(path.clone(), flagged);
            let refused = refusal(golden, &image, &path);
            let is_typed = matches!(refused, Error::UnsupportedVersion { .. } | Error::Corrupt(_));
            assert!(is_typed, "{golden}, {}: {refused}", path.display());
        });
    }
}

#[test]
fn the_checksum_here_is_the_one_in_the_files() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let image = image::load(&golden_dir("v2/clean"));
    for versioned in FILES {
        let bytes = &image.iter().find(|(path, _)| path.ends_with(versioned.name)).unwrap().1[..];
        assert_eq!(versioned.changed(bytes, |_| {}), bytes, "{}", versioned.name);
    }
}
