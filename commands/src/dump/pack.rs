//! Packed collections: listpacks, ziplists, intsets and zipmaps, read from hostile bytes.
//!
//! ```text
//! listpack   bytes (4) | items (2) | item | …        | ff     item: kind and bytes | own length
//! ziplist    bytes (4) | last (4)  | items (2) | item | … | ff    item: one before | kind, bytes
//! intset     width (4) | items (4) | number | …
//! zipmap     pairs (1) | length | name | length | free (1) | value | free bytes | … | ff
//! ```
//!
//! Numbers have the lowest byte first but in the heads of strings of ziplists and listpacks.

use super::DumpError;

/// An item of a pack: Redis keeps strings that are integers as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// An integer.
    Integer(i64),
    /// A string.
    Bytes(&'a [u8]),
}

impl Item<'_> {
    /// The item as an integer.
    pub(super) fn integer(self) -> Result<i64, DumpError> {
        match self {
            Self::Integer(number) => Ok(number),
            Self::Bytes(text) => {
                larder_crdt::types::register_lww::parse_integer(text).ok_or(DumpError::Format)
            }
        }
    }
}

const END: u8 = 0xff;
/// In place of the number of items: too many to be told.
const UNCOUNTED: u16 = u16::MAX;

fn split(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8]), DumpError> {
    bytes.split_at_checked(count).ok_or(DumpError::Format)
}

fn first<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), DumpError> {
    let (array, rest) = bytes.split_first_chunk().ok_or(DumpError::Format)?;
    Ok((*array, rest))
}

fn size(number: u32) -> Result<usize, DumpError> {
    usize::try_from(number).map_err(|_| DumpError::Format)
}

/// Items of one kind of pack, until its end.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    rest: &'a [u8],
    take: fn(&'a [u8], usize) -> Result<Taken<'a>, DumpError>,
    /// The length of the item before.
    before: usize,
    seen: usize,
    count: Option<usize>,
}

struct Taken<'a> {
    item: Item<'a>,
    bytes: usize,
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn new(
        rest: &'a [u8],
        count: u16,
        take: fn(&'a [u8], usize) -> Result<Taken<'a>, DumpError>,
    ) -> Self {
        Self {
            rest,
            take,
            before: 0,
            seen: 0,
            count: (count != UNCOUNTED).then_some(count.into()),
        }
    }

    fn advance(&mut self) -> Result<Option<Item<'a>>, DumpError> {
        if self.rest == [END] {
            let is_whole = self.count.is_none_or(|count| count == self.seen);
            self.rest = &[];
            return if is_whole {
                Ok(None)
            } else {
                Err(DumpError::Format)
            };
        }
        let taken = (self.take)(self.rest, self.before)?;
        self.rest = taken.rest;
        self.before = taken.bytes;
        self.seen += 1;
        Ok(Some(taken.item))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.rest = &[];
        }
        next.transpose()
    }
}

/// The next item where there must be one.
pub(super) fn next<'a>(items: &mut Items<'a>) -> Result<Item<'a>, DumpError> {
    items.next().unwrap_or(Err(DumpError::Format))
}

/// The items of a listpack.
pub(super) fn listpack(bytes: &[u8]) -> Result<Items<'_>, DumpError> {
    let (total, rest) = first(bytes)?;
    let (count, rest) = first(rest)?;
    if size(u32::from_le_bytes(total))? != bytes.len() || rest.last() != Some(&END) {
        return Err(DumpError::Format);
    }
    Ok(Items::new(rest, u16::from_le_bytes(count), listpack_item))
}

fn listpack_item(bytes: &[u8], _: usize) -> Result<Taken<'_>, DumpError> {
    let ([head], rest) = first(bytes)?;
    let (item, rest) = match head {
        0x00..=0x7f => (Item::Integer(head.into()), rest),
        0x80..=0xbf => string(usize::from(head & 0x3f), rest)?,
        0xc0..=0xdf => {
            let ([low], rest) = first(rest)?;
            let high = i16::from(head & 0x1f) << 8;
            // Thirteen bits with a sign.
            let number = (high | i16::from(low)) << 3 >> 3;
            (Item::Integer(number.into()), rest)
        }
        0xe0..=0xef => {
            let ([low], rest) = first(rest)?;
            string(usize::from(head & 0x0f) << 8 | usize::from(low), rest)?
        }
        0xf0 => {
            let (length, rest) = first(rest)?;
            string(size(u32::from_le_bytes(length))?, rest)?
        }
        0xf1 => integer::<2>(rest)?,
        0xf2 => integer::<3>(rest)?,
        0xf3 => integer::<4>(rest)?,
        0xf4 => integer::<8>(rest)?,
        _ => return Err(DumpError::Format),
    };
    let length = bytes.len() - rest.len();
    // The own length stands behind, for those who come from there: seven bits a byte, the lowest
    // last, and all but the first byte are marked.
    let (back, rest) = split(rest, back_bytes(length))?;
    let told = back.iter().rev().try_fold((0, 0), |(sum, shift), byte| {
        let has_more = shift / 7 + 1 < back.len();
        let is_marked = byte & 0x80 != 0;
        let fits = has_more == is_marked;
        fits.then(|| (sum | usize::from(byte & 0x7f) << shift, shift + 7))
    });
    if told.is_none_or(|(told, _)| told != length) {
        return Err(DumpError::Format);
    }
    Ok(Taken {
        item,
        bytes: length,
        rest,
    })
}

