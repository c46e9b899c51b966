//! Once faults stop, all owners of a partition hold the same, and nobody else holds anything.

use std::collections::BTreeMap;

use larder_cluster::id::PartitionId;
use larder_cluster::layout::State;
use larder_cluster::node::Node;
use larder_cluster::partition::Partition;
use larder_cluster::record::Role;
use larder_crdt::{Row, Value};

use crate::checkers::{Final, Finals, may_be_expired, rest};
use crate::disk;
use crate::documents::joined;
use crate::member::Fate;
use crate::world::World;

/// Whether the cluster is at rest; if not, what is left to be done.
///
/// # Errors
/// What is left to be done, in one sentence.
pub fn at_rest(world: &World) -> Result<(), String> {
    for (place, member) in world.members.iter().enumerate() {
        if matches!(member.fate, Fate::Crashed | Fate::Lost) {
            return Err(format!("node {place} does not run"));
        }
    }
    if let Some(token) = world.workload.unanswered() {
        return Err(format!("command {token} is not answered"));
    }
    let running = world.running();
    let Some(first) = running.first().and_then(|place| world.node(*place)) else {
        return Err("no node runs".to_owned());
    };
    let view = first.view();
    for place in &running {
        let node = world.node(*place).ok_or("a node ended")?;
        if node.view().layout != view.layout {
            return Err(format!("node {place} has another layout than the first"));
        }
    }
    if let Some((node, entry)) = view
        .layout
        .nodes()
        .find(|(_, entry)| entry.state != State::Up)
    {
        return Err(format!("{node:?} is still {:?}", entry.state));
    }
    for partition in view.layout.partitions().iter() {
        let owners = view.ownership.owners(partition);
        for place in &running {
            let node = world.node(*place).ok_or("a node ended")?;
            let owns = owners.contains(&node.id());
            let state = node.with_partition(partition, |p| copies_at_rest(&node, p, owns));
            if let Some(Err(what)) = state {
                return Err(format!("p{partition} of node {place} {what}"));
            }
        }
        compare(world, partition)?;
    }
    Ok(())
}

fn copies_at_rest(node: &Node, partition: &Partition, owns: bool) -> Result<(), String> {
    if partition.fallback.is_some() {
        return Err("still has a fallback's copy".to_owned());
    }
    if partition.staged.is_some() {
        return Err("is still being fetched".to_owned());
    }
    match (&partition.main, owns) {
        (None, true) => Err("has no copy yet".to_owned()),
        (Some(main), true) if main.role != Role::Main => Err("is not whole".to_owned()),
        (Some(_), false) => Err("still has a copy, although it is no owner".to_owned()),
        (Some(main), true) => rest::check(main, &**node.store()),
        (None, false) => Ok(()),
    }
}

/// Compares clocks and rows of all owners.
fn compare(world: &World, partition: PartitionId) -> Result<(), String> {
    let mut first: Option<(usize, Final)> = None;
    for place in world.running() {
        let node = world.node(place).ok_or("a node ended")?;
        let Some(state) = final_of(world, &node, partition) else {
            continue;
        };
        let Some((other, known)) = &first else {
            first = Some((place, state));
            continue;
        };
        if known.clock != state.clock {
            return Err(format!(
                "p{partition}: nodes {other} and {place} have seen different dots: {:?} and {:?}",
                known.clock, state.clock
            ));
        }
        let keys = known.rows.keys().chain(state.rows.keys());
        let row = |of: &Final, key| of.rows.get(key).cloned().unwrap_or_default();
        let differs = |key| !agree(world, &row(known, key), &row(&state, key));
        if keys.into_iter().any(differs) {
            let differs = difference(&known.rows, &state.rows);
            return Err(format!(
                "p{partition}: nodes {other} and {place} differ: {differs}"
            ));
        }
    }
    Ok(())
}

