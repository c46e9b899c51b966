//! LEXPLAIN: how a key is stored and where.

use larder_cluster::partition::Target;
use larder_cluster::token::key_token;
use larder_cluster::transaction::Place;
use larder_crdt::{Clock, Row, Sibling};

use crate::call::Call;
use crate::collection;
use crate::error::CommandError;
use crate::reply::Reply;

pub(super) fn lexplain(call: &mut Call<'_, '_, '_>) -> Result<(), CommandError> {
    let place = call.place(1);
    let row = call.row(&place)?.clone();
    let (kind, ends) = collection::shown(call.transaction, &place, call.now_ms)?;
    let actors = actors_of(call, &place, &row);
    call.reply.map(10);
    field(call.reply, "key", call.args.at(1));
    call.reply.bulk(b"database");
    call.reply.integer(i64::from(call.database));
    field(
        call.reply,
        "token",
        key_token(call.args.at(1)).to_string().as_bytes(),
    );
    call.reply.bulk(b"partition");
    call.reply.integer(i64::from(place.partition.0));
    call.reply.bulk(b"preference");
    preference(call, &place);
    field(call.reply, "type", kind.word().as_bytes());
    call.reply.bulk(b"deadline");
    deadline(call.reply, ends);
    call.reply.bulk(b"siblings");
    call.reply.array(row.siblings().len());
    for (sibling, actor) in row.siblings().iter().zip(&actors) {
        explain_sibling(call, sibling, actor);
    }
    call.reply.bulk(b"replicas");
    let agreed = replicas(call, &place, &row);
    call.reply.bulk(b"agreed-since");
    match (agreed, row.latest_stamp().ms()) {
        (true, ms) if ms > 0 => call.reply.integer(i64::try_from(ms).unwrap_or(i64::MAX)),
        _ => call.reply.null(),
    }
    Ok(())
}

fn field(reply: &mut Reply, name: &str, value: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(value);
}

fn deadline(reply: &mut Reply, deadline: Option<std::num::NonZeroU64>) {
    match deadline {
        Some(ms) => reply.integer(i64::try_from(ms.get()).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
}

/// The full name of the actor of each sibling's dot.
fn actors_of(call: &mut Call<'_, '_, '_>, place: &Place, row: &Row) -> Vec<String> {
    let (partition, target) = call.transaction.partition(place.partition);
    let copy = match target {
        Target::Main => partition.main.as_ref(),
        Target::Fallback => partition.fallback.as_ref(),
    };
    let dots = row.siblings().iter().map(|sibling| sibling.dot);
    let name = |dot: larder_crdt::Dot| match copy {
        Some(copy) => format!("{}:{}", copy.actors.actor(dot.actor()), dot.counter()),
        None => String::new(),
    };
    dots.map(name).collect()
}

/// The nodes of the preference list, first the primary, each with what is known of it.
fn preference(call: &mut Call<'_, '_, '_>, place: &Place) {
    let env = call.transaction.env();
    let nodes = env.view.ownership.preference(place.partition).to_vec();
    let states: Vec<_> = nodes
        .iter()
        .map(|node| match *node == env.node {
            true => "here",
            false if env.view.up.contains(node) => "up",
            false => "out of reach",
        })
        .collect();
    call.reply.array(nodes.len());
    for (node, state) in nodes.iter().zip(states) {
        call.reply.map(2);
        field(call.reply, "node", node.to_string().as_bytes());
        field(call.reply, "state", state.as_bytes());
    }
}

fn explain_sibling(call: &mut Call<'_, '_, '_>, sibling: &Sibling, dot: &str) {
    let kind: &[u8] = match &sibling.value {
        larder_crdt::Value::Register(_) => b"register",
        larder_crdt::Value::Counter(_) => b"counter",
        larder_crdt::Value::Document(_) => b"document",
        larder_crdt::Value::Score(_) => b"score",
        larder_crdt::Value::HyperLogLog(_) => b"hyperloglog",
        larder_crdt::Value::Mask(_) => b"mask",
    };
    call.reply.map(6);
    field(call.reply, "dot", dot.as_bytes());
    field(call.reply, "kind", kind);
    field(
        call.reply,
        "reset",
        if sibling.value.is_reset() {
            b"yes"
        } else {
            b"no"
        },
    );
    call.reply.bulk(b"stamp-ms");
    call.reply
        .integer(i64::try_from(sibling.stamp.ms()).unwrap_or(i64::MAX));
    call.reply.bulk(b"deadline");
    deadline(call.reply, sibling.deadline);
    call.reply.bulk(b"bytes");
    call.reply.count(sibling.value.heap_bytes());
}

/// What each other owner holds durably of the row; says whether all hold all of it.
fn replicas(call: &mut Call<'_, '_, '_>, place: &Place, row: &Row) -> bool {
    let owners: Vec<_> = call
        .transaction
        .env()
        .other_owners(place.partition)
        .collect();
    let (partition, target) = call.transaction.partition(place.partition);
    let copy = match target {
        Target::Main => partition.main.as_ref(),
        Target::Fallback => partition.fallback.as_ref(),
    };
    let holds = |durable: &Clock, own: &Clock| {
        let dots = row.siblings().iter().map(|sibling| sibling.dot);
        // A removal leaves no dot to look for.
        if row.is_empty() {
            durable.covers(own)
        } else {
            dots.into_iter().all(|dot| durable.contains(dot))
        }
    };
    let known: Vec<_> = owners
        .iter()
        .map(|owner| {
            let peer = copy.and_then(|copy| copy.peers.get(owner).map(|peer| (copy, peer)));
            match peer.filter(|(_, peer)| peer.copy.is_some()) {
                Some((copy, peer)) if holds(&peer.durable, &copy.clock) => "agrees",
                Some(_) => "behind",
                None => "unknown",
            }
        })
        .collect();
    call.reply.array(owners.len());
    for (owner, state) in owners.iter().zip(&known) {
        call.reply.map(2);
        field(call.reply, "node", owner.to_string().as_bytes());
        field(call.reply, "state", state.as_bytes());
    }
    known.iter().all(|state| *state == "agrees")
}
