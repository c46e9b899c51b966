//! Little-endian base-128 numbers and length-prefixed bytes: the alphabet of every format.
//!
//! Numbers are LEB128: seven bits a byte, the high bit says that more follow. Fixed-width numbers
//! are big-endian, so that they sort as bytes.

use thiserror::Error;

/// Bytes that are not what their format says. The reader's target is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the encoded bytes end too early")]
    Truncated,
    /// A number has more bits than its field.
    #[error("an encoded number is too large")]
    Overflow,
    /// A tag, version or flag that this release does not know.
    #[error("an encoded tag is unknown")]
    UnknownTag,
    /// More items or bytes than the named limit of the field.
    #[error("an encoded length is over its limit")]
    OverLimit,
    /// The parts do not fit together (order, duplicates, references).
    #[error("the encoded parts contradict each other")]
    Inconsistent,
    /// Bytes are left over after the value.
    #[error("bytes follow the encoded value")]
    TrailingBytes,
}

/// A value of more bytes is worth a thought about how often it is copied.
const LONG_BYTES: usize = 64 << 10;

/// Appends encoded values to a byte vector.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues behind the bytes already in `bytes`.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Ends writing and hands over the bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn u16_be(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn u32_be(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    #[inline]
    pub fn u64_be(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Sixteen bytes, big-endian.
    #[inline]
    pub fn u128_be(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A LEB128 number.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A length as LEB128.
    #[inline]
    pub fn length(&mut self, value: usize) {
        self.varint(value as u64);
    }

    /// A signed number, zigzag and LEB128.
    #[inline]
    pub fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Bytes behind their length.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        if value.len() > LONG_BYTES {
            // With room for what follows, so that it is not moved once more.
            self.bytes.reserve(value.len() + LONG_BYTES);
        }
        self.bytes.extend_from_slice(value);
    }

    /// Bytes as they are, without a length.
    #[inline]
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }
}

/// Takes encoded values from a byte slice; every method fails without panicking.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Succeeds only if everything has been read.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`] otherwise.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    /// The next `count` bytes as they are.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    #[inline]
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16_be(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32_be(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn u64_be(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Sixteen bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u128_be(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// A LEB128 number of at most 64 bits.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Overflow`].
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(DecodeError::Overflow);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A count or length of at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::OverLimit`] beyond it, or as [`Reader::varint`].
    #[inline]
    pub fn length(&mut self, max: usize) -> Result<usize, DecodeError> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(DecodeError::OverLimit),
        }
    }

    /// A count of items of at least one byte each: never more than the bytes that are left, so
    /// that a lying count cannot make a decoder reserve memory.
    ///
    /// # Errors
    /// [`DecodeError::OverLimit`], [`DecodeError::Truncated`], or as [`Reader::varint`].
    pub fn count(&mut self, max: usize) -> Result<usize, DecodeError> {
        let count = self.length(max)?;
        if count > self.rest.len() {
            Err(DecodeError::Truncated)
        } else {
            Ok(count)
        }
    }

    /// A signed number, zigzag and LEB128.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    /// Bytes behind their length, which is at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::OverLimit`] or [`DecodeError::Truncated`].
    #[inline]
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(max)?;
        self.raw(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive_the_round_trip(a: u64, b: i64, c: Vec<u8>) {
            let mut writer = Writer::new();
            writer.varint(a);
            writer.signed(b);
            writer.bytes(&c);
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.signed(), Ok(b));
            prop_assert_eq!(reader.bytes(usize::MAX), Ok(&c[..]));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let bytes = [0xff; 9].into_iter().chain([0x02]).collect::<Vec<u8>>();
        assert_eq!(Reader::new(&bytes).varint(), Err(DecodeError::Overflow));
        assert_eq!(
            Reader::new(&[0x80; 11]).varint(),
            Err(DecodeError::Overflow)
        );
    }

    #[test]
    fn a_lying_count_is_refused_before_memory_is_reserved() {
        let mut writer = Writer::new();
        writer.length(1 << 30);
        let bytes = writer.into_vec();
        assert_eq!(
            Reader::new(&bytes).count(usize::MAX),
            Err(DecodeError::Truncated)
        );
        assert_eq!(
            Reader::new(&bytes).length(1 << 20),
            Err(DecodeError::OverLimit)
        );
    }
}
