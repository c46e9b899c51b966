//! Commands that nodes send each other and no client can: their names begin with a zero byte.
//!
//! They are the steps of commands that speak for the whole cluster (`walk.rs`: SCAN, KEYS, DBSIZE,
//! RANDOMKEY, FLUSHDB, FLUSHALL), for keys on several nodes (`transfer.rs`: RENAME, COPY, MSETNX,
//! LCS), about a key as its owner sees it (`conflicts.rs`: LCONFLICTS; `batch.rs`: WATCH), or the
//! commands of a transaction (`batch.rs`: EXEC). An answer is a zero byte
//! and its content, or an error as clients get it.

pub mod conflicts;
pub mod transfer;
pub mod walk;

use bytes::Bytes;
use larder_cluster::id::PartitionId;
use larder_cluster::request::{Access, Request};
use larder_cluster::transaction::Transaction;
use larder_crdt::context::ContextKey;
use larder_crdt::{DecodeError, Reader, Writer};

use crate::batch;
use crate::error::CommandError;

/// What every internal name and every answer that is no error begins with.
const MARK: u8 = 0;

/// The names, which never change their meaning.
mod name {
    pub(super) const SCAN: &[u8] = b"\0scan";
    pub(super) const COUNT: &[u8] = b"\0count";
    pub(super) const PICK: &[u8] = b"\0pick";
    pub(super) const FLUSH: &[u8] = b"\0flush";
    pub(super) const DUMP: &[u8] = b"\0dump";
    pub(super) const LOAD: &[u8] = b"\0load";
    pub(super) const DROP: &[u8] = b"\0drop";
    pub(super) const SETTLE: &[u8] = b"\0settle";
    pub(super) const CONFLICTS: &[u8] = b"\0conflicts";
}

/// The name of the request that runs a batch; see [`crate::batch`].
pub(crate) const EXEC: &[u8] = b"\0exec";
/// The name of the request for versions of keys.
pub(crate) const VERSIONS: &[u8] = b"\0versions";

/// Whether `name` is that of an internal command.
pub(crate) fn is_internal(name: &[u8]) -> bool {
    name.first() == Some(&MARK)
}

/// Runs an internal command and gives its answer, without the mark.
pub(crate) fn run(
    transaction: &mut Transaction<'_, '_>,
    request: &Request,
    contexts: &ContextKey,
) -> Result<Vec<u8>, CommandError> {
    let mut answer = begin_answer();
    let [name, args @ ..] = &request.args[..] else {
        return Err(malformed(DecodeError::Truncated));
    };
    match &name[..] {
        name::SCAN => walk::run_scan(transaction, request, args, &mut answer)?,
        name::COUNT => walk::run_count(transaction, request, &mut answer),
        name::PICK => walk::run_pick(transaction, request, args, &mut answer)?,
        name::FLUSH => walk::run_flush(transaction, request, args, &mut answer)?,
        name::DUMP => transfer::run_dump(transaction, request, args, &mut answer)?,
        name::LOAD => transfer::run_load(transaction, request, args, contexts, &mut answer)?,
        name::DROP => transfer::run_drop(transaction, request, args, contexts)?,
        name::CONFLICTS => conflicts::run_list(transaction, request, args, &mut answer)?,
        EXEC => batch::run(transaction, request, contexts, &mut answer)?,
        VERSIONS => batch::run_versions(transaction, request, args, &mut answer)?,
        // It changes nothing: what counts is that its answer waits for the copies asked for.
        name::SETTLE => {}
        _ => return Err(malformed(DecodeError::UnknownTag)),
    }
    Ok(answer.into_vec())
}

/// An answer without its content.
pub(crate) fn begin_answer() -> Writer {
    let mut answer = Writer::new();
    answer.u8(MARK);
    answer
}

/// Asks that everything written in a partition before is on `copies` nodes' disks; the answer comes
/// when it is.
#[must_use]
pub fn settle_request(partition: PartitionId, copies: u8) -> Request {
    let args = vec![Bytes::from_static(name::SETTLE)];
    let mut request = request(0, Access::Write, &[partition], args);
    request.repeatable = true;
    request.write_copies = copies;
    request
}

/// The content of an answer.
///
/// # Errors
/// The error that was answered instead, without its type but with its text.
pub(crate) fn opened(answer: &[u8]) -> Result<Reader<'_>, CommandError> {
    match answer.split_first() {
        Some((&MARK, content)) => Ok(Reader::new(content)),
        Some((b'-', text)) => {
            let text = String::from_utf8_lossy(text);
            Err(CommandError::Text(text.trim_end().to_owned()))
        }
        _ => Err(malformed(DecodeError::Truncated)),
    }
}

/// The error for what no node of this release sends.
pub(crate) fn malformed(error: DecodeError) -> CommandError {
    CommandError::Text(format!(
        "ERR a node sent what this one cannot read: {error}"
    ))
}

/// A name and one argument that holds what was written.
fn with_fields(name: &'static [u8], fields: Writer) -> Vec<Bytes> {
    vec![Bytes::from_static(name), Bytes::from(fields.into_vec())]
}

/// The one argument of [`with_fields`].
fn fields(args: &[Bytes]) -> Reader<'_> {
    Reader::new(args.first().map(|arg| &arg[..]).unwrap_or_default())
}

fn request(database: u8, access: Access, partitions: &[PartitionId], args: Vec<Bytes>) -> Request {
    Request::new(database, args, partitions.to_vec(), access)
}
