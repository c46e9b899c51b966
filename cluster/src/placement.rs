//! Which tokens a node chooses when it joins, and who inherits those of a node that leaves.
//!
//! Both decisions are made once, by whoever makes the change, from the ring that it sees; the
//! result is written into the layout as plain tokens, and no other node ever repeats the choice.
//! `plan.rs` says which partitions change hands; here that becomes points on the ring:
//!
//! ```text
//!   one partition     ├──────────┬───────────────┬──────────────────────────┤
//!                                │               │
//!                a joining node plants its       the first token, of the present primary
//!                token in front of the first
//!
//!   one partition     ├──────────┬───────────────┬──────────────────────────┤
//!                                │               │
//!                the token of the leaving node   its heir plants behind it, in front of the next
//! ```
//!
//! Where in the gap is drawn from a hash of the node and the partition, so that nodes that join on
//! both sides of a cut do not meet on one point. If a gap has become too small for that, the
//! tokens of the partition are spread out again in their order, which moves no data.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeId, PartitionId, Token};
use crate::layout::{Entry, Layout, State, next_version};
use crate::plan::Plan;
use crate::ring::Ring;
use crate::token::{md5_number, partition_at};

/// The nodes that will hold the data when everything under way is done.
const STAYING: [State; 2] = [State::Up, State::Joining];

/// Draws of a point within its gap.
const DRAWS: u128 = 1 << 16;
/// A gap narrower than this has no room for all draws.
const GAP_MIN: u128 = DRAWS * 8;

/// Gives `node`, which is in `layout` without tokens, its even share of the ring.
pub(crate) fn choose_tokens(layout: &mut Layout, node: NodeId) {
    let before = layout.clone();
    let ring = Ring::of(layout, &STAYING);
    let member = position(&ring, node);
    let mut chosen = if ring.slots.is_empty() {
        (0..layout.partitions.count()).collect()
    } else {
        Plan::new(ring, layout.replicas, None).choose_for(member, candidates(layout, node))
    };
    chosen.sort_unstable();
    for index in chosen {
        plant(layout, node, partition_at(index), gap_in_front);
    }
    raise_versions(layout, &before);
}

/// Lets `node`, which is joining, choose its tokens again, if the ring is uneven without those that
/// join behind it, and less so afterwards.
pub(crate) fn choose_anew(layout: &Layout, node: NodeId) -> Option<Layout> {
    let mut chosen = layout.clone();
    let is_behind =
        |(other, entry): &(NodeId, &Entry)| entry.state == State::Joining && *other > node;
    let behind = layout.nodes().filter(is_behind);
    for (other, _) in behind.clone() {
        chosen.entries.remove(&other);
    }
    let present = shares(&chosen);
    if present.are_even() {
        return None;
    }
    tokens_mut(&mut chosen, node).clear();
    choose_tokens(&mut chosen, node);
    if shares(&chosen).cost_of_shares() >= present.cost_of_shares() {
        return None;
    }
    let behind = behind.map(|(other, entry)| (other, entry.clone()));
    chosen.entries.extend(behind);
    Some(chosen)
}

/// What each node will hold.
fn shares(layout: &Layout) -> Plan {
    let ring = Ring::of(layout, &STAYING);
    Plan::new(ring, layout.replicas, None).with_lists()
}

/// Gives each partition that `node` leads to the heir that keeps the shares of the rest even.
pub(crate) fn choose_heirs(layout: &mut Layout, node: NodeId) {
    let before = layout.clone();
    let ring = Ring::of(layout, &STAYING);
    if ring.slots.is_empty() {
        return;
    }
    let leaver = position(&ring, node);
    let members: Vec<NodeId> = ring.members.iter().map(|member| member.node).collect();
    let mut heirs = Plan::new(ring, layout.replicas, Some(leaver))
        .choose_heirs_of(leaver, &candidates(layout, node));
    heirs.sort_unstable();
    drop_useless_tokens(
        layout,
        node,
        heirs.iter().map(|(_, heir)| members[*heir]).collect(),
    );
    for (index, heir) in heirs {
        plant(layout, members[heir], partition_at(index), |tokens| {
            gap_behind(tokens, node)
        });
    }
    raise_versions(layout, &before);
}

fn position(ring: &Ring, node: NodeId) -> usize {
    let found = ring
        .members
        .binary_search_by_key(&node, |member| member.node);
    found.expect("the caller has put the node on the ring")
}

