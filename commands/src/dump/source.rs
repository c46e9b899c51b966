//! Lengths, strings and numbers as RDB has them.

use std::borrow::Cow;

use super::pack::Item;
use super::{DECODED_BYTES_MAX, DumpError, Text, lzf};

/// What an element takes beside its bytes: a pointer and a length.
const ELEMENT_BYTES: usize = 16;

/// How much more memory the elements of a payload may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room(usize);

impl Room {
    /// Takes room for a part of `bytes`.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), DumpError> {
        self.0 = self.0.checked_sub(bytes).ok_or(DumpError::TooLarge)?;
        Ok(())
    }

    /// The element with these bytes.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Result<Text, DumpError> {
        self.take(bytes.len().saturating_add(ELEMENT_BYTES))?;
        Ok(bytes.into())
    }

    /// The element that a packed item is.
    pub(super) fn item(&mut self, item: Item<'_>) -> Result<Text, DumpError> {
        match item {
            Item::Bytes(bytes) => self.text(bytes),
            Item::Integer(number) => self.text(itoa::Buffer::new().format(number).as_bytes()),
        }
    }
}

/// A value that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
    /// Room for what is read.
    pub(super) room: Room,
}

/// A length, or the mark of a string that is kept in another way.
enum Length {
    Plain(u64),
    Special(u8),
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            room: Room(DECODED_BYTES_MAX),
        }
    }

    /// Whether all is read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub(super) fn raw(&mut self, count: usize) -> Result<&'a [u8], DumpError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DumpError::Format)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DumpError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DumpError::Format)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, DumpError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Eight bytes, the lowest first.
    pub(super) fn u64_le(&mut self) -> Result<u64, DumpError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn any_length(&mut self) -> Result<Length, DumpError> {
        let first = self.u8()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(low.into()),
            (1, _) => Length::Plain(u16::from_be_bytes([low, self.u8()?]).into()),
            (3, _) => Length::Special(low),
            (_, 0x80) => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(DumpError::Format),
        })
    }

    /// A number as RDB writes lengths.
    pub(super) fn length(&mut self) -> Result<u64, DumpError> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Special(_) => Err(DumpError::Format),
        }
    }

    /// How many parts follow, each of at least one byte.
    pub(super) fn count(&mut self) -> Result<usize, DumpError> {
        let count = self.size()?;
        if count > self.rest.len() {
            return Err(DumpError::Format);
        }
        Ok(count)
    }

    fn size(&mut self) -> Result<usize, DumpError> {
        usize::try_from(self.length()?).map_err(|_| DumpError::Format)
    }

    /// A string, borrowed where it stands as it is.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, DumpError> {
        let integer = match self.any_length()? {
            Length::Plain(length) => {
                let length = usize::try_from(length).map_err(|_| DumpError::Format)?;
                return Ok(Cow::Borrowed(self.raw(length)?));
            }
            Length::Special(0) => i8::from_le_bytes(self.array()?).into(),
            Length::Special(1) => i16::from_le_bytes(self.array()?).into(),
            Length::Special(2) => i32::from_le_bytes(self.array()?),
            Length::Special(3) => {
                let (packed, length) = (self.size()?, self.size()?);
                let packed = self.raw(packed)?;
                if !lzf::can_hold(packed.len(), length) {
                    return Err(DumpError::Format);
                }
                self.room.take(length)?;
                let bytes = lzf::unpack(packed, length).ok_or(DumpError::Format)?;
                return Ok(Cow::Owned(bytes));
            }
            Length::Special(_) => return Err(DumpError::Format),
        };
        let text = itoa::Buffer::new().format(integer).as_bytes().to_vec();
        Ok(Cow::Owned(text))
    }

    /// An element.
    pub(super) fn text(&mut self) -> Result<Text, DumpError> {
        let string = self.string()?;
        self.room.text(&string)
    }
}
