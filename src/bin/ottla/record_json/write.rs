//! A record as a line of JSON. Nothing is allocated for it.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use ottla::ConsumerRecord;

use crate::output::text::is_harmful;

/// Writes `record` as a JSON object, without an end of the line.
pub fn write(out: &mut impl Write, record: &ConsumerRecord<'_>) -> io::Result<()> {
    // A topic's name has no character that JSON or a terminal minds.
    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
    write!(out, "{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":{offset}")?;
    write!(out, ",\"timestamp\":\"{}\",\"key\":", record.timestamp())?;
    write_bytes(out, record.key())?;
    out.write_all(b",\"value\":")?;
    write_bytes(out, record.value())?;
    out.write_all(b",\"headers\":[")?;
    for (at, header) in record.headers().iter().enumerate() {
        out.write_all(if at == 0 { b"[" } else { b",[" })?;
        write_text(out, header.key())?;
        out.write_all(b",")?;
        write_bytes(out, header.value())?;
        out.write_all(b"]")?;
    }
    out.write_all(b"]}")
}

fn write_bytes(out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
    let Some(bytes) = bytes else { return out.write_all(b"null") };
    match std::str::from_utf8(bytes) {
        Ok(text) => write_text(out, text),
        Err(_) => write!(out, "{{\"base64\":\"{}\"}}", Base64Display::new(bytes, &BASE64_STANDARD)),
    }
}

/// A string of JSON in which every character that a terminal could take for a command is escaped, too.
fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut written = 0;
    for (at, character) in text.char_indices() {
        if !matches!(character, '"' | '\\') && !is_harmful(character) {
            continue;
        }
        out.write_all(text.get(written..at).unwrap_or_default().as_bytes())?;
        written = at + character.len_utf8();
        match character {
            '"' => out.write_all(b"\\\"")?,
            '\\' => out.write_all(b"\\\\")?,
            '\n' => out.write_all(b"\\n")?,
            '\r' => out.write_all(b"\\r")?,
            '\t' => out.write_all(b"\\t")?,
            // None of them is so far up that it takes two.
            character => write!(out, "\\u{:04x}", u32::from(character))?,
        }
    }
    out.write_all(text.get(written..).unwrap_or_default().as_bytes())?;
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_json_and_harmless() {
        let text = "a\"\\\n\r\t\0\u{1b}[2J\u{7f}\u{9b}\u{202e}ä𝄞";
        let mut out = Vec::new();
        write_text(&mut out, text).unwrap();
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, r#""a\"\\\n\r\t\u0000\u001b[2J\u007f\u009b\u202eä𝄞""#);
    }

    #[test]
    fn bytes_are_text_or_base64_or_null() {
        let written = |bytes| {
            let mut out = Vec::new();
            write_bytes(&mut out, bytes).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Some(b"\xff\xfe")), r#"{"base64":"//4="}"#);
        assert_eq!((written(Some(b"")), written(None)), (r#""""#.to_owned(), "null".to_owned()));
    }
}
