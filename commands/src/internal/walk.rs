//! Walks over the rows of partitions: what SCAN, KEYS, DBSIZE, RANDOMKEY and FLUSHALL are made of.

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::partition::Target;
use larder_cluster::request::{Access, Request};
use larder_cluster::row_key::RowKey;
use larder_cluster::rows::KeyRows;
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::{DecodeError, Writer};

use super::{fields, malformed, name, opened, request, with_fields};
use crate::args::Args;
use crate::collection;
use crate::error::CommandError;
use crate::glob;
use crate::key::{self, Kind};
use crate::scan::{Filter, Page, Position};

/// Rows that are looked at between two looks at the limits of a walk.
const ROWS_AT_A_TIME: usize = 256;
/// Rows that one step of a flush looks at, so that no lock is held for long.
const FLUSH_ROWS_MAX: usize = 4096;

/// Keys of one partition in order, from the first one behind `after`, about `count` rows' worth of
/// them; and behind which row to go on, unless that was all.
fn keys(
    transaction: &mut Transaction<'_, '_>,
    partition: PartitionId,
    after: Option<&RowKey>,
    count: usize,
) -> Result<(Vec<KeyRows>, Option<RowKey>), CommandError> {
    let store = transaction.env().store;
    let (partition, target) = transaction.partition(partition);
    let copy = match target {
        Target::Main => partition.main.as_mut(),
        Target::Fallback => partition.fallback.as_mut(),
    };
    match copy {
        Some(copy) => Ok(copy.rows.keys_after(store, after, count)?),
        None => Ok((Vec::new(), None)),
    }
}

/// What a key that was found is to readers of `database`.
fn kind_of(
    transaction: &mut Transaction<'_, '_>,
    partition: PartitionId,
    found: &KeyRows,
    database: u8,
) -> Result<Kind, CommandError> {
    if found.key.database() != database {
        return Ok(Kind::Missing);
    }
    if found.families.is_empty() {
        return Ok(key::kind(&found.row, transaction.now_ms()));
    }
    let place = Place {
        partition,
        key: found.key.clone(),
    };
    collection::kind(transaction, &place, transaction.now_ms())
}

/// Asks for keys from `position` on, about `count` rows' worth of them, in `partitions`: a run of
/// neighbours that begins with the position's.
pub(crate) fn scan_request(
    database: u8,
    partitions: &[PartitionId],
    position: Position,
    count: usize,
    filter: &Filter,
) -> Request {
    let mut writer = Writer::new();
    writer.u64_be(position.0);
    writer.varint(count as u64);
    filter.encode(&mut writer);
    let args = with_fields(name::SCAN, writer);
    request(database, Access::Read, partitions, args)
}

/// Reads the answer to [`scan_request`].
pub(crate) fn scanned(answer: &[u8]) -> Result<Page, CommandError> {
    Page::decode(&mut opened(answer)?).map_err(malformed)
}

pub(super) fn run_scan(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let mut reader = fields(args);
    let mut read = || {
        let position = Position(reader.u64_be()?);
        let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        Ok((position, count, Filter::decode(&mut reader)?))
    };
    let (position, count, filter) = read().map_err(malformed)?;
    let partitions = transaction.env().view.layout.partitions();
    let mut page = Page {
        next: position,
        visited: 0,
        keys: Vec::new(),
    };
    for partition in &request.partitions {
        if *partition < position.partition(partitions) {
            continue;
        }
        let from = page.next.max(Position::begin(*partition, partitions));
        page.next = scan_one(
            transaction,
            request,
            *partition,
            from,
            count,
            &filter,
            &mut page,
        )?;
        if page.visited >= count {
            break;
        }
    }
    page.encode(answer);
    Ok(())
}

/// Walks one partition until its end or until enough rows were visited; gives the position behind.
fn scan_one(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    partition: PartitionId,
    from: Position,
    count: usize,
    filter: &Filter,
    page: &mut Page,
) -> Result<Position, CommandError> {
    let partitions = transaction.env().view.layout.partitions();
    let mut after = RowKey::at_hash(from.hash(partitions));
    let mut last = None;
    loop {
        let (found, next) = keys(transaction, partition, Some(&after), ROWS_AT_A_TIME)?;
        for found in &found {
            let here = Position::of(partition, found.key.hash(), partitions);
            // A position names all rows of its hash, so a page ends between two of them.
            if page.visited >= count && last != Some(here) {
                return Ok(here);
            }
            last = Some(here);
            page.visited += 1;
            let kind = kind_of(transaction, partition, found, request.database)?;
            if kind != Kind::Missing && filter.matches(found.key.key(), kind) {
                page.keys.push(Bytes::copy_from_slice(found.key.key()));
            }
        }
        match next {
            Some(next) => after = next,
            None => return Ok(Position::behind(partition, partitions)),
        }
    }
}

/// Asks how many keys there are.
#[must_use]
pub fn count_request(database: u8, partitions: &[PartitionId]) -> Request {
    request(
        database,
        Access::Read,
        partitions,
        vec![Bytes::from_static(name::COUNT)],
    )
}

/// Reads the answer to [`count_request`].
///
/// # Errors
/// What the node answered instead.
pub fn counted(answer: &[u8]) -> Result<u64, CommandError> {
    opened(answer)?.varint().map_err(malformed)
}