/// Whether two rows are the same, but for removed documents that need not be kept any longer by
/// some clock that was read: whose clock was so far ahead has forgotten them before the others, and
/// that shows nowhere.
fn agree(world: &World, a: &Row, b: &Row) -> bool {
    let forget_after_ms = world.plan.settings.document_forget_after_ms;
    let kept_until = |value: &Value| match value {
        Value::Document(document) => document.kept_until(forget_after_ms),
        _ => None,
    };
    let is_over =
        |value: &Value| kept_until(value).is_some_and(|until| until <= world.latest_unix_ms);
    let what_stays = |row: &Row| {
        let mut row = row.clone();
        row.retain(|sibling| !is_over(&sibling.value));
        row
    };
    a == b || what_stays(a) == what_stays(b) && joined(a).leaves() == joined(b).leaves()
}

fn difference<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
) -> String {
    let keys = a.keys().chain(b.keys());
    let first = keys.into_iter().find(|key| a.get(key) != b.get(key));
    first.map_or_else(String::new, |key| {
        format!("{key:?}: {:?} and {:?}", a.get(key), b.get(key))
    })
}

/// What an owner has of a partition; expired values do not count.
fn final_of(world: &World, node: &Node, partition: PartitionId) -> Option<Final> {
    let mut history = world.history.lock();
    node.with_partition(partition, |p| {
        let main = p.main.as_ref()?;
        let translation = history.translation(&main.actors);
        let clock = main.clock.translate(&translation).expect("its own actors");
        let mut finals = Final {
            clock,
            rows: BTreeMap::new(),
        };
        for (key, row) in disk::rows_of(main, &**node.store()) {
            let mut row: Row = row.translate(&translation).expect("its own actors");
            row.retain(|s| !may_be_expired(world, s.deadline.map(std::num::NonZeroU64::get)));
            if !row.is_empty() {
                finals.rows.insert(key, row);
            }
        }
        Some(finals)
    })?
}

/// The state that all owners share.
#[must_use]
pub fn finals(world: &World) -> Finals {
    let mut finals = Finals::new();
    for place in world.running() {
        let Some(node) = world.node(place) else {
            continue;
        };
        for partition in node.view().layout.partitions().iter() {
            if let Some(state) = final_of(world, &node, partition) {
                finals.entry(partition).or_insert(state);
            }
        }
    }
    finals
}

/// Writes into the trace what all nodes know of all partitions that are not at rest.
pub fn describe(world: &mut World) {
    for place in world.running() {
        if let Some(node) = world.node(place) {
            let view = node.view();
            let states: Vec<_> = view
                .layout
                .entries()
                .iter()
                .map(|(node, entry)| (node, entry.state))
                .collect();
            let text = format!(
                "{place} ({:?}) layout {states:?} up {:?}",
                node.id(),
                view.up
            );
            world.trace.line(world.now_ms, || text);
        }
    }
    for partition in world.empty_layout().partitions().iter() {
        for place in world.running() {
            let Some(node) = world.node(place) else {
                continue;
            };
            let owns = node.view().ownership.owners(partition).contains(&node.id());
            let text = node.with_partition(partition, |p| {
                let busy = copies_at_rest(&node, p, owns).err();
                let copy = |copy: &larder_cluster::copy::Copy| {
                    format!(
                        "{:?} {:?} actors {:?} clock {:?} durable {:?} log {} signer {:?} peers \
                            {:?}",
                        copy.id,
                        copy.role,
                        copy.actors
                            .iter()
                            .map(|(_, actor)| actor)
                            .collect::<Vec<_>>(),
                        copy.clock,
                        copy.durable,
                        copy.log.len(),
                        copy.signer,
                        copy.peers,
                    )
                };
                format!(
                    "p{partition} on {place} ({:?}): {busy:?}\n  main {:?}\n  fallback {:?}\n  \
                     staged {:?}\n  ready {:?}",
                    node.id(),
                    p.main.as_ref().map(copy),
                    p.fallback.as_ref().map(copy),
                    p.staged
                        .as_ref()
                        .map(|staged| (copy(&staged.copy), staged.source)),
                    p.ready
                )
            });
            world.trace.line(world.now_ms, || text.unwrap_or_default());
        }
    }
}
