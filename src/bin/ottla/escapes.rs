//! Characters that are hard to type, as arguments have them: `\t`, `\n`, `\r`, `\0`, `\\` and `\xHH`.

/// The bytes that `text` stands for.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = of_escape(escape)
            .ok_or_else(|| format!("unknown escape in {text:?}: expected \\n, \\r, \\t, \\0, \\\\ or \\xHH"))?;
        bytes.push(byte);
        rest = escape.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// The byte that is meant by what begins `text`, behind the backslash, and how long that is.
fn of_escape(text: &str) -> Option<(u8, usize)> {
    let byte = match text.bytes().next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            return Some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_the_bytes_they_stand_for() {
        assert_eq!(unescape("ä\\t\\x1Fb\\\\n\\0").unwrap(), "ä\t\u{1f}b\\n\0".as_bytes());
        assert_eq!(unescape("\\xff").unwrap(), [0xff]);
        assert!(unescape("").unwrap().is_empty());
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for text in ["\\", "a\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x+1", "\\xä", "\\ä"] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }
}
