//! DBSIZE, RANDOMKEY, FLUSHDB and FLUSHALL: for the cluster, by one live replica of each partition.
//!
//! A partition that nobody in reach can speak for makes the command an error: an answer that leaves
//! keys out without saying so would be worse than none.

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;
use larder_cluster::node::Route;
use larder_cluster::request::Reply as CoreReply;
use larder_cluster::row_key::RowKey;
use larder_commands::args::Args;
use larder_commands::error::CommandError;
use larder_commands::internal::walk;

use super::across::gather;
use super::{Answering, Outcome};
use crate::client::{Connection, Step};
use crate::server::Server;

/// Partitions that one request counts: their locks are held together for a moment.
const COUNTED_AT_ONCE: usize = 64;
/// Partitions that are flushed at the same time.
const FLUSHED_AT_ONCE: usize = 32;

/// Who speaks for each partition, in their order.
///
/// # Errors
/// [`CommandError::PartitionsUnreachable`] if some have nobody.
pub(super) fn routes(server: &Server) -> Result<Vec<(PartitionId, Route)>, CommandError> {
    let node = &server.runtime.node;
    let now = server.runtime.clock.now();
    let view = node.view();
    let mut missing = 0;
    let mut routes = Vec::with_capacity(server.partitions.count());
    for partition in server.partitions.iter() {
        let route = node.route(partition, now);
        if route == Route::Here {
            // A stand-in's copy holds what came in since the owners are gone, and no more.
            let owns = view.ownership.owners(partition).contains(&node.id());
            let has_all = node.with_partition(partition, |partition| partition.has_main());
            missing += usize::from(!(owns && has_all.unwrap_or(false)));
        }
        routes.push((partition, route));
    }
    if missing > 0 {
        return Err(CommandError::PartitionsUnreachable {
            missing,
            partitions: routes.len(),
        });
    }
    Ok(routes)
}

/// The bytes of an answer between nodes.
pub(super) fn answered(reply: CoreReply) -> Result<bytes::Bytes, CommandError> {
    match reply {
        CoreReply::Done(bytes) | CoreReply::Partial { reply: bytes, .. } => Ok(bytes),
        CoreReply::NoReplica | CoreReply::NotReady | CoreReply::PartialRead { .. } => {
            Err(CommandError::NoReplica)
        }
        CoreReply::Unknown => Err(CommandError::OutcomeUnknown),
        CoreReply::Refused(reason) => Err(CommandError::DiskFailed(reason)),
    }
}

/// `DBSIZE`: keys of the selected database in all partitions. Expired ones count until they are
/// removed, as in Redis.
pub(super) fn size<'a>(connection: &'a mut Connection, _: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let server = connection.server.clone();
        let mut by_node: BTreeMap<Route, Vec<PartitionId>> = BTreeMap::new();
        for (partition, route) in routes(&server)? {
            by_node.entry(route).or_default().push(partition);
        }
        let database = connection.database;
        let requests: Vec<_> = by_node
            .values()
            .flat_map(|partitions| partitions.chunks(COUNTED_AT_ONCE))
            .map(|partitions| walk::count_request(database, partitions))
            .collect();
        let mut keys = 0_u64;
        for reply in gather(&server.runtime, requests).await? {
            keys += walk::counted(&answered(reply)?)?;
        }
        connection
            .reply
            .integer(i64::try_from(keys).unwrap_or(i64::MAX));
        Ok(Step::Done)
    })
}

fn random() -> u64 {
    // Without randomness every call begins at the same place, which is still a key.
    crate::link::handshake::random().map_or(0, u64::from_be_bytes)
}

/// `RANDOMKEY`: a key of a partition drawn at random, or of the next one that has any.
pub(super) fn random_key<'a>(connection: &'a mut Connection, _: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let server = connection.server.clone();
        let mut partitions: Vec<PartitionId> = routes(&server)?
            .into_iter()
            .map(|(partition, _)| partition)
            .collect();
        let begin = random() as usize % partitions.len();
        partitions.rotate_left(begin);
        let (mut window, mut rest) = (1, partitions.as_slice());
        while !rest.is_empty() {
            let (asked, others) = rest.split_at(window.min(rest.len()));
            let database = connection.database;
            let requests: Vec<_> = asked
                .iter()
                .map(|partition| walk::pick_request(database, *partition, random()))
                .collect();
            for reply in gather(&server.runtime, requests).await? {
                if let Some(key) = walk::picked(&answered(reply)?)? {
                    connection.reply.bulk(&key);
                    return Ok(Step::Done);
                }
            }
            (window, rest) = (WINDOW_MAX.min(2 * window), others);
        }
        connection.reply.null();
        Ok(Step::Done)
    })
}

/// Partitions that are asked at the same time, at most.
pub(super) const WINDOW_MAX: usize = 64;

pub(super) fn flush_all<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(flush(connection, args, None))
}

pub(super) fn flush_database<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    let database = connection.database;
    Box::pin(flush(connection, args, Some(database)))
}

/// Removes all keys, some thousand of a partition at a time, so that others get their turn. ASYNC
/// is as SYNC: no lock is held for long in either.
async fn flush(connection: &mut Connection, args: Args<'_>, database: Option<u8>) -> Outcome {
    walk::check_flush(args)?;
    let server = connection.server.clone();
    let partitions: Vec<PartitionId> = routes(&server)?
        .into_iter()
        .map(|(partition, _)| partition)
        .collect();
    connection.written.insert(&partitions);
    for chunk in partitions.chunks(FLUSHED_AT_ONCE) {
        let mut left: Vec<(PartitionId, Option<RowKey>)> =
            chunk.iter().map(|partition| (*partition, None)).collect();
        while !left.is_empty() {
            let requests: Vec<_> = left
                .iter()
                .map(|(partition, after)| walk::flush_request(database, *partition, after.as_ref()))
                .collect();
            let replies = gather(&server.runtime, requests).await?;
            let mut further = Vec::new();
            for ((partition, _), reply) in left.into_iter().zip(replies) {
                if let Some(after) = walk::flushed(&answered(reply)?)? {
                    further.push((partition, Some(after)));
                }
            }
            left = further;
        }
    }
    connection.synced().await?;
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn swap(_: &mut Connection, _: Args<'_>) -> Outcome {
    Err(CommandError::Fixed(
        "ERR SWAPDB is not supported: databases are parts of the names of keys here, so swapping \
         two would rewrite all of their keys",
    ))
}