/// All partitions, in an order of the node's own.
fn candidates(layout: &Layout, node: NodeId) -> Vec<usize> {
    let partitions = 0..layout.partitions.count();
    let mut order: Vec<(u128, usize)> = partitions
        .map(|index| (draw(node, partition_at(index)), index))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

/// A number that looks random, but is the same wherever it is computed.
fn draw(node: NodeId, partition: PartitionId) -> u128 {
    let mut bytes = [0; 18];
    let (id, number) = bytes.split_at_mut(16);
    id.copy_from_slice(&node.0.to_be_bytes());
    number.copy_from_slice(&partition.0.to_be_bytes());
    md5_number(&bytes)
}

fn raise_versions(layout: &mut Layout, before: &Layout) {
    for (node, entry) in &mut layout.entries {
        let unchanged = before
            .entries
            .get(node)
            .is_none_or(|old| old.tokens == entry.tokens);
        if !unchanged {
            entry.tokens_version = next_version(entry.tokens_version);
        }
    }
}

/// Tokens behind that of a node that is up will not wake, because that node's heirs will plant
/// before them. Without this, tokens would gather with every join and departure. It spares what
/// sleeps behind the leaver or a joining node, who may give up.
fn drop_useless_tokens(layout: &mut Layout, leaver: NodeId, of: BTreeSet<NodeId>) {
    let mut first: BTreeMap<PartitionId, (Token, NodeId)> = BTreeMap::new();
    for (node, entry) in layout.nodes() {
        if entry.state == State::Up && node != leaver {
            for token in &entry.tokens {
                let partition = token.partition(layout.partitions);
                let first = first.entry(partition).or_insert((*token, node));
                *first = (*first).min((*token, node));
            }
        }
    }
    let partitions = layout.partitions;
    for node in of {
        let wakes = |token: &Token| {
            let first = first.get(&token.partition(partitions));
            first.is_none_or(|first| (*token, node) <= *first)
        };
        tokens_mut(layout, node).retain(wakes);
    }
}

/// A token in some partition, and what is known of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Planted {
    token: Token,
    node: NodeId,
    stays: bool,
}

/// The tokens between which a new one goes; `None` stands for the end of the partition.
type Gap = (Option<Token>, Option<Token>);

/// In front of the primary's token, and behind those of nodes that are leaving.
fn gap_in_front(tokens: &[Planted]) -> Gap {
    let front = tokens
        .iter()
        .position(|planted| planted.stays)
        .unwrap_or(tokens.len());
    let (before, behind) = tokens.split_at(front);
    (
        before.last().map(|planted| planted.token),
        behind.first().map(|planted| planted.token),
    )
}

/// Directly behind the token of `leaver`, or behind all if that holds the partition by a token in
/// a later one.
fn gap_behind(tokens: &[Planted], leaver: NodeId) -> Gap {
    let leavers = tokens.iter().position(|planted| planted.node == leaver);
    let (before, behind) = tokens.split_at(leavers.map_or(tokens.len(), |index| index + 1));
    (
        before.last().map(|planted| planted.token),
        behind.first().map(|planted| planted.token),
    )
}

/// Adds a token of `node` to `partition`, in the gap that `gap` finds.
fn plant(
    layout: &mut Layout,
    node: NodeId,
    partition: PartitionId,
    gap: impl Fn(&[Planted]) -> Gap,
) {
    let (first, last) = layout.partitions.range(partition);
    // One token per node and partition: its others are behind the new one.
    let tokens = tokens_mut(layout, node);
    let start = tokens.partition_point(|token| *token < first);
    let end = tokens.partition_point(|token| *token <= last);
    tokens.drain(start..end);

    let bounds = |layout: &Layout| {
        let (before, behind) = gap(&tokens_in(layout, partition));
        (before.unwrap_or(first).0, behind.unwrap_or(last).0)
    };
    let (mut low, mut high) = bounds(layout);
    if high.saturating_sub(low) < GAP_MIN {
        spread(layout, partition);
        (low, high) = bounds(layout);
    }
    add_token(
        layout,
        node,
        Token(point_between(low, high, draw(node, partition))),
    );
}

/// A point in the middle half of the gap, with few digits, since each is stored.
fn point_between(low: u128, high: u128, draw: u128) -> u128 {
    let gap = high - low;
    assert!(gap >= GAP_MIN, "a partition has room for all its tokens");
    let point = low + gap / 4 + (gap / 2 / DRAWS) * (draw % DRAWS);
    let unit = 1 << (gap / GAP_MIN).ilog2();
    point & !(unit - 1)
}

/// Moves the tokens of `partition` apart, in their order.
fn spread(layout: &mut Layout, partition: PartitionId) {
    let (first, last) = layout.partitions.range(partition);
    let planted = tokens_in(layout, partition);
    let nodes: BTreeSet<NodeId> = planted.iter().map(|planted| planted.node).collect();
    for node in nodes {
        tokens_mut(layout, node).retain(|token| *token < first || *token > last);
    }
    let step = (last.0 - first.0) / (planted.len() as u128 + 1);
    for (Planted { node, .. }, number) in planted.iter().zip(1u128..) {
        add_token(layout, *node, Token(first.0 + step * number));
    }
}

fn add_token(layout: &mut Layout, node: NodeId, token: Token) {
    let tokens = tokens_mut(layout, node);
    let place = tokens.partition_point(|other| *other < token);
    tokens.insert(place, token);
}

/// All tokens in `partition`, in the order of the ring.
fn tokens_in(layout: &Layout, partition: PartitionId) -> Vec<Planted> {
    let (first, last) = layout.partitions.range(partition);
    let mut found = Vec::new();
    for (node, entry) in layout.nodes() {
        let start = entry.tokens.partition_point(|token| *token < first);
        let here = entry.tokens[start..]
            .iter()
            .take_while(|token| **token <= last);
        let stays = STAYING.contains(&entry.state);
        found.extend(here.map(|token| Planted {
            token: *token,
            node,
            stays,
        }));
    }
    found.sort_unstable();
    found
}

fn tokens_mut(layout: &mut Layout, node: NodeId) -> &mut Vec<Token> {
    &mut layout
        .entries
        .get_mut(&node)
        .expect("a node of the ring is in the layout")
        .tokens
}
