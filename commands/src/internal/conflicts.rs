//! The journal of conflicts as the owner of a key has it, and what LCONFLICTS makes of it.

use bytes::Bytes;
use larder_cluster::journal::{JournalEntry, JournalSide};
use larder_cluster::request::{Access, Request};
use larder_cluster::token::{Partitions, key_token};
use larder_cluster::transaction::Transaction;
use larder_crdt::Writer;

use super::{fields, malformed, name, opened, request, with_fields};
use crate::error::CommandError;
use crate::reply::Reply;

/// Entries that one answer holds.
const LISTED_MAX: usize = 1_000_000;

/// Asks the first live owner of `key` for the latest `count` entries of its journal about it.
#[must_use]
pub fn list_request(partitions: Partitions, database: u8, key: &[u8], count: usize) -> Request {
    let mut writer = Writer::new();
    writer.varint(count as u64);
    writer.bytes(key);
    let args = with_fields(name::CONFLICTS, writer);
    let partition = key_token(key).partition(partitions);
    request(database, Access::Read, &[partition], args)
}

/// Reads the answer to [`list_request`].
///
/// # Errors
/// The error that was answered instead.
pub fn listed(answer: &[u8]) -> Result<Vec<JournalEntry>, CommandError> {
    let mut reader = opened(answer)?;
    let count = reader.count(LISTED_MAX).map_err(malformed)?;
    let entries = (0..count).map(|_| JournalEntry::decode(&mut reader));
    entries.collect::<Result<_, _>>().map_err(malformed)
}

pub(super) fn run_list(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    args: &[Bytes],
    answer: &mut Writer,
) -> Result<(), CommandError> {
    let mut reader = fields(args);
    let count = reader.varint().map_err(malformed)?;
    let key = reader
        .bytes(larder_cluster::limits::KEY_BYTES_MAX)
        .map_err(malformed)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(LISTED_MAX);
    let found = transaction
        .env()
        .journal
        .latest(Some((request.database, key)), count);
    answer.length(found.len());
    found.iter().for_each(|entry| entry.encode(answer));
    Ok(())
}

/// Appends the entries as clients get them.
pub fn write_to(reply: &mut Reply, entries: &[JournalEntry]) {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let side = |reply: &mut Reply, side: &JournalSide| {
        reply.bulk(b"value");
        reply.bulk(&side.value);
        reply.bulk(b"bytes");
        reply.integer(number(side.bytes));
        reply.bulk(b"dot");
        reply.bulk(format!("{}:{}", side.dot.actor, side.dot.counter).as_bytes());
        reply.bulk(b"stamp-ms");
        reply.integer(number(side.stamp_ms));
    };
    reply.array(entries.len());
    for entry in entries {
        reply.map(10);
        reply.bulk(b"key");
        reply.bulk(entry.key.key());
        reply.bulk(b"database");
        reply.integer(i64::from(entry.key.database()));
        reply.bulk(b"kind");
        reply.bulk(entry.kind.word().as_bytes());
        reply.bulk(b"path");
        reply.bulk_or_null(entry.path.as_deref().map(str::as_bytes));
        side(reply, &entry.loser);
        reply.bulk(b"winner");
        reply.map(4);
        side(reply, &entry.winner);
        reply.bulk(b"noted-ms");
        reply.integer(number(entry.noted_ms));
    }
}
