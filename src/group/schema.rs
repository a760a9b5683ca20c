//! The fields that the records of `__consumer_offsets` are made of.
//!
//! ```text
//!           plain versions                      flexible versions
//! string    i16 length, UTF-8; −1 = null        unsigned varint length + 1, UTF-8; 0 = null
//! bytes     i32 length; −1 = null               unsigned varint length + 1; 0 = null
//! array     i32 count; −1 = null                unsigned varint count + 1; 0 = null
//! struct    its fields                          its fields, then tags: unsigned varint count, and for each of them
//!                                               unsigned varint number, unsigned varint size, data
//! ```
//! The bytes may be anything; whatever they are, reading returns, and nothing is allocated for what is not there.

use crate::config_key::invalid;
use crate::error::Result;
use crate::format::{Invalid, Reader, varint};

const NULL: Invalid = Invalid::Malformed("null where there must be a value");
const NEGATIVE_LENGTH: Invalid = Invalid::Malformed("a negative length");

/// Reads fields one after the other, each in the form that the version has.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    is_flexible: bool,
}

impl<'a> Fields<'a> {
    /// Reads from `reader` on, behind the version.
    pub(super) fn new(reader: Reader<'a>, is_flexible: bool) -> Fields<'a> {
        Fields { reader, is_flexible }
    }

    pub(super) fn i16(&mut self) -> Result<i16, Invalid> {
        self.reader.i16()
    }

    pub(super) fn i32(&mut self) -> Result<i32, Invalid> {
        self.reader.i32()
    }

    pub(super) fn i64(&mut self) -> Result<i64, Invalid> {
        self.reader.i64()
    }

    pub(super) fn string(&mut self) -> Result<&'a str, Invalid> {
        self.nullable_string()?.ok_or(NULL)
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<&'a str>, Invalid> {
        let length = if self.is_flexible { self.compact_length()? } else { length(self.reader.i16()?.into())? };
        let bytes = length.map(|length| self.reader.take(length)).transpose()?;
        bytes.map(std::str::from_utf8).transpose().map_err(|_| Invalid::Malformed("a text that is not UTF-8"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Invalid> {
        self.nullable_bytes()?.ok_or(NULL)
    }

    pub(super) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Invalid> {
        let length = if self.is_flexible { self.compact_length()? } else { length(self.reader.i32()?)? };
        length.map(|length| self.reader.take(length)).transpose()
    }

    /// Reads an array. Every element takes some bytes, so a forged count ends where the bytes do.
    pub(super) fn array<T>(
        &mut self,
        mut element: impl FnMut(&mut Fields<'a>) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        let count = if self.is_flexible { self.compact_length()? } else { length(self.reader.i32()?)? };
        // The count is not believed, so no place is made for so many.
        let mut elements = Vec::new();
        for _ in 0..count.ok_or(NULL)? {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Reads the tags at the end of a struct, of which plain versions have none; `tag` gets the number and data of each.
    pub(super) fn tags(&mut self, mut tag: impl FnMut(u32, &'a [u8]) -> Result<(), Invalid>) -> Result<(), Invalid> {
        let count = if self.is_flexible { self.reader.unsigned_varint()? } else { 0 };
        for _ in 0..count {
            let number = self.reader.unsigned_varint()?;
            let size = usize::try_from(self.reader.unsigned_varint()?).unwrap_or(usize::MAX);
            tag(number, self.reader.take(size)?)?;
        }
        Ok(())
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&self) -> Result<(), Invalid> {
        if self.reader.is_empty() { Ok(()) } else { Err(Invalid::Malformed("bytes behind the last field")) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Invalid> {
        let length = self.reader.unsigned_varint()?.checked_sub(1);
        // Where a usize is too small for the length, the bytes are too few as well.
        Ok(length.map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

fn length(stated: i32) -> Result<Option<usize>, Invalid> {
    match stated {
        -1 => Ok(None),
        _ => usize::try_from(stated).map(Some).map_err(|_| NEGATIVE_LENGTH),
    }
}

/// Appends to `out` what `write` does, or nothing if that fails.
pub(super) fn all_or_nothing(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    let result = write(out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a string. `key` names what is wrong if it has 32 KiB or more.
pub(super) fn put_string(out: &mut Vec<u8>, key: &'static str, text: &str) -> Result<()> {
    out.extend_from_slice(&string_length(key, text)?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a string, or null.
pub(super) fn put_nullable_string(out: &mut Vec<u8>, key: &'static str, text: Option<&str>) -> Result<()> {
    if let Some(text) = text {
        return put_string(out, key, text);
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(())
}

/// Appends a string of a flexible version, within the same bound as the others.
pub(super) fn put_compact_string(out: &mut Vec<u8>, key: &'static str, text: &str) -> Result<()> {
    string_length(key, text)?;
    put_unsigned_varint(out, text.len() as u64 + 1);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends bytes, or null.
pub(super) fn put_nullable_bytes(out: &mut Vec<u8>, key: &'static str, bytes: Option<&[u8]>) -> Result<()> {
    match bytes {
        Some(bytes) => {
            put_count(out, key, bytes.len())?;
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
    Ok(())
}

/// Appends the length of bytes, or the count of an array.
pub(super) fn put_count(out: &mut Vec<u8>, key: &'static str, count: usize) -> Result<()> {
    let stated = i32::try_from(count).map_err(|_| invalid(key, count, "must be at most 2147483647"))?;
    out.extend_from_slice(&stated.to_be_bytes());
    Ok(())
}

/// Appends an integer of variable length.
pub(super) fn put_unsigned_varint(out: &mut Vec<u8>, value: u64) {
    let start = out.len();
    out.resize(start + varint::unsigned_len(value), 0);
    if let Some(place) = out.get_mut(start..) {
        varint::encode_unsigned(value, place);
    }
}

fn string_length(key: &'static str, text: &str) -> Result<i16> {
    i16::try_from(text.len()).map_err(|_| invalid(key, format!("{} bytes", text.len()), "must be at most 32767 bytes"))
}