/// How many bytes the length of an item takes behind it.
pub(super) fn back_bytes(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

fn string(length: usize, rest: &[u8]) -> Result<(Item<'_>, &[u8]), DumpError> {
    let (text, rest) = split(rest, length)?;
    Ok((Item::Bytes(text), rest))
}

/// A signed number of `N` bytes, the lowest first.
fn integer<const N: usize>(rest: &[u8]) -> Result<(Item<'_>, &[u8]), DumpError> {
    let (bytes, rest) = first::<N>(rest)?;
    let bits = bytes.iter().rev();
    let number = bits.fold(0, |number, byte| number << 8 | u64::from(*byte));
    let unused = 64 - 8 * N;
    Ok((Item::Integer((number << unused) as i64 >> unused), rest))
}

/// The items of a ziplist.
pub(super) fn ziplist(bytes: &[u8]) -> Result<Items<'_>, DumpError> {
    let (total, rest) = first(bytes)?;
    let (_last, rest) = first::<4>(rest)?;
    let (count, rest) = first(rest)?;
    if size(u32::from_le_bytes(total))? != bytes.len() || rest.last() != Some(&END) {
        return Err(DumpError::Format);
    }
    Ok(Items::new(rest, u16::from_le_bytes(count), ziplist_item))
}

fn ziplist_item(bytes: &[u8], before: usize) -> Result<Taken<'_>, DumpError> {
    let ([told], rest) = first(bytes)?;
    let (told, rest) = match told {
        END => return Err(DumpError::Format),
        0xfe => {
            let (told, rest) = first(rest)?;
            (size(u32::from_le_bytes(told))?, rest)
        }
        told => (told.into(), rest),
    };
    if told != before {
        return Err(DumpError::Format);
    }
    let ([head], rest) = first(rest)?;
    let (item, rest) = match head {
        0x00..=0x3f => string(head.into(), rest)?,
        0x40..=0x7f => {
            let ([low], rest) = first(rest)?;
            string(usize::from(head & 0x3f) << 8 | usize::from(low), rest)?
        }
        0x80 => {
            let (length, rest) = first(rest)?;
            string(size(u32::from_be_bytes(length))?, rest)?
        }
        0xc0 => integer::<2>(rest)?,
        0xd0 => integer::<4>(rest)?,
        0xe0 => integer::<8>(rest)?,
        0xf0 => integer::<3>(rest)?,
        0xfe => integer::<1>(rest)?,
        0xf1..=0xfd => (Item::Integer(i64::from(head & 0x0f) - 1), rest),
        _ => return Err(DumpError::Format),
    };
    Ok(Taken {
        item,
        bytes: bytes.len() - rest.len(),
        rest,
    })
}

/// The numbers of an intset, ascending.
pub(super) fn intset(bytes: &[u8]) -> Result<Vec<i64>, DumpError> {
    let (width, rest) = first(bytes)?;
    let (count, rest) = first(rest)?;
    let width = size(u32::from_le_bytes(width))?;
    let count = size(u32::from_le_bytes(count))?;
    if ![2, 4, 8].contains(&width) || count.checked_mul(width) != Some(rest.len()) {
        return Err(DumpError::Format);
    }
    let mut numbers: Vec<i64> = Vec::with_capacity(count);
    for bytes in rest.chunks_exact(width) {
        let (item, _) = match width {
            2 => integer::<2>(bytes)?,
            4 => integer::<4>(bytes)?,
            _ => integer::<8>(bytes)?,
        };
        let number = item.integer()?;
        if numbers.last().is_some_and(|last| *last >= number) {
            return Err(DumpError::Format);
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// A name and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The names and values of a zipmap.
pub(super) fn zipmap(bytes: &[u8]) -> Result<Vec<Pair<'_>>, DumpError> {
    let ([told], mut rest) = first(bytes)?;
    let mut pairs = Vec::new();
    while rest != [END] {
        let (name, after) = zipmap_length(rest)?;
        let (name, after) = split(after, name)?;
        let (value, after) = zipmap_length(after)?;
        let ([free], after) = first(after)?;
        let (value, after) = split(after, value)?;
        let (_, after) = split(after, free.into())?;
        pairs.push((name, value));
        rest = after;
    }
    // From 254 on the number is not kept.
    if told < 0xfe && usize::from(told) != pairs.len() {
        return Err(DumpError::Format);
    }
    Ok(pairs)
}

fn zipmap_length(bytes: &[u8]) -> Result<(usize, &[u8]), DumpError> {
    let ([length], rest) = first(bytes)?;
    match length {
        END => Err(DumpError::Format),
        0xfe => {
            let (length, rest) = first(rest)?;
            Ok((size(u32::from_le_bytes(length))?, rest))
        }
        length => Ok((length.into(), rest)),
    }
}
