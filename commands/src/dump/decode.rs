//! From a payload to a value.

use std::borrow::Cow;
use std::num::NonZeroU64;

use larder_crdt::types::register_lww::parse_float;

use super::pack::{self, Item, Items};
use super::source::Source;
use super::stream::{self, Version};
use super::{DumpError, FOOTER_BYTES, Field, Text, VERSION_MAX, Value, checksum, kind};

/// The value that a payload holds.
///
/// # Errors
/// See [`DumpError`].
pub fn decode(payload: &[u8]) -> Result<Value, DumpError> {
    let mut source = Source::new(body(payload)?);
    let value = match source.u8()? {
        kind::STRING => Value::String(source.string()?.into_owned()),
        kind::LIST => Value::List(plain(&mut source)?),
        kind::LIST_ZIPLIST => Value::List(packed(&mut source, pack::ziplist)?),
        kind::LIST_QUICKLIST => Value::List(quicklist(&mut source)?),
        kind::LIST_QUICKLIST_2 => Value::List(quicklist_2(&mut source)?),
        kind::SET => set(plain(&mut source)?)?,
        kind::SET_INTSET => set(intset(&mut source)?)?,
        kind::SET_LISTPACK => set(packed(&mut source, pack::listpack)?)?,
        kind::SORTED_SET => sorted_set(plain_scored(&mut source, old_score)?)?,
        kind::SORTED_SET_2 => sorted_set(plain_scored(&mut source, score)?)?,
        kind::SORTED_SET_ZIPLIST => sorted_set(packed_scored(&mut source, pack::ziplist)?)?,
        kind::SORTED_SET_LISTPACK => sorted_set(packed_scored(&mut source, pack::listpack)?)?,
        kind::HASH => hash(plain_fields(&mut source)?)?,
        kind::HASH_ZIPMAP => hash(zipmap(&mut source)?)?,
        kind::HASH_ZIPLIST => hash(packed_fields(&mut source, pack::ziplist)?)?,
        kind::HASH_LISTPACK => hash(packed_fields(&mut source, pack::listpack)?)?,
        kind::HASH_DEADLINES => hash(ending_fields(&mut source)?)?,
        kind::HASH_LISTPACK_DEADLINES => hash(packed_ending_fields(&mut source)?)?,
        kind::STREAM => Value::Stream(stream::decode(&mut source, Version::One)?),
        kind::STREAM_2 => Value::Stream(stream::decode(&mut source, Version::Two)?),
        kind::STREAM_3 => Value::Stream(stream::decode(&mut source, Version::Three)?),
        kind::MODULE | kind::MODULE_2 => return Err(DumpError::Module),
        _ => return Err(DumpError::Format),
    };
    let is_empty = matches!(&value, Value::List(elements) if elements.is_empty());
    if is_empty || !source.is_empty() {
        return Err(DumpError::Format);
    }
    Ok(value)
}

/// What stands before the footer, if that is right.
fn body(payload: &[u8]) -> Result<&[u8], DumpError> {
    let at = payload.len().checked_sub(FOOTER_BYTES);
    let (body, footer) = at
        .and_then(|at| payload.split_at_checked(at))
        .ok_or(DumpError::Footer)?;
    let (version, checksum) = footer
        .split_first_chunk::<2>()
        .and_then(|(version, rest)| Some((version, rest.first_chunk::<8>()?)))
        .ok_or(DumpError::Footer)?;
    let checked = payload.get(..body.len() + 2).unwrap_or_default();
    let is_right = u16::from_le_bytes(*version) <= VERSION_MAX
        && u64::from_le_bytes(*checksum) == checksum::of(checked);
    is_right.then_some(body).ok_or(DumpError::Footer)
}

/// How the items of a pack are found.
type Unpack = for<'p> fn(&'p [u8]) -> Result<Items<'p>, DumpError>;

/// Fails if a name stands twice, or none at all.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a Text>) -> Result<(), DumpError> {
    let mut names: Vec<&[u8]> = names.map(|name| &**name).collect();
    names.sort_unstable();
    let is_twice = names.array_windows().any(|[one, next]| one == next);
    if is_twice {
        Err(DumpError::Format)
    } else {
        Ok(())
    }
}

fn set(members: Vec<Text>) -> Result<Value, DumpError> {
    distinct(members.iter())?;
    filled(members).map(Value::Set)
}

fn sorted_set(members: Vec<(Text, f64)>) -> Result<Value, DumpError> {
    distinct(members.iter().map(|(member, _)| member))?;
    filled(members).map(Value::SortedSet)
}

fn hash(fields: Vec<Field>) -> Result<Value, DumpError> {
    distinct(fields.iter().map(|field| &field.name))?;
    filled(fields).map(Value::Hash)
}

fn filled<T>(parts: Vec<T>) -> Result<Vec<T>, DumpError> {
    if parts.is_empty() {
        return Err(DumpError::Format);
    }
    Ok(parts)
}

fn plain(source: &mut Source<'_>) -> Result<Vec<Text>, DumpError> {
    let count = source.count()?;
    (0..count).map(|_| source.text()).collect()
}

fn packed(source: &mut Source<'_>, unpack: Unpack) -> Result<Vec<Text>, DumpError> {
    let mut elements = Vec::new();
    append(&mut elements, source, unpack)?;
    Ok(elements)
}

