//! The content of a key on its way between nodes: dump here, load there, drop what was dumped.
//!
//! ```text
//! RENAME a b        node of a: dump ──▶ content, and the row as observed
//!                   node of b: load(content) ──▶ whether it was written
//!                   node of a: drop(row): removes what was observed, no more
//! ```
//!
//! Between two steps others may write. What they write to the source stays there, because it was
//! not observed; a failure between load and drop leaves both keys, and loses nothing.

use bytes::Bytes;
use larder_cluster::copy::{Copy, Edit};
use larder_cluster::id::PartitionId;
use larder_cluster::limits::{ACTORS_PER_PARTITION_MAX, KEY_BYTES_MAX};
use larder_cluster::partition::Target;
use larder_cluster::request::{Access, Request};
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::actor::Translation;
use larder_crdt::context::{ContextKey, ContextSeal};
use larder_crdt::types::register_lww::joined_counter;
use larder_crdt::{ActorTable, Clock, DecodeError, Reader, Row, Value, Writer};

use super::{malformed, name, opened, request};
use crate::collection;
use crate::content::{Content, Shown};
use crate::error::CommandError;
use crate::key;

/// What a key held when it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dump {
    /// What it showed; `None` if it did not exist.
    pub(crate) content: Option<Content>,
    /// The row with its dots, for [`drop_request`].
    observed: Bytes,
}

impl Dump {
    /// The string that the key showed, an empty one if there was none; `None` for another type.
    pub(crate) fn string(self) -> Option<Vec<u8>> {
        match self.content.map(|content| content.value) {
            None => Some(Vec::new()),
            Some(Shown::String(value)) => Some(value),
            Some(Shown::Document(_) | Shown::Collection(_)) => None,
        }
    }
}

/// Asks for the content of a key.
pub(crate) fn dump_request(database: u8, partition: PartitionId, key: &[u8]) -> Request {
    let args = vec![Bytes::from_static(name::DUMP), Bytes::copy_from_slice(key)];
    request(database, Access::Read, &[partition], args)
}

/// Reads the answer to [`dump_request`].
pub(crate) fn dumped(answer: &[u8]) -> Result<Dump, CommandError> {
    let mut reader = opened(answer)?;
    let mut read = || {
        let content = match reader.u8()? {
            0 => None,
            _ => Some(Content::decode(&mut reader)?),
        };
        Ok(Dump {
            content,
            observed: Bytes::copy_from_slice(reader.rest()),
        })
    };
    read().map_err(malformed)
}

/// Writes a content to a key, in place of what is there only if it `replaces`.
pub(crate) fn load_request(
    database: u8,
    partition: PartitionId,
    key: &[u8],
    content: &Content,
    replaces: bool,
) -> Request {
    let mut writer = Writer::new();
    writer.u8(u8::from(replaces));
    content.encode(&mut writer);
    let args = vec![
        Bytes::from_static(name::LOAD),
        Bytes::copy_from_slice(key),
        Bytes::from(writer.into_vec()),
    ];
    request(database, Access::Write, &[partition], args)
}

/// Whether the content was written.
pub(crate) fn loaded(answer: &[u8]) -> Result<bool, CommandError> {
    let flag = opened(answer)?.u8().map_err(malformed)?;
    Ok(flag != 0)
}

/// Removes what a dump observed of a key.
pub(crate) fn drop_request(
    database: u8,
    partition: PartitionId,
    key: &[u8],
    dump: &Dump,
) -> Request {
    let args = vec![
        Bytes::from_static(name::DROP),
        Bytes::copy_from_slice(key),
        dump.observed.clone(),
    ];
    request(database, Access::Write, &[partition], args)
}

/// Whether a drop was done.
pub(crate) fn dropped(answer: &[u8]) -> Result<(), CommandError> {
    opened(answer).map(|_| ())
}

fn place(
    transaction: &Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
) -> Result<Place, CommandError> {
    let key = args.first().filter(|key| key.len() <= KEY_BYTES_MAX);
    let key = key.ok_or_else(|| malformed(DecodeError::OverLimit))?;
    let place = transaction.place(request.database, key, b"");
    if request.partitions.contains(&place.partition) {
        Ok(place)
    } else {
        Err(malformed(DecodeError::Inconsistent))
    }
}

fn second(args: &[Bytes]) -> Result<Reader<'_>, CommandError> {
    let bytes = args
        .get(1)
        .ok_or_else(|| malformed(DecodeError::Truncated))?;
    Ok(Reader::new(bytes))
}

