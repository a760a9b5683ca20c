//! Numbers, sizes, bytes and names as text.

use std::fmt::Write;
use std::path::Path;

/// A number with a comma between each three digits.
pub fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        grouped.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size with three digits and a unit.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // What would be rounded to a thousand and more is one of the next unit.
    while size >= 999.5
        && let Some(larger) = units.next()
    {
        size /= 1024.0;
        unit = Some(larger);
    }
    let unit = unit.copied().unwrap_or_default();
    if size < 9.995 {
        format!("{size:.2} {unit}")
    } else if size < 99.95 {
        format!("{size:.1} {unit}")
    } else {
        format!("{size:.0} {unit}")
    }
}

/// Bytes as text that is safe on a terminal: UTF-8 as it is, but for control characters, which are escaped as everything else.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                '\0'..' ' | '\x7f' => _ = write!(text, "\\x{:02x}", u32::from(character)),
                character if is_harmful(character) => _ = write!(text, "\\u{{{:x}}}", u32::from(character)),
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Whether a terminal could take it for a command: control characters, and those that turn the direction of all that follows.
pub fn is_harmful(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control()
}

/// A sentence that is safe on a terminal: as it is, but for characters that could harm.
pub fn harmless(sentence: &str) -> String {
    let mut text = String::with_capacity(sentence.len());
    for character in sentence.chars() {
        match character {
            character if is_harmful(character) => text.extend(character.escape_default()),
            character => text.push(character),
        }
    }
    text
}

/// A path as text that is safe on a terminal.
pub fn escaped_path(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

/// Bytes in base64, with padding.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Text of at most so many characters, of which the middle is left out if there are more.
pub fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let (kept, last) = (width.saturating_sub(1), width.saturating_sub(1) / 2);
    let beginning: String = text.chars().take(kept - last).collect();
    let end: String = text.chars().skip(count - last).collect();
    format!("{beginning}…{end}")
}

/// A number of things, of which one has this name: `1 partition`, `2 partitions`.
pub fn counted(count: usize, thing: &str) -> String {
    let number = grouped(i128::try_from(count).unwrap_or(i128::MAX));
    if count == 1 { format!("{number} {thing}") } else { format!("{number} {thing}s") }
}

/// The candidate that is most like `name`, if one is like enough to be meant.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let distance = |candidate: &'c str| (strsim::damerau_levenshtein(name, candidate), candidate);
    let (distance, nearest) = candidates.into_iter().map(distance).min()?;
    (distance <= name.chars().count().max(3) / 3).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (-1_234_567, "-1,234,567"),
            (u64::MAX.into(), "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (size, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_234, "9.99 KiB"),
            (10_235, "10.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_400, "100 KiB"),
            (1_023_487, "999 KiB"),
            (1_023_488, "0.98 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), shown, "{size}");
        }
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let shown = escaped("a\u{1b}[2Jb\0\u{9b}c\u{202e}\u{7f}ä\\".as_bytes());
        assert_eq!(shown, "a\\x1b[2Jb\\x00\\u{9b}c\\u{202e}\\x7fä\\\\");
        assert_eq!(escaped(b"\xff\xfe ok"), "\\xff\\xfe ok");
    }

    #[test]
    fn in_a_sentence_nothing_is_escaped_but_what_could_harm() {
        assert_eq!(
            harmless("cannot open C:\\data\u{1b}[2J\n: \u{202e}ä"),
            "cannot open C:\\data\\u{1b}[2J\\n: \\u{202e}ä"
        );
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        for (width, shown) in [(10, "0123456789"), (9, "0123…6789"), (8, "0123…789"), (1, "…")] {
            assert_eq!(shortened("0123456789", width), shown);
        }
        assert_eq!(shortened("äöüß", 3), "ä…ß");
    }

    #[test]
    fn one_thing_is_told_from_several() {
        assert_eq!((counted(1, "topic"), counted(2000, "topic")), ("1 topic".to_owned(), "2,000 topics".to_owned()));
    }

    #[test]
    fn a_name_that_was_mistyped_finds_its_nearest() {
        let names = ["orders", "payments", "x"];
        assert_eq!(nearest("ordres", names), Some("orders"));
        assert_eq!(nearest("order", names), Some("orders"));
        assert_eq!(nearest("y", names), Some("x"));
        assert_eq!(nearest("ledger", names), None);
        assert_eq!(nearest("a", []), None);
    }
}
