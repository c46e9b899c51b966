//! CLUSTER RING, PEERS and LAG: what operators want to know of the ring.

use larder_cluster::id::NodeId;
use larder_cluster::layout::State;
use larder_commands::args::Args;
use larder_commands::error::CommandError;
use larder_commands::reply::Reply;

use super::counts::copies;
use super::{Outcome, lag as lags};
use crate::client::{Connection, Step};
use crate::server::Server;

/// What is known of one member.
pub(super) struct Member {
    pub(super) node: NodeId,
    /// Where peers reach it.
    pub(super) address: String,
    /// Where clients reach it; empty if it has not told.
    pub(super) clients: String,
    pub(super) state: &'static str,
    /// `up`, `suspect` or `down`, as seen from here.
    pub(super) reach: &'static str,
    pub(super) zone: String,
    pub(super) weight: u32,
    pub(super) primaries: usize,
    pub(super) copies: usize,
    /// Its part of all partitions.
    pub(super) share: f64,
    pub(super) is_myself: bool,
}

/// The word of a state.
pub(super) fn state_word(state: State) -> &'static str {
    match state {
        State::Joining => "joining",
        State::Up => "up",
        State::Leaving => "leaving",
        State::Left => "left",
    }
}

/// All members, by id.
pub(super) fn members(server: &Server) -> Vec<Member> {
    let node = &server.runtime.node;
    let view = node.view();
    let linked: Vec<NodeId> = server.links.list().iter().map(|link| link.peer).collect();
    let (current, next) = (view.ownership.shares(), view.ownership.next_shares());
    let member = |id: NodeId| {
        let is_myself = id == node.id();
        let reach = if view.up.contains(&id) {
            "up"
        } else if linked.contains(&id) {
            "suspect"
        } else {
            "down"
        };
        // A node that is joining has no share yet, but one to come.
        let share = current
            .get(&id)
            .or_else(|| next.get(&id))
            .copied()
            .unwrap_or_default();
        (is_myself, reach, share)
    };
    let all = server.partitions.count() as f64;
    view.layout
        .nodes()
        .map(|(id, entry)| {
            let (is_myself, reach, share) = member(id);
            Member {
                node: id,
                address: entry.address.clone(),
                clients: server.peers.client_address(id).unwrap_or_default(),
                state: state_word(entry.state),
                reach,
                zone: entry.zone.clone(),
                weight: entry.weight,
                primaries: share.primaries,
                copies: share.copies,
                share: share.primaries as f64 / all,
                is_myself,
            }
        })
        .collect()
}

fn text_row(reply: &mut Reply, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number_row(reply: &mut Reply, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
}

/// `CLUSTER RING [DRAW]`.
pub(super) fn ring(connection: &mut Connection, args: Args<'_>) -> Outcome {
    let members = members(&connection.server);
    match args.get(2) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case(b"draw") && args.len() == 3 => {
            let text = draw(&connection.server, &members);
            connection.reply.verbatim(*b"txt", text.as_bytes());
            return Ok(Step::Done);
        }
        Some(_) => return Err(CommandError::Syntax),
    }
    let reply = &mut connection.reply;
    reply.array(members.len());
    for member in &members {
        reply.map(11);
        text_row(reply, "id", &member.node.to_string());
        text_row(reply, "myself", if member.is_myself { "yes" } else { "no" });
        text_row(reply, "address", &member.address);
        text_row(reply, "clients", &member.clients);
        text_row(reply, "state", member.state);
        text_row(reply, "reach", member.reach);
        text_row(reply, "zone", &member.zone);
        number_row(reply, "weight", member.weight.into());
        number_row(reply, "primaries", member.primaries as u64);
        number_row(reply, "copies", member.copies as u64);
        reply.bulk(b"share");
        reply.double(member.share);
    }
    Ok(Step::Done)
}

/// Columns of the picture.
const PICTURE_WIDTH: usize = 64;
/// Rows of the picture.
const PICTURE_ROWS: usize = 8;