pub(super) fn run_count(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    answer: &mut Writer,
) {
    let mut count = 0;
    for partition in &request.partitions {
        let (partition, target) = transaction.partition(*partition);
        let copy = match target {
            Target::Main => partition.main.as_ref(),
            Target::Fallback => partition.fallback.as_ref(),
        };
        let keys = copy.and_then(|copy| copy.rows.keys().get(usize::from(request.database)));
        count += keys.copied().unwrap_or(0);
    }
    answer.varint(count);
}

/// Asks for one key of a partition: the first at or after a place that `random` names, round the
/// partition's end.
#[must_use]
pub fn pick_request(database: u8, partition: PartitionId, random: u64) -> Request {
    let args = vec![
        Bytes::from_static(name::PICK),
        Bytes::copy_from_slice(&random.to_be_bytes()),
    ];
    request(database, Access::Read, &[partition], args)
}

/// Reads the answer to [`pick_request`]; `None` if the partition has no key.
///
/// # Errors
/// What the node answered instead.
pub fn picked(answer: &[u8]) -> Result<Option<Bytes>, CommandError> {
    let mut reader = opened(answer)?;
    let mut read = || match reader.u8()? {
        0 => Ok(None),
        _ => Ok(Some(Bytes::copy_from_slice(reader.rest()))),
    };
    read().map_err(malformed)
}

pub(super) fn run_pick(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let random = args
        .first()
        .and_then(|arg| <[u8; 8]>::try_from(&arg[..]).ok());
    let random = u64::from_be_bytes(random.ok_or_else(|| malformed(DecodeError::Truncated))?);
    let &[partition] = &request.partitions[..] else {
        return Err(malformed(DecodeError::Inconsistent));
    };
    // Hashes of a partition share their first bits unless keys have tags: spread what is left.
    let partitions = transaction.env().view.layout.partitions();
    let shared = u64::from(partition.0)
        .checked_shl(64 - partitions.bits())
        .unwrap_or(0);
    let start = shared | random.checked_shr(partitions.bits()).unwrap_or(0);
    for (from, until) in [(start, u64::MAX), (0, start)] {
        let mut after = RowKey::at_hash(from);
        loop {
            let (found, next) = keys(transaction, partition, Some(&after), ROWS_AT_A_TIME)?;
            for found in found.iter().take_while(|found| found.key.hash() <= until) {
                if kind_of(transaction, partition, found, request.database)? != Kind::Missing {
                    answer.u8(1);
                    answer.raw(found.key.key());
                    return Ok(());
                }
            }
            match next {
                Some(next) if next.hash() <= until => after = next,
                _ => break,
            }
        }
    }
    answer.u8(0);
    Ok(())
}

/// Removes the keys of one database, or of all, from one partition: some thousand at a time, from
/// the row after `after`.
#[must_use]
pub fn flush_request(
    database: Option<u8>,
    partition: PartitionId,
    after: Option<&RowKey>,
) -> Request {
    let mut writer = Writer::new();
    writer.u8(u8::from(database.is_none()));
    if let Some(after) = after {
        after.encode(&mut writer);
    }
    let args = with_fields(name::FLUSH, writer);
    request(database.unwrap_or(0), Access::Write, &[partition], args)
}

/// Finds what is wrong with the arguments of FLUSHDB and FLUSHALL.
///
/// # Errors
/// Words that they do not know.
pub fn check_flush(args: Args<'_>) -> Result<(), CommandError> {
    let is_known = |word: &[u8]| {
        let known = [&b"async"[..], b"sync"];
        known.iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    match args.len() {
        1 => Ok(()),
        2 if is_known(args.at(1)) => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

/// Reads the answer to [`flush_request`]: after which row to go on, `None` at the end.
///
/// # Errors
/// What the node answered instead.
pub fn flushed(answer: &[u8]) -> Result<Option<RowKey>, CommandError> {
    let mut reader = opened(answer)?;
    if reader.is_empty() {
        Ok(None)
    } else {
        RowKey::decode(&mut reader).map(Some).map_err(malformed)
    }
}

pub(super) fn run_flush(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let mut reader = fields(args);
    let mut read = || {
        let all = reader.u8()? != 0;
        let after = if reader.is_empty() {
            None
        } else {
            Some(RowKey::decode(&mut reader)?)
        };
        Ok((all, after))
    };
    let (all, mut after) = read().map_err(malformed)?;
    let &[partition] = &request.partitions[..] else {
        return Err(malformed(DecodeError::Inconsistent));
    };
    let now_ms = transaction.now_ms();
    for _ in 0..FLUSH_ROWS_MAX / ROWS_AT_A_TIME {
        let (found, next) = keys(transaction, partition, after.as_ref(), ROWS_AT_A_TIME)?;
        for found in found {
            if !all && found.key.database() != request.database {
                continue;
            }
            let siblings = found.row.siblings();
            let has_something = siblings.iter().any(|sibling| !sibling.value.is_reset());
            let place = Place {
                partition,
                key: found.key,
            };
            collection::remove_collections(transaction, &place, |_| true)?;
            if has_something {
                transaction.edit(&place, |edit| key::remove(edit, now_ms))?;
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
    if let Some(after) = after {
        after.encode(answer);
    }
    Ok(())
}

/// Whether a pattern that lists keys matches; `*` alone matches the empty key as well.
pub(crate) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || glob::matches(pattern, key)
}
