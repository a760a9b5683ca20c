//! A data directory as bytes: kept under `tests/golden`, put on a disk, compared.
//!
//! Every file is kept as it is, but for the tails, which are a mebibyte of zeros and a few open batches: of those
//! `NAME.sparse` keeps the rows of 16 bytes that are not zero.
//!
//! ```text
//! size 1052672
//! 00000000 4f54544c5441494c0000000187654321
//! ```

#![allow(dead_code, reason = "`damage` and `cli` only read, `golden` also writes")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "testing")]
use ottla::testing::SimulatedDisk;

/// Files by their paths within the data directory.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// Where a data directory is put on a simulated disk.
pub(crate) const DATA: &str = "/data";

const ROW: usize = 16;
const SPARSE: &str = "sparse";

/// The directory with what a released version wrote.
pub(crate) fn golden_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Reads a directory of this kind, tails expanded.
pub(crate) fn load(dir: &Path) -> Image {
    let kept = read_tree(dir);
    assert!(!kept.is_empty(), "nothing is in {}", dir.display());
    kept.into_iter().map(expand).collect()
}

/// Every file below `dir`, as it is.
pub(crate) fn read_tree(dir: &Path) -> Image {
    let (mut image, mut to_do) = (Image::new(), vec![dir.to_owned()]);
    while let Some(next) = to_do.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                to_do.push(path);
            } else {
                image.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    image
}

/// Writes a directory of this kind, which must not be there.
pub(crate) fn save(dir: &Path, image: &Image) {
    assert!(!dir.exists(), "{} is there; golden files are never rewritten", dir.display());
    for (path, bytes) in image {
        let (path, bytes) = if is_tail(path) {
            (path.with_extension(SPARSE), to_sparse(bytes).into_bytes())
        } else {
            (path.clone(), bytes.clone())
        };
        write_file(&dir.join(path), &bytes);
    }
}

/// Writes the files as a data directory of the operating system.
pub(crate) fn write_tree(dir: &Path, image: &Image) {
    for (path, bytes) in image {
        write_file(&dir.join(path), bytes);
    }
}

/// The files of a data directory on a simulated disk, those that are wanted.
#[cfg(feature = "testing")]
pub(crate) fn of_disk(disk: &SimulatedDisk, is_wanted: impl Fn(&Path) -> bool) -> Image {
    let mut image = Image::new();
    for (path, _) in disk.files() {
        if let Some(within) = path.strip_prefix(DATA).ok().filter(|within| is_wanted(within)) {
            image.insert(within.to_owned(), disk.read(&path).unwrap());
        }
    }
    image
}

/// Puts the files on a simulated disk.
#[cfg(feature = "testing")]
pub(crate) fn put(disk: &SimulatedDisk, image: &Image) {
    for (path, bytes) in image {
        disk.put(Path::new(DATA).join(path), bytes);
    }
}

pub(crate) fn is_tail(path: &Path) -> bool {
    ["tail", "tail-always"].iter().any(|name| path == Path::new(name))
}

fn write_file(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn to_sparse(bytes: &[u8]) -> String {
    let mut text = format!("size {}\n", bytes.len());
    for (row, chunk) in bytes.chunks(ROW).enumerate().filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0)) {
        write!(text, "{:08x} ", row * ROW).unwrap();
        for byte in chunk {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn expand((path, bytes): (PathBuf, Vec<u8>)) -> (PathBuf, Vec<u8>) {
    if path.extension().is_none_or(|extension| extension != SPARSE) {
        return (path, bytes);
    }
    let text = String::from_utf8(bytes).unwrap();
    let (size, rows) = text.split_once('\n').unwrap();
    let mut bytes = vec![0; size.strip_prefix("size ").unwrap().parse().unwrap()];
    for row in rows.lines() {
        let (position, hex) = row.split_once(' ').unwrap();
        let position = usize::from_str_radix(position, 16).unwrap();
        for (index, digits) in hex.as_bytes().chunks(2).enumerate() {
            let digits = std::str::from_utf8(digits).unwrap();
            bytes[position + index] = u8::from_str_radix(digits, 16).unwrap();
        }
    }
    (path.with_extension(""), bytes)
}
