//! WAIT and WAITAOF: until other nodes hold what this connection has written.
//!
//! An empty write is sent to each partition that the connection has written to, and asks the core
//! for as many durable copies as WAIT does: so the changes go out at once, and the peers' disks are
//! synced for them. Nodes that hold a change only in memory do not count, for WAIT neither: what
//! Redis calls acknowledged is durable here.

use std::time::Duration;

use larder_cluster::id::PartitionId;
use larder_cluster::request::{Reply as CoreReply, Request};
use larder_commands::args::Args;
use larder_commands::error::CommandError;
use larder_commands::internal::settle_request;
use tokio::time::Instant;

use super::Answering;
use super::across::gather;
use super::numbers::{integer, timeout};
use crate::client::{Connection, Step};

/// How long to rest when the core's patience ends before the client's.
const PAUSE: Duration = Duration::from_millis(5);

/// On how many nodes the written partitions are durable, once it is `wanted` or the time is over.
async fn copies(
    connection: &Connection,
    wanted: u8,
    deadline: Option<Instant>,
) -> Result<u8, CommandError> {
    let written: Vec<PartitionId> = connection.written.iter().collect();
    loop {
        let began = Instant::now();
        let waiting = least(connection, &written, wanted);
        let least = match deadline {
            // Whoever does not want to wait so long asks what holds now.
            Some(deadline) => match tokio::time::timeout_at(deadline, waiting).await {
                Ok(least) => least?,
                Err(_) => self::least(connection, &written, 1).await?,
            },
            None => waiting.await?,
        };
        if least >= wanted || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(least);
        }
        if began.elapsed() < PAUSE {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The least number of durable copies of any written partition, once that is `wanted` or the core's
/// patience is over.
async fn least(
    connection: &Connection,
    written: &[PartitionId],
    wanted: u8,
) -> Result<u8, CommandError> {
    let requests: Vec<Request> = written
        .iter()
        .map(|partition| settle_request(*partition, wanted))
        .collect();
    let replies = gather(&connection.server.runtime, requests).await?;
    let reached = replies.into_iter().map(|reply| match reply {
        CoreReply::Done(_) => wanted,
        CoreReply::Partial { reached, .. } => reached,
        _ => 0,
    });
    Ok(reached.min().unwrap_or(u8::MAX))
}

/// When the time of WAIT or WAITAOF is over: in a transaction at once, as nothing waits there.
fn deadline(connection: &Connection, text: &[u8]) -> Result<Option<Instant>, CommandError> {
    let ms = timeout(text)?;
    if connection.info.queued().is_some() {
        return Ok(Some(Instant::now()));
    }
    Ok((ms > 0).then(|| Instant::now() + Duration::from_millis(ms)))
}

/// How many other nodes a partition has at most.
fn others(connection: &Connection) -> u8 {
    let view = connection.server.runtime.node.view();
    let nodes = view.layout.nodes().count().min(view.layout.replicas());
    u8::try_from(nodes.saturating_sub(1)).unwrap_or(u8::MAX)
}

/// `WAIT numreplicas timeout`: the number of other nodes that hold what was written here on disk.
pub(super) fn wait<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let wanted = integer(args.at(1))?;
        let deadline = deadline(connection, args.at(2))?;
        if connection.written.is_empty() {
            connection.reply.integer(others(connection).into());
            return Ok(Step::Done);
        }
        let wanted = u8::try_from(wanted.max(0))
            .unwrap_or(u8::MAX)
            .saturating_add(1);
        let copies = copies(connection, wanted, deadline).await?;
        connection.reply.integer(copies.saturating_sub(1).into());
        Ok(Step::Done)
    })
}

/// `WAITAOF numlocal numreplicas timeout`.
pub(super) fn wait_log<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let local = integer(args.at(1))?;
        if !(0..=1).contains(&local) {
            return Err(CommandError::OutOfRange);
        }
        let wanted = integer(args.at(2))?;
        let wanted = u8::try_from(wanted).map_err(|_| CommandError::NotPositive)?;
        let deadline = deadline(connection, args.at(3))?;
        let copies = if connection.written.is_empty() {
            others(connection) + 1
        } else {
            copies(
                connection,
                wanted.saturating_add(local.unsigned_abs() as u8),
                deadline,
            )
            .await?
        };
        connection.reply.array(2);
        connection.reply.integer(i64::from(copies > 0));
        connection.reply.integer(copies.saturating_sub(1).into());
        Ok(Step::Done)
    })
}
