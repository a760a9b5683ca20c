//! A cursor over bytes that may be anything: every step is checked against what is left.

use super::invalid::Invalid;
use super::varint;

const CUT_SHORT: Invalid = Invalid::Malformed("a field runs past the end");

/// The bytes not read yet. Fixed-width integers are big-endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Invalid> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Invalid> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A byte.
    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Invalid> {
        self.array().map(u8::from_be_bytes)
    }

    /// A signed byte.
    #[inline]
    pub(crate) fn i8(&mut self) -> Result<i8, Invalid> {
        self.array().map(i8::from_be_bytes)
    }

    /// A signed integer of 2 bytes.
    #[inline]
    pub(crate) fn i16(&mut self) -> Result<i16, Invalid> {
        self.array().map(i16::from_be_bytes)
    }

    /// A signed integer of 4 bytes.
    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32, Invalid> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned integer of 4 bytes.
    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Invalid> {
        self.array().map(u32::from_be_bytes)
    }

    /// A signed integer of 8 bytes.
    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, Invalid> {
        self.array().map(i64::from_be_bytes)
    }

    /// A signed integer of 32 bits and variable length.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i32, Invalid> {
        let (value, size) = varint::decode_i32(self.rest)?;
        self.take(size)?;
        Ok(value)
    }

    /// A signed integer of 64 bits and variable length.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64, Invalid> {
        let (value, size) = varint::decode_i64(self.rest)?;
        self.take(size)?;
        Ok(value)
    }

    /// An unsigned integer of 32 bits and variable length.
    #[inline]
    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, Invalid> {
        let (value, size) = varint::decode_u32(self.rest)?;
        self.take(size)?;
        Ok(value)
    }

    /// Bytes behind their length as a varint; any negative length means null, as in Kafka.
    #[inline]
    pub(crate) fn varint_bytes(&mut self) -> Result<Option<&'a [u8]>, Invalid> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}
