//! Streams: entries in listpacks, each entry as its difference from the first of its listpack, the
//! master; then ids, groups, what is pending in them, consumers.
//!
//! ```text
//! master   entries | deleted | fields | name | …       | 0
//! entry    flags | ms | sequence | value | …            | items before this one     same names
//!          flags | ms | sequence | fields | name | value | … | items                 own names
//! ```

use std::sync::Arc;

use super::pack::{self, Items};
use super::source::{Room, Source};
use super::value::{Consumer, Entry, EntryId, Group, Pending, Stream, Text};
use super::{DumpError, decode::distinct};

/// The versions of a stream's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Of Redis 5 to 6.2.
    One,
    /// Of Redis 7.0: with what was added and deleted.
    Two,
    /// Since Redis 7.2: with when consumers were active.
    Three,
}

/// The entry is no more.
pub(super) const DELETED: i64 = 1;
/// The entry has the names of the master.
pub(super) const SAME_NAMES: i64 = 2;

/// Reads a stream.
pub(super) fn decode(source: &mut Source<'_>, version: Version) -> Result<Stream, DumpError> {
    let mut stream = Stream::default();
    for _ in 0..source.count()? {
        let master = source.string()?;
        let master = <&[u8; 16]>::try_from(&*master).map_err(|_| DumpError::Format)?;
        let pack = source.string()?;
        node(&mut stream.entries, raw_id(master), &pack, &mut source.room)?;
    }
    let length = source.length()?;
    stream.last_id = id(source)?;
    if version >= Version::Two {
        let _first = id(source)?;
        stream.max_deleted_id = id(source)?;
        stream.entries_added = source.length()?;
    } else {
        stream.entries_added = length;
    }
    let entries = &stream.entries;
    let is_whole = length == entries.len() as u64
        && entries.is_sorted_by(|one, next| one.id < next.id)
        && entries.last().is_none_or(|last| last.id <= stream.last_id);
    if !is_whole {
        return Err(DumpError::Format);
    }
    let groups = source.count()?;
    stream.groups = (0..groups)
        .map(|_| group(source, version))
        .collect::<Result<_, _>>()?;
    distinct(stream.groups.iter().map(|group| &group.name))?;
    Ok(stream)
}

fn id(source: &mut Source<'_>) -> Result<EntryId, DumpError> {
    let (ms, sequence) = (source.length()?, source.length()?);
    Ok(EntryId { ms, sequence })
}

fn raw_id(bytes: &[u8; 16]) -> EntryId {
    let both = u128::from_be_bytes(*bytes);
    EntryId {
        ms: (both >> 64) as u64,
        sequence: both as u64,
    }
}

fn number(items: &mut Items<'_>) -> Result<u64, DumpError> {
    let number = pack::next(items)?.integer()?;
    u64::try_from(number).map_err(|_| DumpError::Format)
}

fn text(items: &mut Items<'_>, room: &mut Room) -> Result<Text, DumpError> {
    room.item(pack::next(items)?)
}

/// Appends the entries of one listpack that are not deleted.
fn node(
    entries: &mut Vec<Entry>,
    master: EntryId,
    bytes: &[u8],
    room: &mut Room,
) -> Result<(), DumpError> {
    let mut items = pack::listpack(bytes)?;
    let (live, deleted) = (number(&mut items)?, number(&mut items)?);
    let fields = number(&mut items)?;
    let names: Vec<Text> = (0..fields)
        .map(|_| text(&mut items, room))
        .collect::<Result<_, _>>()?;
    let names: Arc<[Text]> = names.into();
    if number(&mut items)? != 0 {
        return Err(DumpError::Format);
    }
    let (mut seen_live, mut seen_deleted) = (0, 0);
    while let Some(flags) = items.next() {
        let flags = flags?.integer()?;
        let entry = entry(&mut items, master, flags, &names, room)?;
        if flags & DELETED != 0 {
            seen_deleted += 1;
        } else {
            seen_live += 1;
            entries.push(entry);
        }
    }
    if (seen_live, seen_deleted) != (live, deleted) {
        return Err(DumpError::Format);
    }
    Ok(())
}

fn entry(
    items: &mut Items<'_>,
    master: EntryId,
    flags: i64,
    shared: &Arc<[Text]>,
    room: &mut Room,
) -> Result<Entry, DumpError> {
    // What an entry takes beside its values.
    room.take(size_of::<Entry>())?;
    // Differences are signed and go around, as in Redis.
    let ms = pack::next(items)?.integer()? as u64;
    let sequence = pack::next(items)?.integer()? as u64;
    let id = EntryId {
        ms: master.ms.wrapping_add(ms),
        sequence: master.sequence.wrapping_add(sequence),
    };
    let (names, values, count) = if flags & SAME_NAMES != 0 {
        let values = (0..shared.len()).map(|_| text(items, room));
        let values: Vec<Text> = values.collect::<Result<_, _>>()?;
        (Arc::clone(shared), values, shared.len() as u64 + 3)
    } else {
        let fields = number(items)?;
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for _ in 0..fields {
            names.push(text(items, room)?);
            values.push(text(items, room)?);
        }
        (names.into(), values, names_count(fields)?)
    };
    if number(items)? != count {
        return Err(DumpError::Format);
    }
    Ok(Entry { id, names, values })
}

/// How many items an entry with `fields` names of its own has.
fn names_count(fields: u64) -> Result<u64, DumpError> {
    let count = fields.checked_mul(2).and_then(|count| count.checked_add(4));
    count.ok_or(DumpError::Format)
}

fn group(source: &mut Source<'_>, version: Version) -> Result<Group, DumpError> {
    let (name, last_id) = (source.text()?, id(source)?);
    let entries_read = match version {
        Version::One => None,
        // -1 says that it is not known.
        _ => u64::try_from(source.length()? as i64).ok(),
    };
    let delivered = source.count()?;
    let mut pending = (0..delivered)
        .map(|_| {
            Ok(Pending {
                id: raw_id(&source.array()?),
                consumer: usize::MAX,
                delivered_ms: source.u64_le()?,
                deliveries: source.length()?,
            })
        })
        .collect::<Result<Vec<_>, DumpError>>()?;
    if !pending.is_sorted_by(|one, next| one.id < next.id) {
        return Err(DumpError::Format);
    }
    let count = source.count()?;
    let consumers = (0..count)
        .map(|place| consumer(source, version, place, &mut pending))
        .collect::<Result<Vec<_>, _>>()?;
    distinct(consumers.iter().map(|consumer| &consumer.name))?;
    if pending.iter().any(|entry| entry.consumer == usize::MAX) {
        return Err(DumpError::Format);
    }
    Ok(Group {
        name,
        last_id,
        entries_read,
        consumers,
        pending,
    })
}

fn consumer(
    source: &mut Source<'_>,
    version: Version,
    place: usize,
    pending: &mut [Pending],
) -> Result<Consumer, DumpError> {
    let (name, seen_ms) = (source.text()?, source.u64_le()?);
    let active_ms = match version {
        // -1 says never.
        Version::Three => Some(source.u64_le()?).filter(|ms| *ms != u64::MAX),
        _ => Some(seen_ms),
    };
    for _ in 0..source.count()? {
        let id = raw_id(&source.array()?);
        let found = pending.binary_search_by_key(&id, |entry| entry.id).ok();
        let entry = found.and_then(|at| pending.get_mut(at));
        let entry = entry.filter(|entry| entry.consumer == usize::MAX);
        entry.ok_or(DumpError::Format)?.consumer = place;
    }
    Ok(Consumer {
        name,
        seen_ms,
        active_ms,
    })
}
