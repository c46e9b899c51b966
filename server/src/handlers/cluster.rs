//! CLUSTER in Redis's words: what clients of Redis clusters ask.

use larder_cluster::id::NodeId;
use larder_commands::args::Args;
use larder_commands::error::{CommandError, echo};
use larder_commands::reply::Reply;

use super::Outcome;
use super::ring::{Member, members};
use super::slots::{Holder, SLOTS, holders};
use crate::client::{Connection, Step};
use crate::peers::split;

pub(super) fn info(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let server = connection.server.clone();
    let members = members(&server);
    let count = |reach: &str| {
        members
            .iter()
            .filter(|member| member.reach == reach)
            .count()
    };
    let version = server.runtime.node.layout_version();
    let stats = server.links.stats();
    let load =
        |number: &std::sync::atomic::AtomicU64| number.load(std::sync::atomic::Ordering::Relaxed);
    // Whoever is reached takes every write, so the cluster is never down.
    let text = format!(
        "cluster_state:ok\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{}\r\n\
         cluster_size:{}\r\ncluster_current_epoch:{version}\r\ncluster_my_epoch:{version}\r\n\
         cluster_stats_messages_sent:{}\r\ncluster_stats_messages_received:{}\r\n\
         total_cluster_links_buffer_limit_exceeded:{}\r\nlarder_nodes_up:{}\r\n\
         larder_nodes_suspect:{}\r\nlarder_nodes_down:{}\r\n",
        members.len(),
        members.len(),
        load(&stats.sent_messages),
        load(&stats.received_messages),
        load(&stats.queues_full),
        count("up"),
        count("suspect"),
        count("down"),
    );
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

pub(super) fn my_id(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let id = connection.server.runtime.node.id().to_redis();
    connection.reply.bulk(id.as_bytes());
    Ok(Step::Done)
}

/// The line of CLUSTER NODES.
fn line(member: &Member, holders: &[Holder], epoch: u64) -> String {
    let holder = holders.iter().find(|holder| holder.node == member.node);
    let (host, port) = match (holder, split(&member.clients)) {
        (Some(holder), _) => (holder.host.clone(), holder.port),
        (None, Some((host, port))) => (host.to_owned(), port),
        (None, None) => (
            split(&member.address).map_or(String::new(), |(host, _)| host.to_owned()),
            0,
        ),
    };
    let peer_port = split(&member.address).map_or(0, |(_, port)| port);
    let flags = match (member.is_myself, member.reach) {
        (true, _) => "myself,master",
        (false, "up") => "master",
        (false, "suspect") => "master,fail?",
        (false, _) => "master,fail",
    };
    let link = if member.reach == "down" {
        "disconnected"
    } else {
        "connected"
    };
    let slots = holder.map_or(String::new(), |holder| {
        format!(" {}-{}", holder.slots.0, holder.slots.1)
    });
    let id = member.node.to_redis();
    format!("{id} {host}:{port}@{peer_port} {flags} - 0 0 {epoch} {link}{slots}\n")
}

pub(super) fn nodes(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let server = connection.server.clone();
    let holders = holders(&server);
    let epoch = server.runtime.node.layout_version();
    let text: String = members(&server)
        .iter()
        .map(|member| line(member, &holders, epoch))
        .collect();
    connection.reply.verbatim(*b"txt", text.as_bytes());
    Ok(Step::Done)
}

pub(super) fn slots(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let holders = holders(&connection.server);
    let reply = &mut connection.reply;
    reply.array(holders.len());
    for holder in &holders {
        reply.array(3);
        reply.count(holder.slots.0);
        reply.count(holder.slots.1);
        reply.array(4);
        reply.bulk(holder.host.as_bytes());
        reply.integer(holder.port.into());
        reply.bulk(holder.node.to_redis().as_bytes());
        reply.array(0);
    }
    Ok(Step::Done)
}

fn pair(reply: &mut Reply, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

pub(super) fn shards(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let holders = holders(&connection.server);
    let reply = &mut connection.reply;
    reply.array(holders.len());
    for holder in &holders {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2);
        reply.count(holder.slots.0);
        reply.count(holder.slots.1);
        reply.bulk(b"nodes");
        reply.array(1);
        reply.map(7);
        pair(reply, "id", &holder.node.to_redis());
        reply.bulk(b"port");
        reply.integer(holder.port.into());
        pair(reply, "ip", &holder.host);
        pair(reply, "endpoint", &holder.host);
        pair(reply, "role", "master");
        reply.bulk(b"replication-offset");
        reply.integer(0);
        pair(reply, "health", "online");
    }
    Ok(Step::Done)
}

/// The links, each seen once: both directions share a connection.
pub(super) fn links(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let links = connection.server.links.list();
    let reply = &mut connection.reply;
    reply.array(links.len());
    for link in links {
        reply.map(6);
        pair(
            reply,
            "direction",
            if link.is_dialled { "to" } else { "from" },
        );
        pair(reply, "node", &link.peer.to_redis());
        reply.bulk(b"create-time");
        reply.integer(0);
        pair(reply, "events", "rw");
        reply.bulk(b"send-buffer-allocated");
        reply.count(link.queued_bytes);
        reply.bulk(b"send-buffer-used");
        reply.count(link.queued_bytes);
    }
    Ok(Step::Done)
}

/// Nodes judge for themselves who is in reach, so there are no reports.
pub(super) fn failure_reports(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let text = String::from_utf8_lossy(args.at(2)).to_ascii_lowercase();
    let view = connection.server.runtime.node.view();
    let known = NodeId::from_hex(&text).filter(|node| view.layout.entry(*node).is_some());
    if known.is_none() {
        return Err(CommandError::Text(format!(
            "ERR Unknown node {}",
            echo(args.at(2))
        )));
    }
    connection.reply.integer(0);
    Ok(Step::Done)
}
