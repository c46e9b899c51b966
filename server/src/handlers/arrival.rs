//! CLUSTER JOIN and MEET: a node that is alone takes what it holds to another cluster.

use std::time::Duration;

use larder_cluster::layout::{Layout, LayoutError};
use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};

use super::Answering;
use crate::bridge::LayoutWanted;
use crate::client::{Connection, Step};
use crate::link::{LinkError, Links};
use crate::peers::split;
use crate::server::Server;

/// How long the other cluster may take to show itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// By how much a peer port is above the client port of its node, unless told otherwise.
const PEER_PORT_ABOVE: u16 = 10_000;

/// `CLUSTER JOIN host:port`.
pub(super) fn join<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let address = String::from_utf8_lossy(args.at(2)).into_owned();
        if split(&address).is_none_or(|(host, port)| host.is_empty() || port == 0) {
            return Err(CommandError::Text(format!(
                "ERR Invalid node address specified: {}",
                echo(args.at(2))
            )));
        }
        arrive(connection, &address).await
    })
}

/// `CLUSTER MEET ip port [bus-port]`: the same in Redis's words, which name the client port.
pub(super) fn meet<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        if args.len() > 5 {
            return Err(CommandError::WrongArity("cluster|meet"));
        }
        let host = String::from_utf8_lossy(args.at(2)).into_owned();
        let port = port(args.at(3), "base port")?;
        let peer_port = match args.get(4) {
            Some(text) => Some(self::port(text, "bus port")?),
            None => port.checked_add(PEER_PORT_ABOVE),
        };
        let invalid = || {
            CommandError::Text(format!(
                "ERR Invalid node address specified: {}:{port}",
                echo(args.at(2))
            ))
        };
        let peer_port = peer_port.filter(|_| !host.is_empty()).ok_or_else(invalid)?;
        let address = match host.contains(':') {
            true => format!("[{host}]:{peer_port}"),
            false => format!("{host}:{peer_port}"),
        };
        arrive(connection, &address).await
    })
}

fn port(text: &[u8], what: &str) -> Result<u16, CommandError> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    number
        .filter(|port| *port > 0)
        .ok_or_else(|| CommandError::Text(format!("ERR Invalid {what} specified: {}", echo(text))))
}

/// Joins the cluster of the node at `address`, and replies `OK` when that is on the disk.
async fn arrive(connection: &mut Connection, address: &str) -> Result<Step, CommandError> {
    let server = connection.server.clone();
    let node = &server.runtime.node;
    // Looked at before anybody is asked, for the sake of a clear answer.
    let view = node.view();
    if view.layout.entry(node.id()).is_some() && view.layout.nodes().count() > 1 {
        return Err(refusal(&LayoutError::NotAlone));
    }
    let Some(_moving) = Moving::begin(&server) else {
        return Err(CommandError::Fixed(
            "ERR this node is just about to join another cluster",
        ));
    };
    let theirs = ask(&server.links, address).await?;
    let clock = &server.runtime.clock;
    node.join_cluster(&theirs, clock.now())
        .map_err(|error| refusal(&error))?;
    tracing::info!(%address, "joins a cluster with what it holds");
    let failed =
        |error: larder_cluster::store::StoreError| CommandError::DiskFailed(error.to_string());
    server.runtime.commit().map_err(failed)?;
    // The peers will know this node as one of theirs: it must know so itself after a power cut.
    server.runtime.synced().await.map_err(failed)?;
    node.follow_layout();
    server.runtime.commit().map_err(failed)?;
    connection.reply.ok();
    Ok(Step::Done)
}

/// The layout of the cluster that the node at `address` belongs to.
async fn ask(links: &Links, address: &str) -> Result<Layout, CommandError> {
    let (wanted, found) = LayoutWanted::new();
    let failed = |error: LinkError| CommandError::Text(format!("ERR {}", explain(&error, address)));
    let visit = links.of_stranger(wanted).map_err(failed)?;
    let answer = match visit.dial_once(address).await {
        Ok(_) => match tokio::time::timeout(PATIENCE, found).await {
            Ok(Ok(layout)) => Ok(layout),
            Ok(Err(_)) | Err(_) => Err(CommandError::Text(format!(
                "ERR the node at {address} does not show its cluster: it may be about to join \
                 another one itself"
            ))),
        },
        Err(error) => Err(failed(error)),
    };
    visit.close().await;
    answer
}

/// What went wrong, for somebody who has just typed the address.
fn explain(error: &LinkError, address: &str) -> String {
    match error {
        LinkError::Io(error) => format!("cannot reach {address}: {error}"),
        LinkError::Myself => format!("{address} is this node itself"),
        LinkError::WrongSecret => {
            format!("the node at {address} has another cluster secret")
        }
        // A Redis's error, or that of a client port, begins with a minus.
        LinkError::Refused(reason) if !reason.starts_with('-') => {
            format!("the node at {address} refuses: {reason}")
        }
        _ => format!(
            "no node answers at {address} ({error}); a node is joined by its peer port, which is \
             its client port + {PEER_PORT_ABOVE} unless set otherwise"
        ),
    }
}

fn refusal(error: &LayoutError) -> CommandError {
    let advice = match error {
        LayoutError::NotAlone => {
            ". Send CLUSTER JOIN to the node that is to move, or let this one leave first"
        }
        LayoutError::OtherPartitions { .. } => {
            ". Start an empty node with --join, and copy the data by a client"
        }
        LayoutError::HasLeft => ". Start it with an empty directory and --join",
        _ => "",
    };
    CommandError::Text(format!("ERR {error}{advice}"))
}

/// Ends when the node is in the other cluster, or will not be.
struct Moving<'a>(&'a Server);

impl<'a> Moving<'a> {
    fn begin(server: &'a Server) -> Option<Self> {
        server.runtime.node.set_moving(true).then_some(Self(server))
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.runtime.node.set_moving(false);
    }
}
