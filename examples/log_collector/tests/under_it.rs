//! Files that are written, rotated and copied while they are collected.
//!
//! `OTTLA_COLLECTOR_BYTES` says how much is written; for 1 GB build with `--release`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::place::{Place, make_old};
use crate::notices::Notices;
use crate::options::Options;
use crate::session;

const DEFAULT_BYTES: u64 = 4_000_000;

/// The line of this number.
fn line(number: u64) -> String {
    let level = ["INFO", "WARN", "ERROR", "DEBUG"][usize::try_from(number % 4).unwrap()];
    let padding = "x".repeat(usize::try_from(number * 7919 % 97).unwrap());
    format!("2024-05-06T07:08:09.{:03}Z {level} line {number} {padding}", number % 1000)
}

/// A program that writes `app.log`, and what rotates that.
struct Program {
    path: PathBuf,
    file: BufWriter<File>,
    next_line: u64,
    bytes: u64,
}

impl Program {
    fn new(path: &Path) -> Program {
        Program { path: path.to_owned(), file: open(path), next_line: 0, bytes: 0 }
    }

    fn write_until(&mut self, bytes: u64) {
        while self.bytes < bytes {
            let line = line(self.next_line);
            writeln!(self.file, "{line}").unwrap();
            self.bytes += line.len() as u64 + 1;
            self.next_line += 1;
        }
        self.file.flush().unwrap();
    }

    fn rotate_by_renaming(&mut self, to: &str) {
        fs::rename(&self.path, self.path.with_file_name(to)).unwrap();
        self.file = open(&self.path);
    }

    fn rotate_by_copying(&mut self, to: &str) {
        fs::copy(&self.path, self.path.with_file_name(to)).unwrap();
        self.file.get_ref().set_len(0).unwrap();
    }

    fn rotate_by_compressing(&mut self, to: &str) {
        let plain = self.path.with_file_name("app.log.plain");
        fs::rename(&self.path, &plain).unwrap();
        self.file = open(&self.path);
        let compressed = File::create(self.path.with_file_name(to)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(compressed, flate2::Compression::fast());
        std::io::copy(&mut File::open(&plain).unwrap(), &mut encoder).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(&plain).unwrap();
    }
}

fn open(path: &Path) -> BufWriter<File> {
    BufWriter::new(File::options().append(true).create(true).open(path).unwrap())
}

#[test]
fn every_line_is_collected_once_from_a_file_that_is_rotated_three_times_under_it() {
    let bytes = std::env::var("OTTLA_COLLECTOR_BYTES").map_or(DEFAULT_BYTES, |bytes| bytes.parse().unwrap());
    let place = Place::new();
    let mut program = Program::new(&place.log("app.log"));
    let following = Options { is_following: true, ..place.options() };
    let (notices, stop) = (Notices::default(), AtomicBool::new(false));
    let summary = thread::scope(|scope| {
        let collector = scope
            .spawn(|| session::collect(&following, &notices, &stop, &mut std::io::sink()).map_err(|e| e.to_string()));
        program.write_until(bytes / 4);
        program.rotate_by_renaming("app.log.1");
        program.write_until(bytes / 2);
        program.rotate_by_copying("app.log.2");
        program.write_until(bytes / 4 * 3);
        program.rotate_by_compressing("app.log.3.gz");
        program.write_until(bytes);
        stop.store(true, Ordering::Relaxed);
        collector.join().unwrap()
    });
    let summary = summary.unwrap();
    assert!(summary.tally.is_balanced());
    for entry in fs::read_dir(place.logs()).unwrap() {
        make_old(&entry.unwrap().path());
    }
    let rest = place.run_and_verify();
    assert_eq!(summary.tally.lines + rest.lines(), program.next_line);
    let all = &rest.summary.all;
    assert_eq!(all.value_bytes + all.taken_off_bytes, bytes_of(program.next_line));
    println!("{summary}\n{}", rest.summary);

    let mut is_there = vec![false; usize::try_from(program.next_line).unwrap()];
    place.each_value(|value| {
        let text = std::str::from_utf8(value).unwrap();
        let number: u64 = text.split(' ').nth(3).unwrap().parse().unwrap();
        assert_eq!(text, line(number));
        assert!(!std::mem::replace(&mut is_there[usize::try_from(number).unwrap()], true), "{text} came twice");
    });
    assert!(is_there.iter().all(|is_there| *is_there));
}

fn bytes_of(line_count: u64) -> u64 {
    (0..line_count).map(|number| line(number).len() as u64 + 1).sum()
}
