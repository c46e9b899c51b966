//! Drives commands whose keys live on several nodes: what is asked of whom, and in which order, is
//! the business of [`Scatter`].

use bytes::Bytes;
use larder_cluster::node::Route;
use larder_cluster::request::{Access, Reply as CoreReply};
use larder_commands::args::OwnedArgs;
use larder_commands::plan::Plan;
use larder_commands::reply::Reply;
use larder_commands::scatter::Scatter;

use super::Outcome;
use super::across::gather;
use crate::client::{Connection, Step, write_core_reply};
use crate::settings::value::ReadsWithoutReplica;

/// Runs a command whose keys live on several nodes. Each node's part is atomic, the whole is not:
/// hash tags give atomicity.
pub(crate) async fn spread(connection: &mut Connection, args: &OwnedArgs, plan: &Plan) -> Outcome {
    let server = connection.server.clone();
    let settings = server.settings();
    let is_blind = settings.reads_without_replica == ReadsWithoutReplica::Nil;
    let now = server.runtime.clock.now();
    // This node is 0, the others count from 1 in the order of their ids.
    let view = server.runtime.node.view();
    let node_of = |partition| match server.runtime.node.route(partition, now) {
        Route::Here => 0,
        Route::There(node) => {
            let at = view.layout.nodes().position(|(other, _)| other == node);
            at.map_or(u64::MAX, |at| at as u64 + 1)
        }
    };
    let protocol = connection.reply.protocol();
    let (mut scatter, mut requests) = Scatter::begin(
        plan,
        args.as_args(),
        connection.database,
        protocol,
        server.partitions,
        &node_of,
    )?;
    if plan.access() == Access::Write {
        connection.written.insert(&plan.partitions);
    }
    while !requests.is_empty() {
        for request in &mut requests {
            request.blind = is_blind;
        }
        let replies = gather(&server.runtime, requests).await?;
        let answers: Vec<Bytes> = replies
            .into_iter()
            .map(|reply| answer(reply, protocol))
            .collect();
        requests = scatter.gather(&answers, &mut connection.reply);
    }
    if plan.access() == Access::Write {
        connection.synced().await?;
    }
    Ok(Step::Done)
}

/// The bytes of an answer, or of the error that stands in its place.
fn answer(reply: CoreReply, protocol: larder_commands::reply::Protocol) -> Bytes {
    match reply {
        CoreReply::Done(bytes) => bytes,
        other => {
            let mut error = Reply::new(protocol);
            write_core_reply(&mut error, other);
            error.into_vec().into()
        }
    }
}
