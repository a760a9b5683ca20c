//! What `-f` says: how a record is written, as kcat has it.
//!
//! ```text
//! %t topic     %p partition   %o offset   %T timestamp, in milliseconds since 1970
//! %k key       %K its length  %s value    %S its length, in bytes; -1 for null
//! %h headers, as name=value, with commas between; a name alone has no value
//! %% a percent sign           \n \r \t \0 \\ \xHH
//! ```

use std::io::{self, Write};
use std::str::FromStr;

use ottla::ConsumerRecord;

use crate::escapes::unescape;
use crate::output::text;

/// How a record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

impl Template {
    /// The value, and the end of a line.
    pub fn value_lines() -> Template {
        Template { pieces: vec![Piece::Value, Piece::Text(b"\n".to_vec())] }
    }

    /// Writes `record`. On a terminal, what could be a command for it is escaped.
    pub fn write(&self, out: &mut impl Write, record: &ConsumerRecord<'_>, is_terminal: bool) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(bytes) => out.write_all(bytes),
            Piece::Topic => out.write_all(record.topic().as_bytes()),
            Piece::Partition => write!(out, "{}", record.partition()),
            Piece::Offset => write!(out, "{}", record.offset()),
            Piece::Timestamp => write!(out, "{}", record.timestamp().as_millis()),
            Piece::Key => write_bytes(out, record.key().unwrap_or_default(), is_terminal),
            Piece::KeyLength => write_length(out, record.key()),
            Piece::Value => write_bytes(out, record.value().unwrap_or_default(), is_terminal),
            Piece::ValueLength => write_length(out, record.value()),
            Piece::Headers => write_headers(out, record, is_terminal),
        })
    }
}

#[inline]
fn write_bytes(out: &mut impl Write, bytes: &[u8], is_terminal: bool) -> io::Result<()> {
    if is_terminal { out.write_all(text::escaped(bytes).as_bytes()) } else { out.write_all(bytes) }
}

fn write_length(out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => write!(out, "{}", bytes.len()),
        None => out.write_all(b"-1"),
    }
}

fn write_headers(out: &mut impl Write, record: &ConsumerRecord<'_>, is_terminal: bool) -> io::Result<()> {
    for (at, header) in record.headers().iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        write_bytes(out, header.key().as_bytes(), is_terminal)?;
        if let Some(value) = header.value() {
            out.write_all(b"=")?;
            write_bytes(out, value, is_terminal)?;
        }
    }
    Ok(())
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, field)) = rest.split_once('%') {
            let mut characters = field.chars();
            let piece = match characters.next() {
                Some('t') => Piece::Topic,
                Some('p') => Piece::Partition,
                Some('o') => Piece::Offset,
                Some('T') => Piece::Timestamp,
                Some('k') => Piece::Key,
                Some('K') => Piece::KeyLength,
                Some('s') => Piece::Value,
                Some('S') => Piece::ValueLength,
                Some('h') => Piece::Headers,
                Some('%') => Piece::Text(b"%".to_vec()),
                _ => {
                    let expected = "expected one of %t %p %o %T %k %K %s %S %h %%";
                    return Err(format!("unknown field in {text:?}: {expected}"));
                }
            };
            pieces.extend([Piece::Text(unescape(before)?), piece]);
            rest = characters.as_str();
        }
        pieces.push(Piece::Text(unescape(rest)?));
        pieces.retain(|piece| *piece != Piece::Text(Vec::new()));
        Ok(Template { pieces })
    }
}

#[cfg(test)]
mod tests {
    use ottla::{Broker, ProducerRecord, Timestamp};

    use super::*;

    fn written(template: &str, is_terminal: bool) -> Vec<String> {
        let broker = Broker::temporary().unwrap();
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        let first = ProducerRecord::new().key("k").value(b"a\x1b[2J\xff").timestamp(Timestamp::from_millis(7));
        partition.append(&first.header("a", "1").header("a", "").null_header("b")).unwrap();
        partition.append(&ProducerRecord::new().value("").timestamp(Timestamp::from_millis(8))).unwrap();
        let template: Template = template.parse().unwrap();
        let records = partition.read(0, 1000).unwrap();
        let write = |record| {
            let mut out = Vec::new();
            template.write(&mut out, &record, is_terminal).unwrap();
            String::from_utf8_lossy(&out).into_owned()
        };
        records.iter().map(write).collect()
    }

    #[test]
    fn fields_and_escapes_are_filled_in() {
        let template = "%t-%p@%o\\t%T %k/%K %S [%h] 100%%\\x21\\n";
        assert_eq!(written(template, false), ["t-0@0\t7 k/1 6 [a=1,a=,b] 100%!\n", "t-0@1\t8 /-1 0 [] 100%!\n"]);
    }

    #[test]
    fn a_terminal_gets_no_control_character_of_a_record() {
        assert_eq!(written("%s", false)[0], "a\u{1b}[2J\u{fffd}");
        assert_eq!(written("%s", true)[0], "a\\x1b[2J\\xff");
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in ["%", "%x", "a%", "%%%", "%ä", "\\q%s"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