/// The ring as a picture: who leads which part of it, and a line for each node.
fn draw(server: &Server, members: &[Member]) -> String {
    let view = server.runtime.node.view();
    let letter = |at: usize| (b'A' + (at % 26) as u8) as char;
    let partitions: Vec<_> = server.partitions.iter().collect();
    let cells = (PICTURE_WIDTH * PICTURE_ROWS).min(partitions.len());
    let mut text = format!(
        "{} partitions, {} replicas; each letter is the node that leads that part of the ring\n\n",
        partitions.len(),
        view.layout.replicas(),
    );
    for cell in 0..cells {
        let primary = partitions
            .get(cell * partitions.len() / cells)
            .and_then(|partition| view.ownership.preference(*partition).first());
        let at = members
            .iter()
            .position(|member| Some(&member.node) == primary);
        text.push(at.map_or('.', letter));
        if cell % PICTURE_WIDTH == PICTURE_WIDTH - 1 || cell == cells - 1 {
            text.push('\n');
        }
    }
    text.push('\n');
    for (at, member) in members.iter().enumerate() {
        let bar = "#".repeat((member.share * 40.0).round() as usize);
        let state = if member.state == "up" {
            member.reach
        } else {
            member.state
        };
        let myself = if member.is_myself {
            "  (this node)"
        } else {
            ""
        };
        text.push_str(&format!(
            "{}  {:.8}  {:<21}  {:<8} {:5.1} %  {:4} led  {:4} copies  {bar}{myself}\n",
            letter(at),
            member.node.to_string(),
            if member.clients.is_empty() {
                &member.address
            } else {
                &member.clients
            },
            state,
            member.share * 100.0,
            member.primaries,
            member.copies,
        ));
    }
    text
}

/// `CLUSTER PEERS`: the links with the other members.
pub(super) fn peers(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let server = connection.server.clone();
    let (links, faults) = (server.links.list(), server.links.faults());
    let members = members(&server);
    let others: Vec<&Member> = members.iter().filter(|member| !member.is_myself).collect();
    let reply = &mut connection.reply;
    reply.array(others.len());
    for member in others {
        let link = links.iter().find(|link| link.peer == member.node);
        let fault = faults.get(&member.node).copied().unwrap_or_default();
        let about = server.peers.about(member.node).unwrap_or_default();
        reply.map(10);
        text_row(reply, "id", &member.node.to_string());
        text_row(reply, "address", &member.address);
        text_row(reply, "clients", &member.clients);
        text_row(reply, "state", member.reach);
        text_row(reply, "link", if link.is_some() { "up" } else { "down" });
        text_row(
            reply,
            "dialled-by",
            match link {
                Some(link) if link.is_dialled => "me",
                Some(_) => "peer",
                None => "",
            },
        );
        number_row(
            reply,
            "queued-bytes",
            link.map_or(0, |link| link.queued_bytes as u64),
        );
        let round_trip_us = link.map_or(0, |link| link.round_trip_us);
        number_row(reply, "round-trip-us", round_trip_us);
        let fault = match (fault.is_cut, fault.delay_ms) {
            (true, _) => "cut".to_owned(),
            (false, 0) => String::new(),
            (false, delay_ms) => format!("delay {delay_ms}"),
        };
        text_row(reply, "fault", &fault);
        text_row(reply, "version", &about.version);
    }
    Ok(Step::Done)
}

/// `CLUSTER LAG`: what the other members lack of this node's copies.
pub(super) fn lag(connection: &mut Connection, _: Args<'_>) -> Outcome {
    let lags = lags::of_peers(&connection.server);
    let view = connection.server.runtime.node.view();
    let reply = &mut connection.reply;
    reply.map(6);
    number_row(reply, "missing-here", copies(&connection.server).missing);
    number_row(
        reply,
        "whole-partitions",
        lags.values().map(|lag| lag.whole).sum(),
    );
    number_row(
        reply,
        "partitions",
        lags.values().map(|lag| lag.partitions).sum(),
    );
    number_row(reply, "changes", lags.values().map(|lag| lag.dots).sum());
    number_row(
        reply,
        "for-ms",
        lags.values().map(|lag| lag.for_ms).max().unwrap_or(0),
    );
    reply.bulk(b"peers");
    reply.array(lags.len());
    for (node, lag) in &lags {
        reply.map(6);
        text_row(reply, "id", &node.to_string());
        text_row(
            reply,
            "reach",
            if view.up.contains(node) { "up" } else { "down" },
        );
        number_row(reply, "whole-partitions", lag.whole);
        number_row(reply, "partitions", lag.partitions);
        number_row(reply, "changes", lag.dots);
        number_row(reply, "for-ms", lag.for_ms);
    }
    Ok(Step::Done)
}