pub(super) fn run_dump(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let place = place(transaction, request, args)?;
    let Some(content) = Content::read(transaction, &place)? else {
        answer.u8(0);
        return Ok(());
    };
    answer.u8(1);
    content.encode(answer);
    let row = transaction.try_row(&place)?.clone();
    let families = transaction.families(&place)?;
    let seen = transaction.seen(&place);
    if let Some(copy) = copy(transaction, &place) {
        copy.actors.encode(answer);
        row.encode(answer);
        // Of collections all that this copy has seen was looked at.
        if !families.is_empty() {
            seen.encode(answer);
        }
    }
    Ok(())
}

fn copy<'t>(transaction: &'t mut Transaction<'_, '_>, place: &Place) -> Option<&'t Copy> {
    let (partition, target) = transaction.partition(place.partition);
    match target {
        Target::Main => partition.main.as_ref(),
        Target::Fallback => partition.fallback.as_ref(),
    }
}

pub(super) fn run_load(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    contexts: &ContextKey,
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let (place, now_ms) = (place(transaction, request, args)?, transaction.now_ms());
    let mut reader = second(args)?;
    let mut read = || Ok((reader.u8()? != 0, Content::decode(&mut reader)?));
    let (replaces, content) = read().map_err(malformed)?;
    let seal = seal(contexts, request, args);
    let written = replaces || !collection::exists(transaction, &place, now_ms)?;
    if written {
        content.write(transaction, &place, &seal)?;
    }
    answer.u8(u8::from(written));
    Ok(())
}

fn seal(contexts: &ContextKey, request: &Request, args: &[Bytes]) -> ContextSeal {
    let mut identity = vec![request.database];
    args.first()
        .into_iter()
        .for_each(|key| identity.extend_from_slice(key));
    contexts.for_key(&identity)
}

pub(super) fn run_drop(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    contexts: &ContextKey,
) -> Result<(), CommandError> {
    let (place, now_ms) = (place(transaction, request, args)?, transaction.now_ms());
    let mut reader = second(args)?;
    let mut read = || {
        let table = ActorTable::decode(&mut reader, ACTORS_PER_PARTITION_MAX)?;
        let row = Row::decode(&mut reader)?;
        let seen = if reader.is_empty() {
            None
        } else {
            Some(Clock::decode(&mut reader, table.len())?)
        };
        Ok((table, row, seen))
    };
    let (table, observed, seen) = read().map_err(malformed)?;
    // What this copy has no number for, it has not seen: that much stays.
    let Some(copy) = copy(transaction, &place) else {
        return Ok(());
    };
    let seen = seen.map(|seen| copy.known_part(&seen, &table));
    let known = copy.actors.len();
    let mut actors = copy.actors.clone();
    let translation = Translation::new(&table, &mut actors);
    let mut observed = observed.translate(&translation).map_err(malformed)?;
    let is_known = |dot: larder_crdt::Dot| (dot.actor().0 as usize) < known;
    observed.retain(|sibling| {
        let mut all_known = is_known(sibling.dot);
        sibling.value.for_each_dot(|dot| all_known &= is_known(dot));
        all_known
    });
    let seal = seal(contexts, request, args);
    transaction.edit(&place, |edit| {
        remove_observed(edit, &observed, &seal, now_ms)
    })?;
    if let Some(seen) = seen {
        for family in transaction.families(&place)? {
            collection::remove_seen(transaction, &place, family, seen.clone())?;
        }
    }
    Ok(())
}

/// Removes what `observed` holds: registers under its dots, the amounts that its counters had come
/// to, the leaves that its documents had seen.
fn remove_observed(edit: &mut Edit<'_>, observed: &Row, seal: &ContextSeal, now_ms: u64) {
    edit.remove(|sibling| {
        matches!(sibling.value, Value::Register(_)) && observed.contains(sibling.dot)
    });
    // A deadline that has passed meanwhile does not undo what was observed before.
    let seen = joined_counter(observed, 0).filter(|counter| !counter.is_reset());
    if let (Some(mut seen), Some(mut counter)) = (seen, joined_counter(edit.row(), now_ms)) {
        seen.reset();
        counter.join(&seen);
        let deadline = key::deadline(edit.row(), now_ms).filter(|_| !counter.is_reset());
        key::replace_counter(edit, deadline, |_| counter);
    }
    let seen = key::joined_document(observed, 0).map(|document| document.context().clone());
    if let (Some(seen), Some(document)) = (seen, key::joined_document(edit.row(), now_ms)) {
        let mut document = document.into_owned();
        if document.remove(&seal.dots(seen), edit.stamp()).changed {
            let deadline = key::deadline(edit.row(), now_ms);
            key::replace_document(edit, document, deadline);
        }
    }
}
