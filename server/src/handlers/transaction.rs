//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! What WATCH remembers are versions (`cluster/src/version.rs`): no node keeps a list of watchers.
//! EXEC brings them along, and they are compared where the commands run, under the same locks.

mod exec;

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_cluster::node::{LocalCall, Route};
use larder_cluster::request::{Access, Reply as CoreReply};
use larder_cluster::version::{Version, version};
use larder_commands::args::Args;
use larder_commands::batch::{WatchedKey, versions, versions_request};
use larder_commands::error::CommandError;
use larder_commands::plan::plan;

pub(super) use exec::{exec_away, exec_here};

use super::across::gather;
use super::keyspace::answered;
use super::{Answering, Outcome};
use crate::client::{Batch, Connection, Step};
use crate::limits::WATCHED_KEYS_MAX;
use crate::settings::value::ReadsWithoutReplica;

pub(super) fn multi(connection: &mut Connection, _: Args<'_>) -> Outcome {
    if connection.multi.is_some() {
        return Err(CommandError::NestedMulti);
    }
    connection.begin_transaction();
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn discard(connection: &mut Connection, _: Args<'_>) -> Outcome {
    if connection.multi.is_none() {
        return Err(CommandError::WithoutMulti("DISCARD"));
    }
    connection.end_transaction();
    connection.reply.ok();
    Ok(Step::Done)
}

pub(super) fn unwatch(connection: &mut Connection, _: Args<'_>) -> Outcome {
    connection.watched.clear();
    connection.reply.ok();
    Ok(Step::Done)
}

/// The keys of a WATCH that are not watched yet, each once.
fn fresh_keys(connection: &Connection, args: Args<'_>) -> Result<Vec<Bytes>, CommandError> {
    if connection.multi.is_some() {
        return Err(CommandError::WatchInMulti);
    }
    let database = connection.database;
    let mut keys: Vec<Bytes> = Vec::new();
    for at in 1..args.len() {
        let key = args.at(at);
        let mut watched = connection.watched().iter();
        let is_known = watched.any(|known| known.database == database && known.key == key);
        if !is_known && !keys.iter().any(|known| known == key) {
            keys.push(args.to_bytes(at));
        }
    }
    if connection.watched().len() + keys.len() > WATCHED_KEYS_MAX {
        return Err(CommandError::Text(format!(
            "ERR a connection watches at most {WATCHED_KEYS_MAX} keys"
        )));
    }
    Ok(keys)
}

fn watch_from_now(connection: &mut Connection, keys: Vec<Bytes>, versions: Vec<Version>) {
    let database = connection.database;
    let watched = keys.into_iter().zip(versions);
    connection
        .watched
        .extend(watched.map(|(key, version)| WatchedKey {
            database,
            key,
            version,
        }));
}

/// `WATCH key…` where this node leads all keys.
pub(super) fn watch_here(
    connection: &mut Connection,
    args: Args<'_>,
    batch: &mut Batch<'_>,
) -> Outcome {
    let keys = fresh_keys(connection, args)?;
    let plan = plan(args, connection.server.partitions)?;
    let call = LocalCall {
        partitions: &plan.partitions,
        access: Access::Read,
        grouped: false,
    };
    let database = connection.database;
    let looked = batch.run_local(&call, |transaction| {
        let mut versions = Vec::with_capacity(keys.len());
        for key in &keys {
            let place = transaction.place(database, key, b"");
            versions.push(version(transaction, &place)?);
        }
        Ok::<_, CommandError>(versions)
    });
    let versions = match looked {
        Ok(versions) => versions?,
        Err(_) => return Ok(Step::Alone),
    };
    watch_from_now(connection, keys, versions);
    connection.reply.ok();
    Ok(Step::Done)
}

/// `WATCH key…` where other nodes lead some of the keys: each is asked for its own.
pub(super) fn watch_away<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let keys = fresh_keys(connection, args)?;
        let server = connection.server.clone();
        let (node, now) = (&server.runtime.node, server.runtime.clock.now());
        let mut by_node: BTreeMap<Route, Vec<Bytes>> = BTreeMap::new();
        for key in keys {
            let partition = larder_cluster::token::key_token(&key).partition(server.partitions);
            by_node
                .entry(node.route(partition, now))
                .or_default()
                .push(key);
        }
        let is_blind = server.settings().reads_without_replica == ReadsWithoutReplica::Nil;
        let requests: Vec<_> = by_node
            .values()
            .map(|keys| {
                let mut request = versions_request(connection.database, keys, server.partitions);
                request.blind = is_blind;
                request
            })
            .collect();
        let replies = gather(&server.runtime, requests).await?;
        let found: Vec<Vec<Version>> = replies
            .into_iter()
            .map(|reply: CoreReply| versions(&answered(reply)?))
            .collect::<Result<_, CommandError>>()?;
        for (keys, versions) in by_node.into_values().zip(found) {
            watch_from_now(connection, keys, versions);
        }
        connection.reply.ok();
        Ok(Step::Done)
    })
}
