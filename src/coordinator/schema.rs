//! The fields that the records of internal topics are made of.
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

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config_key::invalid;
use crate::error::Result;
use crate::format::{Invalid, Reader, varint};
use crate::topic_partition::TopicPartition;

const NULL: Invalid = Invalid::Malformed("null where there must be a value");
const NEGATIVE_LENGTH: Invalid = Invalid::Malformed("a negative length");

/// Reads fields one after the other, each in the form that the version has.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    is_flexible: bool,
}

impl<'a> Fields<'a> {
    /// Reads from `reader` on, behind the version.
    pub(crate) fn new(reader: Reader<'a>, is_flexible: bool) -> Fields<'a> {
        Fields { reader, is_flexible }
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Invalid> {
        self.reader.i8()
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Invalid> {
        self.reader.i16()
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Invalid> {
        self.reader.i32()
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Invalid> {
        self.reader.i64()
    }

    /// Reads an id of 16 bytes, which is never null.
    pub(crate) fn uuid(&mut self) -> Result<u128, Invalid> {
        self.reader.array().map(u128::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, Invalid> {
        self.nullable_string()?.ok_or(NULL)
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, Invalid> {
        let length = if self.is_flexible { self.compact_length()? } else { length(self.reader.i16()?.into())? };
        let bytes = length.map(|length| self.reader.take(length)).transpose()?;
        bytes.map(std::str::from_utf8).transpose().map_err(|_| Invalid::Malformed("a text that is not UTF-8"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Invalid> {
        self.nullable_bytes()?.ok_or(NULL)
    }

    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Invalid> {
        let length = if self.is_flexible { self.compact_length()? } else { length(self.reader.i32()?)? };
        length.map(|length| self.reader.take(length)).transpose()
    }

    pub(crate) fn array<T>(
        &mut self,
        element: impl FnMut(&mut Fields<'a>) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        self.nullable_array(element)?.ok_or(NULL)
    }

    /// Reads an array. Every element takes some bytes, so a forged count ends where the bytes do.
    pub(crate) fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Fields<'a>) -> Result<T, Invalid>,
    ) -> Result<Option<Vec<T>>, Invalid> {
        let count = if self.is_flexible { self.compact_length()? } else { length(self.reader.i32()?)? };
        let Some(count) = count else { return Ok(None) };
        // The count is not believed, so no place is made for so many.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub(crate) fn partitions(&mut self) -> Result<Vec<TopicPartition>, Invalid> {
        self.nullable_partitions()?.ok_or(NULL)
    }

    /// Reads an array of topics, each with the numbers of partitions of it, which is how all schemas have them.
    pub(crate) fn nullable_partitions(&mut self) -> Result<Option<Vec<TopicPartition>>, Invalid> {
        let by_topic = self.nullable_array(|fields| {
            let topic: Arc<str> = fields.string()?.into();
            let partitions = fields.array(|fields| Ok(TopicPartition::new(Arc::clone(&topic), fields.partition()?)))?;
            fields.tags(|_, _| Ok(()))?;
            Ok(partitions)
        })?;
        Ok(by_topic.map(|topics| topics.into_iter().flatten().collect()))
    }

    /// Reads the number of a partition.
    pub(crate) fn partition(&mut self) -> Result<u32, Invalid> {
        u32::try_from(self.reader.i32()?).map_err(|_| Invalid::Malformed("a partition below zero"))
    }

    /// Reads the tags at the end of a struct, of which plain versions have none; `tag` gets the number and data of each.
    pub(crate) fn tags(&mut self, mut tag: impl FnMut(u32, &'a [u8]) -> Result<(), Invalid>) -> Result<(), Invalid> {
        let count = if self.is_flexible { self.reader.unsigned_varint()? } else { 0 };
        for _ in 0..count {
            let number = self.reader.unsigned_varint()?;
            let size = usize::try_from(self.reader.unsigned_varint()?).unwrap_or(usize::MAX);
            tag(number, self.reader.take(size)?)?;
        }
        Ok(())
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&self) -> Result<(), Invalid> {
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
pub(crate) fn all_or_nothing(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    let result = write(out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a string. `key` names what is wrong if it has 32 KiB or more.
pub(crate) fn put_string(out: &mut Vec<u8>, key: &'static str, text: &str) -> Result<()> {
    out.extend_from_slice(&string_length(key, text)?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a string, or null.
pub(crate) fn put_nullable_string(out: &mut Vec<u8>, key: &'static str, text: Option<&str>) -> Result<()> {
    if let Some(text) = text {
        return put_string(out, key, text);
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(())
}

/// Appends a string of a flexible version, within the same bound as the others.
pub(crate) fn put_compact_string(out: &mut Vec<u8>, key: &'static str, text: &str) -> Result<()> {
    string_length(key, text)?;
    put_unsigned_varint(out, text.len() as u64 + 1);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends bytes, or null.
pub(crate) fn put_nullable_bytes(out: &mut Vec<u8>, key: &'static str, bytes: Option<&[u8]>) -> Result<()> {
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
pub(crate) fn put_count(out: &mut Vec<u8>, key: &'static str, count: usize) -> Result<()> {
    let stated = i32::try_from(count).map_err(|_| invalid(key, count, "must be at most 2147483647"))?;
    out.extend_from_slice(&stated.to_be_bytes());
    Ok(())
}

/// Appends the count of an array of a flexible version.
pub(crate) fn put_compact_count(out: &mut Vec<u8>, count: usize) {
    put_unsigned_varint(out, count as u64 + 1);
}

/// Appends a tag. `key` names what is wrong if its data has 2 GiB or more.
pub(crate) fn put_tag(out: &mut Vec<u8>, key: &'static str, number: u32, data: &[u8]) -> Result<()> {
    let size = i32::try_from(data.len()).map_err(|_| invalid(key, data.len(), "must be at most 2147483647 bytes"))?;
    put_unsigned_varint(out, number.into());
    put_unsigned_varint(out, size.unsigned_abs().into());
    out.extend_from_slice(data);
    Ok(())
}

/// The numbers of the partitions of each topic, in ascending order of the topics.
pub(crate) fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<u32>> {
    let mut by_topic: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for tp in partitions {
        by_topic.entry(tp.topic()).or_default().push(tp.partition());
    }
    by_topic
}

/// Appends an integer of variable length.
pub(crate) fn put_unsigned_varint(out: &mut Vec<u8>, value: u64) {
    let start = out.len();
    out.resize(start + varint::unsigned_len(value), 0);
    if let Some(place) = out.get_mut(start..) {
        varint::encode_unsigned(value, place);
    }
}

fn string_length(key: &'static str, text: &str) -> Result<i16> {
    i16::try_from(text.len()).map_err(|_| invalid(key, format!("{} bytes", text.len()), "must be at most 32767 bytes"))
}
