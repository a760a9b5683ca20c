use std::fs::File;
use std::io::Write as _;

use super::*;
use crate::content::Opened;

const LINE_BYTES_MAX: usize = 20;

fn content_of(bytes: &[u8]) -> Content {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    match Content::of(file).unwrap() {
        Opened::Content(content) => content,
        Opened::Other(name) => panic!("{name}"),
    }
}

/// The values, the bytes of lines that are too long, and how many lines there were.
fn taken_apart(bytes: &[u8], step: u64) -> (Vec<Vec<u8>>, u64, u64) {
    let mut content = content_of(bytes);
    let mut lines = Lines::new(Trail::default(), 0, LINE_BYTES_MAX, Vec::new());
    let (mut values, mut too_long) = (Vec::new(), 0);
    loop {
        let read = lines.fill(&mut content, step).unwrap();
        while let Some(piece) = if read == 0 { lines.next().or_else(|| lines.take_rest()) } else { lines.next() } {
            match piece {
                Piece::Line(line) => values.push(lines.value(&line).to_vec()),
                Piece::TooLong(bytes) => too_long += bytes,
            }
        }
        if read == 0 {
            assert_eq!(lines.trail().position(), bytes.len() as u64);
            return (values, too_long, lines.line_number);
        }
    }
}

fn assert_values(bytes: &[u8], expected: &[&[u8]], line_count: u64) {
    for step in [1, 2, 3, 7, u64::MAX] {
        let (values, too_long, lines) = taken_apart(bytes, step);
        assert_eq!(values, expected, "{:?} by {step}", bytes.escape_ascii().to_string());
        assert_eq!((too_long, lines), (0, line_count), "{:?} by {step}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn line_ends_are_taken_off() {
    assert_values(b"a\nb\r\n\n\r\nc", &[b"a", b"b", b"", b"", b"c"], 5);
    assert_values(b"a\rb\n\r\r\n", &[b"a\rb", b"\r"], 2);
    assert_values(b"a\r", &[b"a\r"], 1);
    assert_values(b"", &[], 0);
    assert_values(b"\n", &[b""], 1);
}

#[test]
fn nuls_at_the_head_are_taken_off() {
    assert_values(b"\0\0a\nb\0c\0\n", &[b"a", b"b\0c\0"], 2);
    assert_values(b"a\n\0\0\nb\n", &[b"a", b"b"], 3);
    assert_values(b"\0\r\n\0\0\r\nb\n\0", &[b"b"], 3);
    assert_values(b"\0\n\0\n\0\n\n", &[b""], 4);
}

#[test]
fn what_is_no_text_is_kept_as_it_is() {
    assert_values(b"\xff\xfe\n\x80\xc3\n", &[b"\xff\xfe", b"\x80\xc3"], 2);
}

#[test]
fn a_line_that_is_too_long_is_told_with_its_size() {
    let fits = [b"x".repeat(LINE_BYTES_MAX), b"\r\n".to_vec()].concat();
    let too_long = [b"\0".to_vec(), b"y".repeat(LINE_BYTES_MAX + 1), b"\n".to_vec()].concat();
    for step in [1, 5, u64::MAX] {
        let (values, bytes, lines) = taken_apart(&[b"a\n", too_long.as_slice(), &fits, b"b\n"].concat(), step);
        assert_eq!(values, [b"a".to_vec(), b"x".repeat(LINE_BYTES_MAX), b"b".to_vec()], "{step}");
        assert_eq!((bytes, lines), (LINE_BYTES_MAX as u64 + 2, 4), "{step}");
        let (values, bytes, lines) = taken_apart(&[fits.as_slice(), &b"z".repeat(100)].concat(), step);
        assert_eq!((values.len(), bytes, lines), (1, 100, 2), "{step}");
    }
}

#[test]
fn a_hole_of_any_size_is_no_long_line() {
    let (values, too_long, _) = taken_apart(&[vec![0; 3_000_000], b"a\n".to_vec()].concat(), u64::MAX);
    assert_eq!((values, too_long), (vec![b"a".to_vec()], 0));
}

#[test]
fn the_end_of_a_line_that_was_taken_is_no_empty_line() {
    for end in [b"\n".as_slice(), b"\r\n"] {
        let mut content = content_of(&[b"a\nhalf", end, b"\nb\n"].concat());
        let mut lines = Lines::new(Trail::default(), 0, LINE_BYTES_MAX, Vec::new());
        lines.fill(&mut content, 6).unwrap();
        assert!(matches!(lines.next(), Some(Piece::Line(_))));
        assert_eq!(lines.next(), None);
        let rest = lines.take_rest();
        assert!(matches!(&rest, Some(Piece::Line(line)) if lines.value(line) == b"half"));

        let mut went_on = Lines::new(lines.trail().clone(), lines.line_number, LINE_BYTES_MAX, lines.into_buffer());
        went_on.fill(&mut content, u64::MAX).unwrap();
        let mut values = Vec::new();
        while let Some(Piece::Line(line)) = went_on.next() {
            values.push(went_on.value(&line).to_vec());
        }
        assert_eq!(values, [b"".to_vec(), b"b".to_vec()]);
        assert_eq!(went_on.line_number, 4);
    }
}

#[test]
fn the_position_stays_before_a_line_that_is_not_yet_skipped() {
    let mut content = content_of(&[b"a\n".to_vec(), b"y".repeat(100)].concat());
    let mut lines = Lines::new(Trail::default(), 0, LINE_BYTES_MAX, Vec::new());
    lines.fill(&mut content, u64::MAX).unwrap();
    assert!(matches!(lines.next(), Some(Piece::Line(_))));
    assert_eq!(lines.next(), None);
    assert_eq!((lines.trail().position(), lines.read_position()), (2, 102));
    assert_eq!(lines.take_rest(), Some(Piece::TooLong(100)));
    assert_eq!(lines.trail().position(), 102);
}
