//! CLUSTER LEAVE, FORGET and REPLACE: who belongs to the cluster.

use larder_cluster::layout::{Layout, LayoutError};
use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};

use super::Outcome;
use super::debug::member;
use crate::client::{Connection, Step};

/// Changes the layout, and replies `OK` when the change is on the disk of this node.
fn change(
    connection: &mut Connection,
    change: impl FnOnce(&Layout) -> Result<Layout, LayoutError>,
) -> Outcome {
    let runtime = &connection.server.runtime;
    runtime
        .node
        .change_layout(change)
        .map_err(|error| CommandError::Text(format!("ERR {error}")))?;
    runtime
        .commit()
        .map_err(|error| CommandError::DiskFailed(error.to_string()))?;
    connection.reply.ok();
    Ok(Step::Done)
}

/// `CLUSTER LEAVE [node]`.
pub(super) fn leave(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let node = match args.len() {
        2 => connection.server.runtime.node.id(),
        3 => member(&connection.server, args.at(2))?,
        _ => return Err(CommandError::WrongArity("cluster|leave")),
    };
    tracing::info!(%node, "a node is to leave the cluster");
    change(connection, |layout| layout.leave(node))
}

/// `CLUSTER FORGET node`: for a node that is lost with its disk.
pub(super) fn forget(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let node = member(&connection.server, args.at(2))?;
    if node == connection.server.runtime.node.id() {
        return Err(CommandError::Fixed(
            "ERR I tried hard but I can't forget myself...",
        ));
    }
    if connection.server.runtime.node.view().up.contains(&node) {
        return Err(CommandError::Text(format!(
            "ERR node {} is in reach: CLUSTER LEAVE lets it hand over what it has first",
            echo(args.at(2))
        )));
    }
    tracing::info!(%node, "a node is forgotten");
    change(connection, |layout| layout.forget(node))
}

/// `CLUSTER REPLACE old new`.
pub(super) fn replace(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let old = member(&connection.server, args.at(2))?;
    let new = member(&connection.server, args.at(3))?;
    if old == new {
        return Err(CommandError::Fixed("ERR a node cannot take its own place"));
    }
    if connection.server.runtime.node.view().up.contains(&old) {
        return Err(CommandError::Text(format!(
            "ERR node {} is in reach: it is not lost, so nobody takes its place",
            echo(args.at(2))
        )));
    }
    tracing::info!(%old, %new, "a node takes the place of another");
    change(connection, |layout| layout.replace(old, new))
}

pub(super) fn reset(_: &mut Connection, _: Args<'_>) -> Outcome {
    Err(CommandError::Fixed(
        "ERR a node does not forget its cluster: use CLUSTER LEAVE, then start anew with an empty \
         directory",
    ))
}
