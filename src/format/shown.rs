//! How bytes of a record are shown to people: as text where they are text, and never at length.

use std::fmt;

/// So many bytes are shown.
const SHOWN_BYTES: usize = 64;

/// Shows a key or value: `null`, `"text"` or `b"\x00\x01"`; what is longer than 64 bytes is cut, and says how long it is.
pub(crate) struct Shown<'a>(Option<&'a [u8]>);

/// Shows `bytes`, which may be null.
pub(crate) fn shown(bytes: Option<&[u8]>) -> Shown<'_> {
    Shown(bytes)
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("null") };
        let start = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
        match text_of(start, start.len() < bytes.len()) {
            Some(text) => write!(f, "{text:?}")?,
            None => write!(f, "b\"{}\"", start.escape_ascii())?,
        }
        if start.len() < bytes.len() { write!(f, "… ({} bytes)", bytes.len()) } else { Ok(()) }
    }
}

/// The text that these bytes are, without its last character where they were cut within it. Numbers are bytes that may well be
/// UTF-8, too, and no text.
fn text_of(bytes: &[u8], is_cut: bool) -> Option<&str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_cut && error.error_len().is_none() => {
            str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |character: char| !character.is_control() || character.is_whitespace();
    text.chars().all(is_text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(bytes: &[u8]) -> String {
        format!("{:?}", shown(Some(bytes)))
    }

    #[test]
    fn text_is_shown_as_text_and_anything_else_as_bytes() {
        assert_eq!(format!("{:?}", shown(None)), "null");
        assert_eq!(show(b""), "\"\"");
        assert_eq!(show("Ä \"2\"\n".as_bytes()), r#""Ä \"2\"\n""#);
        assert_eq!(show(&[0, 0xff, b'a']), r#"b"\x00\xffa""#);
        assert_eq!(show(b"cut\xc3"), r#"b"cut\xc3""#, "no text, if that is all");
        assert_eq!(show(&7_u32.to_be_bytes()), r#"b"\x00\x00\x00\x07""#, "UTF-8, and no text");
    }

    #[test]
    fn what_is_long_is_cut_at_64_bytes_and_between_two_characters() {
        assert_eq!(show(&[b'x'; 64]), format!("{:?}", "x".repeat(64)));
        assert_eq!(show(&[b'x'; 65]), format!("{:?}… (65 bytes)", "x".repeat(64)));
        let text = format!("{}ÄÄ", "x".repeat(63));
        assert_eq!(show(text.as_bytes()), format!("{:?}… (67 bytes)", "x".repeat(63)));
        assert_eq!(show(&[0; 1000]), format!("b\"{}\"… (1000 bytes)", "\\x00".repeat(64)));
    }
}