fn append(
    elements: &mut Vec<Text>,
    source: &mut Source<'_>,
    unpack: Unpack,
) -> Result<(), DumpError> {
    let pack = source.string()?;
    for item in unpack(&pack)? {
        elements.push(source.room.item(item?)?);
    }
    Ok(())
}

fn quicklist(source: &mut Source<'_>) -> Result<Vec<Text>, DumpError> {
    let (nodes, mut elements) = (source.count()?, Vec::new());
    for _ in 0..nodes {
        append(&mut elements, source, pack::ziplist)?;
    }
    Ok(elements)
}

fn quicklist_2(source: &mut Source<'_>) -> Result<Vec<Text>, DumpError> {
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    let (nodes, mut elements) = (source.count()?, Vec::new());
    for _ in 0..nodes {
        match source.length()? {
            PLAIN => elements.push(source.text()?),
            PACKED => append(&mut elements, source, pack::listpack)?,
            _ => return Err(DumpError::Format),
        }
    }
    Ok(elements)
}

fn intset(source: &mut Source<'_>) -> Result<Vec<Text>, DumpError> {
    let pack = source.string()?;
    let numbers = pack::intset(&pack)?.into_iter();
    let mut text = |number| source.room.item(Item::Integer(number));
    numbers.map(&mut text).collect()
}

fn plain_scored(
    source: &mut Source<'_>,
    score: fn(&mut Source<'_>) -> Result<f64, DumpError>,
) -> Result<Vec<(Text, f64)>, DumpError> {
    let count = source.count()?;
    (0..count)
        .map(|_| Ok((source.text()?, score(source)?)))
        .collect()
}

fn score(source: &mut Source<'_>) -> Result<f64, DumpError> {
    number(f64::from_bits(source.u64_le()?))
}

fn number(score: f64) -> Result<f64, DumpError> {
    if score.is_nan() {
        return Err(DumpError::Format);
    }
    Ok(score)
}

/// A score as text behind its length, or as one of three marks.
fn old_score(source: &mut Source<'_>) -> Result<f64, DumpError> {
    match source.u8()? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Err(DumpError::Format),
        length => parse_float(source.raw(length.into())?).ok_or(DumpError::Format),
    }
}

fn packed_scored(source: &mut Source<'_>, unpack: Unpack) -> Result<Vec<(Text, f64)>, DumpError> {
    let pack = source.string()?;
    let (mut items, mut members) = (unpack(&pack)?, Vec::new());
    while let Some(member) = items.next() {
        let member = source.room.item(member?)?;
        let score = match pack::next(&mut items)? {
            Item::Integer(score) => score as f64,
            Item::Bytes(text) => parse_float(text).ok_or(DumpError::Format)?,
        };
        members.push((member, score));
    }
    Ok(members)
}

fn field(name: Text, value: Text, deadline_ms: u64) -> Field {
    Field {
        name,
        value,
        deadline: NonZeroU64::new(deadline_ms),
    }
}

fn plain_fields(source: &mut Source<'_>) -> Result<Vec<Field>, DumpError> {
    let count = source.count()?;
    (0..count)
        .map(|_| Ok(field(source.text()?, source.text()?, 0)))
        .collect()
}

fn zipmap(source: &mut Source<'_>) -> Result<Vec<Field>, DumpError> {
    let pack: Cow<'_, [u8]> = source.string()?;
    let pairs = pack::zipmap(&pack)?.into_iter();
    pairs
        .map(|(name, value)| Ok(field(source.room.text(name)?, source.room.text(value)?, 0)))
        .collect()
}

fn packed_fields(source: &mut Source<'_>, unpack: Unpack) -> Result<Vec<Field>, DumpError> {
    let pack = source.string()?;
    let (mut items, mut fields) = (unpack(&pack)?, Vec::new());
    while let Some(name) = items.next() {
        let name = source.room.item(name?)?;
        let value = source.room.item(pack::next(&mut items)?)?;
        fields.push(field(name, value, 0));
    }
    Ok(fields)
}

/// The latest time at which Redis lets a field end.
const DEADLINE_MAX: u64 = (1 << 48) - 1;

fn deadline(ms: u64) -> Result<u64, DumpError> {
    if ms > DEADLINE_MAX {
        return Err(DumpError::Format);
    }
    Ok(ms)
}

/// Fields that end: each behind how long after the first, plus 1; 0 for never.
fn ending_fields(source: &mut Source<'_>) -> Result<Vec<Field>, DumpError> {
    let first_ms = source.u64_le()?;
    let count = source.count()?;
    let mut next = |_| {
        let ends_ms = match source.length()? {
            0 => 0,
            after => first_ms.checked_add(after - 1).ok_or(DumpError::Format)?,
        };
        let (name, value) = (source.text()?, source.text()?);
        Ok(field(name, value, deadline(ends_ms)?))
    };
    (0..count).map(&mut next).collect()
}

fn packed_ending_fields(source: &mut Source<'_>) -> Result<Vec<Field>, DumpError> {
    let _first_ms = source.u64_le()?;
    let pack = source.string()?;
    let (mut items, mut fields) = (pack::listpack(&pack)?, Vec::new());
    while let Some(name) = items.next() {
        let name = source.room.item(name?)?;
        let value = source.room.item(pack::next(&mut items)?)?;
        let ends_ms = u64::try_from(pack::next(&mut items)?.integer()?);
        let ends_ms = deadline(ends_ms.map_err(|_| DumpError::Format)?)?;
        fields.push(field(name, value, ends_ms));
    }
    Ok(fields)
}
